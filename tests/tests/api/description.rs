//! GitHub's description of its API, from the npm package `@octokit/openapi`.

use crate::story::Seen;
use packhouse_tests::tool;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Paths of older editions, which are in this one no more: their answers were described so.
const OLDER: &[(&str, &[&str])] = &[
    (
        "settings/billing/packages",
        &[
            "total_gigabytes_bandwidth_used",
            "total_paid_gigabytes_bandwidth_used",
            "included_gigabytes_bandwidth",
        ],
    ),
    (
        "settings/billing/shared-storage",
        &["days_left_in_billing_cycle", "estimated_paid_storage_for_month", "estimated_storage_for_month"],
    ),
];

pub(crate) struct Description(Value);

impl Description {
    pub(crate) fn load() -> Self {
        let file = Path::new(&tool("npm-modules")).join("@octokit/openapi/generated/api.github.com.json");
        let text = std::fs::read_to_string(&file).expect("the description");
        Description(serde_json::from_str(&text).expect("the description is JSON"))
    }

    /// `GET /orgs/{org}` of all operations with one of the tags.
    pub(crate) fn operations(&self, tags: &[&str]) -> BTreeSet<String> {
        let paths = self.0["paths"].as_object().expect("paths");
        let of_path = |(path, operations): (&String, &Value)| {
            let operations = operations.as_object().expect("operations").clone();
            let path = path.clone();
            operations.into_iter().filter_map(move |(method, operation)| {
                let tagged = operation["tags"]
                    .as_array()?
                    .iter()
                    .any(|tag| tags.contains(&tag.as_str().unwrap_or("")));
                tagged.then(|| format!("{} {path}", method.to_uppercase()))
            })
        };
        paths.iter().flat_map(of_path).collect()
    }

    /// Whether an answer is one of those described: its status, and its body.
    pub(crate) fn validate(&self, seen: &Seen) -> Result<(), String> {
        if let Some((_, fields)) = OLDER.iter().find(|(path, _)| seen.form.ends_with(path)) {
            let body: Value = serde_json::from_str(&seen.body).map_err(|error| error.to_string())?;
            let numbers = fields.iter().all(|field| body[*field].is_number());
            return if numbers || seen.status != 200 {
                Ok(())
            } else {
                Err("not as older editions have it".into())
            };
        }
        let operation = &self.0["paths"][&seen.form][seen.method.to_lowercase()];
        if operation.is_null() {
            return Err("the description has no such operation".to_owned());
        }
        let described = &operation["responses"][seen.status.to_string()];
        // Many operations leave out the errors that all of them share.
        if described.is_null() {
            let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
            let shared = matches!(seen.status, 400 | 401 | 403 | 404 | 422) && body["message"].is_string();
            return if shared { Ok(()) } else { Err(format!("the status {} is not described", seen.status)) };
        }
        let described = self.resolved(described);
        let Some(content) = described["content"].as_object() else {
            // GitHub describes no body for some errors, and sends one all the same.
            let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
            let fits = seen.body.is_empty() || (seen.status >= 400 && body["message"].is_string());
            return if fits { Ok(()) } else { Err("a body where none is described".to_owned()) };
        };
        let schema = &content.get("application/json").unwrap_or(&Value::Null)["schema"];
        if schema.is_null() || seen.status == 304 {
            return Ok(());
        }
        let body: Value = serde_json::from_str(&seen.body).map_err(|error| format!("no JSON: {error}"))?;
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&self.complete(schema))
            .map_err(|error| format!("the schema cannot be used: {error}"))?;
        let errors: Vec<String> = validator
            .iter_errors(&body)
            .map(|error| format!("at `{}`: {error}", error.instance_path()).chars().take(300).collect())
            .take(5)
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }

    fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                self.0.pointer(reference.trim_start_matches('#')).expect("what is referred to")
            }
            None => value,
        }
    }

    /// A schema with all that it refers to, and OpenAPI's `nullable` said in JSON Schema.
    fn complete(&self, schema: &Value) -> Value {
        let mut needed = Map::new();
        let mut open: Vec<Value> = vec![schema.clone()];
        while let Some(value) = open.pop() {
            for reference in references(&value) {
                let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
                if !needed.contains_key(&name) {
                    let found = self.0["components"]["schemas"][&name].clone();
                    open.push(found.clone());
                    needed.insert(name, said(found));
                }
            }
        }
        json!({ "allOf": [said(schema.clone())], "components": { "schemas": needed } })
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn said(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let nullable = fields.get("nullable") == Some(&Value::Bool(true));
            let fields: Map<String, Value> = fields
                .into_iter()
                .filter(|(key, value)| {
                    !matches!(key.as_str(), "nullable" | "example" | "examples" | "discriminator")
                        || value.is_object()
                })
                .map(|(key, value)| (key, said(value)))
                .collect();
            if nullable { json!({ "anyOf": [{ "type": "null" }, fields] }) } else { Value::Object(fields) }
        }
        Value::Array(items) => Value::Array(items.into_iter().map(said).collect()),
        other => other,
    }
}
