//! What a test says that cannot run here, so that nobody takes it for one that passed.

use std::io::Write as _;

/// Says what a test lacks. `./shop test` names the file whose lines it counts at the end.
#[expect(clippy::print_stderr, reason = "the test harness shows it")]
pub(crate) fn say_skipped(reason: &str) {
    eprintln!("skipped: {reason}");
    if let Some(path) = std::env::var_os("SHOP_SKIPPED_TESTS") {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| writeln!(file, "{name}: {reason}"))
            .unwrap();
    }
}
