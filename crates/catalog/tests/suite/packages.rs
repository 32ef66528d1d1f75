//! Packages, visibility, grants, and the lists of packages.

use crate::house::{Actor, Fault, House, caller, delete_version, image, may, may_change, on_every_database};
use packhouse_access::{
    AccountId, Administer, Delete, Pull, Refusal, Refused, Role, Visibility, decide, decide_create,
    decide_list,
};
use packhouse_catalog::{Micros, Presented};

on_every_database!(
    a_new_package_is_private_and_its_makers,
    who_makes_a_package_for_an_organization_becomes_its_admin,
    the_package_of_who_was_first_stands,
    visibility_is_changed_for_one_package,
    a_grant_replaces_the_one_before,
    a_revoked_grant_is_gone,
    access_is_bounded_and_in_order,
    packages_are_listed_in_pages_of_one_namespace_or_all,
    a_caller_lists_what_it_may_pull_and_nothing_else,
    pages_of_visible_paths_make_the_whole_list,
    an_anonymous_caller_and_a_stranger_list_nothing_private,
    a_package_that_holds_nothing_is_not_listed,
);

fn a_new_package_is_private_and_its_makers(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let rows = house.rows("SELECT path, owner_id, type, visibility, created_by, deleted_at FROM packages");
    assert_eq!(rows, [format!("mona/tool {0} 1 0 {0} -", mona.id)]);
    // Owning the namespace is enough; no grant to keep in step with it.
    assert_eq!(house.number("SELECT count(*) FROM package_grants"), 0);
}

fn who_makes_a_package_for_an_organization_becomes_its_admin(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    house.package(&hubot, "acme/tool");
    let rows = house.rows("SELECT owner_id, created_by FROM packages");
    assert_eq!(rows, [format!("{acme} {}", hubot.id)]);
    assert_eq!(house.rows("SELECT account_id, role FROM package_grants"), [format!("{} 3", hubot.id)]);
    // A member may delete what they made.
    let shows = hubot.shows.clone();
    assert!(house.write(move |tx| may_change::<Administer>(tx, &shows, "acme/tool").map(drop)).is_ok());
}

fn the_package_of_who_was_first_stands(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    let (first, second) = (mona.shows.clone(), hubot.shows.clone());
    // Both decide before either has made it, as two transactions of PostgreSQL may.
    let made = house.write(move |tx| {
        let (first, second) = (caller(tx, &first)?, caller(tx, &second)?);
        let (first, second) = (tx.facts(&first, "acme/tool")?, tx.facts(&second, "acme/tool")?);
        let (first, second) = (decide_create(&first)?, decide_create(&second)?);
        tx.create_package(&first, Micros(1))?;
        Ok(tx.create_package(&second, Micros(2))?)
    });
    made.unwrap();
    assert_eq!(house.rows("SELECT created_at, created_by FROM packages"), [format!("1 {}", mona.id)]);
    assert_eq!(house.rows("SELECT account_id FROM package_grants"), [mona.id.to_string()]);
}

fn visibility_is_changed_for_one_package(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    house.package(&mona, "acme/one");
    house.package(&mona, "acme/two");
    for (visibility, number) in [(Visibility::Public, 2), (Visibility::Internal, 1), (Visibility::Private, 0)]
    {
        house.set_visibility("acme/one", visibility);
        assert_eq!(
            house.rows("SELECT visibility FROM packages ORDER BY path"),
            [number.to_string(), "0".to_owned()]
        );
    }
}

fn access_of(house: &House, path: &'static str, limit: u32) -> Vec<(String, Role)> {
    let rows = house.read(move |tx| {
        let may = may::<Administer>(tx, &Presented::Operator, path)?;
        Ok(tx.access(&may, limit)?)
    });
    rows.unwrap().into_iter().map(|row| (row.account, row.role)).collect()
}

fn a_grant_replaces_the_one_before(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    for role in [Role::Read, Role::Admin, Role::Write] {
        house.grant("mona/tool", &hubot, role);
        assert_eq!(access_of(house, "mona/tool", 9), [("hubot".to_owned(), role)]);
    }
}

