//! The admin account of the configuration, made and kept as the file says.

use shop_common::config::ConfigError;
use shop_token::Role;
use uuid::Uuid;

use crate::config::AdminConfig;
use crate::email::Email;
use crate::hashing::{QueueFull, Tried};
use crate::password::{Password, PasswordError};
use crate::service::Auth;
use crate::store::{Credentials, EMAIL_TAKEN, NewAccount};

/// The account that should be there.
#[derive(Clone)]
pub(crate) struct Admin {
    email: Email,
    password: String,
}

/// What was found, and done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ensured {
    /// It was there.
    Unchanged,
    /// It was not there.
    Made,
    /// Its role or its password was another.
    Changed,
}

/// Why the account could not be made sure of. Worth another try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnsureError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Busy(#[from] QueueFull),
    #[error("failed to look after the admin account")]
    Database(#[from] sqlx::Error),
}

impl Admin {
    /// Reads the section; a password that a customer couldn't choose either is refused.
    pub(crate) fn load(config: &AdminConfig) -> Result<Self, ConfigError> {
        let unusable = |key: &str, message: String| ConfigError::Unusable {
            key: format!("admin.{key}"),
            message,
        };
        let email =
            Email::parse(&config.email).map_err(|error| unusable("email", error.to_string()))?;
        let password = config
            .password_file
            .read("the admin account")?
            .expose()
            .to_owned();
        Password::chosen(password.clone())
            .map_err(|error| unusable("passwordFile", error.to_string()))?;
        Ok(Self { email, password })
    }

    /// Makes the account, or makes it what it should be. Replicas may do so at the same time.
    pub(crate) async fn ensure(&self, auth: &Auth) -> Result<Ensured, EnsureError> {
        loop {
            if let Some(found) = auth.accounts.credentials(&self.email).await? {
                return self.correct(auth, found).await;
            }
            if self.make(auth).await? {
                return Ok(Ensured::Made);
            }
        }
    }

    async fn correct(&self, auth: &Auth, found: Credentials) -> Result<Ensured, EnsureError> {
        let place = auth.hashing.place()?;
        let stored = Some(found.password_hash);
        let tried = auth.hashing.verify(place, self.password(), stored).await?;
        if found.role == Role::Admin && matches!(tried, Tried::Right { .. }) {
            return Ok(Ensured::Unchanged);
        }
        let place = auth.hashing.place()?;
        let hash = auth.hashing.hash(place, self.password()).await?;
        auth.accounts.promote(found.id, &hash).await?;
        Ok(Ensured::Changed)
    }

    /// Says whether the account was made: not if another replica was faster.
    async fn make(&self, auth: &Auth) -> Result<bool, EnsureError> {
        let place = auth.hashing.place()?;
        let hash = auth.hashing.hash(place, self.password()).await?;
        let account = NewAccount {
            id: Uuid::now_v7(),
            email: &self.email,
            password_hash: &hash,
            role: Role::Admin,
            test_tag: None,
        };
        match auth.accounts.add(&account).await {
            Ok(()) => Ok(true),
            Err(error) if is_email_taken(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn password(&self) -> Password {
        Password::tried(self.password.clone())
    }
}

fn is_email_taken(error: &sqlx::Error) -> bool {
    let violated = error
        .as_database_error()
        .and_then(|error| error.constraint());
    violated == Some(EMAIL_TAKEN)
}
