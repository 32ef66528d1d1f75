//! Paths of the packages that a caller sees because of the namespace they are in: their own, and their organizations'.
//!
//! One namespace after another, each read in the order of an index up to the end of the page. In one statement all of them
//! would be joined and sorted: a page of a hundred read a million rows where an organization had as many packages.

use crate::sql::{Value, statement};
use crate::{CatalogError, ReadTx};
use packhouse_access::{Granted, List};

// Whether all is seen there, or what is internal and perhaps what inherits; and whether the token `$2` was made for all of
// it. A robot belongs to its organization and is no member.
statement!(
    NAMESPACES_SEEN,
    "SELECT m.organization_id, CAST(m.owner AS BIGINT),
       CAST(CASE WHEN COALESCE(o.base_role, 1) > 0 THEN 1 ELSE 0 END AS BIGINT),
       CAST(CASE WHEN CAST($2 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t
         WHERE t.token_id = $2 AND t.owner_id = m.organization_id) THEN 1 ELSE 0 END AS BIGINT)
     FROM memberships m LEFT JOIN policies o ON o.organization_id = m.organization_id WHERE m.account_id = $1
     UNION ALL
     SELECT b.organization_id, CAST(CASE WHEN b.role IS NOT NULL THEN 1 ELSE 0 END AS BIGINT), CAST(0 AS BIGINT),
       CAST(CASE WHEN CAST($2 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t
         WHERE t.token_id = $2 AND t.owner_id = b.organization_id) THEN 1 ELSE 0 END AS BIGINT)
     FROM accounts b WHERE b.id = $1 AND b.organization_id IS NOT NULL
     UNION ALL
     SELECT a.id, CAST(1 AS BIGINT), CAST(0 AS BIGINT),
       CAST(CASE WHEN CAST($2 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t
         WHERE t.token_id = $2 AND t.owner_id = a.id) THEN 1 ELSE 0 END AS BIGINT)
     FROM accounts a WHERE a.id = $1"
);
statement!(
    PATHS_OWNED,
    "SELECT p.path FROM packages p WHERE p.owner_id = $3 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
     ORDER BY p.path LIMIT $2"
);
statement!(
    PATHS_INTERNAL,
    "SELECT p.path FROM packages p WHERE p.owner_id = $3 AND p.visibility = 1 AND p.path > $1 AND p.deleted_at IS NULL
       AND p.held = 1
     ORDER BY p.path LIMIT $2"
);
statement!(
    PATHS_INHERITING,
    "SELECT p.path FROM packages p WHERE p.owner_id = $3 AND p.inherits = 1 AND p.path > $1 AND p.deleted_at IS NULL
       AND p.held = 1
     ORDER BY p.path LIMIT $2"
);
// What a token was made for by itself, in a namespace that it was not made for as a whole: few.
statement!(
    PATHS_CHOSEN_IN,
    "SELECT DISTINCT p.path FROM token_limits t CROSS JOIN packages p
     WHERE t.token_id = $4 AND p.id = t.package_id AND p.owner_id = $3 AND p.path > $1 AND p.deleted_at IS NULL
       AND (CAST($5 AS BIGINT) = 1 OR p.visibility = 1 OR (p.inherits = 1 AND CAST($6 AS BIGINT) = 1)) AND p.held = 1
     ORDER BY p.path LIMIT $2"
);

/// The first of some paths in their order, each once.
pub(crate) fn keep_first(paths: &mut Vec<String>, limit: u32) {
    paths.sort_unstable();
    paths.dedup();
    paths.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
}

/// What a caller sees of a namespace.
struct Seen {
    namespace: i64,
    all: i64,
    inheriting: i64,
    /// The token was made for all of it, or for everything.
    covered: bool,
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Paths after `after` in their order, at most `limit`. One look at an index for each namespace that the caller is in.
    pub(crate) fn paths_of_namespaces(
        &mut self,
        may: &Granted<'tx, List>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, CatalogError> {
        let Some(account) = may.account() else { return Ok(Vec::new()) };
        let token = may.limited().map_or(-1, |id| id.0);
        let namespaces = self.rows(&NAMESPACES_SEEN, &[account.0.into(), token.into()], |row| {
            let covered = row.int(3)? == 1;
            Ok(Seen { namespace: row.int(0)?, all: row.int(1)?, inheriting: row.int(2)?, covered })
        })?;
        let mut paths = Vec::new();
        for seen in namespaces {
            let page = [after.into(), Value::Int(limit.into()), seen.namespace.into()];
            let mut add = |statement, values: &[Value<'_>]| {
                paths.extend(self.rows(statement, values, |row| row.text(0))?);
                // Of many namespaces no more is kept than makes a page.
                keep_first(&mut paths, limit);
                Ok::<_, CatalogError>(())
            };
            match (seen.covered, seen.all == 1) {
                (false, _) => {
                    let [first, second, third] = page;
                    let values =
                        [first, second, third, token.into(), seen.all.into(), seen.inheriting.into()];
                    add(&PATHS_CHOSEN_IN, &values)?;
                }
                (true, true) => add(&PATHS_OWNED, &page)?,
                (true, false) => {
                    add(&PATHS_INTERNAL, &page)?;
                    if seen.inheriting == 1 {
                        add(&PATHS_INHERITING, &page)?;
                    }
                }
            }
        }
        Ok(paths)
    }
}
