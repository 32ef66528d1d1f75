//! Copying one blob into a package, by an upload like all others.
//!
//! A large blob takes several steps: at the end of one the body breaks off as a client's would, what came before stays
//! in the session, and the next step resumes it.

use super::Halt;
use crate::{Denied, Fault, Mounted, Part, PullError, Service, Shown, UploadError};
use bytes::Bytes;
use http_body::{Body, Frame};
use packhouse_oci::{Digest, PackageName};
use packhouse_transfer::{Source, SourceBody, SourceError};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// What came of a blob.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// It was there, or in another package.
    Present,
    /// Its bytes came.
    Whole,
    /// Some of them came; the session goes on.
    Half {
        /// The session.
        upload: String,
        /// Why the source broke off; none: the step's time was over.
        broke_off: Option<String>,
    },
    /// The source does not have it.
    Absent,
}

/// From where to where, by whom, and until when.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) source: Source,
    /// The repository in the source.
    pub(super) from: String,
    pub(super) into: PackageName,
    pub(super) shown: Shown,
    pub(super) deadline: Instant,
}

impl Service {
    /// Whether the package has the blob. To who may push, the answer is a promise (`pins.rs`).
    pub(super) async fn has_blob(
        &self,
        shown: &Shown,
        into: &PackageName,
        digest: Digest,
    ) -> Result<bool, Halt> {
        match self.blob_head(shown, into, digest).await {
            Ok(_) => Ok(true),
            Err(PullError::Fault(fault)) => Err(Halt::fault(&fault)),
            // A package that is not there yet, or cannot be read: the upload is refused if it must be.
            Err(PullError::BlobUnknown(_) | PullError::ManifestUnknown(_) | PullError::Denied(_)) => {
                Ok(false)
            }
        }
    }

    /// Brings a blob into a package. `resumed`: its half uploaded session. The bytes that came are added to `bytes`.
    pub(super) async fn copy_blob(
        &self,
        errand: &Errand,
        digest: Digest,
        resumed: Option<String>,
        bytes: &mut u64,
    ) -> Result<Copied, Halt> {
        let Errand { source, from, into, shown, deadline } = errand;
        if self.has_blob(shown, into, digest).await? {
            return Ok(Copied::Present);
        }
        let session = match resumed {
            Some(id) => self.upload(shown, into, &id).await.ok(),
            None => None,
        };
        let session = match session {
            Some(session) => session,
            None => match self.mount(shown, into, digest, None).await.map_err(uploading)? {
                Mounted::Mounted => return Ok(Copied::Present),
                Mounted::Session(session) => session,
            },
        };
        let opened = source.blob(from, &digest, session.received).await;
        let blob = match opened {
            Ok(Some(blob)) => blob,
            // The session is of no more use: nobody knows of it.
            Ok(None) => return self.give_up(shown, into, &session.id).await.map(|()| Copied::Absent),
            Err(error) if error.passes() && session.received > 0 => return Err(error.into()),
            Err(error) => {
                self.give_up(shown, into, &session.id).await?;
                return Err(error.into());
            }
        };
        let ending = Arc::new(Ending::default());
        let body =
            Until { body: blob.body, end: Box::pin(sleep_until(*deadline)), ending: Arc::clone(&ending) };
        let done = self.finish_upload(shown, into, &session.id, digest, Part::default(), body).await;
        *bytes += ending.bytes.load(Ordering::Relaxed);
        match done {
            Ok(()) => Ok(Copied::Whole),
            Err(UploadError::Interrupted) if ending.time.load(Ordering::Relaxed) => {
                Ok(Copied::Half { upload: session.id, broke_off: None })
            }
            Err(UploadError::Interrupted) => {
                let failed = ending.error.lock().unwrap_or_else(PoisonError::into_inner).take();
                match failed {
                    // What came stays in the session.
                    Some(error) if error.passes() => {
                        Ok(Copied::Half { upload: session.id, broke_off: Some(error.to_string()) })
                    }
                    Some(error) => Err(error.into()),
                    None => Err(Halt::Wait("the body broke off".to_owned())),
                }
            }
            Err(UploadError::Digest { asked, found }) => Err(Halt::Refused(format!(
                "blob `{asked}` is damaged in the source: its bytes are `{found}`"
            ))),
            Err(error) => Err(uploading(error)),
        }
    }

    /// Ends a session of which nobody knows any more.
    pub(super) async fn give_up(&self, shown: &Shown, into: &PackageName, id: &str) -> Result<(), Halt> {
        match self.cancel_upload(shown, into, id).await {
            Ok(()) | Err(UploadError::Unknown) => Ok(()),
            Err(error) => Err(uploading(error)),
        }
    }
}

/// An upload's refusal is one of this image; a fault is one of all.
fn uploading(error: UploadError) -> Halt {
    match error {
        UploadError::Fault(fault) => Halt::fault(&fault),
        UploadError::Busy => Halt::Wait(error.to_string()),
        UploadError::Denied(denied) => refused(&denied),
        error => Halt::Refused(error.to_string()),
    }
}

pub(super) fn refused(denied: &Denied) -> Halt {
    match denied {
        Denied::Credential => Halt::Refused(
            "the user as whom it is imported is suspended; --as USER names another one".to_owned(),
        ),
        Denied::Refused(refused) => Halt::Refused(refused.to_string()),
        Denied::OverQuota(over) => Halt::Refused(over.to_string()),
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Halt::fault(&fault)
    }
}

/// How a body ended.
#[derive(Debug, Default)]
struct Ending {
    bytes: AtomicU64,
    time: AtomicBool,
    error: Mutex<Option<SourceError>>,
}

/// A body that breaks off when the step's time is over, but not before its first piece: each step gets on.
struct Until {
    body: SourceBody,
    end: Pin<Box<Sleep>>,
    ending: Arc<Ending>,
}

/// The body broke off; why is in its [`Ending`].
#[derive(Debug)]
struct BrokeOff;

impl Body for Until {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let begun = self.ending.bytes.load(Ordering::Relaxed) > 0;
        if begun && self.end.as_mut().poll(cx).is_ready() {
            self.ending.time.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(BrokeOff)));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                *self.ending.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Poll::Ready(Some(Err(BrokeOff)));
            }
        };
        if let Some(data) = frame.data_ref() {
            self.ending.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}
