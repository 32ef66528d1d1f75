//! Accounts and memberships.

use crate::house::{Fault, House, on_every_database};
use packhouse_access::AccountId;
use packhouse_catalog::{AccountKind, CatalogError, Micros};

on_every_database!(
    an_account_is_found_by_its_name,
    a_name_is_taken_once_by_users_and_organizations_alike,
    accounts_are_listed_by_kind_in_pages,
    administering_the_site_is_given_and_taken,
    a_suspension_is_remembered_and_lifted,
    memberships_are_made_changed_and_ended,
    a_membership_of_nobody_is_an_error,
    an_account_that_was_never_made_has_no_token,
);

fn an_account_is_found_by_its_name(house: &House) {
    let mona = house.user("mona");
    let found = house.read(|tx| Ok(tx.account("mona")?)).unwrap().unwrap();
    assert_eq!((found.id, found.name.as_str(), found.kind), (mona.id, "mona", AccountKind::User));
    assert!(!found.site_admin && found.suspended_at.is_none());
    assert!(found.created_at > Micros(0));
    // The catalog compares bytes: who asks brings lower case.
    assert!(house.read(|tx| Ok(tx.account("Mona")?)).unwrap().is_none());
    assert!(house.read(|tx| Ok(tx.account("")?)).unwrap().is_none());
}

fn a_name_is_taken_once_by_users_and_organizations_alike(house: &House) {
    house.user("mona");
    for kind in [AccountKind::User, AccountKind::Organization] {
        let again =
            house.operate(move |tx, may| Ok(tx.create_account(may, "mona", kind, true, Micros(9))?));
        assert_eq!(again.unwrap(), None);
    }
    assert_eq!(house.rows("SELECT name, kind, site_admin FROM accounts"), ["mona 1 0"]);
}

fn accounts_are_listed_by_kind_in_pages(house: &House) {
    let mona = house.user("mona");
    for name in ["zoe", "abe", "b-9", "b.9", "b0"] {
        house.user(name);
    }
    house.organization("acme", &mona);
    let page = |kind, after: &'static str, limit| {
        let accounts = house.operate_reading(move |tx, may| Ok(tx.accounts(may, kind, after, limit)?));
        accounts.unwrap().into_iter().map(|account| account.name).collect::<Vec<_>>()
    };
    // The order of bytes, on any database and in any locale: `-` `.` digits letters.
    assert_eq!(page(AccountKind::User, "", 9), ["abe", "b-9", "b.9", "b0", "mona", "zoe"]);
    assert_eq!(page(AccountKind::User, "", 2), ["abe", "b-9"]);
    assert_eq!(page(AccountKind::User, "b-9", 2), ["b.9", "b0"]);
    assert_eq!(page(AccountKind::User, "zoe", 2), Vec::<String>::new());
    assert_eq!(page(AccountKind::Organization, "", 9), ["acme"]);
}

fn administering_the_site_is_given_and_taken(house: &House) {
    let mona = house.user("mona");
    let hubot = house.user("hubot");
    for given in [true, false] {
        house.operate(move |tx, may| Ok(tx.set_site_admin(may, mona.id, given)?)).unwrap();
        assert_eq!(house.read(|tx| Ok(tx.account("mona")?)).unwrap().unwrap().site_admin, given);
        assert!(!house.read(|tx| Ok(tx.account("hubot")?)).unwrap().unwrap().site_admin, "{hubot:?}");
    }
}

fn a_suspension_is_remembered_and_lifted(house: &House) {
    let mona = house.user("mona");
    let hubot = house.user("hubot");
    for since in [Some(Micros(77)), None] {
        house.operate(move |tx, may| Ok(tx.set_suspended(may, mona.id, since)?)).unwrap();
        assert_eq!(house.read(|tx| Ok(tx.account("mona")?)).unwrap().unwrap().suspended_at, since);
        assert_eq!(
            house.read(|tx| Ok(tx.account("hubot")?)).unwrap().unwrap().suspended_at,
            None,
            "{hubot:?}"
        );
    }
}

fn memberships_are_made_changed_and_ended(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    let other = house.organization("other", &hubot);
    let members = |after: &'static str, limit| {
        let members = house.operate_reading(move |tx, may| Ok(tx.members(may, acme, after, limit)?)).unwrap();
        members.into_iter().map(|member| (member.name, member.owner)).collect::<Vec<_>>()
    };
    let owners = |of| house.operate(move |tx, may| Ok(tx.owners(may, of)?)).unwrap();
    assert_eq!((members("", 9), owners(acme)), (vec![("mona".to_owned(), true)], vec![mona.id]));

    house.join(acme, &hubot, false);
    let both = [("hubot".to_owned(), false), ("mona".to_owned(), true)];
    assert_eq!((members("", 9), owners(acme)), (both.to_vec(), vec![mona.id]));
    assert_eq!((members("", 1), members("hubot", 9)), (both[..1].to_vec(), both[1..].to_vec()));

    house.join(acme, &hubot, true);
    assert_eq!(members("", 1), [("hubot".to_owned(), true)]);
    assert_eq!(owners(acme).len(), 2);

    let remove = || house.operate(move |tx, may| Ok(tx.remove_member(may, acme, hubot.id)?)).unwrap();
    assert!(remove());
    assert!(!remove(), "there was none to end");
    assert_eq!((members("", 9).len(), owners(acme), owners(other)), (1, vec![mona.id], vec![hubot.id]));
}

fn a_membership_of_nobody_is_an_error(house: &House) {
    let acme = house.organization("acme", &house.user("mona"));
    let put = house.operate(move |tx, may| Ok(tx.put_member(may, acme, AccountId(9_999), false)?));
    assert!(
        matches!(put, Err(Fault::Catalog(CatalogError::Sqlite { .. } | CatalogError::Postgres { .. }))),
        "{put:?}"
    );
    assert_eq!(house.number("SELECT count(*) FROM memberships"), 1);
}

/// The row of `RETURNING` must not be handed out before the foreign keys were checked: an answer that was made of it
/// would acknowledge what is undone.
fn an_account_that_was_never_made_has_no_token(house: &House) {
    let made = house.operate(move |tx, may| {
        Ok(tx.create_token(may, &crate::house::token_of(AccountId(9_999), [7; 32]), Micros(1))?)
    });
    assert!(
        matches!(made, Err(Fault::Catalog(CatalogError::Sqlite { .. } | CatalogError::Postgres { .. }))),
        "{made:?}"
    );
    assert_eq!(house.number("SELECT count(*) FROM tokens"), 0);
}
