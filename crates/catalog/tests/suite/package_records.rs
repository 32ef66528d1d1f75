//! Packages as the API lists, deletes, restores and moves them.

use crate::house::{
    Actor, Done, Fault, House, caller, delete_package, image, may, may_change, on_every_database, token_of,
};
use packhouse_access::{
    AccountId, Delete, Pull, Restore, Role, Scopes, See, Visibility, decide, decide_create, decide_list_in,
    decide_move, decide_package_leave,
};
use packhouse_catalog::{CatalogError, Micros, PackageRecord, Presented, ReadTx, TokenKind, Window};

on_every_database!(
    a_list_shows_whom_the_decision_lets_see,
    pages_of_packages_make_the_whole_list,
    a_fine_grained_token_lists_what_it_was_made_for,
    a_repository_is_shown_to_who_may_see_it,
    counters_of_accounts_follow,
    only_the_last_of_a_name_is_restored,
    a_moved_package_is_found_by_its_old_path,
    a_transfer_leaves_roles_and_repository_behind,
);

/// An organization with packages that are reached in every way, and who reaches them. Rows by another door, so that
/// the functions that write them are not asked to say what they mean.
fn town(house: &House) -> Vec<Actor> {
    let [mona, hubot, eve, lou, zoe] = ["mona", "hubot", "eve", "lou", "zoe"].map(|name| house.user(name));
    let root = house.site_admin("root");
    let acme = house.organization("acme", &mona);
    house.join(acme, &hubot, false);
    house.join(acme, &zoe, false);
    for visibility in [Visibility::Private, Visibility::Internal, Visibility::Public] {
        for name in ["plain", "granted", "team", "inherits", "repo-team", "inherits-granted"] {
            let path = format!("acme/{visibility}-{name}");
            house.package(&mona, &path);
            house.set_visibility(&path, visibility);
            house.push(&mona, &path, &image("c", &[]).build(), None);
            if name.ends_with("granted") {
                house.grant(&path, &lou, Role::Read);
            }
        }
    }
    let (lou, zoe_id) = (lou.id, zoe.id);
    house.database.run(&format!(
        "INSERT INTO teams (id, organization_id, slug, name, secret, parent_id, created_at, updated_at)
           VALUES (1, {acme}, 'above', 'above', 0, NULL, 1, 1), (2, {acme}, 'below', 'below', 0, 1, 1, 1);
         INSERT INTO team_members (team_id, account_id, maintainer) VALUES (2, {zoe_id}, 0);
         INSERT INTO repositories (id, owner_id, path, name, visibility, default_branch, created_at, updated_at)
           VALUES (1, {acme}, 'acme/one', 'one', 0, 'main', 1, 1), (2, {acme}, 'acme/two', 'two', 0, 'main', 1, 1);
         INSERT INTO repository_accounts (repository_id, account_id, role) VALUES (1, {lou}, 1);
         INSERT INTO repository_teams (repository_id, team_id, role) VALUES (2, 1, 1);
         INSERT INTO policies (organization_id, packages_private, packages_internal, packages_public,
           packages_default, packages_inherit, base_role, members_create_repositories)
           VALUES ({acme}, 1, 1, 1, 0, 1, 0, 1);
         INSERT INTO package_teams (package_id, team_id, role, granted_at)
           SELECT id, 1, 1, 1 FROM packages WHERE path LIKE '%-team' AND path NOT LIKE '%repo-team';
         UPDATE packages SET repository_id = 1, inherits = 1 WHERE path LIKE '%-inherits%';
         UPDATE packages SET repository_id = 2, inherits = 1 WHERE path LIKE '%-repo-team'"
    ));
    vec![mona, hubot, eve, house_actor(house, "lou"), zoe, root]
}

/// An actor again, by name: their token is their name's.
fn house_actor(house: &House, name: &str) -> Actor {
    let id = AccountId(house.number(&format!("SELECT id FROM accounts WHERE name = '{name}'")));
    let hash = crate::house::hash_of(name);
    let token = house.number(&format!("SELECT id FROM tokens WHERE account_id = {id}"));
    let shows = Presented::Token { hash, or: None };
    Actor { name: name.to_owned(), id, token: packhouse_access::TokenId(token), shows }
}

fn listed(
    house: &House,
    by: &Presented,
    namespace: &'static str,
    visibility: Option<Visibility>,
    window: Window,
) -> Vec<PackageRecord> {
    let shows = by.clone();
    let found = house.read(move |tx| {
        let caller = caller(tx, &shows)?;
        let may = decide_list_in(&tx.namespace_facts(&caller, namespace)?)?;
        Ok(tx.packages_in(&may, visibility, &window)?)
    });
    found.unwrap()
}

fn paths(records: &[PackageRecord]) -> Vec<String> {
    records.iter().map(|record| record.path.clone()).collect()
}

