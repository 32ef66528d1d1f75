//! Counting in fixed windows: how much somebody did since their window began. Pure: the clock is a parameter.
//!
//! Memory is bounded. A window that has ended makes room for a new one; when all places are taken by windows that
//! run, newcomers share one window, so that a flood of addresses limits itself and nobody who was here before.

use ahash::RandomState;
use packhouse_catalog::Micros;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts that are locked one by one.
const SHARDS: usize = 16;
/// Windows of a shard.
const WINDOWS_MAX: usize = 4096;
/// Between two searches of a full shard for windows that have ended.
const SEARCH_INTERVAL: i64 = 1_000_000;

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Account(i64),
    Token(i64),
    /// A token by its hash.
    Secret([u8; 32]),
    Address(IpAddr),
}

impl Whose {
    /// An address. Of IPv6 the first 64 bits: the rest is its holder's to choose.
    pub(crate) fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Whose::Address(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            v4 @ IpAddr::V4(_) => Whose::Address(v4),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    ApiHour,
    ApiPoints,
    ApiWritesMinute,
    ApiWritesHour,
    RegistryReads,
    RegistryWrites,
    RegistryRefused,
    UserCodes,
    DeviceBegins,
}

/// How much of it, in what time. A limit of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) limit: u32,
    pub(crate) seconds: u32,
}

/// How a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) used: u32,
    /// When the window ends.
    pub(crate) ends: Micros,
    /// Whether what was asked for is more than is left; it was not counted then.
    pub(crate) over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    used: u32,
    ends: i64,
}

#[derive(Default)]
struct Shard {
    windows: HashMap<(What, Whose), Window, RandomState>,
    shared: HashMap<What, Window>,
    searched_at: i64,
}

/// All windows.
#[derive(Default)]
pub(crate) struct Windows {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Windows {
    /// Counts `cost` for somebody, if it is within the rule.
    pub(crate) fn count(&self, what: What, whose: Whose, rule: Rule, cost: u32, now: Micros) -> Tally {
        let mut shard = self.shard(whose);
        let window = match shard.windows.get_mut(&(what, whose)) {
            Some(window) if window.ends > now.0 => window,
            Some(_) | None => shard.window(what, whose, rule, now),
        };
        let over = rule.limit > 0 && window.used.saturating_add(cost) > rule.limit;
        if !over {
            window.used = window.used.saturating_add(cost);
        }
        Tally { used: window.used, ends: Micros(window.ends), over }
    }

    /// How somebody stands, and whether `cost` more would be over. Nothing is counted or kept.
    pub(crate) fn look(&self, what: What, whose: Whose, rule: Rule, cost: u32, now: Micros) -> Tally {
        let shard = self.shard(whose);
        let found = shard.windows.get(&(what, whose)).filter(|window| window.ends > now.0);
        let (used, ends) = found.map_or((0, ends(rule, now)), |window| (window.used, window.ends));
        let over = rule.limit > 0 && used.saturating_add(cost) > rule.limit;
        Tally { used, ends: Micros(ends), over }
    }

    /// Takes back what was counted.
    pub(crate) fn give_back(&self, what: What, whose: Whose, cost: u32, now: Micros) {
        let mut shard = self.shard(whose);
        if let Some(window) = shard.windows.get_mut(&(what, whose)).filter(|window| window.ends > now.0) {
            window.used = window.used.saturating_sub(cost);
        }
    }

    fn shard(&self, whose: Whose) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(whose) % SHARDS as u64).unwrap_or(0);
        // A panic elsewhere leaves whole numbers here.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        let lock = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.windows.len() + shard.shared.len()
        };
        self.shards.iter().map(lock).sum()
    }
}

fn ends(rule: Rule, now: Micros) -> i64 {
    now.plus_seconds(rule.seconds.into()).0
}

