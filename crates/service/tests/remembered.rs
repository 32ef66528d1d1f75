//! What is remembered is never what a caller may no longer read: everything that can change an answer is changed, and
//! asked again, on the same node and, on PostgreSQL, on another.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[allow(dead_code, reason = "the other half is for others")]
#[path = "../../catalog/tests/suite/database.rs"]
mod database;

use bytes::Bytes;
use database::Database;
use http_body_util::Full;
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place, Work};
use packhouse_oci::{Algorithm, Digest, PackageName, Reference};
use packhouse_service::operator::{Answer, Command, MachineCommand, PeopleCommand, UsageCommand};
use packhouse_service::{
    Actions, Clock, Grant, LimitWanted, Limits, Part, PullError, PutManifest, RobotChange, Role, ScopeAsked,
    Service, Settings, Shown, TeamChange, TokenRequest, TokenWanted, UploadError,
};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const SECOND: i64 = 1_000_000;

/// A clock that stands still until the test moves it.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

type Seen = Arc<Mutex<Vec<Work>>>;

/// One catalog, as many nodes as it may have.
struct House {
    // In the order they must go: the catalog's sessions before its database.
    nodes: Vec<(Service, Seen)>,
    runtime: Runtime,
    database: Database,
    watch: Arc<Watch>,
    mona: Shown,
    _folder: tempfile::TempDir,
}

fn name(path: &str) -> PackageName {
    path.parse().unwrap()
}

fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn image(layer: &str) -> Vec<u8> {
    let (config, blob) = (digest("{}"), digest(layer));
    let length = layer.len();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{blob}","size":{length}}}]}}"#
    )
    .into_bytes()
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Bytes(Digest),
    Denied,
    Unknown,
}

fn told<T>(answer: Result<T, PullError>, digest: impl FnOnce(T) -> Digest) -> Told {
    match answer {
        Ok(found) => Told::Bytes(digest(found)),
        Err(PullError::Denied(_)) => Told::Denied,
        Err(PullError::ManifestUnknown(_) | PullError::BlobUnknown(_)) => Told::Unknown,
        Err(PullError::Fault(fault)) => panic!("{}", packhouse_service::chain(&fault)),
    }
}

