//! Query strings.

use crate::error::{ApiError, Field};
use std::borrow::Cow;

/// Parameters that one request may bring.
const PARAMETERS_MAX: usize = 256;

/// The parameters of a query, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    pub(crate) fn parse(text: &'q str) -> Result<Self, ApiError> {
        let parameters: Vec<_> = form_urlencoded::parse(text.as_bytes()).take(PARAMETERS_MAX + 1).collect();
        if parameters.len() > PARAMETERS_MAX {
            return Err(ApiError::bad_request(format!(
                "A request may have at most {PARAMETERS_MAX} parameters."
            )));
        }
        Ok(Query(parameters))
    }

    /// The first of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// A word out of a list, which the caller's closure knows; absent is none.
    pub(crate) fn word<T>(
        &self,
        name: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(word) = self.get(name) else { return Ok(None) };
        match known(word) {
            Some(found) => Ok(Some(found)),
            None => Err(ApiError::invalid(vec![Field::invalid("Query", name)])),
        }
    }

    /// All but those of `names`, in their order: what a link to another page repeats.
    pub(crate) fn without<'s>(
        &'s self,
        names: &'s [&str],
    ) -> impl Iterator<Item = (&'s str, &'s str)> + use<'s, 'q> {
        self.0
            .iter()
            .filter(move |(key, _)| !names.contains(&key.as_ref()))
            .map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}
