//! What accounts store: counted in the transaction that changes it, and held against the account's plan there. So there is
//! no way to more room than a plan allows, whatever door it is that asks.
//!
//! An account's storage is the configs and layers that its packages *count*, each once. A link counts from an upload or a
//! mount on, and whenever a live version names the blob; it counts no more when the last live version that named it was
//! deleted, though the blob stays until that can be restored no longer.

use crate::sql::{Row, Statement, Value, statement};
use crate::{CatalogError, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Bytes, Granted, Limits, OverQuota, PackageId, Push, VersionId, Visibility,
};
use packhouse_oci::Digest;
use std::collections::BTreeMap;

/// Links of a package that are counted at once.
const LINKS_AT_ONCE: i64 = 1_000;

statement!(HOLDER_OF, "SELECT owner_id, visibility FROM packages WHERE id = $1 AND deleted_at IS NULL");
statement!(
    COUNT_BLOBS,
    "INSERT INTO account_blobs (owner_id, digest, size, links, private_links)
     SELECT CAST($1 AS BIGINT), b.digest, b.size, 1, CAST($3 AS BIGINT) FROM {list $2} AS asked CROSS JOIN blobs b
     WHERE b.digest = asked.item ORDER BY b.digest
     ON CONFLICT (owner_id, digest) DO UPDATE SET links = account_blobs.links + 1,
       private_links = account_blobs.private_links + excluded.private_links
     RETURNING size, links, private_links"
);
statement!(
    UNCOUNT_BLOBS,
    "UPDATE account_blobs SET links = links - 1, private_links = private_links - $3
     WHERE owner_id = $1 AND digest IN {list $2} RETURNING size, links, private_links"
);
statement!(
    FORGET_BLOBS,
    "DELETE FROM account_blobs WHERE owner_id = $1 AND digest IN {list $2} AND links <= 0"
);
statement!(
    CLOSE_BLOBS,
    "UPDATE account_blobs SET private_links = private_links + $3
     WHERE owner_id = $1 AND digest IN {list $2} RETURNING size, private_links"
);
// The last thing of a transaction: the row is shared by all packages of the account.
statement!(
    ADD_STORAGE,
    "INSERT INTO account_storage (owner_id, bytes, private_bytes) VALUES ($1, $2, $3)
     ON CONFLICT (owner_id) DO UPDATE SET bytes = account_storage.bytes + excluded.bytes,
       private_bytes = account_storage.private_bytes + excluded.private_bytes
     RETURNING bytes, private_bytes"
);
statement!(
    PLAN_LIMITS,
    "SELECT a.login, p.name, p.storage, p.private_storage, p.transfer, p.private_transfer FROM accounts a
     JOIN plans p ON p.name = COALESCE(a.plan, (SELECT value FROM settings WHERE name = 'default_plan'))
     WHERE a.id = $1"
);
statement!(
    PACKAGE_LIMITS,
    "SELECT a.login, n.name, n.storage, n.private_storage, n.transfer, n.private_transfer, p.owner_id, p.visibility
     FROM packages p JOIN accounts a ON a.id = p.owner_id
     JOIN plans n ON n.name = COALESCE(a.plan, (SELECT value FROM settings WHERE name = 'default_plan'))
     WHERE p.id = $1 AND p.deleted_at IS NULL"
);
statement!(STORED, "SELECT bytes, private_bytes FROM account_storage WHERE owner_id = $1");
statement!(
    COUNTED_LINKS,
    "SELECT digest FROM package_blobs WHERE package_id = $1 AND counted = 1 AND digest > $2 ORDER BY digest LIMIT $3"
);
// What versions name, and how many of them.
statement!(
    NAMES,
    "SELECT digest, COUNT(*) FROM (
       SELECT b.digest, b.version_id FROM {numbers $1} AS asked CROSS JOIN version_blobs b
         WHERE b.version_id = asked.item
       UNION SELECT k.digest, k.version_id FROM {numbers $1} AS asked CROSS JOIN version_children k
         WHERE k.version_id = asked.item) AS names GROUP BY digest"
);
statement!(
    ADD_NAMES,
    "UPDATE package_blobs SET named = named + $3 WHERE package_id = $1 AND digest IN {list $2}"
);
statement!(
    COUNT_NAMED,
    "UPDATE package_blobs SET counted = 1
     WHERE package_id = $1 AND counted = 0 AND named > 0 AND digest IN {list $2} RETURNING digest"
);
statement!(
    UNCOUNT_UNNAMED,
    "UPDATE package_blobs SET counted = 0
     WHERE package_id = $1 AND counted = 1 AND named <= 0 AND digest IN {list $2} RETURNING digest"
);
statement!(
    OWNS_BLOB,
    "SELECT 1 FROM account_blobs WHERE owner_id = $1 AND digest = $2 AND (private_links > 0 OR $3 = 0)"
);
statement!(
    OPEN_UPLOADS,
    "SELECT CAST(COALESCE(SUM(u.received), 0) AS BIGINT),
       CAST(COALESCE(SUM(CASE WHEN p.visibility = 2 THEN 0 ELSE u.received END), 0) AS BIGINT)
     FROM uploads u CROSS JOIN packages p WHERE u.owner_id = $1 AND u.digest IS NULL AND u.id <> $2
       AND p.id = u.package_id"
);
statement!(MOVE_UPLOADS, "UPDATE uploads SET owner_id = $2 WHERE package_id = $1");
statement!(FORGET_BLOBS_OF, "DELETE FROM account_blobs WHERE owner_id = $1");
statement!(FORGET_STORAGE_OF, "DELETE FROM account_storage WHERE owner_id = $1");

