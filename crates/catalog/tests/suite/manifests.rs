//! Manifests and versions.

use crate::house::{
    Actor, CONFIG, House, IMAGE, delete_version, image, index, may, may_change, on_every_database, reference,
    sha256,
};
use packhouse_access::{Delete, Pull, Push};
use packhouse_catalog::{CatalogError, ManifestRow, Micros, NewManifest};
use packhouse_oci::{Algorithm, Digest};

on_every_database!(
    a_manifest_is_read_back_byte_for_byte,
    a_head_is_the_manifest_without_its_bytes,
    the_same_bytes_again_are_the_same_version,
    the_same_bytes_under_another_media_type_are_what_was_pushed_last,
    two_packages_share_the_bytes_and_not_the_version,
    what_a_manifest_names_is_kept_by_kind,
    a_manifest_of_ten_thousand_parts_is_kept_whole,
    a_version_is_deleted_with_its_tags,
    pushing_again_after_a_deletion_makes_a_new_version,
    a_deleted_version_of_one_package_is_alive_in_another,
    a_manifest_pushed_by_its_sha512_is_found_by_it,
    a_package_has_versions_until_the_last_is_deleted,
    what_an_index_says_of_a_manifest_is_kept,
);

const PATH: &str = "mona/tool";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn read(house: &House, by: &Actor, path: &'static str, asked: &str) -> Option<std::sync::Arc<ManifestRow>> {
    let (shows, asked) = (by.shows.clone(), reference(asked));
    let found = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, path)?;
        Ok(tx.manifest(&may, &asked)?)
    });
    found.unwrap()
}

fn delete(house: &House, by: &Actor, path: &'static str, digest: Digest) -> bool {
    let (shows, now) = (by.shows.clone(), house.now());
    let deleted = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, path)?;
        delete_version(tx, &may, &digest, now)
    });
    deleted.unwrap()
}

fn stage(house: &House) -> Actor {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    mona
}

fn a_manifest_is_read_back_byte_for_byte(house: &House) {
    let mona = stage(house);
    let manifest = image("c", &["l1", "l2"]).annotation("k", "vé\\n\\u0000").build();
    let pushed = house.push(&mona, PATH, &manifest, Some("v1"));
    assert!(pushed.created);
    for asked in ["v1".to_owned(), manifest.digest.to_string()] {
        let found = read(house, &mona, PATH, &asked).unwrap();
        assert_eq!(found.payload, manifest.payload);
        assert_eq!((found.version, found.digest), (pushed.version, manifest.digest));
        assert_eq!((found.media_type.as_str(), found.size), (IMAGE, manifest.payload.len() as u64));
        assert_eq!(found.media_type().unwrap().as_str(), IMAGE);
    }
    for absent in ["v2", "V1", &sha256("none").to_string()] {
        assert!(read(house, &mona, PATH, absent).is_none(), "{absent}");
    }
}

fn a_head_is_the_manifest_without_its_bytes(house: &House) {
    let mona = stage(house);
    let manifest = image("c", &["l"]).build();
    house.push(&mona, PATH, &manifest, Some("v1"));
    for asked in ["v1".to_owned(), manifest.digest.to_string()] {
        let whole = read(house, &mona, PATH, &asked).unwrap();
        let (shows, asked) = (mona.shows.clone(), reference(&asked));
        let head = house.read(move |tx| {
            let may = may::<Pull>(tx, &shows, PATH)?;
            Ok(tx.manifest_head(&may, &asked)?)
        });
        let head = head.unwrap().unwrap();
        assert_eq!((head.version, head.digest, head.size), (whole.version, whole.digest, whole.size));
        assert_eq!((&head.media_type, head.size), (&whole.media_type, whole.size));
    }
    assert_eq!(house.resolve(&mona, PATH, "v2"), None);
}

fn the_same_bytes_again_are_the_same_version(house: &House) {
    let mona = stage(house);
    let manifest = image("c", &["l"]).build();
    let first = house.push(&mona, PATH, &manifest, Some("v1"));
    let again = house.push(&mona, PATH, &manifest, Some("v1"));
    let tagged = house.push(&mona, PATH, &manifest, Some("v2"));
    assert_eq!((first.created, again.created, tagged.created), (true, false, false));
    assert_eq!((first.version, first.version), (again.version, tagged.version));
    assert_eq!(house.number("SELECT count(*) FROM versions"), 1);
    assert_eq!(house.number("SELECT count(*) FROM manifests"), 1);
    // Moving a tag to where it stands is no event.
    assert_eq!(house.rows("SELECT name, valid_to FROM tags ORDER BY id"), ["v1 -", "v2 -"]);
}

