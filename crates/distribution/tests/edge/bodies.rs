//! Bodies that behave like networks: held back, or broken off midway.

use bytes::Bytes;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Notify, mpsc};

/// What a request sends. One type, so that the edge is built once for all tests.
pub(crate) type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// Some bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Sent {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Some pieces, of a length that nobody says.
pub(crate) fn pieces(pieces: Vec<Bytes>) -> Sent {
    let (sender, body) = held();
    for piece in pieces {
        sender.send(piece);
    }
    sender.end();
    body.boxed_unsync()
}

/// Some bytes, then nothing more: the client's network is gone.
pub(crate) fn breaking_off_after(bytes: impl Into<Bytes>) -> Sent {
    let (sender, body) = held();
    sender.send(bytes.into());
    sender.break_off();
    body.boxed_unsync()
}

/// A body that is sent piece by piece, when the test says so.
pub(crate) fn held() -> (Sender, Held) {
    let (to, pieces) = mpsc::unbounded_channel();
    let asked = Arc::new(Notify::new());
    (Sender { to, asked: Arc::clone(&asked) }, Held { pieces, asked })
}

/// The client's end of a held body.
pub(crate) struct Sender {
    to: mpsc::UnboundedSender<io::Result<Bytes>>,
    asked: Arc<Notify>,
}

impl Sender {
    /// Sends a piece.
    pub(crate) fn send(&self, piece: impl Into<Bytes>) {
        self.to.send(Ok(piece.into())).expect("the server still listens");
    }

    /// Ends the body well.
    pub(crate) fn end(self) {
        drop(self);
    }

    /// Ends the body with an error.
    pub(crate) fn break_off(self) {
        self.to.send(Err(io::ErrorKind::ConnectionReset.into())).expect("the server still listens");
    }

    /// Until the server asks for the body: it has the session in its hands then.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }
}

/// The server's end of a held body.
pub(crate) struct Held {
    pieces: mpsc::UnboundedReceiver<io::Result<Bytes>>,
    asked: Arc<Notify>,
}

impl Held {
    pub(crate) fn sent(self) -> Sent {
        self.boxed_unsync()
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.asked.notify_one();
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
