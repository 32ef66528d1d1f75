//! Versions and tags through GitHub's API: seeing, listing, deleting and restoring them.
//!
//! The rules about what may be deleted are this API's. The distribution protocol deletes as its specification says
//! (`deletes.rs`).

use crate::held::{end_tag, may_end};
use crate::identity::Shown;
use crate::{PackageError, Service};
use packhouse_access::{Delete, Restore, See, VersionId, Visibility, decide, decide_tags_back};
use packhouse_catalog::{Listed, Pulls, TagRow, Version, VersionsPlace};
use packhouse_oci::{Digest, PackageName, Tag};

/// Which versions a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionsShown {
    /// Live ones, without the parts of others.
    Active,
    /// Live ones, all.
    WithParts,
    /// Deleted ones that can be restored.
    Deleted,
    /// The live one that a tag points at.
    Tagged(Tag),
    /// The live one with a digest.
    Digest(Digest),
}

/// A piece of a list of versions, from the newest on.
#[derive(Clone, Debug)]
pub struct VersionsPage {
    /// The versions. The smallest number is the key of the page that follows.
    pub versions: Vec<Version>,
    /// Whether there are more.
    pub more: bool,
    /// How many there are in all, where that is counted.
    pub total: Option<u64>,
}

impl Service {
    /// Versions of a package: before a number, so many passed over, so many at the most.
    pub async fn versions(
        &self,
        shown: &Shown,
        name: &PackageName,
        which: VersionsShown,
        before: Option<i64>,
        skip: u32,
        limit: u32,
    ) -> Result<VersionsPage, PackageError> {
        let (name, since) = (name.clone(), self.restorable_since());
        self.see(shown, move |tx, caller, _| {
            let may = decide::<See>(&tx.facts(caller, name.as_str())?)?;
            let one = |found: Option<Version>| {
                let total = Some(u64::from(found.is_some()));
                let versions =
                    if skip == 0 && before.is_none() { found.into_iter().collect() } else { vec![] };
                Ok(VersionsPage { versions, more: false, total })
            };
            let (listed, total) = match &which {
                VersionsShown::Tagged(tag) => return one(tx.version_by_tag(&may, tag)?),
                VersionsShown::Digest(digest) => return one(tx.version_by_digest(&may, digest)?),
                VersionsShown::Deleted => (Listed::Deleted { since }, None),
                VersionsShown::Active => (Listed::Active, Some(tx.package_record(&may)?.version_count)),
                VersionsShown::WithParts => {
                    let package = tx.package_record(&may)?;
                    (Listed::WithParts, Some(package.version_count.saturating_add(package.part_count)))
                }
            };
            let before = before.map(VersionId);
            let place = VersionsPlace { before, skip, limit: limit.saturating_add(1) };
            let mut versions = tx.versions(&may, &listed, place)?;
            let more = versions.len() > limit as usize;
            versions.truncate(limit as usize);
            Ok(VersionsPage { versions, more, total })
        })
        .await
    }

    /// A live version.
    pub async fn version(&self, shown: &Shown, name: &PackageName, id: i64) -> Result<Version, PackageError> {
        let name = name.clone();
        self.see(shown, move |tx, caller, _| {
            let may = decide::<See>(&tx.facts(caller, name.as_str())?)?;
            tx.version(&may, VersionId(id))?.ok_or(PackageError::VersionUnknown)
        })
        .await
    }

    /// Deletes a version with its tags, and the parts that only it has. Until its time is over it can be restored
    /// with them.
    pub async fn delete_version(
        &self,
        shown: &Shown,
        name: &PackageName,
        id: i64,
    ) -> Result<(), PackageError> {
        let (name, limit) = (name.clone(), self.settings.downloads_max);
        self.alter(shown, move |tx, caller, now| {
            let may = decide::<Delete>(&tx.facts(caller, name.as_str())?)?;
            let found = tx.version_to_delete(&may, VersionId(id))?;
            let version = found.ok_or(PackageError::VersionUnknown)?;
            if version.part
                && let Some(whole) = tx.whole_of(&may, &version)?
            {
                return Err(PackageError::Part { part: Box::new(version), whole: Box::new(whole) });
            }
            let (visibility, tagged, versions) = tx.standing_of(&may)?;
            if !version.tags.is_empty() && tagged <= 1 {
                return Err(PackageError::LastTagged);
            }
            if versions <= 1 {
                return Err(PackageError::LastVersion);
            }
            if visibility == Visibility::Public && version.downloads > limit {
                return Err(PackageError::Downloaded { limit });
            }
            let end = may_end::<PackageError>(tx, &may, version.id)?;
            tx.delete_whole(&may, (version.id, &version.digest), &end, now)?;
            Ok(())
        })
        .await
    }

    /// Brings a deleted version back, with what its deletion took along and with its tags where they are free.
    pub async fn restore_version(
        &self,
        shown: &Shown,
        name: &PackageName,
        id: i64,
    ) -> Result<(), PackageError> {
        let (name, since) = (name.clone(), self.restorable_since());
        self.alter(shown, move |tx, caller, now| {
            let may = decide::<Restore>(&tx.facts(caller, name.as_str())?)?;
            let found = tx.version_to_restore(&may, VersionId(id))?;
            let (version, pushed_again) = found.ok_or(PackageError::VersionUnknown)?;
            if pushed_again {
                return Err(PackageError::PushedAgain);
            }
            if version.deleted_at.is_none_or(|at| at < since) {
                return Err(PackageError::Expired);
            }
            let rules = tx.tag_rules(&may)?;
            let taken_back = tx.tags_taken_back(&may, &version)?;
            let back = decide_tags_back(&may, &rules, &taken_back)?;
            tx.restore_version(&may, &version, &back, now)?;
            Ok(())
        })
        .await
    }

    /// Tags of a package with what they point at and how often they were pulled, in the order of bytes.
    pub async fn tags_of(
        &self,
        shown: &Shown,
        name: &PackageName,
        after: String,
        limit: u32,
    ) -> Result<Vec<(TagRow, Pulls)>, PackageError> {
        let name = name.clone();
        self.see(shown, move |tx, caller, _| {
            let may = decide::<See>(&tx.facts(caller, name.as_str())?)?;
            Ok(tx.tags_open(&may, &after, limit)?)
        })
        .await
    }

    /// Where a tag pointed, the newest first, before a key of [`TagRow::id`]. A tag that never was is unknown.
    pub async fn tag_history(
        &self,
        shown: &Shown,
        name: &PackageName,
        tag: &Tag,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<TagRow>, PackageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.see(shown, move |tx, caller, _| {
            let may = decide::<See>(&tx.facts(caller, name.as_str())?)?;
            let rows = tx.tag_history(&may, &tag, before, limit)?;
            if rows.is_empty() && before.is_none() { Err(PackageError::TagUnknown) } else { Ok(rows) }
        })
        .await
    }

    /// Takes a tag away. Its version stays, and what it was is in its history.
    pub async fn delete_tag(&self, shown: &Shown, name: &PackageName, tag: &Tag) -> Result<(), PackageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.alter(shown, move |tx, caller, now| {
            let may = decide::<Delete>(&tx.facts(caller, name.as_str())?)?;
            let deleted = end_tag::<PackageError>(tx, &may, &tag, now)?;
            if deleted { Ok(()) } else { Err(PackageError::TagUnknown) }
        })
        .await
    }
}
