//! Statements, parameters and rows in the common subset of both databases.

use crate::CatalogError;
use ::postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use packhouse_oci::Digest;
use std::error::Error;
use std::sync::OnceLock;

/// A statement with its name, which logs and tests show.
///
/// The text is PostgreSQL's with `$1` parameters in the subset that SQLite reads too. Some words stand for
/// what differs: `{lock}` at the end of a SELECT takes row locks (SQLite has one writer and needs none),
/// `{share}` takes shared ones, `{skip}` takes locks and passes over the rows that others have locked, `{empty}` is an
/// empty byte string, `{now}` is the database's own clock in microseconds, `{clock $2}` likewise (on SQLite the
/// parameter: its one process has the clock), `{list $2}` is the rows of a [`Value::List`], `{numbers $2}` those of a
/// [`Value::Numbers`], and `{counted $2}` has the columns `id`, `name` and `count` of a JSON text of triples.
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    text: &'static str,
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

/// Declares a [`Statement`].
macro_rules! statement {
    ($name:ident, $text:expr) => {
        pub(crate) static $name: $crate::sql::Statement =
            $crate::sql::Statement::new(stringify!($name), $text);
    };
}
pub(crate) use statement;

impl Statement {
    pub(crate) const fn new(name: &'static str, text: &'static str) -> Self {
        Statement { name, text, sqlite: OnceLock::new(), postgres: OnceLock::new() }
    }

    /// `$n` becomes `?n`: SQLite would number `$2 … $1` by first appearance.
    pub(crate) fn sqlite(&self) -> &str {
        self.sqlite.get_or_init(|| {
            let text = self.text.replace("{lock}", "").replace("{share}", "").replace("{skip}", "");
            let text = text.replace("{empty}", "x''");
            let text =
                expand(&text, "list", |n| format!("(SELECT unhex(value) AS item FROM json_each(${n}))"));
            let text = expand(&text, "numbers", |n| format!("(SELECT value AS item FROM json_each(${n}))"));
            let text = expand(&text, "clock", |n| format!("${n}"));
            let text = text.replace("{now}", "CAST(unixepoch('subsec') * 1000000 AS BIGINT)");
            // The last, since JSON's paths have a `$` of their own.
            let text = text.replace('$', "?");
            let text = text.replace("{counted ?", "{counted $");
            expand(&text, "counted", |n| {
                format!(
                    "(SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS name, \
                     json_extract(value, '$[2]') AS count FROM json_each(?{n}))"
                )
            })
        })
    }

    pub(crate) fn postgres(&self) -> &str {
        self.postgres.get_or_init(|| {
            let text = self.text.replace("{lock}", "FOR UPDATE").replace("{share}", "FOR SHARE");
            let text =
                text.replace("{skip}", "FOR UPDATE SKIP LOCKED").replace("{empty}", "CAST('' AS BYTEA)");
            let text =
                text.replace("{now}", "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)");
            let text = expand(&text, "list", |n| format!("(SELECT unnest(${n}::bytea[]) AS item)"));
            let text = expand(&text, "numbers", |n| format!("(SELECT unnest(${n}::bigint[]) AS item)"));
            // The parameter is named, since PostgreSQL wants to know the type of each.
            let text = expand(&text, "clock", |n| {
                format!(
                    "(CASE WHEN ${n}::bigint IS NULL THEN NULL \
                     ELSE (extract(epoch FROM clock_timestamp()) * 1000000)::bigint END)"
                )
            });
            expand(&text, "counted", |n| {
                format!(
                    "(SELECT (item->>0)::bigint AS id, item->>1 AS name, (item->>2)::bigint AS count \
                     FROM json_array_elements(${n}::text::json) AS item)"
                )
            })
        })
    }
}

fn expand(text: &str, word: &str, rows: impl Fn(&str) -> String) -> String {
    let opening = format!("{{{word} $");
    let mut parts = text.split(opening.as_str());
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('}').unwrap_or((part, ""));
        out.push_str(&rows(number));
        out.push_str(rest);
    }
    out
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Many byte strings in one parameter; see `{list $n}`.
    List(&'a [Vec<u8>]),
    /// Many numbers in one parameter; see `{numbers $n}`.
    Numbers(&'a [i64]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}
impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Value::Null, Value::Int)
    }
}
impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}
impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Value::Null, Value::Text)
    }
}
impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Bytes(value)
    }
}
impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}
impl<'a> From<Option<&'a Vec<u8>>> for Value<'a> {
    fn from(value: Option<&'a Vec<u8>>) -> Self {
        value.map_or(Value::Null, |bytes| Value::Bytes(bytes))
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
        Ok(match self {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::List(items) => ToSqlOutput::Owned(Owned::Text(hex_json(items))),
            Value::Numbers(items) => ToSqlOutput::Owned(Owned::Text(format!("{items:?}"))),
        })
    }
}

