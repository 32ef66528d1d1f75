//! The one list of routes. Dispatch matches it, metrics name by it, the OpenAPI document and the tests' walks are made
//! from it, so that a new route cannot escape.

use crate::call::Call;
use crate::error::ApiError;
use crate::path::{Params, Segments};
use crate::respond::Answer;
use crate::{
    access, billing, graphql, meta, openapi, orgs, packages, rate_limit, repos, rules, simple, teams, tokens,
    users, versions,
};
use http::Method;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;

/// What a handler gives.
pub(crate) type Given<'c> = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send + 'c>>;

/// The schema of a type, for the OpenAPI document.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A method on a form of path, what answers it, and what the OpenAPI document says of it.
pub struct Route {
    /// The method; HEAD is answered where GET is.
    pub method: Method,
    /// The form of path, as GitHub's description writes it.
    pub pattern: &'static str,
    /// Its name in metrics and logs: the description's `operationId`, or one of ours.
    pub name: &'static str,
    /// Scopes of classic tokens that do, for `X-Accepted-OAuth-Scopes`.
    pub scopes: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Parameters of the query.
    pub query: &'static [Parameter],
    /// The status of an answer that went well.
    pub status: u16,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) answer: Option<SchemaOf>,
    pub(crate) handler: for<'c> fn(Call<'c>) -> Given<'c>,
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The words it may have; empty for any text, `["integer"]` for a number, `["integer", "string"]` for a number in
    /// whose place any text is taken as none.
    pub words: &'static [&'static str],
    /// Whether the request is refused without it.
    pub required: bool,
    /// One sentence.
    pub about: &'static str,
}

/// A parameter that may be left out.
pub(crate) const fn maybe(
    name: &'static str,
    words: &'static [&'static str],
    about: &'static str,
) -> Parameter {
    Parameter { name, words, required: false, about }
}

/// What every list takes.
pub(crate) const PAGED: &[Parameter] = &[
    // (Whatever is no number is the default, as GitHub has it.)
    maybe("page", &["integer", "string"], "The number of the page, from 1."),
    maybe("per_page", &["integer", "string"], "Items on a page: 30 when nothing is said, at most 100."),
    maybe("after", &[], "The key of the last item of the page before, as its `Link` header has it."),
];

/// What lists of packages take.
const PACKAGES_LISTED: &[Parameter] = &[
    Parameter {
        name: "package_type",
        words: packages::TYPES,
        required: true,
        about: "The type; only containers are kept here.",
    },
    maybe("visibility", &["public", "private", "internal"], "Only packages of this visibility."),
    maybe("state", &["active", "deleted"], "Live packages, or those that can be restored."),
    PAGED[0],
    PAGED[1],
    PAGED[2],
];

/// What lists of versions take.
const VERSIONS_LISTED: &[Parameter] = &[
    maybe("state", &["active", "deleted"], "Live versions, or those that can be restored."),
    maybe(
        "include",
        &["parts"],
        "With untagged children of indexes and referrers, which are parts of others.",
    ),
    maybe("tag", &[], "Only the version that this tag points at."),
    maybe("digest", &[], "Only the version with this digest."),
    PAGED[0],
    PAGED[1],
    PAGED[2],
];

/// What a look at a tag takes.
const AS_OF: &[Parameter] =
    &[maybe("as_of", &[], "A time, as in 2026-11-01T12:00:00Z; now when nothing is said.")];

/// What restoring a package takes.
const RESTORED: &[Parameter] = &[maybe("token", &[], "GitHub's package token; taken, and not needed.")];

/// What lists of members take.
const MEMBERS: &[Parameter] =
    &[maybe("role", &["all", "admin", "member"], "Which of them."), PAGED[0], PAGED[1], PAGED[2]];

/// What lists of a team's members take.
const TEAM_MEMBERS: &[Parameter] =
    &[maybe("role", &["all", "maintainer", "member"], "Which of them."), PAGED[0], PAGED[1], PAGED[2]];

/// What the list of one's own repositories takes.
const OWN_REPOSITORIES: &[Parameter] = &[
    maybe("type", &["all", "owner", "member"], "Which of them; not together with `affiliation`."),
    maybe("affiliation", &[], "A list of `owner`, `collaborator`, `organization_member`."),
    PAGED[0],
    PAGED[1],
    PAGED[2],
];

/// What the list of who works on a repository takes.
const COLLABORATORS: &[Parameter] = &[
    maybe("affiliation", &["all", "direct", "outside"], "Which of them."),
    maybe("permission", &["pull", "triage", "push", "maintain", "admin"], "What they may do at least."),
    PAGED[0],
    PAGED[1],
    PAGED[2],
];

/// What an explanation is asked about.
const EXPLAINED: &[Parameter] = &[
    Parameter { name: "user", words: &[], required: true, about: "A user or a robot." },
    Parameter { name: "package", words: &[], required: true, about: "The package's path, with its owner." },
    maybe(
        "action",
        &["pull", "push", "delete", "restore", "administer"],
        "What they would do; `pull` when nothing is said.",
    ),
];

/// What reports of billing take.
const PERIOD: &[Parameter] = &[
    maybe("year", &["integer"], "The year; this one when nothing is said."),
    maybe("month", &["integer"], "The month, 1 to 12."),
    maybe("day", &["integer"], "The day, 1 to 31."),
];

impl Route {
    /// Whether it changes nothing, whatever its method says.
    pub(crate) fn reads(&self) -> bool {
        self.name == "graphql"
    }

