//! Paging as GitHub's API has it: `page` and `per_page` in, a `Link` header out.
//!
//! Links carry the key of the last item as well (`after`), so that following them costs the same on every page. A
//! `page` without a key walks an index, and only to GitHub's own end of 10,000 items.

use crate::error::ApiError;
use crate::query::Query;

/// Items on a page when nothing is said.
const PER_PAGE: u32 = 30;
/// Items on a page at the most; more is cut without an error, as GitHub does.
const PER_PAGE_MAX: u32 = 100;
/// Items that can be reached by number.
const REACH: u64 = 10_000;

const NUMBERS: &[&str] = &["page", "per_page", "after"];

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageAsked {
    /// Its number, from 1.
    pub(crate) page: u32,
    /// Items on it.
    pub(crate) per_page: u32,
    /// The key of the last item of the page before, from a link.
    pub(crate) after: Option<String>,
}

impl PageAsked {
    /// Reads it. A number that is none is the default, as GitHub has it; beyond the reach is an error.
    pub(crate) fn parse(query: &Query<'_>) -> Result<Self, ApiError> {
        let number = |name| query.get(name).and_then(|text| text.parse::<u32>().ok()).filter(|n| *n > 0);
        let per_page = number("per_page").unwrap_or(PER_PAGE).min(PER_PAGE_MAX);
        let page = number("page").unwrap_or(1);
        let after = query.get("after").map(str::to_owned).filter(|key| !key.is_empty());
        if after.is_none() && u64::from(page) * u64::from(per_page) > REACH + u64::from(per_page) - 1 {
            return Err(ApiError::bad_request(format!(
                "Only the first {REACH} items can be reached by number; follow the links of the pages instead."
            )));
        }
        Ok(PageAsked { page, per_page, after })
    }

    /// Items to leave out before the first one; none when there is a key.
    pub(crate) fn offset(&self) -> u32 {
        if self.after.is_some() { 0 } else { (self.page - 1).saturating_mul(self.per_page) }
    }
}

/// The value of `Link`; none when all fits on one page.
///
/// `path` is the absolute URL without its query; `next` the key of the last item of this page when there are more;
/// `total` the number of items where it is known.
pub(crate) fn link(
    path: &str,
    query: &Query<'_>,
    asked: &PageAsked,
    next: Option<&str>,
    total: Option<u64>,
) -> Option<String> {
    let url = |page: u64, after: Option<&str>| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(query.without(NUMBERS));
        text.append_pair("per_page", &asked.per_page.to_string());
        text.append_pair("page", &page.to_string());
        if let Some(after) = after {
            text.append_pair("after", after);
        }
        format!("<{path}?{}>", text.finish())
    };
    let page = u64::from(asked.page);
    let mut links = Vec::new();
    if page > 1 {
        links.push(format!("{}; rel=\"prev\"", url(page - 1, None)));
    }
    if next.is_some() {
        links.push(format!("{}; rel=\"next\"", url(page + 1, next)));
        let last = total.map(|total| total.min(REACH).div_ceil(u64::from(asked.per_page)));
        if let Some(last) = last.filter(|last| *last > page) {
            links.push(format!("{}; rel=\"last\"", url(last, None)));
        }
    }
    if page > 1 {
        links.push(format!("{}; rel=\"first\"", url(1, None)));
    }
    (!links.is_empty()).then(|| links.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<PageAsked, ApiError> {
        PageAsked::parse(&Query::parse(text).unwrap())
    }

    #[test]
    fn strange_numbers_are_the_defaults_and_large_pages_are_cut() {
        for (text, page, per_page) in [
            ("", 1, 30),
            ("page=2&per_page=5", 2, 5),
            ("per_page=1000", 1, 100),
            ("page=0&per_page=-1", 1, 30),
            ("page=abc", 1, 30),
        ] {
            let found = asked(text).unwrap();
            assert_eq!((found.page, found.per_page), (page, per_page), "{text}");
        }
    }

    #[test]
    fn numbers_reach_ten_thousand_items_and_keys_any() {
        assert_eq!(asked("page=100&per_page=100").unwrap().offset(), 9_900);
        assert!(asked("page=101&per_page=100").is_err());
        assert!(asked("page=4294967295").is_err());
        assert_eq!(asked("page=5000&per_page=100&after=7").unwrap().offset(), 0);
    }

    #[test]
    fn links_repeat_the_query_and_carry_the_key() {
        let query = Query::parse("package_type=container&page=2&per_page=50").unwrap();
        let asked = PageAsked::parse(&query).unwrap();
        let found = link("https://h/api/v3/user/packages", &query, &asked, Some("k/1"), Some(160)).unwrap();
        let base = "<https://h/api/v3/user/packages?package_type=container&per_page=50";
        assert_eq!(
            found,
            format!(
                "{base}&page=1>; rel=\"prev\", {base}&page=3&after=k%2F1>; rel=\"next\", \
                 {base}&page=4>; rel=\"last\", {base}&page=1>; rel=\"first\""
            )
        );
        let first = PageAsked { page: 1, ..asked };
        assert_eq!(link("https://h/x", &query, &first, None, Some(3)), None);
    }
}
