//! Whether a connection still moves, and when to give it up.
//!
//! The connection's transport and bodies count here; a watch looks at the counts now and then. It tells apart
//! who is awaited:
//! - **nobody yet**: no request so far; a header's time for the first one;
//! - **a header that has begun** (HTTP/1.1): a header's time for the rest of it;
//! - **nobody any more**: idle between two requests; a longer time, then a polite end;
//! - **the client**, in the middle of a transfer: it must move at least [`MOVED_BYTES_MIN`] in the stall time.
//!   Counting bytes and not events, a client that sends one byte a minute is as stalled as one that sends none;
//! - **us**: no limit here. Hashing and syncing 10 GB takes its time, and the client is innocent of it.

use super::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// Fewer bytes than this in one stall time are a stall.
pub const MOVED_BYTES_MIN: u64 = 1024;

/// Counts of one connection. All relaxed: they are looked at from time to time and need no order.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    /// Bytes read while no request was running: a header, as far as it has come.
    head_bytes: AtomicU64,
    /// Bodies that wait for the client: of requests, for more; of answers, to be taken.
    awaiting_client: AtomicI64,
    /// Whether the socket takes no more bytes for now.
    blocked: AtomicBool,
    /// Whether what is to be sent next is being read from the disk.
    reading_disk: AtomicBool,
    requests_begun: AtomicU64,
    requests_running: AtomicI64,
    multiplexed: AtomicBool,
    /// A request was answered without its body having been read to its end.
    body_left: AtomicBool,
}

impl Progress {
    pub(super) fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if self.requests_running.load(Relaxed) == 0 {
            self.head_bytes.fetch_add(bytes as u64, Relaxed);
        }
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.blocked.store(false, Relaxed);
    }

    pub(super) fn blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    pub(super) fn reading_disk(&self, reading: bool) {
        self.reading_disk.store(reading, Relaxed);
    }

    /// Marks a body as waiting for the client until the guard is dropped.
    pub(super) fn await_client(self: &Arc<Self>) -> AwaitingClient {
        self.awaiting_client.fetch_add(1, Relaxed);
        AwaitingClient(Arc::clone(self))
    }

    /// Marks a request as running until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>, multiplexed: bool) -> RunningRequest {
        self.multiplexed.store(multiplexed, Relaxed);
        self.requests_begun.fetch_add(1, Relaxed);
        self.requests_running.fetch_add(1, Relaxed);
        self.head_bytes.store(0, Relaxed);
        RunningRequest(Arc::clone(self))
    }

    pub(super) fn left_a_body(&self) {
        self.body_left.store(true, Relaxed);
    }

    /// Whether the client may have sent what nobody read: the rest of a refused upload, or frames of HTTP/2, which
    /// come even while all that is left to do is to take the last answer.
    pub(super) fn may_leave_bytes_unread(&self) -> bool {
        self.body_left.load(Relaxed) || self.multiplexed.load(Relaxed)
    }

    fn awaited(&self) -> Awaited {
        let transfer = self.awaiting_client.load(Relaxed) > 0 || self.blocked.load(Relaxed);
        let running = self.requests_running.load(Relaxed) > 0;
        let begun = self.requests_begun.load(Relaxed) > 0;
        // Between the frames of HTTP/2 there are pings and window updates, which are no headers.
        let head = self.head_bytes.load(Relaxed) > 0 && !self.multiplexed.load(Relaxed);
        if self.reading_disk.load(Relaxed) {
            return Awaited::Us;
        }
        match (transfer, running) {
            (true, _) => Awaited::Transfer,
            (false, true) => Awaited::Us,
            (false, false) if !begun || head => Awaited::Head,
            (false, false) => Awaited::Nobody,
        }
    }
}

/// See [`Progress::await_client`].
#[derive(Debug)]
pub(super) struct AwaitingClient(Arc<Progress>);

impl Drop for AwaitingClient {
    fn drop(&mut self) {
        self.0.awaiting_client.fetch_sub(1, Relaxed);
    }
}

/// See [`Progress::begin_request`].
#[derive(Debug)]
pub(super) struct RunningRequest(Arc<Progress>);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.requests_running.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Head,
    Transfer,
    Us,
    Nobody,
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    KeepOn,
    /// End it politely: it has been idle for long.
    Retire,
    /// End it at once, for this reason.
    Cut(&'static str),
}

/// Looks at one connection's counts.
#[derive(Debug)]
pub(super) struct Watch {
    progress: Arc<Progress>,
    limits: Limits,
    awaited: Awaited,
    since: Instant,
    bytes: u64,
    requests: u64,
    retired: bool,
}

impl Watch {
    pub(super) fn new(progress: Arc<Progress>, limits: Limits, now: Instant) -> Self {
        Self { progress, limits, awaited: Awaited::Head, since: now, bytes: 0, requests: 0, retired: false }
    }

    /// Time between two looks: a quarter of the shortest limit, so that limits are kept to within that.
    pub(super) fn interval(&self) -> Duration {
        let shortest = self.limits.header_time.min(self.limits.stall_time).min(self.limits.idle_time);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }

