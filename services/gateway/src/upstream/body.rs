//! The bodies that pass through: a request's on its way in, an answer's on its way out.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::endpoint::Lease;
use super::transfer::Transfer;

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

    /// How far it has come, if it is still on its way from the client.
    pub(crate) fn transfer(&self) -> Option<Rc<Transfer>> {
        match self {
            Self::Whole(_) => None,
            Self::Streamed(streamed) => Some(streamed.transfer()),
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
            Self::Streamed(streamed) => streamed.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streamed(streamed) => streamed.size_hint(),
        }
    }
}

/// A client's body with bounds on its size and its time.
#[derive(Debug)]
pub(crate) struct StreamedBody {
    /// What was read before the rest is passed on.
    first: Option<Bytes>,
    incoming: Incoming,
    left: u64,
    pace: Pace,
    transfer: Rc<Transfer>,
}

impl StreamedBody {
    /// Bounds a client's body. `total` bounds the time that it is waited for, `stall` each silence.
    pub(crate) fn new(incoming: Incoming, most: u64, total: Duration, stall: Duration) -> Self {
        Self {
            first: None,
            incoming,
            left: most,
            pace: Pace::default(),
            transfer: Transfer::new(total, stall),
        }
    }

    /// How far it has come, for whoever waits for the answer meanwhile.
    pub(crate) fn transfer(&self) -> Rc<Transfer> {
        Rc::clone(&self.transfer)
    }

    /// Puts what was read before the rest.
    pub(crate) fn begin_with(mut self, first: Bytes) -> Self {
        self.first = Some(first).filter(|first| !first.is_empty());
        self
    }

    /// Whether nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }

    /// The next frame of data; trailers are dropped.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let fault = match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Pending => {
                let patience = self.transfer.wait_for_client(Instant::now());
                if !self.pace.is_late(patience, context) {
                    return Poll::Pending;
                }
                BodyFault::Late
            }
            Poll::Ready(frame) => {
                self.transfer.moved(Instant::now());
                self.pace.moved();
                match frame {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => BodyFault::Broken,
                    Some(Ok(frame)) => {
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
                }
            }
        };
        self.transfer.failed(fault);
        Poll::Ready(Some(Err(fault)))
    }
}

/// Bounds a silence of a body. The timer exists only once there is a silence: most bodies are there at once.
#[derive(Debug, Default)]
struct Pace {
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pace {
    fn moved(&mut self) {
        self.waiting = false;
    }

    fn is_late(&mut self, patience: Duration, context: &mut Context<'_>) -> bool {
        if !self.waiting {
            self.waiting = true;
            let due = Instant::now() + patience;
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
    stall: Duration,
    pace: Pace,
}

impl AnswerBody {
    /// An upstream's body; `stall` bounds each silence.
    pub(crate) fn upstream(incoming: Incoming, lease: Lease, stall: Duration) -> Self {
        let mut body = UpstreamBody {
            incoming,
            lease: Some(lease),
            stall,
            pace: Pace::default(),
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
            Poll::Pending if self.pace.is_late(self.stall, context) => {
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
