//! Callers and facts: what a decision is made from.

use crate::accounts::{ORGANIZATION, ROBOT, USER};
use crate::sql::{Row, Value, statement};
use crate::tokens::FINE_GRAINED;
use crate::warm::{CallerKey, FactsAsked, PlaceAsked};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Bound, Brand, Caller, Chosen, Given, Limit, NamespaceFacts, PackageFacts, PackageId, Policy,
    RepositoryId, RepositoryRole, Role, Scopes, Standing, TeamId, TokenId, Visibility, Who,
};
use std::sync::Arc;

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
    /// The operator, who does something as a user: an import pushes with the rights of an account, and no others.
    ActingAs(AccountId),
    /// A background worker.
    Worker,
}

const PERSONAL_TOKEN: &str = "personal token";

statement!(
    CALLER_BY_HASH,
    "SELECT a.id, a.site_admin, t.scopes, t.id, t.kind, t.expires_at FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
       AND a.suspended_at IS NULL"
);
statement!(
    CALLER_BY_TOKEN,
    "SELECT a.id, a.site_admin, t.scopes, t.id, t.kind, t.expires_at FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.id = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
       AND a.suspended_at IS NULL"
);
statement!(
    CALLER_BY_ACCOUNT,
    "SELECT id, site_admin FROM accounts WHERE id = $1 AND kind = $2 AND suspended_at IS NULL"
);
statement!(LIMITS, "SELECT owner_id, package_id, role FROM token_limits WHERE token_id = $1");
statement!(
    NAMESPACE,
    "SELECT a.id, m.owner, a.kind, p.packages_private, p.packages_internal, p.packages_public,
       p.packages_default, p.members_create_repositories, r.id, r.role
     FROM accounts a
     LEFT JOIN memberships m ON m.organization_id = a.id AND m.account_id = $2
     LEFT JOIN policies p ON p.organization_id = a.id
     LEFT JOIN accounts r ON r.id = $2 AND r.organization_id = a.id
     WHERE a.name = $1"
);
statement!(
    PACKAGE,
    "SELECT p.id, p.visibility, CASE WHEN p.inherits = 0 THEN g.role END FROM packages p
     LEFT JOIN package_grants g ON g.package_id = p.id AND g.account_id = $2
     WHERE p.path = $1 AND p.deleted_at IS NULL"
);
// As above, and when there is none at the path, the package that was there before it was renamed.
statement!(
    PACKAGE_FOLLOWED,
    "SELECT p.id, p.visibility, CASE WHEN p.inherits = 0 THEN g.role END, p.path FROM packages p
     LEFT JOIN package_grants g ON g.package_id = p.id AND g.account_id = $2
     WHERE p.id = COALESCE((SELECT l.id FROM packages l WHERE l.path = $1 AND l.deleted_at IS NULL),
                           (SELECT r.package_id FROM redirects r WHERE r.path = $1))
       AND p.deleted_at IS NULL"
);
// Of several that were deleted at one path, the last: the others can be restored no more.
statement!(
    PACKAGE_DELETED,
    "SELECT p.id, p.visibility, CASE WHEN p.inherits = 0 THEN g.role END, p.deleted_at FROM packages p
     LEFT JOIN package_grants g ON g.package_id = p.id AND g.account_id = $2
     WHERE p.path = $1 AND p.deleted_at IS NOT NULL ORDER BY p.deleted_at DESC, p.id DESC LIMIT 1"
);
// Roles that are not the account's by name: through its teams (a team has what the teams above it have), or
// inherited from the linked repository, where it is a collaborator, in a team, or a member of the organization.
// (A cross join, so that SQLite goes from the few teams to their grants and builds no index of its own; a cast, since
// a bare number is a smaller one on PostgreSQL.)
statement!(
    ROLES,
    "WITH RECURSIVE mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = $2
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL)
     SELECT CAST(1 AS BIGINT), g.team_id, g.role FROM packages p CROSS JOIN mine CROSS JOIN package_teams g
       WHERE p.id = $1 AND p.inherits = 0 AND g.package_id = p.id AND g.team_id = mine.id
     UNION ALL SELECT 2, p.repository_id, c.role FROM packages p
       JOIN repository_accounts c ON c.repository_id = p.repository_id AND c.account_id = $2
       WHERE p.id = $1 AND p.inherits = 1
     UNION ALL SELECT 2, p.repository_id, c.role FROM packages p CROSS JOIN mine CROSS JOIN repository_teams c
       WHERE p.id = $1 AND p.inherits = 1 AND c.repository_id = p.repository_id AND c.team_id = mine.id
     UNION ALL SELECT 2, p.repository_id, COALESCE(o.base_role, 1) FROM packages p
       JOIN repositories r ON r.id = p.repository_id
       JOIN memberships m ON m.organization_id = r.owner_id AND m.account_id = $2
       LEFT JOIN policies o ON o.organization_id = r.owner_id
       WHERE p.id = $1 AND p.inherits = 1"
);
statement!(LOCK_PACKAGE, "SELECT id FROM packages WHERE path = $1 AND deleted_at IS NULL {lock}");

