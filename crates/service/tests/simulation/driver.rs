//! The simulation's places for bytes. Each call waits at a gate for the scheduler, which lets it work, fail before it
//! has worked, or fail after it has.

use crate::disk::Inode;
use crate::mutants::Mutant;
use crate::world::{NodeId, Verdict, World};
use bytes::Bytes;
use packhouse_blobs::driver::{Driver, Extent, Kept, Removal, Sink, Source, Start, Stored, Work};
use packhouse_blobs::{BlobError, Claim};
use packhouse_oci::{Digest, Hasher};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The name of every store here.
pub(crate) const IDENTITY: &str = "simulated";

/// One node's way to the bytes.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) world: Arc<World>,
    pub(crate) node: NodeId,
    pub(crate) shared: bool,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

fn broken(key: &str) -> BlobError {
    BlobError::File {
        doing: "simulating",
        path: PathBuf::from(key),
        source: std::io::Error::from_raw_os_error(5),
    }
}

impl Place {
    /// One step: what it does is done at once when the scheduler lets it.
    async fn step<T>(
        &self,
        what: &'static str,
        key: &str,
        act: impl FnOnce(&World) -> Result<T, BlobError> + Send,
    ) -> Result<T, BlobError> {
        match self.world.gate(self.node, what, key).await {
            Verdict::Go => act(&self.world),
            Verdict::Fail => Err(broken(key)),
            Verdict::FailLate => {
                let _ = act(&self.world);
                Err(broken(key))
            }
        }
    }
}

impl Driver for Place {
    fn identity(&self) -> Work<'_, Option<String>> {
        Box::pin(std::future::ready(Ok(Some(IDENTITY.to_owned()))))
    }

    fn adopt(&self, _identity: String) -> Work<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn ready(&self) -> Work<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn new_key(&self) -> Result<String, BlobError> {
        let number = self.world.next_key();
        Ok(format!("blobs/{:02x}/{number:032x}", number % 256))
    }

    fn write(&self, from: Start) -> Work<'_, Box<dyn Sink>> {
        let place = self.clone();
        Box::pin(async move {
            let received = usize::try_from(from.received).unwrap();
            if place.shared {
                let state = State::read(&from.state);
                let gathered = match state.tail {
                    None => Vec::new(),
                    Some(tail) => {
                        let key = leased(&from.key, tail);
                        place
                            .step("get", &key, |world| world.disk().read(&key).ok_or_else(|| broken(&key)))
                            .await?
                    }
                };
                if gathered.len() != received {
                    let (expected, found) = (from.received, gathered.len() as u64);
                    return Err(BlobError::Length { place: from.key, expected, found });
                }
                let sink = ObjectSink {
                    place,
                    key: from.key,
                    epoch: from.epoch,
                    state,
                    gathered,
                    wrote: false,
                    _claim: from.claim,
                };
                return Ok(Box::new(sink) as Box<dyn Sink>);
            }
            let key = from.key.clone();
            let inode = place
                .step("open", &key, |world| {
                    let mut disk = world.disk();
                    let inode = disk.open(&key);
                    let found = disk.length(inode);
                    if found < received {
                        let (expected, found) = (from.received, found as u64);
                        return Err(BlobError::Length { place: key.clone(), expected, found });
                    }
                    disk.cut(inode, received);
                    Ok(inode)
                })
                .await?;
            let sink = FileSink { place, key: from.key, inode, at: received, _claim: from.claim };
            Ok(Box::new(sink) as Box<dyn Sink>)
        })
    }

    fn read(&self, what: Extent) -> Work<'_, Box<dyn Source>> {
        let place = self.clone();
        Box::pin(async move {
            let key = &what.key;
            let found = place.step("read", key, |world| {
                let Some(bytes) = world.disk().read(key) else {
                    world.note_missing(key);
                    return Err(broken(key));
                };
                let found = bytes.len() as u64;
                if found != what.size {
                    world.note_missing(key);
                    return Err(BlobError::Length { place: key.clone(), expected: what.size, found });
                }
                let range = usize::try_from(what.first).unwrap()..usize::try_from(what.end).unwrap();
                Ok(Bytes::copy_from_slice(&bytes[range]))
            });
            Ok(Box::new(Once(Some(found.await?))) as Box<dyn Source>)
        })
    }

    fn address(&self, _key: &str) -> Work<'_, Option<String>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn remove(&self, what: Removal) -> Work<'_, ()> {
        let place = self.clone();
        Box::pin(async move {
            place
                .step("remove", &what.key, |world| {
                    let mut disk = world.disk();
                    disk.remove(&what.key);
                    if place.shared && what.epoch > 0 {
                        let state = State::read(&what.state);
                        for epoch in state.tail.into_iter().chain(state.epoch + 1..=what.epoch) {
                            disk.remove(&leased(&what.key, epoch));
                        }
                    }
                    Ok(())
                })
                .await
        })
    }

    fn list(&self, _after: Option<String>, _limit: usize) -> Work<'_, Vec<Stored>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn stat(&self, _key: String) -> Work<'_, Option<u64>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[derive(Debug)]
struct Once(Option<Bytes>);