    /// The kind of request in `X-RateLimit-Resource`.
    pub(crate) fn resource(&self) -> &'static str {
        if self.name == "graphql" { "graphql" } else { "core" }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

/// A row of [`ROUTES`]:
///
/// `route!(METHOD "/path", "name", "scopes", handler => 200 Answer; "Summary.", query)`, where the type of the
/// answer is left out when it has no body, the query when there are no parameters, and a request's body is written
/// behind the handler: `handler: Body => 201 Answer`.
macro_rules! route {
    (
        $method:ident $pattern:literal, $name:literal, $scopes:literal,
        $handler:path $(: $body:ty)? => $status:literal $($answer:ty)?; $summary:literal $(, $query:expr)?
    ) => {
        Route {
            method: Method::$method,
            pattern: $pattern,
            name: $name,
            scopes: $scopes,
            summary: $summary,
            query: route!(@query $($query)?),
            status: $status,
            body: route!(@schema $($body)?),
            answer: route!(@schema $($answer)?),
            handler: |call| Box::pin($handler(call)),
        }
    };
    (@schema $type:ty) => { Some(|generator| generator.subschema_for::<$type>()) };
    (@schema) => { None };
    (@query $query:expr) => { $query };
    (@query) => { &[] };
}

/// All there are.
pub static ROUTES: &[Route] = &[
    // Meta.
    route!(GET "/", "meta/root", "", meta::root => 200 Value; "The addresses of what there is."),
    route!(GET "/meta", "meta/get", "", meta::meta => 200 Value; "What this server is."),
    route!(GET "/versions", "meta/get-all-versions", "", meta::versions => 200 Vec<String>; "Versions of this API."),
    route!(GET "/openapi.json", "meta/openapi", "", openapi::document => 200 Value; "This document."),
    route!(
        GET "/rate_limit", "rate-limit/get", "",
        rate_limit::get => 200 rate_limit::Overview; "How many requests are left in the hour."
    ),
    route!(
        POST "/graphql", "graphql", "",
        graphql::post: graphql::Body => 200 Value; "GraphQL, for the little that programs for packages ask."
    ),
    // Tokens.
    route!(
        GET "/user/tokens", "user/list-tokens", "user",
        tokens::list => 200 Vec<tokens::TokenView>; "One's own tokens that work or have expired.", PAGED
    ),
    route!(
        POST "/user/tokens", "user/create-token", "read:packages, write:packages, delete:packages",
        tokens::create: tokens::TokenBody => 201 tokens::TokenView;
        "Make a fine-grained token, never wider than the one that makes it."
    ),
    route!(
        GET "/user/tokens/{token_id}", "user/get-token", "user",
        tokens::get => 200 tokens::TokenView; "One of one's own tokens."
    ),
    route!(
        DELETE "/user/tokens/{token_id}", "user/revoke-token", "user",
        tokens::revoke => 204; "Revoke a token, and those that were made with it."
    ),
    // Robots.
    route!(
        GET "/orgs/{org}/robots", "orgs/list-robots", "admin:org",
        tokens::robots => 200 Vec<tokens::RobotView>; "The robots of an organization.", PAGED
    ),
    route!(
        POST "/orgs/{org}/robots", "orgs/create-robot", "admin:org",
        tokens::create_robot: tokens::RobotBody => 201 tokens::RobotView; "Make a robot."
    ),
    route!(
        GET "/orgs/{org}/robots/{robot}", "orgs/get-robot", "admin:org",
        tokens::robot => 200 tokens::RobotView; "One robot."
    ),
    route!(
        PATCH "/orgs/{org}/robots/{robot}", "orgs/update-robot", "admin:org",
        tokens::change_robot: tokens::RobotChangeBody => 200 tokens::RobotView;
        "Change what a robot may and what it is for."
    ),
    route!(
        DELETE "/orgs/{org}/robots/{robot}", "orgs/delete-robot", "admin:org",
        tokens::delete_robot => 204; "Delete a robot, with its tokens and its roles."
    ),
    route!(
        GET "/orgs/{org}/robots/{robot}/tokens", "orgs/list-robot-tokens", "admin:org",
        tokens::robot_tokens => 200 Vec<tokens::TokenView>; "The tokens of a robot.", PAGED
    ),
    route!(
        POST "/orgs/{org}/robots/{robot}/tokens", "orgs/create-robot-token", "admin:org",
        tokens::create_robot_token: tokens::RobotTokenBody => 201 tokens::TokenView; "Make a token for a robot."
    ),
    route!(
        DELETE "/orgs/{org}/robots/{robot}/tokens/{token_id}", "orgs/revoke-robot-token", "admin:org",
        tokens::revoke_robot_token => 204; "Revoke a token of a robot."
    ),
    // Packages.
    route!(
        GET "/user/docker/conflicts",
        "packages/list-docker-migration-conflicting-packages-for-authenticated-user", "read:packages",
        packages::conflicts => 200 Vec<packages::Package>;
        "Names that were in two registries at once: none."
    ),
    route!(
        GET "/user/packages",
        "packages/list-packages-for-authenticated-user", "read:packages",
        packages::list => 200 Vec<packages::Package>;
        "Packages that the caller may see.", PACKAGES_LISTED
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}",
        "packages/get-package-for-authenticated-user", "read:packages",
        packages::get => 200 packages::Package;
        "A package."
    ),
    route!(
        PATCH "/user/packages/{package_type}/{package_name}",
        "packages/update-package-for-authenticated-user", "read:packages, write:packages",
        packages::change: packages::PackageChange => 200 packages::Package;
        "Change the visibility of a package, or rename or transfer it."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}",
        "packages/delete-package-for-authenticated-user", "delete:packages, read:packages",
        packages::delete => 204;
        "Delete a package."
    ),
    route!(
        POST "/user/packages/{package_type}/{package_name}/restore",
        "packages/restore-package-for-authenticated-user", "read:packages, write:packages",
        packages::restore => 204;
        "Restore a package that was deleted.", RESTORED
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/versions",
        "packages/get-all-package-versions-for-package-owned-by-authenticated-user", "read:packages",
        versions::list => 200 Vec<versions::Version>;
        "Versions of a package, the newest first.", VERSIONS_LISTED
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/get-package-version-for-authenticated-user", "read:packages",
        versions::get => 200 versions::Version;
        "A version."
    ),
    route!(
        PATCH "/user/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/update-package-version-for-authenticated-user", "read:packages, write:packages",
        versions::change: versions::VersionChange => 200 versions::Version;
        "Change the visibility of the package of a version."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/delete-package-version-for-authenticated-user", "delete:packages, read:packages",
        versions::delete => 204;
        "Delete a version with its parts."
    ),
    route!(
        POST "/user/packages/{package_type}/{package_name}/versions/{package_version_id}/restore",
        "packages/restore-package-version-for-authenticated-user", "read:packages, write:packages",
        versions::restore => 204;
        "Restore a version with its parts."
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/tags",
        "packages/list-tags-for-authenticated-user", "read:packages",
        versions::tags => 200 Vec<versions::Tag>;
        "Tags of a package, by name.", PAGED
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/tags/{tag}/history",
        "packages/get-tag-history-for-authenticated-user", "read:packages",
        versions::history => 200 Vec<versions::Tag>;
        "Where a tag pointed, the newest first.", PAGED
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/tags/{tag}",
        "packages/delete-tag-for-authenticated-user", "delete:packages, read:packages",
        versions::delete_tag => 204;
        "Delete a tag. Its version stays."
    ),
    route!(
        GET "/users/{username}/docker/conflicts",
        "packages/list-docker-migration-conflicting-packages-for-user", "read:packages",
        packages::conflicts => 200 Vec<packages::Package>;
        "Names that were in two registries at once: none."
    ),
    route!(
        GET "/users/{username}/packages",
        "packages/list-packages-for-user", "read:packages",
        packages::list => 200 Vec<packages::Package>;
        "Packages that the caller may see.", PACKAGES_LISTED
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}",
        "packages/get-package-for-user", "read:packages",
        packages::get => 200 packages::Package;
        "A package."
    ),
    route!(
        PATCH "/users/{username}/packages/{package_type}/{package_name}",
        "packages/update-package-for-user", "read:packages, write:packages",
        packages::change: packages::PackageChange => 200 packages::Package;
        "Change the visibility of a package, or rename or transfer it."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}",
        "packages/delete-package-for-user", "delete:packages, read:packages",
        packages::delete => 204;
        "Delete a package."
    ),
    route!(
        POST "/users/{username}/packages/{package_type}/{package_name}/restore",
        "packages/restore-package-for-user", "read:packages, write:packages",
        packages::restore => 204;
        "Restore a package that was deleted.", RESTORED
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/versions",
        "packages/get-all-package-versions-for-package-owned-by-user", "read:packages",
        versions::list => 200 Vec<versions::Version>;
        "Versions of a package, the newest first.", VERSIONS_LISTED
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/get-package-version-for-user", "read:packages",
        versions::get => 200 versions::Version;
        "A version."
    ),
    route!(
        PATCH "/users/{username}/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/update-package-version-for-user", "read:packages, write:packages",
        versions::change: versions::VersionChange => 200 versions::Version;
        "Change the visibility of the package of a version."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/delete-package-version-for-user", "delete:packages, read:packages",
        versions::delete => 204;
        "Delete a version with its parts."
    ),
    route!(
        POST "/users/{username}/packages/{package_type}/{package_name}/versions/{package_version_id}/restore",
        "packages/restore-package-version-for-user", "read:packages, write:packages",
        versions::restore => 204;
        "Restore a version with its parts."
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/tags",
        "packages/list-tags-for-user", "read:packages",
        versions::tags => 200 Vec<versions::Tag>;
        "Tags of a package, by name.", PAGED
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/tags/{tag}/history",
        "packages/get-tag-history-for-user", "read:packages",
        versions::history => 200 Vec<versions::Tag>;
        "Where a tag pointed, the newest first.", PAGED
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/tags/{tag}",
        "packages/delete-tag-for-user", "delete:packages, read:packages",
        versions::delete_tag => 204;
        "Delete a tag. Its version stays."
    ),
    route!(
        GET "/orgs/{org}/docker/conflicts",
        "packages/list-docker-migration-conflicting-packages-for-organization", "read:packages",
        packages::conflicts => 200 Vec<packages::Package>;
        "Names that were in two registries at once: none."
    ),
    route!(
        GET "/orgs/{org}/packages",
        "packages/list-packages-for-organization", "read:packages",
        packages::list => 200 Vec<packages::Package>;
        "Packages that the caller may see.", PACKAGES_LISTED
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}",
        "packages/get-package-for-organization", "read:packages",
        packages::get => 200 packages::Package;
        "A package."
    ),
    route!(
        PATCH "/orgs/{org}/packages/{package_type}/{package_name}",
        "packages/update-package-for-org", "read:packages, write:packages",
        packages::change: packages::PackageChange => 200 packages::Package;
        "Change the visibility of a package, or rename or transfer it."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}",
        "packages/delete-package-for-org", "delete:packages, read:packages",
        packages::delete => 204;
        "Delete a package."
    ),
    route!(
        POST "/orgs/{org}/packages/{package_type}/{package_name}/restore",
        "packages/restore-package-for-org", "read:packages, write:packages",
        packages::restore => 204;
        "Restore a package that was deleted.", RESTORED
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/versions",
        "packages/get-all-package-versions-for-package-owned-by-org", "read:packages",
        versions::list => 200 Vec<versions::Version>;
        "Versions of a package, the newest first.", VERSIONS_LISTED
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/get-package-version-for-organization", "read:packages",
        versions::get => 200 versions::Version;
        "A version."
    ),
    route!(
        PATCH "/orgs/{org}/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/update-package-version-for-org", "read:packages, write:packages",
        versions::change: versions::VersionChange => 200 versions::Version;
        "Change the visibility of the package of a version."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/versions/{package_version_id}",
        "packages/delete-package-version-for-org", "delete:packages, read:packages",
        versions::delete => 204;
        "Delete a version with its parts."
    ),
    route!(
        POST "/orgs/{org}/packages/{package_type}/{package_name}/versions/{package_version_id}/restore",
        "packages/restore-package-version-for-org", "read:packages, write:packages",
        versions::restore => 204;
        "Restore a version with its parts."
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/tags",
        "packages/list-tags-for-org", "read:packages",
        versions::tags => 200 Vec<versions::Tag>;
        "Tags of a package, by name.", PAGED
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/tags/{tag}/history",
        "packages/get-tag-history-for-org", "read:packages",
        versions::history => 200 Vec<versions::Tag>;
        "Where a tag pointed, the newest first.", PAGED
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/tags/{tag}",
        "packages/delete-tag-for-org", "delete:packages, read:packages",
        versions::delete_tag => 204;
        "Delete a tag. Its version stays."
    ),
    route!(
        GET "/admin/access", "admin/explain-access", "site_admin",
        access::explain => 200 access::Explained;
        "Why somebody may do something to a package, or why not.", EXPLAINED
    ),
    // Rules about tags, retention, and the tags' past: beyond GitHub.
    route!(
        GET "/user/packages/{package_type}/{package_name}/tags/{tag}",
        "packages/get-tag-for-authenticated-user", "read:packages",
        rules::tag => 200 versions::Tag;
        "Where a tag points, or pointed at a time.", AS_OF
    ),
    route!(
        POST "/user/packages/{package_type}/{package_name}/tags/{tag}/undo",
        "packages/undo-tag-for-authenticated-user", "read:packages, write:packages",
        rules::undo => 200 versions::Tag;
        "Put a tag back to where it pointed before its last change."
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/rules",
        "packages/list-rules-for-authenticated-user", "read:packages",
        rules::list => 200 Vec<rules::Rule>;
        "Rules about the tags of a package, its owner's among them."
    ),
    route!(
        POST "/user/packages/{package_type}/{package_name}/rules",
        "packages/create-rule-for-authenticated-user", "write:packages",
        rules::create: rules::RuleBody => 201 rules::Rule;
        "Make tags of a package immutable, or protect them."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/rules/{rule_id}",
        "packages/remove-rule-for-authenticated-user", "write:packages",
        rules::remove => 204;
        "End a rule of a package."
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/retention",
        "packages/get-retention-for-authenticated-user", "read:packages",
        rules::retention => 200 rules::Retention;
        "The retention policy that a package is under."
    ),
    route!(
        PUT "/user/packages/{package_type}/{package_name}/retention",
        "packages/set-retention-for-authenticated-user", "write:packages",
        rules::set_retention: rules::PolicyBody => 200 rules::Retention;
        "Put a package under a retention policy of its own."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/retention",
        "packages/remove-retention-for-authenticated-user", "write:packages",
        rules::remove_retention => 204;
        "End the retention policy of a package."
    ),
    route!(
        GET "/user/packages/{package_type}/{package_name}/retention/plan",
        "packages/plan-retention-for-authenticated-user", "write:packages",
        rules::plan => 200 rules::PlanView;
        "What the retention policy would do to each version, and why."
    ),
    route!(
        POST "/user/packages/{package_type}/{package_name}/retention/run",
        "packages/run-retention-for-authenticated-user", "write:packages",
        rules::run => 200 rules::PlanView;
        "Apply the retention policy of a package now."
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/tags/{tag}",
        "packages/get-tag-for-user", "read:packages",
        rules::tag => 200 versions::Tag;
        "Where a tag points, or pointed at a time.", AS_OF
    ),
    route!(
        POST "/users/{username}/packages/{package_type}/{package_name}/tags/{tag}/undo",
        "packages/undo-tag-for-user", "read:packages, write:packages",
        rules::undo => 200 versions::Tag;
        "Put a tag back to where it pointed before its last change."
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/rules",
        "packages/list-rules-for-user", "read:packages",
        rules::list => 200 Vec<rules::Rule>;
        "Rules about the tags of a package, its owner's among them."
    ),
    route!(
        POST "/users/{username}/packages/{package_type}/{package_name}/rules",
        "packages/create-rule-for-user", "write:packages",
        rules::create: rules::RuleBody => 201 rules::Rule;
        "Make tags of a package immutable, or protect them."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/rules/{rule_id}",
        "packages/remove-rule-for-user", "write:packages",
        rules::remove => 204;
        "End a rule of a package."
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/retention",
        "packages/get-retention-for-user", "read:packages",
        rules::retention => 200 rules::Retention;
        "The retention policy that a package is under."
    ),
    route!(
        PUT "/users/{username}/packages/{package_type}/{package_name}/retention",
        "packages/set-retention-for-user", "write:packages",
        rules::set_retention: rules::PolicyBody => 200 rules::Retention;
        "Put a package under a retention policy of its own."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/retention",
        "packages/remove-retention-for-user", "write:packages",
        rules::remove_retention => 204;
        "End the retention policy of a package."
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/retention/plan",
        "packages/plan-retention-for-user", "write:packages",
        rules::plan => 200 rules::PlanView;
        "What the retention policy would do to each version, and why."
    ),
    route!(
        POST "/users/{username}/packages/{package_type}/{package_name}/retention/run",
        "packages/run-retention-for-user", "write:packages",
        rules::run => 200 rules::PlanView;
        "Apply the retention policy of a package now."
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/tags/{tag}",
        "packages/get-tag-for-org", "read:packages",
        rules::tag => 200 versions::Tag;
        "Where a tag points, or pointed at a time.", AS_OF
    ),
    route!(
        POST "/orgs/{org}/packages/{package_type}/{package_name}/tags/{tag}/undo",
        "packages/undo-tag-for-org", "read:packages, write:packages",
        rules::undo => 200 versions::Tag;
        "Put a tag back to where it pointed before its last change."
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/rules",
        "packages/list-rules-for-org", "read:packages",
        rules::list => 200 Vec<rules::Rule>;
        "Rules about the tags of a package, its owner's among them."
    ),
    route!(
        POST "/orgs/{org}/packages/{package_type}/{package_name}/rules",
        "packages/create-rule-for-org", "write:packages",
        rules::create: rules::RuleBody => 201 rules::Rule;
        "Make tags of a package immutable, or protect them."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/rules/{rule_id}",
        "packages/remove-rule-for-org", "write:packages",
        rules::remove => 204;
        "End a rule of a package."
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/retention",
        "packages/get-retention-for-org", "read:packages",
        rules::retention => 200 rules::Retention;
        "The retention policy that a package is under."
    ),
    route!(
        PUT "/orgs/{org}/packages/{package_type}/{package_name}/retention",
        "packages/set-retention-for-org", "write:packages",
        rules::set_retention: rules::PolicyBody => 200 rules::Retention;
        "Put a package under a retention policy of its own."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/retention",
        "packages/remove-retention-for-org", "write:packages",
        rules::remove_retention => 204;
        "End the retention policy of a package."
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/retention/plan",
        "packages/plan-retention-for-org", "write:packages",
        rules::plan => 200 rules::PlanView;
        "What the retention policy would do to each version, and why."
    ),
    route!(
        POST "/orgs/{org}/packages/{package_type}/{package_name}/retention/run",
        "packages/run-retention-for-org", "write:packages",
        rules::run => 200 rules::PlanView;
        "Apply the retention policy of a package now."
    ),
    route!(
        GET "/user/rules",
        "user/list-rules", "write:packages",
        rules::list => 200 Vec<rules::Rule>;
        "Rules about the tags of all one's own packages."
    ),
    route!(
        POST "/user/rules",
        "user/create-rule", "write:packages",
        rules::create: rules::RuleBody => 201 rules::Rule;
        "Make tags of all one's own packages immutable, or protect them."
    ),
    route!(
        DELETE "/user/rules/{rule_id}",
        "user/remove-rule", "write:packages",
        rules::remove => 204;
        "End a rule about all one's own packages."
    ),
    route!(
        GET "/user/retention",
        "user/get-retention", "write:packages",
        rules::retention => 200 rules::Retention;
        "The retention policy of all one's own packages."
    ),
    route!(
        PUT "/user/retention",
        "user/set-retention", "write:packages",
        rules::set_retention: rules::PolicyBody => 200 rules::Retention;
        "Put all one's own packages under a retention policy."
    ),
    route!(
        DELETE "/user/retention",
        "user/remove-retention", "write:packages",
        rules::remove_retention => 204;
        "End the retention policy of all one's own packages."
    ),
    route!(
        GET "/orgs/{org}/rules",
        "orgs/list-rules", "admin:org",
        rules::list => 200 Vec<rules::Rule>;
        "Rules about the tags of all the packages of an organization."
    ),
    route!(
        POST "/orgs/{org}/rules",
        "orgs/create-rule", "admin:org",
        rules::create: rules::RuleBody => 201 rules::Rule;
        "Make tags of all the packages of an organization immutable, or protect them."
    ),
    route!(
        DELETE "/orgs/{org}/rules/{rule_id}",
        "orgs/remove-rule", "admin:org",
        rules::remove => 204;
        "End a rule about all the packages of an organization."
    ),
    route!(
        GET "/orgs/{org}/retention",
        "orgs/get-retention", "admin:org",
        rules::retention => 200 rules::Retention;
        "The retention policy of all the packages of an organization."
    ),
    route!(
        PUT "/orgs/{org}/retention",
        "orgs/set-retention", "admin:org",
        rules::set_retention: rules::PolicyBody => 200 rules::Retention;
        "Put all the packages of an organization under a retention policy."
    ),
    route!(
        DELETE "/orgs/{org}/retention",
        "orgs/remove-retention", "admin:org",
        rules::remove_retention => 204;
        "End the retention policy of all the packages of an organization."
    ),
    // Roles on packages, and links: beyond GitHub.
    route!(
        GET "/user/packages/{package_type}/{package_name}/access",
        "packages/get-access-for-authenticated-user", "write:packages",
        access::get => 200 access::Access;
        "Who has a role on a package."
    ),
    route!(
        PATCH "/user/packages/{package_type}/{package_name}/access",
        "packages/update-access-for-authenticated-user", "write:packages",
        access::change: access::AccessBody => 200 access::Access;
        "Switch whether a package has the access of its repository."
    ),
    route!(
        PUT "/user/packages/{package_type}/{package_name}/access/users/{grantee}",
        "packages/set-user-access-for-authenticated-user", "write:packages",
        access::put_user: access::RoleBody => 204;
        "Give a user or a robot a role on a package."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/access/users/{grantee}",
        "packages/remove-user-access-for-authenticated-user", "write:packages",
        access::remove_user => 204;
        "Take the role of a user or a robot."
    ),
    route!(
        PUT "/user/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        "packages/set-team-access-for-authenticated-user", "write:packages",
        access::put_team: access::RoleBody => 204;
        "Give a team a role on a package."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        "packages/remove-team-access-for-authenticated-user", "write:packages",
        access::remove_team => 204;
        "Take the role of a team."
    ),
    route!(
        PUT "/user/packages/{package_type}/{package_name}/access/repositories/{repo}",
        "packages/set-repository-access-for-authenticated-user", "write:packages",
        access::put_repository: access::RoleBody => 204;
        "Give the workflows of a repository a role on a package."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/access/repositories/{repo}",
        "packages/remove-repository-access-for-authenticated-user", "write:packages",
        access::remove_repository => 204;
        "Take the role of a repository."
    ),
    route!(
        PUT "/user/packages/{package_type}/{package_name}/repository",
        "packages/link-repository-for-authenticated-user", "write:packages",
        access::link: access::LinkBody => 200 access::Access;
        "Link a package to a repository of its owner."
    ),
    route!(
        DELETE "/user/packages/{package_type}/{package_name}/repository",
        "packages/unlink-repository-for-authenticated-user", "write:packages",
        access::unlink => 204;
        "Take the link of a package away."
    ),
    route!(
        GET "/users/{username}/packages/{package_type}/{package_name}/access",
        "packages/get-access-for-user", "write:packages",
        access::get => 200 access::Access;
        "Who has a role on a package."
    ),
    route!(
        PATCH "/users/{username}/packages/{package_type}/{package_name}/access",
        "packages/update-access-for-user", "write:packages",
        access::change: access::AccessBody => 200 access::Access;
        "Switch whether a package has the access of its repository."
    ),
    route!(
        PUT "/users/{username}/packages/{package_type}/{package_name}/access/users/{grantee}",
        "packages/set-user-access-for-user", "write:packages",
        access::put_user: access::RoleBody => 204;
        "Give a user or a robot a role on a package."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/access/users/{grantee}",
        "packages/remove-user-access-for-user", "write:packages",
        access::remove_user => 204;
        "Take the role of a user or a robot."
    ),
    route!(
        PUT "/users/{username}/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        "packages/set-team-access-for-user", "write:packages",
        access::put_team: access::RoleBody => 204;
        "Give a team a role on a package."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        "packages/remove-team-access-for-user", "write:packages",
        access::remove_team => 204;
        "Take the role of a team."
    ),
    route!(
        PUT "/users/{username}/packages/{package_type}/{package_name}/access/repositories/{repo}",
        "packages/set-repository-access-for-user", "write:packages",
        access::put_repository: access::RoleBody => 204;
        "Give the workflows of a repository a role on a package."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/access/repositories/{repo}",
        "packages/remove-repository-access-for-user", "write:packages",
        access::remove_repository => 204;
        "Take the role of a repository."
    ),
    route!(
        PUT "/users/{username}/packages/{package_type}/{package_name}/repository",
        "packages/link-repository-for-user", "write:packages",
        access::link: access::LinkBody => 200 access::Access;
        "Link a package to a repository of its owner."
    ),
    route!(
        DELETE "/users/{username}/packages/{package_type}/{package_name}/repository",
        "packages/unlink-repository-for-user", "write:packages",
        access::unlink => 204;
        "Take the link of a package away."
    ),
    route!(
        GET "/orgs/{org}/packages/{package_type}/{package_name}/access",
        "packages/get-access-for-org", "write:packages",
        access::get => 200 access::Access;
        "Who has a role on a package."
    ),
    route!(
        PATCH "/orgs/{org}/packages/{package_type}/{package_name}/access",
        "packages/update-access-for-org", "write:packages",
        access::change: access::AccessBody => 200 access::Access;
        "Switch whether a package has the access of its repository."
    ),
    route!(
        PUT "/orgs/{org}/packages/{package_type}/{package_name}/access/users/{grantee}",
        "packages/set-user-access-for-org", "write:packages",
        access::put_user: access::RoleBody => 204;
        "Give a user or a robot a role on a package."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/access/users/{grantee}",
        "packages/remove-user-access-for-org", "write:packages",
        access::remove_user => 204;
        "Take the role of a user or a robot."
    ),
    route!(
        PUT "/orgs/{org}/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        "packages/set-team-access-for-org", "write:packages",
        access::put_team: access::RoleBody => 204;
        "Give a team a role on a package."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        "packages/remove-team-access-for-org", "write:packages",
        access::remove_team => 204;
        "Take the role of a team."
    ),
    route!(
        PUT "/orgs/{org}/packages/{package_type}/{package_name}/access/repositories/{repo}",
        "packages/set-repository-access-for-org", "write:packages",
        access::put_repository: access::RoleBody => 204;
        "Give the workflows of a repository a role on a package."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/access/repositories/{repo}",
        "packages/remove-repository-access-for-org", "write:packages",
        access::remove_repository => 204;
        "Take the role of a repository."
    ),
    route!(
        PUT "/orgs/{org}/packages/{package_type}/{package_name}/repository",
        "packages/link-repository-for-org", "write:packages",
        access::link: access::LinkBody => 200 access::Access;
        "Link a package to a repository of its owner."
    ),
    route!(
        DELETE "/orgs/{org}/packages/{package_type}/{package_name}/repository",
        "packages/unlink-repository-for-org", "write:packages",
        access::unlink => 204;
        "Take the link of a package away."
    ),
    // Users.
    route!(GET "/user", "users/get-authenticated", "", users::get_own => 200 users::PrivateUser; "One's own account."),
    route!(
        PATCH "/user", "users/update-authenticated", "user",
        users::change_own: users::UserBody => 200 users::PrivateUser; "Change what one says of oneself."
    ),
    route!(GET "/users/{username}", "users/get-by-username", "", users::get => 200 users::PublicUser; "An account."),
    route!(
        GET "/users/{username}/orgs", "orgs/list-for-user", "", users::orgs_of => 200 Vec<orgs::OrgSimple>;
        "Organizations of a user that one is in too.", PAGED
    ),
    // Organizations.
    route!(GET "/orgs/{org}", "orgs/get", "", orgs::get => 200 orgs::OrgFull; "An organization."),
    route!(
        PATCH "/orgs/{org}", "orgs/update", "admin:org", orgs::change: orgs::OrgBody => 200 orgs::OrgFull;
        "Change an organization and what its members may do."
    ),
    route!(
        DELETE "/orgs/{org}", "orgs/delete", "admin:org", orgs::delete => 202 Value;
        "Delete an organization with its teams, repositories and packages, which cannot be restored."
    ),
    route!(
        GET "/orgs/{org}/members", "orgs/list-members", "read:org", orgs::members => 200 Vec<simple::SimpleUser>;
        "Members, for members.", MEMBERS
    ),
    route!(
        GET "/orgs/{org}/members/{username}", "orgs/check-membership-for-user", "read:org",
        orgs::is_member => 204; "Whether somebody is a member."
    ),
    route!(
        DELETE "/orgs/{org}/members/{username}", "orgs/remove-member", "admin:org",
        orgs::remove_membership => 204; "End a membership."
    ),
    route!(
        GET "/orgs/{org}/memberships/{username}", "orgs/get-membership-for-user", "read:org",
        orgs::get_membership => 200 orgs::MembershipView; "Somebody's membership."
    ),
    route!(
        PUT "/orgs/{org}/memberships/{username}", "orgs/set-membership-for-user", "admin:org",
        orgs::put_membership: orgs::MembershipBody => 200 orgs::MembershipView; "Make somebody a member, at once."
    ),
    route!(
        DELETE "/orgs/{org}/memberships/{username}", "orgs/remove-membership-for-user", "admin:org",
        orgs::remove_membership => 204; "End a membership."
    ),
    route!(
        GET "/user/memberships/orgs", "orgs/list-memberships-for-authenticated-user", "read:org",
        orgs::own_memberships => 200 Vec<orgs::MembershipView>; "One's own memberships.", PAGED
    ),
    route!(
        GET "/user/memberships/orgs/{org}", "orgs/get-membership-for-authenticated-user", "read:org",
        orgs::own_membership => 200 orgs::MembershipView; "One's own membership."
    ),
    route!(
        PATCH "/user/memberships/orgs/{org}", "orgs/update-membership-for-authenticated-user", "read:org",
        orgs::accept_membership: orgs::AcceptBody => 200 orgs::MembershipView; "Accept a membership."
    ),
    route!(
        GET "/user/orgs", "orgs/list-for-authenticated-user", "read:org",
        orgs::own_orgs => 200 Vec<orgs::OrgSimple>; "One's own organizations.", PAGED
    ),
    // Teams.
    route!(
        GET "/orgs/{org}/teams", "teams/list", "read:org", teams::list => 200 Vec<teams::TeamListed>;
        "Teams that one sees.", PAGED
    ),
    route!(
        POST "/orgs/{org}/teams", "teams/create", "write:org", teams::create: teams::TeamBody => 201 teams::TeamFull;
        "Make a team."
    ),
    route!(
        GET "/user/teams", "teams/list-for-authenticated-user", "read:org", teams::own => 200 Vec<teams::TeamFull>;
        "Teams that one is in.", PAGED
    ),
    route!(
        GET "/orgs/{org}/teams/{team_slug}", "teams/get-by-name", "read:org", teams::get => 200 teams::TeamFull;
        "A team."
    ),
    route!(
        PATCH "/orgs/{org}/teams/{team_slug}", "teams/update-in-org", "write:org",
        teams::change: teams::TeamChangeBody => 200 teams::TeamFull; "Change a team."
    ),
    route!(
        DELETE "/orgs/{org}/teams/{team_slug}", "teams/delete-in-org", "write:org", teams::delete => 204;
        "Delete a team with its roles."
    ),
    route!(
        GET "/orgs/{org}/teams/{team_slug}/teams", "teams/list-child-in-org", "read:org",
        teams::below => 200 Vec<teams::TeamListed>; "The teams right below one.", PAGED
    ),
    route!(
        GET "/orgs/{org}/teams/{team_slug}/members", "teams/list-members-in-org", "read:org",
        teams::members => 200 Vec<simple::SimpleUser>; "Members of a team.", TEAM_MEMBERS
    ),
    route!(
        GET "/orgs/{org}/teams/{team_slug}/memberships/{username}", "teams/get-membership-for-user-in-org", "read:org",
        teams::get_membership => 200 teams::TeamMembership; "Somebody's place in a team."
    ),
    route!(
        PUT "/orgs/{org}/teams/{team_slug}/memberships/{username}",
        "teams/add-or-update-membership-for-user-in-org", "write:org",
        teams::put_membership: teams::TeamMembershipBody => 200 teams::TeamMembership; "Put a member into a team."
    ),
    route!(
        DELETE "/orgs/{org}/teams/{team_slug}/memberships/{username}", "teams/remove-membership-for-user-in-org",
        "write:org", teams::remove_membership => 204; "Take somebody out of a team."
    ),
    route!(
        GET "/orgs/{org}/teams/{team_slug}/repos", "teams/list-repos-in-org", "read:org",
        teams::repositories => 200 Vec<repos::Repo>; "Repositories of a team.", PAGED
    ),
    route!(
        GET "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}", "teams/check-permissions-for-repo-in-org",
        "read:org", teams::repository => 204; "Whether a team has a role in a repository."
    ),
    route!(
        PUT "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}", "teams/add-or-update-repo-permissions-in-org",
        "repo", teams::put_repository: teams::TeamRepositoryBody => 204; "Give a team a role in a repository."
    ),
    route!(
        DELETE "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}", "teams/remove-repo-in-org", "repo",
        teams::remove_repository => 204; "Take a team's role in a repository."
    ),
    // Repositories.
    route!(
        GET "/user/repos", "repos/list-for-authenticated-user", "repo", repos::list_own => 200 Vec<repos::Repo>;
        "One's own repositories, by full name.", OWN_REPOSITORIES
    ),
    route!(
        POST "/user/repos", "repos/create-for-authenticated-user", "public_repo, repo",
        repos::create_own: repos::RepoBody => 201 repos::Repo; "Make a repository in one's own namespace."
    ),
    route!(
        GET "/orgs/{org}/repos", "repos/list-for-org", "repo", repos::list_of_org => 200 Vec<repos::Repo>;
        "Repositories of an organization that one sees, by full name.", PAGED
    ),
    route!(
        POST "/orgs/{org}/repos", "repos/create-in-org", "public_repo, repo",
        repos::create_in_org: repos::RepoBody => 201 repos::Repo; "Make a repository in an organization."
    ),
    route!(
        GET "/users/{username}/repos", "repos/list-for-user", "repo", repos::list_of_user => 200 Vec<repos::Repo>;
        "Repositories of a user that one sees, by full name.", PAGED
    ),
    route!(GET "/repos/{owner}/{repo}", "repos/get", "repo", repos::get => 200 repos::Repo; "A repository."),
    route!(
        PATCH "/repos/{owner}/{repo}", "repos/update", "public_repo, repo",
        repos::change: repos::RepoChangeBody => 200 repos::Repo; "Change a repository."
    ),
    route!(
        DELETE "/repos/{owner}/{repo}", "repos/delete", "delete_repo", repos::delete => 204;
        "Delete the record of a repository; packages that were linked to it stay."
    ),
    route!(
        GET "/repos/{owner}/{repo}/collaborators", "repos/list-collaborators", "repo",
        repos::collaborators => 200 Vec<repos::CollaboratorView>; "Who works on a repository.", COLLABORATORS
    ),
    route!(
        GET "/repos/{owner}/{repo}/collaborators/{username}", "repos/check-collaborator", "repo",
        repos::is_collaborator => 204; "Whether somebody works on a repository."
    ),
    route!(
        PUT "/repos/{owner}/{repo}/collaborators/{username}", "repos/add-collaborator", "repo",
        repos::put_collaborator: repos::CollaboratorBody => 204; "Give somebody a role in a repository, at once."
    ),
    route!(
        DELETE "/repos/{owner}/{repo}/collaborators/{username}", "repos/remove-collaborator", "repo",
        repos::remove_collaborator => 204; "Take somebody's role in a repository."
    ),
    route!(
        GET "/repos/{owner}/{repo}/collaborators/{username}/permission", "repos/get-collaborator-permission-level",
        "repo", repos::permission => 200 repos::CollaboratorPermission; "What somebody may do in a repository."
    ),
    route!(
        GET "/repos/{owner}/{repo}/teams", "repos/list-teams", "repo",
        repos::teams => 200 Vec<repos::RepositoryTeam>; "Teams with a role in a repository.", PAGED
    ),
    // Billing.
    route!(
        GET "/organizations/{org}/settings/billing/usage", "billing/get-github-billing-usage-report-org",
        "admin:org, repo",
        billing::of_organization => 200 billing::UsageReport; "What an organization uses, by day.", PERIOD
    ),
    route!(
        GET "/users/{username}/settings/billing/usage", "billing/get-github-billing-usage-report-user",
        "user",
        billing::of_user => 200 billing::UsageReport; "What a user uses, by day.", PERIOD
    ),
    route!(
        GET "/organizations/{org}/settings/billing/usage/summary",
        "billing/get-github-billing-usage-summary-report-org", "admin:org, repo",
        billing::summary_of_organization => 200 billing::UsageSummary; "What an organization uses.", PERIOD
    ),
    route!(
        GET "/users/{username}/settings/billing/usage/summary",
        "billing/get-github-billing-usage-summary-report-user", "user",
        billing::summary_of_user => 200 billing::UsageSummary; "What a user uses.", PERIOD
    ),
    route!(
        GET "/orgs/{org}/settings/billing/packages", "billing/get-github-packages-billing-org",
        "admin:org, repo",
        billing::packages_of_organization => 200 billing::PackagesBilling; "Transfer of this month."
    ),
    route!(
        GET "/users/{username}/settings/billing/packages", "billing/get-github-packages-billing-user",
        "user",
        billing::packages_of_user => 200 billing::PackagesBilling; "Transfer of this month."
    ),
    route!(
        GET "/orgs/{org}/settings/billing/shared-storage", "billing/get-shared-storage-billing-org",
        "admin:org, repo",
        billing::storage_of_organization => 200 billing::SharedStorage; "Storage."
    ),
    route!(
        GET "/users/{username}/settings/billing/shared-storage", "billing/get-shared-storage-billing-user",
        "user",
        billing::storage_of_user => 200 billing::SharedStorage; "Storage."
    ),
];

