//! The signal to end, from the operating system or from a test.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells every part of a service that it is time to end. Clones share the signal.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A signal that somebody triggers by hand.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that SIGTERM and SIGINT trigger. Must be called on a runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::new();
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "asked to end");
            trigger.trigger();
        });
        Ok(shutdown)
    }

    /// Begins the end.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether the end has begun.
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the end to begin.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }

    /// Runs background work until it ends or the shutdown begins, whichever is first.
    pub async fn or_until<F: Future>(&self, work: F) -> Option<F::Output> {
        self.0.run_until_cancelled(work).await
    }
}
