//! The bodies that pass through: a request's on its way in, an answer's on its way out.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::endpoint::Lease;

/// Why a body did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// It is longer than it may be.
    #[error("the body is too large")]
    TooLarge,
    /// It came too slowly.
    #[error("the body came too slowly")]
    Late,
    /// The other side broke off, or broke the rules.
    #[error("the body broke off")]
    Broken,
}

/// A request's body on its way to an upstream.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None, or one that was read whole and can be sent again.
    Whole(Option<Bytes>),
    /// One that is passed on as it comes.
    Streamed(StreamedBody),
}

impl RequestBody {
    /// A body that can be sent again; empty bytes are no body.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// The same once more, if that is possible.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Streamed(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => streamed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

/// A client's body with bounds on its size and its time.
#[derive(Debug)]
pub(crate) struct StreamedBody {
    incoming: Incoming,
    left: u64,
    pace: Pace,
    fault: Rc<Cell<Option<BodyFault>>>,
}

impl StreamedBody {
    /// Bounds a client's body. `total` bounds the whole of it, `stall` each silence.
    pub(crate) fn new(incoming: Incoming, most: u64, total: Duration, stall: Duration) -> Self {
        let pace = Pace::new(stall, Some(Instant::now() + total));
        Self {
            incoming,
            left: most,
            pace,
            fault: Rc::default(),
        }
    }

    /// Where to look for what went wrong with the body once it is on its way.
    pub(crate) fn fault(&self) -> Rc<Cell<Option<BodyFault>>> {
        Rc::clone(&self.fault)
    }

    /// The next frame of data; trailers are dropped.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let fault = match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Pending if self.pace.is_late(context) => BodyFault::Late,
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => BodyFault::Broken,
            Poll::Ready(Some(Ok(frame))) => {
                self.pace.moved();
                let Ok(data) = frame.into_data() else {
                    return Poll::Ready(None);
                };
                match self.left.checked_sub(data.len() as u64) {
                    Some(left) => {
                        self.left = left;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    None => BodyFault::TooLarge,
                }
            }
        };
        self.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }
}

/// Bounds the silences of a body, and perhaps the whole of it. The timer exists only once there is a silence:
/// most bodies are there at once.
#[derive(Debug)]
struct Pace {
    stall: Duration,
    total: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pace {
    fn new(stall: Duration, total: Option<Instant>) -> Self {
        Self {
            stall,
            total,
            timer: None,
            waiting: false,
        }
    }

    fn moved(&mut self) {
        self.waiting = false;
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if !self.waiting {
            self.waiting = true;
            let stalled = Instant::now() + self.stall;
            let due = self.total.map_or(stalled, |total| total.min(stalled));
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(due),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(due))),
            }
        }
        self.timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(context).is_ready())
    }
}

/// An answer's body on its way to the client. Its end gives the upstream's connection back; its drop before the end
/// closes that connection.
pub(crate) enum AnswerBody {
    /// The gateway's own answer.
    Own(axum::body::Body),
    /// An upstream's answer.
    Upstream(UpstreamBody),
}

/// What an upstream sends, and the connection it comes by until it ends.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
    pace: Pace,
}

impl AnswerBody {
    /// An upstream's body; `stall` bounds each silence.
    pub(crate) fn upstream(incoming: Incoming, lease: Lease, stall: Duration) -> Self {
        let mut body = UpstreamBody {
            incoming,
            lease: Some(lease),
            pace: Pace::new(stall, None),
        };
        body.give_back_if_over();
        Self::Upstream(body)
    }
}

impl UpstreamBody {
    fn give_back_if_over(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Pending if self.pace.is_late(context) => {
                Poll::Ready(Some(Err(BodyFault::Late.into())))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(Some(Ok(frame))) => {
                self.pace.moved();
                self.give_back_if_over();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
                Poll::Ready(None)
            }
        }
    }
}

/// Why an answer's body did not come to its end.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Upstream(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Upstream(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Upstream(body) => body.incoming.size_hint(),
        }
    }
}
