//! Many connections at once, measured together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::targets::Meter;
use crate::work::Run;

/// How much longer than its time a run may take until it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(300);

/// What happened while the clock ran.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What was done as a whole: requests, or images.
    pub(crate) done: u64,
    /// Bytes of bodies, in the direction that the work is about.
    pub(crate) bytes: u64,
    /// Answers that were not 2xx.
    pub(crate) refused: u64,
    /// Connections that broke.
    pub(crate) broken: u64,
    /// The first refusal or break, in words.
    pub(crate) trouble: Option<String>,
    /// How long each took, in microseconds.
    pub(crate) micros: Vec<u32>,
}

/// Where a worker waits until all are ready, and writes down what it did.
pub(crate) struct Gate {
    ready: Option<mpsc::UnboundedSender<()>>,
    go: watch::Receiver<Option<Instant>>,
    tally: Arc<Mutex<Tally>>,
}

impl Gate {
    /// Says that this worker is ready, and waits for the others; returns when the time is over.
    pub(crate) async fn open(&mut self) -> anyhow::Result<Instant> {
        drop(self.ready.take());
        let end = self.go.wait_for(Option::is_some).await.context("the run was given up")?;
        (*end).context("the run has an end")
    }

    pub(crate) fn tally(&self, write: impl FnOnce(&mut Tally)) {
        write(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One thing is done that began at `start`.
    pub(crate) fn done(&self, start: Instant) {
        let micros = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.tally(|tally| {
            tally.done += 1;
            tally.micros.push(micros);
        });
    }

    pub(crate) fn refused(&self, why: impl FnOnce() -> String) {
        self.tally(|tally| {
            tally.refused += 1;
            tally.trouble.get_or_insert_with(why);
        });
    }

    pub(crate) fn broken(&self, why: &std::io::Error) {
        self.tally(|tally| {
            tally.broken += 1;
            tally.trouble.get_or_insert_with(|| why.to_string());
        });
    }
}

/// What becomes of work that is under way when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is cut; its bytes up to then count. For downloads, whose parts are alike.
    Cut,
    /// It is finished, and the clock runs until then. For pushes, whose price is due at their end.
    Finish,
}

/// Lets `count` workers get ready, then work for `length` at once, and measures them and the target.
pub(crate) async fn crowd<F, W>(
    count: usize,
    length: Duration,
    end: End,
    meter: &Meter,
    worker: F,
) -> anyhow::Result<Run>
where
    F: Fn(usize, Gate) -> W,
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (go, gate) = watch::channel(None);
    let (ready, mut all_ready) = mpsc::unbounded_channel();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut workers = JoinSet::new();
    for number in 0..count {
        let gate = Gate { ready: Some(ready.clone()), go: gate.clone(), tally: Arc::clone(&tally) };
        workers.spawn(worker(number, gate));
    }
    drop(ready);
    let work = async {
        // Ends when each worker is ready or gone.
        let _: Option<()> = all_ready.recv().await;
        if let Some(early) = workers.try_join_next() {
            early.context("a worker ended")?.context("a worker did not get ready")?;
        }
        *tally.lock().unwrap_or_else(PoisonError::into_inner) = Tally::default();
        meter.reset();
        let generator = Meter::own();
        let (before, own_before) = (meter.cpu(), generator.cpu());
        let start = Instant::now();
        go.send(Some(start + length)).context("all workers are gone")?;
        match end {
            End::Cut => tokio::time::sleep(length).await,
            End::Finish => {
                while let Some(done) = workers.join_next().await {
                    done.context("a worker ended")??;
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let after = meter.cpu();
        let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
        let spent = |before: Option<f64>, after: Option<f64>| Some((after? - before?).max(0.0));
        let mut run = Run::new(seconds, tally);
        run.cpu_seconds = spent(before, after);
        run.generator_cpu_seconds = spent(own_before, generator.cpu());
        run.peak_bytes = meter.peak();
        anyhow::Ok(run)
    };
    let run = tokio::time::timeout(length + PATIENCE, work).await.context("the run hangs")??;
    workers.shutdown().await;
    Ok(run)
}
