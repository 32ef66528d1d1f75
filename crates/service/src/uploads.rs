//! Pushing blobs: sessions, parts, mounts (distribution-spec, "Pushing blobs").
//!
//! The work of a request runs in a task of its own, so a client that goes away never cuts it in half: what was
//! received is written down, and the session can be resumed.

use crate::access::{caller, may, may_change, may_push};
use crate::error::Fault;
use crate::identity::Shown;
use crate::receive::receive;
use crate::{Denied, Service, UploadError};
use bytes::Bytes;
use http_body::Body;
use packhouse_access::{OverQuota, Pull, Push, decide};
use packhouse_blobs::{BlobError, Claim, Journal, Kept, Writer, driver::Work};
use packhouse_catalog::{BegunUpload, Finished, Micros, Placed, Presented, Room, Upload, WriteTx};
use packhouse_oci::{Algorithm, ContentRange, Digest, Hasher, PackageName};
use std::fmt;
use std::sync::Arc;

/// An upload session as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identifier.
    pub id: String,
    /// Bytes that are on disk.
    pub received: u64,
}

/// What a mount came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// The blob is readable in the package now.
    Mounted,
    /// It could not be mounted: here is a session to upload it.
    Session(Session),
}

/// What a request says of the part it brings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// Where it belongs; a part without a range is appended.
    pub range: Option<ContentRange>,
    /// How long the body says it is.
    pub length: Option<u64>,
}

impl Service {
    /// Starts a session that hashes with `algorithm` while it receives (`digest-algorithm` of end-4c).
    pub async fn begin_upload(
        &self,
        shown: &Shown,
        name: &PackageName,
        algorithm: Algorithm,
    ) -> Result<Session, UploadError> {
        let presented = self.presented(shown)?;
        let upload = self.begin(presented, name.clone(), algorithm, None).await?;
        Ok(Session { id: upload.id, received: 0 })
    }

    async fn begin(
        &self,
        presented: Presented,
        name: PackageName,
        algorithm: Algorithm,
        whole: Option<(Digest, u64)>,
    ) -> Result<Upload, UploadError> {
        let new = self.new_upload(algorithm)?;
        let (now, expires) = self.upload_times();
        let begun = self
            .catalog
            .write(move |tx| {
                let may = may_push::<UploadError>(tx, &presented, &name, now)?;
                // Of an unknown length it is known that it is something.
                let (known, bytes) = whole.map_or((None, 1), |(digest, bytes)| (Some(digest), bytes));
                if let Some(room) = tx.room(&may, &new.id, known.as_ref())? {
                    room.admit(bytes).map_err(over_quota)?;
                }
                let upload = tx.begin_upload(&may, &new.id, &new.key, &new.hash_state, now, expires)?;
                Ok::<_, UploadError>(BegunUpload::new(&may, upload, expires))
            })
            .await?;
        Ok(self.keep_begun(begun))
    }

    /// Keeps a session that was just begun for the request that comes next.
    fn keep_begun(&self, begun: BegunUpload) -> Upload {
        let upload = begun.upload().clone();
        if !self.store.is_shared() {
            self.begun.keep(begun);
        }
        upload
    }

    pub(crate) fn upload_times(&self) -> (Micros, Micros) {
        let now = self.clock.now();
        (now, now.plus_seconds(self.settings.upload_idle_seconds_max))
    }

    /// Makes a blob that the caller can read elsewhere readable in this package, or starts a session when it
    /// is not there, or not for this caller: the two look the same.
    ///
    /// `from` absent looks wherever the caller may read. The source is judged by the account and its token's
    /// scopes, not by the bearer token's own list: a client cannot name an unknown source in a scope.
    pub async fn mount(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
        from: Option<PackageName>,
    ) -> Result<Mounted, UploadError> {
        let presented = self.presented(shown)?;
        let new = self.new_upload(digest.algorithm())?;
        let name = name.clone();
        let (now, expires) = self.upload_times();
        let pinned = self.pinned_until();
        let begun = self
            .catalog
            .write(move |tx| {
                let into = may_push::<UploadError>(tx, &presented, &name, now)?;
                let reader = caller::<UploadError>(tx, &presented, now)?.unbound();
                // A path that no package has: the same statements run when nothing was found.
                let source = match &from {
                    Some(from) => from.as_str().to_owned(),
                    None => tx.holder(&digest, reader.account())?.unwrap_or_default(),
                };
                let facts = packhouse_catalog::ReadTx::facts(tx, &reader, &source)?;
                if let Ok(source) = decide::<Pull>(&facts)
                    && tx.mount_blob(&into, &source, &digest, now, pinned)?
                {
                    return Ok(None);
                }
                if let Some(room) = tx.room(&into, &new.id, Some(&digest))? {
                    room.admit(1).map_err(over_quota)?;
                }
                let upload = tx.begin_upload(&into, &new.id, &new.key, &new.hash_state, now, expires)?;
                Ok::<_, UploadError>(Some(BegunUpload::new(&into, upload, expires)))
            })
            .await?;
        Ok(begun.map_or(Mounted::Mounted, |begun| {
            Mounted::Session(Session { id: self.keep_begun(begun).id, received: 0 })
        }))
    }

