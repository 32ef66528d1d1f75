//! The Kubernetes container runtime interface (CRI), as the kubelet speaks it to containerd.
//!
//! In place of `crictl pull`, whose Go module does not verify against Go's checksum database and is not in
//! Debian 12: the same single gRPC call, with the `AuthConfig` that the kubelet makes from a secret. Messages
//! and field numbers are those of `k8s.io/cri-api`, `pkg/apis/runtime/v1/api.proto`; the frames are those of
//! gRPC's `PROTOCOL-HTTP2.md`.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};
use ureq::http::Request;

const DEADLINE: Duration = Duration::from_secs(60);

/// Credentials as a node hands them to its runtime.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthConfig {
    /// The user name.
    #[prost(string, tag = "1")]
    pub username: String,
    /// The password: here a personal access token.
    #[prost(string, tag = "2")]
    pub password: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct PullImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
    #[prost(message, optional, tag = "2")]
    auth: Option<AuthConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PullImageResponse {
    #[prost(string, tag = "1")]
    image_ref: String,
}

/// The secret that `kubectl create secret generic --type=kubernetes.io/dockerconfigjson
/// --from-file=.dockerconfigjson=FILE` makes of the file that a login wrote.
#[track_caller]
#[must_use]
pub fn pull_secret(file: &Path) -> Value {
    let config = std::fs::read(file).expect("the file of a login");
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "pull"},
        "data": {".dockerconfigjson": STANDARD.encode(config)},
    })
}

/// What a kubelet makes of a pull secret for an image: the entry for the image's registry, if there is one.
///
/// # Panics
///
/// When the secret is not of that type or not well-formed.
#[track_caller]
#[must_use]
pub fn credentials_for(image: &str, secret: &Value) -> Option<AuthConfig> {
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
    let text = |value: &Value| STANDARD.decode(value.as_str().expect("base64")).expect("base64");
    let config: Value = serde_json::from_slice(&text(&secret["data"][".dockerconfigjson"])).expect("JSON");
    let registry = image.split('/').next()?;
    let auth = config["auths"].get(registry)?;
    let auth = String::from_utf8(text(&auth["auth"])).expect("text");
    let (username, password) = auth.split_once(':').expect("a name and a password");
    Some(AuthConfig { username: username.to_owned(), password: password.to_owned() })
}

/// Pulls an image through the CRI socket and returns the runtime's id of it.
///
/// # Errors
///
/// What the runtime answers instead: the message of the gRPC status.
///
/// # Panics
///
/// When the socket does not speak gRPC, or there is no answer within a minute.
#[track_caller]
pub fn pull(socket: &Path, image: &str, auth: Option<AuthConfig>) -> Result<String, String> {
    let request = PullImageRequest { image: Some(ImageSpec { image: image.to_owned() }), auth };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async {
        let message = request.encode_to_vec();
        let call = call(socket, "/runtime.v1.ImageService/PullImage", &message);
        tokio::time::timeout(DEADLINE, call).await.expect("an answer within a minute").expect("an answer")
    })?;
    Ok(PullImageResponse::decode(answer.as_slice()).expect("a PullImageResponse").image_ref)
}

/// One unary call: the outer error is a fault of the connection, the inner one the status of the call.
async fn call(
    socket: &Path,
    method: &str,
    message: &[u8],
) -> Result<Result<Vec<u8>, String>, Box<dyn std::error::Error>> {
    let stream = tokio::net::UnixStream::connect(socket).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut sending) = client.ready().await?.send_request(request, false)?;
    // Not compressed, length, message.
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len())?.to_be_bytes());
    frame.extend(message);
    sending.send_data(frame.into(), true)?;
    let response = response.await?;
    let headers = response.headers().clone();
    let mut body = response.into_body();
    let mut answer = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        answer.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or(headers);
    let field = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if field("grpc-status") == "0" {
        return Ok(Ok(answer.split_off(5.min(answer.len()))));
    }
    Ok(Err(field("grpc-message").to_owned()))
}