fn a_revoked_grant_is_gone(house: &House) {
    let (mona, hubot, eve) = (house.user("mona"), house.user("hubot"), house.user("eve"));
    for path in ["mona/one", "mona/two"] {
        house.package(&mona, path);
        house.grant(path, &hubot, Role::Write);
        house.grant(path, &eve, Role::Read);
    }
    let revoke = || {
        let done = house.write(move |tx| {
            let may = may_change(tx, &Presented::Operator, "mona/one")?;
            Ok(tx.revoke(&may, hubot.id)?)
        });
        done.unwrap()
    };
    assert!(revoke());
    assert!(!revoke(), "there was none");
    assert_eq!(access_of(house, "mona/one", 9), [("eve".to_owned(), Role::Read)]);
    assert_eq!(access_of(house, "mona/two", 9).len(), 2, "{eve:?}");
}

fn access_is_bounded_and_in_order(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    for name in ["zoe", "abe", "lou"] {
        house.grant("mona/tool", &house.user(name), Role::Read);
    }
    let names =
        |limit| access_of(house, "mona/tool", limit).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(9), ["abe", "lou", "zoe"]);
    assert_eq!(names(2), ["abe", "lou"]);
}

fn packages_are_listed_in_pages_of_one_namespace_or_all(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    for path in ["mona/b", "mona/a", "mona/a-b", "mona/a/b"] {
        house.package(&mona, path);
    }
    house.package(&hubot, "hubot/x");
    house.set_visibility("hubot/x", Visibility::Public);
    let list = |namespace: Option<AccountId>, after: &'static str, limit| {
        let packages =
            house.operate_reading(move |tx, may| Ok(tx.packages(may, namespace, after, limit)?)).unwrap();
        packages.into_iter().map(|package| package.path).collect::<Vec<_>>()
    };
    // The order of bytes: `-` before `/`.
    assert_eq!(list(None, "", 9), ["hubot/x", "mona/a", "mona/a-b", "mona/a/b", "mona/b"]);
    assert_eq!(list(None, "mona/a", 2), ["mona/a-b", "mona/a/b"]);
    assert_eq!(list(Some(mona.id), "", 9), ["mona/a", "mona/a-b", "mona/a/b", "mona/b"]);
    assert_eq!(list(Some(mona.id), "mona/a/b", 9), ["mona/b"]);
    assert_eq!(list(Some(hubot.id), "", 1), ["hubot/x"]);
    assert_eq!(list(Some(AccountId(9_999)), "", 9), Vec::<String>::new());
    let whole = house.operate_reading(|tx, may| Ok(tx.packages(may, None, "", 1)?)).unwrap();
    assert_eq!(whole[0].visibility, Visibility::Public);
    assert!(whole[0].created_at > Micros(0) && whole[0].id.0 > 0);
}

/// A town of every kind of package for every kind of caller.
fn town(house: &House) -> (Vec<Actor>, Vec<String>) {
    let [mona, hubot, eve, lou] = ["mona", "hubot", "eve", "lou"].map(|name| house.user(name));
    let root = house.site_admin("root");
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    let other = house.organization("other", &eve);
    house.join(other, &hubot, true);
    let mut paths = Vec::new();
    for visibility in [Visibility::Private, Visibility::Internal, Visibility::Public] {
        for (owner, namespace) in [(&mona, "mona"), (&mona, "acme"), (&eve, "eve"), (&eve, "other")] {
            if visibility == Visibility::Internal && namespace == owner.name {
                continue; // only packages of organizations can be internal
            }
            let path = format!("{namespace}/{visibility}");
            house.package(owner, &path);
            house.set_visibility(&path, visibility);
            house.push(owner, &path, &image("c", &[]).build(), None);
            paths.push(path);
        }
    }
    house.package(&mona, "mona/shared");
    house.package(&mona, "acme/shared");
    for path in ["mona/shared", "acme/shared", "mona/public"] {
        house.grant(path, &lou, Role::Read);
        house.push(&mona, path, &image("c", &[]).build(), None);
        paths.push(path.to_owned());
    }
    paths.sort_unstable();
    paths.dedup();
    (vec![mona, hubot, eve, lou, root], paths)
}

fn listed(house: &House, by: &Presented, after: &str, limit: u32) -> Result<Vec<String>, Fault> {
    let (shows, after) = (by.clone(), after.to_owned());
    house.read(move |tx| {
        let caller = caller(tx, &shows)?;
        let may = decide_list(&caller)?;
        Ok(tx.paths_visible(&may, &after, limit)?)
    })
}