impl House {
    fn new(database: Database) -> House {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(1_767_225_600 * SECOND)));
        let (place, count) = match &database {
            Database::Sqlite(_) => (Place::Sqlite(database.file()), 1),
            Database::Postgres(database) => (Place::Postgres { url: database.url.clone(), alone: false }, 2),
        };
        let mut nodes = Vec::new();
        for _ in 0..count {
            let seen: Seen = Arc::default();
            let told = Arc::clone(&seen);
            let mut options = Options { connections: 3, ..Options::new(place.clone()) };
            options.observer = Some(Arc::new(move |work| told.lock().unwrap().push(work)));
            let catalog = Catalog::open(&options).unwrap();
            let store = BlobStore::files(folder.path()).unwrap();
            let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
            let settings = Settings::new("admin".parse().unwrap());
            let (service, _) = runtime.block_on(Service::start(catalog, store, clock, settings)).unwrap();
            nodes.push((service, seen));
        }
        let mut house = House { nodes, runtime, database, watch, mona: Shown::Nothing, _folder: folder };
        house.operate(&Command::UserCreate { name: "mona".into(), site_admin: false });
        house.operate(&Command::OrgCreate { name: "acme".into(), owner: "mona".into() });
        house.mona = house.token("mona", None).1;
        house
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Where things are changed.
    fn service(&self) -> &Service {
        &self.nodes[0].0
    }

    fn operate(&self, command: &Command) -> Answer {
        match self.wait(self.service().operate(command.clone())) {
            Answer::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    fn people(&self, command: PeopleCommand) {
        self.operate(&Command::People(command));
    }

    fn token(&self, user: &str, expires_seconds: Option<u64>) -> (i64, Shown) {
        let scopes =
            ["read:packages", "write:packages", "delete:packages", "admin:org"].map(str::to_owned).to_vec();
        let name = "of a test".to_owned();
        let made = self.operate(&Command::TokenCreate { user: user.into(), name, scopes, expires_seconds });
        let Answer::Token { token, view } = made else { panic!("no token") };
        (view.id, Shown::Bearer(token))
    }

    /// A user with a token.
    fn user(&self, user: &str) -> (i64, Shown) {
        self.operate(&Command::UserCreate { name: user.into(), site_admin: false });
        self.token(user, None)
    }

    /// To a member of `acme`, or a team.
    fn grant(&self, path: &str, to: &str, role: &str) {
        if !to.contains(':') {
            self.operate(&Command::OrgAddMember { org: "acme".into(), user: to.into(), owner: false });
        }
        let (path, user, role) = (path.into(), to.into(), role.into());
        self.operate(&Command::PackageGrant { path, user, role });
    }

    fn revoke(&self, path: &str, of: &str) {
        self.operate(&Command::PackageRevoke { path: path.into(), user: of.into() });
    }

    fn make(&self, path: &str, visibility: &str) {
        self.operate(&Command::PackageVisibility { path: path.into(), visibility: visibility.into() });
    }

    fn push(&self, path: &str, tag: &str, layer: &str) -> Digest {
        for content in ["{}", layer] {
            let body = Full::new(Bytes::copy_from_slice(content.as_bytes()));
            let name = name(path);
            self.wait(self.service().put_blob(&self.mona, &name, digest(content), None, body)).unwrap();
        }
        let bytes = image(layer);
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let (reference, media_type) = (Reference::Tag(tag.parse().unwrap()), Some(IMAGE.parse().unwrap()));
        let put = PutManifest { reference, tags: Vec::new(), media_type, bytes, host: None };
        self.wait(self.service().put_manifest(&self.mona, &name(path), put)).unwrap();
        digest
    }

    /// All that a pull asks, of one node: a manifest by its tag and its digest, both without bytes too, and a layer.
    fn pull(&self, node: usize, by: &Shown, path: &str, manifest: Digest, layer: Digest) -> Vec<Told> {
        let (service, name) = (&self.nodes[node].0, name(path));
        let mut all = Vec::new();
        for reference in [Reference::Tag("v1".parse().unwrap()), Reference::Digest(manifest)] {
            let found = self.wait(service.manifest(by, &name, &reference));
            all.push(told(found, |found| Digest::of(Algorithm::Sha256, &found.payload)));
            all.push(told(self.wait(service.manifest_head(by, &name, &reference)), |found| found.digest));
        }
        all.push(told(self.wait(service.blob(by, &name, layer)), |found| found.digest()));
        all.push(told(self.wait(service.blob_head(by, &name, layer)), |found| found.digest()));
        all
    }

    fn statements(&self, node: usize) -> Vec<&'static str> {
        self.nodes[node].1.lock().unwrap().drain(..).map(|work| work.statement).collect()
    }
}

fn both(clause: fn(&House)) {
    for database in [Some(Database::sqlite()), Database::postgres()].into_iter().flatten() {
        clause(&House::new(database));
    }
}

/// Something that changes what a caller is told.
struct Change {
    what: &'static str,
    /// Lets the caller in: the house, the path of a private package of `acme`, the caller's name.
    open: fn(&House, &str, &str),
    /// Takes it away: with the number of the caller's token too.
    close: fn(&House, &str, &str, i64),
    /// What it is then, by the digests of the manifest and the layer that were there.
    then: fn(Digest, Digest) -> Vec<Told>,
}

