//! Personal access tokens, and what a credential is worth now.

use crate::house::{Actor, House, hash_of, on_every_database, token_of};
use packhouse_access::{
    AccountId, Actions, Bound, Chosen, Limit, Refusal, Role, Scopes, TokenId, Wanted, decide_make_token,
    decide_own,
};
use packhouse_catalog::{LimitRow, Micros, NewToken, Presented, SigningKey, TokenKind, Used, Window};

on_every_database!(
    a_token_says_who_its_holder_is_and_what_it_may,
    a_token_of_nobody_is_no_caller,
    a_second_reading_of_the_same_words_is_tried,
    an_expired_token_is_no_caller,
    a_revoked_token_is_no_caller_and_neither_is_its_bearer_token,
    a_suspended_account_is_no_caller,
    a_bearer_token_brings_its_bound_and_its_tokens_scopes,
    the_operator_and_a_worker_need_no_row,
    tokens_are_listed_in_pages_of_one_account_or_all,
    the_same_token_is_not_stored_twice,
    a_configured_token_replaces_the_one_before,
    a_configured_token_that_comes_back_works_again,
    signing_keys_come_newest_first,
    a_fine_grained_token_reaches_what_it_was_made_for,
    a_token_ends_with_the_one_it_was_made_with,
    own_tokens_are_listed_and_revoked_by_their_holder_alone,
    uses_are_noted_of_what_works_and_never_go_back,
);

/// Account, token and scopes of who shows this at that time.
fn known(
    house: &House,
    shows: &Presented,
    now: Micros,
) -> Option<(Option<AccountId>, Option<TokenId>, Scopes)> {
    let shows = shows.clone();
    let caller = house.read(move |tx| {
        Ok(tx.caller(&shows, now)?.map(|caller| (caller.account(), caller.token(), caller.scopes())))
    });
    caller.unwrap()
}

fn make(house: &House, new: NewToken, now: Micros) -> Option<TokenId> {
    house.operate(move |tx, may| Ok(tx.create_token(may, &new, now)?)).unwrap()
}

fn shown(words: &str) -> Presented {
    Presented::Token { hash: hash_of(words), or: None }
}

fn a_token_says_who_its_holder_is_and_what_it_may(house: &House) {
    let mona = house.user("mona");
    let root = house.site_admin("root");
    let narrow = NewToken { scopes: Scopes::READ, ..token_of(mona.id, hash_of("narrow")) };
    let narrow = make(house, narrow, Micros(1)).unwrap();
    assert_eq!(known(house, &mona.shows, Micros(5)), Some((Some(mona.id), Some(mona.token), Scopes::ALL)));
    assert_eq!(known(house, &shown("narrow"), Micros(5)), Some((Some(mona.id), Some(narrow), Scopes::READ)));
    let admins = house.read(move |tx| {
        let mut admins = Vec::new();
        for shows in [&mona.shows, &root.shows] {
            admins.extend(tx.caller(shows, Micros(5))?.map(|caller| caller.is_site_admin()));
        }
        Ok(admins)
    });
    assert_eq!(admins.unwrap(), [false, true]);
}

fn a_token_of_nobody_is_no_caller(house: &House) {
    let mona = house.user("mona");
    assert_eq!(known(house, &shown("guess"), Micros(5)), None);
    let bearer = Presented::Bearer { token: TokenId(mona.token.0 + 1), bound: Bound::default() };
    assert_eq!(known(house, &bearer, Micros(5)), None);
}

fn a_second_reading_of_the_same_words_is_tried(house: &House) {
    let mona = house.user("mona");
    let or = |first: &str, second: &str| Presented::Token { hash: hash_of(first), or: Some(hash_of(second)) };
    assert_eq!(known(house, &or("guess", "mona"), Micros(5)).unwrap().0, Some(mona.id));
    assert_eq!(known(house, &or("mona", "guess"), Micros(5)).unwrap().0, Some(mona.id));
    assert_eq!(known(house, &or("guess", "another"), Micros(5)), None);
}

fn an_expired_token_is_no_caller(house: &House) {
    let mona = house.user("mona");
    let short = NewToken { expires_at: Some(Micros(100)), ..token_of(mona.id, hash_of("short")) };
    let id = make(house, short, Micros(1)).unwrap();
    let bearer = Presented::Bearer { token: id, bound: Bound::default() };
    for shows in [shown("short"), bearer] {
        assert!(known(house, &shows, Micros(99)).is_some());
        // Expiry is the first moment at which it does not work.
        assert_eq!(known(house, &shows, Micros(100)), None);
        assert_eq!(known(house, &shows, Micros(101)), None);
    }
    assert!(known(house, &mona.shows, Micros(i64::MAX)).is_some(), "one without an expiry stays");
}

