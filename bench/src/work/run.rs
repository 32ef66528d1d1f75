//! One run of one work on one target.

use serde::Serialize;

use crate::wire::Tally;

/// In what the figure of a work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    RequestsPerSecond,
    ImagesPerSecond,
    /// Millions of bytes per second.
    MegabytesPerSecond,
    /// The most memory that was resident, in millions of bytes.
    ResidentMegabytes,
    /// Bytes on disk, in millions.
    DiskMegabytes,
    Milliseconds,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "req/s",
            Self::ImagesPerSecond => "images/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::ResidentMegabytes => "MB resident",
            Self::DiskMegabytes => "MB on disk",
            Self::Milliseconds => "ms",
        }
    }

    /// Whether more is better.
    pub(crate) fn more_is_better(self) -> bool {
        match self {
            Self::RequestsPerSecond | Self::ImagesPerSecond | Self::MegabytesPerSecond => true,
            Self::ResidentMegabytes | Self::DiskMegabytes | Self::Milliseconds => false,
        }
    }
}

/// What came of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) round: u32,
    pub(crate) seconds: f64,
    pub(crate) done: u64,
    pub(crate) bytes: u64,
    /// Answers that were not 2xx.
    pub(crate) not_2xx: u64,
    /// Connections that broke.
    pub(crate) broken: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Processor seconds of the target.
    pub(crate) cpu_seconds: Option<f64>,
    /// Processor seconds of the command itself: near `seconds`, it was the generator that could do no more.
    pub(crate) generator_cpu_seconds: Option<f64>,
    pub(crate) peak_bytes: Option<f64>,
    /// The figure, where it is not one of the above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<f64>,
}

impl Run {
    pub(crate) fn new(seconds: f64, mut tally: Tally) -> Self {
        tally.micros.sort_unstable();
        let at = |part: f64| {
            let last = tally.micros.len().checked_sub(1)?;
            // The nearest rank; a run has far fewer requests than a float has whole numbers.
            let rank = (part * last as f64).round() as usize;
            tally.micros.get(rank).map(|micros| f64::from(*micros) / 1e3)
        };
        let (p50_ms, p99_ms) = (at(0.5), at(0.99));
        Self {
            seconds,
            done: tally.done,
            bytes: tally.bytes,
            not_2xx: tally.refused,
            broken: tally.broken,
            trouble: tally.trouble,
            p50_ms,
            p99_ms,
            ..Self::default()
        }
    }

    pub(crate) fn of_value(value: f64) -> Self {
        Self { done: 1, value: Some(value), ..Self::default() }
    }

    /// The figure in this unit.
    pub(crate) fn figure(&self, unit: Unit) -> f64 {
        if let Some(value) = self.value {
            return value;
        }
        match unit {
            Unit::RequestsPerSecond | Unit::ImagesPerSecond => self.done as f64 / self.seconds,
            Unit::MegabytesPerSecond => self.bytes as f64 / 1e6 / self.seconds,
            Unit::ResidentMegabytes => self.peak_bytes.unwrap_or_default() / 1e6,
            Unit::DiskMegabytes => self.bytes as f64 / 1e6,
            Unit::Milliseconds => self.seconds * 1e3,
        }
    }

    /// Microseconds of the target's processor time for each request or image.
    pub(crate) fn cpu_micros_each(&self) -> Option<f64> {
        (self.done > 0).then_some(self.cpu_seconds? * 1e6 / self.done as f64)
    }

    /// Seconds of the target's processor time for 10⁹ bytes, when enough of them moved to say.
    pub(crate) fn cpu_per_gigabyte(&self) -> Option<f64> {
        (self.bytes >= 10_000_000).then_some(self.cpu_seconds? * 1e9 / self.bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks_of_what_was_measured() {
        let tally = Tally { done: 3, micros: vec![3_000, 1_000, 2_000], ..Tally::default() };
        let run = Run::new(2.0, tally);
        assert_eq!((run.p50_ms, run.p99_ms), (Some(2.0), Some(3.0)));
        assert_eq!(run.figure(Unit::RequestsPerSecond), 1.5);
    }
}
