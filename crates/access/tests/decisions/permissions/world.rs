//! The rows of everyone and everything that `permissions.txt` names, written by SQL: for whoever asks a catalog or a
//! server about them. They hold the facts, and not how the rows come to be.

// Each of those who share it uses a part.
#![allow(dead_code, reason = "each test that shares this file uses another part of it")]

use super::decided;
use super::table::{self, Chosen, IN_ORGANIZATION, Kind, LINKS, OF_USER, TOKENS};
use packhouse_access::{RepositoryRole, Role, Scopes, TokenId, Visibility};
use std::collections::HashMap;
use std::fmt::Write as _;

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

    fn insert(mut self, run: impl Fn(&str)) {
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
                run(&format!("INSERT INTO {into} VALUES {rows}"));
            }
        }
        assert!(self.text.is_empty(), "rows of no table: {:?}", self.text.keys());
    }
}

pub(crate) const POLICIES: &str =
    "policies (organization_id, packages_private, packages_internal, packages_public,
    packages_default, packages_inherit, base_role, members_create_repositories)";

/// The world of the table: an organization for each link, and a user for each that a user's package can have, with
/// every caller of the table's and every token of theirs.
pub(crate) struct World {
    pub(crate) postgres: bool,
    hash: fn(&str) -> [u8; 32],
    rows: Rows,
    /// Owns packages, and is not asked about.
    globex: i64,
    /// By caller's name and token's word.
    pub(crate) tokens: HashMap<(String, &'static str), TokenId>,
}

/// The name of who owns the packages.
pub(crate) fn owner_of(place: &str, link: &str) -> String {
    if place == "user" { format!("user-{link}-owner") } else { format!("organization-{link}") }
}

impl World {
    /// Writes it by `run`, into an empty catalog or one with few rows; `hash` is SHA-256.
    pub(crate) fn new(postgres: bool, hash: fn(&str) -> [u8; 32], run: impl Fn(&str)) -> World {
        let rows = Rows { ids: 1_000, text: HashMap::new() };
        let mut world = World { postgres, hash, rows, globex: 0, tokens: HashMap::new() };
        world.globex = world.account("globex", ORGANIZATION, false, None);
        for link in LINKS {
            world.organization(link);
        }
        for link in ["none", "linked", "inherits"] {
            world.user(link);
        }
        std::mem::take(&mut world.rows).insert(run);
        world
    }

    /// A token in the clear, by its holder's name and its word.
    pub(crate) fn secret(name: &str, word: &str) -> String {
        format!("{name} {word}")
    }

    /// The word for the token behind a bearer token's.
    pub(crate) fn behind(word: &str) -> &'static str {
        let (behind, _) = word.split_once('>').unwrap();
        let behind = behind.replacen("fine-", "fine:", 1);
        TOKENS.into_iter().find(|word| *word == behind).unwrap()
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
        let repositories = self.repositories(organization, &name);
        let teams = self.teams(organization, repositories[0], &packages);
        let others = if link == "none" { ["in", "maintains"].as_slice() } else { &[] };
        for by in IN_ORGANIZATION.iter().chain(others).copied() {
            let robot = match by {
                "robot" | "robot-named-write" => Some((organization, None)),
                "other-robot" => Some((self.globex, Some(Role::Admin))),
                _ => by.strip_prefix("robot-").map(|role| (organization, Some(role.parse().unwrap()))),
            };
            let Some(account) = self.caller(&format!("organization-{link}"), by, robot) else { continue };
            let team = teams.get(by.strip_prefix("named-read-").unwrap_or(by));
            if ["member", "owner", "in", "maintains"].contains(&by) || team.is_some() {
                let row = format!("{organization}, {account}, {}", i64::from(by == "owner"));
                self.rows.add("memberships (organization_id, account_id, owner)", &row);
            }
            if let Some(team) = team {
                let row = format!("{team}, {account}, 0");
                self.rows.add("team_members (team_id, account_id, maintainer)", &row);
            }
            if others.contains(&by) {
                for team in [teams["visible"], teams["secret"]] {
                    let row = format!("{team}, {account}, {}", i64::from(by == "maintains"));
                    self.rows.add("team_members (team_id, account_id, maintainer)", &row);
                }
            }
            self.grants(by.strip_prefix("robot-").unwrap_or(by), account, &packages, &repositories);
            self.tokens_of(&format!("organization-{link}-{by}"), account, organization, &packages);
        }
    }

    fn user(&mut self, link: &str) {
        let owner = self.caller(&format!("user-{link}"), "owner", None).unwrap();
        let name = owner_of("user", link);
        let packages = self.packages(owner, &name, link, &["private", "public"]);
        let repositories = self.repositories(owner, &name);
        for by in OF_USER {
            let robot = (by == "other-robot").then_some((self.globex, Some(Role::Admin)));
            let account = match by {
                "owner" => Some(owner),
                _ => self.caller(&format!("user-{link}"), by, robot),
            };
            let Some(account) = account else { continue };
            self.grants(by, account, &packages, &repositories);
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

    /// The repository that packages are tied to, and one of each visibility.
    fn repositories(&mut self, owner: i64, at: &str) -> Vec<i64> {
        let one = |name: &&str| {
            let (id, visibility) = (self.rows.id(), name.parse().unwrap_or(Visibility::Private).number());
            self.rows.add(
                "repositories (id, owner_id, path, name, visibility, default_branch, created_at, updated_at)",
                &format!("{id}, {owner}, '{at}/{name}', '{name}', {visibility}, 'main', 1, 1"),
            );
            id
        };
        ["source", "private", "internal", "public"].iter().map(one).collect()
    }

    /// The teams that callers are in, by the caller's name; those above and below lie two apart.
    fn teams(&mut self, organization: i64, repository: i64, packages: &[i64]) -> HashMap<String, i64> {
        let mut teams = HashMap::new();
        let mut team = |rows: &mut Rows, slug: &str, parent: Option<i64>| {
            let (id, secret) = (rows.id(), i64::from(slug == "secret"));
            let parent = parent.map_or("NULL".to_owned(), |parent| parent.to_string());
            rows.add(
                "teams (id, organization_id, slug, name, secret, parent_id, created_at, updated_at)",
                &format!("{id}, {organization}, '{slug}', '{slug}', {secret}, {parent}, 1, 1"),
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
        team(&mut self.rows, "visible", None);
        team(&mut self.rows, "secret", None);
        teams
    }

    /// What a caller's name says is granted to them by name, on the package and in the repository.
    fn grants(&mut self, by: &str, account: i64, packages: &[i64], repositories: &[i64]) {
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
                    for repository in repositories {
                        let row = format!("{repository}, {account}, {role}");
                        self.rows.add("repository_accounts (repository_id, account_id, role)", &row);
                    }
                }
                _ => {}
            }
        }
    }

    /// Every token of an account; of the packages, the last is not asked about.
    fn tokens_of(&mut self, name: &str, account: i64, owner: i64, packages: &[i64]) {
        let (other, asked) = packages.split_last().unwrap();
        let mut words = [TOKENS.as_slice(), &table::tokens_of_places()].concat();
        words.retain(|word| !word.contains('>') && !["nobody", "operator", "worker"].contains(word));
        words.sort_unstable();
        words.dedup();
        for word in words {
            let (id, kind) = (self.rows.id(), table::token(word).kind);
            let (number, scopes) = match kind {
                // Scopes that must not count.
                Kind::Fine(_) => (FINE_GRAINED, Scopes::ALL),
                _ => (CLASSIC, decided::scopes(&kind)),
            };
            let hash = (self.hash)(&World::secret(name, word));
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
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
}