/// Whose storage a package counts as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) owner: AccountId,
    pub(crate) private: bool,
}

/// A change of an account's storage, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    all: i64,
    private: i64,
}

/// What an account may and does use, for an upload into one of its packages.
#[derive(Clone, Debug)]
pub struct Room {
    account: String,
    plan: String,
    limits: Limits,
    used: Bytes,
    private: bool,
}

impl Room {
    /// Whether so many bytes more have room.
    pub fn admit(&self, bytes: u64) -> Result<(), OverQuota> {
        let admitted = self.limits.store(self.used, Bytes::of(bytes, self.private));
        admitted.map_err(|over| OverQuota { account: self.account.clone(), plan: self.plan.clone(), over })
    }

    /// How many bytes have room; none without a limit.
    pub fn left(&self) -> Option<u64> {
        self.limits.room(self.used, self.private)
    }
}

/// What an account may use, by the name of its plan.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    pub(crate) account: String,
    pub(crate) plan: String,
    pub(crate) limits: Limits,
}

impl<'tx> ReadTx<'_, 'tx> {
    /// What room there is for an upload into a package, beside what other uploads have received; none without a limit, or
    /// when the account has the blob already. `upload` is the session that asks.
    pub fn room(
        &mut self,
        may: &Granted<'tx, Push>,
        upload: &str,
        known: Option<&Digest>,
    ) -> Result<Option<Room>, CatalogError> {
        // Mostly there is no limit, and that is remembered.
        if self.is_alone() {
            let allowed = self.remembered_limits(may.owner())?;
            if allowed.is_none_or(|allowed| !allowed.limits.limits_storage()) {
                return Ok(None);
            }
        }
        let found = self.row(&PACKAGE_LIMITS, &[may.package().0.into()], |row| {
            let private = row.int(7)? != Visibility::Public.number();
            Ok((allowed(row)?, Holder { owner: AccountId(row.int(6)?), private }))
        })?;
        let Some((allowed, Holder { owner, private })) =
            found.filter(|(allowed, _)| allowed.limits.limits_storage())
        else {
            return Ok(None);
        };
        if let Some(digest) = known {
            let digest = digest.to_bytes();
            let values = [owner.0.into(), (&digest).into(), Value::Int(private.into())];
            if self.row(&OWNS_BLOB, &values, |_| Ok(()))?.is_some() {
                return Ok(None);
            }
        }
        let stored = self.row(&STORED, &[owner.0.into()], |row| bytes(row, 0))?.unwrap_or_default();
        let values = [owner.0.into(), upload.into()];
        let open = self.row(&OPEN_UPLOADS, &values, |row| bytes(row, 0))?.unwrap_or_default();
        let used = Bytes {
            all: stored.all.saturating_add(open.all),
            private: stored.private.saturating_add(open.private),
        };
        let Allowed { account, plan, limits } = allowed;
        Ok(Some(Room { account, plan, limits, used, private }))
    }

    pub(crate) fn holder_of(&mut self, package: PackageId) -> Result<Option<Holder>, CatalogError> {
        self.row(&HOLDER_OF, &[package.0.into()], |row| {
            Ok(Holder { owner: AccountId(row.int(0)?), private: row.int(1)? != Visibility::Public.number() })
        })
    }

    /// As [`ReadTx::limits_of`], from memory where it is there.
    pub(crate) fn remembered_limits(&mut self, owner: AccountId) -> Result<Option<Allowed>, CatalogError> {
        let found = self.recall(owner, |tx| Ok(Some(OwnerLimits(tx.limits_of(owner)?))))?;
        Ok(found.and_then(|found| found.0.clone()))
    }

    /// The limits of an account; none before the first start that has plans.
    pub(crate) fn limits_of(&mut self, owner: AccountId) -> Result<Option<Allowed>, CatalogError> {
        self.row(&PLAN_LIMITS, &[owner.0.into()], allowed)
    }
}

