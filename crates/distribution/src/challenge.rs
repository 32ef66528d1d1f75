//! `WWW-Authenticate`: how a client gets the token it needs (RFC 6750, and distribution's token specification).
//!
//! One challenge on one line, all values quoted, none empty: docker stops reading a line at the first empty
//! value, and oras reads the first line only.

use packhouse_service::SERVICE_NAME;

/// What is wrong with a bearer token that was sent. Named only then: containerd gives up when told twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    InvalidToken,
    InsufficientScope,
}

/// What a request would need.
#[derive(Clone, Debug)]
pub(crate) struct Challenge<'r> {
    external_url: &'r str,
    scope: String,
    /// Whether a bearer token was sent.
    bearer: bool,
}

impl<'r> Challenge<'r> {
    pub(crate) fn new(external_url: &'r str, bearer: bool) -> Self {
        Challenge { external_url, scope: String::new(), bearer }
    }

    /// Host and port by which the client reaches this server.
    pub(crate) fn host(&self) -> Option<&str> {
        self.external_url.split_once("://").map(|(_, host)| host)
    }

    /// The challenge for some actions on a package.
    pub(crate) fn package(&self, name: &str, actions: &str) -> Self {
        self.clone().and(&format!("repository:{name}:{actions}"))
    }

    /// The challenge for the list of packages.
    pub(crate) fn catalog(&self) -> Self {
        self.clone().and("registry:catalog:*")
    }

    /// With one scope more.
    pub(crate) fn and(mut self, scope: &str) -> Self {
        if !self.scope.is_empty() {
            self.scope.push(' ');
        }
        self.scope.push_str(scope);
        self
    }

    pub(crate) fn render(&self, problem: Option<Problem>) -> String {
        let mut line = format!("Bearer realm=\"{}/token\",service=\"{SERVICE_NAME}\"", self.external_url);
        if !self.scope.is_empty() {
            line.push_str(&format!(",scope=\"{}\"", self.scope));
        }
        match problem.filter(|_| self.bearer) {
            Some(Problem::InvalidToken) => line.push_str(",error=\"invalid_token\""),
            Some(Problem::InsufficientScope) => line.push_str(",error=\"insufficient_scope\""),
            None => {}
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_named_only_when_a_token_was_sent() {
        let sent = Challenge::new("https://packs.test", true).package("mona/app", "pull,push");
        assert_eq!(
            sent.render(Some(Problem::InsufficientScope)),
            "Bearer realm=\"https://packs.test/token\",service=\"packhouse\",scope=\"repository:mona/app:pull,push\",\
             error=\"insufficient_scope\""
        );
        let nothing_sent = Challenge::new("https://packs.test", false);
        assert_eq!(
            nothing_sent.render(Some(Problem::InvalidToken)),
            "Bearer realm=\"https://packs.test/token\",service=\"packhouse\""
        );
    }
}