fn nothing(_: &House, _: &str, _: &str) {}
fn read(house: &House, path: &str, who: &str) {
    house.grant(path, who, "read");
}
fn denied(_: Digest, _: Digest) -> Vec<Told> {
    vec![Told::Denied; 6]
}
fn team_of(path: &str) -> String {
    format!("team-{}", path.rsplit('/').next().unwrap())
}
fn in_team(house: &House, path: &str, who: &str) {
    let (org, team) = ("acme".to_owned(), team_of(path));
    let (name, description) = (team.clone(), None);
    house.operate(&Command::OrgAddMember { org: org.clone(), user: who.into(), owner: false });
    house.people(PeopleCommand::TeamCreate {
        org: org.clone(),
        name,
        description,
        secret: false,
        parent: None,
    });
    house.people(PeopleCommand::TeamAddMember {
        org,
        team: team.clone(),
        user: who.into(),
        maintainer: false,
    });
    house.grant(path, &format!("team:{team}"), "read");
}
/// The name of the repository that a package is linked to.
fn code_of(path: &str) -> String {
    format!("{}-code", path.rsplit('/').next().unwrap())
}
fn linked(house: &House, path: &str, visibility: &str) -> String {
    let repository = format!("{path}-code");
    let (made, visibility) = (repository.clone(), visibility.to_owned());
    house.people(PeopleCommand::RepoCreate { path: made, visibility, description: None });
    let (path, linked) = (path.to_owned(), repository.clone());
    house.people(PeopleCommand::PackageLink { path, repository: linked, inherit: true });
    repository
}
fn collaborator(house: &House, path: &str, who: &str) {
    let path = linked(house, path, "private");
    house.people(PeopleCommand::RepoRole { path, user: who.into(), role: Some("read".into()) });
}
fn base_role(house: &House, role: &str) {
    house.people(PeopleCommand::OrgPolicy {
        org: "acme".into(),
        packages: None,
        default: None,
        inherit: None,
        base_role: Some(role.into()),
        members_create_repositories: None,
    });
}

