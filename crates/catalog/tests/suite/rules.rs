//! Rules about tags: what they hold, at every door to a tag.

use crate::house::{
    Actor, Build, Done, Fault, House, caller, delete_package, delete_tag, delete_version, delete_whole,
    image, index, may, may_change, may_end, move_tag, on_every_database, put, restore_version, sha256, tag,
    unlink_blob,
};
use packhouse_access::{
    Administer, Delete, Hold, ManageRules, Pattern, Push, Restore, Role, RuleId, See, TagChange, TagHeld,
    TouchesVersions, decide_move, decide_namespace, decide_package_leave, decide_prune, decide_tag_move,
};
use packhouse_catalog::{Micros, NewTagRule, Presented, WriteTx};

on_every_database!(
    a_rule_holds_tags_at_every_door,
    rules_of_owner_and_package_add_up,
    exceptions_are_left_alone,
    a_package_goes_with_the_tags_that_a_rule_lets_go,
    an_account_does_not_go_with_tags_that_a_rule_holds,
    rules_are_as_many_as_are_let,
    a_rule_is_ended_by_whose_it_is,
    rules_of_others_hold_nothing,
    a_refusal_says_which_tag_and_which_rule,
    a_proof_about_another_package_opens_nothing,
);

/// Tags that the rules of these tests are about.
const HELD: &str = "held*";

fn rule(hold: Hold) -> NewTagRule {
    NewTagRule { hold, pattern: pattern(HELD), except: Vec::new(), lets_package_go: false }
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

pub(crate) fn make_rule<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    shows: &Presented,
    path: &str,
    new: &NewTagRule,
) -> Done<Option<RuleId>> {
    let may = may_change::<Administer>(tx, shows, path)?;
    Ok(tx.create_tag_rule(&may, new, 50, Micros(7))?)
}

pub(crate) fn make_owner_rule<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    shows: &Presented,
    owner: &str,
    new: &NewTagRule,
) -> Done<Option<RuleId>> {
    let caller = caller(tx, shows)?;
    let may = decide_namespace::<ManageRules>(&tx.namespace_facts(&caller, owner)?)?;
    Ok(tx.create_owner_tag_rule(&may, new, 50, Micros(7))?)
}

impl House {
    fn rule(&self, by: &Actor, path: &str, new: &NewTagRule) -> RuleId {
        let (shows, path, new) = (by.shows.clone(), path.to_owned(), new.clone());
        self.write(move |tx| make_rule(tx, &shows, &path, &new)).unwrap().unwrap()
    }

    fn owner_rule(&self, by: &Actor, owner: &str, new: &NewTagRule) -> RuleId {
        let (shows, owner, new) = (by.shows.clone(), owner.to_owned(), new.clone());
        self.write(move |tx| make_owner_rule(tx, &shows, &owner, &new)).unwrap().unwrap()
    }
}

fn one() -> Build {
    image("config", &["layer"])
}

fn other() -> Build {
    image("other", &[])
}

/// The ways to a tag, and what each does to `held`, which points at [`one`] or, where it says so, at an index of it.
const DOORS: [&str; 13] = [
    "make",
    "move",
    "push again",
    "push as something else",
    "delete tag",
    "delete version",
    "delete child",
    "delete whole",
    "retention",
    "delete blob",
    "delete package",
    "rename package",
    "restore version",
];

/// Written by hand. For each door, who gets through when `held` is free, immutable, or protected so that it takes the
/// role write, the role admin, or nobody may: somebody with the role `w`rite or `a`dmin, the worker of `r`etention.
const TABLE: &str = "
door                    free  immutable  write  admin  nobody
make                    wa    wa         wa     a      -
move                    wa    -          wa     a      -
push again              wa    wa         wa     wa     wa
push as something else  wa    -          wa     a      -
delete tag              a     -          a      a      -
delete version          a     -          a      a      -
delete child            a     -          a      a      -
delete whole            a     -          a      a      -
retention               r     -          -      -      -
delete blob             a     -          a      a      -
delete package          a     -          a      a      -
rename package          a     -          a      a      -
restore version         a     a          a      a      -
";

