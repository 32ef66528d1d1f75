//! Retention through the service's own doors: what is kept, what is dropped, when, and that it can come back.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place};
use packhouse_oci::{Algorithm, Digest, PackageName, Reference};
use packhouse_service::operator::{Answer, Command, PlanView, RuleCommand};
use packhouse_service::{
    Clock, ManageError, PutManifest, RetentionPolicy, Service, Settings, Shown, VersionsShown,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SECOND: i64 = 1_000_000;
const OPENING: i64 = 1_767_225_600 * SECOND;
const APP: &str = "mona/app";

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
    mona: Shown,
    folder: TempDir,
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("catalog.sqlite"));
        let catalog = Catalog::open(&Options::new(place)).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(OPENING)));
        let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
        let settings = Settings::new("admin".parse().unwrap());
        let (service, _) = Service::start(catalog, store, clock, settings).await.unwrap();
        let mut house = House { service, watch, mona: Shown::Nothing, folder };
        for name in ["mona", "hubot"] {
            house.operate(Command::UserCreate { name: name.into(), site_admin: false }).await;
        }
        house.mona = house.token("mona").await;
        house
    }

    async fn token(&self, user: &str) -> Shown {
        let command = Command::TokenCreate {
            user: user.into(),
            name: "of a test".into(),
            scopes: ["read:packages", "write:packages", "delete:packages"].map(str::to_owned).to_vec(),
            expires_seconds: None,
        };
        let Answer::Token { token, .. } = self.operate(command).await else { panic!("no token") };
        Shown::Bearer(token)
    }

    fn pass(&self, seconds: i64) {
        self.watch.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }

    async fn operate(&self, command: Command) -> Answer {
        match self.service.operate(command.clone()).await {
            Answer::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    async fn rules(&self, command: RuleCommand) -> Answer {
        self.operate(Command::Rules(command)).await
    }

    async fn set(&self, of: &str, policy: RetentionPolicy) {
        self.rules(RuleCommand::SetRetention { of: of.into(), policy }).await;
    }

    async fn plan(&self) -> PlanView {
        let planned = self.rules(RuleCommand::PlanRetention { path: APP.into() }).await;
        let Answer::Plan(plan) = planned else { panic!("no plan") };
        plan
    }

    async fn run(&self) -> PlanView {
        let done = self.rules(RuleCommand::RunRetention { path: APP.into() }).await;
        let Answer::Plan(plan) = done else { panic!("no plan") };
        plan
    }

    /// Pushes an index of some children, different by its word, ten seconds later than what came before.
    async fn push(&self, path: &str, tag: Option<&str>, word: &str, children: &[&str]) -> String {
        self.pass(10);
        let children: Vec<String> = children
            .iter()
            .map(|digest| format!(r#"{{"mediaType":"{INDEX}","digest":"{digest}","size":3}}"#))
            .collect();
        let bytes = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}],"annotations":{{"word":"{word}"}}}}"#,
            children.join(",")
        )
        .into_bytes();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.parse().unwrap()),
            None => Reference::Digest(digest),
        };
        let (tags, media_type) = (Vec::new(), Some(INDEX.parse().unwrap()));
        let put = PutManifest { reference, tags, media_type, bytes, host: None };
        self.service.put_manifest(&self.mona, &name(path), put).await.unwrap();
        digest.to_string()
    }

    async fn pull(&self, reference: &str) {
        let found = self.service.manifest(&self.mona, &name(APP), &reference.parse().unwrap()).await;
        found.unwrap();
        self.service.store_downloads().await.unwrap();
    }

    /// Tags of the live versions, or words for those that have none, the newest first.
    async fn left(&self, path: &str) -> Vec<String> {
        let page =
            self.service.versions(&self.mona, &name(path), VersionsShown::WithParts, None, 0, 100).await;
        let tag = |tags: Vec<String>| if tags.is_empty() { "-".to_owned() } else { tags.join("+") };
        page.unwrap().versions.into_iter().map(|version| tag(version.tags)).collect()
    }

    /// What a statement of the test's own gives, by another door.
    fn number(&self, text: &str) -> Option<i64> {
        let file = rusqlite::Connection::open(self.folder.path().join("catalog.sqlite")).unwrap();
        file.query_row(text, [], |row| row.get(0)).unwrap()
    }
}

fn name(path: &str) -> PackageName {
    path.parse().unwrap()
}

fn keep_last(count: u32) -> RetentionPolicy {
    RetentionPolicy { keep_last: Some(count), drop_rest: true, ..RetentionPolicy::default() }
}

