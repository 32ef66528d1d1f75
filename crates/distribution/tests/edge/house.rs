//! A registry of its own for each test, and the people who come to its door.
//!
//! People and packages are made through public doors: the operator's commands and the protocol itself. The
//! catalog's file is only read, to see what a request left behind.

use crate::answer::Answer;
use crate::bodies::{Sent, full, pieces};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place, Work};
use packhouse_distribution::{Edge, Limits};
use packhouse_service::operator::{Answer as Told, Command};
use packhouse_service::{Clock, Service, Settings};
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// How the clients reach the house.
pub(crate) const URL: &str = "https://packs.test";

/// When the house opens: 2026-01-01, 00:00:00 UTC.
pub(crate) const OPENING: i64 = 1_767_225_600;

/// Every scope a token can have.
pub(crate) const ALL_SCOPES: [&str; 3] = ["read:packages", "write:packages", "delete:packages"];

const CATALOG: &str = "catalog.sqlite";

/// A clock that stands still until the test moves it.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

/// What differs from house to house.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) manifest_bytes_max: u64,
    /// Bytes of what is remembered.
    pub(crate) cache_bytes: u64,
}

/// A registry in a folder of its own.
pub(crate) struct House {
    pub(crate) edge: Edge,
    pub(crate) service: Service,
    watch: Arc<Watch>,
    work: Arc<Mutex<Vec<Work>>>,
    folder: TempDir,
    /// A second look at the catalog's file.
    pub(crate) outside: rusqlite::Connection,
    /// The site administrator of the first start.
    pub(crate) admin: Person,
}

impl House {
    /// A house as it comes.
    pub(crate) async fn new() -> Self {
        House::with(|_| {}).await
    }

    /// A house that remembers nothing, so that each request shows all that it looks at.
    pub(crate) async fn forgetful() -> Self {
        House::with(|plan| plan.cache_bytes = 0).await
    }

    /// A house with something changed.
    pub(crate) async fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let settings = Settings::new("admin".parse().unwrap());
        let mut plan = Plan { settings, manifest_bytes_max: 4 << 20, cache_bytes: 32 << 20 };
        change(&mut plan);
        let folder = empty_folder();
        let work: Arc<Mutex<Vec<Work>>> = Arc::default();
        let mut options = Options::new(Place::Sqlite(folder.path().join(CATALOG)));
        options.cache_bytes = plan.cache_bytes;
        let seen = Arc::clone(&work);
        options.observer = Some(Arc::new(move |done| seen.lock().unwrap().push(done)));
        let catalog = Catalog::open(&options).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(OPENING * 1_000_000)));
        let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
        let (service, first) = Service::start(catalog, store, clock, plan.settings).await.unwrap();
        let first = first.expect("a first start");
        let edge = Edge::new(service.clone(), Limits { manifest_bytes_max: plan.manifest_bytes_max });
        let admin = Person {
            token: Token { id: 1, secret: first.token.reveal().to_owned() },
            caller: Caller {
                edge: edge.clone(),
                shows: Shows::Basic { user: first.account, password: first.token.reveal().to_owned() },
            },
        };
        let outside = crate::stored::look_at(&folder.path().join(CATALOG));
        House { edge, service, watch, work, folder, outside, admin }
    }

    /// Somebody at the door.
    pub(crate) fn showing(&self, shows: Shows) -> Caller {
        Caller { edge: self.edge.clone(), shows }
    }

    /// Nobody in particular.
    pub(crate) fn anonymous(&self) -> Caller {
        self.showing(Shows::Nothing)
    }

    /// Somebody with a bearer token, whatever is in it.
    pub(crate) fn bearing(&self, token: impl Into<String>) -> Caller {
        self.showing(Shows::Bearer(token.into()))
    }

    /// Somebody with a user name and a password.
    pub(crate) fn basic(&self, user: &str, password: &str) -> Caller {
        self.showing(Shows::Basic { user: user.to_owned(), password: password.to_owned() })
    }

    /// Gives the operator's command, which must succeed.
    pub(crate) async fn operate(&self, command: Command) -> Told {
        match self.service.operate(command.clone()).await {
            Told::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    /// A new user, with a token of all scopes.
    pub(crate) async fn user(&self, name: &str) -> Person {
        self.operate(Command::UserCreate { name: name.to_owned(), site_admin: false }).await;
        self.token(name, &ALL_SCOPES).await
    }

    /// A user with one more token.
    pub(crate) async fn token(&self, user: &str, scopes: &[&str]) -> Person {
        self.token_until(user, scopes, None).await
    }

    /// A user with one more token, which ends.
    pub(crate) async fn token_until(&self, user: &str, scopes: &[&str], seconds: Option<u64>) -> Person {
        let command = Command::TokenCreate {
            user: user.to_owned(),
            name: "of a test".to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            expires_seconds: seconds,
        };
        let Told::Token { token, view } = self.operate(command).await else { panic!("no token") };
        let caller = self.basic(user, &token);
        Person { token: Token { id: view.id, secret: token }, caller }
    }

    /// A new organization.
    pub(crate) async fn organization(&self, name: &str, owner: &str) {
        self.operate(Command::OrgCreate { name: name.to_owned(), owner: owner.to_owned() }).await;
    }

    /// A member of an organization.
    pub(crate) async fn member(&self, organization: &str, user: &str) {
        let (org, user) = (organization.to_owned(), user.to_owned());
        self.operate(Command::OrgAddMember { org, user, owner: false }).await;
    }

    /// Gives a role on a package.
    pub(crate) async fn grant(&self, path: &str, user: &str, role: &str) {
        let (path, user, role) = (path.to_owned(), user.to_owned(), role.to_owned());
        self.operate(Command::PackageGrant { path, user, role }).await;
    }

    /// Makes a package `private`, `internal` or `public`.
    pub(crate) async fn make(&self, path: &str, visibility: &str) {
        let (path, visibility) = (path.to_owned(), visibility.to_owned());
        self.operate(Command::PackageVisibility { path, visibility }).await;
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, person: &Person) {
        self.operate(Command::TokenRevoke { id: person.token.id }).await;
    }

    /// Suspends a user.
    pub(crate) async fn suspend(&self, user: &str) {
        self.operate(Command::UserSuspend { name: user.to_owned() }).await;
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, seconds: i64) {
        self.watch.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// What the house's clock shows, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.watch.0.load(Ordering::SeqCst) / 1_000_000
    }

    /// The statements that ran since this was last asked.
    pub(crate) fn statements(&self) -> Vec<&'static str> {
        self.work().into_iter().map(|work| work.statement).collect()
    }

    /// As [`House::statements`], with what each of them did.
    pub(crate) fn work(&self) -> Vec<Work> {
        std::mem::take(&mut *self.work.lock().unwrap())
    }

    /// Removes what has expired, as a worker would; how many files that were.
    pub(crate) async fn sweep(&self) -> u64 {
        self.service.sweep().await.unwrap().files
    }

    /// Where the catalog lies.
    pub(crate) fn catalog_file(&self) -> PathBuf {
        self.folder.path().join(CATALOG)
    }

    /// Where the blobs lie.
    pub(crate) fn blobs_folder(&self) -> PathBuf {
        self.folder.path().join("blobs")
    }
}