fn a_rule_holds_tags_at_every_door(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let worker = Actor { name: "worker".to_owned(), shows: Presented::Worker, ..mona.clone() };
    let holds: [Option<Hold>; 5] = [
        None,
        Some(Hold::Immutable),
        Some(Hold::Protected(Some(Role::Write))),
        Some(Hold::Protected(Some(Role::Admin))),
        Some(Hold::Protected(None)),
    ];
    let mut table = "\ndoor                    free  immutable  write  admin  nobody\n".to_owned();
    let mut number = 0;
    for door in DOORS {
        let mut cells = Vec::new();
        for hold in holds {
            let mut through = String::new();
            for (letter, by) in [('w', &hubot), ('a', &mona), ('r', &worker)] {
                number += 1;
                let path = format!("mona/p{number}");
                house.package(&mona, &path);
                house.grant(&path, &hubot, Role::Write);
                if passes(house, &mona, by, &path, door, hold) {
                    through.push(letter);
                }
            }
            cells.push(if through.is_empty() { "-".to_owned() } else { through });
        }
        let line = format!("{door:24}{:6}{:11}{:7}{:7}{}", cells[0], cells[1], cells[2], cells[3], cells[4]);
        table.push_str(line.trim_end());
        table.push('\n');
    }
    assert_eq!(table, TABLE);
}

/// Whether somebody gets through a door. Whoever does not has changed nothing, and is told about the tag if it was the
/// tag that held them.
fn passes(
    house: &House,
    owner: &Actor,
    by: &Actor,
    path: &str,
    door: &'static str,
    hold: Option<Hold>,
) -> bool {
    for layer in ["config", "layer", "other"] {
        house.push_blob(owner, path, layer);
    }
    let all = index(&[one().build().digest]).build();
    let first =
        house.push(owner, path, &one().build(), (door != "make" && door != "delete child").then_some("held"));
    house.push(owner, path, &other().build(), Some("free"));
    match door {
        "delete child" => {
            house.push(owner, path, &all, Some("held"));
        }
        "restore version" => {
            let (shows, path) = (owner.shows.clone(), path.to_owned());
            house
                .write(move |tx| {
                    let may = may_change::<Delete>(tx, &shows, &path)?;
                    delete_version(tx, &may, &one().build().digest, Micros(50))
                })
                .unwrap();
        }
        _ => {}
    }
    if let Some(hold) = hold {
        house.rule(owner, path, &rule(hold));
    }
    let before = house.rows("SELECT id, package_id, name, version_id, valid_to FROM tags ORDER BY id");
    let (shows, place, version) = (by.shows.clone(), path.to_owned(), first.version);
    let new = format!("{path}-new");
    let done = house.write(move |tx| {
        let (one, other, now) = (one().build(), other().build(), Micros(60));
        match door {
            "make" | "push again" => {
                let may = may_change::<Push>(tx, &shows, &place)?;
                let pushed = put(tx, &may, &one, now)?;
                move_tag(tx, &may, &tag("held"), pushed.version, now)
            }
            "move" => {
                let may = may_change::<Push>(tx, &shows, &place)?;
                let pushed = put(tx, &may, &other, now)?;
                move_tag(tx, &may, &tag("held"), pushed.version, now)
            }
            "push as something else" => {
                let may = may_change::<Push>(tx, &shows, &place)?;
                let retyped = crate::house::image("config", &["layer"])
                    .sent_as("application/vnd.docker.distribution.manifest.v2+json")
                    .build();
                assert_eq!(retyped.digest, one.digest);
                put(tx, &may, &retyped, now).map(drop)
            }
            "delete tag" => {
                let may = may_change::<Delete>(tx, &shows, &place)?;
                assert!(delete_tag(tx, &may, &tag("held"), now)?);
                Ok(())
            }
            "delete version" | "delete child" => {
                let may = may_change::<Delete>(tx, &shows, &place)?;
                assert!(delete_version(tx, &may, &one.digest, now)?);
                Ok(())
            }
            "delete whole" => {
                let may = may_change::<Delete>(tx, &shows, &place)?;
                delete_whole(tx, &may, (version, &one.digest), now).map(drop)
            }
            "retention" => {
                let caller = caller(tx, &shows)?;
                let may = decide_prune(&tx.facts(&caller, &place)?)?;
                delete_whole(tx, &may, (version, &one.digest), now).map(drop)
            }
            "delete blob" => {
                let may = may_change::<Delete>(tx, &shows, &place)?;
                assert!(unlink_blob(tx, &may, &sha256("layer"), now)?);
                Ok(())
            }
            "delete package" => {
                let may = may_change::<Delete>(tx, &shows, &place)?;
                delete_package(tx, &may, now).map(drop)
            }
            "rename package" => {
                let caller = caller(tx, &shows)?;
                let (from, to) = (tx.facts(&caller, &place)?, tx.facts(&caller, &new)?);
                let may = decide_move(&from, &to)?;
                let end = decide_package_leave(&may, tx.survey_leaving(&may)?)?;
                Ok(tx.move_package(&may, &end, now)?)
            }
            "restore version" => {
                let may = may_change::<Restore>(tx, &shows, &place)?;
                let (deleted, _) = tx.version_to_restore(&may, version)?.unwrap();
                restore_version(tx, &may, &deleted, now).map(drop)
            }
            _ => panic!("an unknown door: {door}"),
        }
    });
    match done {
        Ok(()) => true,
        Err(error) => {
            let after = house.rows("SELECT id, package_id, name, version_id, valid_to FROM tags ORDER BY id");
            assert_eq!(before, after, "{door}");
            match error {
                Fault::Held(held) => {
                    assert_eq!((held.tag.as_str(), Some(held.hold)), ("held", hold), "{door}");
                }
                Fault::Refused(_) => {}
                other => panic!("{door}: {other:?}"),
            }
            false
        }
    }
}

