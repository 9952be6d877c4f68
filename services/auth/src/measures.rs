//! What the service counts and measures, by name. What every service measures is in `shop-common`.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

const REGISTERED: &str = "auth_accounts_registered_total";
const LOGINS: &str = "auth_logins_total";
const REFRESHES: &str = "auth_refreshes_total";
const LIMITED: &str = "auth_attempts_limited_total";
const QUEUE_FULL: &str = "auth_hash_queue_full_total";
const HASH_DURATION: &str = "auth_password_hash_duration_seconds";
const SWEPT: &str = "auth_sessions_swept_total";

/// Says what the names mean. The recorder is there by then.
pub(crate) fn describe() {
    describe_counter!(REGISTERED, "Accounts that customers made.");
    describe_counter!(LOGINS, "Logins whose password was looked at, by outcome.");
    describe_counter!(REFRESHES, "Refresh tokens that were presented, by outcome.");
    describe_counter!(
        LIMITED,
        "Attempts refused because the e-mail was tried too often."
    );
    describe_counter!(
        QUEUE_FULL,
        "Callers sent away because too many wait for a password hash."
    );
    describe_histogram!(
        HASH_DURATION,
        "Time that a password took on its thread, without waiting."
    );
    describe_counter!(SWEPT, "Expired sessions that were removed.");
}

pub(crate) fn registered() {
    counter!(REGISTERED).increment(1);
}

pub(crate) fn login(accepted: bool) {
    let outcome = if accepted { "accepted" } else { "refused" };
    counter!(LOGINS, "outcome" => outcome).increment(1);
}

pub(crate) fn refresh(outcome: &'static str) {
    counter!(REFRESHES, "outcome" => outcome).increment(1);
}

pub(crate) fn limited() {
    counter!(LIMITED).increment(1);
}

pub(crate) fn queue_full() {
    counter!(QUEUE_FULL).increment(1);
}

pub(crate) fn hashed(took: Duration) {
    histogram!(HASH_DURATION).record(took);
}

pub(crate) fn swept(sessions: u64) {
    counter!(SWEPT).increment(sessions);
}
