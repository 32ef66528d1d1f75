//! One client: it pushes until the registry is killed under it, and takes up its work when it is back.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use packhouse_tests::{Answer, Blob, Caller};
use ureq::http::Request;
use ureq::{AsSendBody, SendBody};

use crate::dice::Dice;
use crate::errand::{Errand, Offer, Place, Way};
use crate::ledger::{Change, Ledger, State};

/// The registry was killed before the answer came.
#[derive(Debug)]
pub(crate) struct Lost;

/// What all writers of one round share.
#[derive(Debug)]
pub(crate) struct Round {
    /// Raised just before the kill: from here on an answer may be missing.
    pub(crate) killed: AtomicBool,
    /// One message for each acknowledged change.
    pub(crate) acknowledgements: Mutex<mpsc::Sender<()>>,
    /// Falls alike for all.
    pub(crate) common: Dice,
}

impl Round {
    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

/// What was seen, for the floors at the end.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) blobs: usize,
    pub(crate) manifests: usize,
    pub(crate) parts: usize,
    pub(crate) mounts: usize,
    pub(crate) deletes: usize,
    /// Changes that were on their way at a kill.
    pub(crate) in_flight: usize,
    /// Those of them that were carried out although their answer was lost.
    pub(crate) done_unheard: usize,
    /// Sessions that went on after a restart.
    pub(crate) resumed: usize,
    /// PUTs that were sent again for a blob that was there already.
    pub(crate) put_again: usize,
}

/// An upload session as its client knows it.
#[derive(Debug, Clone)]
struct Session {
    location: String,
    blob: Arc<Blob>,
    /// Bytes that a 202 has promised.
    acknowledged: usize,
    /// Bytes that may have arrived.
    sent: usize,
    /// Where the last part began, once PUT was sent.
    finishing: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    dice: Dice,
    offers: Arc<Mutex<Vec<Offer>>>,
    errand: Option<Errand>,
    session: Option<Session>,
    parked: Vec<Session>,
}

/// A writer at work: with a door, in a round. Without a round the registry is expected to stay.
struct Hand<'a> {
    writer: &'a mut Writer,
    door: &'a Caller,
    round: Option<&'a Round>,
}

impl Writer {
    pub(crate) fn new(package: String, dice: Dice, offers: Arc<Mutex<Vec<Offer>>>) -> Self {
        Self {
            ledger: Ledger::new(package),
            tally: Tally::default(),
            dice,
            offers,
            errand: None,
            session: None,
            parked: Vec::new(),
        }
    }

    /// Pushes until the kill. Returns whether that caught a change on its way.
    #[track_caller]
    pub(crate) fn work(&mut self, door: &Caller, round: &Round) -> bool {
        let in_flight = self.tally.in_flight;
        while !round.is_killed() {
            let errand = {
                let offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
                Errand::draw(&mut self.dice, &round.common, &self.ledger, &offers, self.parked.len())
            };
            self.errand = Some(errand.clone());
            if (Hand { writer: self, door, round: Some(round) }).run(errand).is_err() {
                break;
            }
            self.errand = None;
        }
        self.tally.in_flight > in_flight
    }

    /// After a restart: looks at what became of the request on its way, takes up the upload that was cut, does
    /// the errand again, and looks at what was promised.
    #[track_caller]
    pub(crate) fn recover(&mut self, door: &Caller, others: usize) -> usize {
        if self.ledger.settle(door) == Some(true) {
            self.tally.done_unheard += 1;
        }
        // Once before anything else is written, so that nothing can mend what the crash left.
        let mut looked_at = self.ledger.verify(door, &mut self.dice, others);
        // One that was about to be cancelled may be gone.
        let certain = self.parked.len() - usize::from(matches!(self.errand, Some(Errand::Cancel)));
        for parked in &self.parked[..certain] {
            let received = received(door, parked);
            assert_eq!(received, parked.acknowledged, "an upload that nobody touched: {parked:?}");
        }
        let mut hand = Hand { writer: self, door, round: None };
        hand.resume().expect("nobody kills the registry now");
        if let Some(errand) = hand.writer.errand.take() {
            hand.run(errand).expect("nobody kills the registry now");
        }
        looked_at += self.ledger.verify(door, &mut self.dice, 0);
        looked_at
    }

    /// Finishes what was left lying.
    #[track_caller]
    pub(crate) fn tidy_up(&mut self, door: &Caller) {
        let mut hand = Hand { writer: self, door, round: None };
        while !hand.writer.parked.is_empty() {
            hand.run(Errand::Unpark).expect("nobody kills the registry now");
        }
    }
}