const CHANGES: &[Change] = &[
    Change {
        what: "the token is revoked",
        open: read,
        close: |house, _, _, token| {
            house.operate(&Command::TokenRevoke { id: token });
        },
        then: denied,
    },
    Change {
        what: "the account is suspended",
        open: read,
        close: |house, _, who, _| {
            house.operate(&Command::UserSuspend { name: who.into() });
        },
        then: denied,
    },
    Change {
        what: "the role is taken",
        open: read,
        close: |house, path, who, _| house.revoke(path, who),
        then: denied,
    },
    Change {
        what: "a public package is closed",
        open: |house, path, _| house.make(path, "public"),
        close: |house, path, _, _| house.make(path, "private"),
        then: denied,
    },
    Change {
        what: "a member leaves, to whom an internal package was open",
        open: |house, path, who| {
            house.operate(&Command::OrgAddMember { org: "acme".into(), user: who.into(), owner: false });
            house.make(path, "internal");
        },
        close: |house, _, who, _| {
            house.operate(&Command::OrgRemoveMember { org: "acme".into(), user: who.into() });
        },
        then: denied,
    },
    Change {
        what: "an owner becomes a member",
        open: |house, _, who| {
            house.operate(&Command::OrgAddMember { org: "acme".into(), user: who.into(), owner: true });
        },
        close: |house, _, who, _| {
            house.operate(&Command::OrgAddMember { org: "acme".into(), user: who.into(), owner: false });
        },
        then: denied,
    },
    Change {
        what: "a member leaves the team that may read",
        open: in_team,
        close: |house, path, who, _| {
            let (org, team, user) = ("acme".into(), team_of(path), who.into());
            house.people(PeopleCommand::TeamRemoveMember { org, team, user });
        },
        then: denied,
    },
    Change {
        what: "the role is taken from the team",
        open: in_team,
        close: |house, path, _, _| house.revoke(path, &format!("team:{}", team_of(path))),
        then: denied,
    },
    Change {
        what: "the team is deleted",
        open: in_team,
        close: |house, path, _, _| {
            house.people(PeopleCommand::TeamDelete { org: "acme".into(), team: team_of(path) });
        },
        then: denied,
    },
    Change {
        what: "the team above loses its child",
        open: |house, path, who| {
            let (org, above, below) = ("acme".to_owned(), team_of(path), format!("{}-child", team_of(path)));
            house.operate(&Command::OrgAddMember { org: org.clone(), user: who.into(), owner: false });
            for (name, parent) in [(above.clone(), None), (below.clone(), Some(above.clone()))] {
                let (org, description) = (org.clone(), None);
                house.people(PeopleCommand::TeamCreate { org, name, description, secret: false, parent });
            }
            house.grant(path, &format!("team:{above}"), "read");
            let (team, user) = (below, who.to_owned());
            house.people(PeopleCommand::TeamAddMember { org, team, user, maintainer: false });
        },
        close: |house, path, _, _| {
            let team = format!("{}-child", team_of(path));
            let change = TeamChange { parent: Some(None), ..TeamChange::default() };
            house.wait(house.service().change_team(&house.mona, "acme", &team, change)).unwrap();
        },
        then: denied,
    },
    Change {
        what: "the team loses its role in the linked repository",
        open: |house, path, who| {
            in_team(house, path, who);
            house.revoke(path, &format!("team:{}", team_of(path)));
            base_role(house, "none");
            linked(house, path, "private");
            let repository = code_of(path);
            let (org, team, role) = ("acme".into(), team_of(path), Some("read".into()));
            house.people(PeopleCommand::TeamRole { org, team, repository, role });
        },
        close: |house, path, _, _| {
            let (org, team, repository) = ("acme".into(), team_of(path), code_of(path));
            house.people(PeopleCommand::TeamRole { org, team, repository, role: None });
        },
        then: denied,
    },
    Change {
        what: "another package is made where a renamed one was",
        open: |house, path, who| {
            read(house, path, who);
            let to = name(&format!("{path}-now"));
            house.wait(house.service().move_package(&house.mona, &name(path), &to)).unwrap();
        },
        close: |house, path, _, _| {
            house.push(path, "v1", "the other one");
        },
        then: denied,
    },
    Change {
        what: "a collaborator leaves the linked repository",
        open: collaborator,
        close: |house, path, who, _| {
            let path = format!("{path}-code");
            house.people(PeopleCommand::RepoRole { path, user: who.into(), role: None });
        },
        then: denied,
    },
    Change {
        what: "the package is unlinked",
        open: collaborator,
        close: |house, path, _, _| house.people(PeopleCommand::PackageUnlink { path: path.into() }),
        then: denied,
    },
    Change {
        what: "the package inherits no more",
        open: collaborator,
        close: |house, path, _, _| {
            house.people(PeopleCommand::PackageInherit { path: path.into(), inherit: false });
        },
        then: denied,
    },
    Change {
        what: "members may read repositories no more",
        open: |house, path, who| {
            house.operate(&Command::OrgAddMember { org: "acme".into(), user: who.into(), owner: false });
            base_role(house, "read");
            linked(house, path, "private");
        },
        close: |house, _, _, _| base_role(house, "none"),
        then: denied,
    },
    Change {
        what: "the package is deleted",
        open: read,
        close: |house, path, _, _| {
            house.wait(house.service().delete_package(&house.mona, &name(path))).unwrap();
        },
        then: denied,
    },
    Change {
        what: "another package is made where a deleted one was",
        open: |house, path, _| house.make(path, "public"),
        close: |house, path, _, _| {
            house.wait(house.service().delete_package(&house.mona, &name(path))).unwrap();
            house.push(path, "v1", "the other one");
        },
        then: denied,
    },
    Change {
        what: "the tag moves",
        open: read,
        close: |house, path, _, _| {
            house.push(path, "v1", "moved to");
        },
        then: |manifest, layer| {
            let moved = Digest::of(Algorithm::Sha256, &image("moved to"));
            let [moved, manifest, layer] = [moved, manifest, layer].map(Told::Bytes);
            vec![moved.clone(), moved, manifest.clone(), manifest, layer.clone(), layer]
        },
    },
    Change {
        what: "the tag is deleted",
        open: read,
        close: |house, path, _, _| {
            let tag = Reference::Tag("v1".parse().unwrap());
            house.wait(house.service().delete_manifest(&house.mona, &name(path), &tag)).unwrap();
        },
        then: |manifest, layer| {
            let (unknown, [manifest, layer]) = (Told::Unknown, [manifest, layer].map(Told::Bytes));
            vec![unknown.clone(), unknown, manifest.clone(), manifest, layer.clone(), layer]
        },
    },
    Change {
        what: "the blob is taken out",
        open: read,
        close: |house, path, _, _| {
            let layer = digest(&format!("the layer of {path}"));
            house.wait(house.service().delete_blob(&house.mona, &name(path), layer)).unwrap();
        },
        then: |manifest, _| {
            let (manifest, unknown) = (Told::Bytes(manifest), Told::Unknown);
            vec![manifest.clone(), manifest.clone(), manifest.clone(), manifest, unknown.clone(), unknown]
        },
    },
    Change {
        what: "nothing happens",
        open: read,
        close: |house, path, who, _| nothing(house, path, who),
        then: |manifest, layer| {
            let [manifest, layer] = [manifest, layer].map(Told::Bytes);
            vec![manifest.clone(), manifest.clone(), manifest.clone(), manifest, layer.clone(), layer]
        },
    },
];

