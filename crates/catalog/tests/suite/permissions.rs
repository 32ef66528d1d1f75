//! The rows give each caller what the table of permissions says: the catalog's facts with the decisions, for every
//! caller, visibility, link, token and action.
//!
//! The rows are written here by SQL, so that the table holds the facts and not how the rows come to be.

#[path = "../../../access/tests/decisions/permissions/decided.rs"]
mod decided;
#[path = "../../../access/tests/decisions/permissions/table.rs"]
mod table;

use crate::house::{House, NOW, hash_of, on_every_database};
use packhouse_access::{
    Action, Administer, Because, Caller, Delete, PackageFacts, Pull, Push, Refused, RepositoryRole, Restore,
    Role, Scopes, See, TokenId, Visibility, decide, decide_create, decide_list, decide_publish,
    explain_roles,
};
use packhouse_catalog::{CatalogError, Presented, ReadTx};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use table::{Chosen, IN_ORGANIZATION, Kind, LINKS, OF_USER, TOKENS};

on_every_database!(
    everyone_does_what_the_table_says,
    a_visibility_is_given_as_the_table_says,
    a_package_is_created_as_the_table_says,
    a_list_shows_what_can_be_pulled,
    what_is_taken_away_is_gone_at_once,
    who_is_suspended_or_shows_what_has_ended_is_nobody,
    a_robot_owns_nothing_not_even_its_own_name,
);

const USER: i64 = 1;
const ORGANIZATION: i64 = 2;
const ROBOT: i64 = 3;
const CLASSIC: i64 = 1;
const FINE_GRAINED: i64 = 3;

/// Rows to insert, each with an id of the world's own.
#[derive(Default)]
struct Rows {
    ids: i64,
    text: HashMap<&'static str, String>,
}

impl Rows {
    fn id(&mut self) -> i64 {
        self.ids += 1;
        self.ids
    }

    /// A row of a table with its columns.
    fn add(&mut self, into: &'static str, row: &str) {
        let text = self.text.entry(into).or_default();
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}({row})").unwrap();
    }

    fn insert(mut self, house: &House) {
        let order = [
            "accounts (id, name, login, kind, site_admin, organization_id, role, created_at, updated_at)",
            "memberships (organization_id, account_id, owner)",
            POLICIES,
            "teams (id, organization_id, slug, name, secret, parent_id, created_at, updated_at)",
            "team_members (team_id, account_id, maintainer)",
            "repositories (id, owner_id, path, name, visibility, default_branch, created_at, updated_at)",
            "repository_accounts (repository_id, account_id, role)",
            "repository_teams (repository_id, team_id, role)",
            "packages (id, owner_id, path, visibility, repository_id, inherits, created_at)",
            "package_grants (package_id, account_id, role, granted_at)",
            "package_teams (package_id, team_id, role, granted_at)",
            "tokens (id, account_id, kind, name, hash, scopes, created_at)",
            "token_limits (token_id, owner_id, package_id, role)",
        ];
        for into in order {
            if let Some(rows) = self.text.remove(into) {
                house.database.run(&format!("INSERT INTO {into} VALUES {rows}"));
            }
        }
        assert!(self.text.is_empty(), "rows of no table: {:?}", self.text.keys());
    }
}

const POLICIES: &str = "policies (organization_id, packages_private, packages_internal, packages_public,
    packages_default, packages_inherit, base_role, members_create_repositories)";

/// The world of the table: an organization for each link, and a user for each that a user's package can have, with
/// every caller of the table's and every token of theirs.
struct World {
    postgres: bool,
    rows: Rows,
    /// Owns packages, and is not asked about.
    globex: i64,
    /// By caller's name and token's word.
    tokens: HashMap<(String, &'static str), TokenId>,
}

/// The name of who owns the packages.
fn owner_of(place: &str, link: &str) -> String {
    if place == "user" { format!("user-{link}-owner") } else { format!("organization-{link}") }
}

impl World {
    fn new(house: &House) -> World {
        let postgres = house.is_on_postgres();
        let mut world = World { postgres, rows: Rows::default(), globex: 0, tokens: HashMap::new() };
        world.globex = world.account("globex", ORGANIZATION, false, None);
        for link in LINKS {
            world.organization(link);
        }
        for link in ["none", "linked", "inherits"] {
            world.user(link);
        }
        std::mem::take(&mut world.rows).insert(house);
        world
    }

