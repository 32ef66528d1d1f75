//! Matching a path against a pattern in the form of GitHub's description.

use percent_encoding::percent_decode_str;

/// The parameter whose value may have slashes: `app/web` is found as `app%2Fweb` and as it is.
const NAME_WITH_SLASHES: &str = "{package_name}";
/// Segments of a path that are looked at.
const SEGMENTS_MAX: usize = 64;

/// Values of the parameters of a pattern, by their name without braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(&'static str, String)>);

impl Params {
    /// The value; empty when the pattern has no such parameter.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// A path that could be decoded: its segments, in order.
#[derive(Clone, Debug)]
pub(crate) struct Segments(Vec<String>);

impl Segments {
    /// None: not a path of the API. Empty segments (`//`, a slash at the end) are none of it either.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix('/')?;
        if rest.is_empty() {
            return Some(Segments(Vec::new()));
        }
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            let decoded = percent_decode_str(segment).decode_utf8().ok()?;
            if decoded.is_empty() || segments.len() >= SEGMENTS_MAX {
                return None;
            }
            segments.push(decoded.into_owned());
        }
        Some(Segments(segments))
    }

    /// The parameters, if the path has the form of `pattern`, and how many segments the name with slashes took.
    pub(crate) fn matches(&self, pattern: &'static str) -> Option<(Params, usize)> {
        let pattern: Vec<&'static str> = pattern.split('/').filter(|segment| !segment.is_empty()).collect();
        let extra = self.0.len().checked_sub(pattern.len())?;
        if extra > 0 && !pattern.contains(&NAME_WITH_SLASHES) {
            return None;
        }
        let mut params = Params::default();
        let mut at = 0;
        for wanted in pattern {
            let width = if wanted == NAME_WITH_SLASHES { extra + 1 } else { 1 };
            let found = self.0.get(at..at + width)?;
            at += width;
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => params.0.push((name, found.join("/"))),
                None if found == [wanted] => {}
                None => return None,
            }
        }
        Some((params, extra))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(path: &str, pattern: &'static str) -> Option<(Vec<String>, usize)> {
        let (params, extra) = Segments::parse(path)?.matches(pattern)?;
        Some((params.0.into_iter().map(|(_, value)| value).collect(), extra))
    }

    #[test]
    fn a_name_is_found_in_both_spellings() {
        let pattern = "/orgs/{org}/packages/{package_type}/{package_name}";
        let wanted = |extra| Some((vec!["acme".into(), "container".into(), "app/web".into()], extra));
        assert_eq!(matched("/orgs/acme/packages/container/app%2Fweb", pattern), wanted(0));
        assert_eq!(matched("/orgs/acme/packages/container/app%2fweb", pattern), wanted(0));
        assert_eq!(matched("/orgs/acme/packages/container/app/web", pattern), wanted(1));
        let versions = "/orgs/{org}/packages/{package_type}/{package_name}/versions/{package_version_id}";
        let found = matched("/orgs/acme/packages/container/app/web/versions/7", versions);
        assert_eq!(found.unwrap().0, ["acme", "container", "app/web", "7"]);
    }

    #[test]
    fn other_parameters_have_no_slashes() {
        assert_eq!(matched("/repos/acme/a/b", "/repos/{owner}/{repo}"), None);
        assert_eq!(matched("/repos/acme", "/repos/{owner}/{repo}"), None);
        assert_eq!(matched("/", "/"), Some((Vec::new(), 0)));
    }

    #[test]
    fn what_is_no_path_is_none() {
        for path in ["", "user", "/user/", "//user", "/orgs/%ff", &"/a".repeat(100)] {
            assert!(Segments::parse(path).is_none(), "{path}");
        }
    }
}
