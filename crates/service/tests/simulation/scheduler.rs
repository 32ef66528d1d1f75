//! Which step is next: chance, from the seed. Between two steps nothing works, and between a step and the next gate only
//! the one operation that was picked, so that a seed always gives the same run.

use crate::audit;
use crate::clients::{Client, Errand};
use crate::dice::Dice;
use crate::driver::Place;
use crate::house::{Outcome, settings};
use crate::world::{NodeId, OpId, Verdict, Waiting, What, World, short};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Door, Ending};
use packhouse_service::{Clock, Service, Shown};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// Rounds of the runtime in which an operation that nobody waits for any more comes to its next step, if it has one.
const GHOST_ROUNDS: usize = 12;
/// Rounds after which an operation is taken to hang.
const ROUNDS_MAX: usize = 50_000_000;
/// Seconds that may pass at once: from those of a slow request to those after which things end.
const PASSES: [i64; 8] = [1, 1, 10, 10, 35, 55, 110, 310];

struct Op {
    handle: JoinHandle<()>,
    /// Its client went away; what it began may go on.
    ghost: bool,
    /// How often it is picked, against the others.
    weight: usize,
}

struct Node {
    services: Vec<Service>,
    door: Door,
}

pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    shown: Shown,
    dice: Dice,
    shared: bool,
    /// Percent of steps that fail.
    faults: u64,
    /// Percent of turns in which a node dies, or the power goes.
    deaths: u64,
    clients: usize,
    turns: usize,
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    ops: BTreeMap<OpId, Op>,
    next_op: OpId,
}

impl Run {
    pub(crate) fn new(world: Arc<World>, shown: Shown, seed: u64) -> Run {
        let mut dice = Dice::new(seed);
        let shared = dice.percent(40);
        Run {
            world,
            shown,
            shared,
            faults: *dice.pick(&[0, 0, 2, 6]),
            deaths: *dice.pick(&[0, 1, 3]),
            clients: 2 + dice.below(4),
            turns: 50 + dice.below(90),
            nodes: BTreeMap::new(),
            next_node: 0,
            ops: BTreeMap::new(),
            next_op: 0,
            dice,
        }
    }

    pub(crate) async fn play(mut self) -> Outcome {
        let wanted = if self.shared { 2 } else { 1 };
        for _ in 0..wanted {
            self.start_node().await;
        }
        for _ in 0..self.turns {
            if self.is_wrong() {
                break;
            }
            self.turn().await;
            while self.nodes.len() < wanted {
                self.start_node().await;
            }
        }
        self.faults = 0;
        while self.world.waiting() > 0 && !self.is_wrong() {
            self.step().await;
        }
        if !self.is_wrong() {
            audit::audit(&mut self).await;
        }
        self.end().await;
        let wrong = self.world.ledger().wrong.take();
        Outcome { trace: self.world.take_trace(), wrong }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        self.world.ledger().wrong.is_some()
    }

    async fn turn(&mut self) {
        let busy = self.ops.values().filter(|op| !op.ghost).count();
        let chance = self.dice.below(100) as u64;
        if chance < self.deaths {
            self.death().await;
        } else if chance < 11 {
            let seconds = *self.dice.pick(&PASSES);
            self.world.pass(seconds);
            self.world.trace(&format!("{seconds} s pass"));
        } else if chance < 12 && busy > 0 {
            self.client_leaves().await;
        } else if busy < self.clients && (self.world.waiting() == 0 || self.dice.percent(25)) {
            let errand = Errand::any(&mut self.dice);
            self.begin(errand).await;
        } else if self.world.waiting() > 0 {
            self.step().await;
        }
    }

    pub(crate) fn client(&mut self, op: OpId) -> Client {
        let nodes = self.nodes.values().flat_map(|node| node.services.iter().cloned()).collect();
        let (world, dice, shown) = (Arc::clone(&self.world), self.dice.fork(), self.shown.clone());
        Client { world, op, dice, nodes, shown }
    }

    async fn begin(&mut self, errand: Errand) {
        let op = self.next_op();
        let client = self.client(op);
        self.world.trace(&format!("op{op} begins: {errand:?}"));
        self.spawn(op, client.run(errand)).await;
    }

    pub(crate) fn next_op(&mut self) -> OpId {
        self.next_op += 1;
        self.next_op
    }

    async fn spawn(&mut self, op: OpId, work: impl Future<Output = ()> + Send + 'static) {
        self.world.advance();
        self.world.run(op);
        let handle = tokio::spawn(work);
        let weight = *self.dice.pick(&[1, 6, 36]);
        self.ops.insert(op, Op { handle, ghost: false, weight });
        self.settle(op).await;
    }

    /// Runs something to its end, alone and without faults.
    pub(crate) async fn alone(&mut self, op: OpId, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn(op, work).await;
        while let Some(waiting) = self.world.take_waiting_of(op) {
            self.let_go(waiting, false).await;
        }
    }

