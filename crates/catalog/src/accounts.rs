//! Users, organizations, memberships.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{AccountId, Granted, Operate};

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A person or a machine that signs in.
    User,
    /// Owns packages, has members, never signs in.
    Organization,
    /// Signs in for an organization, and owns nothing.
    Robot,
}

pub(crate) const USER: i64 = 1;
pub(crate) const ORGANIZATION: i64 = 2;
pub(crate) const ROBOT: i64 = 3;

impl AccountKind {
    fn number(self) -> i64 {
        match self {
            AccountKind::User => USER,
            AccountKind::Organization => ORGANIZATION,
            AccountKind::Robot => ROBOT,
        }
    }
}

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// Its name, in lower case: the first part of the paths of its packages.
    pub name: String,
    /// Its name as it was written when it was made.
    pub login: String,
    /// User or organization.
    pub kind: AccountKind,
    /// Whether it administers the site.
    pub site_admin: bool,
    /// When it was made.
    pub created_at: Micros,
    /// Since when it may not sign in.
    pub suspended_at: Option<Micros>,
    /// What people call it.
    pub display_name: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// An address to write to.
    pub email: Option<String>,
    /// When it was changed last.
    pub updated_at: Micros,
    /// Live packages.
    pub packages: u64,
    /// Those of them that are public.
    pub public_packages: u64,
    /// Repositories.
    pub repositories: u64,
    /// Those of them that are public.
    pub public_repositories: u64,
}

/// A member of an organization.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user's name.
    pub name: String,
    /// Whether they own the organization.
    pub owner: bool,
}

statement!(
    ACCOUNT_BY_NAME,
    "SELECT id, name, kind, site_admin, created_at, suspended_at, login, display_name, description, email,
       updated_at, package_count, public_package_count, repository_count, public_repository_count
     FROM accounts WHERE name = $1"
);
statement!(
    ACCOUNTS,
    "SELECT id, name, kind, site_admin, created_at, suspended_at, login, display_name, description, email,
       updated_at, package_count, public_package_count, repository_count, public_repository_count FROM accounts
     WHERE kind = $1 AND name > $2 ORDER BY name LIMIT $3"
);
statement!(
    INSERT_ACCOUNT,
    "INSERT INTO accounts (name, kind, site_admin, created_at, updated_at, login) VALUES ($1, $2, $3, $4, $4, $5)
     ON CONFLICT DO NOTHING RETURNING id"
);
statement!(SET_SITE_ADMIN, "UPDATE accounts SET site_admin = $2 WHERE id = $1");
statement!(SUSPEND, "UPDATE accounts SET suspended_at = $2 WHERE id = $1");
statement!(
    MEMBERS,
    "SELECT a.name, m.owner FROM memberships m JOIN accounts a ON a.id = m.account_id
     WHERE m.organization_id = $1 AND a.name > $2 ORDER BY a.name LIMIT $3"
);
statement!(
    PUT_MEMBER,
    "INSERT INTO memberships (organization_id, account_id, owner) VALUES ($1, $2, $3)
     ON CONFLICT (organization_id, account_id) DO UPDATE SET owner = excluded.owner"
);
statement!(REMOVE_MEMBER, "DELETE FROM memberships WHERE organization_id = $1 AND account_id = $2");
statement!(OWNERS, "SELECT account_id FROM memberships WHERE organization_id = $1 AND owner = 1 {lock}");

pub(crate) fn account_kind(number: i64) -> Result<AccountKind, CatalogError> {
    Ok(match number {
        USER => AccountKind::User,
        ORGANIZATION => AccountKind::Organization,
        ROBOT => AccountKind::Robot,
        _ => return Err(CatalogError::Corrupt("kind of account")),
    })
}

pub(crate) fn account(row: &Row<'_>) -> Result<Account, CatalogError> {
    account_at(row, 0)
}

