//! Answers whose bytes lie in a file: by which way they go, and that what arrives are those bytes or nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of #[test]"
)]

mod common;

use bytes::Bytes;
use common::{LIMITS, PATIENCE, get, get_and_stay};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use packhouse::config::TlsFiles;
use packhouse::origin::Peer;
use packhouse::tls::Tls;
use packhouse::transport::{FileBody, Gate, Handle, RequestBody, Server, Stop, lifecycle};
use packhouse_blobs::BlobError;
use packhouse_blobs::driver::{FileRange, Source, Way};
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// `/<first>/<end>` answers with those bytes of the file, all else with a text.
struct Rooms {
    file: Arc<File>,
    /// Bytes that were read here because nobody took the file.
    by_hand: Arc<AtomicU64>,
}

impl Handle for Rooms {
    type Body = Part;

    async fn handle(&self, request: Request<RequestBody<Incoming>>, _: Peer) -> Response<Part> {
        let numbers: Vec<u64> =
            request.uri().path().split('/').filter_map(|number| number.parse().ok()).collect();
        let body = match numbers[..] {
            [first, end] => {
                let range = FileRange { file: Arc::clone(&self.file), first, end };
                let by_hand = Arc::clone(&self.by_hand);
                Part { source: Some(Box::new(ByHand { range, by_hand })), left: end - first }
            }
            _ => Part { source: None, left: 4 },
        };
        Response::new(body)
    }
}

struct Part {
    source: Option<Box<dyn Source>>,
    left: u64,
}

impl FileBody for Part {
    fn reroute(&mut self, way: &mut Way<'_>) {
        if let Some(source) = self.source.as_ref().and_then(|source| source.file()).and_then(way) {
            self.source = Some(source);
        }
    }
}

impl http_body::Body for Part {
    type Data = Bytes;
    type Error = BlobError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BlobError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.source {
            Some(source) => std::task::ready!(source.poll_piece(cx)),
            None => Some(Ok(Bytes::from_static(b"text"))),
        };
        if let Some(Ok(piece)) = &piece {
            self.left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[derive(Debug)]
struct ByHand {
    range: FileRange,
    by_hand: Arc<AtomicU64>,
}

impl Source for ByHand {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        let length = (self.range.end - self.range.first).min(100_000);
        let mut piece = vec![0; usize::try_from(length).unwrap()];
        self.range.file.read_exact_at(&mut piece, self.range.first).unwrap();
        self.range.first += length;
        self.by_hand.fetch_add(length, Relaxed);
        Poll::Ready((length > 0).then(|| Ok(Bytes::from(piece))))
    }

    fn file(&self) -> Option<FileRange> {
        Some(self.range.clone())
    }
}

struct House {
    address: SocketAddr,
    file: Arc<File>,
    bytes: Vec<u8>,
    by_hand: Arc<AtomicU64>,
    open: Gauge,
    _stop: Stop,
}

impl House {
    async fn new(length: usize) -> Self {
        Self::with(length, None).await
    }

