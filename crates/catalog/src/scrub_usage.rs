//! A scrub's look at what accounts store ([`crate::storage`]): who names a blob, and the sums of an account.

use crate::CatalogError;
use crate::WriteTx;
use crate::sql::{Value, statement};
use packhouse_access::AccountId;

/// How many live versions name the blob of a link `l`.
macro_rules! names_of {
    ($l:literal) => {
        concat!(
            "(SELECT COUNT(*) FROM (
               SELECT k.version_id FROM version_blobs k CROSS JOIN versions v
                 WHERE k.package_id = ",
            $l,
            ".package_id AND k.digest = ",
            $l,
            ".digest AND v.id = k.version_id AND v.deleted_at IS NULL
               UNION SELECT c.version_id FROM version_children c CROSS JOIN versions v
                 WHERE c.package_id = ",
            $l,
            ".package_id AND c.digest = ",
            $l,
            ".digest AND v.id = c.version_id AND v.deleted_at IS NULL) AS names)"
        )
    };
}

/// The links that count for an account: of its live packages. Whether their blobs have rows is asked elsewhere.
macro_rules! counted_of {
    ($owner:literal) => {
        concat!(
            "packages p CROSS JOIN package_blobs l WHERE p.owner_id = ",
            $owner,
            " AND p.deleted_at IS NULL AND l.package_id = p.id AND l.counted = 1"
        )
    };
}

statement!(
    LINKS_MISCOUNTED,
    concat!(
        "SELECT l.package_id, l.package_id, p.path, l.digest FROM package_blobs l JOIN packages p ON p.id = l.package_id
         WHERE l.package_id > $1 AND l.package_id <= $2 AND p.deleted_at IS NULL
           AND ((l.named > 0 AND l.counted = 0) OR l.named <> ",
        names_of!("l"),
        ") ORDER BY l.package_id, l.digest LIMIT 1000"
    )
);
statement!(
    COUNT_LINK_AGAIN,
    concat!(
        "UPDATE package_blobs SET named = ",
        names_of!("package_blobs"),
        ", counted = CASE WHEN ",
        names_of!("package_blobs"),
        " > 0 THEN 1 ELSE counted END WHERE package_id = $1 AND digest = $2"
    )
);
statement!(
    STORAGE_MISCOUNTED,
    concat!(
        "SELECT a.id, CAST(0 AS BIGINT), a.name, {empty} FROM accounts a WHERE a.id > $1 AND a.id <= $2
           AND (EXISTS (SELECT 1 FROM (
               SELECT l.digest, COUNT(*) AS links, SUM(CASE WHEN p.visibility = 2 THEN 0 ELSE 1 END) AS closed
               FROM ",
        counted_of!("a.id"),
        " GROUP BY l.digest) AS held LEFT JOIN account_blobs h ON h.owner_id = a.id AND h.digest = held.digest
               WHERE h.digest IS NULL OR h.links <> held.links OR h.private_links <> held.closed)
             OR (SELECT COUNT(*) FROM account_blobs h WHERE h.owner_id = a.id)
               <> (SELECT COUNT(DISTINCT l.digest) FROM ",
        counted_of!("a.id"),
        ")
             OR COALESCE((SELECT s.bytes FROM account_storage s WHERE s.owner_id = a.id), 0)
               <> COALESCE((SELECT SUM(h.size) FROM account_blobs h WHERE h.owner_id = a.id), 0)
             OR COALESCE((SELECT s.private_bytes FROM account_storage s WHERE s.owner_id = a.id), 0)
               <> COALESCE((SELECT SUM(h.size) FROM account_blobs h
                   WHERE h.owner_id = a.id AND h.private_links > 0), 0))
         ORDER BY a.id LIMIT 1000"
    )
);
statement!(
    LOCK_STORAGE,
    "INSERT INTO account_storage (owner_id, bytes, private_bytes) VALUES ($1, 0, 0)
     ON CONFLICT (owner_id) DO UPDATE SET bytes = account_storage.bytes"
);
// Sizes that are known stay: those in the blobs' rows may be what is wrong.
statement!(FORGET_STORED, "UPDATE account_blobs SET links = 0, private_links = 0 WHERE owner_id = $1");
statement!(
    STORED_AGAIN,
    concat!(
        "INSERT INTO account_blobs (owner_id, digest, size, links, private_links)
         SELECT held.owner_id, held.digest, b.size, held.links, held.closed FROM (
           SELECT p.owner_id, l.digest, COUNT(*) AS links, SUM(CASE WHEN p.visibility = 2 THEN 0 ELSE 1 END) AS closed
           FROM ",
        counted_of!("$1"),
        " GROUP BY p.owner_id, l.digest) AS held CROSS JOIN blobs b WHERE b.digest = held.digest
         ON CONFLICT (owner_id, digest) DO UPDATE SET links = excluded.links, private_links = excluded.private_links"
    )
);
statement!(END_STORED, "DELETE FROM account_blobs WHERE owner_id = $1 AND links = 0");
statement!(
    SUM_STORED_AGAIN,
    "UPDATE account_storage SET
       bytes = COALESCE((SELECT SUM(h.size) FROM account_blobs h WHERE h.owner_id = $1), 0),
       private_bytes = COALESCE((SELECT SUM(h.size) FROM account_blobs h
         WHERE h.owner_id = $1 AND h.private_links > 0), 0)
     WHERE owner_id = $1"
);

impl WriteTx<'_, '_> {
    /// Counts what an account stores again, from the links of its packages. Their rows, and that of the sums, are locked
    /// before: nobody counts meanwhile.
    pub(crate) fn count_storage_again(&mut self, owner: AccountId) -> Result<u64, CatalogError> {
        self.lock_packages_of(owner)?;
        let values = [Value::Int(owner.0)];
        self.execute(&LOCK_STORAGE, &values)?;
        self.execute(&FORGET_STORED, &values)?;
        self.execute(&STORED_AGAIN, &values)?;
        self.execute(&END_STORED, &values)?;
        self.execute(&SUM_STORED_AGAIN, &values)
    }
}