fn push_over(house: &House, by: &Actor, path: &str, name: &str) -> Result<(), TagHeld> {
    let (shows, path, name) = (by.shows.clone(), path.to_owned(), tag(name));
    let done = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, &path)?;
        let pushed = put(tx, &may, &other().build(), Micros(60))?;
        move_tag(tx, &may, &name, pushed.version, Micros(60))
    });
    match done {
        Ok(()) => Ok(()),
        Err(Fault::Held(held)) => Err(held),
        Err(other) => panic!("{other:?}"),
    }
}

/// An organization's rule holds whatever the admin of a package makes beside it.
fn rules_of_owner_and_package_add_up(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.organization("octo", &mona);
    for path in ["octo/app", "octo/web"] {
        house.package(&mona, path);
        house.grant(path, &hubot, Role::Admin);
        house.push(&mona, path, &one().build(), Some("v1"));
        house.push(&mona, path, &one().build(), Some("edge"));
    }
    let of_owner =
        house.owner_rule(&mona, "octo", &NewTagRule { pattern: pattern("v*"), ..rule(Hold::Immutable) });
    let weaker = NewTagRule { pattern: pattern("v*"), ..rule(Hold::Protected(Some(Role::Write))) };
    house.rule(&hubot, "octo/app", &weaker);
    let of_package = house.rule(&hubot, "octo/app", &NewTagRule { pattern: pattern("edge"), ..weaker });
    assert_eq!(push_over(house, &hubot, "octo/app", "v1").unwrap_err().rule, of_owner);
    assert_eq!(push_over(house, &hubot, "octo/web", "v1").unwrap_err().rule, of_owner);
    push_over(house, &hubot, "octo/app", "edge").unwrap();
    push_over(house, &hubot, "octo/web", "edge").unwrap();
    assert!(of_package > of_owner);
    // Members without a say in the organization make none for it.
    let shows = hubot.shows.clone();
    let made = house.write(move |tx| make_owner_rule(tx, &shows, "octo", &rule(Hold::Immutable)));
    assert!(matches!(made, Err(Fault::Refused(_))), "{made:?}");
    // Both kinds are shown to who sees the package.
    let shows = hubot.shows.clone();
    let shown = house.read(move |tx| {
        let may = may::<See>(tx, &shows, "octo/app")?;
        Ok(tx.tag_rules_of(&may)?)
    });
    let shown: Vec<_> = shown
        .unwrap()
        .into_iter()
        .map(|row| format!("{} {} {:?}", row.rule.of, row.rule.pattern, row.created_by))
        .collect();
    assert_eq!(
        shown,
        ["octo v* Some(\"mona\")", "octo/app v* Some(\"hubot\")", "octo/app edge Some(\"hubot\")"]
    );
}

