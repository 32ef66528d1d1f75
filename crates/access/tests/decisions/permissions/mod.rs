//! `permissions.txt` against the decisions: visibility × caller × link × token × action, and what is no package.
//!
//! The facts of each caller are written here as the catalog gives them; that it does is shown by the catalog's own
//! tests, which ask the same table of the rows.

mod decided;
mod table;

use decided::Ids;
use packhouse_access::{
    AccountId, Action, Administer, Because, Brand, Caller, CreateRepository, Delete, DeleteRepository,
    EditRepository, Given, Govern, Granted, Inspect, LinkRepository, ManageRules, ManageTeams,
    NamespaceAction, NamespaceFacts, PackageFacts, PackageId, Policy, Pull, Push, Refused, RepositoryAction,
    RepositoryFacts, RepositoryId, RepositoryRole, Restore, Role, Scopes, See, SeeRepository, SeeUsage,
    Standing, TeamFacts, TeamId, TokenId, Visibility, Who, decide, decide_create, decide_create_repository,
    decide_edit_team, decide_list_in, decide_mention_repository, decide_move, decide_namespace, decide_own,
    decide_publish, decide_repository, decide_see_team, explain_roles, with_brand,
};
use table::Case;

const ASKER: AccountId = AccountId(7);
const OWNER: AccountId = AccountId(10);
const PACKAGE: PackageId = PackageId(100);
const REPOSITORY: RepositoryId = RepositoryId(200);
const TEAM: TeamId = TeamId(300);
const PATH: &str = "acme/tool";
const IDS: Ids =
    Ids { owner: OWNER, package: PACKAGE, other_owner: AccountId(11), other_package: PackageId(101) };

/// Who asks, with a token by its word.
fn caller<'tx>(brand: &Brand<'tx>, caller: &str, token: &'static str) -> Caller<'tx> {
    let account = |site_admin| Who::Account { id: ASKER, site_admin };
    let who = match caller {
        "anonymous" => Who::Anonymous,
        "operator" => Who::Operator,
        "worker" => Who::Worker,
        "site-admin" => account(true),
        _ => account(false),
    };
    let token = table::token(token);
    let bound = token.carries.as_ref().map(|carries| decided::bound(carries, PATH));
    let id = matches!(who, Who::Account { .. }).then_some(TokenId(1));
    let made = Caller::new(brand, who, id, decided::scopes(&token.kind), bound);
    match decided::limits(&token.kind, &IDS) {
        Some(limits) => made.limited(brand, limits),
        None => made,
    }
}

/// What a caller is to the owner of the package.
fn standing(caller: &str) -> Standing {
    const INSIDE: [&str; 6] = ["member", "team-", "under-", "above-", "repository-team-", "named-read-team-"];
    match caller {
        "owner" => Standing::Owner,
        "in" | "maintains" => Standing::Member,
        _ if INSIDE.iter().any(|begin| caller.starts_with(begin)) => Standing::Member,
        _ if caller.starts_with("robot") => Standing::Robot,
        _ => Standing::Stranger,
    }
}

/// The roles that the catalog finds on a package that is there.
fn given(place: &str, link: &str, caller: &str) -> Vec<Given> {
    let mut given = Vec::new();
    let role = |word: &str| -> Role { word.parse().unwrap() };
    let in_repository =
        |word: &str| -> Given { Given::Repository(REPOSITORY, word.parse::<RepositoryRole>().unwrap()) };
    if let Some(of_robot) = caller.strip_prefix("robot-").filter(|word| *word != "named-write") {
        given.push(Given::Robot(role(of_robot)));
    }
    let (named, team, repository) = match caller {
        "under-team-write" => (None, Some("write"), None),
        "under-repository-team-admin" => (None, None, Some("admin")),
        "robot-named-write" => (Some("write"), None, None),
        "named-write-collaborator-read" => (Some("write"), None, Some("read")),
        "named-read-collaborator-admin" => (Some("read"), None, Some("admin")),
        "named-read-team-write" => (Some("read"), Some("write"), None),
        _ => (
            caller.strip_prefix("named-"),
            caller.strip_prefix("team-"),
            caller.strip_prefix("collaborator-").or_else(|| caller.strip_prefix("repository-team-")),
        ),
    };
    if link.starts_with("inherits") {
        given.extend(repository.map(in_repository));
        let base = match link {
            "inherits" => Some("read"),
            "inherits-base-write" => Some("write"),
            _ => None,
        };
        let member = standing(caller) >= Standing::Member && place == "organization";
        given.extend(base.filter(|_| member).map(in_repository));
    } else {
        given.extend(named.map(|word| Given::Account(role(word))));
        given.extend(team.map(|word| Given::Team(TEAM, role(word))));
    }
    given
}

