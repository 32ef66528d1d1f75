//! GraphQL, as far as programs that speak of packages ask for it: who is signed in (`gh auth`), a repository, and the
//! mutation that old versions of the deletion Action send.
//!
//! GitHub's own schema has had nothing about container packages since 2022, so what is left out is nearly all of it. A
//! query is bounded in depth and in the number of its fields before it runs.

use crate::call::Call;
use crate::error::ApiError;
use crate::manage::refused;
use crate::respond::Answer;
use crate::urls::Urls;
use async_graphql::{
    Context, EmptySubscription, Error, ErrorExtensions, ID, InputObject, Object, Schema, SimpleObject,
    Variables,
};
use http::StatusCode;
use packhouse_service::{ManageError, Service, Shown, Visibility};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::LazyLock;

/// How deep a query may be, and how many fields it may name.
const DEPTH_MAX: usize = 15;
const COMPLEXITY_MAX: usize = 200;

type Whole = Schema<Query, Mutation, EmptySubscription>;

static SCHEMA: LazyLock<Whole> = LazyLock::new(|| {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .finish()
});

/// What one request brings.
struct Asker {
    service: Service,
    shown: Shown,
    urls: Urls,
}

/// A query.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "graphql-query")]
pub(crate) struct Body {
    query: String,
    #[serde(default)]
    variables: Option<serde_json::Value>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
}

/// `POST /graphql`. Errors of a query come with status 200, as GraphQL has it.
pub(crate) async fn post(call: Call<'_>) -> Result<Answer, ApiError> {
    if call.identity.account.is_none() {
        let message = "This endpoint requires you to be authenticated.";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
    }
    let body: Body = call.json("Query")?;
    let asker = Asker { service: call.service.clone(), shown: call.shown.clone(), urls: call.urls.clone() };
    let mut request = async_graphql::Request::new(body.query).data(asker);
    if let Some(variables) = body.variables.filter(|variables| !variables.is_null()) {
        request = request.variables(Variables::from_json(variables));
    }
    if let Some(name) = body.operation_name.filter(|name| !name.is_empty()) {
        request = request.operation_name(name);
    }
    let mut answer = serde_json::to_value(SCHEMA.execute(request).await)
        .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Server Error."))?;
    // GitHub writes the kind of an error beside its message.
    for error in answer.get_mut("errors").and_then(|errors| errors.as_array_mut()).into_iter().flatten() {
        let kind = error.get_mut("extensions").and_then(|extensions| extensions.get_mut("type"));
        if let Some(kind) = kind.map(serde_json::Value::take) {
            error["type"] = kind;
            if let Some(error) = error.as_object_mut() {
                error.remove("extensions");
            }
        }
    }
    Ok(Answer::ok(&answer))
}

fn typed(kind: &'static str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("type", kind))
}

fn failed(error: &ManageError, what: &str) -> Error {
    let kind = match error {
        ManageError::Denied(_) | ManageError::Unknown { .. } => "NOT_FOUND",
        ManageError::Forbidden(_) => "FORBIDDEN",
        ManageError::Invalid { .. } | ManageError::Taken { .. } | ManageError::TagHeld(_) => "UNPROCESSABLE",
        ManageError::Fault(_) => "SERVICE_UNAVAILABLE",
    };
    typed(kind, refused(error, what).into_message())
}

struct Query;

#[Object]
impl Query {
    /// Who is signed in.
    async fn viewer(&self, context: &Context<'_>) -> Result<User, Error> {
        let asker = context.data::<Asker>()?;
        let account =
            asker.service.own_account(&asker.shown).await.map_err(|error| failed(&error, "User"))?;
        Ok(User {
            id: ID(crate::node_id::node_id("User", account.id.0)),
            database_id: account.id.0,
            url: asker.urls.web(&format!("/{}", account.login)),
            login: account.login,
            name: account.display_name,
            is_site_admin: account.site_admin,
        })
    }

    /// A repository.
    async fn repository(
        &self,
        context: &Context<'_>,
        owner: String,
        name: String,
    ) -> Result<Option<Repository>, Error> {
        let asker = context.data::<Asker>()?;
        let path = format!("{owner}/{name}");
        match asker.service.repository(&asker.shown, &path).await {
            Ok(seen) => {
                let found = seen.repository;
                Ok(Some(Repository {
                    id: ID(crate::node_id::node_id("Repository", found.id.0)),
                    database_id: found.id.0,
                    url: asker.urls.web(&format!("/{owner}/{}", found.name)),
                    name_with_owner: format!("{owner}/{}", found.name),
                    is_private: found.visibility != Visibility::Public,
                    description: found.description,
                    owner: Owner { login: owner },
                    name: found.name,
                }))
            }
            Err(ManageError::Fault(fault)) => Err(failed(&ManageError::Fault(fault), "")),
            Err(_) => {
                let path: String = path.chars().take(200).collect();
                let absent = format!("Could not resolve to a Repository with the name '{path}'.");
                // Beside the other fields' data, not in place of it.
                context.add_error(typed("NOT_FOUND", absent).into_server_error(context.item.pos));
                Ok(None)
            }
        }
    }
}

/// A user.
#[derive(SimpleObject)]
struct User {
    id: ID,
    database_id: i64,
    login: String,
    name: Option<String>,
    url: String,
    is_site_admin: bool,
}

/// Who owns something.
#[derive(SimpleObject)]
#[graphql(name = "RepositoryOwner")]
struct Owner {
    login: String,
}

/// A repository.
#[derive(SimpleObject)]
struct Repository {
    id: ID,
    database_id: i64,
    name: String,
    name_with_owner: String,
    owner: Owner,
    description: Option<String>,
    is_private: bool,
    url: String,
}

struct Mutation;

/// What is deleted.
#[derive(InputObject)]
struct DeletePackageVersionInput {
    package_version_id: ID,
    client_mutation_id: Option<String>,
}

/// What came of it.
#[derive(SimpleObject)]
struct DeletePackageVersionPayload {
    success: bool,
    client_mutation_id: Option<String>,
}

#[Object]
impl Mutation {
    /// Deletes a version of a package, on GitHub: container packages have no such ids, there as here.
    async fn delete_package_version(
        &self,
        input: DeletePackageVersionInput,
    ) -> Result<DeletePackageVersionPayload, Error> {
        let DeletePackageVersionInput { package_version_id, client_mutation_id: _ } = input;
        let id: String = package_version_id.0.chars().take(100).collect();
        Err(typed(
            "NOT_FOUND",
            format!(
                "Could not resolve to a node with the global id of '{id}'. Versions of container packages are deleted \
                 through the REST API: DELETE /users/{{owner}}/packages/container/{{name}}/versions/{{id}}."
            ),
        ))
    }
}
