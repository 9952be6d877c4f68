//! Accounts.

use shop_token::Role;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::email::Email;

/// The constraint that keeps an address to one account.
pub(crate) const EMAIL_TAKEN: &str = "accounts_email_unique";

/// The accounts in the database.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(PgPool);

/// An account that does not exist yet.
#[derive(Debug)]
pub(crate) struct NewAccount<'a> {
    pub(crate) id: Uuid,
    pub(crate) email: &'a Email,
    pub(crate) password_hash: &'a str,
    pub(crate) role: Role,
    pub(crate) test_tag: Option<&'a str>,
}

/// An account as its owner may see it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) test_tag: Option<String>,
    pub(crate) created_at: OffsetDateTime,
}

/// What a login is checked against.
pub(crate) struct Credentials {
    pub(crate) id: Uuid,
    pub(crate) password_hash: String,
    pub(crate) role: Role,
    pub(crate) test_tag: Option<String>,
}

impl Accounts {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Adds an account; a taken address violates [`EMAIL_TAKEN`].
    pub(crate) async fn add(&self, account: &NewAccount<'_>) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO auth.accounts (id, email, password_hash, role, test_tag)
             VALUES ($1, $2, $3, $4, $5)",
            account.id,
            account.email.as_str(),
            account.password_hash,
            account.role.as_str(),
            account.test_tag,
        )
        .execute(&self.0)
        .await
        .map(drop)
    }

    pub(crate) async fn find(&self, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
        let row = sqlx::query!(
            "SELECT id, email, role, test_tag, created_at FROM auth.accounts WHERE id = $1",
            id,
        )
        .fetch_optional(&self.0)
        .await?;
        row.map(|row| {
            Ok(Account {
                id: row.id,
                email: row.email,
                role: parse_role(&row.role)?,
                test_tag: row.test_tag,
                created_at: row.created_at,
            })
        })
        .transpose()
    }

    pub(crate) async fn credentials(
        &self,
        email: &Email,
    ) -> Result<Option<Credentials>, sqlx::Error> {
        let row = sqlx::query!(
            "SELECT id, password_hash, role, test_tag FROM auth.accounts WHERE email = $1",
            email.as_str(),
        )
        .fetch_optional(&self.0)
        .await?;
        row.map(|row| {
            Ok(Credentials {
                id: row.id,
                password_hash: row.password_hash,
                role: parse_role(&row.role)?,
                test_tag: row.test_tag,
            })
        })
        .transpose()
    }

    /// Replaces a hash by one of the same password, unless the password was changed meanwhile.
    pub(crate) async fn replace_hash(
        &self,
        id: Uuid,
        old: &str,
        new: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE auth.accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
            id,
            old,
            new,
        )
        .execute(&self.0)
        .await
        .map(drop)
    }

    /// Makes an account an admin with this password, and ends all its sessions: whoever had it until now may not
    /// be who should have it.
    pub(crate) async fn promote(&self, id: Uuid, password_hash: &str) -> Result<(), sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        sqlx::query!(
            "UPDATE auth.accounts SET role = 'admin', test_tag = NULL, password_hash = $2 WHERE id = $1",
            id,
            password_hash,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "UPDATE auth.sessions SET ended_at = now(), end_reason = 'password'
             WHERE account_id = $1 AND ended_at IS NULL",
            id,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Removes all accounts of a test, with their sessions; says how many.
    pub(crate) async fn remove_test_data(&self, tag: &str) -> Result<u64, sqlx::Error> {
        sqlx::query!("DELETE FROM auth.accounts WHERE test_tag = $1", tag)
            .execute(&self.0)
            .await
            .map(|done| done.rows_affected())
    }
}

pub(super) fn parse_role(name: &str) -> Result<Role, sqlx::Error> {
    name.parse()
        .map_err(|unknown: shop_token::UnknownRole| sqlx::Error::Decode(unknown.into()))
}