    fn account(
        &mut self,
        name: &str,
        kind: i64,
        site_admin: bool,
        robot: Option<(i64, Option<Role>)>,
    ) -> i64 {
        let id = self.rows.id();
        let number = |value: Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
        let organization = number(robot.map(|(organization, _)| organization));
        let role = number(robot.and_then(|(_, role)| role).map(Role::number));
        let admin = i64::from(site_admin);
        self.rows.add(
            "accounts (id, name, login, kind, site_admin, organization_id, role, created_at, updated_at)",
            &format!("{id}, '{name}', '{name}', {kind}, {admin}, {organization}, {role}, 1, 1"),
        );
        id
    }

    fn organization(&mut self, link: &str) {
        let name = owner_of("organization", link);
        let organization = self.account(&name, ORGANIZATION, false, None);
        let base = match link {
            "inherits-base-none" => Some(0),
            "inherits-base-write" => Some(RepositoryRole::Write.number()),
            // No row: the default, read.
            _ => None,
        };
        if let Some(base) = base {
            self.rows.add(POLICIES, &format!("{organization}, 1, 1, 1, 0, 1, {base}, 1"));
        }
        let packages = self.packages(organization, &name, link, &["private", "internal", "public"]);
        let repository = self.repository(organization, &name);
        let teams = self.teams(organization, repository, &packages);
        for by in IN_ORGANIZATION {
            let robot = match by {
                "robot" | "robot-named-write" => Some((organization, None)),
                "other-robot" => Some((self.globex, Some(Role::Admin))),
                _ => by.strip_prefix("robot-").map(|role| (organization, Some(role.parse().unwrap()))),
            };
            let Some(account) = self.caller(&format!("organization-{link}"), by, robot) else { continue };
            let team = teams.get(by.strip_prefix("named-read-").unwrap_or(by));
            if by == "member" || by == "owner" || team.is_some() {
                let row = format!("{organization}, {account}, {}", i64::from(by == "owner"));
                self.rows.add("memberships (organization_id, account_id, owner)", &row);
            }
            if let Some(team) = team {
                let row = format!("{team}, {account}, 0");
                self.rows.add("team_members (team_id, account_id, maintainer)", &row);
            }
            self.grants(by.strip_prefix("robot-").unwrap_or(by), account, &packages, repository);
            self.tokens_of(&format!("organization-{link}-{by}"), account, organization, &packages);
        }
    }

    fn user(&mut self, link: &str) {
        let owner = self.caller(&format!("user-{link}"), "owner", None).unwrap();
        let name = owner_of("user", link);
        let packages = self.packages(owner, &name, link, &["private", "public"]);
        let repository = self.repository(owner, &name);
        for by in OF_USER {
            let robot = (by == "other-robot").then_some((self.globex, Some(Role::Admin)));
            let account = match by {
                "owner" => Some(owner),
                _ => self.caller(&format!("user-{link}"), by, robot),
            };
            let Some(account) = account else { continue };
            self.grants(by, account, &packages, repository);
            self.tokens_of(&format!("user-{link}-{by}"), account, owner, &packages);
        }
    }

    /// The account of a caller, who is one.
    fn caller(&mut self, at: &str, by: &str, robot: Option<(i64, Option<Role>)>) -> Option<i64> {
        if ["anonymous", "worker", "operator"].contains(&by) {
            return None;
        }
        let kind = if robot.is_some() { ROBOT } else { USER };
        Some(self.account(&format!("{at}-{by}"), kind, by == "site-admin", robot))
    }

