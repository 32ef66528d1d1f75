//! A day of work: what the clients do, one step after another.
//!
//! A new kind of step is a call of [`Client::step`] in one of the functions below, with what its answer promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use packhouse_tests::image::{INDEX, MANIFEST, sha256};
use packhouse_tests::{Answer, Blob, Caller, House, User, until};
use serde_json::{Value, json};

use crate::chance::roll;
use crate::ledger::{Chain, Mark, Sent, Step, Truth};

const STREAM: &str = "application/octet-stream";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Clients that push at the same time, so that commits are shared.
const CROWD: usize = 4;
/// For the time to restore to be over.
const NIGHT: Duration = Duration::from_secs(60);
/// Images that each of them pushes.
const CROWD_IMAGES: usize = 3;

/// A client with its packages, and all that it was promised.
pub(crate) struct Client {
    door: Option<Caller>,
    pub(crate) chain: Chain,
    seed: u64,
}

/// An upload session.
struct Session {
    path: String,
    id: String,
}

impl Client {
    fn new(packages: &str, seed: u64) -> Self {
        let chain = Chain { packages: packages.to_owned(), ..Chain::default() };
        Self { door: None, chain, seed }
    }

    /// Notes an answer and what it promises.
    fn promised(&mut self, what: String, mark: Mark, change: impl FnOnce(&mut Truth)) {
        let mut truth = self.chain.truth();
        change(&mut truth);
        self.chain.steps.push(Step { what, mark, truth });
    }

    /// Sends a request, and notes what its answer promises.
    #[track_caller]
    fn step(
        &mut self,
        (method, path): (&str, &str),
        (media_type, bytes): (&str, &[u8]),
        status: u16,
        change: impl FnOnce(&mut Truth, &Answer),
    ) -> Answer {
        let door = self.door.as_ref().expect("the client has a token");
        let answer = door.send_bytes(method, path, media_type, bytes);
        assert_eq!(answer.status, status, "{method} {path}: {answer}");
        let id = answer.header("x-request-id").expect("each answer has an id").to_owned();
        self.promised(format!("{method} {path}"), Mark::Request(id), |truth| change(truth, &answer));
        answer
    }

    fn blob(&mut self, size: usize) -> Blob {
        let words = std::iter::repeat_with(|| roll(&mut self.seed).to_le_bytes()).take(size.div_ceil(8));
        let mut bytes: Vec<u8> = words.flatten().collect();
        bytes.truncate(size);
        Blob::new(STREAM, bytes)
    }

    /// One POST with all of it.
    #[track_caller]
    fn post(&mut self, package: &str, blob: &Blob) {
        let path = format!("/v2/{package}/blobs/uploads/?digest={}", blob.digest);
        let held = (package.to_owned(), blob.digest.clone());
        self.step(("POST", &path), (STREAM, &blob.bytes), 201, |truth, _| {
            truth.blobs.insert(held);
        });
    }

    #[track_caller]
    fn begin(&mut self, package: &str, whole: &[u8]) -> Session {
        let mut id = String::new();
        let answer = self.step(
            ("POST", &format!("/v2/{package}/blobs/uploads/")),
            (STREAM, &[]),
            202,
            |truth, answer| {
                id = session_id(answer);
                truth.sessions.insert(id.clone(), 0);
            },
        );
        let sent = Sent { package: package.to_owned(), whole: Arc::from(whole) };
        self.chain.sent.insert(id.clone(), sent);
        let location = answer.header("location").expect("a Location");
        // The port is another one after a restart.
        let path = location.find("/v2/").map_or("", |at| &location[at..]).to_owned();
        Session { path, id }
    }

    #[track_caller]
    fn patch(&mut self, session: &Session, whole: &Blob, range: std::ops::Range<usize>) {
        let end = range.end;
        self.step(("PATCH", &session.path), (STREAM, &whole.bytes[range]), 202, |truth, _| {
            truth.sessions.insert(session.id.clone(), end);
        });
    }

    #[track_caller]
    fn put(&mut self, package: &str, session: &Session, whole: &Blob, from: usize) {
        let path = format!("{}?digest={}", session.path, whole.digest);
        let held = (package.to_owned(), whole.digest.clone());
        self.step(("PUT", &path), (STREAM, &whole.bytes[from..]), 201, |truth, _| {
            truth.sessions.remove(&session.id);
            truth.blobs.insert(held);
        });
    }

