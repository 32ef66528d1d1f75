//! What the catalog remembers about itself.

use crate::sql::statement;
use crate::{CatalogError, ReadTx, WriteTx};

statement!(SETTING, "SELECT value FROM settings WHERE name = $1");
statement!(
    PUT_SETTING,
    "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
);
statement!(LOCK_SETTINGS, "SELECT name FROM settings {lock}");
statement!(PING, "SELECT 1");

impl ReadTx<'_, '_> {
    /// A remembered value.
    pub fn setting(&mut self, name: &str) -> Result<Option<String>, CatalogError> {
        self.row(&SETTING, &[name.into()], |row| row.text(0))
    }

    /// Whether the catalog answers.
    pub fn ping(&mut self) -> Result<(), CatalogError> {
        self.row(&PING, &[], |_| Ok(())).map(drop)
    }
}

impl WriteTx<'_, '_> {
    /// Remembers a value.
    pub fn put_setting(&mut self, name: &str, value: &str) -> Result<(), CatalogError> {
        self.execute(&PUT_SETTING, &[name.into(), value.into()]).map(drop)
    }

    /// Lets only one transaction at a time decide on settings: two nodes may start at once.
    pub fn lock_settings(&mut self) -> Result<(), CatalogError> {
        // A row to lock must exist; the one that comes first makes it.
        self.execute(&PUT_SETTING, &["lock".into(), "".into()])?;
        self.rows(&LOCK_SETTINGS, &[], |_| Ok(())).map(drop)
    }
}
