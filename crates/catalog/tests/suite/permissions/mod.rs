//! The rows give each caller what the table of permissions says: the catalog's facts with the decisions, for every
//! caller, visibility, link, token and action.
//!
//! The rows are written by SQL, so that the table holds the facts and not how the rows come to be.

#[path = "../../../../access/tests/decisions/permissions/decided.rs"]
mod decided;
#[path = "../../../../access/tests/decisions/permissions/table.rs"]
mod table;
#[path = "../../../../access/tests/decisions/permissions/world.rs"]
mod world;

mod glances;
mod places;

use crate::house::{House, NOW, hash_of, on_every_database};
use packhouse_access::{
    Action, Administer, Because, Caller, Delete, PackageFacts, Pull, Push, Refused, Restore, See, Visibility,
    decide, decide_create, decide_list, decide_list_in, decide_publish, explain_roles,
};
use packhouse_catalog::{CatalogError, Presented, ReadTx, Window};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use table::{IN_ORGANIZATION, Kind, LINKS, OF_USER, TOKENS};
use world::{POLICIES, World, owner_of};

on_every_database!(
    everyone_does_what_the_table_says,
    a_visibility_is_given_as_the_table_says,
    a_package_is_created_as_the_table_says,
    a_list_shows_what_can_be_pulled,
    what_is_taken_away_is_gone_at_once,
    who_is_suspended_or_shows_what_has_ended_is_nobody,
    a_robot_owns_nothing_not_even_its_own_name,
);

fn build(house: &House) -> World {
    World::new(house.is_on_postgres(), hash_of, |text| house.database.run(text))
}

/// What a caller shows.
fn shows(world: &World, name: &str, word: &'static str, path: &str) -> Presented {
    let token = table::token(word);
    let bound = token.carries.as_ref().map(|carries| decided::bound(carries, path));
    match (token.kind, bound) {
        (Kind::Operator, _) => Presented::Operator,
        (Kind::Worker, _) => Presented::Worker,
        (Kind::Nobody, bound) => Presented::Anonymous { bound },
        (_, None) => Presented::Token { hash: hash_of(&World::secret(name, word)), or: None },
        (_, Some(bound)) => {
            Presented::Bearer { token: world.tokens[&(name.to_owned(), World::behind(word))], bound }
        }
    }
}

type Decision = Result<Because, Refused>;

fn ask(facts: &PackageFacts<'_>, action: &str) -> Decision {
    fn of<A: Action>(facts: &PackageFacts<'_>) -> Decision {
        decide::<A>(facts).map(|may| may.because())
    }
    match action {
        "pull" => of::<Pull>(facts),
        "see" => of::<See>(facts),
        "push" => of::<Push>(facts),
        "delete" => of::<Delete>(facts),
        "restore" => of::<Restore>(facts),
        "administer" => of::<Administer>(facts),
        other => panic!("no such action: {other}"),
    }
}

fn caller<'tx>(tx: &mut ReadTx<'_, 'tx>, shows: &Presented) -> Result<Caller<'tx>, CatalogError> {
    Ok(tx.caller(shows, NOW)?.expect("the credential is good"))
}

/// For each of the tokens the decision about each of the actions, and the highest role.
fn decisions(
    house: &House,
    shown: Vec<Presented>,
    path: &str,
    actions: &[&'static str],
) -> Vec<(Option<Because>, Vec<Decision>)> {
    let (path, actions) = (path.to_owned(), actions.to_vec());
    let decided = house.read(move |tx| {
        let mut all = Vec::new();
        for shows in &shown {
            let caller = caller(tx, shows)?;
            let facts = tx.facts(&caller, &path)?;
            let highest = explain_roles(&facts).first().map(|(_, because)| *because);
            all.push((highest, actions.iter().map(|action| ask(&facts, action)).collect()));
        }
        Ok(all)
    });
    decided.unwrap()
}

/// What differs, told together.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, line: usize, case: &[&str], act: &str, expected: &str, found: &str) {
        if expected != found {
            let case = case.join(" ");
            self.0.push(format!("line {line}: {case}: {act}: expected {expected}, found {found}"));
        }
    }

    fn none(self) {
        let (count, first) = (self.0.len(), self.0.into_iter().take(40).collect::<Vec<_>>().join("\n"));
        assert_eq!(count, 0, "differences:\n{first}");
    }
}

