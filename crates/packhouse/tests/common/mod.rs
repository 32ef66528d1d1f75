//! A server with a small handler, and raw clients for it.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use packhouse::origin::Peer;
use packhouse::tls::Tls;
use packhouse::transport::{FileBody, Gate, Handle, Limits, Phase, RequestBody, Server, Stop, lifecycle};
use prometheus_client::metrics::gauge::Gauge;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Longest time any single wait of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Limits that no test meets by accident.
pub const LIMITS: Limits = Limits {
    connections_max: 100,
    header_time: Duration::from_secs(60),
    stall_time: Duration::from_secs(60),
    idle_time: Duration::from_secs(60),
};

/// `/` says hello; `/bytes/N` sends N bytes; `/upload` reads all and says how much; `/refuse` answers 413 without
/// reading; `/hold` waits until the test lets go.
#[derive(Default)]
pub struct Rooms {
    pub held: Notify,
    pub let_go: Notify,
}

impl Handle for Rooms {
    type Body = Filled;

    async fn handle(&self, request: Request<RequestBody<Incoming>>, peer: Peer) -> Response<Filled> {
        let path = request.uri().path().to_owned();
        let version = request.version();
        let (status, body) = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "bytes", count] => (StatusCode::OK, Filled::zeros(count.parse().unwrap())),
            ["", "upload"] => match read_all(request.into_body()).await {
                Ok(count) => (StatusCode::OK, Filled::text(format!("{count} bytes"))),
                Err(()) => (StatusCode::BAD_REQUEST, Filled::text("broken".to_owned())),
            },
            ["", "refuse"] => (StatusCode::PAYLOAD_TOO_LARGE, Filled::text("too large".to_owned())),
            ["", "hold"] => {
                self.held.notify_one();
                self.let_go.notified().await;
                (StatusCode::OK, Filled::text("let go".to_owned()))
            }
            _ => (StatusCode::OK, Filled::text(format!("hello, {version:?} tls={}", peer.tls))),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
    }
}

async fn read_all(mut body: RequestBody<Incoming>) -> Result<usize, ()> {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame.map_err(|_| ())?.data_ref().map_or(0, Bytes::len);
    }
    Ok(count)
}

/// A text, or so many zeros.
pub struct Filled {
    text: Bytes,
    zeros: usize,
}

impl Filled {
    fn text(text: String) -> Self {
        Self { text: text.into(), zeros: 0 }
    }

    fn zeros(zeros: usize) -> Self {
        Self { text: Bytes::new(), zeros }
    }
}

impl http_body::Body for Filled {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        if !self.text.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.text)))));
        }
        let count = self.zeros.min(ZEROS.len());
        self.zeros -= count;
        Poll::Ready((count > 0).then(|| Ok(Frame::data(Bytes::from_static(&ZEROS[..count])))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty() && self.zeros == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.text.len() + self.zeros) as u64)
    }
}

impl FileBody for Filled {}

/// A running server.
pub struct House {
    pub address: SocketAddr,
    pub rooms: Arc<Rooms>,
    pub stop: Stop,
    pub open: Gauge,
}

impl House {
    pub async fn new(limits: Limits) -> Self {
        Self::with(limits, None).await
    }

    pub async fn with(limits: Limits, tls: Option<Arc<Tls>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rooms = Arc::new(Rooms::default());
        let (stop, running) = lifecycle();
        let open = Gauge::default();
        let gate = Gate::new(limits.connections_max, open.clone());
        let server = Server { listener, tls, handler: Arc::clone(&rooms), limits, gate };
        tokio::spawn(server.run(running));
        Self { address, rooms, stop, open }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes. A reset counts as the end.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes).await.unwrap();
        read_to_end(&mut socket).await
    }

    pub async fn get(&self, path: &str) -> String {
        self.exchange(get(path).as_bytes()).await
    }

    pub async fn finished(&self) -> usize {
        self.stop.finished(PATIENCE).await
    }

    pub fn drain(&self) {
        self.stop.enter(Phase::Draining);
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: reg.test\r\nConnection: close\r\n\r\n")
}

pub fn get_and_stay(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: reg.test\r\n\r\n")
}

pub async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..count]);
        }
    })
    .await
    .expect("the server closes the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until a text has come.
pub async fn read_until(socket: &mut TcpStream, text: &str) {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        while !String::from_utf8_lossy(&bytes).contains(text) {
            assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "closed after {bytes:?}");
        }
    })
    .await
    .expect("the text comes");
}