fn what_was_changed_is_seen(house: &House) {
    for (number, change) in CHANGES.iter().enumerate() {
        let (path, who) = (format!("acme/p{number}"), format!("user{number}"));
        let content = format!("the layer of {path}");
        let (manifest, layer) = (house.push(&path, "v1", &content), digest(&content));
        let (id, shows) = house.user(&who);
        // A bearer token of the registry stands for the same.
        let scopes = vec![ScopeAsked::Package(name(&path), Actions::PULL)];
        let anonymous = Shown::Nothing;
        assert_eq!(
            house.pull(0, &anonymous, &path, manifest, layer),
            denied(manifest, layer),
            "{}",
            change.what
        );
        (change.open)(house, &path, &who);
        let request = TokenRequest { grant: Grant::Shown(shows.clone()), scopes, offline: false };
        let bearer = house.wait(house.service().token(request)).unwrap().token;
        let header = format!("Bearer {bearer}");
        let bearer = Shown::Bearer(bearer);
        let [seen, blob] = [manifest, layer].map(Told::Bytes);
        let open = vec![seen.clone(), seen.clone(), seen.clone(), seen, blob.clone(), blob];
        for node in 0..house.nodes.len() {
            for by in [&shows, &bearer] {
                for _ in 0..2 {
                    assert_eq!(house.pull(node, by, &path, manifest, layer), open, "{}", change.what);
                }
                house.statements(node);
                house.pull(node, by, &path, manifest, layer);
                let statements = house.statements(node);
                match house.database {
                    Database::Sqlite(_) => assert!(statements.is_empty(), "it is remembered: {statements:?}"),
                    Database::Postgres(_) => assert_eq!(statements, ["PULL"; 6], "one statement each"),
                }
            }
        }
        // As the registry's edge looks it up, before the change and after it.
        let looked_up = || house.nodes.iter().map(|(service, _)| service.shown(Some(header.as_bytes())));
        let before: Vec<Shown> = looked_up().collect();
        assert!(before.iter().all(|shown| matches!(shown, Shown::Signed(_))), "{before:?}");
        (change.close)(house, &path, &who, id);
        for (node, (before, after)) in before.iter().zip(looked_up()).enumerate() {
            for by in [&shows, &bearer, before, &after] {
                let now = house.pull(node, by, &path, manifest, layer);
                assert_eq!(now, (change.then)(manifest, layer), "{} (node {node})", change.what);
            }
        }
    }
}

