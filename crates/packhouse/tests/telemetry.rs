//! Request ids, counts and log lines, over real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of #[test]"
)]

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use packhouse::config::LogFormat;
use packhouse::origin::{Origins, Peer};
use packhouse::telemetry::{Answered, Counted, Inner, Metrics, Observed, logs};
use packhouse::transport::{FileBody, Gate, Limits, RequestBody, Server, Stop, lifecycle};
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing::subscriber::DefaultGuard;

const PATIENCE: Duration = Duration::from_secs(20);
const LIMITS: Limits =
    Limits { connections_max: 10, header_time: PATIENCE, stall_time: PATIENCE, idle_time: PATIENCE };

struct Rooms;

/// So many pieces of 64 KiB, or one text.
struct Pieces(u64, Option<String>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(text) = self.1.take() {
            return Poll::Ready(Some(Ok(Frame::data(text.into()))));
        }
        self.0 = self.0.saturating_sub(1);
        Poll::Ready((self.0 > 0).then(|| Ok(Frame::data(vec![0; 65536].into()))))
    }
}

impl FileBody for Pieces {}

impl Inner for Rooms {
    type Body = Pieces;

    async fn answer(&self, request: Request<Counted<RequestBody<Incoming>>>, _: Peer) -> Answered<Pieces> {
        let id = request.headers()["x-request-id"].to_str().unwrap().to_owned();
        tracing::warn!("inside");
        let (route, body) = match request.uri().path() {
            "/panic" => panic!("the handler panicked on purpose"),
            "/never" => std::future::pending().await,
            "/long" => ("long", Pieces(100_000, None)),
            "/upload" => {
                let bytes = request.into_body().collect().await.unwrap().to_bytes();
                ("upload", Pieces(0, Some(format!("{} bytes", bytes.len()))))
            }
            _ => ("home", Pieces(0, Some(format!("inside it is {id}")))),
        };
        Answered { route, response: Response::new(body) }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct House {
    address: SocketAddr,
    metrics: Metrics,
    log: Log,
    _logging: DefaultGuard,
    _flushing: logs::Flushing,
    _stop: Stop,
}

impl House {
    /// Everything runs on the test's own thread, which is the one that logs here.
    async fn new(trusted_proxies: &[&str], filter: &str) -> Self {
        let log = Log::default();
        let (dispatch, flushing) = logs::log(filter, LogFormat::Json, false, log.clone()).unwrap();
        let logging = tracing::dispatcher::set_default(&dispatch);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::new();
        let trusted_proxies = trusted_proxies.iter().map(|net| net.parse().unwrap()).collect();
        let origins = Arc::new(Origins { external_url: None, trusted_proxies });
        let handler = Arc::new(Observed { inner: Rooms, metrics: metrics.clone(), origins });
        let gate = Gate::new(10, metrics.connections.clone());
        let (stop, running) = lifecycle();
        tokio::spawn(Server { listener, tls: None, handler, limits: LIMITS, gate }.run(running));
        Self { address, metrics, log, _logging: logging, _flushing: flushing, _stop: stop }
    }

    async fn ask(&self, head: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: reg.test\r\nConnection: close\r\n{headers}\r\n"))
            .await
    }

    /// The lines about finished requests, once there are so many.
    async fn access_lines(&self, count: usize) -> Vec<serde_json::Value> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let text = String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
                let lines: Vec<serde_json::Value> = text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .filter(|line: &serde_json::Value| line["target"] == "packhouse::access")
                    .collect();
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("the requests are logged")
    }
}

fn id_of(answer: &str) -> &str {
    let (_, rest) = answer.split_once("x-request-id: ").expect("an id in the answer");
    rest.split_once("\r\n").unwrap().0
}

#[tokio::test]
async fn every_answer_has_an_id_and_its_line_the_same() {
    let house = House::new(&[], "info").await;
    let answer =
        house.get("/?token=s3cret", "Authorization: Basic s3cret\r\nX-Request-Id: from-a-stranger\r\n").await;
    let id = id_of(&answer).to_owned();
    assert!(id.len() == 32 && answer.contains(&format!("inside it is {id}")), "{answer}");
    let line = &house.access_lines(1).await[0];
    assert_eq!(line["span"]["request.id"], id.as_str());
    assert_eq!(line["message"], "GET / 200");
    assert_eq!((&line["route"], &line["http.status"]), (&"home".into(), &200.into()));
    assert_eq!(line["client.address"], "127.0.0.1");
    let everything = String::from_utf8(house.log.0.lock().unwrap().clone()).unwrap();
    assert!(!everything.contains("s3cret") && !everything.contains("from-a-stranger"), "{everything}");
    // The handler's own lines have it too.
    let inside = everything.lines().find(|line| line.contains("inside\"")).unwrap();
    assert!(inside.contains(&id), "{inside}");
}

#[tokio::test]
async fn a_trusted_proxy_may_bring_an_id_and_the_clients_address() {
    let house = House::new(&["127.0.0.0/8"], "info").await;
    let answer = house.get("/", "X-Request-Id: edge-42\r\nX-Forwarded-For: 198.51.100.7\r\n").await;
    assert_eq!(id_of(&answer), "edge-42");
    let answer = house.get("/", "X-Request-Id: not one\r\n").await;
    assert_eq!(id_of(&answer).len(), 32);
    assert_eq!(house.access_lines(2).await[0]["client.address"], "198.51.100.7");
}

#[test]
fn people_see_the_request_at_work_in_its_lines() {
    let log = Log::default();
    let (dispatch, flushing) = logs::log("info", LogFormat::Pretty, false, log.clone()).unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::warn!(count = 3, "nobody asked"));
    drop(flushing);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{text}");
    assert_eq!(rest, " WARN telemetry: nobody asked count=3\n");
}