    async fn with(length: usize, tls: Option<Arc<Tls>>) -> Self {
        let bytes = noise(length);
        // Not in the folder for temporary files, which may be memory itself.
        let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        file.write_all(&bytes).unwrap();
        let (file, by_hand) = (Arc::new(file), Arc::new(AtomicU64::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler = Arc::new(Rooms { file: Arc::clone(&file), by_hand: Arc::clone(&by_hand) });
        let (stop, running) = lifecycle();
        let open = Gauge::default();
        let gate = Gate::new(LIMITS.connections_max, open.clone());
        tokio::spawn(Server { listener, tls, handler, limits: LIMITS, gate }.run(running));
        Self { address, file, bytes, by_hand, open, _stop: stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn part(&self, first: usize, end: usize) -> &[u8] {
        &self.bytes[first..end]
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

/// Bytes of which no two stretches are alike.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| word()).collect();
    bytes.truncate(length);
    bytes
}

/// Reads one answer: its head, and as many bytes as it promises.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let head = head(stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut body)).await.expect("the body comes").unwrap();
    (head, body)
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("a head comes");
        head.push(byte.expect("the connection stays until the head's end"));
    }
    String::from_utf8(head).unwrap()
}

/// Not with `assert_eq!`, which would print megabytes.
#[track_caller]
fn assert_same(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len());
    if found == expected {
        return;
    }
    if let Some(at) = found.iter().zip(expected).position(|(found, expected)| found != expected) {
        panic!("other bytes from {at} on, of {}", expected.len());
    }
}

const LENGTH: usize = (5 << 20) + 123;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_sends_wholes_and_parts_on_one_connection() {
    let house = House::new(LENGTH).await;
    let mut socket = house.connect().await;
    for (first, end) in
        [(0, LENGTH), (1, LENGTH), (LENGTH - 70_000, LENGTH), (4095, 4097 + (1 << 20)), (0, 65_536)]
    {
        socket.write_all(get_and_stay(&format!("/{first}/{end}")).as_bytes()).await.unwrap();
        let (_, body) = answer(&mut socket).await;
        assert_same(&body, house.part(first, end));
    }
    assert_eq!(house.by_hand.load(Relaxed), 0);
    // What is short leaves together with its head.
    socket.write_all(get_and_stay("/17/1000").as_bytes()).await.unwrap();
    assert_same(&answer(&mut socket).await.1, house.part(17, 1000));
    assert_eq!(house.by_hand.load(Relaxed), 1000 - 17);
    assert_eq!(house.open.get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_all_at_once_get_their_own_bytes_in_order() {
    let house = House::new(LENGTH).await;
    let mut socket = house.connect().await;
    let parts: Vec<_> = (0..60).map(|n| (n * 40_009, n * 40_009 + 1000 + n * 30_011)).collect();
    let mut requests = String::new();
    for (first, end) in &parts {
        requests += &get_and_stay(&format!("/{first}/{end}"));
        requests += &get_and_stay("/text");
        requests += &get_and_stay(&format!("/{first}/{end}")).replace("GET", "HEAD");
    }
    socket.write_all(requests.as_bytes()).await.unwrap();
    for (first, end) in parts {
        assert_same(&answer(&mut socket).await.1, house.part(first, end));
        assert_eq!(answer(&mut socket).await.1, b"text");
        assert!(head(&mut socket).await.contains(&format!("content-length: {}", end - first)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clients_that_take_nothing_hold_up_nobody_and_get_all_in_the_end() {
    let house = House::new(LENGTH).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut socket = house.connect().await;
        socket.write_all(get_and_stay(&format!("/0/{LENGTH}")).repeat(3).as_bytes()).await.unwrap();
        head(&mut socket).await;
        slow.push(socket);
    }
    let mut quick = house.connect().await;
    quick.write_all(get_and_stay(&format!("/0/{LENGTH}")).as_bytes()).await.unwrap();
    assert_same(&answer(&mut quick).await.1, &house.bytes);
    for mut socket in slow {
        let mut first = vec![0; LENGTH];
        socket.read_exact(&mut first).await.unwrap();
        assert_same(&first, &house.bytes);
        assert_same(&answer(&mut socket).await.1, &house.bytes);
        assert_same(&answer(&mut socket).await.1, &house.bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let house = House::new(32 << 20).await;
    for _ in 0..5 {
        let mut socket = house.connect().await;
        socket.write_all(get(&format!("/0/{}", 32 << 20)).as_bytes()).await.unwrap();
        head(&mut socket).await;
    }
    // The test's own handle and the handler's.
    house.until("all is let go", |house| house.open.get() == 0 && Arc::strong_count(&house.file) == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_loses_its_end_ends_the_connection_and_no_other_byte_is_sent() {
    let house = House::new(64 << 20).await;
    let mut socket = house.connect().await;
    let request = get_and_stay(&format!("/0/{}", 64 << 20)) + &get_and_stay("/text");
    socket.write_all(request.as_bytes()).await.unwrap();
    head(&mut socket).await;
    let left = 32 << 20;
    house.file.set_len(left as u64).unwrap();
    let mut body = Vec::new();
    // The end, or a reset.
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut body)).await;
    assert!(read.is_ok(), "the connection stays open");
    assert_same(&body, house.part(0, left));
    house.until("the place is given back", |house| house.open.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_in_memory_is_read_first() {
    use rustix::fs::{Advice, fadvise};
    let house = House::new(16 << 20).await;
    house.file.sync_all().unwrap();
    for _ in 0..3 {
        fadvise(&*house.file, 0, None, Advice::DontNeed).unwrap();
        let mut socket = house.connect().await;
        socket.write_all(get_and_stay(&format!("/5/{}", 16 << 20)).as_bytes()).await.unwrap();
        assert_same(&answer(&mut socket).await.1, house.part(5, 16 << 20));
    }
    assert_eq!(house.by_hand.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_reads_by_hand() {
    let house = House::new(LENGTH).await;
    let io = TokioIo::new(house.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for (first, end) in [(0, LENGTH), (70_001, LENGTH - 1)] {
        let uri = format!("http://reg.test/{first}/{end}");
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let body = client.send_request(request).await.unwrap().into_body();
        assert_same(&body.collect().await.unwrap().to_bytes(), house.part(first, end));
    }
    assert_eq!(house.by_hand.load(Relaxed), (LENGTH + LENGTH - 1 - 70_001) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_reads_by_hand() {
    let made = rcgen::generate_simple_self_signed(["reg.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let house = House::with(LENGTH, Some(Arc::new(Tls::new(files).unwrap()))).await;

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("reg.test").unwrap();
    let mut stream = connector.connect(name, house.connect().await).await.unwrap();
    for (first, end) in [(0, LENGTH), (70_001, LENGTH - 1)] {
        stream.write_all(get_and_stay(&format!("/{first}/{end}")).as_bytes()).await.unwrap();
        assert_same(&answer(&mut stream).await.1, house.part(first, end));
    }
    assert_eq!(house.by_hand.load(Relaxed), (LENGTH + LENGTH - 1 - 70_001) as u64);
}
