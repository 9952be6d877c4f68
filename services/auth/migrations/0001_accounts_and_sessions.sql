-- Who may log in.
CREATE TABLE auth.accounts (
    id            uuid        PRIMARY KEY,
    -- Normalized by the service, which is why a plain unique constraint is enough.
    email         text        NOT NULL CONSTRAINT accounts_email_unique UNIQUE
                              CONSTRAINT accounts_email_normalized CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    password_hash text        NOT NULL CONSTRAINT accounts_password_hashed CHECK (password_hash LIKE '$argon2id$%'),
    role          text        NOT NULL CONSTRAINT accounts_role_known CHECK (role IN ('customer', 'admin')),
    -- The test that the account belongs to and is removed with.
    test_tag      text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_admins_are_no_test_data CHECK (role = 'customer' OR test_tag IS NULL)
);

CREATE INDEX accounts_test_tag ON auth.accounts (test_tag) WHERE test_tag IS NOT NULL;

-- A login and all refresh tokens that came out of it, one out of the other (RFC 9700 calls it a token family).
CREATE TABLE auth.sessions (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES auth.accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When its youngest token expires.
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    end_reason text        CONSTRAINT sessions_end_reason_known CHECK (end_reason IN ('logout', 'reuse', 'password')),
    CONSTRAINT sessions_end_has_a_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

CREATE INDEX sessions_account ON auth.sessions (account_id);
CREATE INDEX sessions_expires_at ON auth.sessions (expires_at);

-- A token itself is never stored. Whoever changes a token's row holds the lock on its session's row.
CREATE TABLE auth.refresh_tokens (
    hash       bytea       PRIMARY KEY CONSTRAINT refresh_tokens_hash_is_sha256 CHECK (octet_length(hash) = 32),
    session_id uuid        NOT NULL REFERENCES auth.sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    -- When its successor was given out. A rotated token that comes again was stolen, from us or from its owner.
    rotated_at timestamptz
);

CREATE INDEX refresh_tokens_session ON auth.refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expires_at ON auth.refresh_tokens (expires_at);