fn seen(house: &House, by: &Presented) -> Vec<String> {
    let shows = by.clone();
    let all = house.rows("SELECT path FROM packages WHERE deleted_at IS NULL ORDER BY path");
    let found = house.read(move |tx| {
        let caller = caller(tx, &shows)?;
        let mut seen = Vec::new();
        for path in &all {
            let facts = tx.facts(&caller, path)?;
            seen.extend(decide::<See>(&facts).ok().map(|_| path.clone()));
        }
        Ok(seen)
    });
    found.unwrap()
}

fn a_list_shows_whom_the_decision_lets_see(house: &House) {
    let actors = town(house);
    let mut sizes = Vec::new();
    for base_role in [0, 1] {
        house.database.run(&format!("UPDATE policies SET base_role = {base_role}"));
        for actor in &actors {
            let expected = seen(house, &actor.shows);
            let found = paths(&listed(house, &actor.shows, "acme", None, Window::first(100)));
            assert_eq!(found, expected, "{} with base role {base_role}", actor.name);
            sizes.push(found.len());
            for visibility in [Visibility::Private, Visibility::Internal, Visibility::Public] {
                let word = format!("/{visibility}-");
                let expected: Vec<_> = expected.iter().filter(|path| path.contains(&word)).cloned().collect();
                let found = listed(house, &actor.shows, "acme", Some(visibility), Window::first(100));
                assert_eq!(paths(&found), expected, "{} {visibility}", actor.name);
            }
        }
    }
    // By hand: 18 in all; 6 public for strangers, 12 for members; roles add the private ones, and inheritance
    // takes the place of what was granted.
    assert_eq!(sizes, [18, 12, 6, 6 + 2 + 4, 12 + 1 + 1, 18, 18, 12 + 3, 6, 6 + 2 + 4, 12 + 1 + 3, 18]);
}

fn pages_of_packages_make_the_whole_list(house: &House) {
    let actors = town(house);
    for actor in &actors {
        let whole = paths(&listed(house, &actor.shows, "acme", None, Window::first(100)));
        for limit in 1..=4_u32 {
            let (mut by_key, mut by_number) = (Vec::<String>::new(), Vec::new());
            loop {
                let after = by_key.last().cloned().unwrap_or_default();
                let window = Window { after, skip: 0, limit };
                let page = paths(&listed(house, &actor.shows, "acme", None, window));
                let window = Window { skip: u32::try_from(by_number.len()).unwrap(), ..Window::first(limit) };
                by_number.extend(paths(&listed(house, &actor.shows, "acme", None, window)));
                if page.is_empty() {
                    break;
                }
                by_key.extend(page);
            }
            assert_eq!((&by_key, &by_number), (&whole, &whole), "{} by {limit}", actor.name);
        }
    }
}

fn a_fine_grained_token_lists_what_it_was_made_for(house: &House) {
    let actors = town(house);
    let mona = &actors[0];
    let hash = crate::house::hash_of("fine-grained");
    let (id, now) = (mona.id, house.now());
    let token = house
        .operate(move |tx, may| {
            let new = packhouse_catalog::NewToken {
                kind: TokenKind::FineGrained,
                scopes: Scopes::NONE,
                ..token_of(id, hash)
            };
            Ok(tx.create_token(may, &new, now)?.unwrap())
        })
        .unwrap();
    house.database.run(&format!(
        "INSERT INTO token_limits (token_id, owner_id, package_id, role)
         SELECT {token}, NULL, id, 1 FROM packages WHERE path = 'acme/private-plain'"
    ));
    let shows = Presented::Token { hash, or: None };
    let found = paths(&listed(house, &shows, "acme", None, Window::first(100)));
    assert_eq!(found, seen(house, &shows));
    assert_eq!(found.len(), 7, "the public ones and the one: {found:?}");
}

fn a_repository_is_shown_to_who_may_see_it(house: &House) {
    let actors = town(house);
    let shows_it = |actor: &Actor, namespace: &'static str, path: &str| {
        let records = listed(house, &actor.shows, namespace, None, Window::first(100));
        let record = records.into_iter().find(|record| record.path == path).unwrap();
        record.repository.map(|repository| repository.path)
    };
    // The package is open, the repository is not.
    let found: Vec<_> = actors.iter().map(|actor| shows_it(actor, "acme", "acme/public-inherits")).collect();
    let one = || Some("acme/one".to_owned());
    assert_eq!(found, [one(), None, None, one(), None, one()], "base role 0: members do not see it");
    house.database.run("UPDATE policies SET base_role = 1");
    let found: Vec<_> = actors.iter().map(|actor| shows_it(actor, "acme", "acme/public-inherits")).collect();
    assert_eq!(found, [one(), one(), None, one(), one(), one()]);
    house.database.run("UPDATE repositories SET visibility = 2");
    assert_eq!(shows_it(&actors[2], "acme", "acme/public-inherits"), one());
    // The same for one package alone.
    house.database.run("UPDATE repositories SET visibility = 0");
    for (actor, expected) in [(&actors[2], None), (&actors[3], one())] {
        let shows = actor.shows.clone();
        let record = house.read(move |tx| {
            let may = may::<See>(tx, &shows, "acme/public-inherits")?;
            Ok(tx.package_record(&may)?)
        });
        assert_eq!(record.unwrap().repository.map(|repository| repository.path), expected);
    }
}

