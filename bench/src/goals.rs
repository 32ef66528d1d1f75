//! The project's goals, held against what was measured.

use serde::Serialize;

use crate::figures::Figures;
use crate::targets::{LARGE, SMALL, SMALL_AGAIN};
use crate::work::Run;

/// A figure of Packhouse in one work.
#[derive(Debug, Clone, Copy)]
enum Measure {
    /// Against the limit of the work.
    OfLimit,
    /// Against another target.
    Of(&'static str),
    /// Processor time for each byte, against the limit.
    CpuPerByteOfLimit,
    /// Requests for each second of processor time.
    PerCpuSecond,
    Median,
    /// The median itself, of the large catalog.
    MedianOfLarge,
    /// The median of times in a large catalog, against those in a small one.
    GrowthOfMedian,
    /// Their 99th percentile.
    GrowthOfP99,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

struct Goal {
    work: &'static str,
    measure: Measure,
    bound: Bound,
}

const fn goal(work: &'static str, measure: Measure, bound: Bound) -> Goal {
    Goal { work, measure, bound }
}

const GOALS: &[Goal] = {
    use Bound::{AtLeast, AtMost};
    use Measure::{
        CpuPerByteOfLimit, GrowthOfMedian, GrowthOfP99, Median, MedianOfLarge, Of, OfLimit, PerCpuSecond,
    };
    &[
        goal("manifest-get-tag", OfLimit, AtLeast(1.0)),
        goal("manifest-get-digest", OfLimit, AtLeast(1.0)),
        goal("manifest-head-tag", OfLimit, AtLeast(1.0)),
        goal("manifest-head-digest", OfLimit, AtLeast(1.0)),
        goal("manifest-get-tag", Of("distribution"), AtLeast(15.0)),
        goal("manifest-get-digest", Of("distribution"), AtLeast(15.0)),
        goal("manifest-head-tag", Of("distribution"), AtLeast(15.0)),
        goal("manifest-head-digest", Of("distribution"), AtLeast(15.0)),
        goal("blob-512mb-1", OfLimit, AtLeast(0.95)),
        goal("blob-512mb-8", OfLimit, AtLeast(0.95)),
        goal("blob-512mb-read-1", OfLimit, AtLeast(0.95)),
        goal("blob-512mb-read-8", OfLimit, AtLeast(0.95)),
        goal("blob-512mb-1", CpuPerByteOfLimit, AtMost(1.1)),
        goal("blob-512mb-8", CpuPerByteOfLimit, AtMost(1.1)),
        goal("blob-512mb-tls-1", OfLimit, AtLeast(0.9)),
        goal("blob-512mb-tls-8", OfLimit, AtLeast(0.9)),
        goal("put-512mb", OfLimit, AtLeast(0.85)),
        goal("image-small", Of("distribution"), AtLeast(10.0)),
        goal("token", PerCpuSecond, AtLeast(10_000.0)),
        goal("memory-idle", Median, AtMost(30.0)),
        goal("memory-downloads", Median, AtMost(64.0)),
        goal("memory-uploads", Median, AtMost(128.0)),
        goal("start", Median, AtMost(100.0)),
        goal("growth-tag", GrowthOfMedian, AtMost(1.2)),
        goal("growth-tag", GrowthOfP99, AtMost(1.2)),
        goal("growth-tag-any", GrowthOfMedian, AtMost(1.2)),
        goal("growth-tag-any", GrowthOfP99, AtMost(1.2)),
        goal("growth-catalog", GrowthOfMedian, AtMost(1.2)),
        goal("growth-catalog", GrowthOfP99, AtMost(1.2)),
        goal("growth-tags", GrowthOfMedian, AtMost(1.2)),
        goal("growth-tags", GrowthOfP99, AtMost(1.2)),
        goal("growth-packages", GrowthOfMedian, AtMost(1.2)),
        goal("growth-packages", GrowthOfP99, AtMost(1.2)),
        goal("growth-versions", GrowthOfMedian, AtMost(1.2)),
        goal("growth-versions", GrowthOfP99, AtMost(1.2)),
        goal("growth-push", GrowthOfMedian, AtMost(1.2)),
        goal("growth-push", GrowthOfP99, AtMost(1.2)),
        goal("growth-push-new", GrowthOfMedian, AtMost(1.2)),
        goal("growth-push-new", GrowthOfP99, AtMost(1.2)),
        goal("growth-idle", MedianOfLarge, AtMost(64.0)),
        goal("growth-start", MedianOfLarge, AtMost(100.0)),
    ]
};

/// How far a goal is reached.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reached {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) goal: String,
    pub(crate) measured: f64,
    pub(crate) measured_text: String,
    /// What the same ratio is between two that hold as much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) noise: Option<f64>,
    pub(crate) met: bool,
    /// What is missing, as a part of the goal.
    pub(crate) missed_by: Option<f64>,
}

/// All goals for which there are figures.
pub(crate) fn reached(all: &[Figures]) -> Vec<Reached> {
    GOALS.iter().filter_map(|goal| goal.hold(all)).collect()
}

impl Goal {
    fn hold(&self, all: &[Figures]) -> Option<Reached> {
        let figures = all.iter().find(|figures| figures.id == self.work)?;
        let packhouse = figures.of(if figures.is_of_growth() { LARGE } else { "packhouse" })?;
        let (mut noise, median, p99) = (None, |run: &Run| run.p50_ms, |run: &Run| run.p99_ms);
        let limit = || figures.of(figures.limit?);
        let (measured, unit) = match self.measure {
            Measure::OfLimit => (packhouse.of_limit?, format!("× {}", figures.limit?)),
            Measure::Of(other) => {
                let ratio = figures.ratio("packhouse", other, |run| Some(run.figure(figures.unit)))?;
                (ratio, format!("× {other}"))
            }
            Measure::CpuPerByteOfLimit => {
                let of = limit()?.cpu_seconds_per_gigabyte?;
                (packhouse.cpu_seconds_per_gigabyte? / of, format!("× CPU per GB of {}", figures.limit?))
            }
            Measure::PerCpuSecond => (1e6 / packhouse.cpu_micros_each?, "per CPU second".to_owned()),
            Measure::Median | Measure::MedianOfLarge => (packhouse.median, figures.unit.name().to_owned()),
            Measure::GrowthOfMedian => {
                noise = figures.ratio(SMALL_AGAIN, SMALL, median);
                (figures.ratio(LARGE, SMALL, median)?, "× the median of a thousand packages".to_owned())
            }
            Measure::GrowthOfP99 => {
                noise = figures.ratio(SMALL_AGAIN, SMALL, p99);
                (figures.ratio(LARGE, SMALL, p99)?, "× the p99 of a thousand packages".to_owned())
            }
        };
        let (met, sign, bound) = match self.bound {
            Bound::AtLeast(bound) => (measured >= bound, "≥", bound),
            Bound::AtMost(bound) => (measured <= bound, "≤", bound),
        };
        Some(Reached {
            id: figures.id,
            title: figures.title,
            goal: format!("{sign} {} {unit}", number(bound)),
            measured,
            measured_text: match noise {
                Some(noise) => format!("{} (itself: {})", number(measured), number(noise)),
                None => number(measured),
            },
            noise,
            met,
            missed_by: (!met).then_some((measured - bound).abs() / bound),
        })
    }
}

/// A number as people read it: three digits that say something, thousands apart.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && digit != '-' && (whole.len() - place) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::{GOALS, number};
    use crate::work::list;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.954, 12.34, 999.6, 54_321.0, 1_234_567.0].map(number),
            ["0.95", "12.3", "1,000", "54,321", "1,234,567"]
        );
    }

    #[test]
    fn goals_are_about_work_that_runs_for_them() {
        let list = list();
        for goal in GOALS {
            let work = list.iter().find(|work| work.id == goal.work).unwrap();
            let run = work.groups.iter().any(|group| ["goals", "growth"].contains(group));
            assert!(run, "{} is not run for the goals", work.id);
        }
    }
}
