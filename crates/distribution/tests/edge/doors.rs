//! Every way into every route: what the matrix tries as each caller, and what strangers try on private and
//! absent packages. The match on [`Endpoint`] has no `_` arm, so a new endpoint does not compile without a way.

use crate::content::{Manifest, sha256};
use crate::house::{Ask, Caller, Shows};
use packhouse_distribution::{Endpoint, Route};

/// What is asked for in a package.
pub(crate) struct Target<'t> {
    /// The package.
    pub(crate) package: &'t str,
    /// A tag in it.
    pub(crate) tag: &'t str,
    /// The manifest under that tag.
    pub(crate) manifest: &'t Manifest,
    /// A blob in it.
    pub(crate) blob: &'t str,
    /// An upload session in it.
    pub(crate) session: &'t str,
    /// Another package, with a blob that everyone may read.
    pub(crate) source: (&'t str, &'t str),
}

/// The ways to knock at an endpoint's door, as the matrix names them; `""` for the only one.
pub(crate) fn ways(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::Token
        | Endpoint::TokenPost
        | Endpoint::Base
        | Endpoint::Catalog
        | Endpoint::Tags
        | Endpoint::Blob
        | Endpoint::DeleteBlob
        | Endpoint::Upload
        | Endpoint::AppendUpload
        | Endpoint::FinishUpload
        | Endpoint::CancelUpload
        | Endpoint::Referrers => &[""],
        Endpoint::Manifest | Endpoint::DeleteManifest => &["by tag", "by digest"],
        Endpoint::PutManifest => &["by tag", "by digest", "?tag="],
        Endpoint::BeginUpload => &["", "?digest=", "?mount="],
    }
}

/// Whether the route is about one package.
pub(crate) fn has_package(route: &Route) -> bool {
    route.pattern.as_str().contains("<name>")
}

/// `GET /v2/<name>/tags/list`, and how.
pub(crate) fn title(route: &Route, way: &str) -> String {
    format!("{} {} {way}", route.method, route.pattern.as_str()).trim_end().to_owned()
}

/// The request.
pub(crate) fn knock(caller: &Caller, route: &Route, way: &str, target: &Target<'_>) -> Ask {
    let Target { package, tag, manifest, blob, session, source } = target;
    let ask = |path: &str| caller.ask(route.method.clone(), path);
    let digest = manifest.digest();
    let manifests = format!("/v2/{package}/manifests");
    let uploads = format!("/v2/{package}/blobs/uploads/");
    let put =
        |path: &str| ask(path).header("content-type", &manifest.media_type).body(manifest.bytes.clone());
    match route.endpoint {
        Endpoint::Token => ask(&format!("/token?service=packhouse&scope=repository:{package}:pull,push")),
        Endpoint::TokenPost => ask("/token").form(&form(&caller.shows, package)),
        Endpoint::Base => ask("/v2/"),
        Endpoint::Catalog => ask("/v2/_catalog"),
        Endpoint::Tags => ask(&format!("/v2/{package}/tags/list")),
        Endpoint::Manifest | Endpoint::DeleteManifest if way == "by tag" => {
            ask(&format!("{manifests}/{tag}"))
        }
        Endpoint::Manifest | Endpoint::DeleteManifest => ask(&format!("{manifests}/{digest}")),
        Endpoint::PutManifest if way == "by tag" => put(&format!("{manifests}/{tag}")),
        Endpoint::PutManifest if way == "by digest" => put(&format!("{manifests}/{digest}")),
        Endpoint::PutManifest => put(&format!("{manifests}/{digest}?tag={tag}&tag=more")),
        Endpoint::Blob | Endpoint::DeleteBlob => ask(&format!("/v2/{package}/blobs/{blob}")),
        Endpoint::BeginUpload if way == "?digest=" => {
            ask(&format!("{uploads}?digest={}", sha256("at once"))).body("at once")
        }
        Endpoint::BeginUpload if way == "?mount=" => {
            let (from, mounted) = source;
            ask(&format!("{uploads}?mount={mounted}&from={from}"))
        }
        Endpoint::BeginUpload => ask(&uploads),
        Endpoint::Upload | Endpoint::CancelUpload => ask(&format!("{uploads}{session}")),
        Endpoint::AppendUpload => ask(&format!("{uploads}{session}")).body("a part"),
        Endpoint::FinishUpload => {
            ask(&format!("{uploads}{session}?digest={}", sha256("the end"))).body("the end")
        }
        Endpoint::Referrers => ask(&format!("/v2/{package}/referrers/{digest}")),
    }
}

/// What the caller has, in a form: a token as the password, or a bearer token in the only place there is for it.
fn form(shown: &Shows, package: &str) -> Vec<(&'static str, String)> {
    let mut form = vec![("service", "packhouse".to_owned()), ("scope", format!("repository:{package}:pull"))];
    match shown {
        Shows::Nothing => form.push(("grant_type", "password".to_owned())),
        Shows::Bearer(token) => {
            form.extend([("grant_type", "refresh_token".to_owned()), ("refresh_token", token.clone())]);
        }
        Shows::Basic { user, password } => {
            form.push(("grant_type", "password".to_owned()));
            form.extend([("username", user.clone()), ("password", password.clone())]);
        }
    }
    form
}