    /// A package of each visibility, which gets the repository that is made next, and one that is not asked about.
    fn packages(&mut self, owner: i64, at: &str, link: &str, visibilities: &[&str]) -> Vec<i64> {
        let first = self.rows.ids + 1;
        let repository = first + i64::try_from(visibilities.len()).unwrap() + 1;
        let linked = if link == "none" { "NULL".to_owned() } else { repository.to_string() };
        let inherits = i64::from(link.starts_with("inherits"));
        let mut packages = Vec::new();
        for name in visibilities.iter().chain(&["other"]) {
            let (id, visibility) = (self.rows.id(), name.parse().unwrap_or(Visibility::Private).number());
            self.rows.add(
                "packages (id, owner_id, path, visibility, repository_id, inherits, created_at)",
                &format!("{id}, {owner}, '{at}/{name}', {visibility}, {linked}, {inherits}, 1"),
            );
            packages.push(id);
        }
        packages
    }

    fn repository(&mut self, owner: i64, at: &str) -> i64 {
        let id = self.rows.id();
        self.rows.add(
            "repositories (id, owner_id, path, name, visibility, default_branch, created_at, updated_at)",
            &format!("{id}, {owner}, '{at}/source', 'source', 0, 'main', 1, 1"),
        );
        id
    }

    /// The teams that callers are in, by the caller's name; those above and below lie two apart.
    fn teams(&mut self, organization: i64, repository: i64, packages: &[i64]) -> HashMap<String, i64> {
        let mut teams = HashMap::new();
        let mut team = |rows: &mut Rows, slug: &str, parent: Option<i64>| {
            let id = rows.id();
            let parent = parent.map_or("NULL".to_owned(), |parent| parent.to_string());
            rows.add(
                "teams (id, organization_id, slug, name, secret, parent_id, created_at, updated_at)",
                &format!("{id}, {organization}, '{slug}', '{slug}', 0, {parent}, 1, 1"),
            );
            teams.insert(slug.to_owned(), id);
            id
        };
        for role in ["read", "write", "admin"] {
            let slug = format!("team-{role}");
            let above = team(&mut self.rows, &format!("above-{slug}"), None);
            let between = team(&mut self.rows, &format!("between-{slug}"), Some(above));
            let itself = team(&mut self.rows, &slug, Some(between));
            let below = team(&mut self.rows, &format!("below-{slug}"), Some(itself));
            team(&mut self.rows, &format!("under-{slug}"), Some(below));
            let number = role.parse::<Role>().unwrap().number();
            for package in packages {
                let row = format!("{package}, {itself}, {number}, 1");
                self.rows.add("package_teams (package_id, team_id, role, granted_at)", &row);
            }
        }
        for role in ["read", "triage", "write", "maintain", "admin"] {
            let slug = format!("repository-team-{role}");
            let above = team(&mut self.rows, &format!("above-{slug}"), None);
            let itself = team(&mut self.rows, &slug, Some(above));
            team(&mut self.rows, &format!("under-{slug}"), Some(itself));
            let number = role.parse::<RepositoryRole>().unwrap().number();
            let row = format!("{repository}, {itself}, {number}");
            self.rows.add("repository_teams (repository_id, team_id, role)", &row);
        }
        teams
    }

    /// What a caller's name says is granted to them by name, on the package and in the repository.
    fn grants(&mut self, by: &str, account: i64, packages: &[i64], repository: i64) {
        let words: Vec<_> = by.split('-').collect();
        for pair in words.windows(2) {
            match pair {
                ["named", role] => {
                    let role = role.parse::<Role>().unwrap().number();
                    for package in packages {
                        let row = format!("{package}, {account}, {role}, 1");
                        self.rows.add("package_grants (package_id, account_id, role, granted_at)", &row);
                    }
                }
                ["collaborator", role] => {
                    let role = role.parse::<RepositoryRole>().unwrap().number();
                    let row = format!("{repository}, {account}, {role}");
                    self.rows.add("repository_accounts (repository_id, account_id, role)", &row);
                }
                _ => {}
            }
        }
    }

