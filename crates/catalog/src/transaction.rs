//! Transactions as values that only the catalog makes.

use crate::CatalogError;
use crate::connection::Connection;
use crate::schema::Dialect;
use crate::sql::{Row, Statement, Value};
use crate::warm::{Known, Thing};
use packhouse_access::{Brand, Granted, Operate, with_brand};
use packhouse_oci::Digest;
use std::ops::{ControlFlow, Deref, DerefMut};
use std::sync::Arc;

/// A transaction that reads, on one snapshot. `'c` is its borrow of the connection, `'tx` its brand.
pub struct ReadTx<'c, 'tx> {
    pub(crate) brand: Brand<'tx>,
    source: Source<'c>,
}

/// Where a transaction reads.
enum Source<'c> {
    Database(&'c mut Connection),
    /// What is remembered, or was brought by one statement; what is not there ends the transaction with
    /// [`CatalogError::Cold`], and it begins again on the database.
    Known(Known<'c>),
}

/// A transaction that writes. Everything that a [`ReadTx`] reads, it reads too.
pub struct WriteTx<'c, 'tx>(ReadTx<'c, 'tx>);

impl<'c, 'tx> Deref for WriteTx<'c, 'tx> {
    type Target = ReadTx<'c, 'tx>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for WriteTx<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Runs `body` in a transaction that is already open on `connection`.
pub(crate) fn reading<R>(
    connection: &mut Connection,
    body: &mut impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> R,
) -> R {
    connection.remember_beside(false);
    with_brand(|brand| body(&mut ReadTx { brand, source: Source::Database(connection) }))
}

/// As [`reading`], with what is remembered of the same moment in place of its rows ([`crate::warm::Learning`]).
pub(crate) fn reading_beside<R>(
    connection: &mut Connection,
    body: &mut impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> R,
) -> R {
    connection.remember_beside(true);
    let answer = with_brand(|brand| body(&mut ReadTx { brand, source: Source::Database(&mut *connection) }));
    if connection.remembered_stands() { answer } else { reading(connection, body) }
}

/// As [`reading`], on what is known. `None`: that is not enough, or did not stand to the end, whatever the closure made
/// of it.
pub(crate) fn knowing<R>(
    known: Known<'_>,
    body: &mut impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> R,
) -> Option<R> {
    with_brand(|brand| {
        let mut tx = ReadTx { brand, source: Source::Known(known) };
        let answer = body(&mut tx);
        let Source::Known(known) = &tx.source else { return None };
        known.stands().then_some(answer)
    })
}

/// As [`reading`], for one that writes.
pub(crate) fn writing<R>(
    connection: &mut Connection,
    body: &mut impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> R,
) -> R {
    with_brand(|brand| body(&mut WriteTx(ReadTx { brand, source: Source::Database(connection) })))
}

impl ReadTx<'_, '_> {
    /// The database, for who reads tables whose names are known only when it runs.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, CatalogError> {
        match &mut self.source {
            Source::Database(connection) => Ok(connection),
            Source::Known(known) => Err(known.lacks()),
        }
    }

    /// What is remembered under a key; else what `read` finds in the database, which is remembered then, unless the
    /// transaction writes: that may be rolled back.
    pub(crate) fn recall<T: Thing>(
        &mut self,
        asked: T::Asked<'_>,
        read: impl FnOnce(&mut Self) -> Result<Option<T>, CatalogError>,
    ) -> Result<Option<Arc<T>>, CatalogError> {
        if let Source::Known(known) = &mut self.source {
            return known.recall(asked);
        }
        if let Some(found) = self.connection()?.remembered(asked) {
            return Ok(Some(found));
        }
        let Some(found) = read(self)?.map(Arc::new) else { return Ok(None) };
        if let Some(learning) = self.connection()?.learning() {
            learning.learn(asked, &found);
        }
        Ok(Some(found))
    }

    /// Whether nobody but this process writes, so that what it remembers is worth asking for.
    pub(crate) fn is_alone(&mut self) -> bool {
        match &self.source {
            Source::Database(connection) => connection.dialect() == Dialect::Sqlite,
            Source::Known(known) => !known.is_fetched(),
        }
    }

    /// Whether this transaction reads rows that came without the bytes of manifests; those are remembered apart.
    pub(crate) fn payload_apart(&mut self, digest: &Digest) -> Result<Option<bytes::Bytes>, CatalogError> {
        match &mut self.source {
            Source::Known(known) if known.is_fetched() => known.payload(digest).map(Some),
            Source::Known(_) | Source::Database(_) => Ok(None),
        }
    }

    /// Refuses while a crash might bring back a commit that was refused: for what is read to change bytes by it.
    pub(crate) fn beyond_doubt(&mut self) -> Result<(), CatalogError> {
        if self.connection()?.doubt().stands() { Err(CatalogError::InDoubt) } else { Ok(()) }
    }

    /// The first row, if there is one.
    pub(crate) fn row<T>(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        let mut found = None;
        self.connection()?.query(statement, values, &mut |row| {
            found = Some(read(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// All rows. The statement has a LIMIT, or its rows are few by the schema.
    pub(crate) fn rows<T>(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut found = Vec::new();
        self.connection()?.query(statement, values, &mut |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Rows until `each` breaks.
    pub(crate) fn each(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, CatalogError>,
    ) -> Result<(), CatalogError> {
        self.connection()?.query(statement, values, each)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Changes rows; returns how many.
    pub(crate) fn execute(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
    ) -> Result<u64, CatalogError> {
        self.0.connection()?.execute(statement, values)
    }

    /// Lets the database look at how much it holds now: after much came at once, its plans are those for little.
    pub fn analyze(&mut self, _may: &Granted<'tx, Operate>) -> Result<(), CatalogError> {
        self.0.connection()?.analyze()
    }

    /// The identifier that an `INSERT … RETURNING id` gives; none when nothing was inserted.
    pub(crate) fn inserted(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
    ) -> Result<Option<i64>, CatalogError> {
        self.0.row(statement, values, |row| row.int(0))
    }
}
