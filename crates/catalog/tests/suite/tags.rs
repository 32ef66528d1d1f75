//! Tags and their history.

use crate::house::{
    Actor, Fault, House, delete_tag, image, may, may_change, move_tag, on_every_database, tag,
};
use packhouse_access::{Delete, Pull, Push, VersionId};
use packhouse_catalog::CatalogError;

on_every_database!(
    a_tag_moves_and_its_past_is_kept,
    a_tag_that_moves_back_has_three_rows,
    a_deleted_tag_leaves_its_version,
    a_tag_comes_back_after_its_deletion,
    tags_are_listed_in_pages_in_the_order_of_bytes,
    tags_are_their_packages,
    a_tag_never_points_into_another_package,
);

const PATH: &str = "mona/tool";

fn stage(house: &House) -> Actor {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    mona
}

fn list(house: &House, by: &Actor, path: &'static str, after: &'static str, limit: u32) -> Vec<String> {
    let shows = by.shows.clone();
    let tags = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, path)?;
        Ok(tx.tags(&may, after, limit)?)
    });
    tags.unwrap()
}

fn delete(house: &House, by: &Actor, path: &'static str, name: &'static str) -> bool {
    let (shows, now) = (by.shows.clone(), house.now());
    let deleted = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, path)?;
        delete_tag(tx, &may, &tag(name), now)
    });
    deleted.unwrap()
}

