//! How a copy of the catalog is written: the same for both databases, streamed, with a sum at its end.
//!
//! A line that says what it is; then, compressed (zlib): the schema's migrations, the store's name, the time, and the
//! tables with their columns, rows and numbers; then the rows of each table in that order. At last the SHA-256 of all
//! before it, not compressed: a file that was cut or changed is known before anything of it is believed.

use crate::CatalogError;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use packhouse_oci::{Algorithm, Digest, Hasher};
use std::io::{self, BufWriter, Read, Write};

pub(super) const MAGIC: &[u8] = b"packhouse catalog 1\n";
/// Bytes of the sum.
pub(super) const SUM_BYTES: u64 = 32;
/// The longest value that is believed: manifests have 64 MiB at the most.
const VALUE_BYTES_MAX: u64 = 256 << 20;
/// The longest name.
const NAME_BYTES_MAX: u64 = 1 << 10;
/// Tables, columns of one, migrations.
const NAMES_MAX: u64 = 10_000;
const BUFFER_BYTES: usize = 256 << 10;

pub(super) const ROW: u8 = 1;
pub(super) const END_OF_TABLE: u8 = 0;
pub(super) const END: u8 = 0x7f;

/// What a column holds, on either database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Int,
    Text,
    Bytes,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

/// A table of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// By name.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: u64,
    /// The last identifier that was given out; none where the table gives none out.
    pub(crate) last_id: Option<i64>,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What stands before the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) migrations: Vec<(i64, Vec<u8>)>,
    pub(crate) store: String,
    pub(crate) made_at: i64,
    pub(crate) tables: Vec<Table>,
}

/// Sums what goes through.
struct Summed<W> {
    out: W,
    sum: Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a copy, or only finds out what is in it.
pub(super) struct Encoder<'o> {
    out: Option<BufWriter<ZlibEncoder<Summed<&'o mut dyn Write>>>>,
    /// Of the rows: the same for the same rows, whenever they were read.
    content: Hasher,
    row: Vec<u8>,
}

impl<'o> Encoder<'o> {
    pub(super) fn begin(out: Option<&'o mut dyn Write>, head: &Head) -> Result<Self, CatalogError> {
        let out = match out {
            Some(out) => {
                let mut out = Summed { out, sum: Hasher::new(Algorithm::Sha256) };
                out.write_all(MAGIC).map_err(CatalogError::Copy)?;
                let packed = ZlibEncoder::new(out, Compression::fast());
                Some(BufWriter::with_capacity(BUFFER_BYTES, packed))
            }
            None => None,
        };
        let mut encoder = Encoder { out, content: Hasher::new(Algorithm::Sha256), row: Vec::new() };
        let mut text = Vec::new();
        put_head(&mut text, head);
        encoder.write(&text)?;
        Ok(encoder)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CatalogError> {
        self.out.as_mut().map_or(Ok(()), |out| out.write_all(bytes)).map_err(CatalogError::Copy)
    }

    pub(super) fn row(
        &mut self,
        values: impl Iterator<Item = Result<Held, CatalogError>>,
    ) -> Result<(), CatalogError> {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        row.push(ROW);
        for value in values {
            put_value(&mut row, &value?);
        }
        self.content.update(&row);
        let written = self.write(&row);
        self.row = row;
        written
    }

    pub(super) fn end_of_table(&mut self) -> Result<(), CatalogError> {
        self.content.update(&[END_OF_TABLE]);
        self.write(&[END_OF_TABLE])
    }

    /// Ends the copy; the digest of its rows.
    pub(super) fn end(mut self) -> Result<Digest, CatalogError> {
        self.write(&[END])?;
        if let Some(out) = self.out {
            let ended = || {
                let packed = out.into_inner().map_err(io::IntoInnerError::into_error)?;
                let Summed { out, sum } = packed.finish()?;
                out.write_all(sum.finish().hash())?;
                out.flush()
            };
            ended().map_err(CatalogError::Copy)?;
        }
        Ok(self.content.finish())
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Small ones of either sign are short.
fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Held) {
    match value {
        Held::Null => out.push(0),
        Held::Int(number) => {
            out.push(1);
            put_signed(out, *number);
        }
        Held::Text(text) => {
            out.push(2);
            put_bytes(out, text.as_bytes());
        }
        Held::Bytes(bytes) => {
            out.push(3);
            put_bytes(out, bytes);
        }
    }
}

fn put_head(out: &mut Vec<u8>, head: &Head) {
    put_number(out, head.migrations.len() as u64);
    for (number, sum) in &head.migrations {
        put_signed(out, *number);
        put_bytes(out, sum);
    }
    put_bytes(out, head.store.as_bytes());
    put_signed(out, head.made_at);
    put_number(out, head.tables.len() as u64);
    for table in &head.tables {
        put_bytes(out, table.name.as_bytes());
        put_number(out, table.columns.len() as u64);
        for column in &table.columns {
            put_bytes(out, column.name.as_bytes());
            out.push(match column.kind {
                ColumnKind::Int => 1,
                ColumnKind::Text => 2,
                ColumnKind::Bytes => 3,
            });
        }
        put_number(out, table.rows);
        put_signed(out, table.last_id.unwrap_or(-1));
    }
}

/// Reads what an [`Encoder`] wrote. Whatever it meets, it takes no more memory than the longest value there may be.
pub(super) struct Decoder<R>(pub(super) R);

const STRANGE: CatalogError = CatalogError::NoCopy("it holds what this program does not write");

impl<R: Read> Decoder<R> {
    pub(super) fn byte(&mut self) -> Result<u8, CatalogError> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).map_err(CatalogError::Copy)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> Result<u64, CatalogError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(STRANGE)
    }

