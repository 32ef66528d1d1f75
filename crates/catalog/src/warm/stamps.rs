//! When what was changed last, in a time of our own: the number of the commit.

use ahash::RandomState;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

/// Things share one, so that memory is bounded: a change of one thing then ends what is remembered of another too.
const SHARDS: usize = 1 << 14;

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About<'k> {
    /// Accounts, organizations, teams, repositories: who has which role where.
    Places,
    /// Blobs and manifests, for all packages.
    Contents,
    /// Plans, and who has which.
    Plans,
    /// A token.
    Token(i64),
    /// A path of packages.
    Path(&'k str),
    /// What is in a package.
    Package(i64),
}

/// One or more things; see [`SHARDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(u16);

impl Shard {
    /// Any, where there is none yet.
    pub(crate) const FIRST: Shard = Shard(0);
}

/// The time, and when each shard was changed last.
pub(crate) struct Stamps {
    now: AtomicU64,
    changed: Box<[AtomicU64]>,
    hasher: RandomState,
    publishing: Mutex<()>,
}

impl Stamps {
    pub(crate) fn new() -> Self {
        let changed = (0..SHARDS).map(|_| AtomicU64::new(0)).collect();
        Stamps { now: AtomicU64::new(1), changed, hasher: RandomState::new(), publishing: Mutex::new(()) }
    }

    pub(crate) fn shard(&self, about: About<'_>) -> Shard {
        /// Those that are one thing each.
        const LONE: u64 = 3;
        let number = match about {
            About::Places => 0,
            About::Contents => 1,
            About::Plans => 2,
            About::Token(_) | About::Path(_) | About::Package(_) => {
                LONE + self.hasher.hash_one(about) % (SHARDS as u64 - LONE)
            }
        };
        Shard(u16::try_from(number).unwrap_or(0))
    }

    /// The time. What is read in a snapshot that begins afterwards is at least as new.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(SeqCst)
    }

    /// Says that a commit is about to change these. Until it is published nothing that is remembered of them holds, so
    /// nobody is answered by it who may have seen the commit in the database already.
    pub(crate) fn announce(&self, shards: &[Shard]) {
        for shard in shards {
            self.changed[usize::from(shard.0)].store(u64::MAX, SeqCst);
        }
    }

    /// Says that a commit changed these, before anybody is told of it.
    pub(crate) fn publish(&self, shards: &[Shard]) {
        if shards.is_empty() {
            return;
        }
        let _one = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.now.load(SeqCst) + 1;
        // Shards first: whoever reads the new time has a snapshot with this commit in it.
        for shard in shards {
            self.changed[usize::from(shard.0)].store(next, SeqCst);
        }
        self.now.store(next, SeqCst);
    }

    /// Everything may have changed.
    pub(crate) fn publish_all(&self) {
        let all: Vec<Shard> = (0..SHARDS).filter_map(|at| u16::try_from(at).ok().map(Shard)).collect();
        self.publish(&all);
    }

    /// Whether it was not changed since a time.
    pub(crate) fn unchanged(&self, shard: Shard, since: u64) -> bool {
        self.changed[usize::from(shard.0)].load(SeqCst) <= since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_beside_a_commit_counts_as_older_than_it() {
        let stamps = Stamps::new();
        let (mine, other) = (stamps.shard(About::Path("mona/app")), stamps.shard(About::Places));
        let before = stamps.now();
        assert!(stamps.unchanged(mine, before));
        stamps.publish(&[mine]);
        assert!(!stamps.unchanged(mine, before));
        assert!(stamps.unchanged(other, before));
        assert!(stamps.unchanged(mine, stamps.now()));
        stamps.announce(&[mine]);
        assert!(!stamps.unchanged(mine, stamps.now()));
        assert!(stamps.unchanged(other, before));
        stamps.publish(&[mine]);
        assert!(stamps.unchanged(mine, stamps.now()));
        stamps.publish_all();
        assert!(!stamps.unchanged(other, before));
    }

    #[test]
    fn a_thing_has_one_shard_and_lone_ones_their_own() {
        let stamps = Stamps::new();
        assert_eq!(stamps.shard(About::Token(7)), stamps.shard(About::Token(7)));
        for number in 0..10_000 {
            let shard = stamps.shard(About::Package(number));
            for lone in [About::Places, About::Contents, About::Plans] {
                assert_ne!(shard, stamps.shard(lone));
            }
        }
    }
}
