//! Draws from a seed: the same seed breaks the same things at the same moments.

use sha2::{Digest as _, Sha256};

/// A number below `below`, for a purpose of a run of a scenario. The first eight bytes of a SHA-256 over all that it depends on; the
/// bias of the remainder is below 2⁻⁴⁰ for what is drawn here.
pub(super) fn draw(seed: u64, (scenario, run): (&str, u32), purpose: &str, below: u64) -> u64 {
    let digest = Sha256::new()
        .chain_update(seed.to_be_bytes())
        .chain_update(scenario)
        .chain_update([0])
        .chain_update(run.to_be_bytes())
        .chain_update(purpose)
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first) % below.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_run_something_else() {
        let first: Vec<u64> = (1..50)
            .map(|run| draw(7, ("order", run), "victim", 3))
            .collect();
        let again: Vec<u64> = (1..50)
            .map(|run| draw(7, ("order", run), "victim", 3))
            .collect();
        assert_eq!(first, again);
        assert!((0..3).all(|victim| first.contains(&victim)), "{first:?}");
        let wide = |scenario, purpose| draw(7, (scenario, 1), purpose, 1 << 32);
        assert_ne!(wide("order", "moment"), wide("order", "victim"));
        assert_ne!(wide("order", "moment"), wide("auth", "moment"));
    }
}
