//! What is measured.
//!
//! A new kind of work is a file here, a variant of [`Work`], and rows of [`list`].

mod disk;
mod growth;
mod limits;
mod list;
mod memory;
mod pulls;
mod pushes;
mod reads;
mod run;
mod skopeo;
mod stage;

pub(crate) use growth::{large, sizes};
pub(crate) use list::{LEFT_OUT, list};
pub(crate) use run::{Run, Unit};
pub(crate) use stage::Stage;

use std::time::Duration;

use crate::data::Stock;
use crate::targets::{Kit, Service};

/// One line of the list of work.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    /// Its name on the command line and in the result.
    pub(crate) id: &'static str,
    /// The groups it belongs to, such as `B2` and `goals`.
    pub(crate) groups: &'static [&'static str],
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) targets: &'static [&'static str],
    /// The target that the others are measured by, or [`MACHINE`].
    pub(crate) limit: Option<&'static str>,
    /// Rounds at the most: what hardly moves, or costs a lot.
    pub(crate) rounds_max: u32,
    pub(crate) work: Work,
}

/// The name of the limit that is no server: what hashing and the disk of this machine allow.
pub(crate) const MACHINE: &str = "machine";

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Get(reads::Get),
    Pull(pulls::Pull),
    Push(pushes::Push),
    /// One blob in one request.
    PutBlob {
        bytes: usize,
    },
    Memory(memory::Memory),
    Start,
    Skopeo(skopeo::Direction),
    Disk,
    Growth(growth::Growth),
}

/// What a run may use.
pub(crate) struct Desk<'a> {
    pub(crate) kit: &'a Kit,
    pub(crate) stock: &'a Stock,
    pub(crate) length: Duration,
    /// What the large catalog holds.
    pub(crate) large: packhouse_growth::Size,
}

impl Workload {
    /// Bytes of the largest blob it needs.
    pub(crate) fn largest(&self) -> usize {
        match self.work {
            Work::Get(get) => get.sizes().into_iter().max().unwrap_or_default(),
            Work::Pull(pull) => pull.sizes().into_iter().max().unwrap_or_default(),
            Work::Push(push) => push.sizes.all().into_iter().max().unwrap_or_default(),
            Work::PutBlob { bytes } => bytes,
            Work::Memory(_) => memory::BLOB_BYTES,
            Work::Skopeo(_) => skopeo::LAYER_BYTES,
            Work::Disk => disk::LAYER_BYTES,
            Work::Growth(_) => growth::LAYER_BYTES,
            Work::Start => 0,
        }
    }

    /// Whether it starts its targets by itself in each run.
    pub(crate) fn starts_targets(&self) -> bool {
        matches!(self.work, Work::Memory(_) | Work::Start | Work::Disk)
    }

    /// Whether its targets can be shared with work before and after it: it leaves nothing behind.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self.work, Work::Get(_) | Work::Pull(pulls::Pull { pushes_percent: 0, .. }))
    }

    /// Whether its targets are filled catalogs, made once for all such work.
    pub(crate) fn grows(&self) -> bool {
        matches!(self.work, Work::Growth(_))
    }

    /// Whether it needs long lists in its targets.
    pub(crate) fn lists(&self) -> bool {
        matches!(self.work, Work::Get(get) if get.what.is_list())
    }

    /// Whether its targets speak TLS.
    pub(crate) fn tls(&self) -> bool {
        matches!(self.work, Work::Get(reads::Get { tls: true, .. }))
    }

    /// Measures one target once.
    pub(crate) async fn run(&self, desk: &Desk<'_>, stage: &mut Stage, target: &str) -> anyhow::Result<Run> {
        match self.work {
            Work::PutBlob { bytes } if target == MACHINE => {
                limits::machine(desk.kit.scratch.path(), desk.stock, bytes)
            }
            Work::Memory(memory) => memory.run(desk, stage.shared(), target).await,
            Work::Disk => disk::run(desk, stage.shared(), target).await,
            Work::Start => {
                let service = desk.kit.start(target, false, stage.shared()).await?;
                Ok(Run::of_value(service.took.as_secs_f64() * 1e3))
            }
            Work::Growth(growth) => growth.run(desk, stage, target).await,
            Work::Get(get) => get.run(desk, stage, target).await,
            Work::Pull(pull) => pull.run(desk, stage, target).await,
            Work::Push(push) => push.run(desk, stage, target).await,
            Work::PutBlob { bytes } => pushes::put_blob(desk, stage, target, bytes).await,
            Work::Skopeo(direction) => skopeo::run(desk, stage.service(target)?, direction).await,
        }
    }
}

/// The package that an image of the stage lies in, and pushes go to.
pub(crate) fn package(name: &str) -> String {
    format!("{}/{name}", crate::targets::NAMESPACE)
}

/// The scope of a client that only pulls.
pub(crate) fn pulling(package: &str) -> String {
    format!("repository:{package}:pull")
}

/// Whether the target is one that takes pushes.
pub(crate) fn is_registry(service: &Service) -> bool {
    service.kind != crate::targets::Kind::Limit
}
