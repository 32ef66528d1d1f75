//! Accounts as people see them: profiles, organizations, their members and what those may do.

use crate::Denied;
use crate::Service;
use crate::identity::Shown;
use crate::manage::{ManageError, Rows, lower, text, user};
use packhouse_access::Policy;
use packhouse_access::{
    Caller, Govern, Granted, Inspect, Refusal, Refused, RepositoryRole, Scopes, Standing, Visibility,
    decide_account_end, decide_namespace, decide_own,
};
use packhouse_catalog::Micros;
use packhouse_catalog::{
    Account, AccountKind, Membership, OrganizationPolicy, Profile, ReadTx, Window, WriteTx,
};

/// Characters of names and of longer texts.
const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 512;
const EMAIL_CHARS_MAX: usize = 254;

/// Packages that an organization may have when it is deleted: one transaction ends them all.
const PACKAGES_MAX: u64 = 10_000;

/// What changes of a profile: absent stays, empty goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// What people call it.
    pub display_name: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// An address to write to.
    pub email: Option<String>,
}

/// What changes of what members may do: absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// Whether members may have private packages.
    pub private: Option<bool>,
    /// Whether members may have internal packages.
    pub internal: Option<bool>,
    /// Whether members may have public packages.
    pub public: Option<bool>,
    /// What a package is when it is made.
    pub default: Option<Visibility>,
    /// Whether a package that is linked by its first push inherits the repository's access.
    pub inherit: Option<bool>,
    /// What each member may in each repository.
    pub base_role: Option<Option<RepositoryRole>>,
    /// Whether members may make repositories.
    pub members_create_repositories: Option<bool>,
}

/// An account as the caller sees it.
#[derive(Clone, Debug)]
pub struct AccountSeen {
    /// It.
    pub account: Account,
    /// What members may do, for who may see that: members of the organization.
    pub policy: Option<OrganizationPolicy>,
}

/// A membership with both ends.
#[derive(Clone, Debug)]
pub struct MembershipSeen {
    /// The organization.
    pub organization: Account,
    /// The member.
    pub user: Account,
    /// Whether the member owns the organization.
    pub owner: bool,
}

/// Whether somebody is a member, as far as the caller may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberAnswer {
    /// A member.
    Member,
    /// None.
    No,
    /// The caller is no member themselves, and memberships are not public.
    NotToBeKnown,
}

fn organization(tx: &mut ReadTx<'_, '_>, name: &str) -> Result<Account, ManageError> {
    let found = tx.account(&lower(name))?.filter(|account| account.kind == AccountKind::Organization);
    found.ok_or_else(|| ManageError::unknown("organization", name))
}

/// The right to look into an organization.
pub(crate) fn inspect<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
) -> Result<Granted<'tx, Inspect>, ManageError> {
    let facts = tx.namespace_facts(caller, &lower(org))?;
    let may = decide_namespace::<Inspect>(&facts)?;
    if !facts.is_organization() {
        return Err(ManageError::unknown("organization", org));
    }
    Ok(may)
}

/// The rights to change an organization and to look into it, under its lock.
pub(crate) fn govern<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
) -> Result<(Granted<'tx, Govern>, Granted<'tx, Inspect>), ManageError> {
    let facts = tx.namespace_facts(caller, &lower(org))?;
    let may = decide_namespace::<Govern>(&facts)?;
    if !facts.is_organization() {
        return Err(ManageError::unknown("organization", org));
    }
    Ok((may, decide_namespace::<Inspect>(&facts)?))
}

fn changed(now: &Account, change: &ProfileChange, resource: &'static str) -> Result<Profile, ManageError> {
    let field = |name, change: &Option<String>, now: &Option<String>, max| match change {
        Some(value) => text(resource, name, value, max),
        None => Ok(now.clone()),
    };
    let profile = Profile {
        display_name: field("name", &change.display_name, &now.display_name, NAME_CHARS_MAX)?,
        description: field("description", &change.description, &now.description, DESCRIPTION_CHARS_MAX)?,
        email: field("email", &change.email, &now.email, EMAIL_CHARS_MAX)?,
    };
    if profile.email.as_ref().is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace))
    {
        return Err(ManageError::invalid(
            resource,
            "email",
            "email is not an address such as `mona@example.org`",
        ));
    }
    Ok(profile)
}

/// Changes what members may do.
pub(crate) fn change_policy<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Govern>,
    see: &Granted<'tx, Inspect>,
    change: PolicyChange,
) -> Result<OrganizationPolicy, ManageError> {
    let was = tx.policy(see)?;
    let packages = Policy {
        private: change.private.unwrap_or(was.packages.private),
        internal: change.internal.unwrap_or(was.packages.internal),
        public: change.public.unwrap_or(was.packages.public),
        default: change.default.unwrap_or(was.packages.default),
    };
    let policy = OrganizationPolicy {
        packages,
        packages_inherit: change.inherit.unwrap_or(was.packages_inherit),
        base_role: change.base_role.unwrap_or(was.base_role),
        members_create_repositories: change
            .members_create_repositories
            .unwrap_or(was.members_create_repositories),
    };
    // With all three off, members create nothing, and the default is the owners'.
    let any = packages.private || packages.internal || packages.public;
    if any && !packages.allows(packages.default) {
        let why = format!(
            "a new package would be {0}, which members may not have; choose a default that they may, or allow {0}",
            packages.default
        );
        return Err(ManageError::invalid("Organization", "packages_default_visibility", why));
    }
    tx.set_policy(may, &policy)?;
    Ok(policy)
}