    /// POST, and PUT with all of it.
    #[track_caller]
    fn upload(&mut self, package: &str, blob: &Blob) {
        let session = self.begin(package, &blob.bytes);
        self.put(package, &session, blob, 0);
    }

    /// POST, two PATCHes, and PUT with the rest.
    #[track_caller]
    fn upload_in_parts(&mut self, package: &str, blob: &Blob) {
        let session = self.begin(package, &blob.bytes);
        let (one, two) = (blob.bytes.len() / 3, blob.bytes.len() * 2 / 3);
        self.patch(&session, blob, 0..one);
        self.patch(&session, blob, one..two);
        self.put(package, &session, blob, two);
    }

    #[track_caller]
    fn manifest(&mut self, package: &str, tag: Option<&str>, manifest: &Blob) {
        let reference = tag.unwrap_or(&manifest.digest);
        let path = format!("/v2/{package}/manifests/{reference}");
        let digest = manifest.digest.clone();
        self.step(("PUT", &path), (&manifest.media_type, &manifest.bytes), 201, |truth, _| {
            truth.manifests.insert((package.to_owned(), digest.clone()));
            if let Some(tag) = tag {
                truth.tags.insert((package.to_owned(), tag.to_owned()), digest);
            }
        });
    }

    /// Config, layers and manifest; the manifest is what comes back.
    #[track_caller]
    fn image(&mut self, package: &str, tag: Option<&str>, layers: &[Blob]) -> Blob {
        let number = roll(&mut self.seed).to_string();
        let config = Blob::json(
            CONFIG,
            &json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"n": number}}}),
        );
        self.upload(package, &config);
        let parts: Vec<_> = layers.iter().map(Blob::descriptor).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": parts});
        let manifest = Blob::json(MANIFEST, &manifest);
        self.manifest(package, tag, &manifest);
        manifest
    }

    #[track_caller]
    fn mount(&mut self, package: &str, from: &str, blob: &Blob) {
        let path = format!("/v2/{package}/blobs/uploads/?mount={}&from={from}", blob.digest);
        self.step(("POST", &path), (STREAM, &[]), 201, |truth, _| {
            truth.blobs.insert((package.to_owned(), blob.digest.clone()));
        });
    }

    #[track_caller]
    fn delete_tag(&mut self, package: &str, tag: &str) {
        self.step(("DELETE", &format!("/v2/{package}/manifests/{tag}")), (STREAM, &[]), 202, |truth, _| {
            truth.tags.remove(&(package.to_owned(), tag.to_owned()));
        });
    }

    #[track_caller]
    fn delete_manifest(&mut self, package: &str, digest: &str) {
        self.step(
            ("DELETE", &format!("/v2/{package}/manifests/{digest}")),
            (STREAM, &[]),
            202,
            |truth, _| {
                truth.manifests.remove(&(package.to_owned(), digest.to_owned()));
                truth.tags.retain(|(of, _), named| of != package || named != digest);
            },
        );
    }

    #[track_caller]
    fn delete_blob(&mut self, package: &str, blob: &Blob) {
        self.step(
            ("DELETE", &format!("/v2/{package}/blobs/{}", blob.digest)),
            (STREAM, &[]),
            202,
            |truth, _| {
                truth.blobs.remove(&(package.to_owned(), blob.digest.clone()));
            },
        );
    }

    #[track_caller]
    fn cancel(&mut self, session: &Session) {
        self.step(("DELETE", &session.path), (STREAM, &[]), 204, |truth, _| {
            truth.sessions.remove(&session.id);
        });
    }

    /// The bytes are not what the digest says: nothing is stored, and the session ends.
    #[track_caller]
    fn put_wrong(&mut self, session: &Session, bytes: &[u8], digest: &str) {
        let path = format!("{}?digest={digest}", session.path);
        self.step(("PUT", &path), (STREAM, bytes), 400, |truth, _| {
            truth.sessions.remove(&session.id);
        });
    }
}

#[track_caller]
fn session_id(answer: &Answer) -> String {
    let location = answer.header("location").expect("a Location");
    let path = location.split('?').next().unwrap_or_default();
    path.rsplit('/').next().expect("a session's name").to_owned()
}

/// The operator's side: commands are counted, and token's hashes known.
struct Operator {
    commands: usize,
}

impl Operator {
    fn mark(&mut self) -> Mark {
        self.commands += 1;
        Mark::Command(self.commands - 1)
    }

