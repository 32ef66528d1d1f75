//! Packages through GitHub's API: seeing, listing, deleting, restoring, moving them, and who may read them.

use crate::access::caller;
use crate::error::{Fault, of_catalog};
use crate::identity::Shown;
use crate::manage::lower;
use crate::{Denied, Service};
use packhouse_access::{
    Because, Caller, Delete, Refusal, Refused, Restore, See, TagHeld, Visibility, decide, decide_list_in,
    decide_move, decide_package_end, decide_package_leave, decide_publish,
};
use packhouse_catalog::{AccountKind, CatalogError, Micros, PackageRecord, ReadTx, Version, Window, WriteTx};
use packhouse_oci::{AccountName, PackageName};

/// Something was not done to a package or a version, or not shown.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// The package has no such version.
    #[error("no such version")]
    VersionUnknown,
    /// The package has no such tag.
    #[error("no such tag")]
    TagUnknown,
    /// It is a part of another version, and goes with that one.
    #[error("version {} is a part of version {} (`{}`)", .part.id, .whole.id, .whole.digest)]
    Part {
        /// What was to be deleted.
        part: Box<Version>,
        /// What it is a part of.
        whole: Box<Version>,
    },
    /// No other version has a tag. GitHub's rule: the package is to be deleted instead.
    #[error("the last tagged version of a package is not deleted")]
    LastTagged,
    /// There is no other version. GitHub's rule: the package is to be deleted instead.
    #[error("the last version of a package is not deleted")]
    LastVersion,
    /// It is public and was downloaded too often.
    #[error("a public version has more than {limit} downloads")]
    Downloaded {
        /// What is let go.
        limit: u64,
    },
    /// The version's manifest was pushed again since it was deleted, and that one took its place.
    #[error("the manifest was pushed again since")]
    PushedAgain,
    /// It was deleted so long ago that it can be restored no more.
    #[error("the time to restore it is over")]
    Expired,
    /// A rule holds a tag.
    #[error(transparent)]
    TagHeld(#[from] TagHeld),
    /// Another package has the name.
    #[error("`{0}` is taken")]
    NameTaken(PackageName),
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Refused> for PackageError {
    fn from(refused: Refused) -> Self {
        PackageError::Denied(Denied::Refused(refused))
    }
}
impl From<Denied> for PackageError {
    fn from(denied: Denied) -> Self {
        PackageError::Denied(denied)
    }
}
impl From<Fault> for PackageError {
    fn from(fault: Fault) -> Self {
        PackageError::Fault(fault)
    }
}
impl From<CatalogError> for PackageError {
    fn from(error: CatalogError) -> Self {
        of_catalog(error)
    }
}

/// Whose packages a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The caller's own.
    Own,
    /// A user's or an organization's.
    Named(String),
    /// An organization's; a user's name is none.
    Organization(String),
}

/// Which packages of an account a list shows.
#[derive(Clone, Debug, Default)]
pub struct PackagesAsked {
    /// Of one visibility, or of all.
    pub visibility: Option<Visibility>,
    /// Those that can be restored, in place of the live ones. For who owns the account.
    pub deleted: bool,
    /// Which piece.
    pub window: Window,
}

/// A piece of a list of packages.
#[derive(Clone, Debug)]
pub struct PackagesPage {
    /// The packages, by path: the key of the page that follows.
    pub packages: Vec<PackageRecord>,
    /// Whether there are more behind the last.
    pub more: bool,
    /// How many there are in all, where that is counted.
    pub total: Option<u64>,
}

impl Service {
    /// The name of the account that a request is about, in lower case. One that does not exist is not found, like
    /// all that it could have.
    pub async fn namespace(&self, shown: &Shown, asked: Namespace) -> Result<AccountName, PackageError> {
        self.see(shown, move |tx, caller, _| {
            let refused =
                |refusal| Refused { refusal, action: "list", path: "user".to_owned(), creating: false };
            let account = match &asked {
                Namespace::Own => match caller.account() {
                    Some(id) => tx.account_by_id(id)?,
                    None => return Err(refused(Refusal::Authenticate).into()),
                },
                Namespace::Named(name) => tx.account(&lower(name))?,
                Namespace::Organization(name) => {
                    tx.account(&lower(name))?.filter(|account| account.kind == AccountKind::Organization)
                }
            };
            let name = account.and_then(|account| account.name.parse().ok());
            name.ok_or_else(|| refused(Refusal::NotFound).into())
        })
        .await
    }

    /// A package.
    pub async fn package(&self, shown: &Shown, name: &PackageName) -> Result<PackageRecord, PackageError> {
        let name = name.clone();
        self.see(shown, move |tx, caller, _| {
            let may = decide::<See>(&tx.facts(caller, name.as_str())?)?;
            Ok(tx.package_record(&may)?)
        })
        .await
    }