fn a_revoked_token_is_no_caller_and_neither_is_its_bearer_token(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let bearer = |of: &Actor| Presented::Bearer { token: of.token, bound: Bound::default() };
    let token = mona.token;
    let revoke = || house.operate(move |tx, may| Ok(tx.revoke_token(may, token, Micros(50))?)).unwrap();
    assert!(revoke());
    assert!(!revoke(), "it did not work any more");
    assert_eq!(known(house, &mona.shows, Micros(5)), None);
    assert_eq!(known(house, &bearer(&mona), Micros(5)), None);
    assert!(known(house, &hubot.shows, Micros(5)).is_some());
    assert!(known(house, &bearer(&hubot), Micros(5)).is_some());
    assert_eq!(house.rows("SELECT revoked_at FROM tokens ORDER BY id"), ["50", "-"]);
}

fn a_suspended_account_is_no_caller(house: &House) {
    let mona = house.user("mona");
    let bearer = Presented::Bearer { token: mona.token, bound: Bound::default() };
    for (since, works) in [(Some(Micros(1)), false), (None, true)] {
        house.operate(move |tx, may| Ok(tx.set_suspended(may, mona.id, since)?)).unwrap();
        assert_eq!(known(house, &mona.shows, Micros(5)).is_some(), works);
        assert_eq!(known(house, &bearer, Micros(5)).is_some(), works);
    }
}

fn a_bearer_token_brings_its_bound_and_its_tokens_scopes(house: &House) {
    use packhouse_access::{Pull, Push, decide};
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let bound = Bound { packages: [("mona/tool".to_owned(), Actions::PULL)].into(), catalog: false };
    let shows = Presented::Bearer { token: mona.token, bound };
    let (pull, push, wider) = house
        .read(move |tx| {
            let caller = tx.caller(&shows, Micros(5))?.unwrap();
            let facts = tx.facts(&caller, "mona/tool")?;
            let (pull, push) = (decide::<Pull>(&facts).is_ok(), decide::<Push>(&facts).is_ok());
            Ok((pull, push, decide::<Push>(&facts.unbound()).is_ok()))
        })
        .unwrap();
    assert_eq!((pull, push, wider), (true, false, true));
}

fn the_operator_and_a_worker_need_no_row(house: &House) {
    assert_eq!(known(house, &Presented::Operator, Micros(0)), Some((None, None, Scopes::ALL)));
    assert_eq!(known(house, &Presented::Worker, Micros(0)), Some((None, None, Scopes::NONE)));
    assert_eq!(
        known(house, &Presented::Anonymous { bound: None }, Micros(0)),
        Some((None, None, Scopes::NONE))
    );
}

fn tokens_are_listed_in_pages_of_one_account_or_all(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let expiring = NewToken {
        name: "ci".to_owned(),
        scopes: Scopes::READ,
        expires_at: Some(Micros(9_000)),
        ..token_of(mona.id, hash_of("ci"))
    };
    let ci = make(house, expiring, Micros(42)).unwrap();
    let list = |account, after, limit| {
        house.operate_reading(move |tx, may| Ok(tx.tokens(may, account, after, limit)?)).unwrap()
    };
    let ids = |account, after, limit| {
        list(account, after, limit).into_iter().map(|token| token.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, TokenId(0), 9), [mona.token, hubot.token, ci]);
    assert_eq!(ids(None, mona.token, 1), [hubot.token]);
    assert_eq!(ids(Some(mona.id), TokenId(0), 9), [mona.token, ci]);
    assert_eq!(ids(Some(mona.id), mona.token, 9), [ci]);
    assert_eq!(ids(Some(hubot.id), hubot.token, 9), Vec::new());

    let found = &list(Some(mona.id), mona.token, 9)[0];
    assert_eq!((found.account.as_str(), found.name.as_str(), found.scopes), ("mona", "ci", Scopes::READ));
    assert_eq!(
        (found.created_at, found.expires_at, found.revoked_at),
        (Micros(42), Some(Micros(9_000)), None)
    );
}

fn the_same_token_is_not_stored_twice(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    assert_eq!(make(house, token_of(hubot.id, hash_of("mona")), Micros(1)), None);
    assert_eq!(known(house, &mona.shows, Micros(5)).unwrap().0, Some(mona.id));
    assert_eq!(house.number("SELECT count(*) FROM tokens"), 2);
}

fn configure(house: &House, account: AccountId, words: &str, now: Micros) {
    let new = NewToken { kind: TokenKind::Configured, ..token_of(account, hash_of(words)) };
    house.operate(move |tx, may| Ok(tx.replace_configured_token(may, &new, now)?)).unwrap();
}