/// An organization without an owner could not be administered by anyone of it.
fn keep_an_owner<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Govern>,
    org: &str,
    user: &Account,
) -> Result<(), ManageError> {
    if tx.organization_owners(may)? == [user.id] {
        let who = &user.login;
        return Err(ManageError::Forbidden(format!(
            "{who} is the last owner of {org}; make another owner first"
        )));
    }
    Ok(())
}

fn put_membership<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    name: &str,
    owner: bool,
) -> Result<MembershipSeen, ManageError> {
    let (may, _) = govern(tx, caller, org)?;
    let user = user(tx, name)?;
    if !owner {
        keep_an_owner(tx, &may, org, &user)?;
    }
    tx.put_membership(&may, user.id, owner)?;
    Ok(MembershipSeen { organization: organization(tx, org)?, user, owner })
}

fn remove_membership<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    name: &str,
) -> Result<(), ManageError> {
    let (may, _) = govern(tx, caller, org)?;
    let user = user(tx, name)?;
    keep_an_owner(tx, &may, org, &user)?;
    if !tx.remove_membership(&may, user.id)? {
        return Err(ManageError::unknown("member", name));
    }
    Ok(())
}

impl Service {
    /// The caller's own account.
    pub async fn own_account(&self, shown: &Shown) -> Result<Account, ManageError> {
        self.look(shown, |tx, caller| Ok(tx.own_account(&decide_own(caller, Scopes::NONE)?)?)).await
    }

    /// Changes what the caller's account says of itself.
    pub async fn change_own_profile(
        &self,
        shown: &Shown,
        change: ProfileChange,
    ) -> Result<Account, ManageError> {
        self.change(shown, move |tx, caller, now| {
            let may = decide_own(caller, Scopes::USER)?;
            let profile = changed(&tx.own_account(&may)?, &change, "User")?;
            tx.set_own_profile(&may, &profile, now)?;
            Ok(tx.own_account(&may)?)
        })
        .await
    }

    /// An account that everyone may see: a user's or an organization's, with what only its members see when the
    /// caller is one. Robots are shown to owners only.
    pub async fn account(&self, shown: &Shown, name: &str) -> Result<AccountSeen, ManageError> {
        let name = name.to_owned();
        self.look(shown, move |tx, caller| {
            let found = tx.account(&lower(&name))?.filter(|account| account.kind != AccountKind::Robot);
            let account = found.ok_or_else(|| ManageError::unknown("account", &name))?;
            let policy = match inspect(tx, caller, &name) {
                Ok(may) => Some(tx.policy(&may)?),
                Err(ManageError::Fault(fault)) => return Err(ManageError::Fault(fault)),
                Err(_) => None,
            };
            Ok(AccountSeen { account, policy })
        })
        .await
    }

    /// Changes what an organization says of itself and what its members may do.
    pub async fn change_organization(
        &self,
        shown: &Shown,
        org: &str,
        profile: ProfileChange,
        policy: PolicyChange,
    ) -> Result<AccountSeen, ManageError> {
        let org = org.to_owned();
        self.change(shown, move |tx, caller, now| {
            let (may, see) = govern(tx, caller, &org)?;
            let was = organization(tx, &org)?;
            tx.set_profile(&may, &changed(&was, &profile, "Organization")?, now)?;
            let policy = change_policy(tx, &may, &see, policy)?;
            Ok(AccountSeen { account: organization(tx, &org)?, policy: Some(policy) })
        })
        .await
    }

    /// Deletes an organization with its teams, repositories and packages, which cannot be restored. Its name is free
    /// at once.
    pub async fn delete_organization(&self, shown: &Shown, org: &str) -> Result<(), ManageError> {
        let org = org.to_owned();
        self.change(shown, move |tx, caller, now| {
            let account = organization(tx, &org)?;
            let unseen = |refused: &Refused| refused.refusal == Refusal::NotFound;
            let (may, _) = match govern(tx, caller, &org) {
                // That there is such an organization is no secret.
                Err(ManageError::Denied(Denied::Refused(refused))) if unseen(&refused) => {
                    let why = format!("You must be an owner of {} to delete it.", account.login);
                    return Err(ManageError::Forbidden(why));
                }
                other => other?,
            };
            if account.packages > PACKAGES_MAX {
                return Err(ManageError::Forbidden(format!(
                    "{} has {} packages; delete its packages first, until there are at most {PACKAGES_MAX}.",
                    account.login, account.packages
                )));
            }
            let end = decide_account_end(&may, tx.survey_account(&may)?)?;
            Ok(tx.delete_organization(&may, &end, now)?)
        })
        .await
    }