impl<'tx> ReadTx<'_, 'tx> {
    /// Who shows this, now. `None`: the credential is unknown, revoked or expired, or its account is suspended.
    pub fn caller(
        &mut self,
        presented: &Presented,
        now: Micros,
    ) -> Result<Option<Caller<'tx>>, CatalogError> {
        let (found, bound) = match presented {
            Presented::Anonymous { bound } => {
                (Some(Found::plain(Who::Anonymous, Scopes::NONE)), bound.clone())
            }
            Presented::Operator => (Some(Found::plain(Who::Operator, Scopes::ALL)), None),
            Presented::Worker => (Some(Found::plain(Who::Worker, Scopes::NONE)), None),
            Presented::ActingAs(id) => {
                let values = [id.0.into(), USER.into()];
                let found = self.row(&CALLER_BY_ACCOUNT, &values, |row| {
                    let who = Who::Account { id: AccountId(row.int(0)?), site_admin: row.int(1)? != 0 };
                    Ok(Found::plain(who, Scopes::ALL))
                })?;
                (found, None)
            }
            Presented::Token { hash, or } => {
                let mut found = self.caller_row(CallerKey::Hash(*hash), now)?;
                if let (None, Some(hash)) = (&found, or) {
                    found = self.caller_row(CallerKey::Hash(*hash), now)?;
                }
                (found.as_deref().map(Found::by), None)
            }
            Presented::Bearer { token, bound } => {
                let found = self.caller_row(CallerKey::Token(*token), now)?;
                (found.as_deref().map(Found::by), Some(bound.clone()))
            }
        };
        let Some(Found { who, token, scopes, limits }) = found else { return Ok(None) };
        let caller = Caller::new(&self.brand, who, token, scopes, bound);
        Ok(Some(match limits {
            Some(limits) => caller.limited(&self.brand, limits),
            None => caller,
        }))
    }

    /// Who has a token that was not revoked and has not ended, and whose account is not suspended.
    fn caller_row(&mut self, key: CallerKey, now: Micros) -> Result<Option<Arc<CallerRow>>, CatalogError> {
        let found = self.recall(key, |tx| {
            let found = match key {
                CallerKey::Hash(hash) => {
                    tx.row(&CALLER_BY_HASH, &[Value::Bytes(&hash), now.0.into()], CallerRow::read)?
                }
                CallerKey::Token(token) => {
                    tx.row(&CALLER_BY_TOKEN, &[token.0.into(), now.0.into()], CallerRow::read)?
                }
            };
            let Some((mut row, fine_grained)) = found else { return Ok(None) };
            if fine_grained {
                row.limits = Some(tx.rows(&LIMITS, &[row.token.0.into()], |row| {
                    limit(row.int_or_null(0)?, row.int_or_null(1)?, row.int(2)?)
                })?);
            }
            Ok(Some(row))
        })?;
        // What is remembered may have ended since.
        Ok(found.filter(|row| row.expires_at.is_none_or(|ends| ends > now.0)))
    }

    /// The facts about a package path. The same statements run whether there is such a package or not, so the
    /// work tells a stranger nothing.
    pub fn facts(&mut self, caller: &Caller<'tx>, path: &str) -> Result<PackageFacts<'tx>, CatalogError> {
        self.remembered_facts(caller, path, false)
    }

    /// As [`ReadTx::facts`], for who only reads: a path that a package had before it was renamed leads to it. The
    /// facts are the real package's, in the namespace where it is now, under the path that was asked for.
    pub fn facts_followed(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
    ) -> Result<PackageFacts<'tx>, CatalogError> {
        self.remembered_facts(caller, path, true)
    }

    fn remembered_facts(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
        follow: bool,
    ) -> Result<PackageFacts<'tx>, CatalogError> {
        let account = number_of(caller);
        let row = self.recall(FactsAsked { account, path, follow }, |tx| {
            if follow {
                let found = tx.row(&PACKAGE_FOLLOWED, &[path.into(), account.into()], |row| {
                    Ok((package_and_role(row)?, row.text(3)?))
                })?;
                let (found, real) = found.map_or((None, None), |(found, real)| (Some(found), Some(real)));
                return tx.facts_row(account, path, real.filter(|real| real != path), found).map(Some);
            }
            let found = tx.row(&PACKAGE, &[path.into(), account.into()], package_and_role)?;
            tx.facts_row(account, path, None, found).map(Some)
        })?;
        let row = row.ok_or(CatalogError::Corrupt("facts"))?;
        Ok(row.facts(&self.brand, caller, path))
    }

    /// The facts about the package that was deleted last at a path, not before `since`.
    pub fn facts_deleted(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
        since: Micros,
    ) -> Result<PackageFacts<'tx>, CatalogError> {
        let found = self.row(&PACKAGE_DELETED, &[path.into(), account_of(caller)], |row| {
            Ok((package_and_role(row)?, row.int(3)?))
        })?;
        let found = found.filter(|(_, deleted_at)| *deleted_at >= since.0).map(|(found, _)| found);
        let row = self.facts_row(number_of(caller), path, None, found)?;
        Ok(row.facts(&self.brand, caller, path))
    }

    fn facts_row(
        &mut self,
        account: i64,
        path: &str,
        real: Option<String>,
        found: Option<PackageAndRole>,
    ) -> Result<FactsRow, CatalogError> {
        let place = self.place(account, namespace_of(real.as_deref().unwrap_or(path)))?;
        let mut given = Vec::new();
        if account != NOBODY {
            let id = found.map_or(-1, |(id, ..)| id.0);
            let roles = self.rows(&ROLES, &[id.into(), account.into()], |row| {
                Ok(given_by(row.int(0)?, row.int(1)?, row.int(2)?))
            })?;
            given.extend(roles.into_iter().flatten());
        }
        Ok(FactsRow { real, place, found, given })
    }

    /// The facts about an account that owns things.
    pub fn namespace_facts(
        &mut self,
        caller: &Caller<'tx>,
        name: &str,
    ) -> Result<NamespaceFacts<'tx>, CatalogError> {
        let place = self.place(number_of(caller), name)?;
        Ok(NamespaceFacts::new(
            &self.brand,
            caller,
            name,
            place.account,
            place.standing,
            place.policy,
            place.members_create_repositories,
        ))
    }

    fn place(&mut self, account: i64, namespace: &str) -> Result<Place, CatalogError> {
        let found = self.recall::<Place>(PlaceAsked { account, namespace }, |tx| {
            let found = tx.row(&NAMESPACE, &[namespace.into(), account.into()], |row| {
                let mut columns = [None; Place::COLUMNS];
                for (at, column) in columns.iter_mut().enumerate() {
                    *column = row.int_or_null(at)?;
                }
                Place::of(account, columns)
            })?;
            // That there is none is remembered alike, so that work tells nothing.
            Ok(Some(found.unwrap_or(Place::NOWHERE)))
        })?;
        found.map(|place| *place).ok_or(CatalogError::Corrupt("place"))
    }
}