/// `["0a1b","…"]`: hex needs no escaping, so this is JSON.
fn hex_json(items: &[Vec<u8>]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 + items.iter().map(|item| item.len() * 2 + 3).sum::<usize>());
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        out.push_str(if at == 0 { "\"" } else { ",\"" });
        for byte in item {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        out.push('"');
    }
    out.push(']');
    out
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Value::Int(number) => number.to_sql(ty, out),
            Value::Text(text) => text.to_sql(ty, out),
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
            Value::List(items) => items.to_sql(ty, out),
            Value::Numbers(items) => items.to_sql(ty, out),
        }
    }
    /// The statements' texts are ours and tests run each on both databases, so types are not checked again.
    fn accepts(_: &Type) -> bool {
        true
    }
    to_sql_checked!();
}

/// A row of either database. A column of another type than asked is a [`CatalogError::Corrupt`].
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r ::postgres::Row),
}

impl Row<'_> {
    pub(crate) fn int(&self, at: usize) -> Result<i64, CatalogError> {
        self.int_or_null(at)?.ok_or(CatalogError::Corrupt("number"))
    }

    pub(crate) fn int_or_null(&self, at: usize) -> Result<Option<i64>, CatalogError> {
        match self {
            Row::Sqlite(row) => row.get(at).map_err(|_| CatalogError::Corrupt("number")),
            Row::Postgres(row) => row.try_get(at).map_err(|_| CatalogError::Corrupt("number")),
        }
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, CatalogError> {
        self.text_or_null(at)?.ok_or(CatalogError::Corrupt("text"))
    }

    pub(crate) fn text_or_null(&self, at: usize) -> Result<Option<String>, CatalogError> {
        match self {
            Row::Sqlite(row) => row.get(at).map_err(|_| CatalogError::Corrupt("text")),
            Row::Postgres(row) => row.try_get(at).map_err(|_| CatalogError::Corrupt("text")),
        }
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, CatalogError> {
        self.bytes_or_null(at)?.ok_or(CatalogError::Corrupt("byte string"))
    }

    pub(crate) fn bytes_or_null(&self, at: usize) -> Result<Option<Vec<u8>>, CatalogError> {
        match self {
            Row::Sqlite(row) => row.get(at).map_err(|_| CatalogError::Corrupt("byte string")),
            Row::Postgres(row) => row.try_get(at).map_err(|_| CatalogError::Corrupt("byte string")),
        }
    }

    pub(crate) fn digest(&self, at: usize) -> Result<Digest, CatalogError> {
        Digest::from_bytes(&self.bytes(at)?).ok_or(CatalogError::Corrupt("digest"))
    }

    pub(crate) fn size(&self, at: usize) -> Result<u64, CatalogError> {
        u64::try_from(self.int(at)?).map_err(|_| CatalogError::Corrupt("size"))
    }

    pub(crate) fn size_or_null(&self, at: usize) -> Result<Option<u64>, CatalogError> {
        let size = self.int_or_null(at)?;
        size.map(|size| u64::try_from(size).map_err(|_| CatalogError::Corrupt("size"))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_its_own_spelling() {
        let statement =
            Statement::new("x", "SELECT a FROM t WHERE b = $2 AND c IN {list $1} LIMIT $3 {lock}");
        assert_eq!(
            statement.sqlite(),
            "SELECT a FROM t WHERE b = ?2 AND c IN (SELECT unhex(value) AS item FROM json_each(?1)) LIMIT ?3 "
        );
        assert_eq!(
            statement.postgres(),
            "SELECT a FROM t WHERE b = $2 AND c IN (SELECT unnest($1::bytea[]) AS item) LIMIT $3 FOR UPDATE"
        );
    }

    #[test]
    fn a_list_is_hex_in_json() {
        assert_eq!(hex_json(&[]), "[]");
        assert_eq!(hex_json(&[vec![0x0a, 0xff], vec![]]), r#"["0aff",""]"#);
    }
}