    /// What members of an organization may do.
    pub async fn organization_policy(
        &self,
        shown: &Shown,
        org: &str,
    ) -> Result<OrganizationPolicy, ManageError> {
        let org = org.to_owned();
        self.look(shown, move |tx, caller| {
            let may = inspect(tx, caller, &org)?;
            Ok(tx.policy(&may)?)
        })
        .await
    }

    /// Members of an organization by name. Memberships are not public: who is no member sees none.
    pub async fn members(
        &self,
        shown: &Shown,
        org: &str,
        owners: Option<bool>,
        window: Window,
    ) -> Result<Rows<Membership>, ManageError> {
        let org = org.to_owned();
        self.look(shown, move |tx, caller| {
            organization(tx, &org)?;
            let may = match inspect(tx, caller, &org) {
                Err(ManageError::Denied(_)) => return Ok(Rows::none()),
                other => other?,
            };
            Rows::read(&window, |window| tx.members_listed(&may, owners, window))
        })
        .await
    }

    /// Whether somebody is a member of an organization.
    pub async fn is_member(&self, shown: &Shown, org: &str, name: &str) -> Result<MemberAnswer, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            organization(tx, &org)?;
            let may = match inspect(tx, caller, &org) {
                Err(ManageError::Denied(_)) => return Ok(MemberAnswer::NotToBeKnown),
                other => other?,
            };
            let user = tx.account(&lower(&name))?;
            let member = match user {
                Some(user) => tx.membership(&may, user.id)?.is_some(),
                None => false,
            };
            Ok(if member { MemberAnswer::Member } else { MemberAnswer::No })
        })
        .await
    }

    /// Somebody's membership, for members.
    pub async fn membership(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
    ) -> Result<MembershipSeen, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            let may = inspect(tx, caller, &org)?;
            let user = user(tx, &name)?;
            let owner = tx.membership(&may, user.id)?.ok_or_else(|| ManageError::unknown("member", &name))?;
            Ok(MembershipSeen { organization: organization(tx, &org)?, user, owner })
        })
        .await
    }

    /// Makes somebody a member, at once, or changes whether they own the organization.
    pub async fn put_membership(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
        owner: bool,
    ) -> Result<MembershipSeen, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, _| put_membership(tx, caller, &org, &name, owner)).await
    }

    /// Ends a membership, and with it places in teams and roles on what is closed to others.
    pub async fn remove_membership(&self, shown: &Shown, org: &str, name: &str) -> Result<(), ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, _| remove_membership(tx, caller, &org, &name)).await
    }

    /// The caller's memberships, by the organizations' names.
    pub async fn own_memberships(
        &self,
        shown: &Shown,
        window: Window,
    ) -> Result<(Account, Rows<Membership>), ManageError> {
        self.look(shown, move |tx, caller| {
            let may = decide_own(caller, Scopes::READ_ORG)?;
            let rows = Rows::read(&window, |window| tx.own_memberships(&may, window))?;
            Ok((tx.own_account(&may)?, rows))
        })
        .await
    }

    /// The caller's membership of an organization.
    pub async fn own_membership(&self, shown: &Shown, org: &str) -> Result<MembershipSeen, ManageError> {
        let org = org.to_owned();
        self.look(shown, move |tx, caller| {
            let own = decide_own(caller, Scopes::READ_ORG)?;
            let facts = tx.namespace_facts(caller, &lower(&org))?;
            if facts.standing() < Standing::Member || !facts.is_organization() {
                return Err(ManageError::unknown("organization", &org));
            }
            let owner = facts.standing() == Standing::Owner;
            Ok(MembershipSeen { organization: organization(tx, &org)?, user: tx.own_account(&own)?, owner })
        })
        .await
    }

    /// Organizations of a user: one's own, or those that one shares with them.
    pub async fn organizations_of(
        &self,
        shown: &Shown,
        name: &str,
        window: Window,
    ) -> Result<Rows<Membership>, ManageError> {
        let name = name.to_owned();
        self.look(shown, move |tx, caller| {
            let user = user(tx, &name)?;
            if caller.is_anonymous() {
                return Ok(Rows::none());
            }
            let may = decide_own(caller, Scopes::NONE)?;
            Rows::read(&window, |window| tx.shared_memberships(&may, user.id, window))
        })
        .await
    }
}

/// What the operator's commands do by the same rules.
pub(crate) fn operate_policy<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    org: &str,
    change: PolicyChange,
    _now: Micros,
) -> Result<OrganizationPolicy, ManageError> {
    let (may, see) = govern(tx, operator, org)?;
    if change == PolicyChange::default() {
        return Ok(tx.policy(&see)?);
    }
    change_policy(tx, &may, &see, change)
}