/// Who somebody is, before it has a brand.
struct Found {
    who: Who,
    token: Option<TokenId>,
    scopes: Scopes,
    limits: Option<Vec<Limit>>,
}

impl Found {
    fn plain(who: Who, scopes: Scopes) -> Self {
        Found { who, token: None, scopes, limits: None }
    }

    fn by(row: &CallerRow) -> Self {
        let who = Who::Account { id: row.account, site_admin: row.site_admin };
        Found { who, token: Some(row.token), scopes: row.scopes, limits: row.limits.clone() }
    }
}

/// Whose a token is, and what it may at most do.
#[derive(Clone, Debug)]
pub(crate) struct CallerRow {
    pub(crate) account: AccountId,
    pub(crate) site_admin: bool,
    pub(crate) scopes: Scopes,
    pub(crate) token: TokenId,
    pub(crate) expires_at: Option<i64>,
    /// Of a fine-grained token.
    pub(crate) limits: Option<Vec<Limit>>,
}

impl CallerRow {
    /// With whether it is a fine-grained token, whose limits are rows of their own.
    fn read(row: &Row<'_>) -> Result<(CallerRow, bool), CatalogError> {
        let columns = [row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?, row.int(4)?];
        Ok(CallerRow::of(columns, row.int_or_null(5)?))
    }

