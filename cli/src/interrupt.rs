//! Ctrl-C, or a signal that asks to end: the first asks the work to end at its next good moment, the second ends it where it is.
//!
//! Whoever does the work waits for [`Interrupt::pressed`] where it may stop; whoever started it drops it at
//! [`Interrupt::insisted`].

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How often Ctrl-C was pressed since this began to watch.
#[derive(Clone, Debug)]
pub struct Interrupt {
    presses: watch::Receiver<u32>,
}

impl Interrupt {
    /// Watches from now on: Ctrl-C does not end the process any more. Needs a runtime.
    pub fn watch() -> Self {
        // Where it cannot be watched it ends the process as ever.
        let Ok(mut interrupts) = signal(SignalKind::interrupt()) else {
            return Self::never();
        };
        let mut terminations = signal(SignalKind::terminate()).ok();
        // Whoever said that it shall live on when its terminal goes (`nohup`) is taken at his word.
        let mut hangups = (!ignores_hangups())
            .then(|| signal(SignalKind::hangup()).ok())
            .flatten();
        let (sender, presses) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = interrupts.recv() => {}
                    Some(()) = next(&mut terminations) => {}
                    Some(()) = next(&mut hangups) => {}
                    else => break,
                }
                sender.send_modify(|presses| *presses += 1);
            }
        });
        Self { presses }
    }

    /// One that never comes.
    pub fn never() -> Self {
        Self {
            presses: watch::channel(0).1,
        }
    }

    /// One that a program presses, to end work of its own.
    pub fn by_hand() -> (Press, Self) {
        let (sender, presses) = watch::channel(0);
        (Press(sender), Self { presses })
    }

    /// Whether Ctrl-C was pressed.
    pub fn is_pressed(&self) -> bool {
        *self.presses.borrow() > 0
    }

    /// Waits for the first Ctrl-C.
    pub async fn pressed(&self) {
        self.times(1).await;
    }

    /// Waits for the second Ctrl-C.
    pub async fn insisted(&self) {
        self.times(2).await;
    }

    async fn times(&self, number: u32) {
        let mut presses = self.presses.clone();
        if presses
            .wait_for(|presses| *presses >= number)
            .await
            .is_err()
        {
            // Nobody watches, so nobody can press.
            std::future::pending::<()>().await;
        }
    }
}

/// The next one of signals that may not be watched at all.
async fn next(signals: &mut Option<Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether this process was started so that the end of its terminal does not concern it.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}

/// Presses an [`Interrupt`].
#[derive(Debug)]
pub struct Press(watch::Sender<u32>);

impl Press {
    /// Once more.
    pub fn press(&self) {
        self.0.send_modify(|presses| *presses += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_second_press_is_told_from_the_first() {
        let (sender, presses) = watch::channel(0);
        let interrupt = Interrupt { presses };
        assert!(!interrupt.is_pressed());
        sender.send_replace(1);
        interrupt.pressed().await;
        let insisted = tokio::time::timeout(Duration::from_millis(20), interrupt.insisted());
        assert!(insisted.await.is_err(), "one press was taken for two");
        sender.send_replace(2);
        interrupt.insisted().await;
    }

    #[tokio::test]
    async fn where_nobody_watches_it_never_comes() {
        let pressed = tokio::time::timeout(Duration::from_millis(20), async {
            Interrupt::never().pressed().await;
        });
        assert!(pressed.await.is_err());
    }
}
