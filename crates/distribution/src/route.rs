//! The one list of routes. Dispatch matches it, metrics name by it, and the tests' table of callers is checked
//! against it, so that a new route cannot escape.

use http::Method;
use packhouse_oci::V2Path;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// end-1: whether the credential works.
    Base,
    /// The packages that the caller may pull.
    Catalog,
    /// end-8: tags of a package.
    Tags,
    /// end-3: a manifest.
    Manifest,
    /// end-7: stores a manifest.
    PutManifest,
    /// end-9: deletes a manifest or takes a tag away.
    DeleteManifest,
    /// end-2: a blob.
    Blob,
    /// end-10: takes a blob out of a package.
    DeleteBlob,
    /// end-4, end-11: starts an upload, mounts, or takes a whole blob.
    BeginUpload,
    /// end-13: where an upload stands.
    Upload,
    /// end-5: a part of an upload.
    AppendUpload,
    /// end-6: ends an upload with a blob.
    FinishUpload,
    /// end-14: ends an upload without one.
    CancelUpload,
    /// end-12: referrers of a manifest.
    Referrers,
    /// The token service (GET).
    Token,
    /// The token service (POST, OAuth 2).
    TokenPost,
}

/// A form of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `/token`
    Token,
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/manifests/<reference>`
    Manifest,
    /// `/v2/<name>/blobs/<digest>`
    Blob,
    /// `/v2/<name>/blobs/uploads/`
    Uploads,
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload,
    /// `/v2/<name>/referrers/<digest>`
    Referrers,
}

impl Pattern {
    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Pattern::Token => "/token",
            Pattern::Base => "/v2/",
            Pattern::Catalog => "/v2/_catalog",
            Pattern::Tags => "/v2/<name>/tags/list",
            Pattern::Manifest => "/v2/<name>/manifests/<reference>",
            Pattern::Blob => "/v2/<name>/blobs/<digest>",
            Pattern::Uploads => "/v2/<name>/blobs/uploads/",
            Pattern::Upload => "/v2/<name>/blobs/uploads/<id>",
            Pattern::Referrers => "/v2/<name>/referrers/<digest>",
        }
    }

    pub(crate) fn of(path: &V2Path<'_>) -> Pattern {
        match path {
            V2Path::Base => Pattern::Base,
            V2Path::Catalog => Pattern::Catalog,
            V2Path::TagsList { .. } => Pattern::Tags,
            V2Path::Manifest { .. } => Pattern::Manifest,
            V2Path::Blob { .. } => Pattern::Blob,
            V2Path::Uploads { .. } => Pattern::Uploads,
            V2Path::Upload { .. } => Pattern::Upload,
            V2Path::Referrers { .. } => Pattern::Referrers,
        }
    }
}

/// A method on a form of path, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The form of path.
    pub pattern: Pattern,
    /// What it does.
    pub endpoint: Endpoint,
    /// Its name in metrics and logs.
    pub name: RouteName,
}

/// A route's name, given with every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteName(pub &'static str);

const fn route(method: Method, pattern: Pattern, endpoint: Endpoint, name: &'static str) -> Route {
    Route { method, pattern, endpoint, name: RouteName(name) }
}

/// All there are.
pub static ROUTES: [Route; 22] = [
    route(Method::GET, Pattern::Token, Endpoint::Token, "token"),
    route(Method::POST, Pattern::Token, Endpoint::TokenPost, "token_post"),
    route(Method::GET, Pattern::Base, Endpoint::Base, "base"),
    route(Method::HEAD, Pattern::Base, Endpoint::Base, "base"),
    route(Method::GET, Pattern::Catalog, Endpoint::Catalog, "catalog"),
    route(Method::HEAD, Pattern::Catalog, Endpoint::Catalog, "catalog"),
    route(Method::GET, Pattern::Tags, Endpoint::Tags, "tags"),
    route(Method::HEAD, Pattern::Tags, Endpoint::Tags, "tags"),
    route(Method::GET, Pattern::Manifest, Endpoint::Manifest, "manifest"),
    route(Method::HEAD, Pattern::Manifest, Endpoint::Manifest, "manifest_head"),
    route(Method::PUT, Pattern::Manifest, Endpoint::PutManifest, "manifest_put"),
    route(Method::DELETE, Pattern::Manifest, Endpoint::DeleteManifest, "manifest_delete"),
    route(Method::GET, Pattern::Blob, Endpoint::Blob, "blob"),
    route(Method::HEAD, Pattern::Blob, Endpoint::Blob, "blob_head"),
    route(Method::DELETE, Pattern::Blob, Endpoint::DeleteBlob, "blob_delete"),
    route(Method::POST, Pattern::Uploads, Endpoint::BeginUpload, "upload_begin"),
    route(Method::GET, Pattern::Upload, Endpoint::Upload, "upload"),
    route(Method::PATCH, Pattern::Upload, Endpoint::AppendUpload, "upload_append"),
    route(Method::PUT, Pattern::Upload, Endpoint::FinishUpload, "upload_finish"),
    route(Method::DELETE, Pattern::Upload, Endpoint::CancelUpload, "upload_cancel"),
    route(Method::GET, Pattern::Referrers, Endpoint::Referrers, "referrers"),
    route(Method::HEAD, Pattern::Referrers, Endpoint::Referrers, "referrers"),
];

/// The route of a method on a form of path.
pub(crate) fn find(method: &Method, pattern: Pattern) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.pattern == pattern && route.method == *method)
}

/// The methods that a form of path takes, for `Allow`.
pub(crate) fn allowed(pattern: Pattern) -> String {
    let methods = ROUTES.iter().filter(|route| route.pattern == pattern);
    methods.map(|route| route.method.as_str()).collect::<Vec<_>>().join(", ")
}
