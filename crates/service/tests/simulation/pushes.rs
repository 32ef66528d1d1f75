//! Pushing as clients do: blobs that are there, mounted, sent at once or in parts, and then the manifest.

use crate::clients::{Client, ended, name};
use crate::house::{GRACE_SECONDS, IDLE_SECONDS};
use crate::ledger::{Deed, Outcome};
use crate::mutants::Mutant;
use crate::universe::{Manifest, PACKAGES, TAGS, sha256, universe};
use crate::world::SECOND;
use bytes::Bytes;
use http_body_util::Full;
use packhouse_oci::{Algorithm, ContentRange, Digest, Reference};
use packhouse_service::{Mounted, Part, PullError, PushError, PutManifest, Session, UploadError};

/// How often a client tries the same again.
const TRIES: usize = 4;
/// Bytes of a part in a session that several write.
const PART: usize = 8;

impl Client {
    /// As docker and containerd: asks for each blob, sends what is not there, then the manifest.
    pub(crate) async fn push_image(&mut self, package: &'static str, manifest: &'static Manifest) {
        let mut told = true;
        for digest in manifest.blobs().collect::<Vec<_>>() {
            let bytes = &universe().blob(&digest).unwrap().bytes;
            told &= self.have_blob(package, digest, bytes).await;
        }
        if !told && self.dice.percent(70) {
            return;
        }
        let tag = self.dice.percent(70).then(|| *self.dice.pick(&TAGS));
        for _ in 0..TRIES {
            match self.put_manifest(package, manifest, tag).await {
                Outcome::Unknown => {}
                Outcome::Open | Outcome::Acknowledged | Outcome::Refused => return,
            }
        }
    }

    async fn put_manifest(
        &mut self,
        package: &'static str,
        manifest: &'static Manifest,
        tag: Option<&'static str>,
    ) -> Outcome {
        let node = self.node();
        let asked = self.world.now_step();
        let digest = manifest.digest;
        let event =
            self.world.ledger().begin(package, Deed::Put { digest, tag, with_children: false }, asked);
        let put = PutManifest {
            reference: tag.map_or(Reference::Digest(digest), |tag| Reference::Tag(tag.parse().unwrap())),
            tags: Vec::new(),
            media_type: Some(manifest.media_type.parse().unwrap()),
            bytes: manifest.bytes.clone(),
            host: None,
        };
        let done = node.put_manifest(&self.shown, &name(package), put).await;
        let outcome = ended(&done, |error| matches!(error, PushError::Fault(_)));
        let (told, clock) = (self.world.now_step(), self.world.clock());
        let mut ledger = self.world.ledger();
        ledger.end(event, outcome, told);
        let promised = |digest: &Digest| ledger.is_promised(package, digest, asked, clock);
        if outcome == Outcome::Acknowledged && manifest.blobs().all(|digest| promised(&digest)) {
            ledger.with_children(event);
        } else if let Err(PushError::MissingBlobs { first, .. }) = done
            && manifest.needs.iter().all(promised)
        {
            ledger
                .wrong(format!("{} is refused in {package} for {first}, which was promised", manifest.name));
        }
        drop(ledger);
        self.world.trace(&format!("op{} put {} {tag:?} in {package}: {outcome:?}", self.op, manifest.name));
        outcome
    }

    /// Sees to it that a blob is there; whether this was promised.
    pub(crate) async fn have_blob(&mut self, package: &'static str, digest: Digest, bytes: &[u8]) -> bool {
        self.world.ledger().contents.insert(digest.to_string(), bytes.to_vec());
        if self.dice.percent(75) && self.head(package, digest).await {
            return true;
        }
        let mut session = None;
        let begun = self.world.clock();
        if self.dice.percent(30) {
            let node = self.node();
            let (asked, clock) = (self.world.now_step(), self.world.clock());
            let from = PACKAGES.iter().find(|other| **other != package).map(|other| name(other));
            match node.mount(&self.shown, &name(package), digest, from).await {
                Ok(Mounted::Mounted) => {
                    self.promised(package, digest, asked, clock + GRACE_SECONDS * SECOND);
                    return true;
                }
                Ok(Mounted::Session(begun)) => session = Some(begun),
                Err(_) => {}
            }
        }
        if session.is_none() && self.dice.percent(50) {
            return self.put_blob(package, digest, bytes).await;
        }
        self.upload(package, digest, bytes, session, begun).await
    }

