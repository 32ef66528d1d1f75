//! Callers and facts: what a decision is made from.

use crate::accounts::{ORGANIZATION, ROBOT, USER};
use crate::sql::{Row, Value, statement};
use crate::tokens::FINE_GRAINED;
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Bound, Caller, Chosen, Given, Limit, NamespaceFacts, PackageFacts, PackageId, Policy,
    RepositoryId, RepositoryRole, Role, Scopes, Standing, TeamId, TokenId, Visibility, Who,
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
    /// The operator, who does something as a user: an import pushes with the rights of an account, and no others.
    ActingAs(AccountId),
    /// A background worker.
    Worker,
}

const PERSONAL_TOKEN: &str = "personal token";

statement!(
    CALLER_BY_HASH,
    "SELECT a.id, a.site_admin, t.scopes, t.id, t.kind FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
       AND a.suspended_at IS NULL"
);
statement!(
    CALLER_BY_TOKEN,
    "SELECT a.id, a.site_admin, t.scopes, t.id, t.kind FROM tokens t JOIN accounts a ON a.id = t.account_id
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
        let account = |row: &Row<'_>| {
            let who = Who::Account { id: AccountId(row.int(0)?), site_admin: row.int(1)? != 0 };
            let (scopes, token) = (Scopes::from_number(row.int(2)?), TokenId(row.int(3)?));
            Ok((who, Some(token), scopes, row.int(4)? == FINE_GRAINED))
        };
        let (found, bound) = match presented {
            Presented::Anonymous { bound } => {
                (Some((Who::Anonymous, None, Scopes::NONE, false)), bound.clone())
            }
            Presented::Operator => (Some((Who::Operator, None, Scopes::ALL, false)), None),
            Presented::Worker => (Some((Who::Worker, None, Scopes::NONE, false)), None),
            Presented::ActingAs(id) => {
                let values = [id.0.into(), USER.into()];
                let found = self.row(&CALLER_BY_ACCOUNT, &values, |row| {
                    let who = Who::Account { id: AccountId(row.int(0)?), site_admin: row.int(1)? != 0 };
                    Ok((who, None, Scopes::ALL, false))
                })?;
                (found, None)
            }
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
        let Some((who, token, scopes, fine_grained)) = found else { return Ok(None) };
        let caller = Caller::new(&self.brand, who, token, scopes, bound);
        let Some(token) = token.filter(|_| fine_grained) else { return Ok(Some(caller)) };
        let limits = self.rows(&LIMITS, &[token.0.into()], limit)?;
        Ok(Some(caller.limited(&self.brand, limits)))
    }

    /// The facts about a package path. The same statements run whether there is such a package or not, so the
    /// work tells a stranger nothing.
    pub fn facts(&mut self, caller: &Caller<'tx>, path: &str) -> Result<PackageFacts<'tx>, CatalogError> {
        let found = self.row(&PACKAGE, &[path.into(), account_of(caller)], package_and_role)?;
        self.facts_about(caller, path, path, found)
    }

    /// As [`ReadTx::facts`], for who only reads: a path that a package had before it was renamed leads to it. The
    /// facts are the real package's, in the namespace where it is now, under the path that was asked for.
    pub fn facts_followed(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
    ) -> Result<PackageFacts<'tx>, CatalogError> {
        let found = self.row(&PACKAGE_FOLLOWED, &[path.into(), account_of(caller)], |row| {
            Ok((package_and_role(row)?, row.text(3)?))
        })?;
        let (found, real) = found.map_or((None, path.to_owned()), |(found, real)| (Some(found), real));
        self.facts_about(caller, path, &real, found)
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
        self.facts_about(caller, path, path, found)
    }

    fn facts_about(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
        real: &str,
        found: Option<(PackageId, Visibility, Option<Role>)>,
    ) -> Result<PackageFacts<'tx>, CatalogError> {
        let namespace = real.split_once('/').map_or(real, |(namespace, _)| namespace);
        let place = self.place(caller, namespace)?;
        let granted = found.and_then(|(_, _, role)| role);
        let package = found.map(|(id, visibility, _)| (id, visibility));
        let mut given: Vec<Given> = place.robot.map(Given::Robot).into_iter().collect();
        if caller.account().is_some() {
            let id = package.map_or(-1, |(id, _)| id.0);
            let roles = self.rows(&ROLES, &[id.into(), account_of(caller)], |row| {
                let (id, role) = (row.int(1)?, row.int(2)?);
                Ok(match row.int(0)? {
                    1 => Role::from_number(role).map(|role| Given::Team(TeamId(id), role)),
                    _ => RepositoryRole::from_number(role)
                        .map(|role| Given::Repository(RepositoryId(id), role)),
                })
            })?;
            given.extend(roles.into_iter().flatten());
        }
        let (brand, standing) = (&self.brand, place.standing);
        let facts = PackageFacts::new(brand, caller, path, place.account, standing, package, granted);
        let facts = facts.given(brand, given);
        Ok(match place.policy {
            Some(policy) => facts.under(brand, policy),
            None => facts,
        })
    }

    /// The facts about an account that owns things.
    pub fn namespace_facts(
        &mut self,
        caller: &Caller<'tx>,
        name: &str,
    ) -> Result<NamespaceFacts<'tx>, CatalogError> {
        let place = self.place(caller, name)?;
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

    fn place(&mut self, caller: &Caller<'tx>, namespace: &str) -> Result<Place, CatalogError> {
        let found = self.row(&NAMESPACE, &[namespace.into(), account_of(caller)], |row| {
            let account = AccountId(row.int(0)?);
            let robot = row.int_or_null(8)?;
            let standing = match (row.int_or_null(1)?, robot) {
                // A robot owns nothing, what bears its own name included.
                _ if Some(account) == caller.account() && row.int(2)? != ROBOT => Standing::Owner,
                (Some(0), _) => Standing::Member,
                (Some(_), _) => Standing::Owner,
                (None, Some(_)) => Standing::Robot,
                (None, None) => Standing::Stranger,
            };
            let organization = row.int(2)? == ORGANIZATION;
            let default = row.int_or_null(6)?;
            let set = |column| Ok::<_, CatalogError>(row.int_or_null(column)?.is_none_or(|flag| flag != 0));
            let policy = Policy {
                private: set(3)?,
                internal: set(4)?,
                public: set(5)?,
                default: default.and_then(Visibility::from_number).unwrap_or(Visibility::Private),
            };
            Ok(Place {
                account: Some(account),
                standing,
                policy: organization.then_some(policy),
                robot: row.int_or_null(9)?.and_then(Role::from_number),
                members_create_repositories: set(7)?,
            })
        })?;
        Ok(found.unwrap_or(Place {
            account: None,
            standing: Standing::Stranger,
            policy: None,
            robot: None,
            members_create_repositories: false,
        }))
    }
}

/// A namespace as its caller stands to it.
struct Place {
    account: Option<AccountId>,
    standing: Standing,
    policy: Option<Policy>,
    robot: Option<Role>,
    members_create_repositories: bool,
}

/// Who is no account has this number, which no row has.
pub(crate) fn account_of(caller: &Caller<'_>) -> Value<'static> {
    Value::Int(caller.account().map_or(-1, |id| id.0))
}

fn package_and_role(row: &Row<'_>) -> Result<(PackageId, Visibility, Option<Role>), CatalogError> {
    let visibility = Visibility::from_number(row.int(1)?).ok_or(CatalogError::Corrupt("visibility"))?;
    Ok((PackageId(row.int(0)?), visibility, row.int_or_null(2)?.and_then(Role::from_number)))
}

fn limit(row: &Row<'_>) -> Result<Limit, CatalogError> {
    let role = Role::from_number(row.int(2)?).ok_or(CatalogError::Corrupt("role of a token"))?;
    let chosen = match (row.int_or_null(0)?, row.int_or_null(1)?) {
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
            Presented::ActingAs(_) => "operator for a user",
        })
    }
}
