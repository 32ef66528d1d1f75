//! How often manifests were fetched, and when last: sums that a worker brings.

use crate::sql::statement;
use crate::{CatalogError, Micros, WriteTx};
use packhouse_access::{Collect, Granted, PackageId, VersionId};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How often a manifest was fetched, under a tag or by its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Download {
    /// In which package.
    pub package: PackageId,
    /// Which version.
    pub version: VersionId,
    /// By which tag; none: by its digest.
    pub tag: Option<String>,
    /// How often.
    pub count: u64,
}

// Packages first, as everyone who changes them, so that nobody waits in a circle.
statement!(
    LOCK_COUNTED,
    "SELECT p.id FROM packages p WHERE p.id IN (SELECT id FROM {counted $1} AS counted) ORDER BY p.id {lock}"
);
statement!(
    COUNT_ON_PACKAGES,
    "UPDATE packages SET downloads = packages.downloads + counted.count FROM {counted $1} AS counted
     WHERE packages.id = counted.id"
);
statement!(
    COUNT_ON_VERSIONS,
    "UPDATE versions SET downloads = versions.downloads + counted.count,
       last_pulled_at = CASE WHEN last_pulled_at > $2 THEN last_pulled_at ELSE $2 END FROM {counted $1} AS counted
     WHERE versions.id = counted.id"
);
statement!(
    COUNT_ON_TAGS,
    "INSERT INTO tag_downloads (package_id, name, downloads, last_pulled_at)
     SELECT p.id, counted.name, counted.count, CAST($2 AS BIGINT) FROM {counted $1} AS counted CROSS JOIN packages p
     WHERE p.id = counted.id
     ON CONFLICT (package_id, name) DO UPDATE SET downloads = tag_downloads.downloads + excluded.downloads,
       last_pulled_at = excluded.last_pulled_at"
);

impl<'tx> WriteTx<'_, 'tx> {
    /// Adds to what was counted before, and says that it was pulled now: four statements, however many there are. The
    /// caller bounds them.
    pub fn count_downloads(
        &mut self,
        _may: &Granted<'tx, Collect>,
        downloads: &[Download],
        now: Micros,
    ) -> Result<(), CatalogError> {
        let (mut packages, mut versions, mut tags) =
            (BTreeMap::<i64, u64>::new(), BTreeMap::<i64, u64>::new(), BTreeMap::<(i64, &str), u64>::new());
        for Download { package, version, tag, count } in downloads {
            *packages.entry(package.0).or_default() += count;
            *versions.entry(version.0).or_default() += count;
            if let Some(tag) = tag {
                *tags.entry((package.0, tag.as_str())).or_default() += count;
            }
        }
        let packages = triples(packages.iter().map(|(id, count)| (*id, None, *count)));
        let versions = triples(versions.iter().map(|(id, count)| (*id, None, *count)));
        // One writes at a time on SQLite, where that would lock nothing.
        if !self.is_alone() {
            self.rows(&LOCK_COUNTED, &[packages.as_str().into()], |_| Ok(()))?;
        }
        self.execute(&COUNT_ON_PACKAGES, &[packages.as_str().into()])?;
        self.execute(&COUNT_ON_VERSIONS, &[versions.as_str().into(), now.0.into()])?;
        if !tags.is_empty() {
            let tags = triples(tags.iter().map(|((id, name), count)| (*id, Some(*name), *count)));
            self.execute(&COUNT_ON_TAGS, &[tags.as_str().into(), now.0.into()])?;
        }
        Ok(())
    }
}

/// `[[1,"v1",3],[2,null,1]]`. Tags have letters, digits, `_`, `.` and `-` only, so they need no escaping.
fn triples<'a>(rows: impl Iterator<Item = (i64, Option<&'a str>, u64)>) -> String {
    let mut out = "[".to_owned();
    for (at, (id, name, count)) in rows.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let name = name.map_or("null".to_owned(), |name| format!("\"{name}\""));
        // Writing into a String does not fail.
        let _ = write!(out, "{comma}[{id},{name},{count}]");
    }
    out.push(']');
    out
}