#[test]
fn what_was_changed_is_seen_by_the_next_request_on_every_node() {
    both(what_was_changed_is_seen);
}

/// What ends the right to push: the house, the path, the pusher's name and the number of their token.
type End = fn(&House, &str, &str, i64);
const ENDS: &[(&str, End)] = &[
    ("the token is revoked", |house, _, _, token| {
        house.operate(&Command::TokenRevoke { id: token });
    }),
    ("the account is suspended", |house, _, who, _| {
        house.operate(&Command::UserSuspend { name: who.into() });
    }),
    ("the role is taken", |house, path, who, _| house.revoke(path, who)),
    ("the role is a smaller one", |house, path, who, _| house.grant(path, who, "read")),
    ("there is no room", |house, _, _, _| {
        let nothing = Limits { storage: Some(0), private_storage: Some(0), ..Limits::default() };
        house.wait(house.service().adopt_plans(&[("nothing".to_owned(), nothing)], "nothing")).unwrap();
    }),
];

impl House {
    fn begin(&self, by: &Shown, path: &str) -> Result<String, UploadError> {
        let begun = self.wait(self.service().begin_upload(by, &name(path), Algorithm::Sha256));
        begun.map(|session| session.id)
    }

    fn finish(&self, by: &Shown, path: &str, session: &str, content: &str) -> Result<(), UploadError> {
        let body = Full::new(Bytes::copy_from_slice(content.as_bytes()));
        let (digest, part) = (digest(content), Part::default());
        self.wait(self.service().finish_upload(by, &name(path), session, digest, part, body))
    }
}

fn what_a_push_may_is_seen(house: &House) {
    for (number, (what, end)) in ENDS.iter().enumerate() {
        let (path, who) = (format!("acme/q{number}"), format!("pusher{number}"));
        house.push(&path, "v1", "a");
        let (id, shows) = house.user(&who);
        house.grant(&path, &who, "write");
        for content in ["one", "two", "three"] {
            house.statements(0);
            let session = house.begin(&shows, &path).unwrap();
            let begun = house.statements(0);
            house.finish(&shows, &path, &session, &format!("{content} of {path}")).unwrap();
            let finished = house.statements(0);
            if content == "three" && matches!(house.database, Database::Sqlite(_)) {
                assert_eq!(begun, ["INSERT_UPLOAD"], "{what}");
                let written = [
                    "FINISH_UPLOAD",
                    "INSERT_BLOB",
                    "LINK",
                    "REVIEW",
                    "HOLDER_OF",
                    "COUNT_BLOBS",
                    "ADD_STORAGE",
                ];
                assert_eq!(finished, written, "{what}");
            }
        }
        let session = house.begin(&shows, &path).unwrap();
        // What this process began is nobody else's, and stays what it is when somebody else asks for it.
        let other = house.finish(&house.mona, &path, &session, "theirs");
        assert!(matches!(other, Err(UploadError::Unknown)), "{what}: {other:?}");
        house.finish(&shows, &path, &session, &format!("mine of {path}")).unwrap();

        let session = house.begin(&shows, &path).unwrap();
        end(house, &path, &who, id);
        let finished = house.finish(&shows, &path, &session, "too late");
        assert!(matches!(finished, Err(UploadError::Denied(_))), "{what}: {finished:?}");
        let begun = house.begin(&shows, &path);
        assert!(matches!(begun, Err(UploadError::Denied(_))), "{what}: {begun:?}");
    }
}

#[test]
fn what_a_push_may_is_seen_by_the_next_request() {
    both(what_a_push_may_is_seen);
}

fn a_session_ends_when_it_ends(house: &House) {
    house.push("acme/app", "v1", "a");
    let session = house.begin(&house.mona, "acme/app").unwrap();
    let later = Settings::new("admin".parse().unwrap()).upload_idle_seconds_max;
    house.watch.0.fetch_add(i64::try_from(later).unwrap() * SECOND, Ordering::SeqCst);
    let finished = house.finish(&house.mona, "acme/app", &session, "late");
    assert!(matches!(finished, Err(UploadError::Unknown)), "{finished:?}");
}