    /// Receives a whole blob in one request (end-4b).
    pub async fn put_blob<B>(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
        length: Option<u64>,
        body: B,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let presented = self.presented(shown)?;
        self.refuse_too_large(length.unwrap_or(0))?;
        let whole = (digest, length.unwrap_or(1));
        let upload = self.begin(presented.clone(), name.clone(), digest.algorithm(), Some(whole)).await?;
        let claimed = self.claimed(&presented, name, &upload.id, Some(digest)).await?;
        let (service, name) = (self.clone(), name.clone());
        spawned(async move {
            let held = claimed.upload.clone();
            let work = service.finish_claimed(presented.clone(), name.clone(), claimed, digest, body);
            let done = service.under_lease(&held, work).await;
            if done.is_err() {
                // The client was never told of the session, so nobody will resume it.
                if let Err(error) = service.cancel(presented, name, held).await {
                    // It expires then. What went wrong first is the answer.
                    tracing::debug!(error = packhouse_catalog::chain(&error), "an upload could not be ended");
                }
            }
            done
        })
        .await
    }

    /// Where a session stands (end-13).
    pub async fn upload(&self, shown: &Shown, name: &PackageName, id: &str) -> Result<Session, UploadError> {
        let presented = self.presented(shown)?;
        let (upload, _) = self.session(presented, name.clone(), id.to_owned(), None, None).await?;
        match upload.finished {
            Some(_) => Err(UploadError::Unknown),
            None => Ok(Session { id: upload.id, received: upload.received }),
        }
    }

    async fn session(
        &self,
        presented: Presented,
        name: PackageName,
        id: String,
        known: Option<Digest>,
        begun: Option<BegunUpload>,
    ) -> Result<(Upload, Option<Room>), UploadError> {
        let now = self.clock.now();
        self.catalog
            .read_remembered(move |tx| {
                let may = may::<Push, UploadError>(tx, &presented, &name, now)?;
                let upload = match begun.as_ref().and_then(|begun| begun.of(&may, now)) {
                    Some(upload) => upload.clone(),
                    None => tx.upload(&may, &id, now)?.ok_or(UploadError::Unknown)?,
                };
                Ok((upload, tx.room(&may, &id, known.as_ref())?))
            })
            .await
    }

