//! Imports through the service's own door: as whom, under which rules, from a source that is slow or breaks off.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Options, Place};
use packhouse_oci::{Algorithm, Digest, PackageName, Reference};
use packhouse_service::operator::{Answer, Command, RuleCommand, TransferCommand};
use packhouse_service::transfer::{
    ExportOrder, ImportCursor, ImportOrder, ImportSource, TransferProblem, TransferSums,
};
use packhouse_service::{PullError, Service, Settings, Shown, SystemClock};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct House {
    service: Service,
    mona: Shown,
    folder: TempDir,
}

/// What all steps of an import came to.
#[derive(Debug, Default)]
struct Done {
    sums: TransferSums,
    problems: Vec<TransferProblem>,
    notes: Vec<TransferProblem>,
    steps: usize,
    waits: usize,
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("catalog.sqlite"));
        let catalog = Catalog::open(&Options::new(place)).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let settings = Settings::new("admin".parse().unwrap());
        let (service, _) = Service::start(catalog, store, Arc::new(SystemClock), settings).await.unwrap();
        let mut house = House { service, mona: Shown::Nothing, folder };
        for name in ["mona", "hubot"] {
            house.operate(Command::UserCreate { name: name.into(), site_admin: false }).await;
        }
        let command = Command::TokenCreate {
            user: "mona".into(),
            name: "of a test".into(),
            scopes: ["read:packages", "write:packages", "delete:packages"].map(str::to_owned).to_vec(),
            expires_seconds: None,
        };
        let Answer::Token { token, .. } = house.operate(command).await else { panic!("no token") };
        house.mona = Shown::Bearer(token);
        house
    }

    async fn operate(&self, command: Command) -> Answer {
        match self.service.operate(command.clone()).await {
            Answer::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    /// Steps until there is no more, each from what the one before said, as JSON carries it.
    async fn import(&self, order: &ImportOrder) -> Result<Done, String> {
        let (mut done, mut cursor) = (Done::default(), None::<Box<ImportCursor>>);
        loop {
            let command = TransferCommand::Import { order: Box::new(order.clone()), cursor: cursor.take() };
            let text = serde_json::to_string(&Command::Transfer(command)).unwrap();
            let step = match self.service.operate(serde_json::from_str(&text).unwrap()).await {
                Answer::Imported(step) => step,
                Answer::Refused { message } => return Err(message),
                answer => panic!("{answer:?}"),
            };
            done.steps += 1;
            done.waits += usize::from(step.waiting.is_some());
            done.sums.add(&step.sums);
            done.problems.extend(step.problems);
            done.notes.extend(step.notes);
            match step.cursor {
                Some(more) => cursor = Some(Box::new(more)),
                None => return Ok(done),
            }
        }
    }

    async fn has(&self, package: &str, reference: &str) -> bool {
        let found = self.service.manifest(&self.mona, &name(package), &reference.parse().unwrap()).await;
        match found {
            Ok(_) => true,
            Err(PullError::ManifestUnknown(_) | PullError::Denied(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

fn name(path: &str) -> PackageName {
    path.parse().unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn order(source: ImportSource, package: &str) -> ImportOrder {
    ImportOrder {
        source,
        package: Some(package.to_owned()),
        to: None,
        map: Vec::new(),
        only: Vec::new(),
        acting_as: None,
        visibility: None,
        create_accounts: false,
        dry_run: false,
    }
}

/// A layout under construction.
#[derive(Default)]
struct Built {
    blobs: BTreeMap<Digest, Vec<u8>>,
    entries: Vec<serde_json::Value>,
}

impl Built {
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        self.blobs.insert(digest(bytes), bytes.to_vec());
        json!({ "mediaType": media_type, "digest": digest(bytes).to_string(), "size": bytes.len() })
    }

    fn image(&mut self, layer: &[u8], subject: Option<&serde_json::Value>) -> serde_json::Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", b"{}");
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar", layer);
        let mut manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    fn index(&mut self, children: &[serde_json::Value]) -> serde_json::Value {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
        self.blob(INDEX, index.to_string().as_bytes())
    }

    fn name(&mut self, entry: &serde_json::Value, tag: Option<&str>) {
        let mut entry = entry.clone();
        if let Some(tag) = tag {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        }
        self.entries.push(entry);
    }

    fn write(&self, folder: &Path) -> ImportSource {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for (digest, bytes) in &self.blobs {
            std::fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        }
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries });
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        ImportSource::Oci { path: folder.to_owned(), tag: None }
    }
}

fn digest_of(entry: &serde_json::Value) -> String {
    entry["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_import_has_the_rights_of_a_user_and_no_others() {
    let house = House::new().await;
    let mut built = Built::default();
    let image = built.image(b"layer", None);
    built.name(&image, Some("v1"));
    let source = built.write(&house.folder.path().join("layout"));
    house.operate(Command::OrgCreate { name: "octo".into(), owner: "mona".into() }).await;

    // Neither a stranger, nor one who is suspended, nor one who is not there.
    for (user, why) in
        [("hubot", "octo/app"), ("nobody", "there is no user `nobody`"), ("octo", "there is no user")]
    {
        let order = ImportOrder { acting_as: Some(user.into()), ..order(source.clone(), "octo/app") };
        let done = house.import(&order).await.unwrap();
        assert!(done.problems.len() == 1 && done.problems[0].message.contains(why), "{user}: {done:?}");
        assert_eq!(done.sums.blobs + done.sums.manifests, 0, "{user}: {done:?}");
    }
    house.operate(Command::UserSuspend { name: "mona".into() }).await;
    let done = house.import(&order(source.clone(), "octo/app")).await.unwrap();
    assert!(done.problems[0].message.contains("suspended"), "{done:?}");
    house.operate(Command::UserResume { name: "mona".into() }).await;
    assert!(!house.has("octo/app", "v1").await);

    // Who owns the namespace pushes, when nobody is named.
    let done = house.import(&order(source.clone(), "octo/app")).await.unwrap();
    assert_eq!((done.problems.len(), done.sums.tags), (0, 1), "{done:?}");
    assert!(house.has("octo/app", "v1").await);
    // In the same namespace blobs are linked, not copied again.
    let done = house.import(&order(source, "octo/other")).await.unwrap();
    assert_eq!((done.sums.blobs, done.sums.blobs_present, done.sums.bytes), (0, 2, 0), "{done:?}");
}

#[tokio::test]
async fn a_rule_holds_its_tags_against_an_import() {
    let house = House::new().await;
    let (one, two) = (house.folder.path().join("one"), house.folder.path().join("two"));
    let mut built = Built::default();
    let image = built.image(b"first", None);
    built.name(&image, Some("v1"));
    house.import(&order(built.write(&one), "mona/app")).await.unwrap();
    house
        .operate(Command::Rules(RuleCommand::Create {
            of: "mona/app".into(),
            hold: "immutable".into(),
            role: None,
            pattern: "v*".into(),
            except: Vec::new(),
            allow_package_deletion: false,
        }))
        .await;

    let mut built = Built::default();
    let other = built.image(b"second", None);
    built.name(&other, Some("v1"));
    built.name(&other, Some("edge"));
    let done = house.import(&order(built.write(&two), "mona/app")).await.unwrap();
    assert!(done.problems.len() == 1 && done.problems[0].message.contains("v1"), "{done:?}");
    let found = house.service.manifest(&house.mona, &name("mona/app"), &"v1".parse().unwrap()).await.unwrap();
    assert_eq!(found.digest.to_string(), digest_of(&image));
    assert!(house.has("mona/app", "edge").await);
    // What points there already needs no push, so no rule is in the way.
    let done = house.import(&order(built_source(&one), "mona/app")).await.unwrap();
    assert_eq!((done.problems.len(), done.sums.tags_present), (0, 1), "{done:?}");
}

fn built_source(folder: &Path) -> ImportSource {
    ImportSource::Oci { path: folder.to_owned(), tag: None }
}

#[tokio::test]
async fn what_an_index_names_comes_before_it() {
    let house = House::new().await;
    let mut built = Built::default();
    let (one, two) = (built.image(b"one", None), built.image(b"two", None));
    // As BuildKit's caches: children that are blobs.
    let cache = built.blob("application/vnd.oci.image.layer.v1.tar+gzip", b"cache");
    let inner = built.index(&[two.clone(), cache.clone(), one.clone()]);
    let absent = json!({ "mediaType": MANIFEST, "digest": digest(b"absent").to_string(), "size": 6 });
    let outer = built.index(&[one.clone(), inner.clone(), absent]);
    let bill = built.image(b"bill", Some(&one));
    built.name(&outer, Some("v1"));
    built.name(&bill, None);
    // A whole index is refused with its damaged child, and nothing of it is tagged.
    let damaged = built.image(b"damaged", None);
    let broken = built.index(&[one.clone(), damaged.clone()]);
    built.name(&broken, Some("broken"));
    built.blobs.insert(digest(b"damaged"), b"damages".to_vec());
    let source = built.write(&house.folder.path().join("layout"));

    let done = house.import(&order(source.clone(), "mona/app")).await.unwrap();
    for present in [&one, &two, &inner, &outer, &bill] {
        assert!(house.has("mona/app", &digest_of(present)).await, "{present}");
    }
    let blob = house.service.blob(&house.mona, &name("mona/app"), digest(b"cache")).await;
    assert_eq!(blob.unwrap().size(), 5);
    assert!(house.has("mona/app", "v1").await && !house.has("mona/app", "broken").await);
    assert!(done.notes.iter().any(|note| note.message.contains(&digest(b"absent").to_string())), "{done:?}");
    let said: Vec<_> = done.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("is damaged in the source") && said[1].contains("the tag is left out"),
        "{said:?}"
    );

    // Out and in again is the same.
    let path = house.folder.path().join("out.tar");
    let order_out =
        ExportOrder { package: "mona/app".into(), reference: None, path: path.clone(), referrers: true };
    let command = TransferCommand::Export { order: Box::new(order_out), cursor: None };
    let Answer::Exported(step) = house.operate(Command::Transfer(command)).await else { panic!("no step") };
    assert_eq!((step.cursor.is_none(), step.notes.len()), (true, 1));
    let done = house.import(&order(built_source(&path), "mona/back")).await.unwrap();
    assert_eq!(done.problems, [], "{done:?}");
    for present in [&one, &two, &inner, &outer, &bill] {
        assert!(house.has("mona/back", &digest_of(present)).await, "{present}");
    }
}

#[tokio::test]
async fn hostile_manifests_are_refused_by_name() {
    let house = House::new().await;
    let mut built = Built::default();
    let mut nested = built.image(b"deep", None);
    for _ in 0..30 {
        nested = built.index(&[nested]);
    }
    built.name(&nested, Some("deep"));
    let bomb = format!("{{\"schemaVersion\":2,\"layers\":{}", "[".repeat(50_000));
    let bomb = built.blob(MANIFEST, bomb.as_bytes());
    built.name(&bomb, Some("bomb"));
    let schema1 =
        built.blob(MANIFEST, br#"{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[],"signatures":[]}"#);
    built.name(&schema1, Some("old"));
    let good = built.image(b"good", None);
    built.name(&good, Some("good"));
    let source = built.write(&house.folder.path().join("layout"));
    let done = house.import(&order(source, "mona/app")).await.unwrap();
    let said = |what: &str| done.problems.iter().any(|problem| problem.message.contains(what));
    assert!(said("nested deeper than 16 levels") && said("schema 1"), "{done:?}");
    assert_eq!(done.problems.len(), 6, "{done:?}");
    assert!(house.has("mona/app", "good").await && !house.has("mona/app", "deep").await);

    // A cursor that was made up reaches nothing, and a path that is not the server's own is refused.
    let relative = order(built_source(Path::new("layout")), "mona/app");
    assert!(house.import(&relative).await.is_err());
    let cursor = r#"{"repositories":"../..","repository":"","open":true,"images":"x","path":[4000000000,7,7,7],
        "root":"sha256:0","uploads":{"sha256:0":"../../x"},"failed":[],"tries":4000000000}"#;
    let mut step: serde_json::Value = serde_json::to_value(Command::Transfer(TransferCommand::Import {
        order: Box::new(order(built_source(&house.folder.path().join("layout")), "mona/app")),
        cursor: None,
    }))
    .unwrap();
    step["transfer"]["import"]["cursor"] = serde_json::from_str(cursor).unwrap();
    let answer = house.service.operate(serde_json::from_value(step).unwrap()).await;
    assert!(matches!(answer, Answer::Imported(_) | Answer::Refused { .. }), "{answer:?}");
}

/// A registry with one image, whose layer comes slowly, or breaks off.
async fn slow(built: Built, root: String, layer: Digest, breaks: usize) -> (String, Arc<Mutex<Vec<u64>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let from = Arc::new(Mutex::new(Vec::new()));
    let (log, broken, built) = (Arc::clone(&from), Arc::new(AtomicUsize::new(0)), Arc::new(built));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (built, root) = (Arc::clone(&built), root.clone());
            let (log, broken) = (Arc::clone(&log), Arc::clone(&broken));
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    request.push(byte[0]);
                }
                let text = String::from_utf8(request).unwrap().to_ascii_lowercase();
                let path = text.split(' ').nth(1).unwrap();
                let wanted = path.rsplit('/').next().unwrap().replace("v1", &root);
                let found = wanted.parse::<Digest>().ok().and_then(|digest| built.blobs.get(&digest));
                let Some(bytes) = found.filter(|_| !path.contains("referrers")) else {
                    let _ = stream
                        .write_all(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        .await;
                    return;
                };
                let range = text.lines().find_map(|line| line.strip_prefix("range: bytes="));
                let first: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                let status = if range.is_some() { "206 Partial" } else { "200 OK" };
                let rest = &bytes[first..];
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    rest.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                if wanted != layer.to_string() {
                    let _ = stream.write_all(rest).await;
                    return;
                }
                log.lock().unwrap().push(first as u64);
                for piece in rest.chunks(100_000) {
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                    if breaks > 0 {
                        if broken.fetch_add(1, Ordering::SeqCst) < breaks {
                            return;
                        }
                    } else {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                }
            });
        }
    });
    (address, from)
}

