//! Renders all objects of an environment many times and says how long once takes:
//! `cargo run --release -p shopctl --example objects [ENVIRONMENT]`. Ends with 1 when the median is above 5 ms.

#![expect(clippy::print_stdout, reason = "it is what an example does")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use shopctl::project::Project;
use shopctl::render::{ClusterInput, placeholder_secrets, placeholder_tls, render_objects};

const ROUNDS: usize = 200;
const LIMIT: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let wanted = wanted.as_deref().unwrap_or("single-node");
    let loaded = match Project::here().load(wanted) {
        Ok(loaded) => loaded,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };
    let environment = loaded.file.environment();
    let secrets = placeholder_secrets(environment, &loaded.catalogue);
    let tls = placeholder_tls();
    let input = ClusterInput {
        environment,
        catalogue: &loaded.catalogue,
        secrets: &secrets,
        shop_image: "localhost/shopctl/shopd:example",
        tls: Some(&tls),
        version: ("0", "0"),
    };
    let mut times = Vec::with_capacity(ROUNDS);
    let mut count = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        match render_objects(&input) {
            Ok(objects) => count = objects.len(),
            Err(errors) => {
                for error in errors {
                    println!("{error}");
                }
                return ExitCode::FAILURE;
            }
        }
        times.push(began.elapsed());
    }
    times.sort();
    let (median, most) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    println!(
        "{count} objects of {wanted}: {median:.2?} in the median, {most:.2?} at most, of {ROUNDS} rounds"
    );
    if median <= LIMIT {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