/// An empty folder, in memory where there is such a place: no test here is about what survives a crash, and each
/// would wait for hundreds of syncs. `TMPDIR` has the last word.
fn empty_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none()
        && let Ok(folder) = tempfile::tempdir_in(memory)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.has_no_leaks();
        }
    }
}

/// A personal access token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) id: i64,
    pub(crate) secret: String,
}

/// A user who shows a token.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) token: Token,
    pub(crate) caller: Caller,
}

impl Deref for Person {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// What somebody shows at the door.
#[derive(Clone)]
pub(crate) enum Shows {
    Nothing,
    Basic { user: String, password: String },
    Bearer(String),
}

impl Shows {
    fn authorization(&self) -> Option<String> {
        match self {
            Shows::Nothing => None,
            Shows::Basic { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Shows::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }
}

/// Whoever sends a request.
#[derive(Clone)]
pub(crate) struct Caller {
    edge: Edge,
    pub(crate) shows: Shows,
}

impl Caller {
    /// A request.
    pub(crate) fn ask(&self, method: Method, target: &str) -> Ask {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = self.shows.authorization() {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&authorization).unwrap());
        }
        Ask { edge: self.edge.clone(), method, target: target.to_owned(), headers, body: full("") }
    }

    pub(crate) fn get(&self, target: &str) -> Ask {
        self.ask(Method::GET, target)
    }

    pub(crate) fn head(&self, target: &str) -> Ask {
        self.ask(Method::HEAD, target)
    }

    pub(crate) fn post(&self, target: &str) -> Ask {
        self.ask(Method::POST, target)
    }

    pub(crate) fn put(&self, target: &str) -> Ask {
        self.ask(Method::PUT, target)
    }

    pub(crate) fn patch(&self, target: &str) -> Ask {
        self.ask(Method::PATCH, target)
    }

    pub(crate) fn delete(&self, target: &str) -> Ask {
        self.ask(Method::DELETE, target)
    }

    /// The answer of the token endpoint for some scopes, each a parameter of its own.
    pub(crate) fn ask_token(&self, scopes: &[&str]) -> Ask {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("service", "packhouse");
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        self.get(&format!("/token?{}", query.finish()))
    }

    /// A bearer token for some scopes.
    pub(crate) async fn bearer_token(&self, scopes: &[&str]) -> String {
        let answer = self.ask_token(scopes).await;
        assert_eq!(answer.says(), "200");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// The same person with a bearer token for some scopes.
    pub(crate) async fn bearer(&self, scopes: &[&str]) -> Caller {
        let token = self.bearer_token(scopes).await;
        Caller { shows: Shows::Bearer(token), ..self.clone() }
    }
}

/// A request; `.await` sends it.
pub(crate) struct Ask {
    edge: Edge,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Sent,
}

impl Ask {
    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// With a body and its length.
    pub(crate) fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        Ask { body: full(bytes), ..self }
    }

    /// With a body in small pieces, and its length not told.
    pub(crate) fn chunked(self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let size = (bytes.len() / 3).max(1);
        let mut rest = bytes;
        let mut cut = Vec::new();
        while !rest.is_empty() {
            cut.push(rest.split_to(size.min(rest.len())));
        }
        Ask { body: pieces(cut), ..self }
    }

    /// With any body.
    pub(crate) fn sending(self, body: Sent) -> Self {
        Ask { body, ..self }
    }

    /// With a form.
    pub(crate) fn form<V: AsRef<str>>(self, fields: &[(&str, V)]) -> Self {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(text)
    }

    /// To a house that is reached in another way.
    pub(crate) async fn at(self, external_url: &str) -> Answer {
        let mut request = Request::new(self.body);
        *request.uri_mut() = self.target.parse().unwrap_or_else(|error| panic!("{}: {error}", self.target));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers;
        let (name, mut response) = self.edge.handle(request, external_url, None).await;
        response.extensions_mut().insert(name);
        Answer::read(&self.method, response).await
    }
}

impl IntoFuture for Ask {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.at(URL))
    }
}