/// What the dry run says, the run does, and it can be restored as what the API deletes.
#[tokio::test]
async fn a_run_does_what_the_dry_run_says() {
    let house = House::new().await;
    for word in ["one", "two", "three", "four"] {
        house.push(APP, Some(word), word, &[]).await;
    }
    house.set(APP, keep_last(2)).await;
    let plan = house.plan().await;
    let said: Vec<_> = plan
        .versions
        .iter()
        .map(|row| format!("{} {}: {}", row.tags.join("+"), row.verdict, row.rule))
        .collect();
    let expected = [
        "four keep: keep last 2",
        "three keep: keep last 2",
        "two drop: drop the rest",
        "one drop: drop the rest",
    ];
    assert_eq!(said, expected);
    assert_eq!((plan.kept, plan.dropped, plan.done), (2, 2, false));
    assert_eq!(house.left(APP).await.len(), 4, "a dry run does nothing");

    let done = house.run().await;
    assert_eq!((done.kept, done.dropped, done.done), (2, 2, true));
    assert_eq!(house.left(APP).await, ["four", "three"]);
    let lost = plan.versions[3].id;
    house.service.restore_version(&house.mona, &name(APP), lost).await.unwrap();
    assert_eq!(house.left(APP).await, ["four", "three", "one"]);
}

#[tokio::test]
async fn an_image_for_several_platforms_is_never_broken() {
    let house = House::new().await;
    let arm = house.push(APP, None, "arm", &[]).await;
    let amd = house.push(APP, Some("v1-amd64"), "amd", &[]).await;
    house.push(APP, Some("v1"), "index", &[&arm, &amd]).await;
    let lone = house.push(APP, None, "lone", &[]).await;
    house.push(APP, Some("latest"), "latest", &[]).await;
    let policy = RetentionPolicy {
        keep_tags: vec!["v1".into(), "latest".into()],
        drop_untagged_seconds: Some(1),
        drop_rest: true,
        ..RetentionPolicy::default()
    };
    house.set(APP, policy.clone()).await;
    house.pass(100);
    house.run().await;
    assert_eq!(house.left(APP).await, ["latest", "v1", "v1-amd64", "-"], "{lone} alone went");
    // When the whole goes, all of it does in one round.
    house.set(APP, RetentionPolicy { keep_tags: vec!["latest".into()], ..policy }).await;
    assert_eq!(house.run().await.dropped, 2);
    assert_eq!(house.left(APP).await, ["latest"]);
}

#[tokio::test]
async fn what_is_held_or_was_pulled_stays() {
    let house = House::new().await;
    for word in ["v1", "pulled", "old", "newest"] {
        house.push(APP, Some(word), word, &[]).await;
    }
    let rule = RuleCommand::Create {
        of: "mona".into(),
        hold: "protected".into(),
        role: Some("write".into()),
        pattern: "v*".into(),
        except: Vec::new(),
        allow_package_deletion: false,
    };
    house.rules(rule).await;
    let policy = RetentionPolicy { keep_pulled_seconds: Some(60), ..keep_last(1) };
    house.set("mona", policy).await;
    house.pass(1_000);
    house.pull("pulled").await;
    let plan = house.plan().await;
    assert!(plan.versions[3].rule.contains("rule 1 of `mona`"), "{plan:?}");
    assert_eq!(plan.of, "mona");
    house.run().await;
    assert_eq!(house.left(APP).await, ["newest", "pulled", "v1"]);
    house.pass(61);
    house.run().await;
    assert_eq!(house.left(APP).await, ["newest", "v1"]);
}

/// Each at its time, an owner's for all packages that have none of their own.
#[tokio::test]
async fn policies_run_by_their_schedule() {
    let house = House::new().await;
    for path in ["mona/one", "mona/two"] {
        for word in ["a", "b", "c"] {
            house.push(path, Some(word), word, &[]).await;
        }
    }
    house.set("mona", RetentionPolicy { every_seconds: Some(30), ..keep_last(1) }).await;
    house.set("mona/two", keep_last(2)).await;
    assert_eq!(house.service.retention_round().await.unwrap(), 0, "not due yet");
    house.pass(30);
    assert_eq!(house.service.retention_round().await.unwrap(), 2);
    assert_eq!(house.left("mona/one").await, ["c"]);
    assert_eq!(house.left("mona/two").await, ["c", "b", "a"], "its own runs by hand");
    assert_eq!(house.service.retention_round().await.unwrap(), 0);
    let Answer::Retention(view) = house.rules(RuleCommand::Retention { of: "mona".into() }).await else {
        panic!("no policy")
    };
    assert_eq!((view.kept, view.dropped), (1, 2));
    assert_eq!(view.due_at, view.ran_at.map(|at| at + 30 * SECOND));
    house.push("mona/one", Some("d"), "d", &[]).await;
    house.pass(30);
    assert_eq!(house.service.retention_round().await.unwrap(), 1);
}

