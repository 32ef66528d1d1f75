//! Organizations: profiles, members, and what members may do.

use crate::accounts::account;
use crate::retention::END_RETENTION;
use crate::rules::END_TAG_RULES;
use crate::sql::{Value, statement};
use crate::window::Window;
use crate::{Account, CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountEnd, AccountId, Caller, Govern, Granted, Inspect, NamespaceFacts, Own, Policy, RepositoryRole,
    Visibility,
};

/// What members of an organization may do, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrganizationPolicy {
    /// Which packages they may have.
    pub packages: Policy,
    /// Whether a package that is linked by its first push inherits the repository's access.
    pub packages_inherit: bool,
    /// What each member may in each repository; none: nothing by being a member.
    pub base_role: Option<RepositoryRole>,
    /// Whether they may make repositories.
    pub members_create_repositories: bool,
}

impl Default for OrganizationPolicy {
    /// GitHub's.
    fn default() -> Self {
        OrganizationPolicy {
            packages: Policy::default(),
            packages_inherit: true,
            base_role: Some(RepositoryRole::Read),
            members_create_repositories: true,
        }
    }
}

/// What an account says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What people call it.
    pub display_name: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// An address to write to.
    pub email: Option<String>,
}

/// A membership with both its ends known to who asks.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The member, or the organization: the end that the list is about.
    pub account: Account,
    /// Whether the member owns the organization.
    pub owner: bool,
}

statement!(
    ACCOUNT_BY_ID,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count
     FROM accounts a WHERE a.id = $1"
);
statement!(LOCK_ACCOUNT, "SELECT id FROM accounts WHERE name = $1 {lock}");
statement!(
    SET_PROFILE,
    "UPDATE accounts SET display_name = $2, description = $3, email = $4, updated_at = $5 WHERE id = $1"
);
statement!(
    MEMBERS_LISTED,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, m.owner
     FROM memberships m JOIN accounts a ON a.id = m.account_id
     WHERE m.organization_id = $4 AND ($5 < 0 OR m.owner = $5) AND a.name > $1
     ORDER BY a.name LIMIT $2 OFFSET $3"
);
statement!(MEMBER_COUNT, "SELECT COUNT(*) FROM memberships WHERE organization_id = $1");
statement!(
    MEMBERSHIP,
    "SELECT m.owner FROM memberships m WHERE m.organization_id = $1 AND m.account_id = $2"
);
statement!(
    ORGANIZATIONS_OF,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, m.owner
     FROM memberships m JOIN accounts a ON a.id = m.organization_id
     WHERE m.account_id = $4 AND a.name > $1 ORDER BY a.name LIMIT $2 OFFSET $3"
);
// Memberships are not public here: of somebody else's, one sees those that one shares.
statement!(
    ORGANIZATIONS_SHARED,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, m.owner
     FROM memberships m JOIN memberships n ON n.organization_id = m.organization_id AND n.account_id = $5
     JOIN accounts a ON a.id = m.organization_id
     WHERE m.account_id = $4 AND a.name > $1 ORDER BY a.name LIMIT $2 OFFSET $3"
);
statement!(
    POLICY,
    "SELECT packages_private, packages_internal, packages_public, packages_default, packages_inherit, base_role,
       members_create_repositories FROM policies WHERE organization_id = $1"
);
statement!(
    PUT_POLICY,
    "INSERT INTO policies (organization_id, packages_private, packages_internal, packages_public,
       packages_default, packages_inherit, base_role, members_create_repositories)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (organization_id) DO UPDATE SET packages_private = excluded.packages_private,
       packages_internal = excluded.packages_internal, packages_public = excluded.packages_public,
       packages_default = excluded.packages_default, packages_inherit = excluded.packages_inherit,
       base_role = excluded.base_role, members_create_repositories = excluded.members_create_repositories"
);
// Who leaves an organization leaves its teams, its closed packages and its closed repositories.
statement!(
    LEAVE_TEAMS_COUNT,
    "UPDATE teams SET member_count = member_count - 1
     WHERE organization_id = $1 AND id IN (SELECT team_id FROM team_members WHERE account_id = $2)"
);
statement!(
    LEAVE_TEAMS,
    "DELETE FROM team_members WHERE account_id = $2
     AND EXISTS (SELECT 1 FROM teams t WHERE t.id = team_members.team_id AND t.organization_id = $1)"
);
statement!(
    LEAVE_PACKAGES,
    "DELETE FROM package_grants WHERE account_id = $2
     AND EXISTS (SELECT 1 FROM packages p WHERE p.id = package_grants.package_id AND p.owner_id = $1
                 AND p.visibility < 2)"
);
statement!(
    LEAVE_REPOSITORIES,
    "DELETE FROM repository_accounts WHERE account_id = $2
     AND EXISTS (SELECT 1 FROM repositories r WHERE r.id = repository_accounts.repository_id AND r.owner_id = $1
                 AND r.visibility < 2)"
);

