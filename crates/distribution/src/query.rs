//! Query strings and forms.

use crate::error::OciError;
use http::StatusCode;
use packhouse_oci::ErrorCode;
use std::borrow::Cow;

/// Parameters that one request may bring.
const PARAMETERS_MAX: usize = 256;

/// The parameters of a query or a form, in their order.
pub(crate) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    pub(crate) fn parse(text: &'q str) -> Result<Self, OciError> {
        let parameters: Vec<_> = form_urlencoded::parse(text.as_bytes()).take(PARAMETERS_MAX + 1).collect();
        if parameters.len() > PARAMETERS_MAX {
            let message = format!("a request may have at most {PARAMETERS_MAX} parameters");
            return Err(OciError::new(StatusCode::URI_TOO_LONG, ErrorCode::Unsupported, message));
        }
        Ok(Query(parameters))
    }

    /// The first of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All of that name.
    pub(crate) fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}

/// A page's size: `n`, cut at `max`, which also is the size when `n` is absent. Renovate asks for 10,000 and
/// must not be refused.
pub(crate) fn page_size(query: &Query<'_>, max: u32) -> Result<u32, OciError> {
    let Some(n) = query.get("n") else { return Ok(max) };
    if n.is_empty() || !n.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "`n` is the number of entries of a page: 0 or more, in digits";
        return Err(OciError::bad_request(ErrorCode::PaginationNumberInvalid, message));
    }
    // More digits than fit are more than the maximum.
    Ok(n.parse().unwrap_or(max).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2023-2253: `_catalog?n=2147483647` allocated that many.
    #[test]
    fn a_huge_page_is_cut_and_a_strange_one_refused() {
        let size = |text| page_size(&Query::parse(text).unwrap(), 1000);
        for (text, wanted) in [("", 1000), ("n=5", 5), ("n=0", 0), ("n=2147483648", 1000)] {
            assert_eq!(size(text).unwrap(), wanted, "{text}");
        }
        assert_eq!(size("n=100000000000000000000000").unwrap(), 1000);
        for text in ["n=", "n=-1", "n=abc", "n=1e3", "n=+1", "n=%201"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_flood_of_parameters_is_refused() {
        assert!(Query::parse(&"tag=a&".repeat(300)).is_err());
    }
}