/// The limits of an account, if there are plans.
#[derive(Debug)]
pub(crate) struct OwnerLimits(pub(crate) Option<Allowed>);

fn allowed(row: &Row<'_>) -> Result<Allowed, CatalogError> {
    Ok(Allowed { account: row.text(0)?, plan: row.text(1)?, limits: limits(row, 2)? })
}

/// The four limits from a column on.
pub(crate) fn limits(row: &Row<'_>, at: usize) -> Result<Limits, CatalogError> {
    Ok(Limits {
        storage: row.size_or_null(at)?,
        private_storage: row.size_or_null(at + 1)?,
        transfer: row.size_or_null(at + 2)?,
        private_transfer: row.size_or_null(at + 3)?,
    })
}

/// Bytes of all and of private packages from a column on.
pub(crate) fn bytes(row: &Row<'_>, at: usize) -> Result<Bytes, CatalogError> {
    Ok(Bytes { all: row.size(at)?, private: row.size(at + 1)? })
}

impl WriteTx<'_, '_> {
    /// Links of a package that count from now on. Refuses what the plan of its owner has no room for.
    pub(crate) fn count_links(
        &mut self,
        package: PackageId,
        digests: &[Vec<u8>],
    ) -> Result<(), CatalogError> {
        // Mostly there are none: what a push names was counted when it was uploaded.
        if digests.is_empty() {
            return Ok(());
        }
        // What a deleted package has is counted when it comes back.
        let Some(holder) = self.holder_of(package)? else { return Ok(()) };
        let change = self.count_blobs(holder, digests)?;
        self.settle_storage(holder.owner, change)
    }

    /// Links of a package that count no more.
    pub(crate) fn uncount_links(
        &mut self,
        package: PackageId,
        digests: &[Vec<u8>],
    ) -> Result<(), CatalogError> {
        if digests.is_empty() {
            return Ok(());
        }
        let Some(holder) = self.holder_of(package)? else { return Ok(()) };
        let change = self.uncount_blobs(holder, digests)?;
        self.settle_storage(holder.owner, change)
    }

    /// Versions of a package that are live from now on name what they name. Their links are there.
    pub(crate) fn count_names(
        &mut self,
        package: PackageId,
        versions: &[VersionId],
    ) -> Result<(), CatalogError> {
        let counted = self.add_names(package, versions, 1, &COUNT_NAMED)?;
        self.count_links(package, &counted)
    }

    /// Versions of a package that are live no more, or name something else from now on.
    pub(crate) fn uncount_names(
        &mut self,
        package: PackageId,
        versions: &[VersionId],
    ) -> Result<(), CatalogError> {
        let uncounted = self.add_names(package, versions, -1, &UNCOUNT_UNNAMED)?;
        self.uncount_links(package, &uncounted)
    }

    /// All that a package has counts as an account's from now on: it was restored, or came from somebody else.
    pub(crate) fn count_package(&mut self, package: PackageId, holder: Holder) -> Result<(), CatalogError> {
        let change = self.of_all_links(package, |tx, digests| tx.count_blobs(holder, digests))?;
        self.settle_storage(holder.owner, change)
    }

    /// All that a package has counts as that account's no more.
    pub(crate) fn uncount_package(&mut self, package: PackageId, holder: Holder) -> Result<(), CatalogError> {
        let change = self.of_all_links(package, |tx, digests| tx.uncount_blobs(holder, digests))?;
        self.settle_storage(holder.owner, change)
    }

    /// A package became private, or no longer is.
    pub(crate) fn close_package(
        &mut self,
        package: PackageId,
        owner: AccountId,
        private: bool,
    ) -> Result<(), CatalogError> {
        let more = if private { 1 } else { -1 };
        let change = self.of_all_links(package, |tx, digests| {
            let values = [owner.0.into(), Value::List(digests), more.into()];
            let changed = tx.rows(&CLOSE_BLOBS, &values, |row| Ok((row.int(0)?, row.int(1)?)))?;
            // The first private link makes it private, and the last one that goes makes it public.
            let edge = if private { 1 } else { 0 };
            let bytes: i64 = changed.iter().filter(|(_, links)| *links == edge).map(|(size, _)| size).sum();
            Ok(Change { all: 0, private: more * bytes })
        })?;
        self.settle_storage(owner, change)
    }

    /// Open uploads of a package that has another owner need room there.
    pub(crate) fn move_uploads(&mut self, package: PackageId, owner: AccountId) -> Result<(), CatalogError> {
        self.execute(&MOVE_UPLOADS, &[package.0.into(), owner.0.into()]).map(drop)
    }

