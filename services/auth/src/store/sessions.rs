//! Sessions and the refresh tokens that came out of them.

use std::time::Duration;

use shop_token::Role;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::accounts::parse_role;
use super::seconds;
use crate::refresh_token::RefreshTokenHash;

/// The sessions in the database.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(PgPool);

/// How long refresh tokens are good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// How long a token may be used for the first time.
    pub(crate) token: Duration,
    /// How long after that it may be used again, by a client that lost the answer.
    pub(crate) reuse_grace: Duration,
}

/// What became of a refresh token that was presented.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// Its successor is stored; it belongs to this account.
    Rotated {
        account: Uuid,
        role: Role,
        test_tag: Option<String>,
    },
    /// We know no such token, or no longer.
    Unknown,
    /// It was not used in time.
    Expired,
    /// Its session has ended.
    Ended,
    /// It was used before. Its session has been ended, for one of its two holders is a thief.
    Reused { account: Uuid, session: Uuid },
}

/// Why a session ended before it expired.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EndReason {
    Logout,
    Reuse,
}

/// How much was swept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) tokens: u64,
    pub(crate) sessions: u64,
}

/// A session whose row is locked, with what a new access token needs.
struct LockedSession {
    id: Uuid,
    account: Uuid,
    ended: bool,
    role: String,
    test_tag: Option<String>,
}

impl EndReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
        }
    }
}

impl Sessions {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Begins a session with its first token. One statement, so it is there as a whole or not at all.
    pub(crate) async fn begin(
        &self,
        account: Uuid,
        token: RefreshTokenHash,
        lifetime: Duration,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "WITH session AS (
                 INSERT INTO auth.sessions (id, account_id, expires_at)
                 VALUES ($1, $2, now() + make_interval(secs => $4))
                 RETURNING id, expires_at
             )
             INSERT INTO auth.refresh_tokens (hash, session_id, expires_at)
             SELECT $3, id, expires_at FROM session",
            Uuid::now_v7(),
            account,
            token.as_bytes(),
            seconds(lifetime),
        )
        .execute(&self.0)
        .await
        .map(drop)
    }

    /// Exchanges a token for its successor, in one transaction under the lock of the session's row: of many who
    /// present the same token at once, one gets a successor.
    pub(crate) async fn rotate(
        &self,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        lifetimes: Lifetimes,
    ) -> Result<Rotation, sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        let Some(session) = lock_session(&mut transaction, presented).await? else {
            return Ok(Rotation::Unknown);
        };
        if session.ended {
            return Ok(Rotation::Ended);
        }
        // A statement of its own: it sees what was committed while we waited for the lock.
        let token = sqlx::query!(
            r#"SELECT expires_at <= clock_timestamp() AS "expired!",
                      rotated_at IS NOT NULL AS "rotated!",
                      coalesce(clock_timestamp() < rotated_at + make_interval(secs => $2), false) AS "in_grace!"
               FROM auth.refresh_tokens WHERE hash = $1"#,
            presented.as_bytes(),
            seconds(lifetimes.reuse_grace),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(token) = token else {
            return Ok(Rotation::Unknown);
        };
        if token.expired {
            return Ok(Rotation::Expired);
        }
        if token.rotated && !token.in_grace {
            end_session(&mut transaction, session.id, EndReason::Reuse).await?;
            transaction.commit().await?;
            return Ok(Rotation::Reused {
                account: session.account,
                session: session.id,
            });
        }
        replace_token(
            &mut transaction,
            session.id,
            presented,
            successor,
            lifetimes.token,
        )
        .await?;
        transaction.commit().await?;
        Ok(Rotation::Rotated {
            account: session.account,
            role: parse_role(&session.role)?,
            test_tag: session.test_tag,
        })
    }

    /// Ends the session that a token belongs to, whether or not the token is still good.
    pub(crate) async fn end_by_token(&self, token: RefreshTokenHash) -> Result<(), sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        if let Some(session) = lock_session(&mut transaction, token).await?
            && !session.ended
        {
            end_session(&mut transaction, session.id, EndReason::Logout).await?;
        }
        transaction.commit().await
    }

    /// Removes at most `most` expired tokens and as many expired sessions. What another replica is at is passed over.
    pub(crate) async fn sweep(&self, most: i64) -> Result<Swept, sqlx::Error> {
        let tokens = sqlx::query!(
            "DELETE FROM auth.refresh_tokens WHERE hash IN (
                 SELECT hash FROM auth.refresh_tokens WHERE expires_at <= now()
                 ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
             )",
            most,
        )
        .execute(&self.0)
        .await?
        .rows_affected();
        // A session expires with its youngest token, so no token of these can be exchanged any more.
        let sessions = sqlx::query!(
            "DELETE FROM auth.sessions WHERE id IN (
                 SELECT id FROM auth.sessions WHERE expires_at <= now()
                 ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
             )",
            most,
        )
        .execute(&self.0)
        .await?
        .rows_affected();
        Ok(Swept { tokens, sessions })
    }
}

async fn lock_session(
    connection: &mut PgConnection,
    token: RefreshTokenHash,
) -> Result<Option<LockedSession>, sqlx::Error> {
    sqlx::query_as!(
        LockedSession,
        r#"SELECT session.id, session.account_id AS account, session.ended_at IS NOT NULL AS "ended!",
                  account.role, account.test_tag
           FROM auth.sessions AS session
           JOIN auth.accounts AS account ON account.id = session.account_id
           WHERE session.id = (SELECT session_id FROM auth.refresh_tokens WHERE hash = $1)
           FOR UPDATE OF session"#,
        token.as_bytes(),
    )
    .fetch_optional(connection)
    .await
}

async fn end_session(
    connection: &mut PgConnection,
    session: Uuid,
    reason: EndReason,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE auth.sessions SET ended_at = now(), end_reason = $2 WHERE id = $1",
        session,
        reason.as_str(),
    )
    .execute(connection)
    .await
    .map(drop)
}

async fn replace_token(
    connection: &mut PgConnection,
    session: Uuid,
    presented: RefreshTokenHash,
    successor: RefreshTokenHash,
    lifetime: Duration,
) -> Result<(), sqlx::Error> {
    // Used again within its grace, a token keeps the time of its first use: the grace does not renew itself.
    sqlx::query!(
        "WITH presented AS (
             UPDATE auth.refresh_tokens SET rotated_at = coalesce(rotated_at, clock_timestamp()) WHERE hash = $1
         ), session AS (
             UPDATE auth.sessions SET expires_at = greatest(expires_at, now() + make_interval(secs => $4))
             WHERE id = $2
             RETURNING id, expires_at
         )
         INSERT INTO auth.refresh_tokens (hash, session_id, expires_at)
         SELECT $3, id, expires_at FROM session",
        presented.as_bytes(),
        session,
        successor.as_bytes(),
        seconds(lifetime),
    )
    .execute(connection)
    .await
    .map(drop)
}
