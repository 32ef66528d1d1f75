//! What a client of a registry does: fetch a token, push, look.

use std::io;

use anyhow::{Context as _, bail};

use super::answer::Head;
use super::connection::{Connection, Door};
use super::gets::headers;
use crate::data::{Blob, Image, MANIFEST};

/// How a blob is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// POST, then PUT with all bytes.
    Monolith,
    /// POST, PATCH with all bytes, PUT: as docker does.
    Streamed,
    /// POST, a PATCH for each so many bytes, PUT.
    Chunked(usize),
}

/// Why a step of a push did not work.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// An answer that was not 2xx, with what it said.
    Refused(String),
    Broken(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Trouble> for anyhow::Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(what) => anyhow::anyhow!(what),
            Trouble::Broken(error) => error.into(),
        }
    }
}

/// An answer that was kept.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// One client with one connection, which is opened again when the target ends it.
pub(crate) struct Client {
    door: Door,
    connection: Option<Connection>,
    authorization: Option<String>,
}

impl Client {
    pub(crate) fn new(door: &Door) -> Self {
        Self { door: door.clone(), connection: None, authorization: None }
    }

    /// A client with what the target wants to see for these scopes.
    pub(crate) async fn signed_in(door: &Door, scopes: &[&str]) -> anyhow::Result<Self> {
        let mut client = Self::new(door);
        client.authorization = client.ask_for(scopes).await?;
        Ok(client)
    }

    /// A client with an authorization that another one fetched.
    pub(crate) fn with(door: &Door, authorization: Option<String>) -> Self {
        Self { authorization, ..Self::new(door) }
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.door).await?);
        }
        Ok(())
    }

    /// Does as clients do: asks without credentials, and follows the challenge.
    async fn ask_for(&mut self, scopes: &[&str]) -> anyhow::Result<Option<String>> {
        let first = self.call("GET", "/v2/", &[], &[]).await?;
        if first.head.succeeded() {
            return Ok(None);
        }
        let Some(challenge) = first.head.challenge else {
            bail!("GET /v2/ is answered by {}", first.head.status)
        };
        let basic = self.door.basic.as_ref().map(|basic| format!("Basic {basic}"));
        if !challenge.starts_with("Bearer ") {
            return basic
                .map(Some)
                .context("the target wants a password: `--url NAME=http://user:password@host`");
        }
        let path = token_path(&challenge, scopes).context("the challenge names no realm on this host")?;
        self.authorization = basic;
        let answer = self.call("GET", &path, &[], &[]).await?;
        self.authorization = None;
        if !answer.head.succeeded() {
            bail!("no token: {} {}", answer.head.status, String::from_utf8_lossy(&answer.body));
        }
        let document: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let token = ["token", "access_token"].into_iter().find_map(|key| document[key].as_str());
        Ok(Some(format!("Bearer {}", token.context("the answer has no token")?)))
    }

    /// The path of the token endpoint with its query, as the challenge names it; none for a target without tokens.
    pub(crate) async fn token_endpoint(&mut self, scopes: &[&str]) -> anyhow::Result<Option<String>> {
        let first = self.call("GET", "/v2/", &[], &[]).await?;
        let challenge = first.head.challenge.filter(|challenge| challenge.starts_with("Bearer "));
        Ok(challenge.and_then(|challenge| token_path(&challenge, scopes)))
    }

    /// Sends a request with its body and keeps the answer.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[&[u8]],
    ) -> io::Result<Answer> {
        let mut kept = Vec::new();
        let head = self.exchange(method, path, more, body, |piece| kept.extend_from_slice(piece)).await?;
        Ok(Answer { head, body: kept })
    }

    /// Sends a request with its body; the body of the answer goes to `sink`.
    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[&[u8]],
        sink: impl FnMut(&[u8]),
    ) -> io::Result<Head> {
        let mut text = format!("{method} {path}{}", headers(&self.door, self.authorization.as_deref()));
        for (name, value) in more {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let length: usize = body.iter().map(|piece| piece.len()).sum();
        if matches!(method, "POST" | "PUT" | "PATCH") {
            text.push_str(&format!("Content-Length: {length}\r\n"));
        }
        text.push_str("\r\n");
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.door).await?,
        };
        let mut bytes = text.into_bytes();
        // One write for small requests, as clients with a buffer do.
        let small = length <= 16 * 1024;
        if small {
            body.iter().for_each(|piece| bytes.extend_from_slice(piece));
        }
        connection.send(&bytes).await?;
        if !small {
            for piece in body {
                connection.send(piece).await?;
            }
        }
        connection.flush().await?;
        let head = connection.receive(method == "HEAD", sink).await?;
        if !head.closes {
            self.connection = Some(connection);
        }
        Ok(head)
    }

    async fn must(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[&[u8]],
    ) -> Result<Answer, Trouble> {
        let answer = self.call(method, path, more, body).await?;
        if answer.head.succeeded() {
            return Ok(answer);
        }
        let said: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
        Err(Trouble::Refused(format!("{method} {path}: {} {said}", answer.head.status)))
    }

    pub(crate) async fn push_blob(&mut self, package: &str, blob: &Blob, how: How) -> Result<(), Trouble> {
        const BYTES: (&str, &str) = ("Content-Type", "application/octet-stream");
        let session = self.must("POST", &format!("/v2/{package}/blobs/uploads/"), &[], &[]).await?;
        let mut place = place_of(&session.head)?;
        let size = match how {
            How::Monolith => 0,
            How::Streamed => blob.len(),
            How::Chunked(size) => size,
        };
        let mut from = 0;
        while size > 0 && from < blob.len() {
            let to = (from + size).min(blob.len());
            let range = format!("{from}-{}", to - 1);
            let ranged = [BYTES, ("Content-Range", range.as_str())];
            let headers = if how == How::Streamed { &ranged[..1] } else { &ranged[..] };
            let answer = self.must("PATCH", &place, headers, &blob.part(from, to)).await?;
            place = place_of(&answer.head)?;
            from = to;
        }
        let mark = if place.contains('?') { '&' } else { '?' };
        let path = format!("{place}{mark}digest={}", blob.digest);
        let pieces = blob.pieces();
        let body = if size == 0 { &pieces[..] } else { &[] };
        self.must("PUT", &path, &[BYTES], body).await.map(drop)
    }

    pub(crate) async fn push_manifest(
        &mut self,
        package: &str,
        reference: &str,
        manifest: &[u8],
    ) -> Result<(), Trouble> {
        let path = format!("/v2/{package}/manifests/{reference}");
        self.must("PUT", &path, &[("Content-Type", MANIFEST)], &[manifest]).await.map(drop)
    }

    pub(crate) async fn push_image(
        &mut self,
        package: &str,
        tag: &str,
        image: &Image,
        how: How,
    ) -> Result<(), Trouble> {
        for blob in &image.blobs {
            self.push_blob(package, blob, how).await?;
        }
        self.push_manifest(package, tag, &image.manifest).await
    }

    /// Makes a blob of one package readable in another.
    pub(crate) async fn mount(&mut self, package: &str, from: &str, blob: &Blob) -> Result<(), Trouble> {
        let path = format!("/v2/{package}/blobs/uploads/?mount={}&from={from}", blob.digest);
        let answer = self.must("POST", &path, &[], &[]).await?;
        if answer.head.status == 201 { Ok(()) } else { self.push_blob(package, blob, How::Monolith).await }
    }

    /// GET, which must succeed; the body goes to `sink`.
    pub(crate) async fn fetch(&mut self, path: &str, sink: impl FnMut(&[u8])) -> Result<(), Trouble> {
        let head = self.exchange("GET", path, &[], &[], sink).await?;
        if head.succeeded() {
            return Ok(());
        }
        Err(Trouble::Refused(format!("GET {path}: {}", head.status)))
    }
}