/// What a path and method are.
pub(crate) enum Found {
    /// A route with its parameters.
    Route(&'static Route, Params),
    /// The path is one, but takes these methods.
    Method(String),
    /// No such path.
    Nothing,
}

/// Finds the route. Where a name with slashes lets several forms match, the one that leaves it shortest is meant.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let Some(segments) = Segments::parse(path) else { return Found::Nothing };
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut forms: Vec<(usize, &'static Route, Params)> = Vec::new();
    for route in ROUTES {
        if let Some((params, extra)) = segments.matches(route.pattern) {
            forms.push((extra, route, params));
        }
    }
    let Some(shortest) = forms.iter().map(|(extra, _, _)| *extra).min() else { return Found::Nothing };
    forms.retain(|(extra, _, _)| *extra == shortest);
    // A literal segment is more than a parameter: `/user/packages` before `/user/{…}`.
    let literal = |route: &Route| route.pattern.matches('{').count();
    let fewest = forms.iter().map(|(_, route, _)| literal(route)).min().unwrap_or(0);
    forms.retain(|(_, route, _)| literal(route) == fewest);
    let allowed: Vec<&str> = forms.iter().map(|(_, route, _)| route.method.as_str()).collect();
    let allowed = allowed.join(", ");
    match forms.into_iter().find(|(_, route, _)| route.method == *method) {
        Some((_, route, params)) => Found::Route(route, params),
        None => Found::Method(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_routes_are_the_same() {
        let forms: BTreeSet<String> = ROUTES.iter().map(|route| format!("{route:?}")).collect();
        assert_eq!(forms.len(), ROUTES.len());
    }

    #[test]
    fn each_route_is_found_by_a_path_of_its_form() {
        for route in ROUTES {
            let path: String = route.pattern.replace(['{', '}'], "");
            match find(&route.method, &path) {
                Found::Route(found, _) => assert_eq!(format!("{found:?}"), format!("{route:?}")),
                Found::Method(_) | Found::Nothing => panic!("{route:?} is not found by {path}"),
            }
        }
    }
}