#[tokio::test]
async fn another_nodes_job_is_left_to_it() {
    let house = House::new().await;
    house.push(APP, Some("a"), "a", &[]).await;
    house.push(APP, Some("b"), "b", &[]).await;
    house.set(APP, RetentionPolicy { every_seconds: Some(1), ..keep_last(1) }).await;
    house.pass(2);
    let file = rusqlite::Connection::open(house.folder.path().join("catalog.sqlite")).unwrap();
    let taken =
        "INSERT INTO jobs (name, holder, leased_until) VALUES ('retention', 'another', 9000000000000000)";
    file.execute(taken, []).unwrap();
    assert_eq!(house.service.retention_round().await.unwrap(), 0);
    // It died: its time is over.
    file.execute("UPDATE jobs SET leased_until = 1", []).unwrap();
    assert_eq!(house.service.retention_round().await.unwrap(), 1);
    assert_eq!(house.number("SELECT COUNT(*) FROM jobs WHERE leased_until = 0 AND ran_at > 0"), Some(1));
}

#[tokio::test]
async fn who_does_not_administer_a_package_plans_nothing() {
    let house = House::new().await;
    house.push(APP, Some("a"), "a", &[]).await;
    house.set(APP, keep_last(1)).await;
    let hubot = house.token("hubot").await;
    for shown in [&hubot, &Shown::Nothing] {
        let planned = house.service.retention_plan(shown, &name(APP)).await;
        assert!(matches!(planned, Err(ManageError::Denied(_))), "{planned:?}");
        let done = house.service.run_retention(shown, &name(APP)).await;
        assert!(matches!(done, Err(ManageError::Denied(_))), "{done:?}");
    }
}

/// Undo puts a tag back, also one that was deleted, and says what to do when it cannot.
#[tokio::test]
async fn a_tag_is_put_back_to_where_it_was() {
    let house = House::new().await;
    let tag = "latest".parse().unwrap();
    let first = house.push(APP, Some("latest"), "first", &[]).await;
    let then = house.watch.now().0;
    let undone = house.service.undo_tag(&house.mona, &name(APP), &tag).await;
    assert!(undone.unwrap_err().to_string().contains("delete the tag"), "it was made");
    let second = house.push(APP, Some("latest"), "second", &[]).await;
    house.pass(1);
    let row = house.service.undo_tag(&house.mona, &name(APP), &tag).await.unwrap();
    assert_eq!((row.digest.to_string(), row.moved_by.as_deref()), (first.clone(), Some("mona")));
    // A second undo takes the first back.
    house.pass(1);
    let row = house.service.undo_tag(&house.mona, &name(APP), &tag).await.unwrap();
    assert_eq!(row.digest.to_string(), second);
    house.pass(1);
    house.service.delete_tag(&house.mona, &name(APP), &tag).await.unwrap();
    house.pass(1);
    let row = house.service.undo_tag(&house.mona, &name(APP), &tag).await.unwrap();
    assert_eq!(row.digest.to_string(), second);
    let was = house.service.tag_as_of(&house.mona, &name(APP), &tag, Some(then)).await.unwrap();
    assert_eq!(was.digest.to_string(), first);
    let before = house.service.tag_as_of(&house.mona, &name(APP), &tag, Some(OPENING)).await;
    assert!(matches!(before, Err(ManageError::Unknown { .. })));
    // A rule holds it as it holds a push.
    house.push(APP, Some("latest"), "third", &[]).await;
    let rule = RuleCommand::Create {
        of: APP.into(),
        hold: "immutable".into(),
        role: None,
        pattern: "latest".into(),
        except: Vec::new(),
        allow_package_deletion: false,
    };
    house.rules(rule).await;
    let held = house.service.undo_tag(&house.mona, &name(APP), &tag).await;
    assert!(matches!(held, Err(ManageError::TagHeld(_))), "{held:?}");
    house.rules(RuleCommand::Remove { of: APP.into(), id: 1 }).await;
    // Of a version that was deleted it says so.
    let id = house.number("SELECT version_id FROM tags ORDER BY id DESC LIMIT 1 OFFSET 1").unwrap();
    house.service.delete_version(&house.mona, &name(APP), id).await.unwrap();
    let gone = house.service.undo_tag(&house.mona, &name(APP), &tag).await.unwrap_err().to_string();
    assert!(gone.contains("restore that version"), "{gone}");
}