    fn promised(&self, package: &'static str, digest: Digest, asked: u64, until: i64) {
        let told = self.world.now_step();
        self.world.ledger().promise(package, digest, asked, told, until);
    }

    /// Whether a blob is there, by a HEAD whose 200 is a promise.
    async fn head(&mut self, package: &'static str, digest: Digest) -> bool {
        let node = self.node();
        let (asked, clock) = (self.world.now_step(), self.world.clock());
        let found = if self.world.mutant == Mutant::HeadWithoutPin {
            node.blob(&self.shown, &name(package), digest).await
        } else {
            node.blob_head(&self.shown, &name(package), digest).await
        };
        match found {
            Ok(_) => {
                self.promised(package, digest, asked, clock + GRACE_SECONDS * SECOND / 2);
                true
            }
            Err(PullError::BlobUnknown(_)) => {
                self.must_not_be_there(package, &digest, asked);
                false
            }
            Err(_) => false,
        }
    }

    /// Somebody was just told that a blob is not there.
    pub(crate) fn must_not_be_there(&self, package: &'static str, digest: &Digest, asked: u64) {
        let ledger = self.world.ledger();
        let promised = ledger.is_promised(package, digest, asked, self.world.clock());
        let needed = ledger.is_needed(package, digest, asked);
        drop(ledger);
        if promised || needed {
            let why = if promised { "promised" } else { "needed by a live manifest" };
            self.wrong(&format!("the blob {digest} of {package} is lost, which is {why}"));
        }
    }

    async fn put_blob(&mut self, package: &'static str, digest: Digest, bytes: &[u8]) -> bool {
        let (asked, clock) = (self.world.now_step(), self.world.clock());
        let body = Full::new(Bytes::copy_from_slice(bytes));
        let length = Some(bytes.len() as u64);
        let node = self.node();
        let done = node.put_blob(&self.shown, &name(package), digest, length, body).await;
        if done.is_ok() {
            self.promised(package, digest, asked, clock + GRACE_SECONDS * SECOND);
        }
        done.is_ok()
    }

    /// In parts, over any nodes, going on where the last one was acknowledged.
    async fn upload(
        &mut self,
        package: &'static str,
        digest: Digest,
        bytes: &[u8],
        session: Option<Session>,
        begun: i64,
    ) -> bool {
        let path = name(package);
        let session = match session {
            Some(session) => session,
            None => match self.node().begin_upload(&self.shown, &path, Algorithm::Sha256).await {
                Ok(session) => session,
                Err(_) => return false,
            },
        };
        let mut acknowledged = 0_usize;
        let mut expires = begun + IDLE_SECONDS * SECOND;
        let mut finishing = false;
        // After an answer that was lost, and a question that got none, more may be there than the client knows.
        let mut unsure = false;
        for _ in 0..TRIES + 2 {
            let node = self.node();
            let (asked, clock) = (self.world.now_step(), self.world.clock());
            let last = self.dice.percent(60);
            let end = if last {
                bytes.len()
            } else {
                acknowledged + self.dice.below(bytes.len() - acknowledged + 1)
            };
            let piece = &bytes[acknowledged..end];
            let part = Part { range: range(acknowledged, piece.len()), length: Some(piece.len() as u64) };
            let body = Full::new(Bytes::copy_from_slice(piece));
            let done = if last {
                finishing = true;
                let done = node.finish_upload(&self.shown, &path, &session.id, digest, part, body).await;
                if done.is_ok() {
                    self.promised(package, digest, asked, clock + GRACE_SECONDS * SECOND);
                    return true;
                }
                done.map(|()| Session { id: session.id.clone(), received: 0 })
            } else {
                node.append(&self.shown, &path, &session.id, part, body).await
            };
            match done {
                Ok(session) if session.received == end as u64 => {
                    acknowledged = end;
                    expires = clock + IDLE_SECONDS * SECOND;
                }
                // A part of no bytes has no range that could be refused: it tells how things stand.
                Ok(session)
                    if unsure
                        && piece.is_empty()
                        && (end as u64..=bytes.len() as u64).contains(&session.received) =>
                {
                    unsure = false;
                    acknowledged = usize::try_from(session.received).unwrap();
                    expires = clock + IDLE_SECONDS * SECOND;
                }
                Ok(session) => {
                    self.wrong(&format!("{end} bytes were sent, and {} acknowledged", session.received));
                    return false;
                }
                Err(UploadError::Fault(_) | UploadError::Busy) => {
                    match self.node().upload(&self.shown, &path, &session.id).await {
                        Ok(session) => {
                            let received = usize::try_from(session.received).unwrap();
                            if received < acknowledged || received > bytes.len() {
                                self.wrong(&format!(
                                    "of {acknowledged} acknowledged bytes {received} are there"
                                ));
                            }
                            acknowledged = received.min(bytes.len());
                            unsure = false;
                        }
                        Err(UploadError::Unknown) if !finishing => {
                            self.session_lost(acknowledged, expires);
                            return false;
                        }
                        Err(_) => unsure = true,
                    }
                }
                Err(UploadError::Unknown) if !finishing => {
                    self.session_lost(acknowledged, expires);
                    return false;
                }
                Err(error @ (UploadError::Digest { .. } | UploadError::Size { .. })) => {
                    self.wrong(&format!("right bytes were refused: {error}"));
                    return false;
                }
                Err(_) => return false,
            }
        }
        if self.dice.percent(30) {
            let _ = self.node().cancel_upload(&self.shown, &path, &session.id).await;
        }
        false
    }

