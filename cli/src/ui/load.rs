//! A load test while it runs: one line that lives on a terminal.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::LoadTick;

/// The bar of a load test, while there is one.
#[derive(Default)]
pub(super) struct LoadBar {
    bar: Mutex<Option<ProgressBar>>,
}

impl LoadBar {
    /// Shows what the last second looked like.
    pub(super) fn show(&self, all: &MultiProgress, tick: &LoadTick) {
        let mut shown = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = shown.get_or_insert_with(|| {
            let bar = all.add(ProgressBar::new(1));
            if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {wide_msg}") {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        });
        bar.set_length(milliseconds(tick.total).max(1));
        bar.set_position(milliseconds(tick.elapsed.min(tick.total)));
        let left = tick.total.saturating_sub(tick.elapsed).as_secs();
        bar.set_message(format!("{:>3} s left  {}", left, figures(tick)));
    }

    /// Takes the bar away.
    pub(super) fn end(&self, all: &MultiProgress) {
        let mut shown = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = shown.take() {
            bar.finish_and_clear();
            all.remove(&bar);
        }
    }
}

/// A line for a file or a pipe.
pub(super) fn load_line(tick: &LoadTick) -> String {
    format!("{:>4} s  {}", tick.elapsed.as_secs(), figures(tick))
}

/// The figures, the most telling ones first: a narrow terminal cuts the rest.
fn figures(tick: &LoadTick) -> String {
    let latency =
        [("p50", tick.p50), ("p95", tick.p95), ("p99", tick.p99)].map(
            |(name, value)| match value {
                Some(value) if value < 10.0 => format!("{name} {value:.1}"),
                Some(value) => format!("{name} {value:.0}"),
                None => format!("{name} -"),
            },
        );
    let mut parts = vec![format!("{:.0}/s", tick.requests_per_second)];
    parts.push(format!("{} ms", latency.join(" ")));
    parts.push(format!("{} failed", tick.failed));
    parts.push(format!("{} orders", tick.orders));
    parts.extend(tick.stock_left.map(|left| format!("{left} left")));
    parts.extend(tick.cpu.map(|cpu| format!("{cpu:.2} cores")));
    parts.join("  ")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_second_and_what_was_seen_in_it() {
        let mut tick = LoadTick {
            elapsed: Duration::from_millis(12_300),
            total: Duration::from_mins(1),
            requests_per_second: 1912.4,
            p50: Some(3.12),
            p95: Some(11.6),
            p99: Some(31.0),
            failed: 2,
            orders: 2281,
            stock_left: Some(40),
            cpu: Some(1.234),
        };
        assert_eq!(
            load_line(&tick),
            "  12 s  1912/s  p50 3.1 p95 12 p99 31 ms  2 failed  2281 orders  40 left  1.23 cores"
        );
        (tick.p50, tick.stock_left, tick.cpu) = (None, None, None);
        assert_eq!(
            load_line(&tick),
            "  12 s  1912/s  p50 - p95 12 p99 31 ms  2 failed  2281 orders"
        );
    }

    #[test]
    fn the_bar_is_gone_when_the_load_has_ended() {
        let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let bar = LoadBar::default();
        bar.show(&all, &LoadTick::default());
        assert!(bar.bar.lock().unwrap().is_some());
        bar.end(&all);
        assert!(bar.bar.lock().unwrap().is_none());
    }
}
