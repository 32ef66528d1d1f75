//! A pull in one statement, for a database that other nodes write to: who asks, what they may, and what they ask for, on
//! one snapshot and in one round trip. What it brings is what the statements in `facts.rs`, `manifests.rs`, `blobs.rs` and
//! `storage.rs` would, and the same closure decides on it ([`crate::warm::Known`]).

use crate::CatalogError;
use crate::Micros;
use crate::blobs::ReadableBlob;
use crate::connection::Connection;
use crate::facts::{
    CallerRow, FactsRow, NOBODY, Place, Presented, given_by, limit, namespace_of, package_of,
};
use crate::manifests::{ManifestRow, quoted};
use crate::sql::{Row, Value, statement};
use crate::storage::{Allowed, OwnerLimits};
use crate::warm::{BlobKey, CallerKey, FactsAsked, ManifestAsked};
use bytes::Bytes;
use packhouse_access::{AccountId, Limits, PackageId, VersionId};
use packhouse_oci::{Digest, PackageName, Reference};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What a pull asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub presented: Presented,
    /// Of which package.
    pub name: PackageName,
    /// Whether a path that the package had before leads to it.
    pub follow: bool,
    /// What of it.
    pub asked: Asked,
    /// Now.
    pub now: Micros,
}

/// A thing in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A manifest.
    Manifest(Reference),
    /// A blob, with what its owner may send.
    Blob(Digest),
}

// The kinds of rows.
const CALLER: i64 = 1;
const LIMIT: i64 = 2;
const PACKAGE_ROW: i64 = 3;
const NAMESPACE_ROW: i64 = 4;
const ROLE: i64 = 5;
const MANIFEST: i64 = 6;
const BLOB: i64 = 7;
const OWNER: i64 = 8;

// $1 hash or $2 number of the token, $3 now, $4 path and $5 its namespace, $6 whether to follow; $7 tag, $8 digest of a
// manifest, $9 digest of a blob. A package is owned by the account that its path begins with.
statement!(
    PULL,
    "WITH RECURSIVE who (id, site_admin, scopes, token, kind, expires_at) AS (
       SELECT a.id, a.site_admin, t.scopes, t.id, t.kind, t.expires_at FROM tokens t
       JOIN accounts a ON a.id = t.account_id
       WHERE t.id = COALESCE((SELECT h.id FROM tokens h WHERE h.hash = CAST($1 AS BYTEA)), CAST($2 AS BIGINT))
         AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $3) AND a.suspended_at IS NULL),
     me (id) AS (SELECT COALESCE((SELECT id FROM who), CAST(-1 AS BIGINT))),
     pkg (id, visibility, role, path, owner_id, inherits, repository_id) AS (
       SELECT p.id, p.visibility, CASE WHEN p.inherits = 0 THEN g.role END, p.path, p.owner_id, p.inherits,
         p.repository_id
       FROM packages p LEFT JOIN package_grants g ON g.package_id = p.id AND g.account_id = (SELECT id FROM me)
       WHERE p.id = COALESCE((SELECT l.id FROM packages l WHERE l.path = $4 AND l.deleted_at IS NULL),
           (SELECT r.package_id FROM redirects r WHERE r.path = $4 AND CAST($6 AS BIGINT) = 1))
         AND p.deleted_at IS NULL),
     mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = (SELECT id FROM me)
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL),
     found (id, digest, media_type, size, pinned_until) AS (
       SELECT v.id, m.digest, m.media_type, m.size, v.pinned_until FROM pkg
       CROSS JOIN tags t JOIN versions v ON v.id = t.version_id JOIN manifests m ON m.id = v.manifest_id
       WHERE t.package_id = pkg.id AND t.name = CAST($7 AS TEXT) AND t.valid_to IS NULL AND v.deleted_at IS NULL
         AND m.damaged_at IS NULL
       UNION ALL SELECT v.id, m.digest, m.media_type, m.size, v.pinned_until FROM pkg
       CROSS JOIN versions v JOIN manifests m ON m.id = v.manifest_id
       WHERE v.package_id = pkg.id AND v.digest = CAST($8 AS BYTEA) AND v.deleted_at IS NULL
         AND m.damaged_at IS NULL)
     SELECT CAST(1 AS BIGINT), id, site_admin, scopes, token, kind, expires_at, CAST(NULL AS BIGINT),
       CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       CAST(NULL AS BYTEA) FROM who
     UNION ALL SELECT 2, l.owner_id, l.package_id, l.role, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
       FROM who CROSS JOIN token_limits l WHERE l.token_id = who.token
     UNION ALL SELECT 3, id, visibility, role, NULL, NULL, NULL, NULL, NULL, NULL, NULL, path, NULL, NULL FROM pkg
     UNION ALL SELECT 4, a.id, m.owner, a.kind, o.packages_private, o.packages_internal, o.packages_public,
       o.packages_default, o.members_create_repositories, r.id, r.role, NULL, NULL, NULL
       FROM accounts a LEFT JOIN memberships m ON m.organization_id = a.id AND m.account_id = (SELECT id FROM me)
       LEFT JOIN policies o ON o.organization_id = a.id
       LEFT JOIN accounts r ON r.id = (SELECT id FROM me) AND r.organization_id = a.id
       WHERE a.id = COALESCE((SELECT owner_id FROM pkg), (SELECT n.id FROM accounts n WHERE n.name = $5))
     UNION ALL SELECT 5, CAST(1 AS BIGINT), g.team_id, g.role, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL FROM pkg CROSS JOIN mine CROSS JOIN package_teams g
       WHERE pkg.inherits = 0 AND g.package_id = pkg.id AND g.team_id = mine.id
     UNION ALL SELECT 5, 2, c.repository_id, c.role, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
       FROM pkg CROSS JOIN repository_accounts c
       WHERE pkg.inherits = 1 AND c.repository_id = pkg.repository_id AND c.account_id = (SELECT id FROM me)
     UNION ALL SELECT 5, 2, c.repository_id, c.role, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
       FROM pkg CROSS JOIN mine CROSS JOIN repository_teams c
       WHERE pkg.inherits = 1 AND c.repository_id = pkg.repository_id AND c.team_id = mine.id
     UNION ALL SELECT 5, 2, r.id, COALESCE(o.base_role, 1), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
       FROM pkg JOIN repositories r ON r.id = pkg.repository_id
       JOIN memberships m ON m.organization_id = r.owner_id AND m.account_id = (SELECT id FROM me)
       LEFT JOIN policies o ON o.organization_id = r.owner_id WHERE pkg.inherits = 1
     UNION ALL SELECT 6, id, size, pinned_until, NULL, NULL, NULL, NULL, NULL, NULL, NULL, media_type, NULL, digest
       FROM found
     UNION ALL SELECT 7, b.size, l.pinned_until, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, b.storage_key, NULL,
       b.digest FROM pkg CROSS JOIN package_blobs l CROSS JOIN blobs b
       WHERE l.package_id = pkg.id AND l.digest = CAST($9 AS BYTEA) AND b.digest = l.digest AND b.damage IS NULL
     UNION ALL SELECT 8, a.id, p.storage, p.private_storage, p.transfer, p.private_transfer, NULL, NULL, NULL, NULL,
       NULL, a.login, p.name, NULL FROM pkg JOIN accounts a ON a.id = pkg.owner_id
       JOIN plans p ON p.name = COALESCE(a.plan, (SELECT value FROM settings WHERE name = 'default_plan'))
       WHERE CAST($9 AS BYTEA) IS NOT NULL"
);

