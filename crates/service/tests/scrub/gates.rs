//! The kinds of damage.

use crate::database::Database;
use crate::house::{APP, House, LAYER, digest, image};
use packhouse_oci::{Algorithm, Digest};
use packhouse_service::operator::FindingView;

/// A key that no upload had.
const STRAY: &str = "blobs/ab/ab000000000000000000000000000000";
const VERSION: &str = "(SELECT version_id FROM tags WHERE name = 'v1' AND valid_to IS NULL)";
const DELETED: &str = "(SELECT id FROM versions WHERE deleted_at IS NOT NULL)";
const CHILD: &str = "(SELECT MIN(id) FROM versions WHERE part = 1)";
const PACKAGE: &str = "(SELECT id FROM packages)";

/// Plants damage, looks without repairing, which changes nothing, repairs, and looks again.
struct Gate {
    house: House,
}

impl Gate {
    /// What is found is exactly this, in the order of its kinds, and is named with `place`.
    fn finds(&self, kinds: &[&str], place: &str) -> &Self {
        for _ in 0..2 {
            let found = self.house.scrub(false);
            assert_eq!(kinds_of(&found), kinds, "{found:#?}");
            assert!(found.iter().any(|finding| finding.place.contains(place)), "{place}: {found:#?}");
            assert!(found.iter().all(|finding| finding.done == "nothing"), "{found:#?}");
        }
        self
    }

    /// All of it is repaired, and then there is nothing more to find.
    fn repairs(&self) {
        let found = self.house.scrub(true);
        assert!(!found.is_empty() && found.iter().all(|finding| finding.done == "repaired"), "{found:#?}");
        self.is_well();
    }

    /// It is quarantined, and is said to be so until it is pushed again.
    fn quarantines(&self, kind: &str) -> &Self {
        for _ in 0..2 {
            let found = self.house.scrub(true);
            let open: Vec<&FindingView> = found.iter().filter(|finding| finding.done != "repaired").collect();
            assert!(open.len() == 1 && open[0].done == "quarantined" && open[0].kind == kind, "{found:#?}");
        }
        assert_eq!(self.house.status().quarantined.len(), 1);
        self
    }

    /// A layer of the image is not there for clients until somebody pushes it, and then everything is well.
    fn is_healed_by_a_push(&self) {
        let unknown = self.house.pull(LAYER).unwrap_err();
        assert!(unknown.contains("no blob"), "{unknown}");
        self.house.put_image("again", LAYER).unwrap_err();
        self.house.push_blob(LAYER);
        assert_eq!(self.house.pull(LAYER).unwrap(), LAYER);
        self.house.put_image("v1", LAYER).unwrap();
        self.is_well();
        // What was left of the damaged one goes as all trash does.
        self.house.pass(2 * 24 * 3_600);
        self.house.sweep();
        assert_eq!(self.house.pull(LAYER).unwrap(), LAYER);
        self.is_well();
    }

    fn is_well(&self) {
        let found = self.house.scrub(false);
        assert!(found.is_empty(), "{found:#?}");
        assert!(self.house.status().quarantined.is_empty());
    }
}

fn kinds_of(found: &[FindingView]) -> Vec<&str> {
    let mut kinds: Vec<&str> = found.iter().map(|finding| finding.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds
}

/// Stamps one test per gate and database.
macro_rules! gates {
    ($($gate:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $gate() { super::$gate(&super::gate(super::Database::sqlite())); })+
        }
        mod postgres {
            $(#[test] fn $gate() {
                if let Some(database) = super::Database::postgres() {
                    super::$gate(&super::gate(database));
                }
            })+
        }
    };
}

gates!(
    nothing_is_wrong_with_a_whole_house,
    a_flipped_byte_of_a_blob,
    a_truncated_blob,
    a_blob_that_has_grown,
    a_missing_blob,
    bytes_that_no_row_names,
    a_name_that_is_none_of_ours,
    a_missing_blob_whose_bytes_lie_elsewhere,
    a_wrong_length_in_the_catalog,
    a_blob_that_no_package_has,
    a_stale_link,
    a_lost_row_of_a_blob_that_a_manifest_names,
    a_lost_row_and_lost_bytes,
    a_tag_of_a_version_that_is_not_there,
    a_tag_of_a_deleted_version,
    wrong_counters,
    wrong_storage,
    a_flipped_byte_of_a_manifest,
    forgotten_references_of_a_manifest,
    forgotten_blobs_of_a_version,
    forgotten_children_of_an_index,
    a_wrong_part,
    a_version_without_its_manifest,
    a_version_with_another_digest,
    live_bytes_in_the_trash,
    a_session_without_its_bytes,
    forgotten_reviews,
);

