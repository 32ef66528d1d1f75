//! Changes of tags under the rules about tags: the rules are read in the transaction that changes, and what they let
//! go is the proof that the catalog takes.

use packhouse_access::{
    Delete, Granted, Push, TagHeld, VersionEnd, VersionId, decide_tag_end, decide_tag_move,
    decide_version_end,
};
use packhouse_catalog::{CatalogError, Micros, NewManifest, Pushed, WriteTx};
use packhouse_oci::Tag;

/// Points tags at a manifest that was put, and lets it be what the push says it is.
pub(crate) fn tag_pushed<'tx, E>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Push>,
    new: &NewManifest,
    pushed: &Pushed,
    tags: &[Tag],
    now: Micros,
) -> Result<(), E>
where
    E: From<CatalogError> + From<TagHeld>,
{
    // What has no tag is held by none.
    if tags.is_empty() && pushed.retyped.is_none() {
        return Ok(());
    }
    let rules = tx.tag_rules(may)?;
    if let Some(retyped) = pushed.retyped {
        let reached = tx.reached(may, &rules, pushed.version)?;
        let end = decide_version_end(may, &rules, &reached)?;
        tx.retype_version(may, &end, retyped, new, now)?;
    }
    for tag in tags {
        let at = tx.tag_at(may, tag)?;
        tx.move_tag(may, &decide_tag_move(may, &rules, at, pushed.version)?, now)?;
    }
    Ok(())
}

/// Points one tag at a version.
pub(crate) fn move_tag<'tx, E>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Push>,
    tag: &Tag,
    version: VersionId,
    now: Micros,
) -> Result<(), E>
where
    E: From<CatalogError> + From<TagHeld>,
{
    let rules = tx.tag_rules(may)?;
    let at = tx.tag_at(may, tag)?;
    Ok(tx.move_tag(may, &decide_tag_move(may, &rules, at, version)?, now)?)
}

/// Takes a tag away; whether it was there.
pub(crate) fn end_tag<'tx, E>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    tag: &Tag,
    now: Micros,
) -> Result<bool, E>
where
    E: From<CatalogError> + From<TagHeld>,
{
    let rules = tx.tag_rules(may)?;
    let at = tx.tag_at(may, tag)?;
    if at.open().is_none() {
        return Ok(false);
    }
    Ok(tx.delete_tag(may, &decide_tag_end(may, &rules, at)?, now)?)
}

/// Whether a version may go, with every tag that leads to it.
pub(crate) fn may_end<'tx, E>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    version: VersionId,
) -> Result<VersionEnd<'tx>, E>
where
    E: From<CatalogError> + From<TagHeld>,
{
    let rules = tx.tag_rules(may)?;
    let reached = tx.reached(may, &rules, version)?;
    Ok(decide_version_end(may, &rules, &reached)?)
}
