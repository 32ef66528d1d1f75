//! Callers and facts: what a decision is made from.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Bound, Caller, PackageFacts, PackageId, Role, Scopes, Standing, TokenId, Visibility, Who,
};

/// What a caller shows. Signatures were checked by who made it; everything that may have changed since
/// (revocation, expiry, suspension) is read here.
#[derive(Clone, Debug)]
pub enum Presented {
    /// Nothing, or a bearer token that was given to nobody in particular.
    Anonymous {
        /// What that bearer token carries.
        bound: Option<Bound>,
    },
    /// A personal access token, by its SHA-256.
    Token {
        /// The hash.
        hash: [u8; 32],
        /// The hash of another reading of the same words, tried when the first is no token's.
        or: Option<[u8; 32]>,
    },
    /// A signed bearer token, by the personal access token behind it.
    Bearer {
        /// The token it was made from.
        token: TokenId,
        /// What it carries.
        bound: Bound,
    },
    /// The operator's socket, or the command line without a server.
    Operator,
    /// A background worker.
    Worker,
}

const PERSONAL_TOKEN: &str = "personal token";

statement!(
    CALLER_BY_HASH,
    "SELECT a.id, a.site_admin, t.scopes, t.id FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
       AND a.suspended_at IS NULL"
);
statement!(
    CALLER_BY_TOKEN,
    "SELECT a.id, a.site_admin, t.scopes, t.id FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.id = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
       AND a.suspended_at IS NULL"
);
statement!(
    NAMESPACE,
    "SELECT a.id, m.owner FROM accounts a
     LEFT JOIN memberships m ON m.organization_id = a.id AND m.account_id = $2
     WHERE a.name = $1"
);
statement!(
    PACKAGE,
    "SELECT p.id, p.visibility, g.role FROM packages p
     LEFT JOIN package_grants g ON g.package_id = p.id AND g.account_id = $2
     WHERE p.path = $1 AND p.deleted_at IS NULL"
);
statement!(LOCK_PACKAGE, "SELECT id FROM packages WHERE path = $1 AND deleted_at IS NULL {lock}");

impl<'tx> ReadTx<'_, 'tx> {
    /// Who shows this, now. `None`: the credential is unknown, revoked or expired, or its account is suspended.
    pub fn caller(
        &mut self,
        presented: &Presented,
        now: Micros,
    ) -> Result<Option<Caller<'tx>>, CatalogError> {
        let account = |row: &Row<'_>| {
            let who = Who::Account { id: AccountId(row.int(0)?), site_admin: row.int(1)? != 0 };
            Ok((who, Some(TokenId(row.int(3)?)), Scopes::from_number(row.int(2)?)))
        };
        let (found, bound) = match presented {
            Presented::Anonymous { bound } => (Some((Who::Anonymous, None, Scopes::NONE)), bound.clone()),
            Presented::Operator => (Some((Who::Operator, None, Scopes::ALL)), None),
            Presented::Worker => (Some((Who::Worker, None, Scopes::NONE)), None),
            Presented::Token { hash, or } => {
                let mut found = self.row(&CALLER_BY_HASH, &[Value::Bytes(hash), now.0.into()], account)?;
                if let (None, Some(hash)) = (&found, or) {
                    found = self.row(&CALLER_BY_HASH, &[Value::Bytes(hash), now.0.into()], account)?;
                }
                (found, None)
            }
            Presented::Bearer { token, bound } => {
                let found = self.row(&CALLER_BY_TOKEN, &[token.0.into(), now.0.into()], account)?;
                (found, Some(bound.clone()))
            }
        };
        Ok(found.map(|(who, token, scopes)| Caller::new(&self.brand, who, token, scopes, bound)))
    }

    /// The facts about a package path. The same statements run whether there is such a package or not, so the
    /// work tells a stranger nothing.
    pub fn facts(&mut self, caller: &Caller<'tx>, path: &str) -> Result<PackageFacts<'tx>, CatalogError> {
        let namespace = path.split_once('/').map_or(path, |(namespace, _)| namespace);
        let account = caller.account().map_or(-1, |id| id.0);
        let owner = self.row(&NAMESPACE, &[namespace.into(), account.into()], |row| {
            Ok((AccountId(row.int(0)?), row.int_or_null(1)?))
        })?;
        let standing = match owner {
            Some((id, _)) if Some(id) == caller.account() => Standing::Owner,
            Some((_, Some(0))) => Standing::Member,
            Some((_, Some(_))) => Standing::Owner,
            Some((_, None)) | None => Standing::Stranger,
        };
        let package = self.row(&PACKAGE, &[path.into(), account.into()], |row| {
            let visibility =
                Visibility::from_number(row.int(1)?).ok_or(CatalogError::Corrupt("visibility"))?;
            Ok((PackageId(row.int(0)?), visibility, row.int_or_null(2)?.and_then(Role::from_number)))
        })?;
        let granted = package.and_then(|(_, _, role)| role);
        let package = package.map(|(id, visibility, _)| (id, visibility));
        Ok(PackageFacts::new(&self.brand, caller, path, owner.map(|(id, _)| id), standing, package, granted))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// As [`ReadTx::facts`], with the package's row locked first: on PostgreSQL a check holds only for what is
    /// locked. Lock order: package, then blobs by digest, then the rest.
    pub fn facts(&mut self, caller: &Caller<'tx>, path: &str) -> Result<PackageFacts<'tx>, CatalogError> {
        self.row(&LOCK_PACKAGE, &[path.into()], |row| row.int(0))?;
        ReadTx::facts(self, caller, path)
    }
}

/// So that a log never holds what a caller showed.
impl std::fmt::Display for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Presented::Anonymous { .. } => "anonymous",
            Presented::Token { .. } => PERSONAL_TOKEN,
            Presented::Bearer { .. } => "bearer token",
            Presented::Operator => "operator",
            Presented::Worker => "worker",
        })
    }
}