fn gate(database: Database) -> Gate {
    Gate { house: House::whole(database) }
}

fn nothing_is_wrong_with_a_whole_house(gate: &Gate) {
    gate.is_well();
    let verified = gate.house.scrub_by(true, 7);
    assert_eq!((verified.run.found, verified.run.blobs), (0, verified.run.blobs_total));
    assert_eq!(verified.run.bytes, verified.run.bytes_total);
    // Also when all that may go has gone.
    gate.house.pass(60 * 24 * 3_600);
    gate.house.sweep();
    gate.house.pass(60 * 24 * 3_600);
    gate.house.sweep();
    gate.is_well();
}

fn a_flipped_byte_of_a_blob(gate: &Gate) {
    let file = gate.house.file(LAYER);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    gate.finds(&["blob-bytes"], &digest(LAYER).to_string());
    assert!(gate.house.scrub(false)[0].what.contains(APP), "it says where it is missed");
    gate.quarantines("blob-bytes").is_healed_by_a_push();
}

fn a_truncated_blob(gate: &Gate) {
    std::fs::write(gate.house.file(LAYER), &LAYER[..5]).unwrap();
    gate.finds(&["blob-length"], &digest(LAYER).to_string()).quarantines("blob-length").is_healed_by_a_push();
}

fn a_blob_that_has_grown(gate: &Gate) {
    std::fs::write(gate.house.file(LAYER), format!("{LAYER}!")).unwrap();
    gate.finds(&["blob-length"], &digest(LAYER).to_string()).quarantines("blob-length");
    // Somebody who has a copy puts it back.
    std::fs::write(gate.house.file(LAYER), LAYER).unwrap();
    gate.finds(&["blob-whole"], &digest(LAYER).to_string()).repairs();
    assert_eq!(gate.house.pull(LAYER).unwrap(), LAYER);
}

fn a_missing_blob(gate: &Gate) {
    std::fs::remove_file(gate.house.file(LAYER)).unwrap();
    gate.finds(&["blob-missing"], &digest(LAYER).to_string())
        .quarantines("blob-missing")
        .is_healed_by_a_push();
}

fn bytes_that_no_row_names(gate: &Gate) {
    std::fs::write(gate.house.path(STRAY), "left over").unwrap();
    gate.finds(&["store-extra"], STRAY).repairs();
    assert!(gate.house.path(STRAY).exists(), "not before its grace");
    gate.house.pass(2 * 24 * 3_600);
    gate.house.sweep();
    assert!(!gate.house.path(STRAY).exists());
    gate.is_well();
}

fn a_name_that_is_none_of_ours(gate: &Gate) {
    std::fs::write(gate.house.path("blobs/ab/notes.txt"), "somebody's").unwrap();
    gate.finds(&["store-stranger"], "blobs/ab/notes.txt");
    assert_eq!(gate.house.scrub(true)[0].done, "nothing", "it is not ours to remove");
    std::fs::remove_file(gate.house.path("blobs/ab/notes.txt")).unwrap();
    gate.is_well();
}

fn a_missing_blob_whose_bytes_lie_elsewhere(gate: &Gate) {
    std::fs::rename(gate.house.file(LAYER), gate.house.path(STRAY)).unwrap();
    // Of the same length, and not it.
    let other: String = LAYER.chars().rev().collect();
    std::fs::write(gate.house.path(&STRAY.replace("ab0", "aa0")), other).unwrap();
    gate.finds(&["blob-missing", "store-extra", "store-extra"], STRAY).repairs();
    assert_eq!(gate.house.file(LAYER), gate.house.path(STRAY));
    gate.house.pass(2 * 24 * 3_600);
    gate.house.sweep();
    assert_eq!(gate.house.pull(LAYER).unwrap(), LAYER);
    gate.is_well();
}

fn a_wrong_length_in_the_catalog(gate: &Gate) {
    gate.house.run(&format!("UPDATE blobs SET size = size + 1 WHERE digest = {}", gate.house.digest(LAYER)));
    gate.finds(&["blob-size"], &digest(LAYER).to_string()).repairs();
    assert_eq!(gate.house.pull(LAYER).unwrap(), LAYER);
}