    pub(super) fn look(&mut self, now: Instant) -> Verdict {
        let awaited = self.progress.awaited();
        let bytes = self.progress.bytes.load(Relaxed);
        let requests = self.progress.requests_begun.load(Relaxed);
        let moved = awaited == Awaited::Transfer && bytes - self.bytes >= MOVED_BYTES_MIN;
        if awaited != self.awaited || requests != self.requests || moved {
            (self.awaited, self.requests, self.bytes, self.since) = (awaited, requests, bytes, now);
        }

        let waited = now.duration_since(self.since);
        match awaited {
            Awaited::Head if waited >= self.limits.header_time => {
                Verdict::Cut("its header did not come in time")
            }
            Awaited::Transfer if waited >= self.limits.stall_time => Verdict::Cut("its transfer stalled"),
            // HTTP/2 ends when the client has taken notice; one that does not is cut.
            Awaited::Nobody if self.retired && waited >= self.limits.header_time => {
                Verdict::Cut("it was idle and did not close")
            }
            Awaited::Nobody if !self.retired && waited >= self.limits.idle_time => {
                self.retired = true;
                self.since = now;
                Verdict::Retire
            }
            Awaited::Head | Awaited::Transfer | Awaited::Us | Awaited::Nobody => Verdict::KeepOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        connections_max: 1,
        header_time: Duration::from_secs(30),
        stall_time: Duration::from_secs(60),
        idle_time: Duration::from_secs(120),
    };

    struct Scene {
        progress: Arc<Progress>,
        watch: Watch,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let progress = Arc::new(Progress::default());
            let start = Instant::now();
            Self { watch: Watch::new(Arc::clone(&progress), LIMITS, start), progress, start }
        }

        fn at(&mut self, second: u64) -> Verdict {
            self.watch.look(self.start + Duration::from_secs(second))
        }
    }

    #[test]
    fn who_says_nothing_is_cut() {
        let mut scene = Scene::new();
        assert_eq!(scene.at(29), Verdict::KeepOn);
        assert_eq!(scene.at(30), Verdict::Cut("its header did not come in time"));
    }

    #[test]
    fn a_header_that_drips_is_cut() {
        let mut scene = Scene::new();
        for second in 0..30 {
            scene.progress.read(1);
            assert_eq!(scene.at(second), Verdict::KeepOn);
        }
        assert!(matches!(scene.at(30), Verdict::Cut(_)));
        // The second header of a connection as well.
        let mut scene = Scene::new();
        drop(scene.progress.begin_request(false));
        assert_eq!(scene.at(0), Verdict::KeepOn);
        scene.progress.read(1);
        assert_eq!(scene.at(100), Verdict::KeepOn);
        assert!(matches!(scene.at(130), Verdict::Cut(_)));
    }

    #[test]
    fn an_upload_that_stalls_or_drips_is_cut_and_one_that_moves_is_not() {
        let mut scene = Scene::new();
        let _request = scene.progress.begin_request(false);
        for second in 0..1000 {
            let _waiting = scene.progress.await_client();
            scene.progress.read(100);
            assert_eq!(scene.at(second), Verdict::KeepOn);
        }
        let _waiting = scene.progress.await_client();
        // The last full KiB came up to eleven seconds ago.
        for second in 1000..1045 {
            scene.progress.read(1);
            assert_eq!(scene.at(second), Verdict::KeepOn);
        }
        let verdicts: Vec<_> = (1045..1120).map(|second| scene.at(second)).collect();
        assert!(verdicts.contains(&Verdict::Cut("its transfer stalled")));
    }

    #[test]
    fn our_own_slowness_is_not_the_clients() {
        let mut scene = Scene::new();
        let request = scene.progress.begin_request(false);
        assert_eq!(scene.at(0), Verdict::KeepOn);
        assert_eq!(scene.at(100_000), Verdict::KeepOn);
        // An answer that is not taken is the client's.
        scene.progress.blocked();
        assert_eq!(scene.at(100_001), Verdict::KeepOn);
        drop(request);
        assert!(matches!(scene.at(100_061), Verdict::Cut("its transfer stalled")));
    }

    #[test]
    fn a_slow_disk_is_not_the_clients() {
        let mut scene = Scene::new();
        let _request = scene.progress.begin_request(false);
        let _waiting = scene.progress.await_client();
        scene.progress.blocked();
        scene.progress.reading_disk(true);
        assert_eq!(scene.at(0), Verdict::KeepOn);
        assert_eq!(scene.at(100_000), Verdict::KeepOn);
        scene.progress.reading_disk(false);
        assert_eq!(scene.at(100_001), Verdict::KeepOn);
        assert!(matches!(scene.at(100_061), Verdict::Cut("its transfer stalled")));
    }

    #[test]
    fn an_idle_connection_is_retired_then_cut() {
        let mut scene = Scene::new();
        drop(scene.progress.begin_request(true));
        assert_eq!(scene.at(0), Verdict::KeepOn);
        scene.progress.read(17); // a ping is no request
        assert_eq!(scene.at(119), Verdict::KeepOn);
        assert_eq!(scene.at(120), Verdict::Retire);
        assert_eq!(scene.at(149), Verdict::KeepOn);
        assert!(matches!(scene.at(150), Verdict::Cut(_)));
    }
}