    #[track_caller]
    fn command(
        &mut self,
        house: &House,
        client: &mut Client,
        words: &[&str],
        change: impl FnOnce(&mut Truth, &Value),
    ) -> Value {
        let answer = house.operator(words.iter().copied());
        let mark = self.mark();
        client.promised(format!("packhouse {}", words.join(" ")), mark, |truth| change(truth, &answer));
        answer
    }

    #[track_caller]
    fn token(&mut self, house: &House, client: &mut Client, name: &str) -> User {
        let scopes = "read:packages,write:packages,delete:packages";
        let words = ["token", "create", name, "--scopes", scopes];
        let made = self.command(house, client, &words, |truth, made| {
            truth.tokens.insert(hash(token_in(made)));
        });
        User { name: name.to_owned(), token: token_in(&made).to_owned() }
    }

    /// Makes a token and revokes it.
    #[track_caller]
    fn revoked_token(&mut self, house: &House, client: &mut Client, name: &str) {
        let words = ["token", "create", name, "--scopes", "read:packages"];
        let made = self.command(house, client, &words, |truth, made| {
            truth.tokens.insert(hash(token_in(made)));
        });
        let id = made["id"].to_string();
        self.command(house, client, &["token", "revoke", &id], |truth, _| {
            truth.tokens.remove(&hash(token_in(&made)));
        });
    }
}

fn token_in(made: &Value) -> &str {
    made["token"].as_str().expect("a token")
}

pub(crate) fn hash(token: &str) -> String {
    sha256(token.as_bytes()).trim_start_matches("sha256:").to_owned()
}

/// Works a whole day in `house`, with a restart at noon, until what was thrown away is removed. Returns what each client
/// was promised.
#[track_caller]
pub(crate) fn work(house: &mut House, seed: u64) -> Day {
    let mut mona = Client::new("mona/", seed);
    mona.chain.tokens = true;
    let mut operator = Operator { commands: 0 };
    let admin = house.admin().token;
    mona.promised("the first start".to_owned(), Mark::Printed(admin.clone()), |truth| {
        truth.tokens.insert(hash(&admin));
    });
    operator.command(house, &mut mona, &["user", "create", "mona"], |_, _| {});
    let user = operator.token(house, &mut mona, "mona");
    mona.door = Some(house.caller(&user));
    let parked = morning(&mut mona, &mut operator, house);

    house.close();
    house.open();
    mona.door = Some(house.caller(&user));
    let mut chains = crowd(&mut operator, &mut mona, house, seed);
    afternoon(&mut mona, parked);
    night(house);
    chains.insert(0, mona.chain);
    Day { chains, user }
}

/// What a day leaves with the tests.
#[derive(Debug)]
pub(crate) struct Day {
    /// What each client was promised.
    pub(crate) chains: Vec<Chain>,
    /// Who worked.
    pub(crate) user: User,
}

/// A session that is left open, with what it is to become and the bytes it has.
type Parked = (Session, Blob, usize);

#[track_caller]
fn morning(mona: &mut Client, operator: &mut Operator, house: &House) -> Parked {
    let app = "mona/app";
    let (small, empty) = (mona.blob(3_000), mona.blob(0));
    mona.post(app, &small);
    mona.post(app, &empty);
    let layer = mona.blob(90_000);
    mona.upload_in_parts(app, &layer);
    // More than the pieces in which a body is written.
    let large = mona.blob(1_300_000);
    mona.upload(app, &large);
    let one = mona.image(app, Some("v1"), &[small.clone(), layer.clone()]);

    let whole = mona.blob(50_000);
    let parked = mona.begin(app, &whole.bytes);
    mona.patch(&parked, &whole, 0..20_000);

    // The same blob again: the newcomer's bytes are thrown away.
    mona.upload(app, &layer);
    mona.post(app, &small);
    mona.mount("mona/other", app, &layer);
    let two = mona.image("mona/other", Some("stable"), std::slice::from_ref(&layer));
    let three = mona.image(app, Some("v3"), &[large]);
    // `latest` moves.
    mona.manifest(app, Some("latest"), &one);
    mona.manifest(app, Some("latest"), &three);
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.descriptor(), three.descriptor()]});
    let index = Blob::json(INDEX, &index);
    mona.manifest(app, Some("all"), &index);
    let referrer = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature",
        "config": empty.descriptor(), "layers": [small.descriptor()], "subject": one.descriptor(),
    });
    mona.manifest(app, None, &Blob::json(MANIFEST, &referrer));

    let given_up = mona.blob(30_000);
    let cancelled = mona.begin(app, &given_up.bytes);
    mona.patch(&cancelled, &given_up, 0..15_000);
    mona.cancel(&cancelled);
    let never = mona.begin(app, &given_up.bytes);
    mona.cancel(&never);
    let wrong = mona.begin(app, &given_up.bytes);
    mona.patch(&wrong, &given_up, 0..10_000);
    mona.put_wrong(&wrong, &given_up.bytes[10_000..], &small.digest);

    mona.delete_tag(app, "v3");
    mona.delete_manifest("mona/other", &two.digest);
    mona.delete_blob("mona/other", &layer);
    operator.command(house, mona, &["package", "visibility", app, "public"], |truth, _| {
        truth.public.insert(app.to_owned());
    });
    operator.revoked_token(house, mona, "mona");
    mona.manifest("mona/app", Some("noon"), &one);
    (parked, whole, 20_000)
}