    /// From the columns of [`CALLER_BY_TOKEN`].
    pub(crate) fn of(
        [account, site_admin, scopes, token, kind]: [i64; 5],
        expires_at: Option<i64>,
    ) -> (CallerRow, bool) {
        let row = CallerRow {
            account: AccountId(account),
            site_admin: site_admin != 0,
            scopes: Scopes::from_number(scopes),
            token: TokenId(token),
            expires_at,
            limits: None,
        };
        (row, kind == FINE_GRAINED)
    }
}

/// A package, its visibility, and the role by name of who asks.
pub(crate) type PackageAndRole = (PackageId, Visibility, Option<Role>);

/// What is known about an account and a path.
#[derive(Debug)]
pub(crate) struct FactsRow {
    /// Where the package is, when the path led elsewhere.
    pub(crate) real: Option<String>,
    pub(crate) place: Place,
    pub(crate) found: Option<PackageAndRole>,
    /// Roles through teams and the linked repository.
    pub(crate) given: Vec<Given>,
}

impl FactsRow {
    fn facts<'tx>(&self, brand: &Brand<'tx>, caller: &Caller<'tx>, path: &str) -> PackageFacts<'tx> {
        let Place { account, standing, policy, robot, .. } = self.place;
        let granted = self.found.and_then(|(_, _, role)| role);
        let package = self.found.map(|(id, visibility, _)| (id, visibility));
        let facts = PackageFacts::new(brand, caller, path, account, standing, package, granted);
        let facts = facts.given(brand, robot.map(Given::Robot).into_iter().chain(self.given.iter().copied()));
        match policy {
            Some(policy) => facts.under(brand, policy),
            None => facts,
        }
    }
}

/// A namespace as an account stands to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) account: Option<AccountId>,
    standing: Standing,
    policy: Option<Policy>,
    robot: Option<Role>,
    members_create_repositories: bool,
}

impl Place {
    /// Those of [`NAMESPACE`].
    pub(crate) const COLUMNS: usize = 10;

    pub(crate) const NOWHERE: Place = Place {
        account: None,
        standing: Standing::Stranger,
        policy: None,
        robot: None,
        members_create_repositories: false,
    };