fn a_blob_that_no_package_has(gate: &Gate) {
    std::fs::write(gate.house.path(STRAY), "orphan").unwrap();
    let digest_of = gate.house.digest("orphan");
    gate.house.run(&format!(
        "INSERT INTO blobs (digest, size, storage_key, created_at) VALUES ({digest_of}, 6, '{STRAY}', 1)"
    ));
    gate.finds(&["blob-orphan"], &digest("orphan").to_string()).repairs();
    gate.house.sweep();
    gate.house.pass(2 * 24 * 3_600);
    gate.house.sweep();
    assert!(!gate.house.path(STRAY).exists(), "the collector has found it");
    gate.is_well();
}

fn a_stale_link(gate: &Gate) {
    // Nothing names this blob; what is left of it is its link, and its bytes.
    gate.house.run(&format!("DELETE FROM blobs WHERE digest = {}", gate.house.digest("alone")));
    gate.finds(&["link-stale", "store-extra"], &format!("{APP}@{}", digest("alone"))).repairs();
    gate.house.push_blob("alone");
    assert_eq!(gate.house.pull("alone").unwrap(), "alone");
}

fn a_lost_row_of_a_blob_that_a_manifest_names(gate: &Gate) {
    gate.house.run(&format!("DELETE FROM blobs WHERE digest = {}", gate.house.digest(LAYER)));
    gate.finds(&["link-stale", "store-extra"], &format!("{APP}@{}", digest(LAYER))).repairs();
    assert_eq!(gate.house.pull(LAYER).unwrap(), LAYER, "its bytes were still there");
}

fn a_lost_row_and_lost_bytes(gate: &Gate) {
    std::fs::remove_file(gate.house.file(LAYER)).unwrap();
    gate.house.run(&format!("DELETE FROM blobs WHERE digest = {}", gate.house.digest(LAYER)));
    gate.finds(&["link-stale"], &digest(LAYER).to_string()).quarantines("blob-missing").is_healed_by_a_push();
}

fn a_tag_of_a_version_that_is_not_there(gate: &Gate) {
    gate.house.run(&format!(
        "INSERT INTO tags (package_id, name, version_id, valid_from) VALUES ({PACKAGE}, 'lost', 99999, 1)"
    ));
    gate.finds(&["package-counters", "tag-dangling"], &format!("{APP}:lost")).repairs();
    gate.house.pull_manifest("lost").unwrap_err();
}

fn a_tag_of_a_deleted_version(gate: &Gate) {
    gate.house.run("UPDATE tags SET valid_to = NULL WHERE name = 'old'");
    gate.finds(&["package-counters", "tag-deleted"], &format!("{APP}:old")).repairs();
    let closed = gate.house.rows(
        "SELECT COUNT(*) FROM tags t JOIN versions v ON v.id = t.version_id WHERE t.valid_to = v.deleted_at",
    );
    assert_eq!(closed, ["1"], "closed by the deletion, so that restoring brings it back");
}

fn wrong_counters(gate: &Gate) {
    gate.house.run(
        "UPDATE packages SET version_count = version_count + 7, tagged_count = 0, held = 1 - held;
         UPDATE accounts SET package_count = 5, public_repository_count = 3 WHERE name = 'mona'",
    );
    gate.finds(&["account-counters", "package-counters"], "mona").repairs();
}

fn wrong_storage(gate: &Gate) {
    let stored =
        |gate: &Gate| gate.house.rows("SELECT bytes, private_bytes FROM account_storage ORDER BY owner_id");
    let before = stored(gate);
    gate.house.run(
        "UPDATE package_blobs SET named = named + 1 WHERE digest = (SELECT digest FROM package_blobs ORDER BY digest LIMIT 1);
         UPDATE account_storage SET bytes = bytes + 5;
         DELETE FROM account_blobs WHERE digest = (SELECT digest FROM account_blobs ORDER BY digest DESC LIMIT 1)",
    );
    gate.finds(&["account-storage", "link-names"], "mona").repairs();
    assert_eq!(stored(gate), before);
}

fn a_flipped_byte_of_a_manifest(gate: &Gate) {
    let v1 = Digest::of(Algorithm::Sha256, &image(LAYER));
    let payload: String = image(LAYER).iter().map(|byte| format!("{byte:02x}")).collect();
    let flipped = payload.replacen("22", "23", 1);
    let digest_hex: String = v1.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    gate.house.run(&format!(
        "UPDATE manifests SET payload = {} WHERE digest = {}",
        gate.house.bytes(&flipped),
        gate.house.bytes(&digest_hex)
    ));
    gate.finds(&["manifest-bytes"], &v1.to_string()).quarantines("manifest-bytes");
    for reference in ["v1", v1.to_string().as_str()] {
        let unknown = gate.house.pull_manifest(reference).unwrap_err();
        assert!(unknown.contains("no manifest"), "{unknown}");
    }
    gate.house.put_image("", LAYER).unwrap();
    assert_eq!(gate.house.pull_manifest("v1"), Ok(v1), "its tag leads to it again");
    gate.is_well();
}

