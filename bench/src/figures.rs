//! From runs to figures: medians, and ratios of runs that stood beside each other.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::targets::{Kind, listed};
use crate::work::{MACHINE, Run, Unit, Workload};

/// What came of one work.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) id: &'static str,
    pub(crate) groups: &'static [&'static str],
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) limit: Option<&'static str>,
    pub(crate) best_peer: Option<String>,
    pub(crate) series: Vec<Series>,
    /// Targets without a figure, with the reason.
    pub(crate) failed: BTreeMap<String, String>,
}

/// All runs of one target, and what they say together.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    pub(crate) target: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median of the ratios to the limit in the same round.
    pub(crate) of_limit: Option<f64>,
    /// The same against the best of the other registries.
    pub(crate) of_best_peer: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) cpu_micros_each: Option<f64>,
    pub(crate) cpu_seconds_per_gigabyte: Option<f64>,
    /// The highest of all rounds.
    pub(crate) peak_megabytes: Option<f64>,
    pub(crate) done: u64,
    pub(crate) not_2xx: u64,
    pub(crate) broken: u64,
    /// How much of a core the generator took. Near 1 it is the generator that was measured.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) runs: Vec<Run>,
}

impl Figures {
    pub(crate) fn new(
        work: &Workload,
        runs: &BTreeMap<String, Vec<Run>>,
        failed: BTreeMap<String, String>,
    ) -> Self {
        let figures = |target: &str| -> BTreeMap<u32, f64> {
            let runs = runs.get(target).into_iter().flatten();
            runs.map(|run| (run.round, run.figure(work.unit))).collect()
        };
        let ratio = |target: &str, to: &str| {
            let (of, to) = (figures(target), figures(to));
            let ratios = of.iter().filter_map(|(round, figure)| Some(figure / to.get(round)?));
            median(ratios.filter(|ratio| ratio.is_finite()).collect())
        };
        let peers = runs.keys().filter(|name| is_peer(name));
        let best_peer = peers
            .filter_map(|name| Some((median(figures(name).into_values().collect())?, name)))
            .max_by(|(one, _), (other, _)| {
                let order = one.total_cmp(other);
                if work.unit.more_is_better() { order } else { order.reverse() }
            })
            .map(|(_, name)| name.clone());
        // In the order of the list, whatever the order of a map is.
        let mut names: Vec<&String> = runs.keys().collect();
        names.sort_by_key(|name| work.targets.iter().position(|target| target == name).unwrap_or(usize::MAX));
        let series = names
            .into_iter()
            .filter_map(|name| {
                let mine = runs.get(name)?;
                let all: Vec<f64> = figures(name).into_values().collect();
                let of = |value: fn(&Run) -> Option<f64>| median(mine.iter().filter_map(value).collect());
                let peaks = mine.iter().filter_map(|run| run.peak_bytes);
                Some(Series {
                    target: name.clone(),
                    median: median(all.clone())?,
                    min: all.iter().copied().fold(f64::INFINITY, f64::min),
                    max: all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    of_limit: work
                        .limit
                        .filter(|limit| *limit != name.as_str())
                        .and_then(|limit| ratio(name, limit)),
                    of_best_peer: best_peer
                        .as_deref()
                        .filter(|peer| *peer != name && name != MACHINE)
                        .and_then(|peer| ratio(name, peer)),
                    p50_ms: of(|run| run.p50_ms),
                    p99_ms: of(|run| run.p99_ms),
                    cpu_micros_each: of(Run::cpu_micros_each),
                    cpu_seconds_per_gigabyte: of(Run::cpu_per_gigabyte),
                    peak_megabytes: peaks.reduce(f64::max).map(|bytes| bytes / 1e6),
                    done: mine.iter().map(|run| run.done).sum(),
                    not_2xx: mine.iter().map(|run| run.not_2xx).sum(),
                    broken: mine.iter().map(|run| run.broken).sum(),
                    generator_cores: of(|run| Some(run.generator_cpu_seconds? / run.seconds)),
                    runs: mine.clone(),
                })
            })
            .collect();
        let Workload { id, groups, title, unit, limit, .. } = *work;
        Self { id, groups, title, unit, limit, best_peer, series, failed }
    }

    /// Whether it is of the works that compare catalogs of different sizes.
    pub(crate) fn is_of_growth(&self) -> bool {
        self.groups.contains(&"growth")
    }

    /// The median of what two targets' runs of the same round say, one divided by the other.
    pub(crate) fn ratio(&self, of: &str, to: &str, figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        let (of, to) = (self.of(of)?, self.of(to)?);
        let ratios = of.runs.iter().filter_map(|run| {
            let beside = to.runs.iter().find(|beside| beside.round == run.round)?;
            Some(figure(run)? / figure(beside)?)
        });
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    pub(crate) fn of(&self, target: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.target == target)
    }
}

/// Registries but Packhouse, those of `--url` among them.
fn is_peer(name: &str) -> bool {
    name != MACHINE && listed(name).is_none_or(|target| target.kind == Kind::Peer)
}

/// The middle of the values, or of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[middle - 1] + upper) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::list;

    #[test]
    fn ratios_are_of_the_same_round() {
        let work = list().into_iter().find(|work| work.id == "manifest-get-tag").unwrap();
        let runs = |figures: [u64; 3]| -> Vec<Run> {
            let run = |(round, done): (usize, u64)| Run {
                round: round as u32,
                done,
                seconds: 1.0,
                ..Run::default()
            };
            figures.into_iter().enumerate().map(run).collect()
        };
        let all = BTreeMap::from([
            ("packhouse".to_owned(), runs([10, 200, 30])),
            ("nginx".to_owned(), runs([20, 400, 30])),
            ("distribution".to_owned(), runs([1, 2, 3])),
        ]);
        let figures = Figures::new(&work, &all, BTreeMap::new());
        let series = figures.of("packhouse").unwrap();
        assert_eq!((series.median, series.min, series.max), (30.0, 10.0, 200.0));
        assert_eq!((series.of_limit, series.of_best_peer), (Some(0.5), Some(10.0)));
        assert_eq!(figures.of("nginx").unwrap().of_limit, None);
    }
}
