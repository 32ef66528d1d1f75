//! What everything in a run shares: the bytes, the time, the gates at which steps wait, the ledger, the trace.

use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::mutants::Mutant;
use packhouse_catalog::{Micros, Step, Stepped};
use packhouse_service::Clock;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// When a run begins, as the house was made.
pub(crate) const OPENING: i64 = 1_767_225_600_000_000;
pub(crate) const SECOND: i64 = 1_000_000;

/// A process; one that is started again is another.
pub(crate) type NodeId = usize;
/// What a client does; whatever it makes a node do is counted as its own.
pub(crate) type OpId = usize;

/// What the scheduler says at a gate of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It works.
    Go,
    /// An I/O error, and nothing was done.
    Fail,
    /// It was done, and the answer is an error.
    FailLate,
}

/// A step that waits.
pub(crate) enum What {
    Store { what: &'static str, key: String, to: oneshot::Sender<Verdict> },
    Transaction(Step),
}

pub(crate) struct Waiting {
    pub(crate) op: OpId,
    pub(crate) node: NodeId,
    pub(crate) what: What,
}

pub(crate) struct World {
    pub(crate) mutant: Mutant,
    pub(crate) stepped: Arc<Mutex<Stepped>>,
    state: Mutex<State>,
    disk: Mutex<Disk>,
    ledger: Mutex<Ledger>,
}

struct State {
    step: u64,
    clock: i64,
    keys: u64,
    running: OpId,
    dead: BTreeSet<NodeId>,
    waiting: Vec<Waiting>,
    missing: BTreeSet<OpId>,
    trace: String,
}

impl Clock for World {
    fn now(&self) -> Micros {
        Micros(self.state().clock)
    }
}

impl World {
    pub(crate) fn new(mutant: Mutant, stepped: Arc<Mutex<Stepped>>) -> World {
        let state = State {
            step: 0,
            clock: OPENING,
            keys: 0,
            running: 0,
            dead: BTreeSet::new(),
            waiting: Vec::new(),
            missing: BTreeSet::new(),
            trace: String::new(),
        };
        let (state, disk, ledger) = (Mutex::new(state), Mutex::default(), Mutex::default());
        World { mutant, stepped, state, disk, ledger }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(crate) fn trace(&self, line: &str) {
        let mut state = self.state();
        let (step, seconds) = (state.step, (state.clock - OPENING) / SECOND);
        let _ = writeln!(state.trace, "{step:>4} {seconds:>5}s {line}");
    }
    pub(crate) fn take_trace(&self) -> String {
        std::mem::take(&mut self.state().trace)
    }

    pub(crate) fn now_step(&self) -> u64 {
        self.state().step
    }
    /// The next step; each has a number of its own.
    pub(crate) fn advance(&self) -> u64 {
        let mut state = self.state();
        state.step += 1;
        let step = state.step;
        drop(state);
        self.disk().settle(step);
        step
    }
    pub(crate) fn clock(&self) -> i64 {
        self.state().clock
    }
    pub(crate) fn pass(&self, seconds: i64) {
        self.state().clock += seconds * SECOND;
    }
    pub(crate) fn next_key(&self) -> u64 {
        let mut state = self.state();
        state.keys += 1;
        state.keys
    }

    /// From here on only this operation works, until it waits or ends.
    pub(crate) fn run(&self, op: OpId) {
        self.state().running = op;
    }
    pub(crate) fn running(&self) -> OpId {
        self.state().running
    }
    /// Nothing of a dead node reaches the world again. Gives its steps that waited: who drops one tells its operation.
    pub(crate) fn kill(&self, node: NodeId) -> Vec<Waiting> {
        let mut state = self.state();
        state.dead.insert(node);
        let (gone, left) =
            std::mem::take(&mut state.waiting).into_iter().partition(|waiting| waiting.node == node);
        state.waiting = left;
        gone
    }

    pub(crate) fn wait(&self, waiting: Waiting) {
        self.state().waiting.push(waiting);
    }
    pub(crate) fn waits(&self, op: OpId) -> bool {
        self.state().waiting.iter().any(|waiting| waiting.op == op)
    }
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }
    pub(crate) fn op_waiting(&self, at: usize) -> OpId {
        self.state().waiting[at].op
    }
    pub(crate) fn take_waiting(&self, at: usize) -> Waiting {
        self.state().waiting.remove(at)
    }
    pub(crate) fn take_waiting_of(&self, op: OpId) -> Option<Waiting> {
        let mut state = self.state();
        let at = state.waiting.iter().position(|waiting| waiting.op == op)?;
        Some(state.waiting.remove(at))
    }

    /// Waits until the scheduler picks this step.
    pub(crate) async fn gate(&self, node: NodeId, what: &'static str, key: &str) -> Verdict {
        let (to, verdict) = oneshot::channel();
        {
            let mut state = self.state();
            if state.dead.contains(&node) {
                return Verdict::Fail;
            }
            let op = state.running;
            let what = What::Store { what, key: key.to_owned(), to };
            state.waiting.push(Waiting { op, node, what });
        }
        verdict.await.unwrap_or(Verdict::Fail)
    }

    /// The running operation was shown bytes that are not what the catalog says.
    pub(crate) fn note_missing(&self, key: &str) {
        let op = self.running();
        self.state().missing.insert(op);
        self.trace(&format!("op{op} finds no whole {}", short(key)));
    }
    pub(crate) fn saw_missing(&self, op: OpId) -> bool {
        self.state().missing.contains(&op)
    }

    /// Puts an object of a session. One that comes behind the end of its lease can be known to nobody.
    pub(crate) fn put_object(&self, key: &str, epoch: u64, name: &str, bytes: Vec<u8>) {
        let stands = {
            let stepped = self.stepped.lock().unwrap();
            let text =
                "SELECT COUNT(*) FROM uploads WHERE storage_key = ?1 AND lease_epoch = ?2 AND digest IS NULL";
            let count: i64 = stepped
                .sqlite()
                .unwrap()
                .query_row(text, (key, epoch.cast_signed()), |row| row.get(0))
                .unwrap();
            count > 0
        };
        let mut disk = self.disk();
        if !stands {
            disk.strays.push(name.to_owned());
        }
        disk.put(name, bytes);
    }
}

/// A key as the trace shows it.
pub(crate) fn short(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    format!("key {}", name.trim_start_matches('0'))
}
