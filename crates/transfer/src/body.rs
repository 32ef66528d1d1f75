//! The bytes of a blob on their way in.

use crate::SourceError;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for who reads.
const PIECES: usize = 4;

/// A blob that is there.
#[derive(Debug)]
pub struct SourceBlob {
    /// Its bytes in all, as far as the source says.
    pub size: Option<u64>,
    /// Its bytes from where they were asked for.
    pub body: SourceBody,
}

/// Bytes of a blob. They are read a little ahead, and no more once this is dropped.
#[derive(Debug)]
pub struct SourceBody {
    pieces: mpsc::Receiver<Result<Bytes, SourceError>>,
}

impl Body for SourceBody {
    type Data = Bytes;
    type Error = SourceError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SourceError>>> {
        Poll::Ready(ready!(self.pieces.poll_recv(cx)).map(|piece| piece.map(Frame::data)))
    }
}

impl SourceBody {
    /// Bytes `first..end` of a file.
    pub(crate) fn of_file(file: File, path: PathBuf, first: u64, end: u64) -> Self {
        let (send, pieces) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            let mut left = end.saturating_sub(first);
            let mut file = file;
            if let Err(cause) = file.seek(SeekFrom::Start(first)) {
                let _ = send.blocking_send(Err(SourceError::Read { path, cause }));
                return;
            }
            while left > 0 {
                let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
                let read = match file.read(&mut piece) {
                    // It was cut while it is read: the digest will tell.
                    Ok(0) => return,
                    Ok(read) => read,
                    Err(cause) => {
                        let _ = send.blocking_send(Err(SourceError::Read { path, cause }));
                        return;
                    }
                };
                piece.truncate(read);
                left -= read as u64;
                if send.blocking_send(Ok(piece.into())).is_err() {
                    return;
                }
            }
        });
        Self { pieces }
    }

    /// The body of an answer, without its first `skip` bytes.
    pub(crate) fn of_answer(mut answer: reqwest::Response, what: String, mut skip: u64) -> Self {
        let (send, pieces) = mpsc::channel(PIECES);
        tokio::spawn(async move {
            loop {
                let piece = tokio::select! {
                    piece = answer.chunk() => piece,
                    () = send.closed() => return,
                };
                let mut piece = match piece {
                    Ok(Some(piece)) => piece,
                    Ok(None) => return,
                    Err(error) => {
                        let why = crate::registry::chain(&error);
                        let _ = send.send(Err(SourceError::Unreachable { what, why })).await;
                        return;
                    }
                };
                let cut = piece.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
                skip -= cut as u64;
                let piece = piece.split_off(cut);
                if !piece.is_empty() && send.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
        });
        Self { pieces }
    }
}
