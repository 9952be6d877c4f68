//! The credential of the internal API: a token that services share, and that no gateway passes on.

use std::hint::black_box;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use shop_common::config::Secret;
use shop_common::problem::Problem;

/// The digest of the token. Digests are compared, so that the time it takes says nothing about the token, its length
/// included.
#[derive(Clone)]
pub(crate) struct InternalCredential([u8; 32]);

impl InternalCredential {
    pub(crate) fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.expose()).into())
    }

    fn matches(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let difference = self
            .0
            .iter()
            .zip(digest)
            .fold(0, |difference, (ours, theirs)| {
                black_box(difference | (ours ^ theirs))
            });
        difference == 0
    }
}

/// Lets only callers pass that have the credential.
pub(super) async fn require(
    State(credential): State<InternalCredential>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| credential.matches(token)) {
        Ok(next.run(request).await)
    } else {
        Err(Problem::unauthorized().with_detail("this API takes the services' own token only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let credential = InternalCredential::new(&Secret::new("correct horse"));
        assert!(credential.matches("correct horse"));
        for wrong in ["", "correct", "correct horse ", "Correct horse"] {
            assert!(!credential.matches(wrong), "{wrong:?}");
        }
    }
}