impl Hand<'_> {
    fn run(&mut self, errand: Errand) -> Result<(), Lost> {
        match errand {
            Errand::Blob { blob, way } => self.push(&blob, way, false),
            Errand::Image { config, layers, manifest, place } => {
                for (layer, way) in &layers {
                    self.bring(layer, *way)?;
                }
                self.bring(&config, Way::Post)?;
                let names = layers.iter().map(|(layer, _)| layer.digest.clone());
                let names = names.chain([config.digest.clone()]).collect();
                self.put_manifest(&manifest, None, names, &place)?;
                for (layer, _) in layers {
                    self.offer(&layer);
                }
                Ok(())
            }
            Errand::Index { manifest, names, tag } => {
                self.put_manifest(&manifest, None, names, &Place::Tag(tag))
            }
            Errand::Referrer { content, config, manifest, subject } => {
                self.bring(&content, Way::PostPut)?;
                self.bring(&config, Way::Post)?;
                let names = vec![content.digest.clone(), config.digest.clone()];
                self.put_manifest(&manifest, Some(&subject), names, &Place::Digest)
            }
            Errand::Again { digest, place } => {
                let document = self.writer.ledger.manifests[&digest].clone();
                self.put_manifest(&document.blob, document.subject.as_deref(), Vec::new(), &place)
            }
            Errand::Mount { offer, from } => self.mount(&offer, from),
            Errand::DeleteTag(tag) => {
                let there = self.writer.ledger.tags.contains_key(&tag);
                self.delete("manifests", &tag, there, Change::TagGone(tag.clone()))
            }
            Errand::DeleteManifest(digest) => {
                let there = self.writer.ledger.manifests[&digest].state == State::There;
                self.delete("manifests", &digest, there, Change::ManifestGone(digest.clone()))
            }
            Errand::DeleteBlob(digest) => {
                let there = self.writer.ledger.blobs[&digest].state == State::There;
                self.delete("blobs", &digest, there, Change::BlobGone(digest.clone()))
            }
            Errand::Park(blob) => {
                self.begin(&blob)?;
                let end = self.writer.dice.between(0, blob.bytes.len() + 1);
                self.patch(end, true)?;
                self.writer.parked.extend(self.writer.session.take());
                Ok(())
            }
            Errand::Unpark => {
                self.writer.session = self.writer.parked.pop();
                self.resume()
            }
            Errand::Cancel => self.cancel(),
        }
    }

    /// Pushes a blob unless it is there, as clients do.
    fn bring(&mut self, blob: &Arc<Blob>, way: Way) -> Result<(), Lost> {
        let known = self.writer.ledger.blobs.get(&blob.digest).map(|stored| stored.state);
        if known == Some(State::There) {
            let path = format!("/v2/{}/blobs/{}", self.writer.ledger.package, blob.digest);
            let answer = self.send(self.door.request("HEAD", &path).body(()).expect("a request"))?;
            assert_eq!(answer.status, 200, "{blob:?} was acknowledged: {answer}");
            // From now on a manifest counts on it.
            self.writer.ledger.blobs.get_mut(&blob.digest).expect("it is there").lasting = true;
            return Ok(());
        }
        self.push(blob, way, true)
    }

    fn push(&mut self, blob: &Arc<Blob>, way: Way, lasting: bool) -> Result<(), Lost> {
        let size = blob.bytes.len();
        match way {
            Way::Post => {
                let path =
                    format!("/v2/{}/blobs/uploads/?digest={}", self.writer.ledger.package, blob.digest);
                let change = Change::Blob { digest: blob.digest.clone(), lasting };
                let request =
                    self.door.request("POST", &path).header("content-type", "application/octet-stream");
                let answer =
                    self.change(change, request.body(blob.bytes.as_slice()).expect("a request"), 201)?;
                assert_eq!(answer.header("docker-content-digest"), Some(blob.digest.as_str()), "{answer}");
                self.writer.tally.blobs += 1;
                return Ok(());
            }
            Way::PostPut => self.begin(blob)?,
            Way::Streamed => {
                self.begin(blob)?;
                self.patch(size, false)?;
            }
            Way::Chunked => {
                self.begin(blob)?;
                let parts = self.writer.dice.between(1, 4);
                for part in 1..=parts {
                    self.patch(size * part / (parts + 1), true)?;
                    if self.writer.dice.percent(10) {
                        self.out_of_order()?;
                    }
                }
            }
        }
        self.finish(lasting)
    }

    fn begin(&mut self, blob: &Arc<Blob>) -> Result<(), Lost> {
        let path = format!("/v2/{}/blobs/uploads/", self.writer.ledger.package);
        let answer = self.send(self.door.request("POST", &path).body(()).expect("a request"))?;
        assert_eq!(answer.status, 202, "a new session: {answer}");
        self.acknowledged();
        let location = answer.header("location").expect("a Location").to_owned();
        let blob = Arc::clone(blob);
        self.writer.session = Some(Session { location, blob, acknowledged: 0, sent: 0, finishing: None });
        Ok(())
    }

    /// Sends the session's bytes up to `end`: with a range and a length, or as a stream with neither.
    fn patch(&mut self, end: usize, ranged: bool) -> Result<(), Lost> {
        let session = self.writer.session.as_mut().expect("a session");
        let (blob, from) = (Arc::clone(&session.blob), session.acknowledged);
        // No part ends after one byte: `range_end` could not tell that from nothing.
        if ranged && (from == end || end == 1) {
            return Ok(());
        }
        session.sent = session.sent.max(end);
        let bytes = &blob.bytes[from..end];
        let request =
            self.door.request("PATCH", &session.location).header("content-type", "application/octet-stream");
        let answer = if ranged {
            let range = format!("{from}-{}", end - 1);
            self.send(request.header("content-range", range).body(bytes).expect("a request"))?
        } else {
            self.send(
                request.body(SendBody::from_owned_reader(Cursor::new(bytes.to_vec()))).expect("a request"),
            )?
        };
        assert_eq!(answer.status, 202, "bytes {from}..{end} of {blob:?}: {answer}");
        assert_eq!(range_end(&answer), end, "bytes {from}..{end} of {blob:?}: {answer}");
        let session = self.writer.session.as_mut().expect("a session");
        session.acknowledged = end;
        answer.header("location").expect("a Location").clone_into(&mut session.location);
        self.writer.tally.parts += 1;
        self.acknowledged();
        Ok(())
    }

    /// A part that leaves a gap is refused and changes nothing.
    fn out_of_order(&mut self) -> Result<(), Lost> {
        let session = self.writer.session.as_ref().expect("a session");
        let from = session.acknowledged + 1;
        let request =
            self.door.request("PATCH", &session.location).header("content-range", format!("{from}-{from}"));
        let answer = self.send(request.body(&b"x"[..]).expect("a request"))?;
        assert_eq!(answer.status, 416, "{answer}");
        Ok(())
    }

    fn finish(&mut self, lasting: bool) -> Result<(), Lost> {
        let session = self.writer.session.as_mut().expect("a session");
        let from = *session.finishing.get_or_insert(session.acknowledged);
        let blob = Arc::clone(&session.blob);
        let mark = if session.location.contains('?') { '&' } else { '?' };
        let put = format!("{}{mark}digest={}", session.location, blob.digest);
        let mut request = self.door.request("PUT", &put).header("content-type", "application/octet-stream");
        if self.round.is_none() {
            // Sent again, it may be answered before its body is read: this connection is not used again.
            request = request.header("connection", "close");
        }
        let change = Change::Blob { digest: blob.digest.clone(), lasting };
        let answer = self.change(change, request.body(&blob.bytes[from..]).expect("a request"), 201)?;
        assert_eq!(answer.header("docker-content-digest"), Some(blob.digest.as_str()), "{answer}");
        self.writer.session = None;
        self.writer.tally.blobs += 1;
        Ok(())
    }

    /// Goes on with the upload at hand, if there is one, from where the registry stands.
    fn resume(&mut self) -> Result<(), Lost> {
        let Some(session) = &mut self.writer.session else { return Ok(()) };
        // If it is for a manifest, the errand says so when it is done again.
        let lasting = false;
        if session.finishing.is_some() {
            let there = self.writer.ledger.blobs.get(&session.blob.digest);
            if self.round.is_none() && there.is_some_and(|stored| stored.state == State::There) {
                self.writer.tally.put_again += 1;
            }
            return self.finish(lasting);
        }
        let request = self.door.request("GET", &session.location).body(()).expect("a request");
        let (acknowledged, sent) = (session.acknowledged, session.sent);
        let answer = self.send(request)?;
        assert_eq!(answer.status, 204, "a session that was acknowledged: {answer}");
        let received = range_end(&answer);
        assert!((acknowledged..=sent).contains(&received), "{received} of {acknowledged}..={sent}: {answer}");
        let session = self.writer.session.as_mut().expect("a session");
        session.acknowledged = received;
        if self.round.is_none() {
            self.writer.tally.resumed += 1;
        }
        let end = self.writer.session.as_ref().expect("a session").blob.bytes.len();
        let middle = self.writer.dice.between(received, end + 1);
        self.patch(middle, true)?;
        self.finish(lasting)
    }

    fn cancel(&mut self) -> Result<(), Lost> {
        let Some(session) = self.writer.parked.last().cloned() else { return Ok(()) };
        let answer =
            self.send(self.door.request("DELETE", &session.location).body(()).expect("a request"))?;
        // Asked again after a crash, it may have been cancelled before.
        let fine = answer.status == 204 || self.round.is_none() && answer.status == 404;
        assert!(fine, "a session that was acknowledged: {answer}");
        self.writer.parked.pop();
        self.acknowledged();
        Ok(())
    }

    fn put_manifest(
        &mut self,
        manifest: &Blob,
        subject: Option<&str>,
        names: Vec<String>,
        place: &Place,
    ) -> Result<(), Lost> {
        let package = &self.writer.ledger.package;
        let (path, tags) = match place {
            Place::Digest => (format!("/v2/{package}/manifests/{}", manifest.digest), Vec::new()),
            Place::Tag(tag) => (format!("/v2/{package}/manifests/{tag}"), vec![tag.clone()]),
            Place::Tags(tags) => {
                let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
                (format!("/v2/{package}/manifests/{}?{}", manifest.digest, query.join("&")), tags.clone())
            }
        };
        let request = self.door.request("PUT", &path).header("content-type", &manifest.media_type);
        let change =
            Change::Manifest { blob: manifest.clone(), subject: subject.map(str::to_owned), names, tags };
        let answer = self.change(change, request.body(manifest.bytes.as_slice()).expect("a request"), 201)?;
        assert_eq!(answer.header("docker-content-digest"), Some(manifest.digest.as_str()), "{answer}");
        assert_eq!(answer.header("oci-subject"), subject, "{answer}");
        self.writer.tally.manifests += 1;
        Ok(())
    }

    fn mount(&mut self, offer: &Offer, from: bool) -> Result<(), Lost> {
        let mut path = format!("/v2/{}/blobs/uploads/?mount={}", self.writer.ledger.package, offer.digest);
        if from {
            path.push_str(&format!("&from={}", offer.package));
        }
        let change = Change::Blob { digest: offer.digest.clone(), lasting: true };
        self.change(change, self.door.request("POST", &path).body(()).expect("a request"), 201)?;
        self.writer.tally.mounts += 1;
        Ok(())
    }

    fn delete(&mut self, kind: &str, what: &str, there: bool, change: Change) -> Result<(), Lost> {
        let path = format!("/v2/{}/{kind}/{what}", self.writer.ledger.package);
        let request = self.door.request("DELETE", &path).body(()).expect("a request");
        if !there {
            // Done before the crash, as the look after it has shown.
            let answer = self.send(request)?;
            assert_eq!(answer.status, 404, "{what} is gone: {answer}");
            return Ok(());
        }
        self.change(change, request, 202)?;
        self.writer.tally.deletes += 1;
        Ok(())
    }

    fn offer(&self, blob: &Blob) {
        let offer = Offer { package: self.writer.ledger.package.clone(), digest: blob.digest.clone() };
        self.writer.offers.lock().unwrap_or_else(PoisonError::into_inner).push(offer);
    }

    /// Sends a request that changes something, and writes down what its answer promises.
    fn change(
        &mut self,
        change: Change,
        request: Request<impl AsSendBody>,
        status: u16,
    ) -> Result<Answer, Lost> {
        let line = format!("{} {}", request.method(), request.uri());
        self.writer.ledger.asked(change);
        let answer = self.send(request)?;
        assert_eq!(answer.status, status, "{line}: {answer}");
        self.writer.ledger.acknowledged();
        self.acknowledged();
        Ok(answer)
    }

    fn send(&mut self, request: Request<impl AsSendBody>) -> Result<Answer, Lost> {
        let killed = || self.round.is_some_and(Round::is_killed);
        // A request that left after the kill, or that only asks, was not hit.
        let hit = !killed() && !["GET", "HEAD"].contains(&request.method().as_str());
        let line = format!("{} {}", request.method(), request.uri());
        match self.door.try_send(request) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                assert!(killed(), "no answer to {line} although nobody killed the registry: {error}");
                self.writer.tally.in_flight += usize::from(hit);
                Err(Lost)
            }
        }
    }

    fn acknowledged(&self) {
        if let Some(round) = self.round {
            // Nobody counts any more after the kill.
            let _ = round.acknowledgements.lock().unwrap_or_else(PoisonError::into_inner).send(());
        }
    }
}

/// How many bytes an answer says the session has. `0-0` is nothing, although it would be one byte as well:
/// clients want two numbers, and these never stop after one byte.
#[track_caller]
fn range_end(answer: &Answer) -> usize {
    let last = answer.header("range").and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
    match last.unwrap_or_else(|| panic!("no range in {answer}")) {
        0 => 0,
        last => last + 1,
    }
}

#[track_caller]
fn received(door: &Caller, session: &Session) -> usize {
    let answer = door.get(&session.location);
    assert_eq!(answer.status, 204, "a session that was acknowledged: {answer}");
    range_end(&answer)
}