fn everyone_does_what_the_table_says(house: &House) {
    let world = build(house);
    let acts = table::part("actions").acts;
    let expected: HashMap<Vec<&str>, table::Case> =
        table::actions().into_iter().map(|case| (case.keys.clone(), case)).collect();
    let mut differences = Differences::default();
    let mut asked = 0;
    for role in table::roles() {
        let &[place, package, link, by] = role.keys.as_slice() else { panic!("four columns") };
        let path = format!("{}/{package}", owner_of(place, link));
        let name = format!("{place}-{link}-{by}");
        // A token bounds what the rows give, however they come to give it: two links meet every token, the others few.
        let mut tokens = table::tokens_of(by).to_vec();
        let few = ["all", "fine:owner-read", "all>pull"];
        tokens.retain(|token| {
            ["none", "inherits"].contains(&link) || few.contains(token) || !TOKENS.contains(token)
        });
        let shown = tokens.iter().map(|token| shows(&world, &name, token, &path)).collect();
        let (holds, _) = role.expected[0].split_once('/').unwrap_or(("none", ""));
        for (token, (highest, decisions)) in tokens.iter().zip(decisions(house, shown, &path, &acts)) {
            let case = &expected[&vec![package, holds, *token]];
            let keys = [role.keys.as_slice(), &[*token]].concat();
            let found = highest.map_or("none".to_owned(), decided::holds);
            differences.compare(role.line, &keys, "role", role.expected[0], &found);
            for ((act, expected), decision) in acts.iter().zip(&case.expected).zip(decisions) {
                let found = match &decision {
                    Ok(because) if Some(*because) == highest => "yes".to_owned(),
                    Ok(because) => format!("yes, for {because:?}"),
                    Err(refused) => decided::refusal(refused, act, holds.parse().ok()),
                };
                differences.compare(case.line, &keys, act, expected, &found);
                asked += 1;
            }
        }
    }
    differences.none();
    assert!(asked > 40_000, "only {asked} cases");
}

/// Gives an organization a policy by its words.
fn set_policy(house: &House, organization: &str, words: &str) {
    let policy = decided::policy(words).unwrap();
    let flag = i64::from;
    house.database.run(&format!(
        "DELETE FROM policies WHERE organization_id = (SELECT id FROM accounts WHERE name = '{organization}');
         INSERT INTO {POLICIES} SELECT id, {}, {}, {}, {}, 1, 1, 1 FROM accounts WHERE name = '{organization}'",
        flag(policy.private),
        flag(policy.internal),
        flag(policy.public),
        policy.default.number(),
    ));
}

fn a_visibility_is_given_as_the_table_says(house: &House) {
    let world = build(house);
    let acts = table::part("publish").acts;
    let mut differences = Differences::default();
    let mut current = "";
    for case in table::publish() {
        let &[place, policy, by] = case.keys.as_slice() else { panic!("three columns") };
        if place == "organization" && policy != current {
            set_policy(house, "organization-none", policy);
            current = policy;
        }
        let path = format!("{}/private", owner_of(place, "none"));
        let tokens = table::tokens_of(by);
        let token = if tokens.contains(&"all") { "all" } else { tokens[0] };
        let shows = shows(&world, &format!("{place}-none-{by}"), token, &path);
        let wanted: Vec<Visibility> = acts.iter().map(|act| act.parse().unwrap()).collect();
        let decisions = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, &path)?;
            Ok(wanted.iter().map(|wanted| decide_publish(&facts, *wanted).err()).collect::<Vec<_>>())
        });
        let has = by.rsplit_once('-').and_then(|(_, role)| role.parse().ok());
        for ((act, expected), refused) in acts.iter().zip(&case.expected).zip(decisions.unwrap()) {
            let found =
                refused.map_or("yes".to_owned(), |refused| decided::refusal(&refused, "administer", has));
            differences.compare(case.line, &case.keys, act, expected, &found);
        }
    }
    differences.none();
}

