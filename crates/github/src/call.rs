//! A request with its parts parsed as far as every handler needs them.

use crate::error::{ApiError, Field};
use crate::page::{PageAsked, link};
use crate::path::Params;
use crate::query::Query;
use crate::respond::Answer;
use crate::urls::Urls;
use bytes::Bytes;
use http::HeaderMap;
use packhouse_service::{Identity, Service, Shown};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;

/// What a handler gets.
pub(crate) struct Call<'c> {
    pub(crate) service: &'c Service,
    pub(crate) headers: &'c HeaderMap,
    /// The absolute URL of the request, without its query.
    pub(crate) url: String,
    pub(crate) params: Params,
    pub(crate) query: Query<'c>,
    pub(crate) shown: Shown,
    /// Who that is; a credential that is not valid does not come this far.
    pub(crate) identity: Identity,
    pub(crate) urls: &'c Urls,
    pub(crate) body: Bytes,
    pub(crate) client: IpAddr,
}

impl Call<'_> {
    /// A parameter of the path.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name)
    }

    /// A parameter of the path that is a number; what is none is nothing that exists.
    pub(crate) fn id(&self, name: &str, what: &str) -> Result<i64, ApiError> {
        self.param(name).parse().map_err(|_| ApiError::not_found(what))
    }

    /// The body as JSON, with unknown fields refused: a field that does nothing here must not look as if it did.
    pub(crate) fn json<T: DeserializeOwned>(&self, resource: &'static str) -> Result<T, ApiError> {
        if self.body.is_empty() {
            return parse(b"{}", resource);
        }
        parse(&self.body, resource)
    }

    /// Which page is asked for.
    pub(crate) fn page(&self) -> Result<PageAsked, ApiError> {
        PageAsked::parse(&self.query)
    }

    /// A page of a list with the links to the others; see [`link`].
    pub(crate) fn list(
        &self,
        items: &impl Serialize,
        asked: &PageAsked,
        next: Option<&str>,
        total: Option<u64>,
    ) -> Answer {
        Answer::ok(items).links(link(&self.url, &self.query, asked, next, total))
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], resource: &'static str) -> Result<T, ApiError> {
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| ApiError::bad_request("Problems parsing JSON"))?;
    if !value.is_object() {
        return Err(ApiError::bad_request("Body should be a JSON object"));
    }
    serde_json::from_value(value).map_err(|error| {
        let text: String = error.to_string().chars().take(200).collect();
        let quoted = text.split('`').nth(1).unwrap_or("body").to_owned();
        let missing = text.starts_with("missing field");
        ApiError::invalid(vec![if missing {
            Field::missing(resource, &quoted)
        } else {
            Field::custom(resource, &quoted, text)
        }])
    })
}