/// Clients with packages of their own push at once, so that their commits are shared.
#[track_caller]
fn crowd(operator: &mut Operator, mona: &mut Client, house: &House, seed: u64) -> Vec<Chain> {
    let mut clients = Vec::new();
    for number in 0..CROWD {
        let name = format!("hubot{number}");
        operator.command(house, mona, &["user", "create", &name], |_, _| {});
        let user = operator.token(house, mona, &name);
        let mut client = Client::new(&format!("{name}/"), seed ^ (number as u64 + 1) << 32);
        client.door = Some(house.caller(&user));
        clients.push((client, format!("{name}/tool")));
    }
    std::thread::scope(|scope| {
        let work = |(mut client, package): (Client, String)| {
            for number in 0..CROWD_IMAGES {
                let layer = client.blob(2_000 + number * 7_000);
                if number == 1 {
                    client.upload_in_parts(&package, &layer);
                } else {
                    client.upload(&package, &layer);
                }
                let manifest = client.image(&package, Some("latest"), std::slice::from_ref(&layer));
                if number == 1 {
                    client.delete_manifest(&package, &manifest.digest);
                }
            }
            client.chain
        };
        let hands: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || work(client))).collect();
        hands.into_iter().map(|hand| hand.join().expect("no client fails")).collect()
    })
}

#[track_caller]
fn afternoon(mona: &mut Client, (session, whole, received): Parked) {
    let app = "mona/app";
    mona.patch(&session, &whole, received..40_000);
    mona.put(app, &session, &whole, 40_000);
    for number in 0..4_usize {
        let layer = mona.blob(4_000 + 900 * number);
        mona.upload_in_parts(app, &layer);
        let image = mona.image(app, Some("nightly"), &[layer.clone(), whole.clone()]);
        if number % 2 == 1 {
            mona.delete_manifest(app, &image.digest);
            mona.delete_blob(app, &layer);
            // And back again.
            mona.upload(app, &layer);
            mona.manifest(app, Some("nightly"), &image);
        }
    }
    // Left open over the night.
    let session = mona.begin(app, &whole.bytes);
    mona.patch(&session, &whole, 0..9_000);
}

/// What was deleted can be restored no more, and what lies in the trash is removed. The last command: nothing is counted
/// on the socket after it.
#[track_caller]
fn night(house: &House) {
    let mut files = 0;
    until("a deleted version whose time is over", NIGHT, || {
        let done = house.operator(["gc"]);
        files += done["files"].as_u64().unwrap_or(0);
        (done["removed"]["version"].as_u64() > Some(0)).then_some(())
    });
    assert!(files > 0, "no file was removed");
}

/// The packages, blobs, manifests and tags of the last truths, for floors.
pub(crate) fn size(chains: &[Chain]) -> (usize, usize, usize, usize) {
    let truths: Vec<Truth> = chains.iter().map(Chain::truth).collect();
    let packages: BTreeSet<&String> =
        truths.iter().flat_map(|truth| truth.blobs.iter().map(|(package, _)| package)).collect();
    let sum = |count: fn(&Truth) -> usize| truths.iter().map(count).sum();
    (
        packages.len(),
        sum(|truth| truth.blobs.len()),
        sum(|truth| truth.manifests.len()),
        sum(|truth| truth.tags.len()),
    )
}
