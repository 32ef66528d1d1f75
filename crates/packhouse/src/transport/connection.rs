//! One connection, from its first byte to its end.

use super::body::{RequestBody, ResponseBody};
use super::hole::Promises;
use super::io::{LINGER_TIME, Watched};
use super::lifecycle::{Phase, Running};
use super::progress::{Progress, Verdict, Watch};
use super::sendfile::FileStream;
use super::{Handle, Limits};
use crate::origin::Peer;
use crate::telemetry::RequestId;
use crate::tls::Tls;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tracing::debug;

/// Streams at once on one HTTP/2 connection. Clients open about ten; this bounds what one of them can hold.
const STREAMS_MAX: u32 = 128;
/// All headers of one request together in HTTP/2 (HTTP/1.1: [`READ_BYTES_MAX`], and 100 lines). Tokens are the largest
/// thing in them.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// What is read at once on HTTP/1.1, and so the size of an upload's frames. Each upload holds up to four whatever the
/// budget says: one being read, one handed over, one gathered, one being written.
const READ_BYTES_MAX: usize = 64 << 10;
/// What a client may send ahead on one HTTP/2 stream and on all of them: enough for a fast upload over a long
/// line, little enough for many connections.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// First byte of a TLS record that holds a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves until the connection ends, is given up or is cut.
pub(super) async fn serve<H: Handle>(
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    handler: Arc<H>,
    limits: Limits,
    mut running: Running,
) {
    let peer = Peer { address, tls: tls.is_some() };
    let mut watched = running.clone();
    let open = open(socket, tls, limits, &mut watched);
    let stream = match open.await {
        Ok(Some(stream)) => stream,
        Ok(None) => return,
        Err(error) => return debug!(client.address = %address, %error, "a connection could not be opened"),
    };
    let progress = Arc::new(Progress::default());
    match stream {
        Stream::Plain(socket) => {
            let promises = Arc::new(Promises::default());
            let stream = FileStream::new(socket, Arc::clone(&promises), Arc::clone(&progress));
            let answering = Answering { handler, peer, progress, promises: Some(promises) };
            converse(stream, answering, limits, &mut running).await;
        }
        // Encrypted bytes lie in no file.
        Stream::Tls(stream) => {
            let answering = Answering { handler, peer, progress, promises: None };
            converse(*stream, answering, limits, &mut running).await;
        }
    }
}

/// What the requests of one connection are answered with.
struct Answering<H> {
    handler: Arc<H>,
    peer: Peer,
    progress: Arc<Progress>,
    /// Where the stream can send files; none: it cannot.
    promises: Option<Arc<Promises>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Brings a socket to where HTTP can begin. None: it was turned away, or never spoke.
async fn open(
    mut socket: TcpStream,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    running: &mut Running,
) -> io::Result<Option<Stream>> {
    // Answers are written whole; waiting to fill a packet only delays them.
    socket.set_nodelay(true)?;
    let first = tokio::select! {
        first = timeout(limits.header_time, first_byte(&socket)) => first??,
        // Nothing was asked yet, so nothing is lost.
        () = running.left(Phase::Running) => None,
    };
    let Some(first) = first else { return Ok(None) };
    match tls {
        // Docker's image store and containerd try TLS on plain ports and fall back when they read `HTTP/`; without
        // this answer they wait for ten seconds.
        None if first == TLS_HANDSHAKE => {
            turn_away(&mut socket, "this port speaks plain HTTP; use http://, or configure [tls]").await?;
            Ok(None)
        }
        None => Ok(Some(Stream::Plain(socket))),
        Some(_) if first.is_ascii_uppercase() => {
            turn_away(&mut socket, "this port speaks HTTPS; use https://").await?;
            Ok(None)
        }
        Some(tls) => {
            let stream = timeout(limits.header_time, tls.acceptor().accept(socket)).await??;
            Ok(Some(Stream::Tls(Box::new(stream))))
        }
    }
}

async fn first_byte(socket: &TcpStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let read = socket.peek(&mut byte).await?;
    Ok((read > 0).then_some(byte[0]))
}

async fn turn_away(socket: &mut TcpStream, reason: &str) -> io::Result<()> {
    let (length, id) = (reason.len() + 1, RequestId::random());
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         X-Request-Id: {id}\r\nConnection: close\r\n\r\n{reason}\n"
    );
    let end = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        // What was sent is read, lest the close reset the connection before the answer is read.
        tokio::io::copy(&mut socket.take(u64::from(HEADER_BYTES_MAX)), &mut tokio::io::sink()).await
    };
    timeout(LINGER_TIME, end).await??;
    Ok(())
}

async fn converse<S, H>(stream: S, answering: Answering<H>, limits: Limits, running: &mut Running)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    let (client, progress) = (answering.peer.address, Arc::clone(&answering.progress));
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&progress)));
    let mut watch = Watch::new(progress, limits, Instant::now());
    let answering = Arc::new(answering);
    let service = service_fn(move |request| answer(Arc::clone(&answering), request));
    let builder = builder();
    let mut connection = Box::pin(builder.serve_connection(stream, service));

    let mut ticks = tokio::time::interval(watch.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut phase = Phase::Running;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(client.address = %client, %error, "a connection ended early");
                }
                return;
            }
            () = running.left(phase) => match phase {
                Phase::Running => {
                    phase = Phase::Draining;
                    connection.as_mut().graceful_shutdown();
                }
                Phase::Draining | Phase::Over => {
                    return debug!(client.address = %client, "cut a connection: the server ends");
                }
            },
            now = ticks.tick() => match watch.look(now) {
                Verdict::KeepOn => {}
                Verdict::Retire => connection.as_mut().graceful_shutdown(),
                Verdict::Cut(reason) => {
                    return debug!(client.address = %client, "cut a connection: {reason}");
                }
            },
        }
    }
}

async fn answer<H: Handle>(
    answering: Arc<Answering<H>>,
    request: Request<Incoming>,
) -> Result<http::Response<ResponseBody<H::Body>>, Infallible> {
    let progress = Arc::clone(&answering.progress);
    let multiplexed = request.version() == Version::HTTP_2;
    let running = progress.begin_request(multiplexed);
    let request = request.map(|body| RequestBody::new(body, Arc::clone(&progress)));
    let mut response = answering.handler.handle(request, answering.peer).await;
    if !multiplexed && progress.may_leave_bytes_unread() {
        // RFC 9112 §9.6: who closes says so, lest the next request on the connection be lost.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(promises) = answering.promises.as_ref().filter(|_| !multiplexed) {
        promises.reroute(response.body_mut());
    }
    Ok(response.map(|body| ResponseBody::new(body, progress, running)))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(READ_BYTES_MAX)
        // Its clock also runs between two requests; ours tells a slow header from an idle connection.
        .header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}
