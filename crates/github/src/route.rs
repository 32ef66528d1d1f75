//! The one list of routes. Dispatch matches it, metrics name by it, the OpenAPI document and the tests' walks are made
//! from it, so that a new route cannot escape.

use crate::call::Call;
use crate::error::ApiError;
use crate::meta;
use crate::path::{Params, Segments};
use crate::respond::Answer;
use http::Method;
use std::future::Future;
use std::pin::Pin;

/// What a handler gives.
pub(crate) type Given<'c> = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send + 'c>>;

/// A method on a form of path, and what answers it.
pub struct Route {
    /// The method; HEAD is answered where GET is.
    pub method: Method,
    /// The form of path, as GitHub's description writes it.
    pub pattern: &'static str,
    /// Its name in metrics and logs: the description's `operationId`, or one of ours.
    pub name: &'static str,
    /// Scopes of classic tokens that do, for `X-Accepted-OAuth-Scopes`.
    pub scopes: &'static str,
    pub(crate) handler: for<'c> fn(Call<'c>) -> Given<'c>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

/// A row of [`ROUTES`].
macro_rules! route {
    ($method:ident $pattern:literal, $name:literal, $scopes:literal, $handler:path) => {
        Route {
            method: Method::$method,
            pattern: $pattern,
            name: $name,
            scopes: $scopes,
            handler: |call| Box::pin($handler(call)),
        }
    };
}

/// All there are.
pub static ROUTES: &[Route] = &[
    // Meta.
    route!(GET "/", "meta/root", "", meta::root),
    route!(GET "/meta", "meta/get", "", meta::meta),
    route!(GET "/versions", "meta/get-all-versions", "", meta::versions),
];

/// What a path and method are.
pub(crate) enum Found {
    /// A route with its parameters.
    Route(&'static Route, Params),
    /// The path is one, but takes these methods.
    Method(String),
    /// No such path.
    Nothing,
}

/// Finds the route. Where a name with slashes lets several forms match, the one that leaves it shortest is meant.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let Some(segments) = Segments::parse(path) else { return Found::Nothing };
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut forms: Vec<(usize, &'static Route, Params)> = Vec::new();
    for route in ROUTES {
        if let Some((params, extra)) = segments.matches(route.pattern) {
            forms.push((extra, route, params));
        }
    }
    let Some(shortest) = forms.iter().map(|(extra, _, _)| *extra).min() else { return Found::Nothing };
    forms.retain(|(extra, _, _)| *extra == shortest);
    // A literal segment is more than a parameter: `/user/packages` before `/user/{…}`.
    let literal = |route: &Route| route.pattern.matches('{').count();
    let fewest = forms.iter().map(|(_, route, _)| literal(route)).min().unwrap_or(0);
    forms.retain(|(_, route, _)| literal(route) == fewest);
    let allowed: Vec<&str> = forms.iter().map(|(_, route, _)| route.method.as_str()).collect();
    let allowed = allowed.join(", ");
    match forms.into_iter().find(|(_, route, _)| route.method == *method) {
        Some((_, route, params)) => Found::Route(route, params),
        None => Found::Method(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_routes_are_the_same() {
        let forms: BTreeSet<String> = ROUTES.iter().map(|route| format!("{route:?}")).collect();
        assert_eq!(forms.len(), ROUTES.len());
    }

    #[test]
    fn each_route_is_found_by_a_path_of_its_form() {
        for route in ROUTES {
            let path: String = route.pattern.replace(['{', '}'], "");
            match find(&route.method, &path) {
                Found::Route(found, _) => assert_eq!(format!("{found:?}"), format!("{route:?}")),
                Found::Method(_) | Found::Nothing => panic!("{route:?} is not found by {path}"),
            }
        }
    }
}
