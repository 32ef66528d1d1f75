//! The OpenAPI document of this API (version 3.1), made from [`ROUTES`] and the types that handlers take and give, so
//! that it cannot say anything else than they do.

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::Answer;
use crate::route::{Parameter, ROUTES, Route};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// Refusals that any operation may give.
const REFUSALS: &[(&str, &str)] = &[
    ("400", "The request cannot be read."),
    ("401", "No credential, or one that is not valid."),
    ("403", "The token, the role or the policy does not allow it."),
    ("404", "There is no such thing, or the caller may not know of it."),
    ("413", "The body is too large."),
    ("422", "The request can be read, and says what cannot be done."),
    ("429", "Too many requests; `Retry-After` says when to come again."),
    ("503", "Not now; `Retry-After` says when to come again."),
];

/// `GET /openapi.json`.
pub(crate) async fn document(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&describe(&call.urls.api(""))))
}

/// The document for an API at this URL.
pub(crate) fn describe(url: &str) -> Value {
    let mut taken = SchemaSettings::openapi3().with(|settings| settings.meta_schema = None).into_generator();
    let mut given = SchemaSettings::openapi3()
        .with(|settings| {
            settings.meta_schema = None;
            settings.contract = schemars::generate::Contract::Serialize;
        })
        .into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut taken, &mut given);
        let path = paths.entry(route.pattern).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    let mut schemas = given.take_definitions(true);
    schemas.extend(taken.take_definitions(true));
    schemas.insert("error".to_owned(), error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Packhouse",
            "description": "GitHub's REST API as far as packages need it, and what goes beyond it.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": url }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A personal access token." },
            },
        },
    })
}

fn operation(route: &Route, taken: &mut SchemaGenerator, given: &mut SchemaGenerator) -> Value {
    let in_path = route.pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let parameters: Vec<Value> = in_path.chain(route.query.iter().map(parameter)).collect();
    let mut answers: Map<String, Value> = REFUSALS
        .iter()
        .map(|(status, about)| {
            let schema = json!({ "schema": { "$ref": "#/components/schemas/error" } });
            ((*status).to_owned(), json!({ "description": about, "content": { "application/json": schema } }))
        })
        .collect();
    let well = match route.answer {
        Some(schema) => json!({
            "description": "Done.",
            "content": { "application/json": { "schema": schema(given) } },
        }),
        None => json!({ "description": "Done; there is no body." }),
    };
    answers.insert(route.status.to_string(), well);
    if route.method == http::Method::GET {
        answers.insert("302".to_owned(), json!({ "description": "Elsewhere, as `Location` says." }));
        answers.insert("304".to_owned(), json!({ "description": "The client has this answer." }));
    }
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.name.split('/').next().unwrap_or_default()],
        "parameters": parameters,
        "responses": answers,
    });
    if let Some(schema) = route.body {
        let schema = schema(taken);
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.words {
        [] => json!({ "type": "string" }),
        ["integer"] => json!({ "type": "integer" }),
        ["integer", "string"] => json!({ "type": ["integer", "string"] }),
        words => json!({ "type": "string", "enum": words }),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "message": { "type": "string" },
            "documentation_url": { "type": "string" },
            "status": { "type": "string" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "resource": { "type": "string" },
                        "field": { "type": "string" },
                        "code": { "type": "string" },
                        "message": { "type": "string" },
                    },
                    "required": ["resource", "field", "code"],
                },
            },
        },
        "required": ["message", "documentation_url", "status"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_once_and_nothing_is_referred_to_that_is_not_there() {
        let document = describe("https://packages.example/api/v3");
        let operations: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len());
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
