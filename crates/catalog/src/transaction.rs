//! Transactions as values that only the catalog makes.

use crate::CatalogError;
use crate::connection::Connection;
use crate::sql::{Row, Statement, Value};
use packhouse_access::{Brand, Granted, Operate, with_brand};
use std::ops::{ControlFlow, Deref, DerefMut};

/// A transaction that reads, on one snapshot. `'c` is its borrow of the connection, `'tx` its brand.
pub struct ReadTx<'c, 'tx> {
    pub(crate) brand: Brand<'tx>,
    connection: &'c mut Connection,
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
    with_brand(|brand| body(&mut ReadTx { brand, connection }))
}

/// As [`reading`], for one that writes.
pub(crate) fn writing<R>(
    connection: &mut Connection,
    body: &mut impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> R,
) -> R {
    with_brand(|brand| body(&mut WriteTx(ReadTx { brand, connection })))
}

impl ReadTx<'_, '_> {
    /// For who reads tables whose names are known only when it runs.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    /// Refuses while a crash might bring back a commit that was refused: for what is read to change bytes by it.
    pub(crate) fn beyond_doubt(&self) -> Result<(), CatalogError> {
        if self.connection.doubt().stands() { Err(CatalogError::InDoubt) } else { Ok(()) }
    }

    /// The first row, if there is one.
    pub(crate) fn row<T>(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        let mut found = None;
        self.connection.query(statement, values, &mut |row| {
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
        self.connection.query(statement, values, &mut |row| {
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
        self.connection.query(statement, values, each)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Changes rows; returns how many.
    pub(crate) fn execute(
        &mut self,
        statement: &'static Statement,
        values: &[Value<'_>],
    ) -> Result<u64, CatalogError> {
        self.0.connection.execute(statement, values)
    }

    /// Lets the database look at how much it holds now: after much came at once, its plans are those for little.
    pub fn analyze(&mut self, _may: &Granted<'tx, Operate>) -> Result<(), CatalogError> {
        self.0.connection.analyze()
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
