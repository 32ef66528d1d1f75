//! Links in answers: all absolute, since clients take them as they are.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands unescaped in one segment of a path (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How the client reaches this server: the pages and the API, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    web: String,
    api: String,
}

impl Urls {
    /// The API below `/api/v3` of the main host.
    #[must_use]
    pub fn below(external_url: &str) -> Self {
        Urls { web: external_url.to_owned(), api: format!("{external_url}/api/v3") }
    }

    /// The API at the root of a host of its own.
    #[must_use]
    pub fn beside(external_url: &str, api: &str) -> Self {
        Urls { web: external_url.to_owned(), api: api.to_owned() }
    }

    /// A page: `path` begins with a slash.
    #[must_use]
    pub fn web(&self, path: &str) -> String {
        format!("{}{path}", self.web)
    }

    /// A resource of the API: `path` begins with a slash.
    #[must_use]
    pub fn api(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// Host and port of the pages, which is where images are pushed to.
    #[must_use]
    pub fn host(&self) -> &str {
        self.web.split_once("://").map_or(self.web.as_str(), |(_, host)| host)
    }
}

/// One segment of a path; a slash in it is escaped.
#[must_use]
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}