fn the_same_bytes_under_another_media_type_are_what_was_pushed_last(house: &House) {
    let mona = stage(house);
    let as_oci = image("c", &["l"]).build();
    let as_docker = image("c", &["l"]).sent_as(DOCKER).build();
    assert_eq!(as_oci.digest, as_docker.digest);
    let first = house.push(&mona, PATH, &as_oci, Some("v1"));
    let second = house.push(&mona, PATH, &as_docker, Some("v2"));
    assert_eq!((second.version, second.created), (first.version, false));
    for asked in ["v1", "v2"] {
        assert_eq!(read(house, &mona, PATH, asked).unwrap().media_type, DOCKER);
    }
    house.push(&mona, PATH, &as_oci, None);
    assert_eq!(read(house, &mona, PATH, "v1").unwrap().media_type, IMAGE);
    assert_eq!(house.number("SELECT count(*) FROM manifests"), 2);
    assert_eq!(house.number("SELECT count(*) FROM versions"), 1);

    // Another package keeps what was pushed there.
    house.package(&mona, "mona/other");
    house.push(&mona, "mona/other", &as_docker, Some("v1"));
    assert_eq!(read(house, &mona, "mona/other", "v1").unwrap().media_type, DOCKER);
    assert_eq!(read(house, &mona, PATH, "v1").unwrap().media_type, IMAGE);
}

fn two_packages_share_the_bytes_and_not_the_version(house: &House) {
    let mona = stage(house);
    house.package(&mona, "mona/other");
    let manifest = image("c", &["l"]).build();
    let first = house.push(&mona, PATH, &manifest, Some("v1"));
    assert!(read(house, &mona, "mona/other", &manifest.digest.to_string()).is_none());
    let second = house.push(&mona, "mona/other", &manifest, None);
    assert!(second.created && second.version != first.version);
    assert_eq!(house.number("SELECT count(*) FROM manifests"), 1);
    assert!(read(house, &mona, "mona/other", "v1").is_none(), "a tag is its package's");
}

fn what_a_manifest_names_is_kept_by_kind(house: &House) {
    let mona = stage(house);
    let kinds = |manifest: &NewManifest| {
        let pushed = house.push(&mona, PATH, manifest, None);
        let refs = format!(
            "SELECT r.kind, count(*) FROM manifest_refs r JOIN versions v ON v.manifest_id = r.manifest_id
             WHERE v.id = {} GROUP BY r.kind ORDER BY r.kind",
            pushed.version
        );
        house.rows(&refs)
    };
    // The same layer twice is one reference; config and layer of the same digest are two.
    let shared = image("same", &["l1", "l1", "same"]).subject(&sha256("subject")).build();
    assert_eq!(kinds(&shared), ["1 1", "2 2", "4 1"]);
    // A child listed twice too.
    assert_eq!(kinds(&index(&[shared.digest, sha256("later"), shared.digest]).build()), ["3 2"]);
    assert_eq!(kinds(&index(&[]).build()), Vec::<String>::new());
}

fn a_manifest_of_ten_thousand_parts_is_kept_whole(house: &House) {
    let mona = stage(house);
    let children: Vec<Digest> = (0..10_000).map(|number: i32| sha256(&number.to_string())).collect();
    let manifest = index(&children).build();
    house.push(&mona, PATH, &manifest, Some("large"));
    assert_eq!(house.number("SELECT count(*) FROM manifest_refs"), 10_000);
    assert_eq!(read(house, &mona, PATH, "large").unwrap().payload, manifest.payload);
}

fn a_version_is_deleted_with_its_tags(house: &House) {
    let mona = stage(house);
    let (gone, stays) = (image("c", &["l"]).build(), image("d", &["l"]).build());
    house.push(&mona, PATH, &gone, Some("v1"));
    house.push(&mona, PATH, &gone, Some("latest"));
    house.push(&mona, PATH, &stays, Some("v2"));
    assert!(delete(house, &mona, PATH, gone.digest));
    assert!(!delete(house, &mona, PATH, gone.digest), "there was none any more");
    assert!(!delete(house, &mona, PATH, sha256("none")));
    for asked in ["v1", "latest", &gone.digest.to_string()] {
        assert!(read(house, &mona, PATH, asked).is_none(), "{asked}");
    }
    assert_eq!(house.resolve(&mona, PATH, "v2"), Some(stays.digest));
    // Rows are closed and not removed.
    let open = "SELECT name FROM tags WHERE valid_to IS NULL ORDER BY name";
    assert_eq!((house.number("SELECT count(*) FROM tags"), house.rows(open)), (3, vec!["v2".to_owned()]));
    assert_eq!(house.number("SELECT count(*) FROM versions WHERE deleted_at IS NOT NULL"), 1);
}

