//! Receiving a body: read on the async side, hashed and written on a blocking thread, one piece ahead.

use crate::UploadError;
use crate::buffers::{Buffers, Piece};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use packhouse_blobs::{BlobError, Writer};
use std::pin::pin;
use tokio::task::JoinHandle;

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
pub(crate) async fn receive<B>(writer: Writer, body: B, max: u64, buffers: &Buffers) -> Received
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut promised = writer.received();
    let mut writing = Writing { idle: Some(writer), task: None };
    let mut piece = Piece::default();
    let end = loop {
        let frame = tokio::select! {
            // What is here is taken first, so that pieces become large.
            biased;
            frame = body.frame() => frame.map(|frame| frame.map_err(drop).map(Frame::into_data)),
            // A client that pauses does not keep the budget from others.
            settled = writing.settled(), if piece.is_worth_writing() => {
                match settled {
                    Ok(()) => writing.start(std::mem::take(&mut piece)),
                    Err(error) => return Received { writer: None, end: Err(error.into()) },
                }
                continue;
            }
        };
        let data = match frame {
            None => break Ok(()),
            Some(Err(_)) => break Err(UploadError::Interrupted),
            Some(Ok(Ok(data))) => data,
            // Trailers, which tell nothing here.
            Some(Ok(Err(_))) => continue,
        };
        promised = promised.saturating_add(data.len() as u64);
        if promised > max {
            break Err(UploadError::TooLarge { max });
        }
        if !piece.add(data, buffers) {
            match writing.settled().await {
                Ok(()) => writing.start(std::mem::take(&mut piece)),
                Err(error) => return Received { writer: None, end: Err(error.into()) },
            }
        }
    };
    let written = match writing.ended().await {
        Ok(writer) => writer.write(std::mem::take(&mut piece).into_chunks()).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(writer) => Received { writer: Some(writer), end },
        Err(error) => Received { writer: None, end: Err(error.into()) },
    }
}

/// The writer, or the task that has it.
struct Writing {
    idle: Option<Writer>,
    task: Option<JoinHandle<Result<Writer, BlobError>>>,
}

impl Writing {
    /// Waits until nothing is being written. May be given up and asked again.
    async fn settled(&mut self) -> Result<(), BlobError> {
        if let Some(task) = &mut self.task {
            let done = task.await;
            self.task = None;
            self.idle = Some(done.unwrap_or(Err(BlobError::Ended))?);
        }
        Ok(())
    }

    /// Writes a piece beside the receiving; only when settled.
    fn start(&mut self, piece: Piece) {
        if let Some(writer) = self.idle.take() {
            self.task = Some(tokio::spawn(writer.write(piece.into_chunks())));
        }
    }

    async fn ended(mut self) -> Result<Writer, BlobError> {
        self.settled().await?;
        self.idle.ok_or(BlobError::Ended)
    }
}