    /// Packages of an account that the caller may see.
    pub async fn packages_in(
        &self,
        shown: &Shown,
        owner: &AccountName,
        asked: PackagesAsked,
    ) -> Result<PackagesPage, PackageError> {
        let (owner, restorable) = (owner.clone(), self.restorable_since());
        self.see(shown, move |tx, caller, _| {
            let may = decide_list_in(&tx.namespace_facts(caller, owner.as_str())?)?;
            let window = Window { limit: asked.window.limit.saturating_add(1), ..asked.window.clone() };
            let mut packages = match asked.deleted {
                true => tx.packages_deleted_in(&may, restorable, &window)?,
                false => tx.packages_in(&may, asked.visibility, &window)?,
            };
            let more = packages.len() > asked.window.limit as usize;
            packages.truncate(asked.window.limit as usize);
            // Counted for who sees all of them.
            let all =
                matches!(may.because(), Because::OwnsNamespace | Because::SiteAdmin | Because::Operator);
            let counted = all && may.limited().is_none() && !asked.deleted;
            let account = if counted { tx.account(owner.as_str())? } else { None };
            let total = match (account, asked.visibility) {
                (Some(account), None) => Some(account.packages),
                (Some(account), Some(Visibility::Public)) => Some(account.public_packages),
                _ => None,
            };
            Ok(PackagesPage { packages, more, total })
        })
        .await
    }

    /// Deletes a package with all it holds. Its name is free at once, and until its time is over it can be
    /// restored.
    pub async fn delete_package(&self, shown: &Shown, name: &PackageName) -> Result<(), PackageError> {
        let (name, limit) = (name.clone(), self.settings.downloads_max);
        self.alter(shown, move |tx, caller, now| {
            let may = decide::<Delete>(&tx.facts(caller, name.as_str())?)?;
            let (visibility, ..) = tx.standing_of(&may)?;
            if visibility == Visibility::Public && tx.most_downloaded(&may)? > limit {
                return Err(PackageError::Downloaded { limit });
            }
            let end = decide_package_end(&may, tx.survey_package(&may)?)?;
            tx.delete_package(&may, &end, now)?;
            Ok(())
        })
        .await
    }

    /// Brings the package that was deleted last under this name back, unless another one has the name now.
    pub async fn restore_package(&self, shown: &Shown, name: &PackageName) -> Result<(), PackageError> {
        let (name, since) = (name.clone(), self.restorable_since());
        self.alter(shown, move |tx, caller, now| {
            let live = tx.facts(caller, name.as_str())?;
            let may = decide::<Restore>(&tx.facts_deleted(caller, name.as_str(), since)?)?;
            if live.exists() {
                return Err(PackageError::NameTaken(name.clone()));
            }
            if tx.restore_package(&may, now)? { Ok(()) } else { Err(PackageError::NameTaken(name.clone())) }
        })
        .await
    }

    /// Says who may read a package without a role.
    pub async fn set_package_visibility(
        &self,
        shown: &Shown,
        name: &PackageName,
        visibility: Visibility,
    ) -> Result<(), PackageError> {
        let name = name.clone();
        self.alter(shown, move |tx, caller, now| {
            let may = decide_publish(&tx.facts(caller, name.as_str())?, visibility)?;
            Ok(tx.set_visibility(&may, now)?)
        })
        .await
    }

    /// Renames a package, or transfers it to another owner. Its old name leads to it for who pulls, until a package
    /// is made there.
    pub async fn move_package(
        &self,
        shown: &Shown,
        name: &PackageName,
        to: &PackageName,
    ) -> Result<(), PackageError> {
        let (name, to) = (name.clone(), to.clone());
        self.alter(shown, move |tx, caller, now| {
            let from = tx.facts(caller, name.as_str())?;
            let target = tx.facts(caller, to.as_str())?;
            // Only to who may know of it.
            if target.exists() && decide::<See>(&target).is_ok() && decide::<Delete>(&from).is_ok() {
                return Err(PackageError::NameTaken(to.clone()));
            }
            let may = decide_move(&from, &target)?;
            let end = decide_package_leave(&may, tx.survey_leaving(&may)?)?;
            Ok(tx.move_package(&may, &end, now)?)
        })
        .await
    }

    /// What was deleted at this time or later can be restored.
    pub(crate) fn restorable_since(&self) -> Micros {
        self.clock.now().minus_seconds(self.settings.deleted_seconds)
    }

    /// Runs a rule that reads.
    pub(crate) async fn see<T: Send + 'static>(
        &self,
        shown: &Shown,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>, &Caller<'tx>, Micros) -> Result<T, PackageError>
        + Send
        + 'static,
    ) -> Result<T, PackageError> {
        let presented = self.presented(shown)?;
        let now = self.clock.now();
        self.catalog
            .read_beside(move |tx| {
                let caller = caller::<PackageError>(tx, &presented, now)?;
                body(tx, &caller, now)
            })
            .await
    }

    /// Runs a rule that writes.
    pub(crate) async fn alter<T: Send + 'static>(
        &self,
        shown: &Shown,
        mut body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>, &Caller<'tx>, Micros) -> Result<T, PackageError>
        + Send
        + 'static,
    ) -> Result<T, PackageError> {
        let presented = self.presented(shown)?;
        let now = self.clock.now();
        self.catalog
            .write(move |tx| {
                let caller = caller::<PackageError>(tx, &presented, now)?;
                body(tx, &caller, now)
            })
            .await
    }
}