    fn session_lost(&self, acknowledged: usize, expires: i64) {
        if expires > self.world.clock() {
            self.wrong(&format!("a session with {acknowledged} acknowledged bytes is gone before its time"));
        }
    }

    /// A session that several requests write: whichever was acknowledged, its bytes are the blob's.
    pub(crate) async fn shared_session(&mut self, package: &'static str) {
        let path = name(package);
        let open = self.world.ledger().sessions_of(package);
        let id = if let Some(id) =
            (!open.is_empty() && self.dice.percent(75)).then(|| self.dice.pick(&open).clone())
        {
            id
        } else {
            let Ok(session) = self.node().begin_upload(&self.shown, &path, Algorithm::Sha256).await else {
                return;
            };
            self.world.ledger().open_session(package, &session.id);
            session.id
        };
        let Ok(session) = self.node().upload(&self.shown, &path, &id).await else { return };
        let at = usize::try_from(session.received).unwrap();
        if at == 0 || self.dice.percent(40) {
            let bytes = format!("{:08x}", self.dice.next() as u32).into_bytes();
            self.world.ledger().append_begun(&id);
            let part = Part { range: range(at, PART), length: Some(PART as u64) };
            let body = Full::new(Bytes::from(bytes.clone()));
            let done = self.node().append(&self.shown, &path, &id, part, body).await;
            self.world.ledger().append_ended(&id, done.is_ok().then_some((at, bytes)));
        }
        let (Ok(session), Some(before)) =
            (self.node().upload(&self.shown, &path, &id).await, self.world.ledger().quiet(&id))
        else {
            return;
        };
        let received = usize::try_from(session.received).unwrap();
        let Some(bytes) = self.world.ledger().acknowledged(&id, received) else { return };
        if received == 0 || self.world.ledger().quiet(&id) != Some(before) {
            return;
        }
        let digest = sha256(&bytes);
        self.world.ledger().contents.insert(digest.to_string(), bytes);
        let (asked, clock) = (self.world.now_step(), self.world.clock());
        let node = self.node();
        let body = Full::new(Bytes::new());
        match node.finish_upload(&self.shown, &path, &id, digest, Part::default(), body).await {
            Ok(()) => self.promised(package, digest, asked, clock + GRACE_SECONDS * SECOND),
            Err(UploadError::Digest { .. }) if self.world.ledger().quiet(&id) == Some(before) => {
                self.wrong("a session's bytes are not those that were acknowledged");
            }
            Err(_) => {}
        }
    }
}

fn range(at: usize, length: usize) -> Option<ContentRange> {
    let (first, length) = (at as u64, length as u64);
    (length > 0).then(|| ContentRange { first, last: first + length - 1 })
}