/// Version, beginning, end and mover of a tag's rows, the times numbered from the first on.
fn history(house: &House) -> Vec<String> {
    let rows = house.rows("SELECT version_id, valid_from, valid_to, moved_by FROM tags ORDER BY id");
    let mut times: Vec<String> = rows
        .iter()
        .flat_map(|row| row.split(' ').skip(1).take(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    times.sort();
    times.dedup();
    let named = |time: &str| match time {
        "-" => "-".to_owned(),
        time => format!(
            "t{}",
            times.iter().filter(|known| *known != "-").position(|known| known == time).unwrap()
        ),
    };
    rows.iter()
        .map(|row| {
            let columns: Vec<&str> = row.split(' ').collect();
            format!("{} {} {} {}", columns[0], named(columns[1]), named(columns[2]), columns[3])
        })
        .collect()
}

fn a_tag_moves_and_its_past_is_kept(house: &House) {
    let (mona, root) = (stage(house), house.site_admin("root"));
    let (one, two) = (image("c", &[]).build(), image("d", &[]).build());
    let first = house.push(&mona, PATH, &one, Some("latest")).version;
    let second = house.push(&root, PATH, &two, Some("latest")).version;
    assert_eq!(house.resolve(&mona, PATH, "latest"), Some(two.digest));
    assert_eq!(
        house.resolve(&mona, PATH, &one.digest.to_string()),
        Some(one.digest),
        "moving deletes nothing"
    );
    // The first row ends where the second begins: at any time one of them, and one only, was it.
    let expected = [format!("{first} t0 t1 {}", mona.id), format!("{second} t1 - {}", root.id)];
    assert_eq!(history(house), expected);
}

fn a_tag_that_moves_back_has_three_rows(house: &House) {
    let mona = stage(house);
    let (one, two) = (image("c", &[]).build(), image("d", &[]).build());
    for manifest in [&one, &two, &one, &one] {
        house.push(&mona, PATH, manifest, Some("latest"));
    }
    assert_eq!(house.resolve(&mona, PATH, "latest"), Some(one.digest));
    let expected = ["1 t0 t1", "2 t1 t2", "1 t2 -"].map(|row| format!("{row} {}", mona.id));
    assert_eq!(history(house), expected);
}

fn a_deleted_tag_leaves_its_version(house: &House) {
    let mona = stage(house);
    let one = image("c", &[]).build();
    house.push(&mona, PATH, &one, Some("v1"));
    house.push(&mona, PATH, &one, Some("v2"));
    assert!(delete(house, &mona, PATH, "v1"));
    assert!(!delete(house, &mona, PATH, "v1"));
    assert!(!delete(house, &mona, PATH, "v3"));
    assert_eq!(house.resolve(&mona, PATH, "v1"), None);
    assert_eq!(house.resolve(&mona, PATH, "v2"), Some(one.digest));
    assert_eq!(house.resolve(&mona, PATH, &one.digest.to_string()), Some(one.digest));
}

fn a_tag_comes_back_after_its_deletion(house: &House) {
    let mona = stage(house);
    let one = image("c", &[]).build();
    house.push(&mona, PATH, &one, Some("v1"));
    assert!(delete(house, &mona, PATH, "v1"));
    house.push(&mona, PATH, &one, Some("v1"));
    assert_eq!(house.resolve(&mona, PATH, "v1"), Some(one.digest));
    // A gap in time: it was not there in between.
    let expected = ["1 t0 t1", "1 t2 -"].map(|row| format!("{row} {}", mona.id));
    assert_eq!(history(house), expected);
}

fn tags_are_listed_in_pages_in_the_order_of_bytes(house: &House) {
    let mona = stage(house);
    let one = image("c", &[]).build();
    // No locale's order: capitals, then `_`, then small letters, and digits by character.
    let ordered = ["10", "9", "V1", "_x", "v1", "v1-rc", "v1.0", "v10", "v2"];
    for name in ["v2", "v1", "V1", "_x", "v10", "9", "10", "v1.0", "v1-rc", "gone"] {
        house.push(&mona, PATH, &one, Some(name));
    }
    delete(house, &mona, PATH, "gone");
    assert_eq!(list(house, &mona, PATH, "", 100), ordered);
    assert_eq!(list(house, &mona, PATH, "", 2), ordered[..2]);
    assert_eq!(list(house, &mona, PATH, "9", 3), ordered[2..5]);
    assert_eq!(list(house, &mona, PATH, "v1", 100), ordered[5..]);
    // A tag that is not there is a place between two: a page goes on when its last tag was deleted meanwhile.
    assert_eq!(list(house, &mona, PATH, "gone", 100), ordered[4..]);
    assert_eq!(list(house, &mona, PATH, "v2", 100), Vec::<String>::new());
    assert_eq!(list(house, &mona, PATH, "", 0), Vec::<String>::new());
}

fn tags_are_their_packages(house: &House) {
    let mona = stage(house);
    house.package(&mona, "mona/other");
    let (one, two) = (image("c", &[]).build(), image("d", &[]).build());
    house.push(&mona, PATH, &one, Some("v1"));
    house.push(&mona, "mona/other", &two, Some("v1"));
    assert_eq!(house.resolve(&mona, PATH, "v1"), Some(one.digest));
    assert_eq!(house.resolve(&mona, "mona/other", "v1"), Some(two.digest));
    assert!(delete(house, &mona, "mona/other", "v1"));
    assert_eq!(list(house, &mona, PATH, "", 9), ["v1"]);
    assert_eq!(list(house, &mona, "mona/other", "", 9), Vec::<String>::new());
}

/// A version's number is no right: with a tag on it, a package would hand out what another one holds.
fn a_tag_never_points_into_another_package(house: &House) {
    let (mona, eve) = (stage(house), house.user("eve"));
    house.package(&eve, "eve/tool");
    let secret = house.push(&mona, PATH, &image("secret", &[]).build(), None).version;
    let shown = house.push(&eve, "eve/tool", &image("shown", &[]).build(), Some("v1")).version;
    for version in [secret, VersionId(9_999)] {
        let (shows, now) = (eve.shows.clone(), house.now());
        let moved = house.write(move |tx| {
            let may = may_change::<Push>(tx, &shows, "eve/tool")?;
            move_tag(tx, &may, &tag("v1"), version, now)
        });
        assert!(matches!(moved, Err(Fault::Catalog(CatalogError::Corrupt("version")))), "{moved:?}");
    }
    assert_eq!(house.rows("SELECT version_id, valid_to FROM tags"), [format!("{shown} -")]);
}
