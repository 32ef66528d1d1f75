//! Types that are a string on every wire: serde goes through `Display` and `FromStr`, so that nothing unchecked
//! comes in by way of JSON.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, Visitor};

/// Makes `$type` (with `Display` and `FromStr`) serialise as its text; `$expected` completes "expected …".
macro_rules! serde_as_text {
    ($type:ty, $expected:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::text::TextVisitor::new($expected))
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Reads a string and parses it; the parser's own error becomes serde's.
pub(crate) struct TextVisitor<T> {
    expected: &'static str,
    parsed: PhantomData<T>,
}

impl<T> TextVisitor<T> {
    pub(crate) fn new(expected: &'static str) -> Self {
        Self { expected, parsed: PhantomData }
    }
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