    /// Every token of an account; of the packages, the last is not asked about.
    fn tokens_of(&mut self, name: &str, account: i64, owner: i64, packages: &[i64]) {
        let (other, asked) = packages.split_last().unwrap();
        for word in TOKENS.into_iter().filter(|word| !word.contains('>')) {
            let (id, kind) = (self.rows.id(), table::token(word).kind);
            let (number, scopes) = match kind {
                // Scopes that must not count.
                Kind::Fine(_) => (FINE_GRAINED, Scopes::ALL),
                _ => (CLASSIC, decided::scopes(&kind)),
            };
            let hash: String =
                hash_of(&format!("{name} {word}")).iter().map(|byte| format!("{byte:02x}")).collect();
            let hash = if self.postgres { format!("'\\x{hash}'") } else { format!("X'{hash}'") };
            self.rows.add(
                "tokens (id, account_id, kind, name, hash, scopes, created_at)",
                &format!("{id}, {account}, {number}, '{word}', {hash}, {}, 1", scopes.number()),
            );
            if let Kind::Fine(limits) = kind {
                for (chosen, role) in limits {
                    let role = role.parse::<Role>().unwrap().number();
                    let rows: Vec<_> = match chosen {
                        Chosen::Owner => vec![format!("{id}, {owner}, NULL, {role}")],
                        Chosen::OtherOwner => vec![format!("{id}, {}, NULL, {role}", self.globex)],
                        Chosen::OtherPackage => vec![format!("{id}, NULL, {other}, {role}")],
                        Chosen::Package => {
                            asked.iter().map(|package| format!("{id}, NULL, {package}, {role}")).collect()
                        }
                    };
                    for row in rows {
                        self.rows.add("token_limits (token_id, owner_id, package_id, role)", &row);
                    }
                }
            }
            self.tokens.insert((name.to_owned(), word), TokenId(id));
        }
    }

