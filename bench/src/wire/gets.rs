//! Requests without a body, one after the other on each connection.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Door};
use super::crowd::{End, Gate, crowd};
use crate::data::Random;
use crate::targets::Meter;
use crate::work::Run;

/// A request that is sent again and again, as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The request line and headers, without the empty line.
    start: Vec<u8>,
    varies: Varies,
    /// Where what varies is in `start`.
    place: usize,
    is_head: bool,
    discards: bool,
}

/// What is another thing in each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Varies {
    Nothing,
    /// A range of `length` bytes somewhere in `size`.
    Range {
        size: u64,
        length: u64,
    },
    /// The name of eight digits at the end of the path, below this number, after which a page begins.
    Page {
        names: u64,
    },
    /// The seven digits of a package's name: one of `count` numbers that lie `step` apart, from 1 on.
    Package {
        count: u32,
        step: u32,
    },
}

impl Request {
    /// `path` may end with what a [`Varies::Page`] completes, or name the package `p0000000` for [`Varies::Package`].
    pub(crate) fn new(
        method: &str,
        door: &Door,
        path: &str,
        authorization: Option<&str>,
        varies: Varies,
    ) -> Self {
        let mut start = format!("{method} {path}");
        let headers = headers(door, authorization);
        if matches!(varies, Varies::Page { .. }) {
            // Filled in by `write`: the digits have their place.
            start.push_str("00000000");
        }
        let place = match varies {
            Varies::Page { .. } => start.len() - 8,
            Varies::Package { .. } => start.find("/p0000000/").map_or(0, |slash| slash + 2),
            Varies::Nothing | Varies::Range { .. } => 0,
        };
        start.push_str(&headers);
        Self { start: start.into_bytes(), varies, place, is_head: method == "HEAD", discards: false }
    }

    /// Bodies are dropped in the kernel, where that can be.
    pub(crate) fn discarding(mut self) -> Self {
        self.discards = true;
        self
    }

    /// A connection as this request wants it.
    async fn connect(&self, door: &Door) -> std::io::Result<Connection> {
        let mut connection = Connection::open(door).await?;
        if self.discards {
            connection.discard();
        }
        Ok(connection)
    }

    fn write(&self, random: &mut Random, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.start);
        match self.varies {
            Varies::Nothing => {}
            Varies::Range { size, length } => {
                let from = random.below(size.saturating_sub(length) + 1);
                // Writing to memory does not fail.
                let _ = write!(into, "Range: bytes={from}-{}\r\n", from + length - 1);
            }
            Varies::Page { names } => {
                let digits = format!("{:08}", random.below(names));
                into[self.place..self.place + 8].copy_from_slice(digits.as_bytes());
            }
            Varies::Package { count, step } => {
                let digits = format!("{:07}", 1 + random.below(u64::from(count)) * u64::from(step));
                into[self.place..self.place + 7].copy_from_slice(digits.as_bytes());
            }
        }
        into.extend_from_slice(b"\r\n");
    }
}

/// The end of a request line and the headers that every request has.
pub(crate) fn headers(door: &Door, authorization: Option<&str>) -> String {
    let mut text = format!(" HTTP/1.1\r\nHost: {}\r\nUser-Agent: packhouse-bench\r\n", door.host);
    text.push_str(
        "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json\r\n",
    );
    if let Some(value) = authorization {
        text.push_str(&format!("Authorization: {value}\r\n"));
    }
    text
}

/// Sends the request on so many connections for so long.
pub(crate) async fn gets(
    door: &Door,
    request: Request,
    connections: usize,
    length: Duration,
    meter: &Meter,
) -> anyhow::Result<Run> {
    let shared = Arc::new((door.clone(), request));
    crowd(connections, length, End::Cut, meter, |_, gate| work(Arc::clone(&shared), gate)).await
}

async fn work(shared: Arc<(Door, Request)>, mut gate: Gate) -> anyhow::Result<()> {
    let (door, request) = &*shared;
    let mut random = Random::new()?;
    let mut bytes = Vec::with_capacity(request.start.len() + 64);
    let mut connection = request.connect(door).await?;
    gate.open().await?;
    loop {
        request.write(&mut random, &mut bytes);
        let start = Instant::now();
        let answered = async {
            connection.send(&bytes).await?;
            connection.flush().await?;
            let count = |piece: &[u8]| gate.tally(|tally| tally.bytes += piece.len() as u64);
            connection.receive(request.is_head, count).await
        };
        let closed = match answered.await {
            Ok(head) if head.succeeded() => {
                gate.done(start);
                head.closes
            }
            Ok(head) => {
                gate.refused(|| format!("status {}", head.status));
                head.closes
            }
            Err(error) => {
                gate.broken(&error);
                true
            }
        };
        if closed {
            connection = request.connect(door).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_filled_in() {
        let door = Door { address: ([127, 0, 0, 1], 1).into(), host: "h".to_owned(), tls: None, basic: None };
        let mut bytes = Vec::new();
        let mut random = Random::new().unwrap();
        let range = Varies::Range { size: 10, length: 10 };
        Request::new("GET", &door, "/x", Some("Bearer t"), range).write(&mut random, &mut bytes);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("GET /x HTTP/1.1\r\nHost: h\r\n"), "{text}");
        assert!(text.ends_with("Authorization: Bearer t\r\nRange: bytes=0-9\r\n\r\n"), "{text}");
        let page = Varies::Page { names: 1 };
        Request::new("GET", &door, "/x?last=t", None, page).write(&mut random, &mut bytes);
        assert!(bytes.starts_with(b"GET /x?last=t00000000 HTTP/1.1\r\n"));
        let package = Varies::Package { count: 1, step: 5 };
        Request::new("GET", &door, "/v2/a/p0000000/x", None, package).write(&mut random, &mut bytes);
        assert!(bytes.starts_with(b"GET /v2/a/p0000001/x HTTP/1.1\r\n"));
    }
}