#[tokio::test]
async fn a_quiet_log_still_ties_errors_to_requests() {
    let house = House::new(&[], "warn").await;
    let answer = house.get("/", "").await;
    let everything = String::from_utf8(house.log.0.lock().unwrap().clone()).unwrap();
    assert!(everything.contains("inside") && everything.contains(id_of(&answer)), "{everything}");
    assert!(!everything.contains("packhouse::access"), "{everything}");
}

#[tokio::test]
async fn a_panic_is_a_500_with_an_id_and_not_the_end() {
    let house = House::new(&[], "info").await;
    let answer = house.get("/panic", "").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(!answer.contains("on purpose"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(body["errors"][0]["message"].as_str().unwrap().contains(id_of(&answer)));
    assert_eq!(house.access_lines(1).await[0]["http.status"], 500);
    assert!(house.get("/", "").await.contains("inside it is"));
    assert_eq!(house.metrics.in_flight.get(), 0);
}

/// The test runs itself again, as a program that logs a request and panics.
#[test]
fn what_was_gathered_and_the_panic_are_on_stderr_when_a_panic_ends_the_program() {
    const ROLE: &str = "PACKHOUSE_TEST_PANICS";
    if std::env::var_os(ROLE).is_some() {
        // Kept from being dropped, as by an end that runs nothing more.
        std::mem::forget(logs::begin("info", Some(LogFormat::Json)).unwrap());
        tracing::info!(target: "packhouse::access", "the last \"request\"\n");
        let _ = std::thread::spawn(|| panic!("on purpose")).join();
        std::process::abort();
    }
    let name = "what_was_gathered_and_the_panic_are_on_stderr_when_a_panic_ends_the_program";
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = again.args([name, "--exact", "--nocapture"]).env(ROLE, "1").output().unwrap();
    assert!(!ended.status.success());
    let log = String::from_utf8(ended.stderr).unwrap();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    assert_eq!(lines.next().expect("the request")["message"], "the last \"request\"\n");
    let panic = lines.next().expect("the panic");
    assert_eq!((&panic["message"], &panic["level"]), (&"panicked: on purpose".into(), &"ERROR".into()));
}

#[tokio::test]
async fn bytes_count_as_sent_and_received_and_not_as_promised() {
    let house = House::new(&[], "info").await;
    let mut socket = TcpStream::connect(house.address).await.unwrap();
    socket.write_all(b"GET /long HTTP/1.1\r\nHost: reg.test\r\n\r\n").await.unwrap();
    socket.read_exact(&mut [0; 100_000]).await.unwrap();
    drop(socket);
    let line = house.access_lines(1).await[0].clone();
    let sent = line["sent_bytes"].as_u64().unwrap();
    assert!((100_000..200_000_000).contains(&sent), "{sent} of 6.5 GB");
    assert_eq!(line["message"], "GET /long 200, broken off");

    let head =
        "POST /upload HTTP/1.1\r\nHost: reg.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert!(house.ask(head).await.contains("5 bytes"));
    let line = house.access_lines(2).await[1].clone();
    assert_eq!(
        (line["received_bytes"].as_u64(), line["message"].as_str()),
        (Some(5), Some("POST /upload 200"))
    );
    let text = house.metrics.render();
    for expected in [
        "packhouse_http_requests_total{route=\"upload\",method=\"POST\",status=\"2xx\"} 1\n",
        "packhouse_http_received_bytes_total{route=\"upload\",method=\"POST\"} 5\n",
        &format!("packhouse_http_sent_bytes_total{{route=\"long\",method=\"GET\"}} {sent}\n"),
        "packhouse_http_request_duration_seconds_count{route=\"upload\",method=\"POST\"} 1\n",
        "packhouse_http_requests_in_flight 0\n",
        "packhouse_build_info{version=\"",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_answer_is_noted() {
    let house = House::new(&[], "info").await;
    let mut socket = TcpStream::connect(house.address).await.unwrap();
    socket.write_all(b"BREW /never HTTP/1.1\r\nHost: reg.test\r\n\r\n").await.unwrap();
    while house.metrics.in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    assert_eq!(house.access_lines(1).await[0]["message"], "BREW /never aborted");
    let text = house.metrics.render();
    // Methods are what clients make up: no series for each.
    assert!(text.contains("{route=\"none\",method=\"other\",status=\"aborted\"} 1"), "{text}");
}
