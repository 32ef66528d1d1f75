//! Waiting for a state, with a limit, instead of sleeping for a time.

use std::time::{Duration, Instant};

/// Asks `probe` until it answers, and panics with `what` when `limit` is over.
///
/// The pauses between two questions grow from 2 to 50 ms: they only spare the processor, no test depends on
/// their length.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