#[test]
fn a_session_that_was_begun_here_expires_as_any() {
    both(a_session_ends_when_it_ends);
}

fn a_token_that_ends_is_not_remembered_beyond_it(house: &House) {
    let (manifest, layer) = (house.push("acme/app", "v1", "a"), digest("a"));
    house.user("hubot");
    house.grant("acme/app", "hubot", "read");
    let (_, shows) = house.token("hubot", Some(60));
    for node in 0..house.nodes.len() {
        for _ in 0..3 {
            assert_ne!(house.pull(node, &shows, "acme/app", manifest, layer), denied(manifest, layer));
        }
    }
    house.watch.0.fetch_add(60 * SECOND, Ordering::SeqCst);
    for node in 0..house.nodes.len() {
        assert_eq!(house.pull(node, &shows, "acme/app", manifest, layer), denied(manifest, layer));
    }
}

#[test]
fn a_token_ends_when_it_ends() {
    both(a_token_that_ends_is_not_remembered_beyond_it);
}

fn a_robot_loses_its_role(house: &House) {
    let (manifest, layer) = (house.push("acme/app", "v1", "a"), digest("a"));
    let (org, robot) = ("acme".to_owned(), "bot".to_owned());
    let role = Some("read".to_owned());
    let made = MachineCommand::RobotCreate { org: org.clone(), name: robot.clone(), role, description: None };
    house.operate(&Command::Machines(made));
    let token = MachineCommand::RobotToken {
        org: org.clone(),
        name: robot.clone(),
        token_name: "of a test".into(),
        scopes: vec!["read:packages".into()],
        expires_seconds: None,
    };
    let Answer::Token { token, .. } = house.operate(&Command::Machines(token)) else { panic!("no token") };
    let shows = Shown::Bearer(token);
    for node in 0..house.nodes.len() {
        for _ in 0..3 {
            assert_ne!(house.pull(node, &shows, "acme/app", manifest, layer), denied(manifest, layer));
        }
    }
    let change = RobotChange { role: Some(None), description: None };
    house.wait(house.service().change_robot(&house.mona, &org, &robot, change)).unwrap();
    for node in 0..house.nodes.len() {
        assert_eq!(house.pull(node, &shows, "acme/app", manifest, layer), denied(manifest, layer));
    }
}

#[test]
fn what_a_robot_may_is_seen_by_the_next_request() {
    both(a_robot_loses_its_role);
}

fn a_plan_holds_from_the_next_pull_on(house: &House) {
    let layer = digest("a");
    house.push("acme/app", "v1", "a");
    let nothing = Limits { transfer: Some(0), ..Limits::default() };
    let plans = [("unlimited".to_owned(), Limits::default()), ("nothing".to_owned(), nothing)];
    house.wait(house.service().adopt_plans(&plans, "unlimited")).unwrap();
    let sent = |node: usize| {
        let service: &Service = &house.nodes[node].0;
        let app = name("acme/app");
        house.wait(async {
            let found = service.blob(&house.mona, &app, layer).await.unwrap();
            told(service.read_blob(&found, 0, 1).await, |_| layer)
        })
    };
    for node in 0..house.nodes.len() {
        assert!((0..3).all(|_| sent(node) == Told::Bytes(layer)));
    }
    let plan = |plan: &str| {
        let set = UsageCommand::SetPlan { account: "acme".into(), plan: Some(plan.into()) };
        house.operate(&Command::Usage(set));
    };
    plan("nothing");
    for node in 0..house.nodes.len() {
        assert!((0..3).all(|_| sent(node) == Told::Denied));
    }
    plan("unlimited");
    for node in 0..house.nodes.len() {
        assert!((0..3).all(|_| sent(node) == Told::Bytes(layer)));
    }
    // The plan itself changes.
    house.wait(house.service().adopt_plans(&[("unlimited".to_owned(), nothing)], "unlimited")).unwrap();
    for node in 0..house.nodes.len() {
        assert!((0..3).all(|_| sent(node) == Told::Denied));
    }
}