fn a_caller_lists_what_it_may_pull_and_nothing_else(house: &House) {
    let (actors, paths) = town(house);
    let by_hand: [(&str, &[&str]); 5] = [
        (
            "mona",
            &[
                "acme/internal",
                "acme/private",
                "acme/public",
                "acme/shared",
                "eve/public",
                "mona/private",
                "mona/public",
                "mona/shared",
                "other/public",
            ],
        ),
        (
            "hubot",
            &[
                "acme/internal",
                "acme/public",
                "eve/public",
                "mona/public",
                "other/internal",
                "other/private",
                "other/public",
            ],
        ),
        (
            "eve",
            &[
                "acme/public",
                "eve/private",
                "eve/public",
                "mona/public",
                "other/internal",
                "other/private",
                "other/public",
            ],
        ),
        ("lou", &["acme/public", "acme/shared", "eve/public", "mona/public", "mona/shared", "other/public"]),
        (
            "root",
            &[
                "acme/internal",
                "acme/private",
                "acme/public",
                "acme/shared",
                "eve/private",
                "eve/public",
                "mona/private",
                "mona/public",
                "mona/shared",
                "other/internal",
                "other/private",
                "other/public",
            ],
        ),
    ];
    for (actor, (name, expected)) in actors.iter().zip(by_hand) {
        assert_eq!(actor.name, name);
        assert_eq!(listed(house, &actor.shows, "", 100).unwrap(), expected, "{name}");
        // The list is a query and the decision a function: they must not drift apart.
        let (shows, paths) = (actor.shows.clone(), paths.clone());
        let pulled = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let mut pulled = Vec::new();
            for path in &paths {
                let facts = tx.facts(&caller, path)?;
                pulled.extend(decide::<Pull>(&facts).ok().map(|_| path.clone()));
            }
            Ok(pulled)
        });
        assert_eq!(pulled.unwrap(), expected, "{name}");
    }
}

fn pages_of_visible_paths_make_the_whole_list(house: &House) {
    let (actors, _) = town(house);
    for actor in &actors {
        let whole = listed(house, &actor.shows, "", 100).unwrap();
        assert!(whole.len() > 5, "{}", actor.name);
        for limit in 1..=4 {
            let mut pages: Vec<String> = Vec::new();
            loop {
                let after = pages.last().cloned().unwrap_or_default();
                let page = listed(house, &actor.shows, &after, limit).unwrap();
                assert!(page.len() <= limit as usize);
                if page.is_empty() {
                    break;
                }
                pages.extend(page);
            }
            assert_eq!(pages, whole, "{} by {limit}", actor.name);
        }
        // A key that no package has is a place between two, too.
        let after_m: Vec<String> = whole.iter().filter(|path| path.as_str() > "m").cloned().collect();
        assert_eq!(listed(house, &actor.shows, "m", 100).unwrap(), after_m);
        assert_eq!(listed(house, &actor.shows, "zzz", 100).unwrap(), Vec::<String>::new());
    }
}

fn an_anonymous_caller_and_a_stranger_list_nothing_private(house: &House) {
    town(house);
    let stranger = house.user("stranger");
    let public = ["acme/public", "eve/public", "mona/public", "other/public"];
    assert_eq!(listed(house, &stranger.shows, "", 100).unwrap(), public);
    let anonymous = listed(house, &Presented::Anonymous { bound: None }, "", 100);
    assert!(
        matches!(anonymous, Err(Fault::Refused(Refused { refusal: Refusal::Authenticate, .. }))),
        "{anonymous:?}"
    );
}

fn a_package_that_holds_nothing_is_not_listed(house: &House) {
    let (mona, root) = (house.user("mona"), house.site_admin("root"));
    let acme = house.organization("acme", &root);
    house.join(acme, &mona, true);
    let manifest = image("c", &[]).build();
    for path in ["mona/held", "mona/empty", "acme/held", "acme/empty"] {
        house.package(&mona, path);
        if path.ends_with("held") {
            house.push(&mona, path, &manifest, Some("v1"));
        }
    }
    for by in [&mona, &root] {
        assert_eq!(listed(house, &by.shows, "", 9).unwrap(), ["acme/held", "mona/held"], "{}", by.name);
    }
    let (shows, now, digest) = (mona.shows.clone(), house.now(), manifest.digest);
    let deleted = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, "mona/held")?;
        delete_version(tx, &may, &digest, now)
    });
    assert!(deleted.unwrap());
    for by in [&mona, &root] {
        assert_eq!(listed(house, &by.shows, "", 9).unwrap(), ["acme/held"], "{}", by.name);
    }
    // To who administers it, it is there.
    assert_eq!(house.operate_reading(|tx, may| Ok(tx.packages(may, None, "", 9)?)).unwrap().len(), 4);
}
