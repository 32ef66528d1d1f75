//! Reading a copy of the catalog from a file.

use super::StoreCopy;
use super::format::{Decoder, END, END_OF_TABLE, Head, Held, MAGIC, ROW, SUM_BYTES, Table};
use super::tables::BLOBS;
use crate::{CatalogError, Micros, ReadableBlob};
use flate2::read::ZlibDecoder;
use packhouse_oci::{Algorithm, Digest, Hasher};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};

const PIECE_BYTES: usize = 1 << 20;

/// A copy of the catalog whose sum was found right. Its rows are read one after another, none of them twice.
pub struct DumpReader {
    head: Head,
    rows: Decoder<BufReader<ZlibDecoder<BufReader<Take<File>>>>>,
    /// The table whose rows come now, and how many came.
    table: usize,
    read: u64,
}

impl fmt::Debug for DumpReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpReader").field("store", &self.head.store).finish_non_exhaustive()
    }
}

impl DumpReader {
    /// Opens a copy. Blocks, and reads all of it once, for the sum.
    ///
    /// # Errors
    /// [`CatalogError::NoCopy`]: it is none, or was cut or changed; [`CatalogError::Copy`]: it cannot be read.
    pub fn open(mut file: File) -> Result<Self, CatalogError> {
        let packed = check(&mut file)?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64)).map_err(CatalogError::Copy)?;
        let unpacked = ZlibDecoder::new(BufReader::with_capacity(PIECE_BYTES, file.take(packed)));
        let mut rows = Decoder(BufReader::with_capacity(PIECE_BYTES, unpacked));
        let head = rows.head()?;
        Ok(DumpReader { head, rows, table: 0, read: 0 })
    }

    /// The name of the blob store that its catalog belongs to; empty when it was never started.
    pub fn store(&self) -> &str {
        &self.head.store
    }

    /// When it was made.
    pub fn made_at(&self) -> Micros {
        Micros(self.head.made_at)
    }

    /// Rows in all tables.
    pub fn rows(&self) -> u64 {
        self.head.tables.iter().map(|table| table.rows).sum()
    }

    /// The blobs that it names, in the order of their digests, to be copied.
    pub fn blobs(self, _may: &StoreCopy) -> DumpedBlobs {
        DumpedBlobs(self)
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The next row of the table with that number, in the order of the head; none behind its last.
    pub(super) fn row_of(&mut self, table: usize) -> Result<Option<Vec<Held>>, CatalogError> {
        let Some(Table { columns, rows, .. }) = self.head.tables.get(table) else { return Ok(None) };
        if table != self.table {
            return Ok(None);
        }
        match self.rows.byte()? {
            ROW => {
                self.read += 1;
                columns.iter().map(|_| self.rows.value()).collect::<Result<_, _>>().map(Some)
            }
            END_OF_TABLE if self.read == *rows => {
                (self.table, self.read) = (self.table + 1, 0);
                let whole = self.table < self.head.tables.len() || self.rows.byte()? == END;
                if whole { Ok(None) } else { Err(CatalogError::NoCopy("it does not end where it should")) }
            }
            _ => Err(CatalogError::NoCopy("a table of it has another number of rows than it says")),
        }
    }
}

/// Bytes between the first line and the sum, which must be right.
fn check(file: &mut File) -> Result<u64, CatalogError> {
    let length = file.metadata().map_err(CatalogError::Copy)?.len();
    let other = MAGIC.len() as u64 + SUM_BYTES;
    let Some(packed) = length.checked_sub(other) else {
        return Err(CatalogError::NoCopy("it is too short"));
    };
    file.seek(SeekFrom::Start(0)).map_err(CatalogError::Copy)?;
    let mut sum = Hasher::new(Algorithm::Sha256);
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut left = length - SUM_BYTES;
    let mut first = true;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        file.read_exact(&mut piece[..wanted]).map_err(CatalogError::Copy)?;
        if std::mem::take(&mut first) && !piece.starts_with(MAGIC) {
            return Err(CatalogError::NoCopy(
                "it does not begin as one, or another version of packhouse made it",
            ));
        }
        sum.update(&piece[..wanted]);
        left -= wanted as u64;
    }
    let mut found = [0_u8; SUM_BYTES as usize];
    file.read_exact(&mut found).map_err(CatalogError::Copy)?;
    if sum.finish().hash() != found {
        return Err(CatalogError::NoCopy("its sum is wrong: it was cut or changed"));
    }
    Ok(packed)
}

/// The blobs of a copy.
#[derive(Debug)]
pub struct DumpedBlobs(DumpReader);

impl DumpedBlobs {
    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.head.tables.first().filter(|table| table.name == BLOBS).map_or(0, |table| table.rows)
    }

    fn next_blob(&mut self) -> Result<Option<ReadableBlob>, CatalogError> {
        let strange = CatalogError::NoCopy("its blobs are not as this program writes them");
        let Some(table) = self.0.head.tables.first().filter(|table| table.name == BLOBS).cloned() else {
            return Err(strange);
        };
        let Some(row) = self.0.row_of(0)? else { return Ok(None) };
        let value = |name: &str| {
            let at = table.columns.iter().position(|column| column.name == name)?;
            row.get(at)
        };
        match (value("digest"), value("size"), value("storage_key")) {
            (Some(Held::Bytes(digest)), Some(Held::Int(size)), Some(Held::Text(key))) => {
                let digest = Digest::from_bytes(digest).ok_or(CatalogError::Corrupt("digest"))?;
                let size = u64::try_from(*size).map_err(|_| CatalogError::Corrupt("size"))?;
                Ok(Some(ReadableBlob::to_copy(digest, size, key.clone())))
            }
            _ => Err(strange),
        }
    }
}

impl Iterator for DumpedBlobs {
    type Item = Result<ReadableBlob, CatalogError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_blob().transpose()
    }
}