fn a_package_is_created_as_the_table_says(house: &House) {
    let world = build(house);
    let mut differences = Differences::default();
    let mut current = "";
    for case in table::create() {
        let &[place, policy, by, token] = case.keys.as_slice() else { panic!("four columns") };
        if place == "organization" && policy != current {
            set_policy(house, "organization-none", policy);
            current = policy;
        }
        let (path, at) = match place {
            "organization" => ("organization-none/absent", place),
            "user" => ("user-none-owner/absent", place),
            "taken" => ("user-none-owner/private", "user"),
            "nowhere" => ("nobody/absent", "user"),
            other => panic!("no such place: {other}"),
        };
        let shows = shows(&world, &format!("{at}-none-{by}"), token, path);
        let decision = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, path)?;
            Ok(decide_create(&facts).map(|may| may.visibility()))
        });
        let found = match decision.unwrap() {
            Ok(visibility) => visibility.to_string(),
            Err(refused) => decided::refusal(&refused, "create", None),
        };
        differences.compare(case.line, &case.keys, "create", case.expected[0], &found);
    }
    differences.none();
}

/// The statements of lists say in SQL who sees what; they must say the same as the decision. So must a path that a
/// package had before.
fn a_list_shows_what_can_be_pulled(house: &House) {
    let world = build(house);
    // What holds no version is not listed to the protocol.
    house.database.run(&format!(
        "INSERT INTO manifests (id, digest, media_type, kind, size, payload) VALUES (1, {0}, 'x', 1, 0, {0});
         INSERT INTO versions (package_id, manifest_id, digest, created_at) SELECT id, 1, {0}, 1 FROM packages;
         UPDATE packages SET held = 1;
         INSERT INTO redirects (path, package_id, created_at) SELECT path || '-before', id, 1 FROM packages",
        if world.postgres { "'\\x00'" } else { "X'00'" }
    ));
    let mut differences = Vec::new();
    let mut compared = 0;
    let places = LINKS.map(|link| ("organization", link));
    let places = places.into_iter().chain(["none", "linked", "inherits"].map(|link| ("user", link)));
    for (place, link) in places {
        let callers = if place == "user" { OF_USER.as_slice() } else { &IN_ORGANIZATION };
        let owner = owner_of(place, link);
        // Of somebody else's, what is public.
        let foreign = if place == "user" { owner_of("organization", link) } else { owner_of("user", "none") };
        let mut paths: Vec<_> =
            ["internal", "other", "private", "public"].map(|package| format!("{owner}/{package}")).into();
        paths.extend(["private", "public"].map(|package| format!("{foreign}/{package}")));
        for by in callers.iter().filter(|by| !["anonymous", "worker", "operator"].contains(by)) {
            let tokens =
                ["all", "fine:nothing", "fine:other-package", "fine:owner-read", "fine:package-read"];
            for token in tokens {
                let shows = shows(&world, &format!("{place}-{link}-{by}"), token, "");
                let seen = seen(house, shows, &owner, &paths);
                compared += paths.len();
                let case = format!("{place} {link} {by} {token}");
                let mut compare = |what: &str, found: &[String], expected: &[String]| {
                    if found != expected {
                        differences.push(format!("{case}: {what}: {found:?} and not {expected:?}"));
                    }
                };
                compare("the catalog lists", &seen.listed, &seen.pulled);
                compare("pulls at the paths before", &seen.before, &seen.pulled);
                // The one that is not asked about is private too.
                let kinds = [&["/"][..], &["/private", "/other"], &["/public"]];
                for (found, kind) in seen.of_owner.iter().zip(kinds) {
                    let of_kind = |path: &&String| kind.iter().any(|name| path.contains(name));
                    let expected: Vec<_> = seen.seen.iter().filter(of_kind).cloned().collect();
                    compare("the owner's list has", found, &expected);
                }
            }
        }
    }
    let count = differences.len();
    differences.truncate(40);
    assert_eq!(count, 0, "differences:\n{}", differences.join("\n"));
    assert!(compared > 6_000, "only {compared}");
}

/// What one caller sees of some packages, by each way to see it.
struct Seen {
    /// In the catalog of the protocol.
    listed: Vec<String>,
    /// In the list of the owner: of all, of those that are private, of those that are public.
    of_owner: Vec<Vec<String>>,
    /// By the decision about each of them.
    pulled: Vec<String>,
    /// By the decision about each of the owner's.
    seen: Vec<String>,
    /// By the decision about each at the path that it had before.
    before: Vec<String>,
}