    fn signed(&mut self) -> Result<i64, CatalogError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self, max: u64) -> Result<Vec<u8>, CatalogError> {
        let length = self.number()?;
        if length > max {
            return Err(STRANGE);
        }
        let mut bytes = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut bytes).map_err(CatalogError::Copy)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(STRANGE) }
    }

    fn text(&mut self, max: u64) -> Result<String, CatalogError> {
        String::from_utf8(self.bytes(max)?).map_err(|_| STRANGE)
    }

    fn count(&mut self) -> Result<u64, CatalogError> {
        let count = self.number()?;
        if count > NAMES_MAX { Err(STRANGE) } else { Ok(count) }
    }

    pub(super) fn value(&mut self) -> Result<Held, CatalogError> {
        match self.byte()? {
            0 => Ok(Held::Null),
            1 => Ok(Held::Int(self.signed()?)),
            2 => Ok(Held::Text(self.text(VALUE_BYTES_MAX)?)),
            3 => Ok(Held::Bytes(self.bytes(VALUE_BYTES_MAX)?)),
            _ => Err(STRANGE),
        }
    }

    pub(super) fn head(&mut self) -> Result<Head, CatalogError> {
        let mut migrations = Vec::new();
        for _ in 0..self.count()? {
            migrations.push((self.signed()?, self.bytes(NAME_BYTES_MAX)?));
        }
        let store = self.text(NAME_BYTES_MAX)?;
        let made_at = self.signed()?;
        let mut tables = Vec::new();
        for _ in 0..self.count()? {
            let name = self.text(NAME_BYTES_MAX)?;
            let mut columns = Vec::new();
            for _ in 0..self.count()? {
                let name = self.text(NAME_BYTES_MAX)?;
                let kind = match self.byte()? {
                    1 => ColumnKind::Int,
                    2 => ColumnKind::Text,
                    3 => ColumnKind::Bytes,
                    _ => return Err(STRANGE),
                };
                columns.push(Column { name, kind });
            }
            let rows = self.number()?;
            let last_id = Some(self.signed()?).filter(|last| *last >= 0);
            tables.push(Table { name, columns, rows, last_id });
        }
        Ok(Head { migrations, store, made_at, tables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_values_come_back() {
        let mut out = Vec::new();
        let values = [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN].map(Held::Int);
        let others =
            [Held::Null, Held::Text("ä".into()), Held::Bytes(vec![0, 255]), Held::Text(String::new())];
        for value in values.iter().chain(&others) {
            put_value(&mut out, value);
        }
        let mut decoder = Decoder(out.as_slice());
        for value in values.iter().chain(&others) {
            assert_eq!(decoder.value().unwrap(), *value);
        }
        assert!(matches!(decoder.value(), Err(CatalogError::Copy(_))), "nothing is behind the end");
    }

    #[test]
    fn a_length_that_no_value_has_is_refused_before_it_is_reserved() {
        let mut out = vec![3];
        put_number(&mut out, u64::MAX);
        assert!(matches!(Decoder(out.as_slice()).value(), Err(CatalogError::NoCopy(_))));
        let mut out = vec![3];
        put_number(&mut out, VALUE_BYTES_MAX);
        assert!(matches!(Decoder(out.as_slice()).value(), Err(CatalogError::NoCopy(_))));
        assert!(matches!(Decoder([0xff; 20].as_slice()).number(), Err(CatalogError::NoCopy(_))));
    }
}
