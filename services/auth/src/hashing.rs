//! Where password hashes are computed: on blocking threads, as many at once as there are cores for it, and with
//! a bounded number of callers that wait. Who comes when all places are taken is sent away at once, since a
//! login that is answered after its caller has gone only takes time from the others.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::measures;
use crate::password::{Password, PasswordError, PasswordHasher};

/// Hashes and verifies passwords.
#[derive(Clone, Debug)]
pub(crate) struct Hashing {
    hasher: PasswordHasher,
    /// Verified when there is no account, so that no answer is faster than another.
    nobodys_hash: Arc<str>,
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// All places are taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("failed to find a place in the queue of password hashes")]
pub(crate) struct QueueFull;

/// A place among those who compute or wait. Taken before anything else is done for a caller.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// What became of a password that was tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It is right.
    Right {
        /// A hash with today's parameters, if the stored one has others.
        replacement: Option<String>,
    },
    /// It is wrong, or there is no account.
    Wrong,
}

impl Hashing {
    /// Computes with `hasher` on `threads` threads, with at most `waiting` callers behind those.
    pub(crate) fn new(
        hasher: PasswordHasher,
        threads: NonZeroUsize,
        waiting: usize,
    ) -> Result<Self, PasswordError> {
        // Nobody knows this password: its hash is made from a new refresh token.
        let nobody = Password::tried(crate::refresh_token::RefreshToken::generate().to_text());
        let nobodys_hash = hasher.hash(&nobody)?.into();
        let threads = threads.get().min(Semaphore::MAX_PERMITS / 2);
        let waiting = waiting.min(Semaphore::MAX_PERMITS / 2);
        Ok(Self {
            hasher,
            nobodys_hash,
            threads: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(threads + waiting)),
        })
    }

    /// Takes a place, or finds that there is none.
    pub(crate) fn place(&self) -> Result<Place, QueueFull> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        permit
            .map(|permit| Place { _permit: permit })
            .map_err(|_| QueueFull)
    }

    /// Hashes a password that somebody chose.
    pub(crate) async fn hash(
        &self,
        place: Place,
        password: Password,
    ) -> Result<String, PasswordError> {
        self.compute(place, move |hasher| hasher.hash(&password))
            .await
    }

    /// Tries a password against the stored hash of an account, or against nobody's if there is no account.
    pub(crate) async fn verify(
        &self,
        place: Place,
        password: Password,
        stored: Option<String>,
    ) -> Result<Tried, PasswordError> {
        let nobodys_hash = Arc::clone(&self.nobodys_hash);
        self.compute(place, move |hasher| {
            let Some(stored) = stored else {
                hasher.verify(&password, &nobodys_hash)?;
                return Ok(Tried::Wrong);
            };
            if !hasher.verify(&password, &stored)? {
                return Ok(Tried::Wrong);
            }
            let outdated = hasher.is_outdated(&stored);
            let replacement = outdated.then(|| hasher.hash(&password)).transpose()?;
            Ok(Tried::Right { replacement })
        })
        .await
    }

    /// Computes on a blocking thread. The thread holds the permits itself: a caller who goes away frees its
    /// place at once while it waits, but not while its hash is being computed.
    async fn compute<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&PasswordHasher) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let Ok(thread) = Arc::clone(&self.threads).acquire_owned().await else {
            return Err(PasswordError::Stopped);
        };
        let hasher = self.hasher.clone();
        let computed = spawn_blocking(move || {
            let begun = Instant::now();
            let result = work(&hasher);
            measures::hashed(begun.elapsed());
            drop((thread, place));
            result
        });
        computed.await.unwrap_or(Err(PasswordError::Stopped))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PASSWORD: &str = "correct horse";

    fn hashing(threads: usize, waiting: usize) -> Hashing {
        let hasher = PasswordHasher::new(64, 1, 1).unwrap();
        Hashing::new(hasher, NonZeroUsize::new(threads).unwrap(), waiting).unwrap()
    }

    fn password() -> Password {
        Password::tried(PASSWORD.to_owned())
    }

    #[tokio::test]
    async fn a_right_password_is_right_and_a_wrong_one_is_wrong() {
        let hashing = hashing(1, 0);
        let hash = hashing
            .hash(hashing.place().unwrap(), password())
            .await
            .unwrap();
        let tried = hashing.verify(hashing.place().unwrap(), password(), Some(hash.clone()));
        assert_eq!(tried.await.unwrap(), Tried::Right { replacement: None });
        let wrong = Password::tried("battery staple".to_owned());
        let tried = hashing.verify(hashing.place().unwrap(), wrong, Some(hash));
        assert_eq!(tried.await.unwrap(), Tried::Wrong);
    }

    #[tokio::test]
    async fn an_outdated_hash_is_replaced_by_one_that_verifies() {
        let hashing = hashing(1, 0);
        let old = PasswordHasher::new(128, 1, 1)
            .unwrap()
            .hash(&password())
            .unwrap();
        let place = hashing.place().unwrap();
        let tried = hashing.verify(place, password(), Some(old)).await.unwrap();
        let Tried::Right {
            replacement: Some(replacement),
        } = tried
        else {
            panic!("not replaced: {tried:?}");
        };
        let place = hashing.place().unwrap();
        let tried = hashing.verify(place, password(), Some(replacement)).await;
        assert_eq!(tried.unwrap(), Tried::Right { replacement: None });
    }

    #[tokio::test]
    async fn without_an_account_a_hash_is_computed_all_the_same() {
        let hashing = hashing(1, 0);
        // A hash that is no hash is noticed only by who reads it.
        let broken = Hashing {
            nobodys_hash: "broken".into(),
            ..hashing.clone()
        };
        let tried = hashing
            .verify(hashing.place().unwrap(), password(), None)
            .await;
        assert_eq!(tried.unwrap(), Tried::Wrong);
        let tried = broken
            .verify(broken.place().unwrap(), password(), None)
            .await;
        assert!(matches!(tried, Err(PasswordError::Stored(_))), "{tried:?}");
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_sent_away_until_one_is_free() {
        let hashing = hashing(1, 1);
        let (_first, second) = (hashing.place().unwrap(), hashing.place().unwrap());
        assert_eq!(hashing.place().unwrap_err(), QueueFull);
        drop(second);
        assert!(hashing.place().is_ok());
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_while_waiting_frees_the_place_and_one_being_computed_keeps_it()
    {
        let hashing = hashing(1, 1);
        let (release, held) = mpsc::channel::<()>();
        let computing = {
            let (hashing, place) = (hashing.clone(), hashing.place().unwrap());
            tokio::spawn(async move {
                hashing
                    .compute(place, move |_| {
                        Ok(held.recv_timeout(Duration::from_secs(30)))
                    })
                    .await
            })
        };
        while hashing.threads.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = {
            let (hashing, place) = (hashing.clone(), hashing.place().unwrap());
            tokio::spawn(async move { hashing.hash(place, password()).await })
        };
        tokio::task::yield_now().await;
        waiting.abort();
        computing.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(computing.await.unwrap_err().is_cancelled());
        assert_eq!(hashing.places.available_permits(), 1);
        release.send(()).unwrap();
        while hashing.places.available_permits() < 2 {
            tokio::task::yield_now().await;
        }
    }
}
