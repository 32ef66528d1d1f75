//! Robots of an organization.

use crate::house::{Actor, Done, House, caller, hash_of, may, on_every_database};
use packhouse_access::{
    AccountId, Because, Govern, Granted, Pull, Push, Refusal, Role, Scopes, TokenId, decide_namespace,
};
use packhouse_catalog::{AccountKind, Micros, NewToken, Presented, ReadTx, TokenKind, Window, WriteTx};

on_every_database!(
    a_robot_has_its_role_on_all_packages_of_its_organization_and_on_no_others,
    a_robot_that_is_deleted_loses_tokens_and_roles_and_its_name_is_free,
    robots_of_another_organization_are_out_of_reach,
    robots_are_listed_by_name_and_changed,
);

fn govern<'tx>(tx: &mut ReadTx<'_, 'tx>, by: &Presented, org: &str) -> Done<Granted<'tx, Govern>> {
    let caller = caller(tx, by)?;
    Ok(decide_namespace::<Govern>(&tx.namespace_facts(&caller, org)?)?)
}

fn governing<T: Send + 'static>(
    house: &House,
    org: &'static str,
    mut body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>, &Granted<'tx, Govern>) -> Done<T> + Send + 'static,
) -> T {
    house
        .write(move |tx| {
            let may = govern(tx, &Presented::Operator, org)?;
            body(tx, &may)
        })
        .unwrap()
}

/// Makes a robot with a token of the three scopes for packages.
fn robot(house: &House, org: &'static str, name: &'static str, role: Option<Role>) -> Actor {
    let hash = hash_of(name);
    let (id, token) = governing(house, org, move |tx, may| {
        let id = tx.create_robot(may, name, role, Some("deploys"), Micros(7))?.unwrap();
        Ok((id, tx.create_robot_token(may, &token_of(id, hash), Micros(8))?.unwrap()))
    });
    Actor { name: name.to_owned(), id, token, shows: Presented::Token { hash, or: None } }
}

fn token_of(account: AccountId, hash: [u8; 32]) -> NewToken {
    let scopes = Scopes::WRITE.with(Scopes::DELETE);
    NewToken { account, kind: TokenKind::Personal, name: "ci".into(), hash, scopes, expires_at: None }
}

/// Why the actor may pull and push, or why not.
fn decided(house: &House, by: &Actor, path: &'static str) -> [Result<Because, Refusal>; 2] {
    let shows = by.shows.clone();
    house
        .read(move |tx| {
            let because = |done: Done<Because>| match done {
                Ok(because) => Ok(because),
                Err(crate::house::Fault::Refused(refused)) => Err(refused.refusal),
                Err(fault) => panic!("{fault:?}"),
            };
            let pull = may::<Pull>(tx, &shows, path).map(|may| may.because());
            let push = may::<Push>(tx, &shows, path).map(|may| may.because());
            Ok([because(pull), because(push)])
        })
        .unwrap()
}

fn works(house: &House, by: &Actor) -> bool {
    let shows = by.shows.clone();
    house.read(move |tx| Ok(tx.caller(&shows, Micros(9))?.is_some())).unwrap()
}

fn a_robot_has_its_role_on_all_packages_of_its_organization_and_on_no_others(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    house.organization("octo", &mona);
    for path in ["acme/one", "acme/two", "octo/one", "mona/one"] {
        house.package(&mona, path);
    }
    let reader = robot(house, "acme", "acme+reader", Some(Role::Read));
    let writer = robot(house, "acme", "acme+writer", Some(Role::Write));
    let plain = robot(house, "acme", "acme+plain", None);
    let (read, write) = (Because::Robot(Role::Read), Because::Robot(Role::Write));
    for path in ["acme/one", "acme/two"] {
        let needs = Err(Refusal::Role { has: Role::Read, needs: Role::Write });
        assert_eq!(decided(house, &reader, path), [Ok(read), needs]);
        assert_eq!(decided(house, &writer, path), [Ok(write), Ok(write)]);
        assert_eq!(decided(house, &plain, path), [Err(Refusal::NotFound), Err(Refusal::NotFound)]);
    }
    for path in ["octo/one", "mona/one"] {
        assert_eq!(decided(house, &writer, path), [Err(Refusal::NotFound), Err(Refusal::NotFound)]);
    }
    // And what it was given by name, like a user.
    house.grant("acme/one", &plain, Role::Write);
    let granted = Ok(Because::Granted(Role::Write));
    assert_eq!(decided(house, &plain, "acme/one"), [granted.clone(), granted]);
    let holder = house
        .read(move |tx| {
            let caller = caller(tx, &plain.shows)?;
            Ok(tx.token_holder(&caller)?.unwrap())
        })
        .unwrap();
    assert_eq!((holder.login.as_str(), holder.account_kind), ("acme+plain", AccountKind::Robot));
}