/// What the statement brought. A thing that it was asked for and did not find is known not to be there.
#[derive(Debug)]
pub(crate) struct Fetched {
    caller: Option<(CallerKey, Option<Arc<CallerRow>>)>,
    facts: Arc<FactsRow>,
    account: i64,
    path: Box<str>,
    follow: bool,
    asked: Asked,
    manifest: Option<Arc<ManifestRow>>,
    blob: Option<Arc<ReadableBlob>>,
    owner: Option<(AccountId, Arc<OwnerLimits>)>,
}

impl Fetched {
    /// Runs the statement.
    pub(crate) fn fetch(connection: &mut Connection, ask: &Ask) -> Result<Fetched, CatalogError> {
        let (hash, token, key) = match &ask.presented {
            // A second reading of the same words is looked up by the ordinary statements.
            Presented::Token { hash, or: _ } => (Some(*hash), NOBODY, Some(CallerKey::Hash(*hash))),
            Presented::Bearer { token, bound: _ } => (None, token.0, Some(CallerKey::Token(*token))),
            Presented::Anonymous { .. }
            | Presented::Operator
            | Presented::ActingAs(_)
            | Presented::Worker => (None, NOBODY, None),
        };
        let path = ask.name.as_str();
        let (tag, digest, blob) = match &ask.asked {
            Asked::Manifest(Reference::Tag(tag)) => (Some(tag.as_str()), None, None),
            Asked::Manifest(Reference::Digest(digest)) => (None, Some(digest.to_bytes()), None),
            Asked::Blob(digest) => (None, None, Some(digest.to_bytes())),
        };
        let values = [
            hash.as_ref().map_or(Value::Null, |hash| Value::Bytes(hash)),
            token.into(),
            ask.now.0.into(),
            path.into(),
            namespace_of(path).into(),
            i64::from(ask.follow).into(),
            tag.into(),
            digest.as_ref().into(),
            blob.as_ref().into(),
        ];
        let mut rows = Rows::default();
        connection.query(&PULL, &values, &mut |row| {
            rows.add(row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        rows.fetched(ask, key)
    }

    pub(crate) fn caller(&self, key: CallerKey) -> Option<Option<Arc<CallerRow>>> {
        self.caller.as_ref().filter(|(asked, _)| *asked == key).map(|(_, found)| found.clone())
    }

    pub(crate) fn facts(&self, asked: FactsAsked<'_>) -> Option<Option<Arc<FactsRow>>> {
        let same = asked == FactsAsked { account: self.account, path: &self.path, follow: self.follow };
        same.then(|| Some(Arc::clone(&self.facts)))
    }

    pub(crate) fn manifest(&self, asked: ManifestAsked<'_>) -> Option<Option<Arc<ManifestRow>>> {
        let same = self.package() == Some(asked.package)
            && matches!(&self.asked, Asked::Manifest(reference) if reference == asked.reference);
        same.then(|| self.manifest.clone())
    }

    pub(crate) fn blob(&self, (package, digest): BlobKey) -> Option<Option<Arc<ReadableBlob>>> {
        let same =
            self.package() == Some(package) && matches!(self.asked, Asked::Blob(asked) if asked == digest);
        same.then(|| self.blob.clone())
    }

    pub(crate) fn owner(&self, asked: AccountId) -> Option<Option<Arc<OwnerLimits>>> {
        self.owner.as_ref().filter(|(owner, _)| *owner == asked).map(|(_, limits)| Some(Arc::clone(limits)))
    }

    fn package(&self) -> Option<PackageId> {
        self.facts.found.map(|(id, ..)| id)
    }
}

/// The rows as they come.
#[derive(Default)]
struct Rows {
    caller: Option<(CallerRow, bool)>,
    limits: Vec<packhouse_access::Limit>,
    package: Option<(crate::facts::PackageAndRole, String)>,
    place: Option<[Option<i64>; Place::COLUMNS]>,
    given: Vec<packhouse_access::Given>,
    manifest: Option<ManifestRow>,
    blob: Option<ReadableBlob>,
    owner: Option<(AccountId, Allowed)>,
}

impl Rows {
    fn add(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        match row.int(0)? {
            CALLER => {
                let columns = [row.int(1)?, row.int(2)?, row.int(3)?, row.int(4)?, row.int(5)?];
                self.caller = Some(CallerRow::of(columns, row.int_or_null(6)?));
            }
            LIMIT => self.limits.push(limit(row.int_or_null(1)?, row.int_or_null(2)?, row.int(3)?)?),
            PACKAGE_ROW => {
                self.package =
                    Some((package_of(row.int(1)?, row.int(2)?, row.int_or_null(3)?)?, row.text(11)?));
            }
            NAMESPACE_ROW => {
                let mut columns = [None; Place::COLUMNS];
                for (at, column) in columns.iter_mut().enumerate() {
                    *column = row.int_or_null(at + 1)?;
                }
                self.place = Some(columns);
            }
            ROLE => self.given.extend(given_by(row.int(1)?, row.int(2)?, row.int(3)?)),
            MANIFEST => {
                let digest = row.digest(13)?;
                self.manifest = Some(ManifestRow {
                    version: VersionId(row.int(1)?),
                    digest,
                    media_type: row.text(11)?,
                    size: row.size(2)?,
                    payload: Bytes::new(),
                    pinned_until: Micros(row.int(3)?),
                    quoted_digest: quoted(&digest),
                });
            }
            BLOB => {
                let (size, pinned_until) = (row.size(1)?, Micros(row.int(2)?));
                self.blob = Some(ReadableBlob::of(row.digest(13)?, size, row.text(11)?, pinned_until));
            }
            OWNER => {
                let limits = Limits {
                    storage: row.size_or_null(2)?,
                    private_storage: row.size_or_null(3)?,
                    transfer: row.size_or_null(4)?,
                    private_transfer: row.size_or_null(5)?,
                };
                let allowed = Allowed { account: row.text(11)?, plan: row.text(12)?, limits };
                self.owner = Some((AccountId(row.int(1)?), allowed));
            }
            _ => return Err(CatalogError::Corrupt("kind of row")),
        }
        Ok(())
    }

    fn fetched(self, ask: &Ask, key: Option<CallerKey>) -> Result<Fetched, CatalogError> {
        let caller = self.caller.map(|(row, fine_grained)| {
            Arc::new(CallerRow { limits: fine_grained.then_some(self.limits), ..row })
        });
        let account = caller.as_ref().map_or(NOBODY, |row| row.account.0);
        let path = ask.name.as_str();
        let (found, real) = self.package.map_or((None, None), |(found, real)| (Some(found), Some(real)));
        let place = self.place.map_or(Ok(Place::NOWHERE), |columns| Place::of(account, columns))?;
        let owner = match (self.owner, found.and(place.account)) {
            (Some((owner, allowed)), _) => Some((owner, Arc::new(OwnerLimits(Some(allowed))))),
            // There are no plans yet.
            (None, Some(owner)) if matches!(ask.asked, Asked::Blob(_)) => {
                Some((owner, Arc::new(OwnerLimits(None))))
            }
            (None, _) => None,
        };
        let real = real.filter(|real| real != path);
        Ok(Fetched {
            caller: key.map(|key| (key, caller)),
            facts: Arc::new(FactsRow { real, place, found, given: self.given }),
            account,
            path: path.into(),
            follow: ask.follow,
            asked: ask.asked.clone(),
            manifest: self.manifest.map(Arc::new),
            blob: self.blob.map(Arc::new),
            owner,
        })
    }
}