    /// One waiting step.
    async fn step(&mut self) {
        let weights: Vec<usize> = (0..self.world.waiting())
            .map(|at| self.ops.get(&self.world.op_waiting(at)).map_or(1, |op| op.weight))
            .collect();
        let mut left = self.dice.below(weights.iter().sum());
        let at = weights.iter().position(|weight| match left.checked_sub(*weight) {
            Some(less) => {
                left = less;
                false
            }
            None => true,
        });
        let waiting = self.world.take_waiting(at.unwrap_or(0));
        self.let_go(waiting, true).await;
    }

    async fn let_go(&mut self, waiting: Waiting, may_fail: bool) {
        let Waiting { op, node, what } = waiting;
        self.world.advance();
        self.world.run(op);
        let fails = may_fail && self.faults > 0 && self.dice.percent(self.faults);
        match what {
            What::Store { what, key, to } => {
                let verdict = match fails {
                    true if self.dice.percent(50) => Verdict::Fail,
                    true => Verdict::FailLate,
                    false => Verdict::Go,
                };
                self.world.trace(&format!("op{op} node{node} {what} {}: {verdict:?}", short(&key)));
                let _ = to.send(verdict);
            }
            What::Transaction(step) => {
                let ending = match fails {
                    true => *self.dice.pick(&[
                        Ending::Lost,
                        Ending::RunTwice,
                        Ending::Unknown { kept: true },
                        Ending::Unknown { kept: false },
                    ]),
                    false => Ending::Answered,
                };
                let kind = if step.writes() { "writes" } else { "reads" };
                let kept = self.world.stepped.lock().unwrap().run(step, ending);
                let kept = if kept { ", kept" } else { "" };
                self.world.trace(&format!("op{op} node{node} {kind}: {ending:?}{kept}"));
            }
        }
        self.settle(op).await;
    }

    /// Lets an operation work until it waits for its next step, or ends.
    async fn settle(&mut self, op: OpId) {
        for round in 0..ROUNDS_MAX {
            for (node, Node { door, .. }) in &self.nodes {
                while let Some(step) = door.next() {
                    self.world.wait(Waiting { op, node: *node, what: What::Transaction(step) });
                }
            }
            if self.world.waits(op) {
                return;
            }
            let Some(Op { handle, ghost, .. }) = self.ops.get(&op) else { return };
            if handle.is_finished() && !ghost {
                let ended = self.ops.remove(&op).unwrap().handle.await;
                ended.unwrap();
                return;
            }
            if *ghost && round > GHOST_ROUNDS {
                self.ops.remove(&op);
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("op{op} hangs:\n{}", self.world.take_trace());
    }

    /// A client goes away in the middle: its connection is cut.
    async fn client_leaves(&mut self) {
        let busy: Vec<OpId> = self.ops.iter().filter(|(_, op)| !op.ghost).map(|(id, _)| *id).collect();
        let id = *self.dice.pick(&busy);
        self.world.trace(&format!("the client of op{id} goes away"));
        let op = self.ops.get_mut(&id).unwrap();
        op.ghost = true;
        op.handle.abort();
        for _ in 0..GHOST_ROUNDS {
            tokio::task::yield_now().await;
        }
    }

    /// A node is killed; or, where the store is a disk, the power goes.
    async fn death(&mut self) {
        let power = !self.shared && self.dice.percent(70);
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        let node = *self.dice.pick(&nodes);
        self.world.trace(&if power { "the power goes".to_owned() } else { format!("node{node} is killed") });
        if power {
            let mut dice = self.dice.fork();
            self.world.disk().lose_power(&mut dice);
        }
        self.kill(node).await;
    }

    async fn kill(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        for waiting in self.world.kill(node) {
            let op = waiting.op;
            self.world.run(op);
            drop(waiting);
            self.settle(op).await;
        }
    }

    async fn start_node(&mut self) {
        self.next_node += 1;
        let node = self.next_node;
        let (catalog, door) = self.world.stepped.lock().unwrap().door();
        let services = Arc::new(Mutex::new(Vec::new()));
        self.nodes.insert(node, Node { services: Vec::new(), door });
        let doors = self.world.mutant.doors();
        let (world, made, shared) = (Arc::clone(&self.world), Arc::clone(&services), self.shared);
        let op = self.next_op();
        self.alone(op, async move {
            for _ in 0..doors {
                let store = BlobStore::of(Arc::new(Place { world: Arc::clone(&world), node, shared }));
                let clock: Arc<dyn Clock> = Arc::clone(&world) as Arc<dyn Clock>;
                let started = Service::start(catalog.clone(), store, clock, settings()).await;
                made.lock().unwrap().push(started.unwrap().0);
            }
        })
        .await;
        self.nodes.get_mut(&node).unwrap().services = std::mem::take(&mut *services.lock().unwrap());
        self.world.trace(&format!("node{node} has started"));
    }

    /// Ends all that is still under way, so that nothing of this run is left in the runtime.
    async fn end(&mut self) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for op in self.ops.values_mut() {
            op.ghost = true;
            op.handle.abort();
        }
        for node in nodes {
            self.kill(node).await;
        }
    }
}
