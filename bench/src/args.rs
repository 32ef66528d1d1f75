//! The command line.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::targets::UrlTarget;
use crate::work::Workload;

/// Packhouse beside other registries and beside nginx, on this machine.
///
/// Starts each target with a folder and a port of its own, runs each work on all of them in turn, several rounds, and
/// says what came of it. Everything it started ends with it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench --")]
pub(crate) struct Arguments {
    /// Only these works or groups of them, with commas, such as `B2,B3`, `goals` or `image-small`.
    #[arg(long, value_delimiter = ',', value_name = "WORK")]
    pub(crate) only: Vec<String>,
    /// Only these targets, with commas.
    #[arg(long, value_delimiter = ',', value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// How often each work runs on each target.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// How long each run takes.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Tags and packages of the lists.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(200..=10_000_000))]
    pub(crate) entries: u64,
    /// Packages of the large catalog of `growth`, which stands beside one of a thousand.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10_000..=1_000_000))]
    pub(crate) growth: u32,
    /// Versions of the large catalog of `growth`; twice as many as packages if not given. 10⁷ take 12 GB of disk.
    #[arg(long, value_parser = clap::value_parser!(u32).range(20_000..=10_000_000))]
    pub(crate) growth_versions: Option<u32>,
    /// Another registry, which may hold what the works put there: `NAME=http://user:password@host:port`.
    #[arg(long, value_name = "NAME=URL")]
    pub(crate) url: Vec<String>,
    /// The certificates (PEM) that `--url` with https:// is believed by.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The Packhouse to measure.
    #[arg(
        long,
        env = "PACKHOUSE_TEST_PROGRAM",
        value_name = "FILE",
        default_value = "target/release/packhouse"
    )]
    pub(crate) packhouse: PathBuf,
    /// Where targets keep their data, on the disk that is to be measured.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    /// Where results.json, results.md and results.svg go.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    pub(crate) output: PathBuf,
    /// Puts the result into docs/benchmarks.md as well.
    #[arg(long)]
    pub(crate) docs: bool,
    /// Prints the result as JSON and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Lists works and targets and ends.
    #[arg(long)]
    pub(crate) list: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.05 to 3600".to_owned()),
    }
}

impl Arguments {
    /// Whether a work was asked for.
    pub(crate) fn wants(&self, work: &Workload) -> bool {
        let named = |word: &String| {
            word == work.id || work.groups.iter().any(|group| group.eq_ignore_ascii_case(word))
        };
        self.only.is_empty() || self.only.iter().any(named)
    }

    /// Whether a target was asked for.
    pub(crate) fn wants_target(&self, name: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|target| target == name)
    }

    pub(crate) fn urls(&self) -> anyhow::Result<Vec<UrlTarget>> {
        let parse = |text: &String| {
            let (name, url) = text.split_once('=').context("`--url` takes NAME=URL")?;
            Ok(UrlTarget {
                name: name.to_owned(),
                url: url.to_owned(),
                certificate: self.certificate.clone(),
            })
        };
        self.url.iter().map(parse).collect()
    }
}
