//! A client's connection, watched for two things that hyper does not tell: whether a request's head takes too long
//! once it has begun (an idle connection may wait much longer), and whether a head held both `Content-Length` and
//! `Transfer-Encoding`, which is how requests are smuggled.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// What the stream and the request handler tell each other.
#[derive(Debug)]
pub(crate) struct RequestWatch {
    /// A request is being answered, so what is read belongs to its body.
    busy: Cell<bool>,
    /// Requests begun.
    begun: Cell<u64>,
    /// The bytes read since the last request was answered.
    head: RefCell<Vec<u8>>,
    most: usize,
}

impl RequestWatch {
    /// A watch that looks at heads up to a size.
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            busy: Cell::new(false),
            begun: Cell::new(0),
            head: RefCell::default(),
            most,
        })
    }

    /// A head has been read. Says whether it certainly did not hold two framings; only asked for a request that
    /// has a `Transfer-Encoding`. A head that was read together with the one before cannot be told apart, and counts
    /// as doubtful.
    pub(crate) fn begin(&self, has_transfer_encoding: bool) -> Framing {
        self.busy.set(true);
        self.begun.set(self.begun.get().wrapping_add(1));
        let mut head = self.head.borrow_mut();
        let framing = if has_transfer_encoding {
            framing(&head)
        } else {
            Framing::Single
        };
        head.clear();
        framing
    }

    /// The request has been answered.
    pub(crate) fn end(&self) {
        self.busy.set(false);
    }

    /// Whether a request has ever come, even a part of one.
    pub(crate) fn was_used(&self) -> bool {
        self.begun.get() > 0 || !self.head.borrow().is_empty()
    }

    fn read(&self, bytes: &[u8]) {
        if !self.busy.get() {
            let mut head = self.head.borrow_mut();
            let room = self.most.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

/// How a request with a `Transfer-Encoding` says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In one way.
    Single,
    /// In two ways.
    Double,
    /// It was pipelined, so nobody knows.
    Unknown,
}

fn framing(head: &[u8]) -> Framing {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .skip_while(|line| line.is_empty());
    lines.next();
    for line in lines {
        if line.is_empty() {
            return Framing::Single;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            return Framing::Double;
        }
    }
    Framing::Unknown
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientStream {
    stream: TcpStream,
    watch: Rc<RequestWatch>,
    limit: Duration,
    /// Runs while a head has begun and not ended; with the count of requests at its start.
    timer: Option<(u64, Pin<Box<Sleep>>)>,
}

impl ClientStream {
    /// Watches a connection; a head may take as long as `limit`.
    pub(crate) fn new(stream: TcpStream, watch: Rc<RequestWatch>, limit: Duration) -> Self {
        Self {
            stream,
            watch,
            limit,
            timer: None,
        }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let begun = self.watch.begun.get();
        if self.watch.busy.get()
            || self
                .timer
                .as_ref()
                .is_some_and(|(count, _)| *count != begun)
        {
            self.timer = None;
        }
        if self.timer.is_none() && !self.watch.busy.get() && !self.watch.head.borrow().is_empty() {
            self.timer = Some((begun, Box::pin(tokio::time::sleep(self.limit))));
        }
        self.timer
            .as_mut()
            .is_some_and(|(_, timer)| timer.as_mut().poll(context).is_ready())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending if this.is_late(context) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(())) => {
                this.watch.read(&buffer.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_with_both_framings_is_told_apart() {
        for (head, expected) in [
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Single,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                Framing::Double,
            ),
            (
                "POST / HTTP/1.1\nCONTENT-LENGTH: 3\nTransfer-Encoding: chunked\n\n",
                Framing::Double,
            ),
            (
                "\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\ncontent-length: 3\r\n",
                Framing::Single,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: content-length: 3\r\n\r\n",
                Framing::Single,
            ),
            ("POST / HTTP/1.1\r\nTransfer-Enc", Framing::Unknown),
            ("", Framing::Unknown),
        ] {
            assert_eq!(framing(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn bytes_of_bodies_are_not_kept_and_heads_are_bounded() {
        let watch = RequestWatch::new(8);
        watch.read(b"0123456789");
        assert_eq!(watch.head.borrow().len(), 8);
        assert_eq!(watch.begin(false), Framing::Single);
        watch.read(b"body");
        assert!(watch.head.borrow().is_empty());
        watch.end();
        watch.read(b"next");
        assert_eq!(*watch.head.borrow(), b"next");
    }
}
