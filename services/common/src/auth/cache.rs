//! Tokens that have been verified: a signature costs some 50 µs, a look-up less than one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use shop_token::{Claims, LEEWAY_SECONDS};

/// Locks that concurrent requests spread over.
const SHARDS: usize = 16;
/// Tokens in one generation of a shard; with two generations at most 8192 altogether.
const GENERATION: usize = 256;

type Digest256 = [u8; 32];

/// Claims of good tokens by the digest of the token, bounded. What has not been used for long falls out first.
#[derive(Debug)]
pub(super) struct TokenCache(Box<[Mutex<Generations>]>);

/// New entries go to `young`; when it is full it becomes `old`, and what was old is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest256, Arc<Claims>>,
    old: HashMap<Digest256, Arc<Claims>>,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    pub(super) fn digest(token: &str) -> Digest256 {
        Sha256::digest(token.as_bytes()).into()
    }

    /// The claims of a token that was good, if it has not ended by `now`.
    pub(super) fn get(&self, digest: &Digest256, now: i64) -> Option<Arc<Claims>> {
        let mut shard = self.shard(digest);
        if let Some(claims) = shard.young.get(digest) {
            return Some(claims.clone()).filter(|claims| lasts(claims, now));
        }
        let claims = shard
            .old
            .remove(digest)
            .filter(|claims| lasts(claims, now))?;
        shard.insert(*digest, claims.clone());
        Some(claims)
    }

    pub(super) fn insert(&self, digest: Digest256, claims: Arc<Claims>) {
        self.shard(&digest).insert(digest, claims);
    }

    pub(super) fn forget(&self, digest: &Digest256) {
        let mut shard = self.shard(digest);
        shard.young.remove(digest);
        shard.old.remove(digest);
    }

    /// Forgets everything: the keys have changed.
    pub(super) fn clear(&self) {
        for shard in &self.0 {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Generations::default();
        }
    }

    fn shard(&self, digest: &Digest256) -> std::sync::MutexGuard<'_, Generations> {
        self.0[usize::from(digest[0]) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn lasts(claims: &Claims, now: i64) -> bool {
    claims.exp.saturating_add(LEEWAY_SECONDS) > now
}

impl Generations {
    fn insert(&mut self, digest: Digest256, claims: Arc<Claims>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, claims);
    }
}

#[cfg(test)]
mod tests {
    use shop_token::Role;
    use uuid::Uuid;

    use super::*;

    fn claims(exp: i64) -> Arc<Claims> {
        Arc::new(Claims {
            iss: "shop-auth".to_owned(),
            aud: "shop".to_owned(),
            sub: Uuid::nil(),
            role: Role::Customer,
            iat: 0,
            exp,
            jti: Uuid::nil(),
            test: None,
        })
    }

    #[test]
    fn a_token_is_found_until_it_ends() {
        let cache = TokenCache::new();
        let digest = TokenCache::digest("a.b.c");
        cache.insert(digest, claims(100));
        assert!(cache.get(&digest, 99 + LEEWAY_SECONDS).is_some());
        assert!(cache.get(&TokenCache::digest("a.b.d"), 99).is_none());
        assert!(cache.get(&digest, 100 + LEEWAY_SECONDS).is_none());
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::new();
        let used = TokenCache::digest("used");
        cache.insert(used, claims(100));
        for number in 0..100_000 {
            cache.insert(TokenCache::digest(&number.to_string()), claims(100));
            assert!(cache.get(&used, 1).is_some(), "forgotten at {number}");
        }
        let kept: usize = cache
            .0
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap();
                shard.young.len() + shard.old.len()
            })
            .sum();
        assert!(kept <= 2 * SHARDS * GENERATION, "{kept}");
    }

    #[test]
    fn nothing_is_found_after_the_keys_changed() {
        let cache = TokenCache::new();
        let digest = TokenCache::digest("a.b.c");
        cache.insert(digest, claims(100));
        cache.clear();
        assert!(cache.get(&digest, 1).is_none());
    }
}