/// The facts about a package, with what the catalog knows of this caller.
fn facts<'tx>(brand: &Brand<'tx>, case: &[&'static str], token: &'static str) -> PackageFacts<'tx> {
    let &[place, package, link, by] = case else { panic!("four columns") };
    let asks = caller(brand, by, token);
    let package = visibility(package).map(|visibility| (PACKAGE, visibility));
    let standing = standing(by);
    let facts = PackageFacts::new(brand, &asks, PATH, Some(OWNER), standing, package, None);
    // On what is not there nothing was granted but to robots, which have their role everywhere.
    let given = given(place, link, by);
    let given = given.into_iter().filter(|given| package.is_some() || matches!(given, Given::Robot(_)));
    let facts = facts.given(brand, given);
    if place == "organization" { facts.under(brand, Policy::default()) } else { facts }
}

fn visibility(word: &str) -> Option<Visibility> {
    (word != "absent").then(|| word.parse().unwrap())
}

/// Asks for an action by its name; a proof must be about the package that was asked about.
fn ask(facts: &PackageFacts<'_>, action: &str) -> Result<Because, Refused> {
    fn of<A: Action>(facts: &PackageFacts<'_>) -> Result<Because, Refused> {
        decide::<A>(facts).map(|may| {
            assert_eq!((may.package(), may.owner(), may.path()), (PACKAGE, OWNER, PATH));
            assert_eq!(may.account(), facts.caller().account());
            may.because()
        })
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

/// What differs, told together: a rule that is wrong shows by the pattern.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, line: usize, case: &[&str], act: &str, expected: &str, found: &str) {
        if expected != found {
            let case = case.join(" ");
            self.0.push(format!("line {line}: {case}: {act}: expected {expected}, found {found}"));
        }
    }
}

impl Drop for Differences {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let (count, first) = (self.0.len(), self.0.iter().take(40));
            assert!(count == 0, "{count} differences:\n{}", first.cloned().collect::<Vec<_>>().join("\n"));
        }
    }
}

#[test]
fn everyones_role_comes_from_the_fact_that_the_table_names() {
    let mut differences = Differences::default();
    let cases = table::roles();
    for case in &cases {
        let token = table::tokens_of(case.keys[3]);
        let token = if token.contains(&"all") { "all" } else { token[0] };
        let found = with_brand(|brand| explain_roles(&facts(&brand, &case.keys, token)).first().copied());
        let found = found.map_or("none".to_owned(), |(_, because)| decided::holds(because));
        differences.compare(case.line, &case.keys, "role", case.expected[0], &found);
    }
    assert_eq!(cases.len(), 36 * 16 + 17 * 7, "a case was lost");
}

#[test]
fn every_caller_with_every_token_does_what_the_table_says() {
    let mut differences = Differences::default();
    let acts = table::part("actions").acts;
    let expected = table::actions();
    let mut asked = 0;
    for role in table::roles() {
        let (package, by) = (role.keys[1], role.keys[3]);
        let (holds, _) = role.expected[0].split_once('/').unwrap_or(("none", ""));
        for token in table::tokens_of(by) {
            let case = expected.iter().find(|case| case.keys == [package, holds, *token]).unwrap();
            with_brand(|brand| {
                let facts = facts(&brand, &role.keys, token);
                for (act, expected) in acts.iter().zip(&case.expected) {
                    let found = ask(&facts, act);
                    let found = match &found {
                        Ok(because) => {
                            assert_eq!(decided::holds(*because), role.expected[0], "{:?}", role.keys);
                            "yes".to_owned()
                        }
                        Err(refused) => decided::refusal(refused, act, holds.parse().ok()),
                    };
                    let keys = [role.keys.as_slice(), &[*token]].concat();
                    differences.compare(case.line, &keys, act, expected, &found);
                    asked += 1;
                }
            });
        }
    }
    assert!(asked > 100_000, "only {asked} cases");
}

