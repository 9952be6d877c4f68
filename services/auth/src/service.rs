//! What the service does, without HTTP: accounts, logins, and sessions that go on.

use std::sync::Arc;
use std::time::Duration;

use shop_common::problem::{DatabaseProblem as _, Problem, ProblemKind, Result};
use shop_token::{Issuer, Role};
use sqlx::PgPool;
use uuid::Uuid;

use crate::attempts::{Attempts, TooMany};
use crate::config::AuthSettings;
use crate::email::Email;
use crate::hashing::{Hashing, Place, Tried};
use crate::measures;
use crate::password::{Password, PasswordError, PasswordHasher};
use crate::refresh_token::RefreshToken;
use crate::store::{Account, Accounts, EMAIL_TAKEN, Lifetimes, NewAccount, Rotation, Sessions};

/// When to come back if all places for hashing are taken: the queue has moved on by then.
const COME_BACK: Duration = Duration::from_secs(1);

/// The service. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    pub(crate) hashing: Hashing,
    attempts: Arc<Attempts>,
    issuer: Arc<Issuer>,
    access_token_lifetime: Duration,
    refresh_tokens: Lifetimes,
}

/// The tokens that a client gets.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) refresh_token: RefreshToken,
    pub(crate) refresh_token_lifetime: Duration,
}

impl Auth {
    pub(crate) fn new(
        pool: PgPool,
        issuer: Issuer,
        settings: &AuthSettings,
    ) -> Result<Self, PasswordError> {
        let hasher = PasswordHasher::new(
            settings.hash_memory_kib,
            settings.hash_iterations,
            settings.hash_parallelism,
        )?;
        Ok(Self {
            accounts: Accounts::new(pool.clone()),
            sessions: Sessions::new(pool),
            hashing: Hashing::new(hasher, settings.hash_threads(), settings.hash_queue)?,
            attempts: Arc::new(Attempts::new(
                settings.attempts_burst,
                settings.attempts_per_minute,
            )),
            issuer: Arc::new(issuer),
            access_token_lifetime: settings.access_token_lifetime(),
            refresh_tokens: Lifetimes {
                token: settings.refresh_token_lifetime(),
                reuse_grace: Duration::from_secs(settings.refresh_reuse_grace_seconds),
            },
        })
    }

    /// Makes a customer's account. A taken address is told apart: whoever registers has to know.
    pub(crate) async fn register(
        &self,
        email: &Email,
        password: Password,
        test_tag: Option<&str>,
    ) -> Result<Uuid> {
        let place = self.place_for(email)?;
        let password_hash = self.hashing.hash(place, password).await.map_err(internal)?;
        let id = Uuid::now_v7();
        let account = NewAccount {
            id,
            email,
            password_hash: &password_hash,
            role: Role::Customer,
            test_tag,
        };
        let added = self.accounts.add(&account).await;
        added.map_err(|error| error.into_problem(&[(EMAIL_TAKEN, email_taken)]))?;
        measures::registered();
        Ok(id)
    }

    /// Begins a session. The answer tells nothing about which of address and password was wrong, and neither does
    /// the time that it takes.
    pub(crate) async fn login(&self, email: &Email, password: Password) -> Result<Tokens> {
        let place = self.place_for(email)?;
        let credentials = self.accounts.credentials(email).await.map_err(database)?;
        let stored = credentials
            .as_ref()
            .map(|found| found.password_hash.clone());
        let tried = self.hashing.verify(place, password, stored).await;
        let (Tried::Right { replacement }, Some(account)) = (tried.map_err(internal)?, credentials)
        else {
            measures::login(false);
            return Err(Problem::unauthorized().with_detail("the e-mail or the password is wrong"));
        };
        if let Some(new) = replacement {
            let replaced = self
                .accounts
                .replace_hash(account.id, &account.password_hash, &new);
            if let Err(error) = replaced.await {
                // The old hash is still good; the next login tries again.
                tracing::warn!(%error, account = %account.id, "failed to renew a password hash");
            }
        }
        let refresh_token = RefreshToken::generate();
        self.sessions
            .begin(account.id, refresh_token.hash(), self.refresh_tokens.token)
            .await
            .map_err(database)?;
        measures::login(true);
        Ok(self.tokens(
            account.id,
            account.role,
            account.test_tag.as_deref(),
            refresh_token,
        ))
    }

