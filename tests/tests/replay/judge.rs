//! The judge: the power goes after every line of the recording, in every way that the disk's model draws.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::audit::{Memory, audit};
use crate::disk::{Disk, Fate, Remains};
use crate::ledger::{Chain, Truth};
use crate::recording::{Act, Event, Recording};

/// After so many the judge has seen enough.
const FAULTS_MAX: usize = 3;

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    /// Of how many moments one is looked at.
    pub(crate) every: usize,
    /// Drawn crashes at each moment, besides all lost and all kept.
    pub(crate) draws: u64,
    pub(crate) seed: u64,
}

/// What was seen: a judge who saw nothing has proved nothing.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Moments at which the power went.
    pub(crate) moments: usize,
    /// Different remains that were looked at, of different promises.
    pub(crate) states: usize,
    /// Different catalogs among them.
    pub(crate) catalogs: usize,
    /// What was wrong, in words.
    pub(crate) faults: Vec<String>,
}

/// A crash to look at more closely.
pub(crate) struct Crash {
    pub(crate) words: String,
    pub(crate) remains: Remains,
    pub(crate) truths: Vec<Truth>,
}

/// The beginning or the end of an event.
#[derive(Clone, Copy)]
struct Turn<'a> {
    line: usize,
    event: &'a Event,
    begins: bool,
}

/// Everything that begins or ends, by lines.
fn turns(recording: &Recording) -> Vec<Turn<'_>> {
    let both = |event| {
        let turn = |line, begins| Turn { line, event, begins };
        [turn(event.begun, true), turn(event.ended, false)]
    };
    let mut turns: Vec<Turn<'_>> = recording.events.iter().flat_map(both).collect();
    turns.sort_by_key(|turn| (turn.line, !turn.begins));
    turns
}

/// Walks through the recording and hands over the disk after each line.
fn walk<'a>(recording: &'a Recording, mut each: impl FnMut(usize, &'a Event, &Disk) -> bool) {
    let mut disk = Disk::new(&recording.data);
    let turns = turns(recording);
    for (number, turn) in turns.iter().enumerate() {
        if turn.begins {
            disk.begin(turn.event);
        } else {
            disk.end(turn.event);
        }
        let more = turns.get(number + 1).is_some_and(|next| next.line == turn.line);
        if !more && !each(turn.line, turn.event, &disk) {
            return;
        }
    }
}

struct Trial<'a> {
    recording: &'a Recording,
    chains: &'a [Chain],
    answers: Vec<Vec<usize>>,
    depth: Depth,
    memory: Memory,
    seen: Mutex<HashSet<u64>>,
    faults: Mutex<Vec<String>>,
    moments: AtomicUsize,
}

/// Looks at every crash.
pub(crate) fn judge(recording: &Recording, chains: &[Chain], depth: Depth) -> Verdict {
    let trial = Trial {
        recording,
        chains,
        answers: chains.iter().map(|chain| chain.answers(recording)).collect(),
        depth,
        memory: Memory::default(),
        seen: Mutex::default(),
        faults: Mutex::default(),
        moments: AtomicUsize::new(0),
    };
    let hands = std::thread::available_parallelism().map_or(2, NonZero::get).min(8);
    std::thread::scope(|scope| {
        for hand in 0..hands {
            let trial = &trial;
            scope.spawn(move || trial.part(hand, hands));
        }
    });
    Verdict {
        moments: trial.moments.into_inner(),
        states: trial.seen.into_inner().unwrap_or_else(PoisonError::into_inner).len(),
        catalogs: trial.memory.catalogs(),
        faults: trial.faults.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

/// Crashes spread evenly over the recording, for starting the real program on what they leave.
pub(crate) fn sample(recording: &Recording, chains: &[Chain], count: usize, seed: u64) -> Vec<Crash> {
    let answers: Vec<Vec<usize>> = chains.iter().map(|chain| chain.answers(recording)).collect();
    let lines: HashSet<usize> = turns(recording).iter().map(|turn| turn.line).collect();
    let step = lines.len() / count.max(1);
    let (memory, scratch) = (Memory::default(), scratch());
    let (mut number, mut crashes) = (0, Vec::new());
    walk(recording, |line, event, disk| {
        number += 1;
        if number % step == 0 {
            let fate = Fate::Drawn(seed.wrapping_add(number as u64));
            let remains = disk.crash(fate);
            let answered = answered(&answers, line);
            let truths = audit(&remains, &recording.data, chains, &answered, scratch.path(), &memory);
            let words = words(line, event, fate);
            let truths = truths.unwrap_or_else(|fault| panic!("{words}: {fault}"));
            crashes.push(Crash { words, remains, truths });
        }
        true
    });
    crashes
}

fn answered(answers: &[Vec<usize>], line: usize) -> Vec<usize> {
    answers.iter().map(|lines| lines.partition_point(|answer| *answer <= line)).collect()
}

fn scratch() -> tempfile::TempDir {
    // Memory, where there is such a folder: thousands of catalogs are written.
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

fn words(line: usize, event: &Event, fate: Fate) -> String {
    let act = match &event.act {
        Act::Write { file, at, bytes } => format!("{} bytes written at {at} of {file:?}", bytes.len()),
        act => format!("{act:?}"),
    };
    format!("power cut after line {line} ({act}), {fate:?}")
}

impl Trial<'_> {
    /// Every `hands`th moment.
    fn part(&self, hand: usize, hands: usize) {
        let scratch = scratch();
        let mut number = 0;
        walk(self.recording, |line, event, disk| {
            number += 1;
            if number % self.depth.every == 0 && number / self.depth.every % hands == hand {
                self.moments.fetch_add(1, Ordering::Relaxed);
                self.moment(number as u64, line, event, disk, scratch.path());
            }
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).len() < FAULTS_MAX
        });
    }

    fn moment(&self, number: u64, line: usize, event: &Event, disk: &Disk, scratch: &std::path::Path) {
        let answered = answered(&self.answers, line);
        let draws = (0..self.depth.draws)
            .map(|draw| Fate::Drawn(self.depth.seed.wrapping_add(number << 8).wrapping_add(draw)));
        let fates = [Fate::AllLost, Fate::AllKept].into_iter().chain(draws);
        for fate in fates.take(if disk.is_at_rest() { 1 } else { usize::MAX }) {
            let remains = disk.crash(fate);
            let mut key = DefaultHasher::new();
            (remains.key, &answered).hash(&mut key);
            if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key.finish()) {
                continue;
            }
            let found = audit(&remains, &self.recording.data, self.chains, &answered, scratch, &self.memory);
            if let Err(fault) = found {
                let words = format!("{}: {fault}", words(line, event, fate));
                self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(words);
            }
        }
    }
}