    /// Appends a part to a session (end-5, and a streamed PATCH). `Ok`: the bytes are on disk, and the session
    /// can be resumed behind them after a crash.
    pub async fn append<B>(
        &self,
        shown: &Shown,
        name: &PackageName,
        id: &str,
        part: Part,
        body: B,
    ) -> Result<Session, UploadError>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let presented = self.presented(shown)?;
        let claimed = self.claimed(&presented, name, id, None).await?;
        if claimed.upload.finished.is_some() {
            return Err(UploadError::Unknown);
        }
        if let Err(refused) = self.check_part(&claimed, part) {
            self.release(&claimed.upload, false).await;
            return Err(refused);
        }
        let (service, name) = (self.clone(), name.clone());
        spawned(async move {
            let held = claimed.upload.clone();
            let work = service.append_claimed(presented, name, claimed, part, body);
            service.under_lease(&held, work).await
        })
        .await
    }

    async fn append_claimed<B>(
        &self,
        presented: Presented,
        name: PackageName,
        claimed: Claimed,
        part: Part,
        body: B,
    ) -> Result<Session, UploadError>
    where
        B: Body<Data = Bytes> + Send,
    {
        let Claimed { claim, upload, room } = claimed;
        let writer = self.writer(&presented, &name, &upload, claim).await?;
        let received = receive(writer, body, self.bytes_max(room.as_ref()), &self.buffers).await;
        let Some(writer) = received.writer else {
            return Err(received.end.err().unwrap_or(Fault::Ended.into()));
        };
        let end = received.end.and_then(|()| same_length(&upload, &writer, part));
        match end {
            // Nothing of it is taken: the session stands where it stood.
            Err(error @ UploadError::Size { .. }) => {
                take_back(writer, upload.received).await;
                return Err(error);
            }
            Err(error @ UploadError::TooLarge { .. }) => {
                self.end_session(presented, name, upload, writer).await?;
                return Err(self.too_large(error, room.as_ref()));
            }
            Ok(()) | Err(_) => {}
        }
        let session = self.record(presented, name, upload, writer).await?;
        end.map(|()| session)
    }

    async fn record(
        &self,
        presented: Presented,
        name: PackageName,
        upload: Upload,
        writer: Writer,
    ) -> Result<Session, UploadError> {
        let (writer, kept) = writer.sync().await?;
        let (received, state, placed) = (writer.received(), writer.hash_state(), placed(kept));
        let session = Session { id: upload.id.clone(), received };
        let (now, expires) = self.upload_times();
        let recorded = self
            .catalog
            .write(move |tx| {
                let may = may_push::<UploadError>(tx, &presented, &name, now)?;
                let recorded = tx.record_part(&may, &upload, received, &state, expires)?;
                // On files there is nothing more to say.
                let kept = placed.store_state.is_empty() || tx.keep_placed(&may, &upload, &placed, now)?;
                Ok::<bool, UploadError>(recorded && kept)
            })
            .await?;
        drop(writer);
        if recorded { Ok(session) } else { Err(UploadError::Unknown) }
    }

    /// Ends a session: what it received, with the last part in `body`, becomes a blob (end-6). A session that is
    /// finished already gives the same answer again: the first one may have been lost on its way.
    pub async fn finish_upload<B>(
        &self,
        shown: &Shown,
        name: &PackageName,
        id: &str,
        digest: Digest,
        part: Part,
        body: B,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let presented = self.presented(shown)?;
        let claimed = self.claimed(&presented, name, id, Some(digest)).await?;
        match claimed.upload.finished {
            Some(finished) if finished == digest => return self.still_there(presented, name, digest).await,
            Some(_) => return Err(UploadError::Unknown),
            None => {}
        }
        if let Err(refused) = self.check_part(&claimed, part) {
            self.release(&claimed.upload, false).await;
            return Err(refused);
        }
        let (service, name) = (self.clone(), name.clone());
        spawned(async move {
            let held = claimed.upload.clone();
            let work = service.finish_claimed(presented, name, claimed, digest, body);
            service.under_lease(&held, work).await
        })
        .await
    }

    /// A finished session's blob may have been deleted since: then its 201 would be a lie. It is as good a promise as the
    /// first one, whose pin may be over, so it has a pin of its own.
    async fn still_there(
        &self,
        presented: Presented,
        name: &PackageName,
        digest: Digest,
    ) -> Result<(), UploadError> {
        let (name, now, until) = (name.clone(), self.clock.now(), self.pinned_until());
        self.catalog
            .write(move |tx| {
                let may = may_change::<Push, UploadError>(tx, &presented, &name, now)?;
                // Its bytes may have been found damaged since, too.
                let there =
                    tx.missing_blobs(&may, &[digest])?.is_empty() && tx.pin_blob(&may, &digest, until)?;
                if there { Ok(()) } else { Err(UploadError::Unknown) }
            })
            .await
    }

    async fn finish_claimed<B>(
        &self,
        presented: Presented,
        name: PackageName,
        claimed: Claimed,
        digest: Digest,
        body: B,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes> + Send,
    {
        let Claimed { claim, upload, room } = claimed;
        let writer = self.writer(&presented, &name, &upload, claim).await?;
        let writer = writer.with_algorithm(digest.algorithm());
        let received = receive(writer, body, self.bytes_max(room.as_ref()), &self.buffers).await;
        let Some(writer) = received.writer else {
            return Err(received.end.err().unwrap_or(Fault::Ended.into()));
        };
        match received.end {
            Ok(()) => {}
            // Kept for a client that resumes, when the hash so far is the session's own.
            Err(error @ UploadError::Interrupted) if same_algorithm(&upload, &writer) => {
                self.record(presented, name, upload, writer).await?;
                return Err(error);
            }
            Err(error @ UploadError::TooLarge { .. }) => {
                self.end_session(presented, name, upload, writer).await?;
                return Err(self.too_large(error, room.as_ref()));
            }
            Err(error) => return Err(error),
        }
        let (writer, found) = writer.digest(digest.algorithm()).await?;
        if found != digest {
            self.end_session(presented, name, upload, writer).await?;
            return Err(UploadError::Digest { asked: digest, found });
        }
        // The order of an acknowledgement: the bytes (and their folder), then the row, then the answer.
        let (writer, kept) = writer.finish(digest).await?;
        let placed = placed(kept);
        let finished = Finished { digest, size: writer.received() };
        let (now, expires) = self.upload_times();
        let pinned = self.pinned_until();
        let (held, asked, at) = (upload.clone(), presented.clone(), name.clone());
        let done = self
            .catalog
            .write(move |tx| {
                let may = may_push::<UploadError>(tx, &presented, &name, now)?;
                let placed_at = upload.clone().placed_at(&placed.key)?;
                let done = tx.finish_upload(&may, &placed_at, &finished, now, expires, pinned)?;
                let kept = placed.store_state.is_empty() || tx.keep_placed(&may, &upload, &placed, now)?;
                Ok::<bool, UploadError>(done && kept)
            })
            .await;
        drop(writer);
        if let Err(UploadError::Denied(Denied::OverQuota(_))) = &done {
            // Others took the room while the bytes came: they can become no blob.
            self.cancel(asked, at, held).await?;
        }
        if done? { Ok(()) } else { Err(UploadError::Unknown) }
    }

    async fn writer(
        &self,
        presented: &Presented,
        name: &PackageName,
        upload: &Upload,
        claim: Claim,
    ) -> Result<Writer, UploadError> {
        let (service, presented) = (self.clone(), presented.clone());
        let journal = UploadJournal { service, presented, name: name.clone(), upload: upload.clone() };
        Ok(self.store.writer(upload, claim, Arc::new(journal)).await?)
    }

    /// Ends a session without a blob (end-14).
    pub async fn cancel_upload(
        &self,
        shown: &Shown,
        name: &PackageName,
        id: &str,
    ) -> Result<(), UploadError> {
        let presented = self.presented(shown)?;
        let claimed = self.claimed(&presented, name, id, None).await?;
        let Claimed { claim, upload, .. } = claimed;
        let ended = self.cancel(presented, name.clone(), upload).await?;
        drop(claim);
        if ended { Ok(()) } else { Err(UploadError::Unknown) }
    }

    /// Ends a session whose bytes can become no blob; they go with the next sweep.
    async fn end_session(
        &self,
        presented: Presented,
        name: PackageName,
        held: Upload,
        writer: Writer,
    ) -> Result<(), UploadError> {
        if self.cancel(presented, name, held).await? {
            take_back(writer, 0).await;
        }
        Ok(())
    }

    async fn cancel(
        &self,
        presented: Presented,
        name: PackageName,
        held: Upload,
    ) -> Result<bool, UploadError> {
        let now = self.clock.now();
        let cancel = move |tx: &mut WriteTx<'_, '_>| {
            let may = may_change::<Push, UploadError>(tx, &presented, &name, now)?;
            Ok::<bool, UploadError>(tx.cancel_upload(&may, &held, now)?)
        };
        self.catalog.write(cancel).await
    }

    /// A session that no other request writes now, as it stands. That another one does is told to its owner only:
    /// to all others it does not exist (CVE-2026-32589).
    async fn claimed(
        &self,
        presented: &Presented,
        name: &PackageName,
        id: &str,
        known: Option<Digest>,
    ) -> Result<Claimed, UploadError> {
        let claim = self.claim(id);
        let (upload, room) = if self.store.is_shared() && claim.is_ok() {
            self.lease(presented, name, id, known).await?
        } else {
            let begun = claim.as_ref().ok().and_then(|_| self.begun.take(id));
            self.session(presented.clone(), name.clone(), id.to_owned(), known, begun).await?
        };
        Ok(Claimed { claim: claim?, upload, room })
    }

    /// How long a session may become.
    fn bytes_max(&self, room: Option<&Room>) -> u64 {
        let left = room.and_then(Room::left).unwrap_or(u64::MAX);
        self.settings.layer_bytes_max.min(left)
    }

    /// Says which limit it was that a body went over.
    fn too_large(&self, error: UploadError, room: Option<&Room>) -> UploadError {
        match (error, room) {
            (UploadError::TooLarge { max }, Some(room)) if max < self.settings.layer_bytes_max => {
                room.admit(max.saturating_add(1)).map_or_else(over_quota, |()| UploadError::TooLarge { max })
            }
            (error, _) => error,
        }
    }

    fn claim(&self, id: &str) -> Result<Claim, UploadError> {
        // No session has such a name; it must not reach the set of claims.
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(UploadError::Unknown);
        }
        Ok(self.store.claim(id)?)
    }

    fn refuse_too_large(&self, bytes: u64) -> Result<(), UploadError> {
        let max = self.settings.layer_bytes_max;
        if bytes > max { Err(UploadError::TooLarge { max }) } else { Ok(()) }
    }

    fn check_part(&self, claimed: &Claimed, part: Part) -> Result<(), UploadError> {
        let Claimed { upload, room, .. } = claimed;
        if let Some(range) = part.range {
            if range.first != upload.received {
                return Err(UploadError::OutOfOrder { id: upload.id.clone(), received: upload.received });
            }
            let expected = (range.last - range.first).saturating_add(1);
            if let Some(found) = part.length.filter(|length| *length != expected) {
                return Err(UploadError::Size { expected, found });
            }
            self.refuse_too_large(upload.received.saturating_add(expected))?;
        }
        let length = upload.received.saturating_add(part.length.unwrap_or(0));
        self.refuse_too_large(length)?;
        room.as_ref().map_or(Ok(()), |room| room.admit(length)).map_err(over_quota)
    }
}