    /// From the columns of [`NAMESPACE`], for an account.
    pub(crate) fn of(by: i64, columns: [Option<i64>; Place::COLUMNS]) -> Result<Place, CatalogError> {
        let [id, owner, kind, private, internal, public, default, members_create, robot, role] = columns;
        let (id, kind) = (id.ok_or(CatalogError::Corrupt("number"))?, kind.unwrap_or(USER));
        let standing = match (owner, robot) {
            // A robot owns nothing, what bears its own name included.
            _ if id == by && kind != ROBOT => Standing::Owner,
            (Some(0), _) => Standing::Member,
            (Some(_), _) => Standing::Owner,
            (None, Some(_)) => Standing::Robot,
            (None, None) => Standing::Stranger,
        };
        let set = |column: Option<i64>| column.is_none_or(|flag| flag != 0);
        let policy = Policy {
            private: set(private),
            internal: set(internal),
            public: set(public),
            default: default.and_then(Visibility::from_number).unwrap_or(Visibility::Private),
        };
        Ok(Place {
            account: Some(AccountId(id)),
            standing,
            policy: (kind == ORGANIZATION).then_some(policy),
            robot: role.and_then(Role::from_number),
            members_create_repositories: set(members_create),
        })
    }
}

/// The number of who is no account, which no row has.
pub(crate) const NOBODY: i64 = -1;

fn number_of(caller: &Caller<'_>) -> i64 {
    caller.account().map_or(NOBODY, |id| id.0)
}

/// The number of an account as a parameter.
pub(crate) fn account_of(caller: &Caller<'_>) -> Value<'static> {
    Value::Int(number_of(caller))
}

/// The first part of a path.
pub(crate) fn namespace_of(path: &str) -> &str {
    path.split_once('/').map_or(path, |(namespace, _)| namespace)
}

fn package_and_role(row: &Row<'_>) -> Result<PackageAndRole, CatalogError> {
    package_of(row.int(0)?, row.int(1)?, row.int_or_null(2)?)
}

/// From the columns of [`PACKAGE`].
pub(crate) fn package_of(
    id: i64,
    visibility: i64,
    role: Option<i64>,
) -> Result<PackageAndRole, CatalogError> {
    let visibility = Visibility::from_number(visibility).ok_or(CatalogError::Corrupt("visibility"))?;
    Ok((PackageId(id), visibility, role.and_then(Role::from_number)))
}

/// From the columns of [`ROLES`].
pub(crate) fn given_by(through: i64, id: i64, role: i64) -> Option<Given> {
    match through {
        1 => Role::from_number(role).map(|role| Given::Team(TeamId(id), role)),
        _ => RepositoryRole::from_number(role).map(|role| Given::Repository(RepositoryId(id), role)),
    }
}

/// From the columns of [`LIMITS`].
pub(crate) fn limit(owner: Option<i64>, package: Option<i64>, role: i64) -> Result<Limit, CatalogError> {
    let role = Role::from_number(role).ok_or(CatalogError::Corrupt("role of a token"))?;
    let chosen = match (owner, package) {
        (Some(owner), None) => Chosen::Owner(AccountId(owner)),
        (None, Some(package)) => Chosen::Package(PackageId(package)),
        _ => return Err(CatalogError::Corrupt("limit of a token")),
    };
    Ok(Limit { chosen, role })
}

impl<'tx> WriteTx<'_, 'tx> {
    /// As [`ReadTx::facts`], with the package's row locked first: on PostgreSQL a check holds only for what is
    /// locked. Lock order: package, then blobs by digest, then the rest.
    pub fn facts(&mut self, caller: &Caller<'tx>, path: &str) -> Result<PackageFacts<'tx>, CatalogError> {
        // One writes at a time on SQLite, where that would lock nothing.
        if !self.is_alone() {
            self.row(&LOCK_PACKAGE, &[path.into()], |row| row.int(0))?;
        }
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
            Presented::ActingAs(_) => "operator for a user",
        })
    }
}