/// The account whose columns begin at `first`, in the order of [`ACCOUNT_BY_NAME`].
pub(crate) fn account_at(row: &Row<'_>, first: usize) -> Result<Account, CatalogError> {
    Ok(Account {
        id: AccountId(row.int(first)?),
        name: row.text(first + 1)?,
        kind: account_kind(row.int(first + 2)?)?,
        site_admin: row.int(first + 3)? != 0,
        created_at: Micros(row.int(first + 4)?),
        suspended_at: row.int_or_null(first + 5)?.map(Micros),
        login: row.text(first + 6)?,
        display_name: row.text_or_null(first + 7)?,
        description: row.text_or_null(first + 8)?,
        email: row.text_or_null(first + 9)?,
        updated_at: Micros(row.int(first + 10)?),
        packages: row.size(first + 11)?,
        public_packages: row.size(first + 12)?,
        repositories: row.size(first + 13)?,
        public_repositories: row.size(first + 14)?,
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The account of that name, which must be in lower case.
    pub fn account(&mut self, name: &str) -> Result<Option<Account>, CatalogError> {
        self.row(&ACCOUNT_BY_NAME, &[name.into()], account)
    }

    /// Accounts of a kind by name, after `after`.
    pub fn accounts(
        &mut self,
        _may: &Granted<'tx, Operate>,
        kind: AccountKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Account>, CatalogError> {
        let values = [kind.number().into(), after.into(), Value::Int(limit.into())];
        self.rows(&ACCOUNTS, &values, account)
    }

    /// Members of an organization by name, after `after`.
    pub fn members(
        &mut self,
        _may: &Granted<'tx, Operate>,
        organization: AccountId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Member>, CatalogError> {
        let values = [organization.0.into(), after.into(), Value::Int(limit.into())];
        self.rows(&MEMBERS, &values, |row| Ok(Member { name: row.text(0)?, owner: row.int(1)? != 0 }))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Makes an account of that login, whose name is its lower case. `None`: the name is taken.
    pub fn create_account(
        &mut self,
        _may: &Granted<'tx, Operate>,
        login: &str,
        kind: AccountKind,
        site_admin: bool,
        now: Micros,
    ) -> Result<Option<AccountId>, CatalogError> {
        let name = login.to_ascii_lowercase();
        let site_admin = i64::from(site_admin);
        let values =
            [name.as_str().into(), kind.number().into(), site_admin.into(), now.0.into(), login.into()];
        Ok(self.inserted(&INSERT_ACCOUNT, &values)?.map(AccountId))
    }

    /// Gives or takes the administration of the site.
    pub fn set_site_admin(
        &mut self,
        _may: &Granted<'tx, Operate>,
        account: AccountId,
        site_admin: bool,
    ) -> Result<(), CatalogError> {
        self.execute(&SET_SITE_ADMIN, &[account.0.into(), i64::from(site_admin).into()]).map(drop)
    }

    /// Suspends an account (none of its tokens works), or lets it sign in again.
    pub fn set_suspended(
        &mut self,
        _may: &Granted<'tx, Operate>,
        account: AccountId,
        since: Option<Micros>,
    ) -> Result<(), CatalogError> {
        self.execute(&SUSPEND, &[account.0.into(), since.map(|at| at.0).into()]).map(drop)
    }

    /// Makes `account` a member of the organization, or changes whether it owns it.
    pub fn put_member(
        &mut self,
        _may: &Granted<'tx, Operate>,
        organization: AccountId,
        account: AccountId,
        owner: bool,
    ) -> Result<(), CatalogError> {
        self.join(organization, account, owner)
    }

    /// Ends a membership, and what came with it; whether there was one.
    pub fn remove_member(
        &mut self,
        _may: &Granted<'tx, Operate>,
        organization: AccountId,
        account: AccountId,
    ) -> Result<bool, CatalogError> {
        self.part(organization, account)
    }

    /// Who owns the organization, their rows locked.
    pub fn owners(
        &mut self,
        _may: &Granted<'tx, Operate>,
        organization: AccountId,
    ) -> Result<Vec<AccountId>, CatalogError> {
        self.owners_locked(organization)
    }

    pub(crate) fn join(
        &mut self,
        organization: AccountId,
        account: AccountId,
        owner: bool,
    ) -> Result<(), CatalogError> {
        let values = [organization.0.into(), account.0.into(), i64::from(owner).into()];
        self.execute(&PUT_MEMBER, &values).map(drop)
    }

    pub(crate) fn part(&mut self, organization: AccountId, account: AccountId) -> Result<bool, CatalogError> {
        let parted = self.execute(&REMOVE_MEMBER, &[organization.0.into(), account.0.into()])? > 0;
        if parted {
            self.leave_all(organization, account)?;
        }
        Ok(parted)
    }

    pub(crate) fn owners_locked(&mut self, organization: AccountId) -> Result<Vec<AccountId>, CatalogError> {
        self.rows(&OWNERS, &[organization.0.into()], |row| row.int(0).map(AccountId))
    }
}
