//! The judge judged: a recording without some of its syncs, or with them too late, must be found out.

use crate::judge::{Depth, judge};
use crate::recorded;
use crate::recording::{Act, Event, Recording};

/// What is forgotten each time is found at any moment; one of a few will do.
const OFTEN: usize = 5;

/// A day on which something was forgotten.
#[track_caller]
fn without(what: fn(&Recording, &Event) -> bool) -> Recording {
    let whole = &recorded().recording;
    let (dropped, events): (Vec<Event>, Vec<Event>) =
        whole.events.iter().cloned().partition(|event| what(whole, event));
    assert!(!dropped.is_empty(), "nothing to forget");
    Recording { events, ..whole.clone() }
}

#[track_caller]
fn is_caught(what: &str, every: usize, mutant: &Recording) {
    let recorded = recorded();
    let depth = Depth { every, draws: 0, seed: recorded.seed };
    let verdict = judge(mutant, &recorded.day.chains, depth);
    println!("{what}: {}", verdict.faults.first().map_or("not caught", String::as_str));
    assert!(!verdict.faults.is_empty(), "{what} was not caught: {verdict:?}");
}

fn syncs(recording: &Recording, event: &Event, end: &str) -> bool {
    matches!(&event.act, Act::SyncFile { file } if recording.paths[file].ends_with(end))
}

fn first_answer(recording: &Recording) -> usize {
    let answer = recording.events.iter().find(|event| matches!(event.act, Act::Answer { .. }));
    answer.map_or(usize::MAX, |event| event.begun)
}

fn is_blob(recording: &Recording, path: &str) -> bool {
    let below = path.strip_prefix(recording.data.as_str()).and_then(|rest| rest.strip_prefix("/blobs/"));
    below.is_some_and(|rest| rest.contains('/'))
}

#[test]
fn forgotten_syncs_are_caught() {
    let blobs = |recording: &Recording, event: &Event| matches!(&event.act, Act::SyncFile { file } if is_blob(recording, &recording.paths[file]));
    is_caught("no blob's file is synced", OFTEN, &without(blobs));
    let folders = |recording: &Recording, event: &Event| matches!(&event.act, Act::SyncFolder { path } if is_blob(recording, &format!("{path}/x")));
    is_caught("no folder of blobs is synced", OFTEN, &without(folders));
    is_caught(
        "the catalog's log is not synced",
        OFTEN,
        &without(|recording, event| syncs(recording, event, "-wal")),
    );
    // The first sync of the catalog's file is of its making; the later ones are of checkpoints.
    let checkpoints = |recording: &Recording, event: &Event| {
        syncs(recording, event, ".sqlite") && event.begun > first_answer(recording)
    };
    is_caught("the catalog's file is not synced by a checkpoint", OFTEN, &without(checkpoints));
    let data = |recording: &Recording, event: &Event| matches!(&event.act, Act::SyncFolder { path } if *path == recording.data);
    is_caught("the data folder is not synced", OFTEN, &without(data));
}

#[test]
fn a_removal_that_is_not_synced_is_caught() {
    // At night nothing but removals touches the folders of blobs.
    let dusk = |recording: &Recording| {
        let removed = recording
            .events
            .iter()
            .find(|event| matches!(&event.act, Act::Remove { path } if is_blob(recording, path)));
        removed.map_or(usize::MAX, |event| event.begun)
    };
    let whole = &recorded().recording;
    let dusk = dusk(whole);
    let events: Vec<Event> = whole
        .events
        .iter()
        .filter(|event| {
            let folder =
                matches!(&event.act, Act::SyncFolder { path } if is_blob(whole, &format!("{path}/x")));
            !(folder && event.begun > dusk)
        })
        .cloned()
        .collect();
    assert!(events.len() < whole.events.len(), "nothing to forget");
    is_caught("a removal whose folder is not synced", 1, &Recording { events, ..whole.clone() });
}

#[test]
fn a_sync_behind_the_commit_is_caught() {
    let whole = &recorded().recording;
    let mut events = whole.events.clone();
    // The first sync of a blob's file waits until an answer has left.
    let sync = events
        .iter()
        .position(|event| matches!(&event.act, Act::SyncFile { file } if is_blob(whole, &whole.paths[file])))
        .expect("a blob is synced");
    let mut late = events.remove(sync);
    let answer =
        events[sync..].iter().position(|event| matches!(event.act, Act::Answer { .. })).expect("an answer")
            + sync;
    (late.begun, late.ended) = (events[answer].begun, events[answer].ended);
    events.insert(answer + 1, late);
    is_caught("a blob is synced after its answer", 1, &Recording { events, ..whole.clone() });
}
