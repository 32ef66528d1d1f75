//! Tokens of every kind, robots, sign-in by a code and limits, through the service's own doors.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place, TokenKind, Window};
use packhouse_service::operator::{Answer, Command};
use packhouse_service::{
    ApiAct, Clock, Denied, DeviceError, Grant, LimitWanted, Limited, ManageError, RateSettings, Refusal,
    RobotChange, RobotTokenWanted, Role, Service, Settings, Shown, TokenRequest, TokenWanted, is_well_formed,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

/// A clock that stands still until the test moves it.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

struct House {
    service: Service,
    watch: Arc<Watch>,
    folder: TempDir,
}

const SECOND: i64 = 1_000_000;
const OPENING: i64 = 1_767_225_600 * SECOND;

impl House {
    async fn new() -> House {
        House::with(RateSettings::default()).await
    }

    async fn with(rates: RateSettings) -> House {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("catalog.sqlite"));
        let catalog = Catalog::open(&Options::new(place)).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(OPENING)));
        let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
        let settings = Settings { rates, ..Settings::new("admin".parse().unwrap()) };
        let (service, _) = Service::start(catalog, store, clock, settings).await.unwrap();
        let house = House { service, watch, folder };
        for name in ["mona", "hubot"] {
            house.operate(Command::UserCreate { name: name.into(), site_admin: false }).await;
        }
        house.operate(Command::OrgCreate { name: "acme".into(), owner: "mona".into() }).await;
        house
    }

    fn pass(&self, seconds: i64) {
        self.watch.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        self.watch.0.load(Ordering::SeqCst)
    }

    async fn operate(&self, command: Command) -> Answer {
        match self.service.operate(command.clone()).await {
            Answer::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    async fn token(&self, user: &str, scopes: &[&str], seconds: Option<u64>) -> Shown {
        let command = Command::TokenCreate {
            user: user.into(),
            name: "of a test".into(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            expires_seconds: seconds,
        };
        let Answer::Token { token, .. } = self.operate(command).await else { panic!("no token") };
        Shown::Bearer(token)
    }

    /// What a statement of the test's own gives, by another door.
    fn number(&self, text: &str) -> Option<i64> {
        let file = rusqlite::Connection::open(self.folder.path().join("catalog.sqlite")).unwrap();
        file.query_row(text, [], |row| row.get(0)).unwrap()
    }
}

fn wanted(limits: &[LimitWanted]) -> TokenWanted {
    TokenWanted { name: "ci".into(), limits: limits.to_vec(), expires_at: None }
}

fn all_of(owner: &str, role: Role) -> LimitWanted {
    LimitWanted::Owner(owner.into(), role)
}

fn shown(token: &packhouse_service::TokenMade) -> Shown {
    Shown::Bearer(token.secret.reveal().to_owned())
}

fn refusal(error: ManageError) -> Refusal {
    match error {
        ManageError::Denied(Denied::Refused(refused)) => refused.refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_makes_none_that_is_wider_and_ends_what_it_made() {
    let house = House::new().await;
    let service = &house.service;
    let writer = house.token("mona", &["write:packages"], Some(3600)).await;
    let make = |by: Shown, limits: Vec<LimitWanted>| async move {
        service.create_own_token(&by, wanted(&limits)).await
    };
    let first = make(writer.clone(), vec![all_of("mona", Role::Write)]).await.unwrap();
    assert!(is_well_formed(first.secret.reveal()));
    assert_eq!(first.seen.expires_at, Some(OPENING + 3600 * SECOND), "with the one that made it");
    let wider = make(writer.clone(), vec![all_of("mona", Role::Admin)]).await.unwrap_err();
    assert!(matches!(refusal(wider), Refusal::Scope("delete:packages", _)));

    let second = make(shown(&first), vec![all_of("mona", Role::Read)]).await.unwrap();
    for limit in [all_of("mona", Role::Admin), all_of("acme", Role::Read)] {
        let refused = make(shown(&first), vec![limit]).await.unwrap_err();
        assert!(matches!(refusal(refused), Refusal::Limit { .. }));
    }
    // A fine-grained token knows itself and what it made; one without the scope `user` too; with it all.
    let seen = |by: Shown| async move {
        let rows = service.own_tokens(&by, Window::first(10)).await.unwrap().rows;
        rows.into_iter().map(|token| token.id).collect::<Vec<_>>()
    };
    let (one, two) = (first.seen.id, second.seen.id);
    assert_eq!(seen(shown(&first)).await, [one, two]);
    assert_eq!(seen(shown(&second)).await, [two]);
    let all = house.token("mona", &["user"], None).await;
    assert_eq!(seen(all.clone()).await.len(), 4);
    assert_eq!(seen(house.token("hubot", &["user"], None).await).await.len(), 1);
    assert!(matches!(service.own_token(&shown(&second), one).await, Err(ManageError::Unknown { .. })));
    assert_eq!(service.own_token(&all, one).await.unwrap().limits, [all_of("mona", Role::Write)]);

    assert!(service.revoke_own_token(&shown(&second), one).await.is_err());
    service.revoke_own_token(&writer, one).await.unwrap();
    for token in [&first, &second] {
        assert!(service.identify(&shown(token)).await.is_err());
    }
    assert!(service.identify(&writer).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_a_token_is_said() {
    let house = House::new().await;
    let all = house.token("mona", &["write:packages", "delete:packages"], None).await;
    let make = |token: TokenWanted| {
        let all = all.clone();
        let service = &house.service;
        async move { service.create_own_token(&all, token).await.unwrap_err() }
    };
    let good = wanted(&[all_of("mona", Role::Read)]);
    for (field, token) in [
        ("limits", wanted(&[])),
        ("limits", wanted(&vec![all_of("mona", Role::Read); 101])),
        ("name", TokenWanted { name: " ".into(), ..good.clone() }),
        ("name", TokenWanted { name: "x".repeat(101), ..good.clone() }),
        ("expires_at", TokenWanted { expires_at: Some(house.now()), ..good.clone() }),
    ] {
        match make(token).await {
            ManageError::Invalid { field: found, .. } => assert_eq!(found, field),
            other => panic!("{other:?}"),
        }
    }
    for limit in [
        all_of("nobody", Role::Read),
        LimitWanted::Package("mona/none".into(), Role::Read),
        LimitWanted::Package("hubot/../x".into(), Role::Read),
    ] {
        assert!(matches!(make(wanted(&[limit])).await, ManageError::Unknown { .. }));
    }
    assert_eq!(house.number("SELECT COUNT(*) FROM tokens WHERE kind = 3"), Some(0));
    assert_eq!(house.number("SELECT COUNT(*) FROM token_limits"), Some(0));
}

#[tokio::test]
async fn robots_are_their_owners_business_and_make_nothing_themselves() {
    let house = House::new().await;
    let service = &house.service;
    let owner = house.token("mona", &["admin:org", "write:packages"], None).await;
    let stranger = house.token("hubot", &["admin:org"], None).await;
    let role = RobotChange { role: Some(Some(Role::Write)), description: Some("deploys".into()) };
    let made = service.create_robot(&owner, "Acme", "Deploy", role.clone()).await.unwrap();
    assert_eq!(
        (made.login.as_str(), made.name.as_str(), made.role),
        ("acme+deploy", "deploy", Some(Role::Write))
    );
    let again = service.create_robot(&owner, "acme", "acme+deploy", role.clone()).await.unwrap_err();
    assert!(matches!(again, ManageError::Taken { .. }));
    let bad = service.create_robot(&owner, "acme", "a/b", role.clone()).await.unwrap_err();
    assert!(matches!(bad, ManageError::Invalid { field: "name", .. }));
    let theirs = service.create_robot(&stranger, "acme", "x", role.clone()).await.unwrap_err();
    assert_eq!(refusal(theirs), Refusal::NotFound);
    let user = service.create_robot(&owner, "mona", "x", role).await.unwrap_err();
    assert!(matches!(user, ManageError::Unknown { .. }), "a user has no robots");

    let token = |scopes: &[&str]| RobotTokenWanted {
        name: "ci".into(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        expires_at: None,
    };
    let bot = service.create_robot_token(&owner, "acme", "deploy", token(&["write:packages"])).await.unwrap();
    let wider = service.create_robot_token(&owner, "acme", "deploy", token(&["delete:packages"])).await;
    let message = wider.unwrap_err().to_string();
    assert!(message.contains("lacks delete:packages"), "{message}");
    for scopes in [vec![], vec!["repo"], vec!["nonsense"]] {
        let refused = service.create_robot_token(&owner, "acme", "deploy", token(&scopes)).await;
        assert!(matches!(refused, Err(ManageError::Invalid { field: "scopes", .. })));
    }
    let makes = service.create_own_token(&shown(&bot), wanted(&[all_of("acme", Role::Read)])).await;
    assert!(matches!(makes, Err(ManageError::Forbidden(_))));
    let governs = service.robots(&shown(&bot), "acme", Window::first(5)).await;
    assert!(matches!(refusal(governs.unwrap_err()), Refusal::Scope(..)));

    let change = RobotChange { role: Some(None), description: None };
    let changed = service.change_robot(&owner, "acme", "deploy", change).await.unwrap();
    assert_eq!((changed.role, changed.description.as_deref()), (None, Some("deploys")));
    assert_eq!(service.robot_tokens(&owner, "acme", "deploy", Window::first(5)).await.unwrap().rows.len(), 1);
    service.delete_robot(&owner, "acme", "deploy").await.unwrap();
    assert!(service.identify(&shown(&bot)).await.is_err());
    assert!(matches!(service.robot(&owner, "acme", "deploy").await, Err(ManageError::Unknown { .. })));
}

const GH: &str = "178c6fc778ccc68e1d6a";

fn here() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

#[tokio::test]
async fn a_program_waits_for_a_person_and_gets_a_token() {
    let house = House::new().await;
    let service = &house.service;
    let person = house.token("mona", &["repo", "read:org", "write:packages"], None).await;
    let begun = service.begin_device(GH, "repo read:org gist moon", here()).await.unwrap();
    assert_eq!((begun.expires_in, begun.interval, begun.device_code.reveal().len()), (900, 5, 40));
    let poll = || service.redeem_device(GH, begun.device_code.reveal());
    assert!(matches!(poll().await, Err(DeviceError::Pending)));
    assert!(matches!(poll().await, Err(DeviceError::SlowDown { interval: 10 })));
    house.pass(6);
    assert!(matches!(poll().await, Err(DeviceError::SlowDown { interval: 15 })), "ten seconds now");
    house.pass(15);
    assert!(matches!(poll().await, Err(DeviceError::Pending)));
    let other = service.redeem_device("another", begun.device_code.reveal()).await;
    assert!(matches!(other, Err(DeviceError::Client)));

    let asked = service.device_asked(&begun.user_code.to_lowercase(), here()).await.unwrap();
    assert_eq!((asked.client.as_str(), asked.scopes), ("GitHub CLI", vec!["gist", "read:org", "repo"]));
    let given = service.decide_device(&person, &begun.user_code, here(), true).await.unwrap();
    assert_eq!(given, ["read:org", "repo"], "the approving token has no `gist`");
    let token = poll().await.ok().unwrap();
    assert!(token.token.reveal().starts_with("gho_") && is_well_formed(token.token.reveal()));
    let shows = Shown::Bearer(token.token.reveal().to_owned());
    let identity = service.identify(&shows).await.unwrap();
    assert_eq!(identity.scopes.normalized(), ["read:org", "repo"]);
    assert!(matches!(poll().await, Err(DeviceError::Unknown)), "a code gives one token");
    let row = service.own_tokens(&shows, Window::first(5)).await.unwrap().rows.remove(0);
    assert_eq!((row.kind, row.name.as_str()), (TokenKind::Device, "GitHub CLI"));
}

#[tokio::test]
async fn codes_end_are_refused_and_cannot_be_guessed() {
    let house = House::new().await;
    let service = &house.service;
    let person = house.token("mona", &["repo"], None).await;
    assert!(matches!(service.begin_device("", "repo", here()).await, Err(DeviceError::Client)));
    let late = service.begin_device("tool", "repo", here()).await.unwrap();
    house.pass(900);
    let poll = service.redeem_device("tool", late.device_code.reveal()).await;
    assert!(matches!(poll, Err(DeviceError::Expired)));
    let typed = service.decide_device(&person, &late.user_code, here(), true).await;
    assert!(matches!(typed, Err(DeviceError::Unknown)));

    let refused = service.begin_device("tool", "repo", here()).await.unwrap();
    service.decide_device(&person, &refused.user_code, here(), false).await.unwrap();
    let poll = service.redeem_device("tool", refused.device_code.reveal()).await;
    assert!(matches!(poll, Err(DeviceError::Refused)));

    let writer = house.token("mona", &["write:packages"], None).await;
    let fine = service.create_own_token(&writer, wanted(&[all_of("mona", Role::Write)]));
    let fine = shown(&fine.await.unwrap());
    let open = service.begin_device("tool", "repo", here()).await.unwrap();
    let by_fine = service.decide_device(&fine, &open.user_code, here(), true).await;
    assert!(matches!(by_fine, Err(DeviceError::Denied(Denied::Refused(_)))), "no scopes to hand on");

    // Three attempts were made above from here, of fifty an hour.
    for _ in 0..47 {
        assert!(matches!(service.device_asked("BBBB-BBBB", here()).await, Err(DeviceError::Unknown)));
    }
    let over = service.device_asked(&open.user_code, here()).await;
    assert!(matches!(over, Err(DeviceError::Attempts { retry_seconds: 1..=3600 })));
    let elsewhere = "192.0.2.2".parse().unwrap();
    assert!(service.device_asked(&open.user_code, elsewhere).await.is_ok());
    house.pass(2 * 3600);
    service.sweep().await.unwrap();
    assert_eq!(house.number("SELECT COUNT(*) FROM device_codes"), Some(0));
}

#[tokio::test]
async fn the_last_use_is_stored_aside_and_once() {
    let house = House::new().await;
    let service = &house.service;
    let mona = house.token("mona", &["repo"], None).await;
    let used = "SELECT last_used_at FROM tokens WHERE name = 'of a test'";
    for _ in 0..3 {
        service.identify(&mona).await.unwrap();
        house.pass(1);
    }
    assert_eq!(house.number(used), None, "not on the way of a request");
    service.sweep().await.unwrap();
    assert_eq!(house.number(used), Some(OPENING + 2 * SECOND));
    // By the registry as well, and only when the credential was one.
    house.pass(60);
    for (token, known) in [(mona.clone(), true), (Shown::Bearer("guess".into()), false)] {
        let admission = service.admit(&token, Some(here()), false).unwrap();
        service.settle(&admission, known);
    }
    service.sweep().await.unwrap();
    assert_eq!(house.number(used), Some(OPENING + 63 * SECOND));
}

#[tokio::test]
async fn the_api_is_limited_by_hour_by_pace_and_at_once() {
    let rates = RateSettings {
        api_token_hour: 40,
        api_points_minute: 20,
        api_concurrent: 3,
        ..RateSettings::default()
    };
    let house = House::with(rates).await;
    let service = &house.service;
    let begin = |account: Option<i64>, write: bool| {
        let act = if write { ApiAct::Write } else { ApiAct::Read };
        service.begin_api(account, here(), act)
    };
    let pass = begin(Some(1), false).unwrap();
    let rate = pass.rate.unwrap();
    assert_eq!((rate.limit, rate.used, rate.remaining()), (40, 1, 39));
    assert_eq!(rate.reset, OPENING / SECOND + 3600);
    assert_eq!(service.api_rate(Some(1), here()), Some(rate), "asking does not count");
    assert_eq!(service.give_back_api(Some(1), here()).unwrap().used, 0);

    let more = [begin(Some(1), false).unwrap(), begin(Some(1), false).unwrap()];
    let over = begin(Some(1), false).err().unwrap();
    assert!(matches!(over, Limited::Pace { retry_seconds: 1, .. }), "three at once");
    assert!(begin(Some(2), false).is_ok(), "another's are not counted with them");
    drop((pass, more));
    // 3 points were used; 3 writes are 15 more.
    for _ in 0..3 {
        assert!(begin(Some(1), true).is_ok());
    }
    house.pass(20);
    assert!(matches!(begin(Some(1), true).err(), Some(Limited::Pace { retry_seconds: 40, .. })));
    assert!(begin(Some(1), false).is_ok(), "a read is cheaper");
    house.pass(40);
    assert!(begin(Some(1), true).is_ok());

    for _ in 0..60 {
        house.pass(5);
        assert!(begin(None, false).is_ok());
    }
    let Some(Limited::Hour { rate, .. }) = begin(None, false).err() else { panic!("sixty an hour") };
    assert_eq!((rate.limit, rate.remaining()), (60, 0));
    assert!(service.begin_api(None, "192.0.2.9".parse().unwrap(), ApiAct::Read).is_ok());
}

#[tokio::test]
async fn a_signed_token_that_is_remembered_ends_like_any_other() {
    let house = House::new().await;
    let service = &house.service;
    let mona = house.token("mona", &["read:packages"], None).await;
    let bearer = || async {
        let request = TokenRequest { grant: Grant::Shown(mona.clone()), scopes: Vec::new(), offline: false };
        format!("Bearer {}", service.token(request).await.unwrap().token)
    };
    let header = bearer().await;
    let shows = |header: &str| service.shown(Some(header.as_bytes()));
    assert!(!matches!(shows(&header), Shown::Signed(_)), "nobody has seen its signature yet");
    assert!(service.check_credential(&shows(&header)).await.unwrap());
    let signed = shows(&header);
    assert!(matches!(signed, Shown::Signed(_)) && service.check_credential(&signed).await.unwrap());
    // One letter of its signature makes it another.
    let mut other = header.clone();
    other.push('x');
    assert!(!matches!(shows(&other), Shown::Signed(_)));
    assert!(service.check_credential(&shows(&other)).await.is_err());
    // Its time, for who looked it up before and for who does so now.
    house.pass(i64::try_from(Settings::new("admin".parse().unwrap()).token_seconds).unwrap());
    assert!(service.check_credential(&signed).await.is_err());
    assert!(service.check_credential(&shows(&header)).await.is_err());
    // The personal token behind it.
    let header = bearer().await;
    assert!(service.check_credential(&shows(&header)).await.unwrap());
    let signed = shows(&header);
    assert!(matches!(signed, Shown::Signed(_)));
    let id = house.number("SELECT id FROM tokens WHERE name = 'of a test'").unwrap();
    house.operate(Command::TokenRevoke { id }).await;
    assert!(service.check_credential(&signed).await.is_err());
}

#[tokio::test]
async fn the_registry_is_limited_by_token_and_by_address() {
    let rates =
        RateSettings { registry_reads_minute: 5, registry_writes_minute: 3, ..RateSettings::default() };
    let house = House::with(rates).await;
    let service = &house.service;
    let request = |shown: &Shown, address: &str, write: bool, known: bool| {
        let admission = service.admit(shown, Some(address.parse().unwrap()), write)?;
        service.settle(&admission, known);
        Ok::<_, Limited>(())
    };
    let (home, away) = ("192.0.2.1", "192.0.2.2");
    let count = |shown: &Shown, address: &str, write: bool, known: bool| {
        (0..20).take_while(|_| request(shown, address, write, known).is_ok()).count()
    };
    assert_eq!(count(&Shown::Nothing, home, false, true), 5);
    assert_eq!(count(&Shown::Nothing, away, false, true), 5);
    let token = Shown::Bearer("phr_one".into());
    assert_eq!(count(&token, home, false, true), 5, "a token has its own, wherever it is");
    assert_eq!(count(&token, away, false, true), 0);
    assert_eq!(count(&token, home, true, true), 3, "writes are counted apart");
    // Guesses count for the address, each with another token.
    let guessed =
        (0..20).take_while(|n| request(&Shown::Bearer(format!("phr_{n}")), home, false, false).is_ok());
    assert_eq!(guessed.count(), 3);
    house.pass(60);
    assert_eq!(count(&Shown::Nothing, home, false, true), 5);

    let house = House::with(RateSettings::off()).await;
    let (service, here) = (&house.service, Some(here()));
    assert!((0..100_000).all(|_| service.admit(&Shown::Nothing, here, true).is_ok()));
}