fn a_configured_token_replaces_the_one_before(house: &House) {
    let root = house.site_admin("root");
    configure(house, root.id, "first", Micros(10));
    assert!(known(house, &shown("first"), Micros(11)).is_some());
    // The same at the next start: nothing changes.
    configure(house, root.id, "first", Micros(12));
    assert!(known(house, &shown("first"), Micros(13)).is_some());
    assert_eq!(house.rows("SELECT created_at, revoked_at FROM tokens WHERE kind = 2"), ["10 -"]);

    configure(house, root.id, "second", Micros(14));
    assert_eq!(known(house, &shown("first"), Micros(15)), None);
    assert!(known(house, &shown("second"), Micros(15)).is_some());
    assert!(known(house, &root.shows, Micros(15)).is_some(), "tokens made by hand are nobody's to replace");
    assert_eq!(
        house.rows("SELECT created_at, revoked_at FROM tokens WHERE kind = 2 ORDER BY id"),
        ["10 14", "14 -"]
    );
}

fn a_configured_token_that_comes_back_works_again(house: &House) {
    let (root, mona) = (house.site_admin("root"), house.user("mona"));
    configure(house, root.id, "first", Micros(10));
    configure(house, root.id, "second", Micros(20));
    // Another administrator was configured as well: the token is theirs now.
    configure(house, mona.id, "first", Micros(30));
    assert_eq!(known(house, &shown("first"), Micros(31)).unwrap().0, Some(mona.id));
    assert_eq!(known(house, &shown("second"), Micros(31)), None);
    assert_eq!(house.number("SELECT count(*) FROM tokens WHERE kind = 2"), 2);
}

fn signing_keys_come_newest_first(house: &House) {
    for number in 0..10_u8 {
        let key = SigningKey { name: format!("key-{number}"), private_key: vec![number, 0xff, 0] };
        house.write(move |tx| Ok(tx.create_signing_key(&key, Micros(number.into()))?)).unwrap();
    }
    let keys = house.read(|tx| Ok(tx.signing_keys()?)).unwrap();
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names[..3], ["key-9", "key-8", "key-7"]);
    assert_eq!(names.len(), 8, "older ones sign nothing that still lives");
    assert_eq!(keys[0].private_key, [9, 0xff, 0]);
    assert!(!format!("{:?}", keys[0]).contains("255"), "the private part stays out of logs");
}

/// The proof that mona's token may make one with these limits, and the token.
fn make_limited(house: &House, by: &Actor, words: &'static str, role: Role, ends: Option<i64>) -> TokenId {
    let shows = by.shows.clone();
    house
        .write(move |tx| {
            let caller = tx.caller(&shows, Micros(5))?.unwrap();
            let owner = caller.account().unwrap();
            let wanted = [Wanted { limit: Limit { chosen: Chosen::Owner(owner), role }, owner }];
            let may = decide_make_token(&caller, &wanted)?;
            let new = NewToken {
                kind: TokenKind::FineGrained,
                expires_at: ends.map(Micros),
                ..token_of(AccountId(-1), hash_of(words))
            };
            Ok(tx.make_token(&may, &new, Micros(6))?.unwrap().0)
        })
        .unwrap()
}

fn actor(of: &Actor, words: &str, token: TokenId) -> Actor {
    Actor { token, shows: shown(words), ..of.clone() }
}

fn a_fine_grained_token_reaches_what_it_was_made_for(house: &House) {
    use packhouse_access::{Pull, Push, decide};
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    house.package(&hubot, "hubot/tool");
    house.grant("hubot/tool", &mona, Role::Admin);
    let fine = make_limited(house, &mona, "fine", Role::Read, None);
    let fine = actor(&mona, "fine", fine);
    let (pull, push, elsewhere) = house
        .read(move |tx| {
            let caller = tx.caller(&fine.shows, Micros(7))?.unwrap();
            assert!(caller.is_limited());
            let own = tx.facts(&caller, "mona/tool")?;
            let other = tx.facts(&caller, "hubot/tool")?;
            let push = decide::<Push>(&own).unwrap_err().refusal;
            Ok((decide::<Pull>(&own).is_ok(), push, decide::<Pull>(&other).unwrap_err().refusal))
        })
        .unwrap();
    assert!(pull);
    assert_eq!(push, Refusal::Limit { has: Some(Role::Read), needs: Role::Write });
    assert_eq!(elsewhere, Refusal::NotFound);
    let rows = house.rows("SELECT account_id, kind, scopes, parent_id FROM tokens ORDER BY id DESC LIMIT 1");
    assert_eq!(rows, [format!("{} 3 0 {}", mona.id, mona.token)]);
}

