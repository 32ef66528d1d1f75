//! Lists: tags, packages, referrers. Paged by key; a page is bounded in rows and, for referrers, in bytes.

use crate::access::{caller, may_pull, read_facts};
use crate::identity::Shown;
use crate::{ListError, Service};
use packhouse_access::{List, Pull, VersionId, decide, decide_create, decide_list};
use packhouse_catalog::{ReadTx, Referrer};
use packhouse_oci::{Digest, PackageName};

/// Referrers on one page at the most. Large, since containerd reads no second one.
const REFERRERS_MAX: u32 = 1000;
/// Bytes of annotations on a page of referrers; clients read at most 4 MiB.
const REFERRERS_BYTES_MAX: usize = 3 << 20;

/// A page of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The names, in the order of bytes.
    pub names: Vec<String>,
    /// Whether there are more behind the last.
    pub more: bool,
}

impl Page {
    fn cut(mut names: Vec<String>, limit: u32) -> Self {
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Page { names, more }
    }
}

/// A page of referrers.
#[derive(Clone, Debug)]
pub struct ReferrersPage {
    /// The referrers, oldest first.
    pub referrers: Vec<Referrer>,
    /// What the next page starts behind.
    pub next: Option<i64>,
}

impl Service {
    /// Artifact types that one request for referrers may filter by.
    pub const ARTIFACT_TYPES_MAX: usize = ReadTx::<'static, 'static>::ARTIFACT_TYPES_MAX;

    /// Tags of a package behind `after` (end-8).
    pub async fn tags(
        &self,
        shown: &Shown,
        name: &PackageName,
        after: String,
        limit: u32,
    ) -> Result<Page, ListError> {
        let presented = self.presented(shown)?;
        let (name, now, follow) = (name.clone(), self.clock.now(), self.settings.redirect_renamed);
        self.catalog
            .read_beside(move |tx| {
                let may = may_pull::<ListError>(tx, &presented, &name, follow, now)?;
                let names = tx.tags(&may, &after, limit.saturating_add(1))?;
                if names.is_empty() && !tx.has_versions(&may)? {
                    return Err(ListError::NameUnknown);
                }
                Ok(Page::cut(names, limit))
            })
            .await
    }

    /// Packages that the caller may pull, behind `after` (`_catalog`).
    pub async fn packages(&self, shown: &Shown, after: String, limit: u32) -> Result<Page, ListError> {
        let presented = self.presented(shown)?;
        let now = self.clock.now();
        self.catalog
            .read_beside(move |tx| {
                let caller = caller::<ListError>(tx, &presented, now)?;
                let may: packhouse_access::Granted<'_, List> = decide_list(&caller)?;
                Ok(Page::cut(tx.paths_visible(&may, &after, limit.saturating_add(1))?, limit))
            })
            .await
    }

    /// Referrers of a digest, which need not be known (end-12). Who may create the package gets the empty list
    /// of one that does not exist yet: clients ask before their first push.
    pub async fn referrers(
        &self,
        shown: &Shown,
        name: &PackageName,
        subject: Digest,
        artifact_types: Vec<String>,
        after: i64,
    ) -> Result<ReferrersPage, ListError> {
        let presented = self.presented(shown)?;
        let (name, now, follow) = (name.clone(), self.clock.now(), self.settings.redirect_renamed);
        self.catalog
            .read_beside(move |tx| {
                let caller = caller::<ListError>(tx, &presented, now)?;
                let facts = read_facts(tx, &caller, name.as_str(), follow)?;
                let may = match decide::<Pull>(&facts) {
                    Ok(may) => may,
                    Err(_) if !facts.exists() && decide_create(&facts.unbound()).is_ok() => {
                        return Ok(ReferrersPage { referrers: Vec::new(), next: None });
                    }
                    Err(refused) => return Err(refused.into()),
                };
                let after = VersionId(after);
                let (referrers, more) =
                    tx.referrers(&may, &subject, &artifact_types, after, REFERRERS_MAX, REFERRERS_BYTES_MAX)?;
                let next = referrers.last().filter(|_| more).map(|last| last.version.0);
                Ok(ReferrersPage { referrers, next })
            })
            .await
    }

    /// Whether the caller's credential works: what `GET /v2/` asks. Anonymous callers have none.
    pub async fn check_credential(&self, shown: &Shown) -> Result<bool, ListError> {
        let presented = self.presented(shown)?;
        let now = self.clock.now();
        self.catalog
            .read_remembered(move |tx| Ok(!caller::<ListError>(tx, &presented, now)?.is_anonymous()))
            .await
    }
}