fn seen(house: &House, shows: Presented, owner: &str, paths: &[String]) -> Seen {
    let (owner, paths) = (owner.to_owned(), paths.to_vec());
    let seen = house.read(move |tx| {
        let caller = caller(tx, &shows)?;
        let mut listed = tx.paths_visible(&decide_list(&caller)?, "", 1_000)?;
        listed.retain(|path| paths.contains(path));
        let may = decide_list_in(&tx.namespace_facts(&caller, &owner)?)?;
        let mut of_owner = Vec::new();
        for visibility in [None, Some(Visibility::Private), Some(Visibility::Public)] {
            let place = Window { limit: 100, ..Window::default() };
            let records = tx.packages_in(&may, visibility, &place)?;
            of_owner.push(records.into_iter().map(|record| record.path).collect());
        }
        let (mut pulled, mut seen, mut before) = (Vec::new(), Vec::new(), Vec::new());
        for path in &paths {
            let facts = tx.facts(&caller, path)?;
            if decide::<Pull>(&facts).is_ok() {
                pulled.push(path.clone());
            }
            if decide::<See>(&facts).is_ok() && path.starts_with(&format!("{owner}/")) {
                seen.push(path.clone());
            }
            if decide::<Pull>(&tx.facts_followed(&caller, &format!("{path}-before"))?).is_ok() {
                before.push(path.clone());
            }
        }
        pulled.sort();
        before.sort();
        Ok(Seen { listed, of_owner, pulled, seen, before })
    });
    seen.unwrap()
}

/// The highest role on a package, with the fact it comes from.
fn holds(house: &House, world: &World, name: &str, path: &str) -> String {
    let shows = shows(world, name, "all", path);
    let (highest, _) = decisions(house, vec![shows], path, &[]).remove(0);
    highest.map_or("none".to_owned(), decided::holds)
}

fn what_is_taken_away_is_gone_at_once(house: &House) {
    let world = build(house);
    let in_link = |link: &str, by: &str| {
        holds(house, &world, &format!("organization-{link}-{by}"), &format!("organization-{link}/private"))
    };
    let rows =
        |link: &str, by: &str| format!("(SELECT id FROM accounts WHERE name = 'organization-{link}-{by}')");

    // Leaving a team.
    assert_eq!(in_link("none", "team-write"), "write/team");
    house
        .database
        .run(&format!("DELETE FROM team_members WHERE account_id = {}", rows("none", "team-write")));
    assert_eq!(in_link("none", "team-write"), "none");

    // A team that is taken from under another.
    assert_eq!(in_link("none", "under-team-write"), "write/team");
    house.database.run("UPDATE teams SET parent_id = NULL WHERE slug = 'below-team-write'");
    assert_eq!(in_link("none", "under-team-write"), "none");

    // A role that becomes another one.
    assert_eq!(in_link("none", "robot-write"), "write/robot");
    house.database.run(&format!("UPDATE accounts SET role = 1 WHERE id = {}", rows("none", "robot-write")));
    assert_eq!(in_link("none", "robot-write"), "read/robot");

    // Inheriting ends: what was granted on the package counts again, and the repository's access no more.
    assert_eq!(in_link("inherits", "named-write-collaborator-read"), "read/repository");
    assert_eq!(in_link("inherits", "member"), "read/repository");
    house.database.run("UPDATE packages SET inherits = 0 WHERE path = 'organization-inherits/private'");
    assert_eq!(in_link("inherits", "named-write-collaborator-read"), "write/named");
    assert_eq!(in_link("inherits", "collaborator-admin"), "none");
    assert_eq!(in_link("inherits", "member"), "none");

    // Its repository goes, and it says still that it inherits: nothing is left to inherit, and nothing else counts.
    assert_eq!(in_link("inherits-base-write", "member"), "write/repository");
    house.database.run(
        "UPDATE packages SET repository_id = NULL WHERE path = 'organization-inherits-base-write/private'",
    );
    for by in ["member", "collaborator-admin", "repository-team-admin", "named-admin", "team-admin"] {
        assert_eq!(in_link("inherits-base-write", by), "none", "{by}");
    }
    assert_eq!(in_link("inherits-base-write", "owner"), "admin/owner");

    // Another repository than the one that it is tied to counts for nothing.
    assert_eq!(in_link("inherits-base-none", "collaborator-admin"), "admin/repository");
    house.database.run(
        "UPDATE packages SET repository_id = (SELECT id FROM repositories WHERE path = 'organization-none/source')
         WHERE path = 'organization-inherits-base-none/private'",
    );
    assert_eq!(in_link("inherits-base-none", "collaborator-admin"), "none");
}