impl Shard {
    fn window(&mut self, what: What, whose: Whose, rule: Rule, now: Micros) -> &mut Window {
        let fresh = Window { used: 0, ends: ends(rule, now) };
        let key = (what, whose);
        let known = self.windows.contains_key(&key);
        if !known && self.windows.len() >= WINDOWS_MAX && now.0 >= self.searched_at + SEARCH_INTERVAL {
            self.searched_at = now.0;
            self.windows.retain(|_, window| window.ends > now.0);
        }
        let window = if known || self.windows.len() < WINDOWS_MAX {
            self.windows.entry(key).or_insert(fresh)
        } else {
            self.shared.entry(what).or_insert(fresh)
        };
        if window.ends <= now.0 {
            *window = fresh;
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Rule = Rule { limit: 3, seconds: 3600 };
    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_window_begins_with_the_first_act_and_ends_on_time() {
        let windows = Windows::default();
        let mona = Whose::Account(1);
        // Seconds, cost, and what is expected: used, end of the window in seconds, over.
        let rows = [
            (10, 1, (1, 3610, false)),
            (20, 1, (2, 3610, false)),
            (30, 2, (2, 3610, true)),
            (40, 1, (3, 3610, false)),
            (3609, 1, (3, 3610, true)),
            (3610, 1, (1, 7210, false)),
            (9000, 3, (3, 12_600, false)),
        ];
        for (at, cost, (used, ends, over)) in rows {
            let now = Micros(at * SECOND);
            let looked = windows.look(What::ApiHour, mona, HOUR, cost, now);
            let found = windows.count(What::ApiHour, mona, HOUR, cost, now);
            assert_eq!(found, Tally { used, ends: Micros(ends * SECOND), over }, "{at}");
            assert_eq!((looked.over, looked.ends), (over, found.ends), "{at}");
        }
    }

    #[test]
    fn whose_and_what_are_counted_apart_and_can_be_given_back() {
        let windows = Windows::default();
        let now = Micros(5);
        let count = |what, whose| windows.count(what, whose, HOUR, 2, now).over;
        assert!(!count(What::ApiHour, Whose::Account(1)));
        assert!(!count(What::ApiHour, Whose::Token(1)));
        assert!(!count(What::ApiPoints, Whose::Account(1)));
        assert!(count(What::ApiHour, Whose::Account(1)));
        windows.give_back(What::ApiHour, Whose::Account(1), 2, now);
        assert!(!count(What::ApiHour, Whose::Account(1)));
    }

    #[test]
    fn no_limit_is_never_over() {
        let windows = Windows::default();
        let off = Rule { limit: 0, seconds: 60 };
        for _ in 0..10 {
            assert!(!windows.count(What::ApiHour, Whose::Token(1), off, u32::MAX, Micros(5)).over);
        }
    }

    #[test]
    fn neighbours_in_ipv6_are_one() {
        let of = |text: &str| Whose::address(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_flood_is_bounded_and_limits_itself_and_not_who_was_here() {
        let windows = Windows::default();
        let one = Rule { limit: 2, seconds: 60 };
        let old = Whose::Account(7);
        windows.count(What::ApiHour, old, one, 1, Micros(0));
        let flood = |from: u32, now: i64| {
            let addresses = (from..from + 200_000).map(|n| Whose::address(IpAddr::from(n.to_be_bytes())));
            addresses.filter(|&whose| windows.count(What::ApiHour, whose, one, 1, Micros(now)).over).count()
        };
        let refused = flood(0, SECOND);
        assert!(refused > 100_000, "{refused}");
        assert!(windows.kept() <= SHARDS * (WINDOWS_MAX + 1));
        assert!(!windows.count(What::ApiHour, old, one, 1, Micros(2 * SECOND)).over);
        assert!(windows.count(What::ApiHour, old, one, 1, Micros(3 * SECOND)).over);
        // Windows that ended make room.
        let newcomer = Whose::address("203.0.113.9".parse().unwrap());
        assert!(windows.count(What::ApiHour, newcomer, one, 1, Micros(20 * SECOND)).over);
        assert!(!windows.count(What::ApiHour, newcomer, one, 1, Micros(70 * SECOND)).over);
        assert!(windows.kept() < WINDOWS_MAX * SHARDS);
    }
}
