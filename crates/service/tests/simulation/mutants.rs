//! Faults that are planted on purpose: each must be found within the seeds of one run in CI.
//!
//! None is a switch in the program. They are planted where the simulation holds the program's ends: in the store behind
//! the driver, in the database by triggers, in the clients' own copy of what they call, in how many doors to the store
//! a node has.

use crate::world::{NodeId, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The program as it is.
    None,
    /// No lock: what nothing needs is looked for in one transaction and removed in another, which does not look again.
    CollectorWithoutLock,
    /// No lock: each request has a door of its own to the store, so that two of them write one session's file.
    NoClaim,
    /// No pin: links carry none.
    NoPin,
    /// No pin: a HEAD says what it found and writes nothing.
    HeadWithoutPin,
    /// Shared key: bytes that are the same lie in one place, which goes with the first of their keys.
    SharedKey,
    /// Late sync: it is answered before it has begun.
    LateSync,
    /// A file's bytes are synced, its name is not.
    NameNotSynced,
    /// Lost review row: blobs that no package has are not looked at.
    LostReview,
    /// Lost trash row: the bytes of uploads that were given up are forgotten.
    LostTrash,
    /// Double lease: two requests hold the same one at once.
    DoubleLease,
    /// Wrong trash time: bytes go as soon as their blob was collected.
    TrashTooSoon,
    /// Links are taken without a look at versions that can be restored.
    RestorableForgotten,
    /// An index keeps no blobs, as if its children were manifests only.
    BlobChildrenForgotten,
    /// Stale cache: what is remembered of a tag is not ended by moving or deleting it.
    StaleTag,
    /// Stale cache: what is remembered of a version is not ended by its deletion.
    StaleVersion,
    /// Stale cache: what is remembered of a blob is not ended by taking it out of its package.
    StaleLink,
}

pub(crate) const PLANTED: [Mutant; 16] = [
    Mutant::CollectorWithoutLock,
    Mutant::NoClaim,
    Mutant::NoPin,
    Mutant::HeadWithoutPin,
    Mutant::SharedKey,
    Mutant::LateSync,
    Mutant::NameNotSynced,
    Mutant::LostReview,
    Mutant::LostTrash,
    Mutant::DoubleLease,
    Mutant::TrashTooSoon,
    Mutant::RestorableForgotten,
    Mutant::BlobChildrenForgotten,
    Mutant::StaleTag,
    Mutant::StaleVersion,
    Mutant::StaleLink,
];

impl Mutant {
    /// What is planted in the database.
    pub(crate) fn triggers(self) -> &'static str {
        match self {
            Mutant::NoPin => {
                "CREATE TRIGGER linked AFTER INSERT ON package_blobs BEGIN
                   UPDATE package_blobs SET pinned_until = 0
                     WHERE package_id = NEW.package_id AND digest = NEW.digest; END;
                 CREATE TRIGGER pinned AFTER UPDATE OF pinned_until ON package_blobs BEGIN
                   UPDATE package_blobs SET pinned_until = 0
                     WHERE package_id = NEW.package_id AND digest = NEW.digest; END;"
            }
            Mutant::LostReview => {
                "CREATE TRIGGER enqueued AFTER INSERT ON reviews WHEN NEW.kind = 6 BEGIN
                   DELETE FROM reviews WHERE id = NEW.id; END;"
            }
            Mutant::LostTrash => {
                "CREATE TRIGGER trashed AFTER INSERT ON trash WHEN NEW.size = 0 BEGIN
                   DELETE FROM trash WHERE storage_key = NEW.storage_key; END;"
            }
            Mutant::DoubleLease => {
                "CREATE TRIGGER leased AFTER UPDATE OF lease_epoch ON uploads BEGIN
                   UPDATE uploads SET lease_epoch = 1, lease_until = 0 WHERE id = NEW.id; END;"
            }
            Mutant::TrashTooSoon => {
                "CREATE TRIGGER trashed AFTER INSERT ON trash BEGIN
                   UPDATE trash SET not_before = 0 WHERE storage_key = NEW.storage_key; END;"
            }
            Mutant::RestorableForgotten => {
                "CREATE TRIGGER deleted AFTER UPDATE OF deleted_at ON versions WHEN NEW.deleted_at IS NOT NULL BEGIN
                   INSERT OR IGNORE INTO reviews (kind, package_id, item, digest, due_at)
                     SELECT 4, package_id, 0, digest, NEW.deleted_at FROM version_blobs WHERE version_id = NEW.id;
                   DELETE FROM version_blobs WHERE version_id = NEW.id; END;"
            }
            Mutant::BlobChildrenForgotten => {
                "CREATE TRIGGER named AFTER INSERT ON version_children
                   WHEN NEW.digest IN (SELECT digest FROM blobs) BEGIN
                   DELETE FROM version_children WHERE version_id = NEW.version_id AND digest = NEW.digest; END;"
            }
            Mutant::StaleTag => "DROP TRIGGER temp.warm_tags_package_id_UPDATE;",
            // With them goes what else the same transactions change.
            Mutant::StaleVersion => {
                "DROP TRIGGER temp.warm_versions_package_id_UPDATE; DROP TRIGGER temp.warm_tags_package_id_UPDATE;"
            }
            Mutant::StaleLink => {
                "DROP TRIGGER temp.warm_package_blobs_package_id_DELETE;
                 DROP TRIGGER temp.warm_package_blobs_package_id_UPDATE;"
            }
            Mutant::None
            | Mutant::CollectorWithoutLock
            | Mutant::NoClaim
            | Mutant::HeadWithoutPin
            | Mutant::SharedKey
            | Mutant::LateSync
            | Mutant::NameNotSynced => "",
        }
    }

    /// Doors to the store that the requests of one node are spread over.
    pub(crate) fn doors(self) -> usize {
        if self == Mutant::NoClaim { 3 } else { 1 }
    }
}

/// No node's, so it never dies.
const NOBODY: NodeId = NodeId::MAX;

/// A collector of links that looks in one step and takes in another.
pub(crate) async fn collect_blindly(world: &World) {
    world.gate(NOBODY, "looks for links", "").await;
    let found: Vec<(i64, Vec<u8>)> = {
        let now = packhouse_service::Clock::now(world).0;
        let stepped = world.stepped.lock().unwrap();
        let mut looking = stepped
            .sqlite()
            .unwrap()
            .prepare_cached(
                "SELECT package_id, digest FROM package_blobs l WHERE pinned_until <= ?1
                   AND NOT EXISTS (SELECT 1 FROM version_blobs v WHERE v.package_id = l.package_id AND v.digest = l.digest)
                   AND NOT EXISTS (SELECT 1 FROM version_children v
                                   WHERE v.package_id = l.package_id AND v.digest = l.digest)",
            )
            .unwrap();
        let rows = looking.query_map([now], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    world.gate(NOBODY, "takes links", "").await;
    let stepped = world.stepped.lock().unwrap();
    for (package, digest) in found {
        let taken = stepped
            .sqlite()
            .unwrap()
            .execute("DELETE FROM package_blobs WHERE package_id = ?1 AND digest = ?2", (package, &digest))
            .unwrap();
        if taken > 0 {
            stepped
                .sqlite()
                .unwrap()
                .execute(
                    "INSERT OR IGNORE INTO reviews (kind, package_id, item, digest, due_at) VALUES (6, 0, 0, ?1, 0)",
                    [&digest],
                )
                .unwrap();
        }
    }
}
