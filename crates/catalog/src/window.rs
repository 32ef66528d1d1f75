//! A piece of a list.

use crate::sql::Value;

/// Rows of a list behind a key, some of them skipped: `next` links carry the key, and a bare number of a page
/// skips. Who asks bounds both.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Behind this key; empty: from the beginning.
    pub after: String,
    /// Rows passed over behind it.
    pub skip: u32,
    /// Rows at the most.
    pub limit: u32,
}

impl Window {
    /// From the beginning.
    pub fn first(limit: u32) -> Window {
        Window { after: String::new(), skip: 0, limit }
    }

    /// `after`, how many rows, how many to skip.
    pub(crate) fn values(&self) -> [Value<'_>; 3] {
        [self.after.as_str().into(), Value::Int(self.limit.into()), Value::Int(self.skip.into())]
    }

    /// How many rows a part of a union must give, so that the whole can skip and still be full.
    pub(crate) fn reach(&self) -> Value<'static> {
        Value::Int(i64::from(self.skip).saturating_add(i64::from(self.limit)))
    }
}