#[test]
fn a_visibility_is_given_as_the_table_says() {
    let mut differences = Differences::default();
    let acts = table::part("publish").acts;
    for case in table::publish() {
        let (place, policy, by) = (case.keys[0], case.keys[1], case.keys[2]);
        let tokens = table::tokens_of(by);
        let token = if tokens.contains(&"all") { "all" } else { tokens[0] };
        for (act, expected) in acts.iter().zip(&case.expected) {
            let found = with_brand(|brand| {
                let facts = facts(&brand, &[place, "private", "none", by], token);
                let facts = match decided::policy(policy) {
                    Some(policy) => facts.under(&brand, policy),
                    None => facts,
                };
                let wanted = act.parse().unwrap();
                decide_publish(&facts, wanted).map(|may| {
                    assert_eq!((may.package(), may.visibility()), (PACKAGE, wanted));
                })
            });
            let has = by.rsplit_once('-').and_then(|(_, role)| role.parse().ok());
            let found = match found {
                Ok(()) => "yes".to_owned(),
                Err(refused) => decided::refusal(&refused, "administer", has),
            };
            differences.compare(case.line, &case.keys, act, expected, &found);
        }
    }
}

#[test]
fn a_package_is_created_as_the_table_says() {
    let mut differences = Differences::default();
    let cases = table::create();
    for case in &cases {
        let &[place, policy, by, token] = case.keys.as_slice() else { panic!("four columns") };
        let found = with_brand(|brand| {
            let asks = caller(&brand, by, token);
            let package = (place == "taken").then_some((PACKAGE, Visibility::Private));
            let owner = (place != "nowhere").then_some(OWNER);
            let standing = if place == "nowhere" { Standing::Stranger } else { standing(by) };
            let facts = PackageFacts::new(&brand, &asks, PATH, owner, standing, package, None);
            let robot = given(place, "none", by).into_iter();
            let facts = facts.given(&brand, robot.filter(|given| matches!(given, Given::Robot(_))));
            let facts = match decided::policy(policy) {
                Some(policy) => facts.under(&brand, policy),
                None => facts,
            };
            decide_create(&facts).map(|may| {
                assert_eq!((may.namespace(), may.path()), (OWNER, PATH));
                may.visibility()
            })
        });
        let found = match found {
            Ok(visibility) => visibility.to_string(),
            Err(refused) => decided::refusal(&refused, "create", None),
        };
        differences.compare(case.line, &case.keys, "create", case.expected[0], &found);
    }
    assert!(cases.len() > 2_000, "only {} cases", cases.len());
}

fn word<A>(decision: Result<Granted<'_, A>, Refused>) -> String {
    match decision {
        Ok(_) => "yes".to_owned(),
        Err(refused) => decided::refusal(&refused, "", None),
    }
}