fn exceptions_are_left_alone(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    for name in ["latest", "nightly-1", "v1"] {
        house.push(&mona, "mona/tool", &one().build(), Some(name));
    }
    let except = vec![pattern("latest"), pattern(r"regex:nightly-\d+")];
    house.rule(&mona, "mona/tool", &NewTagRule { pattern: pattern("*"), except, ..rule(Hold::Immutable) });
    push_over(house, &mona, "mona/tool", "latest").unwrap();
    push_over(house, &mona, "mona/tool", "nightly-1").unwrap();
    assert_eq!(push_over(house, &mona, "mona/tool", "v1").unwrap_err().change, TagChange::Move);
}

fn a_package_goes_with_the_tags_that_a_rule_lets_go(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.push(&mona, "mona/tool", &one().build(), Some("held"));
    house.rule(&mona, "mona/tool", &NewTagRule { lets_package_go: true, ..rule(Hold::Immutable) });
    assert!(push_over(house, &mona, "mona/tool", "held").is_err());
    let shows = mona.shows.clone();
    let gone = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, "mona/tool")?;
        delete_package(tx, &may, Micros(60))
    });
    assert!(gone.unwrap());
    // It comes back with its tag where it was, and the rule with it.
    let shows = mona.shows.clone();
    let back = house.write(move |tx| {
        let caller = caller(tx, &shows)?;
        let may = packhouse_access::decide::<Restore>(&tx.facts_deleted(&caller, "mona/tool", Micros(0))?)?;
        Ok(tx.restore_package(&may, Micros(70))?)
    });
    assert!(back.unwrap());
    assert_eq!(house.resolve(&mona, "mona/tool", "held"), Some(one().build().digest));
    assert!(push_over(house, &mona, "mona/tool", "held").is_err());
}

fn an_account_does_not_go_with_tags_that_a_rule_holds(house: &House) {
    let mona = house.user("mona");
    let end = |house: &House| {
        let shows = mona.shows.clone();
        house.write(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.namespace_facts(&caller, "octo")?;
            let may = decide_namespace::<packhouse_access::Govern>(&facts)?;
            let end = packhouse_access::decide_account_end(&may, tx.survey_account(&may)?)?;
            Ok(tx.delete_organization(&may, &end, Micros(70))?)
        })
    };
    house.organization("octo", &mona);
    house.package(&mona, "octo/app");
    house.package(&mona, "octo/web");
    house.push(&mona, "octo/web", &one().build(), Some("held"));
    let id = house.rule(&mona, "octo/web", &rule(Hold::Immutable));
    // The same pattern elsewhere is about other tags.
    house.rule(&mona, "octo/app", &NewTagRule { pattern: pattern("*"), ..rule(Hold::Immutable) });
    house.owner_rule(&mona, "octo", &NewTagRule { pattern: pattern("v*"), ..rule(Hold::Immutable) });
    assert!(matches!(end(house), Err(Fault::Held(held)) if held.rule == id && held.of == "octo/web"));
    let shows = mona.shows.clone();
    let ended = house.write(move |tx| {
        let may = may_change::<Administer>(tx, &shows, "octo/web")?;
        Ok(tx.remove_tag_rule(&may, id)?)
    });
    assert!(ended.unwrap());
    end(house).unwrap();
    assert_eq!(house.number("SELECT count(*) FROM tag_rules WHERE owner_id IS NOT NULL"), 0);
}

fn rules_are_as_many_as_are_let(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let shows = mona.shows.clone();
    let made = house.write(move |tx| {
        let may = may_change::<Administer>(tx, &shows, "mona/tool")?;
        let caller = caller(tx, &shows)?;
        let owner = decide_namespace::<ManageRules>(&tx.namespace_facts(&caller, "mona")?)?;
        let mut made = Vec::new();
        for _ in 0..3 {
            made.push(tx.create_tag_rule(&may, &rule(Hold::Immutable), 2, Micros(1))?.is_some());
            made.push(tx.create_owner_tag_rule(&owner, &rule(Hold::Immutable), 2, Micros(1))?.is_some());
        }
        Ok(made)
    });
    assert_eq!(made.unwrap(), [true, true, true, true, false, false]);
}

