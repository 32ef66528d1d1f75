//! Random acts on one session against a model that is a vector of bytes.

use crate::desk::{Desk, read};
use bytes::Bytes;
use packhouse_oci::{Algorithm, Digest};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[derive(Clone, Debug)]
enum Act {
    /// A part that is acknowledged.
    Append(Vec<Vec<u8>>),
    /// A part that is written, and the process ends before anyone is told.
    Crash(Vec<Vec<u8>>),
    /// The process ends between two requests.
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let chunks = || proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4);
    let act = prop_oneof![
        3 => chunks().prop_map(Act::Append),
        2 => chunks().prop_map(Act::Crash),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 0..8)
}

#[test]
fn whatever_happens_the_blob_is_what_was_acknowledged() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    // One store for all cases: making its 256 folders takes longer than a case.
    let desk = tokio::sync::Mutex::new(runtime.block_on(Desk::files()));
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&(acts(), any::<bool>()), |(acts, long)| {
            runtime.block_on(async {
                let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
                let mut desk = desk.lock().await;
                let mut upload = desk.begin(algorithm).await;
                let mut model: Vec<u8> = Vec::new();
                for act in acts {
                    let bytes =
                        |chunks: &[Vec<u8>]| chunks.iter().cloned().map(Bytes::from).collect::<Vec<_>>();
                    match act {
                        Act::Append(chunks) => {
                            let pen = desk.pen(&upload).await.write_all(bytes(&chunks)).await;
                            upload = desk.record(pen).await;
                            model.extend(chunks.concat());
                        }
                        Act::Crash(chunks) => {
                            drop(desk.pen(&upload).await.write_all(bytes(&chunks)).await);
                            desk.reopen_store();
                        }
                        Act::Restart => desk.reopen_store(),
                    }
                }
                let pen = desk.pen(&upload).await;
                let blob = desk.finish(pen, algorithm).await;
                prop_assert_eq!(blob.digest(), Digest::of(algorithm, &model));
                prop_assert_eq!(read(&desk.store, &blob, 0, blob.size()).await, model);
                Ok(())
            })
        })
        .unwrap();
}