fn counts(house: &House) -> Vec<String> {
    assert_eq!(crate::versions::drift(house), Vec::<String>::new());
    house.rows("SELECT name, package_count, public_package_count FROM accounts ORDER BY name")
}

fn delete(house: &House, by: &Actor, path: &'static str) -> bool {
    let (shows, now) = (by.shows.clone(), house.now());
    let done = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, path)?;
        delete_package(tx, &may, now)
    });
    done.unwrap()
}

fn restore(house: &House, by: &Actor, path: &'static str, since: Micros) -> Done<bool> {
    let (shows, now) = (by.shows.clone(), house.now());
    house.write(move |tx| {
        let caller = caller(tx, &shows)?;
        let may = decide::<Restore>(&tx.facts_deleted(&caller, path, since)?)?;
        Ok(tx.restore_package(&may, now)?)
    })
}

fn counters_of_accounts_follow(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/one");
    house.package(&mona, "mona/two");
    assert_eq!(counts(house), ["mona 2 0"]);
    house.set_visibility("mona/one", Visibility::Public);
    house.set_visibility("mona/one", Visibility::Public);
    assert_eq!(counts(house), ["mona 2 1"]);
    assert!(delete(house, &mona, "mona/one"));
    assert_eq!(counts(house), ["mona 1 0"]);
    assert!(restore(house, &mona, "mona/one", Micros(0)).unwrap());
    assert_eq!(counts(house), ["mona 2 1"]);
    house.set_visibility("mona/one", Visibility::Private);
    assert_eq!(counts(house), ["mona 2 0"]);
}

fn only_the_last_of_a_name_is_restored(house: &House) {
    let (mona, eve) = (house.user("mona"), house.user("eve"));
    for _ in 0..2 {
        house.package(&mona, "mona/tool");
        assert!(delete(house, &mona, "mona/tool"));
    }
    let deleted_in = |by: &Actor, since: i64| {
        let shows = by.shows.clone();
        let found = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let may = decide_list_in(&tx.namespace_facts(&caller, "mona")?)?;
            Ok(tx.packages_deleted_in(&may, Micros(since), &Window::first(9))?)
        });
        found.unwrap().into_iter().map(|record| record.id.0).collect::<Vec<_>>()
    };
    let at = house.number("SELECT max(deleted_at) FROM packages");
    assert_eq!(deleted_in(&mona, at), [2]);
    assert_eq!(deleted_in(&mona, at + 1), Vec::<i64>::new());
    assert_eq!(deleted_in(&eve, 0), Vec::<i64>::new(), "a stranger sees none");
    assert!(matches!(restore(house, &eve, "mona/tool", Micros(0)), Err(Fault::Refused(_))));
    assert!(matches!(restore(house, &mona, "mona/tool", Micros(at + 1)), Err(Fault::Refused(_))));
    assert!(restore(house, &mona, "mona/tool", Micros(at)).unwrap());
    assert_eq!(house.rows("SELECT id FROM packages WHERE deleted_at IS NULL"), ["2"]);
    // A path has one live package, whoever asks for another; that is the database's own rule.
    let second = restore(house, &mona, "mona/tool", Micros(0));
    assert!(
        matches!(second, Err(Fault::Catalog(CatalogError::Sqlite { .. } | CatalogError::Lost(_)))) || {
            matches!(second, Err(Fault::Catalog(CatalogError::Postgres { .. })))
        },
        "{second:?}"
    );
    assert_eq!(counts(house), ["eve 0 0", "mona 1 0"]);
}

fn relocate(house: &House, by: &Actor, from: &'static str, to: &'static str) -> Done<()> {
    let (shows, now) = (by.shows.clone(), house.now());
    house.write(move |tx| {
        let caller = caller(tx, &shows)?;
        let from = tx.facts(&caller, from)?;
        let to = tx.facts(&caller, to)?;
        let may = decide_move(&from, &to)?;
        let end = decide_package_leave(&may, tx.survey_leaving(&may)?)?;
        Ok(tx.move_package(&may, &end, now)?)
    })
}