/// Compares a part that is not about packages; `ask` decides one act of one case.
fn compare(part: &'static str, cases: &[Case], ask: impl for<'tx> Fn(&Brand<'tx>, &Case, &str) -> String) {
    let mut differences = Differences::default();
    for case in cases {
        for (act, expected) in table::part(part).acts.iter().zip(&case.expected) {
            let found = with_brand(|brand| ask(&brand, case, act));
            differences.compare(case.line, &case.keys, act, expected, &found);
        }
    }
}

fn namespace<'tx>(brand: &Brand<'tx>, place: &str, by: &str, token: &'static str) -> NamespaceFacts<'tx> {
    let asks = caller(brand, by, token);
    let there = place != "nowhere";
    let standing = if there { standing(by) } else { Standing::Stranger };
    let policy = ["organization", "closed"].contains(&place).then(Policy::default);
    NamespaceFacts::new(brand, &asks, "acme", there.then_some(OWNER), standing, policy, place != "closed")
}

#[test]
fn accounts_that_own_things_are_open_as_the_table_says() {
    fn of<A: NamespaceAction>(facts: &NamespaceFacts<'_>) -> String {
        word(decide_namespace::<A>(facts))
    }
    let cases = table::namespaces();
    compare("namespaces", &cases, |brand, case, act| {
        let facts = namespace(brand, case.keys[0], case.keys[1], case.keys[2]);
        let make = |visibility| word::<CreateRepository>(decide_create_repository(&facts, visibility));
        match act {
            "read" => of::<Inspect>(&facts),
            "teams" => of::<ManageTeams>(&facts),
            "govern" => of::<Govern>(&facts),
            "usage" => of::<SeeUsage>(&facts),
            "rules" => of::<ManageRules>(&facts),
            "list" => word(decide_list_in(&facts)),
            "make-private" => make(Visibility::Private),
            "make-internal" => make(Visibility::Internal),
            "make-public" => make(Visibility::Public),
            "mention" => word(decide_mention_repository(&facts)),
            other => panic!("no such act: {other}"),
        }
    });
    assert!(cases.len() * 10 > 700, "only {} cases", cases.len());
}

#[test]
fn repositories_are_open_as_the_table_says() {
    fn of<A: RepositoryAction>(facts: &RepositoryFacts<'_>) -> String {
        word(decide_repository::<A>(facts))
    }
    let cases = table::repositories();
    compare("repositories", &cases, |brand, case, act| {
        let (shown, by, token) = (visibility(case.keys[0]), case.keys[1], case.keys[2]);
        let asks = caller(brand, by, token);
        let repository = shown.map(|visibility| (REPOSITORY, visibility));
        let role = match by {
            "member" => Some(RepositoryRole::Read),
            _ => by.strip_prefix("collaborator-").map(|role| role.parse().unwrap()),
        };
        let role = role.filter(|_| shown.is_some());
        let facts =
            RepositoryFacts::new(brand, &asks, "acme/source", Some(OWNER), standing(by), repository, role);
        match act {
            "see" => of::<SeeRepository>(&facts),
            "edit" => of::<EditRepository>(&facts),
            "delete" => of::<DeleteRepository>(&facts),
            "link" => of::<LinkRepository>(&facts),
            other => panic!("no such act: {other}"),
        }
    });
    assert!(cases.len() * 4 > 400, "only {} cases", cases.len());
}

#[test]
fn teams_are_open_as_the_table_says() {
    let cases = table::teams();
    compare("teams", &cases, |brand, case, act| {
        let (team, by, token) = (case.keys[0], case.keys[1], case.keys[2]);
        let organization = namespace(brand, "organization", by, token);
        let there = (team != "absent").then_some(TEAM);
        let member = match by {
            "in" => Some(false),
            "maintains" => Some(true),
            _ => None,
        };
        let facts = TeamFacts::new(brand, organization, there, team == "secret", member);
        match act {
            "see" => word(decide_see_team(&facts)),
            "edit" => word(decide_edit_team(&facts)),
            other => panic!("no such act: {other}"),
        }
    });
    assert!(cases.len() * 2 > 200, "only {} cases", cases.len());
}

#[test]
fn ones_own_account_is_open_as_the_table_says() {
    let cases = table::own();
    compare("own", &cases, |brand, case, act| {
        let scopes = match act {
            "name" => Scopes::NONE,
            "profile" => Scopes::USER,
            "organizations" => Scopes::READ_ORG,
            other => panic!("no such act: {other}"),
        };
        word(decide_own(&caller(brand, case.keys[0], case.keys[1]), scopes))
    });
}

#[test]
fn packages_are_moved_as_the_table_says() {
    const ELSEWHERE: AccountId = AccountId(20);
    let mut differences = Differences::default();
    let cases = table::moves();
    for case in &cases {
        let &[package, by, to, token] = case.keys.as_slice() else { panic!("four columns") };
        let found = with_brand(|brand| {
            let from = facts(&brand, &["organization", package, "none", by], token);
            let here = standing(by);
            let (owner, at, policy) = match to {
                "same" | "taken" => (Some(OWNER), here, "private+internal"),
                "own" => (Some(ASKER), Standing::Owner, "none"),
                "member" => (Some(ELSEWHERE), Standing::Member, "private+internal+public"),
                "strict" => (Some(ELSEWHERE), Standing::Member, "private"),
                "owned" => (Some(ELSEWHERE), Standing::Owner, "nothing"),
                "foreign" => (Some(ELSEWHERE), Standing::Stranger, "private+internal+public"),
                "nowhere" => (None, Standing::Stranger, "none"),
                other => panic!("no such place: {other}"),
            };
            let there = (to == "taken").then_some((PackageId(102), Visibility::Private));
            let facts = PackageFacts::new(&brand, from.caller(), "new/tool", owner, at, there, None);
            // What a robot has on all packages it has at the new place too, if that is its organization's.
            let robot = given("organization", "none", by).into_iter().filter(|_| owner == Some(OWNER));
            let facts = facts.given(&brand, robot.filter(|given| matches!(given, Given::Robot(_))));
            let facts = match decided::policy(policy) {
                Some(policy) => facts.under(&brand, policy),
                None => facts,
            };
            decide_move(&from, &facts).map(|may| {
                assert_eq!((may.package(), Some(may.namespace()), may.path()), (PACKAGE, owner, "new/tool"));
            })
        });
        let has = if by == "named-write" { Role::Write } else { Role::Read };
        let found = match found {
            Ok(()) => "yes".to_owned(),
            Err(refused) => decided::refusal(&refused, "administer", Some(has)),
        };
        differences.compare(case.line, &case.keys, "move", case.expected[0], &found);
    }
    assert!(cases.len() > 200, "only {} cases", cases.len());
}