fn forgotten_references_of_a_manifest(gate: &Gate) {
    gate.house.run(&format!(
        "DELETE FROM manifest_refs WHERE kind = 2
           AND manifest_id = (SELECT manifest_id FROM versions WHERE id = {VERSION})"
    ));
    let v1 = Digest::of(Algorithm::Sha256, &image(LAYER));
    gate.finds(&["manifest-noted", "version-blobs"], &v1.to_string()).repairs();
    gate.house.pass(60 * 24 * 3_600);
    gate.house.sweep();
    assert_eq!(gate.house.pull(LAYER).unwrap(), LAYER, "it is still needed");
}

fn forgotten_blobs_of_a_version(gate: &Gate) {
    gate.house.run(&format!("DELETE FROM version_blobs WHERE version_id = {VERSION}"));
    let found = gate.house.scrub(false);
    assert!(kinds_of(&found).contains(&"version-blobs"), "{found:#?}");
    gate.repairs();
    gate.house.pass(60 * 24 * 3_600);
    gate.house.sweep();
    assert_eq!(gate.house.pull(LAYER).unwrap(), LAYER, "it is still needed");
}

fn forgotten_children_of_an_index(gate: &Gate) {
    gate.house.run("DELETE FROM version_children");
    gate.finds(&["version-children", "version-part", "version-part"], APP).repairs();
    assert_eq!(gate.house.rows("SELECT COUNT(*) FROM version_children"), ["2"]);
}

fn a_wrong_part(gate: &Gate) {
    gate.house.run(&format!("UPDATE versions SET part = 0 WHERE id = {CHILD}"));
    gate.finds(&["package-counters", "version-part"], APP).repairs();
}

fn a_version_without_its_manifest(gate: &Gate) {
    gate.house.run(&format!(
        "DELETE FROM manifests WHERE id = (SELECT manifest_id FROM versions WHERE id = {VERSION})"
    ));
    gate.finds(&["manifest-refs", "version-lost"], APP).repairs();
    gate.house.pull_manifest("v1").unwrap_err();
    let v1 = gate.house.put_image("v1", LAYER).unwrap();
    assert_eq!(gate.house.pull_manifest("v1"), Ok(v1));
    gate.is_well();
}

fn a_version_with_another_digest(gate: &Gate) {
    let other = gate.house.digest("nothing");
    gate.house.run(&format!("UPDATE versions SET digest = {other} WHERE id = {VERSION}"));
    let v1 = Digest::of(Algorithm::Sha256, &image(LAYER));
    gate.finds(&["version-digest"], &v1.to_string()).repairs();
    assert_eq!(gate.house.pull_manifest(&v1.to_string()), Ok(v1));
}

fn live_bytes_in_the_trash(gate: &Gate) {
    gate.house.run(&format!(
        "INSERT INTO trash (storage_key, not_before)
         SELECT storage_key, 9000000000000000 FROM blobs WHERE digest = {}",
        gate.house.digest(LAYER)
    ));
    let key = gate.house.rows("SELECT storage_key FROM trash WHERE not_before = 9000000000000000").remove(0);
    gate.finds(&["trash-in-use"], &key).repairs();
}

fn a_session_without_its_bytes(gate: &Gate) {
    let upload = gate.house.rows("SELECT id, storage_key FROM uploads WHERE digest IS NULL").remove(0);
    let (id, key) = upload.split_once(' ').unwrap();
    std::fs::remove_file(gate.house.path(key)).unwrap();
    gate.finds(&["upload-lost"], id).repairs();
}

fn forgotten_reviews(gate: &Gate) {
    gate.house
        .run(&format!("DELETE FROM reviews; UPDATE versions SET pinned_until = 0 WHERE id = {DELETED}"));
    let kinds = kinds_of(&gate.house.scrub(false)).join(" ");
    for kind in ["link-review", "unlinked-review", "version-review"] {
        assert!(kinds.contains(kind), "{kinds}");
    }
    gate.repairs();
    gate.house.pass(60 * 24 * 3_600);
    gate.house.sweep();
    assert_eq!(gate.house.rows(&format!("SELECT COUNT(*) FROM versions WHERE id = {DELETED}")), ["0"]);
    gate.house.pull("alone").unwrap_err();
}