// What an organization had when it is deleted. Its packages stay as rows, since blobs and histories hang on them,
// under paths that nobody can ask for: `~` is in no name.
statement!(
    END_PACKAGES,
    "UPDATE packages SET path = '~' || owner_id || '/' || path, deleted_at = $2, deleted_by = $3,
       repository_id = NULL, inherits = 0 WHERE owner_id = $1 AND deleted_at IS NULL"
);
statement!(
    END_DELETED_PACKAGES,
    "UPDATE packages SET path = '~' || owner_id || '/' || path, repository_id = NULL, inherits = 0
     WHERE owner_id = $1 AND deleted_at IS NOT NULL AND path < '~'"
);
statement!(
    END_REDIRECTS,
    "DELETE FROM redirects
     WHERE package_id IN (SELECT id FROM packages WHERE owner_id = $1 AND deleted_at IS NOT NULL)"
);
statement!(
    END_TEAM_MEMBERS,
    "DELETE FROM team_members WHERE team_id IN (SELECT id FROM teams WHERE organization_id = $1)"
);
statement!(
    END_TEAM_REPOSITORIES,
    "DELETE FROM repository_teams WHERE team_id IN (SELECT id FROM teams WHERE organization_id = $1)"
);
statement!(
    END_TEAM_PACKAGES,
    "DELETE FROM package_teams WHERE team_id IN (SELECT id FROM teams WHERE organization_id = $1)"
);
statement!(END_TEAM_PARENTS, "UPDATE teams SET parent_id = NULL WHERE organization_id = $1");
statement!(END_TEAMS, "DELETE FROM teams WHERE organization_id = $1");
statement!(
    END_COLLABORATORS,
    "DELETE FROM repository_accounts WHERE repository_id IN (SELECT id FROM repositories WHERE owner_id = $1)"
);
statement!(
    END_WORKFLOW_ROLES,
    "DELETE FROM package_repositories WHERE repository_id IN (SELECT id FROM repositories WHERE owner_id = $1)"
);
statement!(END_REPOSITORIES, "DELETE FROM repositories WHERE owner_id = $1");
statement!(END_POLICY, "DELETE FROM policies WHERE organization_id = $1");
statement!(END_MEMBERSHIPS, "DELETE FROM memberships WHERE organization_id = $1");
statement!(
    END_ROBOTS,
    "UPDATE accounts SET name = '~' || id, organization_id = NULL, role = NULL, suspended_at = $2, updated_at = $2
     WHERE organization_id = $1"
);
// As a robot of nobody the row is found by no list and no name, and its own name is free.
statement!(
    END_ORGANIZATION,
    "UPDATE accounts SET name = '~' || id, kind = 3, suspended_at = $2, updated_at = $2, package_count = 0,
       public_package_count = 0, repository_count = 0, public_repository_count = 0 WHERE id = $1"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// The caller's own account.
    pub fn own_account(&mut self, may: &Granted<'tx, Own>) -> Result<Account, CatalogError> {
        self.account_by_id(may.own())?.ok_or(CatalogError::Corrupt("account"))
    }

    /// The account that something else named by its identifier.
    pub fn account_by_id(&mut self, id: AccountId) -> Result<Option<Account>, CatalogError> {
        self.row(&ACCOUNT_BY_ID, &[id.0.into()], account)
    }

    /// Members of an organization by name: its owners, those who are none, or all.
    pub fn members_listed(
        &mut self,
        may: &Granted<'tx, Inspect>,
        owners: Option<bool>,
        window: &Window,
    ) -> Result<Vec<Membership>, CatalogError> {
        let [after, limit, skip] = window.values();
        let owners = Value::Int(owners.map_or(-1, i64::from));
        self.rows(&MEMBERS_LISTED, &[after, limit, skip, may.namespace().0.into(), owners], |row| {
            Ok(Membership { account: account(row)?, owner: row.int(15)? != 0 })
        })
    }

    /// How many members an organization has.
    pub fn member_count(&mut self, may: &Granted<'tx, Inspect>) -> Result<u64, CatalogError> {
        let count = self.row(&MEMBER_COUNT, &[may.namespace().0.into()], |row| row.size(0))?;
        Ok(count.unwrap_or(0))
    }

    /// Whether an account is a member of the organization, and if so whether it owns it.
    pub fn membership(
        &mut self,
        may: &Granted<'tx, Inspect>,
        account: AccountId,
    ) -> Result<Option<bool>, CatalogError> {
        self.is_member(may.namespace(), account)
    }

    pub(crate) fn is_member(
        &mut self,
        organization: AccountId,
        account: AccountId,
    ) -> Result<Option<bool>, CatalogError> {
        let values = [organization.0.into(), account.0.into()];
        self.row(&MEMBERSHIP, &values, |row| Ok(row.int(0)? != 0))
    }

    /// The organizations that the caller is a member of, by name.
    pub fn own_memberships(
        &mut self,
        may: &Granted<'tx, Own>,
        window: &Window,
    ) -> Result<Vec<Membership>, CatalogError> {
        let [after, limit, skip] = window.values();
        self.rows(&ORGANIZATIONS_OF, &[after, limit, skip, may.own().0.into()], |row| {
            Ok(Membership { account: account(row)?, owner: row.int(15)? != 0 })
        })
    }

    /// The organizations of another user that the caller is in too, by name.
    pub fn shared_memberships(
        &mut self,
        may: &Granted<'tx, Own>,
        user: AccountId,
        window: &Window,
    ) -> Result<Vec<Membership>, CatalogError> {
        let [after, limit, skip] = window.values();
        let values = [after, limit, skip, user.0.into(), may.own().0.into()];
        self.rows(&ORGANIZATIONS_SHARED, &values, |row| {
            Ok(Membership { account: account(row)?, owner: row.int(15)? != 0 })
        })
    }

    /// What members of the organization may do.
    pub fn policy(&mut self, may: &Granted<'tx, Inspect>) -> Result<OrganizationPolicy, CatalogError> {
        self.policy_of(may.namespace())
    }

    pub(crate) fn policy_of(&mut self, organization: AccountId) -> Result<OrganizationPolicy, CatalogError> {
        let found = self.row(&POLICY, &[organization.0.into()], |row| {
            let default = Visibility::from_number(row.int(3)?).ok_or(CatalogError::Corrupt("visibility"))?;
            Ok(OrganizationPolicy {
                packages: Policy {
                    private: row.int(0)? != 0,
                    internal: row.int(1)? != 0,
                    public: row.int(2)? != 0,
                    default,
                },
                packages_inherit: row.int(4)? != 0,
                base_role: RepositoryRole::from_number(row.int(5)?),
                members_create_repositories: row.int(6)? != 0,
            })
        })?;
        Ok(found.unwrap_or_default())
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Changes what the caller's account says of itself.
    pub fn set_own_profile(
        &mut self,
        may: &Granted<'tx, Own>,
        profile: &Profile,
        now: Micros,
    ) -> Result<(), CatalogError> {
        self.put_profile(may.own(), profile, now)
    }

    /// Changes what an organization says of itself.
    pub fn set_profile(
        &mut self,
        may: &Granted<'tx, Govern>,
        profile: &Profile,
        now: Micros,
    ) -> Result<(), CatalogError> {
        self.put_profile(may.namespace(), profile, now)
    }

    fn put_profile(&mut self, id: AccountId, profile: &Profile, now: Micros) -> Result<(), CatalogError> {
        let values = [
            id.0.into(),
            profile.display_name.as_deref().into(),
            profile.description.as_deref().into(),
            profile.email.as_deref().into(),
            now.0.into(),
        ];
        self.execute(&SET_PROFILE, &values).map(drop)
    }

    /// Changes what members of the organization may do.
    pub fn set_policy(
        &mut self,
        may: &Granted<'tx, Govern>,
        policy: &OrganizationPolicy,
    ) -> Result<(), CatalogError> {
        let flag = |flag: bool| Value::Int(i64::from(flag));
        let values = [
            may.namespace().0.into(),
            flag(policy.packages.private),
            flag(policy.packages.internal),
            flag(policy.packages.public),
            policy.packages.default.number().into(),
            flag(policy.packages_inherit),
            policy.base_role.map_or(0, RepositoryRole::number).into(),
            flag(policy.members_create_repositories),
        ];
        self.execute(&PUT_POLICY, &values).map(drop)
    }

    /// Makes an account a member, or changes whether it owns the organization.
    pub fn put_membership(
        &mut self,
        may: &Granted<'tx, Govern>,
        account: AccountId,
        owner: bool,
    ) -> Result<(), CatalogError> {
        self.join(may.namespace(), account, owner)
    }

    /// Ends a membership, and with it the places in teams and the roles on what is closed to others; whether there
    /// was one.
    pub fn remove_membership(
        &mut self,
        may: &Granted<'tx, Govern>,
        account: AccountId,
    ) -> Result<bool, CatalogError> {
        self.part(may.namespace(), account)
    }

    /// Deletes the organization with all it has, none of which a rule holds. Its name is free at once.
    pub fn delete_organization(
        &mut self,
        may: &Granted<'tx, Govern>,
        _end: &AccountEnd<'tx>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let (id, by) = (Value::Int(may.namespace().0), may.account().map(|id| id.0));
        self.execute(&END_DELETED_PACKAGES, &[id])?;
        self.execute(&END_PACKAGES, &[id, now.0.into(), by.into()])?;
        self.review_packages_of(may.namespace(), now)?;
        self.forget_storage(may.namespace())?;
        for statement in [
            &END_REDIRECTS,
            &END_TEAM_MEMBERS,
            &END_TEAM_REPOSITORIES,
            &END_TEAM_PACKAGES,
            &END_TEAM_PARENTS,
            &END_TEAMS,
            &END_COLLABORATORS,
            &END_WORKFLOW_ROLES,
            &END_REPOSITORIES,
            &END_POLICY,
            &END_TAG_RULES,
            &END_RETENTION,
            &END_MEMBERSHIPS,
        ] {
            self.execute(statement, &[id])?;
        }
        self.execute(&END_ROBOTS, &[id, now.0.into()])?;
        self.execute(&END_ORGANIZATION, &[id, now.0.into()]).map(drop)
    }

    /// Who owns the organization, their rows locked.
    pub fn organization_owners(
        &mut self,
        may: &Granted<'tx, Govern>,
    ) -> Result<Vec<AccountId>, CatalogError> {
        self.owners_locked(may.namespace())
    }

    /// What must go with a membership. The membership itself is gone before: who gives a role looks for it, under a
    /// lock.
    pub(crate) fn leave_all(
        &mut self,
        organization: AccountId,
        account: AccountId,
    ) -> Result<(), CatalogError> {
        let values = [organization.0.into(), account.0.into()];
        self.execute(&LEAVE_TEAMS_COUNT, &values)?;
        for statement in [&LEAVE_TEAMS, &LEAVE_PACKAGES, &LEAVE_REPOSITORIES] {
            self.execute(statement, &values)?;
        }
        Ok(())
    }

    /// As [`ReadTx::namespace_facts`], with the account's row locked first: what is changed about an organization is
    /// changed by one at a time.
    pub fn namespace_facts(
        &mut self,
        caller: &Caller<'tx>,
        name: &str,
    ) -> Result<NamespaceFacts<'tx>, CatalogError> {
        self.row(&LOCK_ACCOUNT, &[name.into()], |row| row.int(0))?;
        ReadTx::namespace_facts(self, caller, name)
    }
}
