//! Sign-in by a code.

use crate::house::{Actor, House, caller, collector, hash_of, on_every_database, operator};
use packhouse_access::{Scopes, decide_hand_on, decide_own};
use packhouse_catalog::{DeviceAsked, DeviceState, Micros, NewDevice, Presented, TokenKind};

on_every_database!(
    an_approved_code_gives_one_token_of_its_approver,
    a_code_that_was_refused_gives_none,
    a_code_is_decided_once_and_in_its_time,
    the_operator_approves_for_a_user,
    who_approved_and_may_no_longer_sign_in_gives_nothing,
    codes_are_removed_some_time_after_their_end,
);

fn begin(house: &House, code: &str) -> bool {
    let new = NewDevice {
        device_hash: hash_of(&format!("device {code}")),
        user_hash: hash_of(code),
        client: "gh".to_owned(),
        scopes: Scopes::REPO.with(Scopes::READ_ORG),
        poll_seconds: 5,
        expires_at: Micros(1_000),
    };
    house.write(move |tx| Ok(tx.begin_device(&new, Micros(100))?)).unwrap()
}

/// Approves with the actor's token; whether there was something to approve.
fn approve(house: &House, by: &Actor, code: &str, now: i64) -> bool {
    let (shows, hash) = (by.shows.clone(), hash_of(code));
    house
        .write(move |tx| {
            let caller = caller(tx, &shows)?;
            let asked = tx.device_asked(&hash, Micros(now))?.map_or(Scopes::NONE, |asked| asked.scopes);
            let may = decide_hand_on(&caller, asked)?;
            Ok(tx.approve_device(&may, &hash, Micros(now))?)
        })
        .unwrap()
}

/// The state in a word and, where it is approved, whether it gives a token.
fn redeem(house: &House, code: &str, now: i64) -> String {
    let (hash, token) = (hash_of(&format!("device {code}")), hash_of(&format!("token {code}")));
    house
        .write(move |tx| {
            let Some(device) = tx.device(&hash, Micros(now))? else { return Ok("none".to_owned()) };
            Ok(match &device.state {
                DeviceState::Pending => "pending".to_owned(),
                DeviceState::Denied => "denied".to_owned(),
                DeviceState::Approved(approved) => {
                    let name = device.client.clone();
                    let made = tx.redeem_device(&device, approved, name, token, Micros(now))?;
                    format!("token {}", made.is_some())
                }
            })
        })
        .unwrap()
}

fn an_approved_code_gives_one_token_of_its_approver(house: &House) {
    let (mona, _hubot) = (house.user("mona"), house.user("hubot"));
    assert!(begin(house, "WDJB-MJHT"));
    assert!(!begin(house, "WDJB-MJHT"), "a code is given once");
    let asked = house.read(move |tx| Ok(tx.device_asked(&hash_of("WDJB-MJHT"), Micros(150))?)).unwrap();
    let expected = DeviceAsked { client: "gh".to_owned(), scopes: Scopes::REPO.with(Scopes::READ_ORG) };
    assert_eq!(asked, Some(expected));
    assert_eq!(redeem(house, "WDJB-MJHT", 150), "pending");
    assert!(approve(house, &mona, "WDJB-MJHT", 200));
    assert_eq!(redeem(house, "WDJB-MJHT", 250), "token true");
    assert_eq!(redeem(house, "WDJB-MJHT", 251), "none", "once");
    let found = house
        .read(move |tx| {
            let shows = Presented::Token { hash: hash_of("token WDJB-MJHT"), or: None };
            let caller = caller(tx, &shows)?;
            let holder = tx.token_holder(&caller)?.unwrap();
            Ok((holder.login, holder.kind, caller.scopes().normalized()))
        })
        .unwrap();
    assert_eq!(found, ("mona".to_owned(), TokenKind::Device, vec!["read:org", "repo"]));
    // It ends with the token that it was approved with.
    let token = mona.token;
    house.operate(move |tx, may| Ok(tx.revoke_token(may, token, Micros(300))?)).unwrap();
    assert_eq!(house.rows("SELECT COUNT(*) FROM tokens WHERE revoked_at = 300"), ["2"]);
}

fn a_code_that_was_refused_gives_none(house: &House) {
    let mona = house.user("mona");
    begin(house, "AAAA-AAAA");
    let denied = house.write(move |tx| {
        let caller = caller(tx, &mona.shows)?;
        let may = decide_own(&caller, Scopes::NONE)?;
        Ok((
            tx.deny_device(&may, &hash_of("AAAA-AAAA"), Micros(200))?,
            tx.deny_device(&may, &hash_of("BBBB-BBBB"), Micros(200))?,
        ))
    });
    assert_eq!(denied.unwrap(), (true, false));
    assert_eq!(redeem(house, "AAAA-AAAA", 250), "denied");
    assert_eq!(house.rows("SELECT COUNT(*) FROM tokens"), ["1"]);
}

fn a_code_is_decided_once_and_in_its_time(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    begin(house, "AAAA-AAAA");
    assert!(!approve(house, &mona, "AAAA-AAAA", 1_000), "it has ended");
    assert!(approve(house, &mona, "AAAA-AAAA", 999));
    assert!(!approve(house, &hubot, "AAAA-AAAA", 999), "it is mona's");
    assert_eq!(house.rows("SELECT account_id FROM device_codes"), [mona.id.to_string()]);
    assert!(!approve(house, &mona, "ZZZZ-ZZZZ", 200), "there is none");
}

fn the_operator_approves_for_a_user(house: &House) {
    let mona = house.user("mona");
    begin(house, "AAAA-AAAA");
    let id = mona.id;
    let approved = house.write(move |tx| {
        let may = operator(tx)?;
        Ok((
            tx.approve_device_for(&may, id, &hash_of("AAAA-AAAA"), Micros(200))?,
            tx.approve_device_for(&may, id, &hash_of("AAAA-AAAA"), Micros(200))?,
        ))
    });
    assert_eq!(approved.unwrap(), (true, false));
    assert_eq!(redeem(house, "AAAA-AAAA", 250), "token true");
    let made =
        house.rows("SELECT account_id, kind, parent_id, expires_at FROM tokens ORDER BY id DESC LIMIT 1");
    assert_eq!(made, [format!("{id} 4 - -")]);
}

fn who_approved_and_may_no_longer_sign_in_gives_nothing(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    begin(house, "AAAA-AAAA");
    begin(house, "BBBB-BBBB");
    assert!(approve(house, &mona, "AAAA-AAAA", 200) && approve(house, &hubot, "BBBB-BBBB", 200));
    let (token, account) = (mona.token, hubot.id);
    house
        .operate(move |tx, may| {
            tx.revoke_token(may, token, Micros(210))?;
            Ok(tx.set_suspended(may, account, Some(Micros(210)))?)
        })
        .unwrap();
    assert_eq!(redeem(house, "AAAA-AAAA", 250), "denied");
    assert_eq!(redeem(house, "BBBB-BBBB", 250), "denied");
}

fn codes_are_removed_some_time_after_their_end(house: &House) {
    begin(house, "AAAA-AAAA");
    begin(house, "BBBB-BBBB");
    let removed = |until| {
        house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.remove_expired_devices(&may, Micros(until), 1)?)
            })
            .unwrap()
    };
    assert_eq!((removed(999), removed(1_000), removed(1_000), removed(1_000)), (0, 1, 1, 0));
}
