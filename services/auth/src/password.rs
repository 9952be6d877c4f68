//! Passwords and their Argon2id hashes, as plain functions that take their time.
//!
//! Not here: threads and queues, see [`crate::hashing`].

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

/// How long a password may be, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=200;

/// A password as its owner typed it. `Debug` hides it.
pub(crate) struct Password(String);

/// Why a text cannot become a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`password` must have {} to {} characters", LENGTH.start(), LENGTH.end())]
pub(crate) struct BadPassword;

/// Why hashing failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The settings are not something that Argon2 can do.
    #[error("failed to use the Argon2 parameters: {0}")]
    Parameters(argon2::Error),
    /// Argon2 failed, mostly for want of memory.
    #[error("failed to hash a password: {0}")]
    Hashing(argon2::password_hash::Error),
    /// A stored hash is not a hash.
    #[error("failed to read a stored password hash: {0}")]
    Stored(argon2::password_hash::phc::Error),
    /// The thread that computed it is gone, or the service is ending.
    #[error("failed to finish a password hash")]
    Stopped,
}

impl Password {
    /// A password that somebody chooses now: it must keep the rules.
    pub(crate) fn chosen(text: String) -> Result<Self, BadPassword> {
        if LENGTH.contains(&text.chars().count()) {
            Ok(Self(text))
        } else {
            Err(BadPassword)
        }
    }

    /// A password that somebody tries. It may break today's rules, but is never longer than any
    /// password can be: hashing reads all of it.
    pub(crate) fn tried(text: String) -> Self {
        let longest = LENGTH.end() + 1;
        match text.char_indices().nth(longest) {
            // One character too many makes it wrong for sure, whatever followed.
            Some((end, _)) => Self(text[..end].to_owned()),
            None => Self(text),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// Argon2id with the parameters of the settings.
#[derive(Clone, Debug)]
pub(crate) struct PasswordHasher(Argon2<'static>);

impl PasswordHasher {
    /// A hasher that uses this much memory, in KiB, this many times, in this many lanes.
    pub(crate) fn new(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, PasswordError> {
        let parameters =
            Params::new(memory_kib, iterations, lanes, None).map_err(PasswordError::Parameters)?;
        Ok(Self(Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            parameters,
        )))
    }

    /// Hashes with a new salt, into a PHC string that carries parameters and salt.
    pub(crate) fn hash(&self, password: &Password) -> Result<String, PasswordError> {
        self.0
            .hash_password(password.0.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(PasswordError::Hashing)
    }

    /// Whether the password is the one behind the stored hash. The stored parameters count, not ours.
    pub(crate) fn verify(&self, password: &Password, stored: &str) -> Result<bool, PasswordError> {
        let hash = PasswordHash::new(stored).map_err(PasswordError::Stored)?;
        match self.0.verify_password(password.0.as_bytes(), &hash) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(PasswordError::Hashing(error)),
        }
    }

    /// Whether a stored hash was made with other parameters than ours, so that it should be made anew.
    pub(crate) fn is_outdated(&self, stored: &str) -> bool {
        let parameters = PasswordHash::new(stored)
            .ok()
            .and_then(|hash| Params::try_from(&hash).ok());
        parameters.is_none_or(|stored| {
            let ours = self.0.params();
            (stored.m_cost(), stored.t_cost(), stored.p_cost())
                != (ours.m_cost(), ours.t_cost(), ours.p_cost())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> PasswordHasher {
        PasswordHasher::new(64, 1, 1).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::chosen(text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_password_itself_verifies() {
        let hash = cheap().hash(&password("correct horse")).unwrap();
        assert!(cheap().verify(&password("correct horse"), &hash).unwrap());
        assert!(!cheap().verify(&password("correct horsf"), &hash).unwrap());
    }

    #[test]
    fn the_same_password_hashes_differently_each_time() {
        let once = cheap().hash(&password("correct horse")).unwrap();
        assert_ne!(once, cheap().hash(&password("correct horse")).unwrap());
    }

    #[test]
    fn a_hash_is_a_phc_string_with_its_parameters() {
        let hash = PasswordHasher::new(19_456, 2, 1)
            .unwrap()
            .hash(&password("correct horse"))
            .unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
    }

    #[test]
    fn a_hash_of_other_parameters_verifies_and_is_outdated() {
        let old = cheap().hash(&password("correct horse")).unwrap();
        let today = PasswordHasher::new(128, 2, 1).unwrap();
        assert!(today.verify(&password("correct horse"), &old).unwrap());
        assert!(today.is_outdated(&old));
        assert!(!cheap().is_outdated(&old));
        assert!(today.is_outdated("not a hash"));
    }

    #[test]
    fn length_counts_in_characters() {
        for (text, good) in [
            ("1234567".to_owned(), false),
            ("12345678".to_owned(), true),
            ("ä".repeat(8), true),
            ("ä".repeat(7), false),
            ("💡".repeat(200), true),
            ("a".repeat(201), false),
        ] {
            assert_eq!(Password::chosen(text.clone()).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_tried_password_is_cut_only_where_it_cannot_be_right_any_more() {
        let longest = "a".repeat(200);
        let hash = cheap().hash(&password(&longest)).unwrap();
        assert!(
            cheap()
                .verify(&Password::tried(longest.clone()), &hash)
                .unwrap()
        );
        for longer in [format!("{longest}a"), format!("{longest}{longest}")] {
            let tried = Password::tried(longer);
            assert_eq!(tried.0.len(), 201);
            assert!(!cheap().verify(&tried, &hash).unwrap());
        }
    }

    #[test]
    fn parameters_that_argon2_cannot_do_are_refused() {
        assert!(matches!(
            PasswordHasher::new(1, 1, 1),
            Err(PasswordError::Parameters(_))
        ));
        assert!(matches!(
            PasswordHasher::new(64, 0, 1),
            Err(PasswordError::Parameters(_))
        ));
    }

    #[test]
    fn debug_output_hides_the_password() {
        assert_eq!(format!("{:?}", password("correct horse")), "Password(…)");
    }
}
