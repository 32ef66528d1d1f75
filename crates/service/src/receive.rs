//! Receiving a body: read on the async side, hashed and written on a blocking thread, one piece ahead.

use crate::UploadError;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use packhouse_blobs::{BlobError, Writer};
use std::pin::pin;
use tokio::task::JoinHandle;

/// Bytes gathered before they are written. A request holds two such pieces at the most.
const PIECE_BYTES: usize = 1 << 20;

/// What a frame counts for at least. A body in chunks of one byte would otherwise gather a million of them, each
/// of which costs us fifty times its byte.
const FRAME_BYTES_MIN: usize = 256;

/// What became of a body.
pub(crate) struct Received {
    /// The writer with all that came; none when the disk failed.
    pub(crate) writer: Option<Writer>,
    /// Whether all of it came.
    pub(crate) end: Result<(), UploadError>,
}

/// Appends a body to an upload, which may grow to `max` bytes in all.
///
/// A body that breaks off is an error, but what came before stays in the writer, so that the session can be
/// resumed there. The disk's errors end it at once.
pub(crate) async fn receive<B>(writer: Writer, body: B, max: u64) -> Received
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut promised = writer.received();
    let mut writing = Writing::Idle(writer);
    let mut piece: Vec<Bytes> = Vec::new();
    let mut gathered = 0;
    let end = loop {
        match body.frame().await {
            None => break Ok(()),
            Some(Err(_)) => break Err(UploadError::Interrupted),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                promised = promised.saturating_add(data.len() as u64);
                if promised > max {
                    break Err(UploadError::TooLarge { max });
                }
                gathered += data.len().max(FRAME_BYTES_MIN);
                piece.push(data);
            }
        }
        if gathered >= PIECE_BYTES {
            gathered = 0;
            match writing.ended().await {
                Ok(writer) => {
                    writing = Writing::Running(tokio::spawn(writer.write(std::mem::take(&mut piece))));
                }
                Err(error) => return Received { writer: None, end: Err(error.into()) },
            }
        }
    };
    let written = match writing.ended().await {
        Ok(writer) => writer.write(piece).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(writer) => Received { writer: Some(writer), end },
        Err(error) => Received { writer: None, end: Err(error.into()) },
    }
}

#[expect(clippy::large_enum_variant, reason = "one in a request, on its own stack")]
enum Writing {
    Idle(Writer),
    Running(JoinHandle<Result<Writer, BlobError>>),
}

impl Writing {
    async fn ended(self) -> Result<Writer, BlobError> {
        match self {
            Writing::Idle(writer) => Ok(writer),
            Writing::Running(task) => task.await.unwrap_or(Err(BlobError::Ended)),
        }
    }
}