impl Source for Once {
    fn poll_piece(&mut self, _context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

/// A session's file.
#[derive(Debug)]
struct FileSink {
    place: Place,
    key: String,
    inode: Inode,
    at: usize,
    _claim: Claim,
}

impl FileSink {
    fn kept(self: Box<Self>, what: &'static str) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            let (inode, mutant) = (self.inode, self.place.world.mutant);
            let synced = self.place.step(what, &self.key, |world| {
                let now = world.now_step();
                world.disk().sync(inode, now, mutant);
                Ok(())
            });
            synced.await?;
            let kept = Kept { state: Vec::new(), key: self.key.clone(), left: Vec::new() };
            Ok((self as Box<dyn Sink>, kept))
        })
    }
}

impl Sink for FileSink {
    fn write(
        mut self: Box<Self>,
        chunks: Vec<Bytes>,
        mut hasher: Hasher,
    ) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(async move {
            let bytes = chunks.concat();
            if !bytes.is_empty() {
                let (inode, at) = (self.inode, self.at);
                let written = self.place.step("write", &self.key, |world| {
                    world.disk().write(inode, at, &bytes);
                    Ok(())
                });
                written.await?;
                self.at += bytes.len();
                hasher.update(&bytes);
            }
            Ok((self as Box<dyn Sink>, hasher))
        })
    }

    fn rehash(self: Box<Self>, _hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(std::future::ready(Err(broken("no other algorithm is asked for"))))
    }

    fn sync(self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        self.kept("sync")
    }

    fn finish(self: Box<Self>, _whole: Digest) -> Work<'static, (Box<dyn Sink>, Kept)> {
        let place = self.place.clone();
        let key = self.key.clone();
        let kept = self.kept("finish");
        Box::pin(async move {
            let kept = kept.await?;
            if place.world.mutant == Mutant::SharedKey {
                place.world.disk().share(&key);
            }
            Ok(kept)
        })
    }

    fn cut(self: Box<Self>, received: u64) -> Work<'static, ()> {
        Box::pin(async move {
            let inode = self.inode;
            let cut = self.place.step("cut", &self.key, |world| {
                world.disk().cut(inode, usize::try_from(received).unwrap());
                Ok(())
            });
            cut.await
        })
    }
}

/// What is recorded of a session in the bucket: the lease under which its bytes were put, and the last that was recorded.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    tail: Option<u64>,
    epoch: u64,
}

impl State {
    fn read(state: &[u8]) -> State {
        let text = std::str::from_utf8(state).unwrap();
        let Some((tail, epoch)) = text.split_once(' ') else { return State::default() };
        State { tail: Some(tail.parse().unwrap()).filter(|tail| *tail > 0), epoch: epoch.parse().unwrap() }
    }

    fn write(self) -> Vec<u8> {
        format!("{} {}", self.tail.unwrap_or(0), self.epoch).into_bytes()
    }
}

fn leased(key: &str, epoch: u64) -> String {
    format!("{key}.{epoch}")
}

/// A session in the bucket: all its bytes in one object, under a name that holds the number of the lease.
#[derive(Debug)]
struct ObjectSink {
    place: Place,
    key: String,
    epoch: u64,
    state: State,
    gathered: Vec<u8>,
    wrote: bool,
    _claim: Claim,
}

impl ObjectSink {
    fn kept(mut self: Box<Self>, what: &'static str, whole: bool) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            let mut left: Vec<String> = self
                .state
                .tail
                .into_iter()
                .chain(self.state.epoch + 1..self.epoch)
                .map(|epoch| leased(&self.key, epoch))
                .collect();
            let tail = self.state.tail.filter(|_| !self.wrote);
            let name = leased(&self.key, tail.unwrap_or(self.epoch));
            if tail.is_none() {
                let bytes = self.gathered.clone();
                let (key, epoch) = (self.key.clone(), self.epoch);
                let put = self.place.step(what, &name, |world| {
                    world.put_object(&key, epoch, &name, bytes);
                    if world.mutant == Mutant::SharedKey && whole {
                        world.disk().share(&name);
                    }
                    Ok(())
                });
                put.await?;
                self.state.tail = Some(self.epoch);
            }
            left.retain(|other| *other != name);
            self.state.epoch = self.epoch;
            self.wrote = false;
            let key = if whole { name } else { self.key.clone() };
            let kept = Kept { state: self.state.write(), key, left };
            Ok((self as Box<dyn Sink>, kept))
        })
    }
}

impl Sink for ObjectSink {
    fn write(
        mut self: Box<Self>,
        chunks: Vec<Bytes>,
        mut hasher: Hasher,
    ) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        let bytes = chunks.concat();
        self.wrote |= !bytes.is_empty();
        hasher.update(&bytes);
        self.gathered.extend(bytes);
        Box::pin(std::future::ready(Ok((self as Box<dyn Sink>, hasher))))
    }

    fn rehash(self: Box<Self>, _hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(std::future::ready(Err(broken("no other algorithm is asked for"))))
    }

    fn sync(self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        self.kept("put", false)
    }

    fn finish(self: Box<Self>, _whole: Digest) -> Work<'static, (Box<dyn Sink>, Kept)> {
        self.kept("put whole", true)
    }

    fn cut(self: Box<Self>, _received: u64) -> Work<'static, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
