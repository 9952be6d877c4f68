//! Work that must not be dropped with the client that asked for it.
//!
//! axum drops a handler's future when its client goes away. What has to end once it has begun (a transaction, a
//! lock) runs as a task of its own, which the handler awaits and the drain waits for.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::context::RequestContext;
use crate::problem::{Problem, ProblemKind};

/// The tasks of a service. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs work to its end whatever becomes of the caller, and gives the caller its result. The work belongs to
    /// the caller's request in logs and problems. Work that panics is `internal`.
    pub async fn run<F>(&self, work: F) -> Result<F::Output, Problem>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.spawn(work).await.map_err(|error| {
            tracing::error!(%error, "a task for a request did not end");
            Problem::new(ProblemKind::Internal)
        })
    }

    /// Starts work that the drain waits for.
    pub fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match RequestContext::current() {
            Some(context) => self.0.spawn(context.scope(work)),
            None => self.0.spawn(work),
        }
    }

    /// Waits until all work has ended, at most so long; says how many tasks are left.
    pub async fn drain(&self, at_most: Duration) -> usize {
        self.0.close();
        let _ = tokio::time::timeout(at_most, self.0.wait()).await;
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::http::HeaderMap;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_ends_although_its_caller_went_away() {
        let tasks = Tasks::new();
        let ended = Arc::new(AtomicBool::new(false));
        let (go, wait) = oneshot::channel::<()>();
        let work = {
            let ended = ended.clone();
            async move {
                wait.await.unwrap();
                ended.store(true, Ordering::SeqCst);
            }
        };
        let mut handler = Box::pin(tasks.run(work));
        assert!(futures_util::poll!(&mut handler).is_pending());
        drop(handler);
        go.send(()).unwrap();
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, 0);
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn the_drain_gives_up_at_its_deadline_and_says_what_is_left() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending::<()>());
        assert_eq!(tasks.drain(Duration::from_millis(20)).await, 1);
    }

    #[tokio::test]
    async fn work_belongs_to_the_request_that_began_it() {
        let tasks = Tasks::new();
        let context = RequestContext::from_request("/", &HeaderMap::new());
        let id = context.request_id.clone();
        let inside = context
            .scope(tasks.run(async { RequestContext::current().unwrap().request_id }))
            .await;
        assert_eq!(inside.unwrap(), id);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_internal_problem() {
        let tasks = Tasks::new();
        let problem = tasks.run(async { panic!("boom") }).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Internal);
    }
}