/// A session that this request alone may write.
#[derive(Debug)]
struct Claimed {
    claim: Claim,
    upload: Upload,
    /// The room that its bytes have; none without a limit.
    room: Option<Room>,
}

fn over_quota(over: OverQuota) -> UploadError {
    UploadError::Denied(Denied::OverQuota(Box::new(over)))
}

fn placed(kept: Kept) -> Placed {
    Placed { store_state: kept.state, key: kept.key, left: kept.left }
}

/// Records what the blob store must know while a body is received, by the right of who sends it.
#[derive(Clone)]
struct UploadJournal {
    service: Service,
    presented: Presented,
    name: PackageName,
    upload: Upload,
}

impl fmt::Debug for UploadJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadJournal").field("upload", &self.upload.id).finish_non_exhaustive()
    }
}

impl Journal for UploadJournal {
    fn note(&self, state: Vec<u8>) -> Work<'static, ()> {
        let Self { service, presented, name, upload } = self.clone();
        Box::pin(async move {
            let now = service.clock.now();
            let noted = service
                .catalog
                .write(move |tx| {
                    let may = may_change::<Push, UploadError>(tx, &presented, &name, now)?;
                    Ok::<bool, UploadError>(tx.keep_state(&may, &upload, &state)?)
                })
                .await;
            match noted {
                Ok(true) => Ok(()),
                Ok(false) => Err(BlobError::Claimed),
                Err(error) => Err(BlobError::Journal(Box::new(error))),
            }
        })
    }
}