/// A number is no right: another's rule is not ended by it.
fn a_rule_is_ended_by_whose_it_is(house: &House) {
    let (mona, eve) = (house.user("mona"), house.user("eve"));
    house.package(&mona, "mona/tool");
    house.package(&eve, "eve/tool");
    let ids = [
        house.rule(&mona, "mona/tool", &rule(Hold::Immutable)),
        house.owner_rule(&mona, "mona", &rule(Hold::Immutable)),
    ];
    let end = |by: &Actor, path: &'static str, owner: &'static str, id: RuleId| {
        let shows = by.shows.clone();
        let ended = house.write(move |tx| {
            let may = may_change::<Administer>(tx, &shows, path)?;
            let caller = caller(tx, &shows)?;
            let of = decide_namespace::<ManageRules>(&tx.namespace_facts(&caller, owner)?)?;
            Ok((tx.remove_tag_rule(&may, id)?, tx.remove_owner_tag_rule(&of, id)?))
        });
        ended.unwrap()
    };
    for id in ids {
        assert_eq!(end(&eve, "eve/tool", "eve", id), (false, false));
    }
    assert_eq!(end(&mona, "mona/tool", "mona", ids[0]), (true, false));
    assert_eq!(end(&mona, "mona/tool", "mona", ids[1]), (false, true));
    assert_eq!(house.number("SELECT count(*) FROM tag_rules"), 0);
}

fn rules_of_others_hold_nothing(house: &House) {
    let (mona, eve) = (house.user("mona"), house.user("eve"));
    for path in ["mona/tool", "mona/other"] {
        house.package(&mona, path);
        house.push(&mona, path, &one().build(), Some("held"));
    }
    house.rule(&mona, "mona/other", &rule(Hold::Immutable));
    house.owner_rule(&eve, "eve", &rule(Hold::Immutable));
    push_over(house, &mona, "mona/tool", "held").unwrap();
    push_over(house, &mona, "mona/other", "held").unwrap_err();
}

fn a_refusal_says_which_tag_and_which_rule(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.push(&mona, "mona/tool", &one().build(), Some("held"));
    let id = house.rule(&mona, "mona/tool", &rule(Hold::Immutable));
    let text = push_over(house, &mona, "mona/tool", "held").unwrap_err().to_string();
    for part in ["`held`", "immutable", &format!("rule {id}"), "`mona/tool`", "`held*`", "another tag"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

/// One transaction may ask about two packages; what it learns of one says nothing of the other.
fn a_proof_about_another_package_opens_nothing(house: &House) {
    let mona = house.user("mona");
    for path in ["mona/one", "mona/two"] {
        house.package(&mona, path);
        house.push(&mona, path, &one().build(), Some("held"));
    }
    let shows = mona.shows.clone();
    let moved = house.write(move |tx| {
        let one = may_change::<Push>(tx, &shows, "mona/one")?;
        let two = may_change::<Push>(tx, &shows, "mona/two")?;
        let pushed = put(tx, &one, &other().build(), Micros(60))?;
        let rules = tx.tag_rules(&two)?;
        let at = tx.tag_at(&two, &tag("held"))?;
        let to = decide_tag_move(&two, &rules, at, pushed.version)?;
        Ok(tx.move_tag(&one, &to, Micros(60))?)
    });
    assert!(matches!(moved, Err(Fault::Catalog(_))), "{moved:?}");
    let shows = mona.shows.clone();
    let ended = house.write(move |tx| {
        let one_may = may_change::<Delete>(tx, &shows, "mona/one")?;
        let two = may_change::<Delete>(tx, &shows, "mona/two")?;
        assert_ne!(TouchesVersions::package(&one_may), TouchesVersions::package(&two));
        let version = tx.live_version(&two, &one().build().digest)?.unwrap();
        let end = may_end(tx, &two, version)?;
        Ok(tx.delete_version(&one_may, &end, Micros(60))?)
    });
    assert!(matches!(ended, Err(Fault::Catalog(_))), "{ended:?}");
}