async fn imported_from(breaks: usize) -> (Done, Vec<u64>) {
    let house = House::new().await;
    let layer: Vec<u8> = (0..1_200_000_u32).flat_map(|n| [(n % 251) as u8]).collect();
    let mut built = Built::default();
    let image = built.image(&layer, None);
    let (address, from) = slow(built, digest_of(&image), digest(&layer), breaks).await;
    let source = ImportSource::Registry {
        address: format!("{address}/app:v1"),
        plain_http: false,
        user: None,
        secret: None,
    };
    let done = house.import(&order(source, "mona/app")).await.unwrap();
    assert_eq!(done.problems, [], "{done:?}");
    let reference: Reference = "v1".parse().unwrap();
    let found = house.service.manifest(&house.mona, &name("mona/app"), &reference).await.unwrap();
    assert_eq!(found.digest.to_string(), digest_of(&image));
    let blob = house.service.blob(&house.mona, &name("mona/app"), digest(&layer)).await.unwrap();
    assert_eq!(blob.size(), layer.len() as u64);
    // Each byte came once.
    assert_eq!(done.sums.bytes, layer.len() as u64 + 2, "{done:?}");
    let from = from.lock().unwrap().clone();
    (done, from)
}

#[tokio::test]
async fn a_blob_that_takes_longer_than_a_step_goes_on_in_the_next() {
    let (done, from) = imported_from(0).await;
    assert!(done.steps >= 2 && done.waits == 0, "{done:?}");
    assert!(from.len() >= 2 && from[0] == 0 && from[1] > 0, "{from:?}");
}

#[tokio::test]
async fn a_source_that_breaks_off_is_asked_again_for_the_rest() {
    let (done, from) = imported_from(3).await;
    assert!(done.waits == 3, "{done:?}");
    assert_eq!(from, [0, 100_000, 200_000, 300_000]);
}

#[tokio::test]
async fn a_source_that_is_gone_ends_the_import_after_some_tries() {
    let house = House::new().await;
    let source = ImportSource::Registry {
        address: "127.0.0.1:1/app".into(),
        plain_http: false,
        user: None,
        secret: None,
    };
    let said = house.import(&order(source, "mona/app")).await.unwrap_err();
    assert!(said.contains("repeat the command"), "{said}");
}
