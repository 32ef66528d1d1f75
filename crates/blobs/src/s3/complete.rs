//! `CompleteMultipartUpload`, with the numbers that the parts have.
//!
//! The library numbers the parts of a completed upload 1, 2, 3, …. Ours have gaps, since a number is never used twice;
//! so this one request is put together here, and signed by the library.

use super::Bucket;
use super::settings::{S3Settings, TRIES_AGAIN_MAX};
use super::state::Part;
use crate::BlobError;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use std::fmt::Write;
use std::time::Duration;

/// Engines may take minutes to put thousands of parts together.
const TIME: Duration = Duration::from_secs(300);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Before the first request is sent again; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// Sends what completes an upload.
#[derive(Debug)]
pub(super) struct Completer {
    client: reqwest::Client,
    region: String,
}

/// What an answer came to.
enum Answer {
    Done,
    Failed(object_store::Error),
    /// The same request may succeed.
    Again(object_store::Error),
}

impl Completer {
    pub(super) fn new(settings: &S3Settings) -> Result<Self, BlobError> {
        let client = reqwest::Client::builder()
            .timeout(TIME)
            .connect_timeout(CONNECT_TIME)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| BlobError::BucketSettings(error.to_string()))?;
        Ok(Completer { client, region: settings.region.clone() })
    }

    /// Makes the parts one object.
    pub(super) async fn complete(
        &self,
        bucket: &Bucket,
        path: &Path,
        upload: &str,
        parts: &[Part],
    ) -> Result<(), object_store::Error> {
        let body = body(parts);
        let mut pause = PAUSE;
        for tried in 0.. {
            let request = self.signed(bucket, path, upload, &body).await?;
            match self.send(request, path).await {
                Answer::Done => return Ok(()),
                Answer::Failed(error) => return Err(error),
                Answer::Again(error) if tried >= TRIES_AGAIN_MAX => return Err(error),
                Answer::Again(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        Ok(())
    }

    async fn signed(
        &self,
        bucket: &Bucket,
        path: &Path,
        upload: &str,
        body: &str,
    ) -> Result<reqwest::Request, object_store::Error> {
        let store = &bucket.inner.writes;
        // Only for the address of the object, which the library keeps to itself.
        let mut url = store.signed_url(Method::POST, path, TIME).await?;
        url.query_pairs_mut().clear().append_pair("uploadId", upload);
        let mut request = HttpRequest::new(HttpRequestBody::from(body.to_owned()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.as_str().parse().map_err(other)?;
        let credential = store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let mut sent = reqwest::Request::new(Method::POST, url);
        *sent.headers_mut() = std::mem::take(request.headers_mut());
        *sent.body_mut() = Some(body.to_owned().into());
        Ok(sent)
    }

    async fn send(&self, request: reqwest::Request, path: &Path) -> Answer {
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Answer::Again(other(error.without_url())),
        };
        let status = response.status();
        let mut text = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if text.len() < ANSWER_BYTES_MAX => text.extend_from_slice(&chunk),
                Ok(Some(_) | None) => break,
                Err(error) => return Answer::Again(other(error.without_url())),
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        // A 200 is sent before the work is done, to keep the connection open; its body tells how it went.
        if status.is_success() && text.contains("CompleteMultipartUploadResult") {
            return Answer::Done;
        }
        let error = format!("{status}: {text}");
        if status.as_u16() == 404 || text.contains("<Code>NoSuchUpload</Code>") {
            let path = path.to_string();
            return Answer::Failed(object_store::Error::NotFound { path, source: error.into() });
        }
        if status.is_success() || status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            return Answer::Again(other(error));
        }
        let (path, source) = (path.to_string(), error.into());
        Answer::Failed(match status.as_u16() {
            401 => object_store::Error::Unauthenticated { path, source },
            403 => object_store::Error::PermissionDenied { path, source },
            // The bucket has other parts than we recorded.
            _ => object_store::Error::Precondition { path, source },
        })
    }
}

fn other(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: source.into() }
}

fn body(parts: &[Part]) -> String {
    let mut text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for part in parts {
        let tag = part.tag.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(text, "<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", part.number);
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_with_their_own_numbers() {
        let parts = [(2, "\"a\""), (7, "b<&>")].map(|(number, tag)| Part { number, tag: tag.to_owned() });
        assert_eq!(
            body(&parts),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Part><PartNumber>2</PartNumber><ETag>\"a\"</ETag></Part>\
             <Part><PartNumber>7</PartNumber><ETag>b&lt;&amp;&gt;</ETag></Part></CompleteMultipartUpload>"
        );
    }
}