/// The path in a `Location`, which may be a whole URL.
fn place_of(head: &Head) -> Result<String, Trouble> {
    let location = head.location.as_deref().ok_or_else(|| Trouble::Refused("no Location".to_owned()))?;
    Ok(path_of(location).to_owned())
}

fn path_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.find('/').map_or("/", |slash| &after[slash..])
}

/// The token endpoint of a challenge `Bearer realm="…",service="…"`.
fn token_path(challenge: &str, scopes: &[&str]) -> Option<String> {
    let value = |name: &str| {
        let (_, after) = challenge.split_once(&format!("{name}=\""))?;
        Some(after.split_once('"')?.0)
    };
    let mut path = path_of(value("realm")?).to_owned();
    path.push_str(if path.contains('?') { "&" } else { "?" });
    path.push_str(&format!("service={}", value("service").unwrap_or_default()));
    for scope in scopes {
        path.push_str(&format!("&scope={scope}"));
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_the_token_endpoint() {
        let challenge = "Bearer realm=\"http://127.0.0.1:5000/token\",service=\"packhouse\"";
        let path = token_path(challenge, &["repository:a/b:pull"]).unwrap();
        assert_eq!(path, "/token?service=packhouse&scope=repository:a/b:pull");
        assert_eq!(token_path("Basic realm=\"/x\"", &[]).unwrap(), "/x?service=");
        assert_eq!(path_of("/v2/a"), "/v2/a");
    }
}