fn a_robot_that_is_deleted_loses_tokens_and_roles_and_its_name_is_free(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    house.package(&mona, "acme/one");
    let bot = robot(house, "acme", "acme+bot", Some(Role::Write));
    let other = robot(house, "acme", "acme+other", Some(Role::Write));
    house.grant("acme/one", &bot, Role::Admin);
    assert!(works(house, &bot));
    let id = bot.id;
    assert!(governing(house, "acme", move |tx, may| Ok(tx.delete_robot(may, id, Micros(20))?)));
    assert!(!governing(house, "acme", move |tx, may| Ok(tx.delete_robot(may, id, Micros(21))?)));
    assert!(!works(house, &bot) && works(house, &other));
    assert_eq!(
        house.rows("SELECT COUNT(*) FROM package_grants WHERE role = 3"),
        ["1"],
        "the maker's is left"
    );
    let tokens = format!("SELECT revoked_at FROM tokens WHERE account_id = {id}");
    assert_eq!(house.rows(&tokens), ["20"]);
    let dead = governing(house, "acme", move |tx, may| {
        Ok(tx.create_robot_token(may, &token_of(id, hash_of("late")), Micros(22))?)
    });
    assert_eq!(dead, None, "no token for one that is gone");
    let again =
        governing(house, "acme", |tx, may| Ok(tx.create_robot(may, "acme+bot", None, None, Micros(23))?));
    assert!(again.is_some_and(|new| new > id));
}

fn robots_of_another_organization_are_out_of_reach(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    house.organization("octo", &mona);
    let bot = robot(house, "acme", "acme+bot", Some(Role::Read));
    let (id, token): (AccountId, TokenId) = (bot.id, bot.token);
    let before = house.rows("SELECT name, role, description, updated_at FROM accounts ORDER BY id");
    governing(house, "octo", move |tx, may| {
        assert!(tx.robot(may, "acme+bot")?.is_none());
        assert!(tx.robots(may, &Window::first(10))?.is_empty());
        assert!(!tx.set_robot(may, id, Some(Role::Admin), None, Micros(30))?);
        assert!(!tx.delete_robot(may, id, Micros(30))?);
        assert!(tx.create_robot_token(may, &token_of(id, hash_of("octo")), Micros(30))?.is_none());
        assert!(!tx.revoke_robot_token(may, id, token, Micros(30))?);
        assert!(tx.robot_tokens(may, id, &Window::first(10))?.is_empty());
        // A user is no robot either.
        assert!(!tx.delete_robot(may, AccountId(1), Micros(30))?);
        Ok(())
    });
    assert_eq!(house.rows("SELECT name, role, description, updated_at FROM accounts ORDER BY id"), before);
    assert!(works(house, &bot));
    // Nor is another robot's token its own.
    let second = robot(house, "acme", "acme+second", None);
    let theirs = second.token;
    assert!(!governing(house, "acme", move |tx, may| Ok(tx.revoke_robot_token(
        may,
        id,
        theirs,
        Micros(31)
    )?)));
    assert!(governing(house, "acme", move |tx, may| Ok(tx.revoke_robot_token(
        may,
        id,
        token,
        Micros(31)
    )?)));
    assert!(!works(house, &bot) && works(house, &second));
}

fn robots_are_listed_by_name_and_changed(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    for name in ["acme+c", "acme+a", "acme+b"] {
        robot(house, "acme", name, None);
    }
    let listed = |after: &'static str, skip, limit| {
        governing(house, "acme", move |tx, may| {
            let window = Window { after: after.to_owned(), skip, limit };
            Ok(tx.robots(may, &window)?.into_iter().map(|robot| robot.name).collect::<Vec<_>>())
        })
    };
    assert_eq!(listed("", 0, 2), ["acme+a", "acme+b"]);
    assert_eq!(listed("acme+b", 0, 2), ["acme+c"]);
    assert_eq!(listed("", 2, 2), ["acme+c"]);
    let taken =
        governing(house, "acme", |tx, may| Ok(tx.create_robot(may, "acme+a", None, None, Micros(9))?));
    assert_eq!(taken, None);
    let changed = governing(house, "acme", |tx, may| {
        let id = tx.robot(may, "acme+b")?.unwrap().id;
        assert!(tx.set_robot(may, id, Some(Role::Admin), None, Micros(40))?);
        Ok(tx.robot(may, "acme+b")?.unwrap())
    });
    assert_eq!(
        (changed.role, changed.description, changed.updated_at),
        (Some(Role::Admin), None, Micros(40))
    );
}