    /// Goes on with a session: a refresh token is exchanged for a new one and a new access token.
    pub(crate) async fn refresh(&self, presented: &str) -> Result<Tokens> {
        let successor = RefreshToken::generate();
        let rotation = match RefreshToken::parse(presented) {
            None => Rotation::Unknown,
            Some(presented) => self
                .sessions
                .rotate(presented.hash(), successor.hash(), self.refresh_tokens)
                .await
                .map_err(database)?,
        };
        measures::refresh(outcome(&rotation));
        match rotation {
            Rotation::Rotated {
                account,
                role,
                test_tag,
            } => Ok(self.tokens(account, role, test_tag.as_deref(), successor)),
            Rotation::Reused { account, session } => {
                tracing::warn!(%account, %session, "a refresh token was used twice, so its session was ended");
                Err(refresh_refused())
            }
            Rotation::Unknown | Rotation::Expired | Rotation::Ended => Err(refresh_refused()),
        }
    }

    /// Ends the session of a refresh token. A token that we don't know has no session, which is what was wanted.
    pub(crate) async fn logout(&self, token: &str) -> Result<()> {
        match RefreshToken::parse(token) {
            Some(token) => self
                .sessions
                .end_by_token(token.hash())
                .await
                .map_err(database),
            None => Ok(()),
        }
    }

    /// The account behind an access token. Tokens are also minted for customers without an account, for tests.
    pub(crate) async fn account(&self, id: Uuid) -> Result<Account> {
        let found = self.accounts.find(id).await.map_err(database)?;
        found.ok_or_else(|| Problem::not_found().with_detail("the token's subject has no account"))
    }

    /// Removes what a test made; says how many accounts that were.
    pub(crate) async fn remove_test_data(&self, tag: &str) -> Result<u64> {
        self.accounts.remove_test_data(tag).await.map_err(database)
    }

    /// A place for hashing first: what is counted here is bounded by what can be hashed, so that nobody can push
    /// an address out of the count by trying many others.
    fn place_for(&self, email: &Email) -> Result<Place> {
        let place = self.hashing.place().map_err(|_| {
            measures::queue_full();
            Problem::busy(COME_BACK)
        })?;
        self.attempts.count(email).map_err(|TooMany(wait)| {
            measures::limited();
            Problem::rate_limited(wait).with_detail("this e-mail was tried too often")
        })?;
        Ok(place)
    }

    fn tokens(
        &self,
        account: Uuid,
        role: Role,
        test_tag: Option<&str>,
        refresh_token: RefreshToken,
    ) -> Tokens {
        let lifetime = self.access_token_lifetime;
        Tokens {
            access_token: self.issuer.issue(account, role, lifetime, test_tag),
            access_token_lifetime: lifetime,
            refresh_token,
            refresh_token_lifetime: self.refresh_tokens.token,
        }
    }
}

fn outcome(rotation: &Rotation) -> &'static str {
    match rotation {
        Rotation::Rotated { .. } => "rotated",
        Rotation::Unknown => "unknown",
        Rotation::Expired => "expired",
        Rotation::Ended => "ended",
        Rotation::Reused { .. } => "reused",
    }
}

fn email_taken() -> Problem {
    Problem::new(ProblemKind::Conflict).with_detail("there is an account with this e-mail")
}

/// The same for every reason: a thief learns nothing, and its owner can only log in again anyway.
fn refresh_refused() -> Problem {
    Problem::unauthorized().with_detail("the refresh token is not good any more; log in again")
}

fn database(error: sqlx::Error) -> Problem {
    error.into_problem(&[])
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn internal(error: PasswordError) -> Problem {
    Problem::internal(&error)
}