/// Whether a pull by this path is let through, and to which package's namespace it leads.
fn followed(house: &House, by: &Actor, path: &'static str) -> Option<i64> {
    let shows = by.shows.clone();
    let find = move |tx: &mut ReadTx<'_, '_>| {
        let caller = caller(tx, &shows)?;
        Ok::<_, Fault>(decide::<Pull>(&tx.facts_followed(&caller, path)?).ok().map(|may| may.package().0))
    };
    let found = house.read(find.clone()).unwrap();
    // What was remembered the last time says the same.
    assert_eq!(house.wait(house.catalog.read_beside(find)).unwrap(), found, "{path}");
    found
}

fn a_moved_package_is_found_by_its_old_path(house: &House) {
    let (mona, eve) = (house.user("mona"), house.user("eve"));
    house.package(&mona, "mona/a");
    house.grant("mona/a", &eve, Role::Admin);
    relocate(house, &mona, "mona/a", "mona/b").unwrap();
    relocate(house, &mona, "mona/b", "mona/c").unwrap();
    for path in ["mona/a", "mona/b", "mona/c"] {
        assert_eq!((followed(house, &mona, path), followed(house, &eve, path)), (Some(1), Some(1)), "{path}");
    }
    // An admin of the package who may not create in the namespace does not move it.
    assert!(matches!(relocate(house, &eve, "mona/c", "mona/d"), Err(Fault::Refused(_))));
    assert!(matches!(relocate(house, &mona, "mona/c", "eve/c"), Err(Fault::Refused(_))));
    // Deleted, it is not found by any name.
    assert!(delete(house, &mona, "mona/c"));
    assert_eq!(followed(house, &mona, "mona/a"), None);
    assert!(restore(house, &mona, "mona/c", Micros(0)).unwrap());
    assert_eq!(followed(house, &mona, "mona/a"), Some(1));
    // A package at the old path ends it, and moving back frees the way.
    house.package(&mona, "mona/a");
    assert_eq!((followed(house, &mona, "mona/a"), followed(house, &eve, "mona/a")), (Some(2), None));
    relocate(house, &mona, "mona/c", "mona/b").unwrap();
    assert_eq!(followed(house, &mona, "mona/c"), Some(1));
    assert_eq!(house.rows("SELECT path, package_id FROM redirects"), ["mona/c 1"]);
    assert_eq!(counts(house), ["eve 0 0", "mona 2 0"]);
}

fn a_transfer_leaves_roles_and_repository_behind(house: &House) {
    let [mona, eve, lou] = ["mona", "eve", "lou"].map(|name| house.user(name));
    let acme = house.organization("acme", &eve);
    house.join(acme, &mona, false);
    house.package(&mona, "mona/tool");
    house.set_visibility("mona/tool", Visibility::Public);
    house.grant("mona/tool", &lou, Role::Write);
    relocate(house, &mona, "mona/tool", "acme/tool").unwrap();
    assert_eq!(counts(house), ["acme 1 1", "eve 0 0", "lou 0 0", "mona 0 0"]);
    // A member who brings it stays its admin; the owner of the organization owns it.
    assert_eq!(house.rows("SELECT account_id, role FROM package_grants"), [format!("{} 3", mona.id)]);
    house.database.run(&format!(
        "INSERT INTO repositories (id, owner_id, path, name, visibility, default_branch, created_at, updated_at)
           VALUES (1, {acme}, 'acme/one', 'one', 0, 'main', 1, 1);
         UPDATE packages SET repository_id = 1, inherits = 1, visibility = 1;
         UPDATE accounts SET public_package_count = 0"
    ));
    // Internal is for organizations.
    assert!(matches!(relocate(house, &eve, "acme/tool", "eve/tool"), Err(Fault::Refused(_))));
    house.set_visibility("acme/tool", Visibility::Private);
    relocate(house, &eve, "acme/tool", "eve/tool").unwrap();
    assert_eq!(house.rows("SELECT repository_id, inherits FROM packages"), ["- 0"]);
    assert_eq!(house.number("SELECT count(*) FROM package_grants"), 0);
    assert_eq!(followed(house, &mona, "mona/tool"), None, "it is another's, and private");
    assert_eq!(followed(house, &eve, "mona/tool"), Some(1));
    // What a policy keeps members from having, they do not bring.
    house.database.run(&format!(
        "INSERT INTO policies (organization_id, packages_private, packages_internal, packages_public,
           packages_default, packages_inherit, base_role, members_create_repositories)
           VALUES ({acme}, 1, 1, 0, 0, 1, 1, 1)"
    ));
    house.package(&mona, "mona/open");
    house.set_visibility("mona/open", Visibility::Public);
    assert!(matches!(relocate(house, &mona, "mona/open", "acme/open"), Err(Fault::Refused(_))));
    let create = {
        let shows = mona.shows.clone();
        house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            Ok(decide_create(&tx.facts(&caller, "acme/open")?).is_ok())
        })
    };
    assert!(create.unwrap(), "a private one they may make");
}
