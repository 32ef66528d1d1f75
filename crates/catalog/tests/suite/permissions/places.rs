//! What is no package: accounts that own things, repositories, teams.

use super::world::POLICIES;
use super::{Differences, build, caller, decided, shows, table};
use crate::house::{House, on_every_database};
use packhouse_access::{
    CreateRepository, DeleteRepository, EditRepository, Govern, Granted, Inspect, LinkRepository,
    ManageRules, ManageTeams, NamespaceAction, NamespaceFacts, Refused, RepositoryAction, RepositoryFacts,
    SeeRepository, SeeUsage, Visibility, decide_create_repository, decide_edit_team, decide_list_in,
    decide_mention_repository, decide_namespace, decide_repository, decide_see_team,
};

on_every_database!(
    accounts_that_own_things_are_open_as_the_table_says,
    repositories_are_open_as_the_table_says,
    teams_are_open_as_the_table_says,
);

fn word<A>(decision: Result<Granted<'_, A>, Refused>) -> String {
    match decision {
        Ok(_) => "yes".to_owned(),
        Err(refused) => decided::refusal(&refused, "", None),
    }
}

/// Compares a case with what was found, act by act.
fn compare(differences: &mut Differences, part: &table::Part, case: &table::Case, found: &[String]) {
    assert_eq!(part.acts.len(), found.len());
    for ((act, expected), found) in part.acts.iter().zip(&case.expected).zip(found) {
        differences.compare(case.line, &case.keys, act, expected, found);
    }
}

fn accounts_that_own_things_are_open_as_the_table_says(house: &House) {
    fn of<A: NamespaceAction>(facts: &NamespaceFacts<'_>) -> String {
        word(decide_namespace::<A>(facts))
    }
    let world = build(house);
    house.database.run(&format!(
        "INSERT INTO {POLICIES} SELECT id, 1, 1, 1, 0, 1, 1, 0 FROM accounts WHERE name = 'organization-linked'"
    ));
    let (part, mut differences) = (table::part("namespaces"), Differences::default());
    for case in table::namespaces() {
        let &[place, by, token] = case.keys.as_slice() else { panic!("three columns") };
        let (at, name) = match place {
            "organization" => ("organization-none", "organization-none"),
            "closed" => ("organization-linked", "organization-linked"),
            "user" => ("user-none", "user-none-owner"),
            "nowhere" => ("user-none", "nobody"),
            other => panic!("no such place: {other}"),
        };
        let shows = shows(&world, &format!("{at}-{by}"), token, "nobody/tool");
        let found = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.namespace_facts(&caller, name)?;
            let make = |visibility| word::<CreateRepository>(decide_create_repository(&facts, visibility));
            Ok([
                of::<Inspect>(&facts),
                of::<ManageTeams>(&facts),
                of::<Govern>(&facts),
                of::<SeeUsage>(&facts),
                of::<ManageRules>(&facts),
                word(decide_list_in(&facts)),
                make(Visibility::Private),
                make(Visibility::Internal),
                make(Visibility::Public),
                word(decide_mention_repository(&facts)),
            ])
        });
        compare(&mut differences, &part, &case, &found.unwrap());
    }
    differences.none();
}

fn repositories_are_open_as_the_table_says(house: &House) {
    fn of<A: RepositoryAction>(facts: &RepositoryFacts<'_>) -> String {
        word(decide_repository::<A>(facts))
    }
    let world = build(house);
    let (part, mut differences) = (table::part("repositories"), Differences::default());
    for case in table::repositories() {
        let &[repository, by, token] = case.keys.as_slice() else { panic!("three columns") };
        let (at, by) = match by {
            "member-base-none" => ("organization-inherits-base-none", "member"),
            _ => ("organization-none", by),
        };
        let shows = shows(&world, &format!("{at}-{by}"), token, "nobody/tool");
        let path = format!("{at}/{repository}");
        let found = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.repository_facts(&caller, &path)?;
            Ok([
                of::<SeeRepository>(&facts),
                of::<EditRepository>(&facts),
                of::<DeleteRepository>(&facts),
                of::<LinkRepository>(&facts),
            ])
        });
        compare(&mut differences, &part, &case, &found.unwrap());
    }
    differences.none();
}

fn teams_are_open_as_the_table_says(house: &House) {
    let world = build(house);
    let (part, mut differences) = (table::part("teams"), Differences::default());
    for case in table::teams() {
        let &[team, by, token] = case.keys.as_slice() else { panic!("three columns") };
        let shows = shows(&world, &format!("organization-none-{by}"), token, "nobody/tool");
        let found = house.read(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.team_facts(&caller, "organization-none", team)?;
            Ok([word(decide_see_team(&facts)), word(decide_edit_team(&facts))])
        });
        compare(&mut differences, &part, &case, &found.unwrap());
    }
    differences.none();
}