fn pushing_again_after_a_deletion_makes_a_new_version(house: &House) {
    let mona = stage(house);
    let manifest = image("c", &["l"]).build();
    let first = house.push(&mona, PATH, &manifest, Some("v1"));
    assert!(delete(house, &mona, PATH, manifest.digest));
    let second = house.push(&mona, PATH, &manifest, None);
    assert!(second.created);
    assert!(second.version > first.version, "an identifier is never used again");
    assert_eq!(house.resolve(&mona, PATH, &manifest.digest.to_string()), Some(manifest.digest));
    assert_eq!(house.resolve(&mona, PATH, "v1"), None, "its tags do not come back");
    assert_eq!(house.number("SELECT count(*) FROM versions"), 2);
}

fn a_deleted_version_of_one_package_is_alive_in_another(house: &House) {
    let mona = stage(house);
    house.package(&mona, "mona/other");
    let manifest = image("c", &["l"]).build();
    house.push(&mona, PATH, &manifest, Some("v1"));
    house.push(&mona, "mona/other", &manifest, Some("v1"));
    assert!(delete(house, &mona, PATH, manifest.digest));
    assert_eq!(house.resolve(&mona, PATH, "v1"), None);
    assert_eq!(read(house, &mona, "mona/other", "v1").unwrap().payload, manifest.payload);
}

fn a_manifest_pushed_by_its_sha512_is_found_by_it(house: &House) {
    let mona = stage(house);
    let manifest = image("c", &["l"]).build();
    let digest = Digest::of(Algorithm::Sha512, &manifest.payload);
    let by_sha512 = NewManifest { digest, ..manifest.clone() };
    house.push(&mona, PATH, &by_sha512, Some("v1"));
    assert_eq!(house.resolve(&mona, PATH, "v1"), Some(digest));
    assert_eq!(house.resolve(&mona, PATH, &digest.to_string()), Some(digest));
    // It was not pushed by the other name.
    assert_eq!(house.resolve(&mona, PATH, &manifest.digest.to_string()), None);
}

fn a_package_has_versions_until_the_last_is_deleted(house: &House) {
    let mona = stage(house);
    let has = || {
        let shows = mona.shows.clone();
        let has = house.read(move |tx| {
            let may = may::<Pull>(tx, &shows, PATH)?;
            Ok(tx.has_versions(&may)?)
        });
        has.unwrap()
    };
    assert!(!has());
    let (one, two) = (image("c", &[]).build(), image("d", &[]).build());
    house.push(&mona, PATH, &one, None);
    house.push(&mona, PATH, &two, None);
    assert!(delete(house, &mona, PATH, one.digest) && has());
    assert!(delete(house, &mona, PATH, two.digest) && !has());
}

fn what_an_index_says_of_a_manifest_is_kept(house: &House) {
    let mona = stage(house);
    let subject = sha256("subject");
    house.push(&mona, PATH, &image("c", &[]).subject(&subject).annotation("k", "v").build(), None);
    house.push(&mona, PATH, &index(&[]).artifact_type("a/b").build(), None);
    let rows =
        house.rows("SELECT kind, artifact_type, annotations, subject IS NULL FROM manifests ORDER BY id");
    let yes = if rows[1].ends_with('t') { ("f", "t") } else { ("0", "1") };
    assert_eq!(rows, [format!("1 {CONFIG} {{\"k\":\"v\"}} {}", yes.0), format!("2 a/b - {}", yes.1)]);
}

/// What no statement of this program writes is an error, and no wrong answer.
#[test]
fn a_row_that_cannot_be_read_is_an_error() {
    let house = House::on_sqlite();
    let mona = stage(&house);
    let manifest = image("c", &["l"]).build();
    house.push(&mona, PATH, &manifest, Some("v1"));
    house.database.run("UPDATE manifests SET media_type = 'no media type'");
    let row = read(&house, &mona, PATH, "v1").unwrap();
    assert!(matches!(row.media_type(), Err(CatalogError::Corrupt("media type"))));
    house.database.run("UPDATE manifests SET digest = x'09'");
    let shows = mona.shows.clone();
    let read = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, PATH)?;
        Ok(tx.manifest(&may, &reference("v1"))?)
    });
    assert!(matches!(read, Err(crate::house::Fault::Catalog(CatalogError::Corrupt("digest")))), "{read:?}");
    // Of somebody of whom nothing is remembered: nobody else than the program may change its database.
    let shows = house.user("eve").shows;
    house.database.run("UPDATE packages SET visibility = 9");
    let facts = house.write(move |tx| may_change::<Push>(tx, &shows, PATH).map(drop));
    assert!(
        matches!(facts, Err(crate::house::Fault::Catalog(CatalogError::Corrupt("visibility")))),
        "{facts:?}"
    );
    assert_eq!(Micros(1).plus_seconds(u64::MAX), Micros(i64::MAX), "times end, and do not turn around");
}