#[test]
fn a_plan_is_seen_by_the_next_pull() {
    both(a_plan_holds_from_the_next_pull_on);
}

fn limits_of_fine_grained_tokens_hold(house: &House) {
    let (manifest, layer) = (house.push("acme/one", "v1", "a"), digest("a"));
    house.push("acme/two", "v1", "a");
    let (_, shows) = house.user("hubot");
    for path in ["acme/one", "acme/two"] {
        house.grant(path, "hubot", "read");
    }
    let limits = vec![LimitWanted::Package("acme/one".into(), Role::Read)];
    let wanted = TokenWanted { name: "narrow".into(), limits, expires_at: None };
    let made = house.service().create_own_token(&shows, wanted);
    let narrow = Shown::Bearer(house.wait(made).unwrap().secret.reveal().to_owned());
    for node in 0..house.nodes.len() {
        for _ in 0..3 {
            assert_ne!(house.pull(node, &narrow, "acme/one", manifest, layer), denied(manifest, layer));
            assert_eq!(house.pull(node, &narrow, "acme/two", manifest, layer), denied(manifest, layer));
        }
    }
}

#[test]
fn a_fine_grained_token_opens_no_more_when_it_is_remembered() {
    both(limits_of_fine_grained_tokens_hold);
}

/// A reader that took its snapshot before a change was committed must not leave what it read behind for those who come
/// after it.
#[test]
fn what_was_read_beside_a_change_is_not_remembered() {
    let database = Database::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let (reached, reaches) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let held: Arc<Mutex<Option<mpsc::Receiver<()>>>> = Arc::default();
    let holding = Arc::clone(&held);
    let mut options = Options { connections: 3, ..Options::new(Place::Sqlite(database.file())) };
    options.observer = Some(Arc::new(move |work: Work| {
        // The tag was read; what is known of it is not kept yet.
        if work.statement == "MANIFEST_BY_TAG" {
            let pause = holding.lock().unwrap().take();
            if let Some(goes) = pause {
                reached.send(()).unwrap();
                goes.recv().unwrap();
            }
        }
    }));
    let catalog = Catalog::open(&options).unwrap();
    let store = BlobStore::files(folder.path()).unwrap();
    let watch = Arc::new(Watch(AtomicI64::new(1_767_225_600 * SECOND)));
    let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
    let started = Service::start(catalog, store, clock, Settings::new("admin".parse().unwrap()));
    let (service, _) = runtime.block_on(started).unwrap();
    let nodes = vec![(service.clone(), Seen::default())];
    let mut house = House { nodes, runtime, database, watch, mona: Shown::Nothing, _folder: folder };
    house.operate(&Command::UserCreate { name: "mona".into(), site_admin: false });
    house.operate(&Command::OrgCreate { name: "acme".into(), owner: "mona".into() });
    house.mona = house.token("mona", None).1;
    house.push("acme/app", "v1", "before");
    let tag = Reference::Tag("v1".parse().unwrap());
    *held.lock().unwrap() = Some(goes);
    let (reading, by, asked) = (service.clone(), house.mona.clone(), tag.clone());
    let slow = house.runtime.spawn(async move { reading.manifest(&by, &name("acme/app"), &asked).await });
    reaches.recv_timeout(Duration::from_secs(60)).unwrap();
    let after = house.push("acme/app", "v1", "after");
    go.send(()).unwrap();
    // It began before the change, so either is right for it.
    house.wait(slow).unwrap().unwrap();
    let found = house.wait(service.manifest(&house.mona, &name("acme/app"), &tag)).unwrap();
    assert_eq!(found.digest, after);
}