    /// What a caller shows.
    fn shows(&self, name: &str, word: &'static str, path: &str) -> Presented {
        let token = table::token(word);
        let bound = token.carries.as_ref().map(|carries| decided::bound(carries, path));
        match (token.kind, bound) {
            (Kind::Operator, _) => Presented::Operator,
            (Kind::Worker, _) => Presented::Worker,
            (Kind::Nobody, bound) => Presented::Anonymous { bound },
            (_, None) => Presented::Token { hash: hash_of(&format!("{name} {word}")), or: None },
            (_, Some(bound)) => {
                let behind = word.split_once('>').unwrap().0.replacen("fine-", "fine:", 1);
                let behind = TOKENS.into_iter().find(|word| *word == behind).unwrap();
                Presented::Bearer { token: self.tokens[&(name.to_owned(), behind)], bound }
            }
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
    let world = World::new(house);
    let acts = table::part("actions").acts;
    let expected: HashMap<Vec<&str>, table::Case> =
        table::actions().into_iter().map(|case| (case.keys.clone(), case)).collect();
    let mut differences = Differences::default();
    let mut asked = 0;
    for role in table::roles() {
        let &[place, package, link, by] = role.keys.as_slice() else { panic!("four columns") };
        let path = format!("{}/{package}", owner_of(place, link));
        let name = format!("{place}-{link}-{by}");
        let tokens = table::tokens_of(by);
        let shown = tokens.iter().map(|token| world.shows(&name, token, &path)).collect();
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
    assert!(asked > 100_000, "only {asked} cases");
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
    let world = World::new(house);
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
        let shows = world.shows(&format!("{place}-none-{by}"), token, &path);
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
    let world = World::new(house);
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
        let shows = world.shows(&format!("{at}-none-{by}"), token, path);
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

/// The statement of the list says in SQL who sees what; it must say the same as the decision.
fn a_list_shows_what_can_be_pulled(house: &House) {
    let world = World::new(house);
    // What holds no version is not listed.
    house.database.run(&format!(
        "INSERT INTO manifests (id, digest, media_type, kind, size, payload) VALUES (1, {0}, 'x', 1, 0, {0});
         INSERT INTO versions (package_id, manifest_id, digest, created_at) SELECT id, 1, {0}, 1 FROM packages",
        if world.postgres { "'\\x00'" } else { "X'00'" }
    ));
    let mut differences = Vec::new();
    let mut compared = 0;
    let places = LINKS.map(|link| ("organization", link));
    let places = places.into_iter().chain(["none", "linked", "inherits"].map(|link| ("user", link)));
    for (place, link) in places {
        let callers = if place == "user" { OF_USER.as_slice() } else { &IN_ORGANIZATION };
        let owner = owner_of(place, link);
        let mut paths: Vec<_> =
            ["private", "internal", "public", "other"].map(|package| format!("{owner}/{package}")).into();
        // Of somebody else's, what is public.
        let foreign = if place == "user" { owner_of("organization", link) } else { owner_of("user", "none") };
        paths.extend(["private", "public"].map(|package| format!("{foreign}/{package}")));
        for by in callers.iter().filter(|by| !["anonymous", "worker", "operator"].contains(by)) {
            let tokens = TOKENS.into_iter().filter(|word| {
                ["all", "read"].contains(word) || (word.starts_with("fine:") && !word.ends_with("-admin"))
            });
            for token in tokens {
                let shows = world.shows(&format!("{place}-{link}-{by}"), token, "");
                let asked = paths.clone();
                let (listed, pulled) = house
                    .read(move |tx| {
                        let caller = caller(tx, &shows)?;
                        let may = decide_list(&caller)?;
                        let mut listed = tx.paths_visible(&may, "", 1_000)?;
                        listed.retain(|path| asked.contains(path));
                        let mut pulled = Vec::new();
                        for path in &asked {
                            if decide::<Pull>(&tx.facts(&caller, path)?).is_ok() {
                                pulled.push(path.clone());
                            }
                        }
                        pulled.sort();
                        Ok((listed, pulled))
                    })
                    .unwrap();
                compared += paths.len();
                if listed != pulled {
                    differences.push(format!("{place} {link} {by} {token}: {listed:?} but {pulled:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "listed, but pulled:\n{}", differences.join("\n"));
    assert!(compared > 10_000, "only {compared}");
}

/// The highest role on a package, with the fact it comes from.
fn holds(house: &House, world: &World, name: &str, path: &str) -> String {
    let shows = world.shows(name, "all", path);
    let (highest, _) = decisions(house, vec![shows], path, &[]).remove(0);
    highest.map_or("none".to_owned(), decided::holds)
}

fn what_is_taken_away_is_gone_at_once(house: &House) {
    let world = World::new(house);
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
    let world = World::new(house);
    let path = "organization-none/public";
    let known = |name: &str, word| {
        let shows = world.shows(name, word, path);
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
    let world = World::new(house);
    for name in ["organization-none-robot-admin", "organization-none-robot"] {
        let path = format!("{name}/tool");
        let shows = world.shows(name, "all", &path);
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
            options.observer = Some(Arc::new(move |name| listener.lock().unwrap().push(name)));
        });
        let world = World::new(&house);
        let mut compared = 0;
        for by in IN_ORGANIZATION {
            let tokens = table::tokens_of(by);
            let tokens = tokens.iter().filter(|word| {
                ["nobody", "operator", "worker", "all", "fine:package-admin", "all>all"].contains(word)
            });
            for token in tokens {
                let work = |link: &str, path: &str| {
                    let shows = world.shows(&format!("organization-{link}-{by}"), token, path);
                    heard.lock().unwrap().clear();
                    decisions(&house, vec![shows], path, &["pull", "push"]);
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