struct NewUpload {
    id: String,
    key: String,
    hash_state: Vec<u8>,
}

impl Service {
    fn new_upload(&self, algorithm: Algorithm) -> Result<NewUpload, Fault> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| Fault::Random)?;
        // Sessions of one moment are neighbours in the catalog's indexes. Nobody gets into another's by guessing: it is not
        // there for them.
        let millis = u128::from(self.clock.now().0.unsigned_abs() / 1_000);
        let id = (millis << 80) | (u128::from_be_bytes(random) >> 48);
        Ok(NewUpload {
            id: format!("{id:032x}"),
            key: self.store.new_key().map_err(Fault::Blobs)?,
            hash_state: Hasher::new(algorithm).state(),
        })
    }
}

/// Gives back the disk behind the first `received` bytes at once: 10 GB are not to wait for the next writer or sweep.
async fn take_back(writer: Writer, received: u64) {
    if let Err(error) = writer.cut(received).await {
        tracing::warn!(
            error = packhouse_catalog::chain(&error),
            "the bytes of a refused upload stay for now"
        );
    }
}

fn same_algorithm(upload: &Upload, writer: &Writer) -> bool {
    Hasher::resume(&upload.hash_state).is_ok_and(|hasher| hasher.algorithm() == writer.algorithm())
}

fn same_length(upload: &Upload, writer: &Writer, part: Part) -> Result<(), UploadError> {
    let found = writer.received() - upload.received;
    match part.range.map(|range| (range.last - range.first).saturating_add(1)) {
        Some(expected) if expected != found => Err(UploadError::Size { expected, found }),
        Some(_) | None => Ok(()),
    }
}

/// Runs to its end whether or not who asked still waits.
async fn spawned<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(work).await.unwrap_or(Err(UploadError::Fault(Fault::Ended)))
}
