//! Counting what is in flight: a request counts from its head until its answer's body has ended or was dropped.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::handle::Peer;
use crate::upstream::AnswerBody;
use crate::worker::Worker;

/// Counts a request for as long as it is being answered.
pub(crate) struct RequestGuard {
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    upstream: Option<usize>,
}

impl RequestGuard {
    /// A request has come.
    pub(crate) fn new(worker: &Rc<Worker>, peer: &Rc<Peer>) -> Self {
        worker.in_flight.set(worker.in_flight.get() + 1);
        Self {
            worker: Rc::clone(worker),
            peer: Rc::clone(peer),
            upstream: None,
        }
    }

    /// The request goes to an upstream.
    pub(crate) fn enter_upstream(&mut self, place: usize) {
        let count = self.worker.upstreams[place].in_flight();
        count.set(count.get() + 1);
        self.upstream = Some(place);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.worker.in_flight.set(self.worker.in_flight.get() - 1);
        if let Some(place) = self.upstream {
            let count = self.worker.upstreams[place].in_flight();
            count.set(count.get() - 1);
        }
        self.peer.watch.end();
    }
}

/// An answer's body that counts as in flight until its end.
pub(crate) struct CountedBody {
    body: AnswerBody,
    _guard: RequestGuard,
}

impl CountedBody {
    /// A body that holds its request's guard.
    pub(crate) fn new(body: AnswerBody, guard: RequestGuard) -> Self {
        Self {
            body,
            _guard: guard,
        }
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
