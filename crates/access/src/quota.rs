//! What an account may store and send, and whether something more is within it.

use std::fmt;

/// Limits of a plan, in bytes; none is no limit. Storage is configs and layers, each once for an account; transfer is what
/// was sent of them in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of all packages.
    pub storage: Option<u64>,
    /// Of packages that are not public.
    pub private_storage: Option<u64>,
    /// From all packages in a month.
    pub transfer: Option<u64>,
    /// From packages that are not public in a month.
    pub private_transfer: Option<u64>,
}

/// Bytes of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Of all packages.
    pub all: u64,
    /// Of packages that are not public.
    pub private: u64,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// [`Limits::storage`]
    Storage,
    /// [`Limits::private_storage`]
    PrivateStorage,
    /// [`Limits::transfer`]
    Transfer,
    /// [`Limits::private_transfer`]
    PrivateTransfer,
}

impl Measure {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Measure::Storage => "storage",
            Measure::PrivateStorage => "storage for private packages",
            Measure::Transfer => "transfer this month",
            Measure::PrivateTransfer => "transfer this month from private packages",
        }
    }
}

/// More than a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Which limit.
    pub measure: Measure,
    /// What it allows.
    pub limit: u64,
    /// What was used before.
    pub used: u64,
    /// What was asked for.
    pub more: u64,
}

impl Limits {
    /// Whether anything is limited that is stored.
    pub fn limits_storage(&self) -> bool {
        self.storage.is_some() || self.private_storage.is_some()
    }

    /// Whether anything is limited that is sent.
    pub fn limits_transfer(&self) -> bool {
        self.transfer.is_some() || self.private_transfer.is_some()
    }

    /// Whether so many more bytes may be stored. What takes no more room is never refused, however full it is.
    pub fn store(&self, used: Bytes, more: Bytes) -> Result<(), Over> {
        within(Measure::Storage, self.storage, used.all, more.all)?;
        within(Measure::PrivateStorage, self.private_storage, used.private, more.private)
    }

    /// Whether so many more bytes may be sent.
    pub fn send(&self, used: Bytes, more: Bytes) -> Result<(), Over> {
        within(Measure::Transfer, self.transfer, used.all, more.all)?;
        within(Measure::PrivateTransfer, self.private_transfer, used.private, more.private)
    }

    /// How many more bytes may be stored in a package; none without a limit.
    pub fn room(&self, used: Bytes, private: bool) -> Option<u64> {
        let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
        let all = left(self.storage, used.all);
        let closed = if private { left(self.private_storage, used.private) } else { None };
        all.into_iter().chain(closed).min()
    }
}

impl Bytes {
    /// Of a package.
    pub fn of(bytes: u64, private: bool) -> Self {
        Bytes { all: bytes, private: if private { bytes } else { 0 } }
    }
}

fn within(measure: Measure, limit: Option<u64>, used: u64, more: u64) -> Result<(), Over> {
    match limit {
        Some(limit) if more > 0 && used.saturating_add(more) > limit => {
            Err(Over { measure, limit, used, more })
        }
        Some(_) | None => Ok(()),
    }
}

/// An account has not the room for what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Whose packages.
    pub account: String,
    /// The name of its plan.
    pub plan: String,
    /// Which limit, and by how much.
    pub over: Over,
}

/// Such as `the plan github-free of acme allows 500 MB of storage for private packages; 498 MB are used, and this takes 5 MB
/// more`.
impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverQuota { account, plan, over: Over { measure, limit, used, more } } = self;
        write!(f, "the plan `{plan}` of `{account}` allows {} of {}; ", Size(*limit), measure.words())?;
        write!(f, "{} are used, and this takes {} more", Size(*used), Size(*more))
    }
}

impl std::error::Error for OverQuota {}

/// Bytes for people, in powers of ten, with what is beside a whole number to two digits: `1.5 GB`. Exact below 1 kB.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] = [
            (1_000_000_000_000_000, "PB"),
            (1_000_000_000_000, "TB"),
            (1_000_000_000, "GB"),
            (1_000_000, "MB"),
            (1_000, "kB"),
        ];
        if self.0 == 1 {
            return f.write_str("1 byte");
        }
        let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| self.0 >= *unit) else {
            return write!(f, "{} bytes", self.0);
        };
        let hundredths = u128::from(self.0) * 100 / u128::from(unit);
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        match (rest, rest % 10) {
            (0, _) => write!(f, "{whole} {name}"),
            (_, 0) => write!(f, "{whole}.{} {name}", rest / 10),
            (_, _) => write!(f, "{whole}.{rest:02} {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Limits =
        Limits { storage: None, private_storage: Some(500), transfer: None, private_transfer: Some(1_000) };

    #[test]
    fn a_limit_may_be_reached_and_not_passed() {
        let used = Bytes { all: 10_000, private: 400 };
        assert_eq!(FREE.store(used, Bytes::of(100, true)), Ok(()));
        assert_eq!(FREE.store(used, Bytes::of(1 << 40, false)), Ok(()));
        let over = Over { measure: Measure::PrivateStorage, limit: 500, used: 400, more: 101 };
        assert_eq!(FREE.store(used, Bytes::of(101, true)), Err(over));
        assert_eq!(FREE.room(used, true), Some(100));
        assert_eq!(FREE.room(used, false), None);
        let sent = Limits { transfer: Some(9_999), ..FREE }.send(used, Bytes::of(1, false));
        assert_eq!(sent.map_err(|over| over.measure), Err(Measure::Transfer));
    }

    #[test]
    fn what_takes_no_room_is_never_refused() {
        let full = Bytes { all: 900, private: 900 };
        assert_eq!(FREE.store(full, Bytes::default()), Ok(()));
        assert_eq!(FREE.room(full, true), Some(0));
    }

    #[test]
    fn sizes_are_for_people() {
        let shown = |bytes: u64| Size(bytes).to_string();
        assert_eq!(shown(0), "0 bytes");
        assert_eq!(shown(1), "1 byte");
        assert_eq!(shown(999), "999 bytes");
        assert_eq!(shown(1_000), "1 kB");
        assert_eq!(shown(1_500_000_000), "1.5 GB");
        assert_eq!(shown(1_050_000), "1.05 MB");
        assert_eq!(shown(499_999_999), "499.99 MB");
        assert_eq!(shown(u64::MAX), "18446.74 PB");
    }
}