fn who_is_suspended_or_shows_what_has_ended_is_nobody(house: &House) {
    let world = build(house);
    let path = "organization-none/public";
    let known = |name: &str, word| {
        let shows = shows(&world, name, word, path);
        house.read(move |tx| Ok(tx.caller(&shows, NOW)?.is_some())).unwrap()
    };
    // Directly, and behind a bearer token; with scopes, and with limits.
    let words = ["all", "all>all", "fine:package-write", "fine-package-write>pull"];
    let all = |name: &str| words.map(|word| known(name, word));
    let end = |column: &str, at: i64, name: &str| {
        house.database.run(&format!(
            "UPDATE tokens SET {column} = {at} WHERE account_id = (SELECT id FROM accounts WHERE name = '{name}')"
        ));
    };
    for name in ["organization-none-owner", "organization-none-robot-admin"] {
        assert_eq!(all(name), [true; 4]);
        end("expires_at", NOW.0 + 1, name);
        assert_eq!(all(name), [true; 4]);
        end("expires_at", NOW.0, name);
        assert_eq!(all(name), [false; 4]);
    }
    let revoked = "organization-none-member";
    end("revoked_at", 1, revoked);
    assert_eq!(all(revoked), [false; 4]);
    let suspended = "organization-none-team-admin";
    assert_eq!(all(suspended), [true; 4]);
    house.database.run(&format!("UPDATE accounts SET suspended_at = 1 WHERE name = '{suspended}'"));
    assert_eq!(all(suspended), [false; 4]);
    // Nobody else was meant.
    assert_eq!(all("organization-none-team-write"), [true; 4]);
}

fn a_robot_owns_nothing_not_even_its_own_name(house: &House) {
    let world = build(house);
    for name in ["organization-none-robot-admin", "organization-none-robot"] {
        let path = format!("{name}/tool");
        let shows = shows(&world, name, "all", &path);
        let asked = name.to_owned();
        let (creates, standing) = house
            .read(move |tx| {
                let caller = caller(tx, &shows)?;
                let creates = decide_create(&tx.facts(&caller, &path)?).is_ok();
                Ok((creates, tx.namespace_facts(&caller, &asked)?.standing()))
            })
            .unwrap();
        assert!(!creates, "{name}");
        assert_eq!(standing, packhouse_access::Standing::Stranger, "{name}");
    }
}

/// Nobody learns by the work that a package exists: not by its visibility, its link or whether it is there.
#[test]
fn the_same_statements_run_for_every_package_and_none() {
    let heard: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let mut databases = vec![crate::database::Database::sqlite()];
    databases.extend(crate::database::Database::postgres());
    for database in databases {
        let listener = heard.clone();
        let house = House::open(database, move |options| {
            options.observer = Some(Arc::new(move |work| listener.lock().unwrap().push(work.statement)));
        });
        let world = build(&house);
        let before = "INSERT INTO redirects (path, package_id, created_at) SELECT path || '-before', id, 1";
        house.database.run(&format!("{before} FROM packages"));
        let mut compared = 0;
        for by in IN_ORGANIZATION {
            let tokens = table::tokens_of(by);
            let tokens = tokens.iter().filter(|word| {
                ["nobody", "operator", "worker", "all", "fine:package-admin", "all>all"].contains(word)
            });
            for token in tokens {
                let work = |link: &str, path: &str| {
                    let shows = shows(&world, &format!("organization-{link}-{by}"), token, path);
                    heard.lock().unwrap().clear();
                    decisions(&house, vec![shows.clone()], path, &["pull", "push"]);
                    let before = format!("{path}-before");
                    let followed = house.read(move |tx| {
                        let caller = caller(tx, &shows)?;
                        Ok(tx.facts_followed(&caller, &before)?.exists())
                    });
                    followed.unwrap();
                    std::mem::take(&mut *heard.lock().unwrap())
                };
                let absent = work("none", "organization-none/absent");
                assert!(absent.contains(&"PACKAGE"), "{absent:?}");
                for link in LINKS {
                    for package in ["private", "internal", "public", "absent"] {
                        let path = format!("organization-{link}/{package}");
                        assert_eq!(work(link, &path), absent, "{by} {token} {path}");
                        compared += 1;
                    }
                }
                assert_eq!(work("none", "nobody/absent"), absent, "{by} {token}");
            }
        }
        assert!(compared > 1_000, "only {compared}");
    }
}
