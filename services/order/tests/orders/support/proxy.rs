//! A door between a service and Postgres that a test can hold shut, one way at a time.
//!
//! With it the moments of an order become visible from outside, in the unchanged binary: locked but not sent, sent but
//! not answered, committed but not heard of.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Everything.
    Open,
    /// Answers, but no requests.
    HoldRequests,
    /// Requests, but no answers.
    HoldAnswers,
}

/// What may pass, and for which connections: those that were opened before the last cut get nothing any more.
#[derive(Debug, Clone, Copy)]
struct State {
    flow: Flow,
    cuts: u32,
}

/// The door.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

impl Proxy {
    /// A door to a port of this machine.
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State {
            flow: Flow::Open,
            cuts: 0,
        }));
        let states = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (requests, answers) = (states.subscribe(), states.subscribe());
                tokio::spawn(pass(from_client, to_server, Flow::HoldRequests, requests));
                tokio::spawn(pass(from_server, to_client, Flow::HoldAnswers, answers));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Says what may pass from now on.
    pub(crate) fn set(&self, flow: Flow) {
        self.state.send_modify(|state| state.flow = flow);
    }

    /// Cuts all connections, with everything that was held in them, and opens the door to new ones.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| {
            state.flow = Flow::Open;
            state.cuts += 1;
        });
    }
}

/// Passes bytes on in one direction, which stands still while the flow is `held`, until the next cut.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    held: Flow,
    mut states: watch::Receiver<State>,
) {
    let opened = states.borrow().cuts;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = states.wait_for(|state| state.cuts != opened) => return,
        };
        let Ok(length @ 1..) = read else {
            return;
        };
        let moving = |state: &State| state.flow != held || state.cuts != opened;
        let cut = match states.wait_for(moving).await {
            Ok(state) => state.cuts != opened,
            Err(_) => return,
        };
        if cut || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