fn a_token_ends_with_the_one_it_was_made_with(house: &House) {
    let mona = house.user("mona");
    let first = make_limited(house, &mona, "first", Role::Write, Some(500));
    let first = actor(&mona, "first", first);
    let second = make_limited(house, &first, "second", Role::Read, None);
    let second = actor(&mona, "second", second);
    make_limited(house, &second, "third", Role::Read, Some(100));
    make_limited(house, &mona, "beside", Role::Read, None);
    let ends = "SELECT expires_at FROM tokens WHERE parent_id IS NOT NULL ORDER BY id";
    assert_eq!(house.rows(ends), ["500", "500", "100", "-"]);
    let token = first.token;
    assert!(house.operate(move |tx, may| Ok(tx.revoke_token(may, token, Micros(50))?)).unwrap());
    let revoked = house.rows("SELECT revoked_at FROM tokens ORDER BY id");
    assert_eq!(revoked, ["-", "50", "50", "50", "-"]);
    // One that was revoked between the question and the making makes none.
    let made = house.write(move |tx| {
        let caller = tx.caller(&mona.shows, Micros(60))?.unwrap();
        let may = decide_make_token(&caller, &[])?;
        let operator = crate::house::operator(tx)?;
        tx.revoke_token(&operator, mona.token, Micros(60))?;
        Ok(tx.make_token(&may, &token_of(AccountId(-1), hash_of("late")), Micros(61))?)
    });
    assert_eq!(made.unwrap(), None);
}

fn own_tokens_are_listed_and_revoked_by_their_holder_alone(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    let fine = make_limited(house, &mona, "fine", Role::Read, None);
    let shows = mona.shows.clone();
    let (ids, limits, kept) = house
        .read(move |tx| {
            let caller = tx.caller(&shows, Micros(7))?.unwrap();
            let may = decide_own(&caller, Scopes::NONE)?;
            let tokens = tx.own_tokens(&may, None, &Window::first(10))?;
            let only = tx.own_tokens(&may, Some(fine), &Window::first(10))?;
            assert_eq!(only.into_iter().map(|token| token.id).collect::<Vec<_>>(), [fine]);
            let next = Window { after: tokens[0].id.to_string(), skip: 0, limit: 10 };
            assert_eq!(tx.own_tokens(&may, None, &next)?.len(), 1);
            let last = tokens.last().unwrap().id;
            let limits = tx.own_token_limits(&may, TokenId(0), last)?;
            let make = decide_make_token(&caller, &[])?;
            let kept = (tx.tokens_kept(&make, 10)?, tx.tokens_kept(&make, 1)?);
            Ok((tokens.into_iter().map(|token| (token.id, token.kind)).collect::<Vec<_>>(), limits, kept))
        })
        .unwrap();
    assert_eq!(ids, [(mona.token, TokenKind::Personal), (fine, TokenKind::FineGrained)]);
    let row = LimitRow { token: fine, owner: Some("mona".into()), package: None, role: Role::Read };
    assert_eq!((limits, kept), (vec![row], (2, 1)));

    let revoke = |by: &Actor, token: TokenId, only: Option<TokenId>| {
        let shows = by.shows.clone();
        house
            .write(move |tx| {
                let caller = tx.caller(&shows, Micros(8))?.unwrap();
                let may = decide_own(&caller, Scopes::NONE)?;
                Ok(tx.revoke_own_token(&may, token, only, Micros(9))?)
            })
            .unwrap()
    };
    assert!(!revoke(&hubot, fine, None), "another account's");
    assert!(!revoke(&mona, mona.token, Some(fine)), "not made with that one");
    assert!(revoke(&mona, fine, Some(mona.token)));
    assert!(!revoke(&mona, fine, None), "it does not work any more");
    assert!(revoke(&mona, mona.token, None));
}

fn uses_are_noted_of_what_works_and_never_go_back(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let note = |uses: Vec<(Used, Micros)>| {
        house
            .write(move |tx| {
                let may = crate::house::collector(tx)?;
                Ok(tx.note_uses(&may, &uses)?)
            })
            .unwrap();
    };
    note(vec![(Used::Hash(hash_of("mona")), Micros(100)), (Used::Id(TokenId(99)), Micros(100))]);
    note(vec![(Used::Id(mona.token), Micros(90)), (Used::Hash(hash_of("guess")), Micros(90))]);
    assert_eq!(house.rows("SELECT last_used_at FROM tokens ORDER BY id"), ["100", "-"]);
    let token = hubot.token;
    house.operate(move |tx, may| Ok(tx.revoke_token(may, token, Micros(50))?)).unwrap();
    note(vec![(Used::Id(mona.token), Micros(110)), (Used::Hash(hash_of("hubot")), Micros(110))]);
    assert_eq!(house.rows("SELECT last_used_at FROM tokens ORDER BY id"), ["110", "-"]);
}