    /// An account that has no package any more stores nothing.
    pub(crate) fn forget_storage(&mut self, owner: AccountId) -> Result<(), CatalogError> {
        self.execute(&FORGET_BLOBS_OF, &[owner.0.into()])?;
        self.execute(&FORGET_STORAGE_OF, &[owner.0.into()]).map(drop)
    }

    /// Changes how many versions name what those name, and by `then` what changes with that; returns its digests.
    fn add_names(
        &mut self,
        package: PackageId,
        versions: &[VersionId],
        more: i64,
        then: &'static Statement,
    ) -> Result<Vec<Vec<u8>>, CatalogError> {
        let ids: Vec<i64> = versions.iter().map(|version| version.0).collect();
        let names = self.rows(&NAMES, &[Value::Numbers(&ids)], |row| Ok((row.bytes(0)?, row.int(1)?)))?;
        // Nearly always one version names each of them.
        let mut by_times: BTreeMap<i64, Vec<Vec<u8>>> = BTreeMap::new();
        for (digest, times) in names {
            by_times.entry(times).or_default().push(digest);
        }
        let mut changed = Vec::new();
        for (times, digests) in &mut by_times {
            digests.sort_unstable();
            let values = [package.0.into(), Value::List(digests), (more * times).into()];
            self.execute(&ADD_NAMES, &values)?;
            changed.extend(self.rows(then, &values[..2], |row| row.bytes(0))?);
        }
        Ok(changed)
    }

    fn of_all_links(
        &mut self,
        package: PackageId,
        mut each: impl FnMut(&mut Self, &[Vec<u8>]) -> Result<Change, CatalogError>,
    ) -> Result<Change, CatalogError> {
        let (mut sum, mut after) = (Change::default(), Vec::new());
        loop {
            let values = [package.0.into(), (&after).into(), LINKS_AT_ONCE.into()];
            let page = self.rows(&COUNTED_LINKS, &values, |row| row.bytes(0))?;
            let Some(last) = page.last() else { return Ok(sum) };
            let change = each(self, &page)?;
            sum = Change { all: sum.all + change.all, private: sum.private + change.private };
            after = last.clone();
        }
    }

    fn count_blobs(&mut self, holder: Holder, digests: &[Vec<u8>]) -> Result<Change, CatalogError> {
        let private = i64::from(holder.private);
        let values = [holder.owner.0.into(), Value::List(digests), private.into()];
        let counted = self.rows(&COUNT_BLOBS, &values, |row| Ok((row.int(0)?, row.int(1)?, row.int(2)?)))?;
        Ok(counted.iter().fold(Change::default(), |sum, (size, links, private_links)| Change {
            all: sum.all + if *links == 1 { *size } else { 0 },
            private: sum.private + if holder.private && *private_links == 1 { *size } else { 0 },
        }))
    }

    fn uncount_blobs(&mut self, holder: Holder, digests: &[Vec<u8>]) -> Result<Change, CatalogError> {
        let private = i64::from(holder.private);
        let values = [holder.owner.0.into(), Value::List(digests), private.into()];
        let left = self.rows(&UNCOUNT_BLOBS, &values, |row| Ok((row.int(0)?, row.int(1)?, row.int(2)?)))?;
        self.execute(&FORGET_BLOBS, &values[..2])?;
        Ok(left.iter().fold(Change::default(), |sum, (size, links, private_links)| Change {
            all: sum.all - if *links == 0 { *size } else { 0 },
            private: sum.private - if holder.private && *private_links == 0 { *size } else { 0 },
        }))
    }

    /// Adds a change to an account's sums, and refuses one that its plan has no room for.
    fn settle_storage(&mut self, owner: AccountId, change: Change) -> Result<(), CatalogError> {
        if change.all == 0 && change.private == 0 {
            return Ok(());
        }
        let values = [owner.0.into(), change.all.into(), change.private.into()];
        let sums = self.row(&ADD_STORAGE, &values, |row| Ok((row.int(0)?, row.int(1)?)))?;
        let (all, private) = sums.ok_or(CatalogError::Corrupt("sum"))?;
        if change.all <= 0 && change.private <= 0 {
            return Ok(());
        }
        let Some(Allowed { account, plan, limits }) = self.remembered_limits(owner)? else { return Ok(()) };
        let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
        let used = Bytes { all: bytes(all - change.all), private: bytes(private - change.private) };
        let more = Bytes { all: bytes(change.all), private: bytes(change.private) };
        let stored = limits.store(used, more);
        stored.map_err(|over| CatalogError::OverQuota(Box::new(OverQuota { account, plan, over })))
    }
}
