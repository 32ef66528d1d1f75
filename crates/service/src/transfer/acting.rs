//! As whom the operator imports.

use super::{Halt, ImportOrder};
use crate::access::caller;
use crate::error::of_catalog;
use crate::identity::ActingAs;
use crate::{Denied, Fault, Service, Shown};
use packhouse_access::{AccountId, Granted, Operate, Refused, Visibility, decide_operate, decide_publish};
use packhouse_catalog::{Account, AccountKind, CatalogError, Presented, WriteTx};
use packhouse_oci::{AccountName, PackageName};

/// Why nobody pushes.
enum Nobody {
    Said(String),
    Fault(Fault),
}

impl From<CatalogError> for Nobody {
    fn from(error: CatalogError) -> Self {
        of_catalog(error)
    }
}

impl From<Fault> for Nobody {
    fn from(fault: Fault) -> Self {
        Nobody::Fault(fault)
    }
}

impl From<Denied> for Nobody {
    fn from(error: Denied) -> Self {
        Nobody::Said(error.to_string())
    }
}

impl From<Refused> for Nobody {
    fn from(error: Refused) -> Self {
        Nobody::Said(error.to_string())
    }
}

impl From<Nobody> for Halt {
    fn from(nobody: Nobody) -> Self {
        match nobody {
            Nobody::Said(why) => Halt::Refused(why),
            Nobody::Fault(fault) => Halt::fault(&fault),
        }
    }
}

impl Service {
    /// Who pushes to a package: whom the operator named, or else who owns its namespace. An organization is made for
    /// a namespace that is not there, where the order says so; in a dry run there may then be nobody yet.
    pub(super) async fn acting_for(
        &self,
        name: &PackageName,
        order: &ImportOrder,
    ) -> Result<Option<Shown>, Halt> {
        let (name, now) = (name.clone(), self.clock.now());
        let (named, admin) = (order.acting_as.clone(), self.settings.admin.clone());
        let (create, dry) = (order.create_accounts, order.dry_run);
        let user = self
            .catalog
            .write(move |tx| {
                let operator = caller::<Nobody>(tx, &Presented::Operator, now)?;
                let may = decide_operate(&operator)?;
                let named = named.as_deref().map(|named| user(tx, named)).transpose()?;
                let Some(namespace) = tx.account(name.namespace())? else {
                    let why = format!(
                        "there is no account `{}`; `packhouse user create` or `packhouse org create` makes it, \
                         --create-accounts makes an organization, --to puts all names below one account",
                        name.namespace()
                    );
                    if !create {
                        return Err(Nobody::Said(why));
                    }
                    if dry {
                        return Ok(None);
                    }
                    let owner = match named {
                        Some(user) => user,
                        None => user(tx, admin.as_str())?,
                    };
                    let made = tx.create_account(
                        &may,
                        name.namespace(),
                        AccountKind::Organization,
                        false,
                        now,
                    )?;
                    let made = made.ok_or(Nobody::Said(why))?;
                    tx.put_member(&may, made, owner, true)?;
                    return Ok(Some(ActingAs::user(&may, owner)));
                };
                let user = match named {
                    Some(user) => user,
                    None => owner(tx, &may, &namespace)?,
                };
                Ok::<_, Nobody>(Some(ActingAs::user(&may, user)))
            })
            .await?;
        Ok(user.map(Shown::ActingAs))
    }

    /// Gives a package the visibility that was ordered, as who pushed to it.
    pub(super) async fn publish(
        &self,
        shown: &Shown,
        name: &PackageName,
        visibility: Visibility,
    ) -> Result<(), Halt> {
        let presented = self.presented(shown).map_err(Nobody::from)?;
        let (name, now) = (name.clone(), self.clock.now());
        self.catalog
            .write(move |tx| {
                let caller = caller::<Nobody>(tx, &presented, now)?;
                let facts = tx.facts(&caller, name.as_str())?;
                // Nothing of it was taken, so there is none.
                if !facts.exists() {
                    return Ok(());
                }
                let may = decide_publish(&facts, visibility)?;
                Ok::<_, Nobody>(tx.set_visibility(&may, now)?)
            })
            .await
            .map_err(Halt::from)
    }
}

fn user(tx: &mut WriteTx<'_, '_>, name: &str) -> Result<AccountId, Nobody> {
    let none = || Nobody::Said(format!("there is no user `{}` to import as", super::names::cut(name)));
    let parsed: AccountName = name.to_ascii_lowercase().parse().map_err(|_| none())?;
    let found = tx.account(parsed.as_str())?.filter(|account| account.kind == AccountKind::User);
    found.map(|account| account.id).ok_or_else(none)
}

/// The user whose namespace it is, or the first owner of the organization.
fn owner<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Operate>,
    namespace: &Account,
) -> Result<AccountId, Nobody> {
    match namespace.kind {
        AccountKind::User => Ok(namespace.id),
        AccountKind::Organization | AccountKind::Robot => {
            let owners = tx.owners(may, namespace.id)?;
            let none =
                || Nobody::Said(format!("nobody owns `{}`; --as USER says who pushes", namespace.name));
            owners.into_iter().min_by_key(|id| id.0).ok_or_else(none)
        }
    }
}
