//! What the operator of a house does with the command line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::house::House;

/// An account and a token of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name of the account, which is also its namespace.
    pub name: String,
    /// A personal access token.
    pub token: String,
}

impl User {
    /// `name:token`, as `skopeo --creds` takes it.
    #[must_use]
    pub fn credentials(&self) -> String {
        format!("{}:{}", self.name, self.token)
    }

    /// The value of `auth` in a docker configuration: base64 of [`User::credentials`].
    #[must_use]
    pub fn auth(&self) -> String {
        STANDARD.encode(self.credentials())
    }

    /// The same person with another token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { name: self.name.clone(), token: token.into() }
    }
}

impl House {
    /// Runs `packhouse WORDS… --data DIR --json` and returns the document it prints.
    #[track_caller]
    pub fn operator<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Value {
        let words: Vec<&str> = words.into_iter().collect();
        let done = self.program().args(words).arg("--data").arg(self.data()).arg("--json").succeeds();
        if done.text().is_empty() { Value::Null } else { done.json() }
    }

    /// Makes an account with a token for everything a person may do with packages.
    #[track_caller]
    pub fn user(&self, name: &str) -> User {
        self.operator(["user", "create", name]);
        self.token(name, "read:packages,write:packages,delete:packages")
    }

    /// Makes one more token for an account; `scopes` is a list with commas.
    #[track_caller]
    pub fn token(&self, name: &str, scopes: &str) -> User {
        let made = self.operator(["token", "create", name, "--scopes", scopes]);
        let token = made["token"].as_str().unwrap_or_else(|| panic!("no token in {made}"));
        User { name: name.to_owned(), token: token.to_owned() }
    }

    /// Makes an organization.
    #[track_caller]
    pub fn organization(&self, name: &str, owner: &User) {
        self.operator(["org", "create", name, "--owner", &owner.name]);
    }

    /// Lets everybody pull a package.
    #[track_caller]
    pub fn make_public(&self, package: &str) {
        self.operator(["package", "visibility", package, "public"]);
    }

    /// Gives a user a role (`read`, `write` or `admin`) on a package.
    #[track_caller]
    pub fn grant(&self, package: &str, user: &User, role: &str) {
        self.operator(["package", "grant", package, &user.name, role]);
    }
}
