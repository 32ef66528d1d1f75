//! The way into a package: who asks, what is known, what they may.

use crate::Denied;
use packhouse_access::{
    Action, Caller, Granted, PackageFacts, Pull, Push, Refusal, Refused, decide, decide_create,
};
use packhouse_catalog::{CatalogError, Micros, Presented, ReadTx, WriteTx};
use packhouse_oci::PackageName;

/// Who shows this, in this transaction.
pub(crate) fn caller<'tx, E>(
    tx: &mut ReadTx<'_, 'tx>,
    presented: &Presented,
    now: Micros,
) -> Result<Caller<'tx>, E>
where
    E: From<CatalogError> + From<Denied>,
{
    tx.caller(presented, now)?.ok_or_else(|| Denied::Credential.into())
}

/// Whether they may pull. A path that a package had before leads to it where `follow` says so; the decision is made
/// on the real one.
pub(crate) fn may_pull<'tx, E>(
    tx: &mut ReadTx<'_, 'tx>,
    presented: &Presented,
    name: &PackageName,
    follow: bool,
    now: Micros,
) -> Result<Granted<'tx, Pull>, E>
where
    E: From<CatalogError> + From<Denied> + From<Refused>,
{
    let caller = caller::<E>(tx, presented, now)?;
    let facts = read_facts(tx, &caller, name.as_str(), follow)?;
    Ok(decide::<Pull>(&facts)?)
}

/// The facts for who only reads.
pub(crate) fn read_facts<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    follow: bool,
) -> Result<PackageFacts<'tx>, CatalogError> {
    if follow { tx.facts_followed(caller, path) } else { tx.facts(caller, path) }
}

/// What they may do to a package that is there.
pub(crate) fn may<'tx, A: Action, E>(
    tx: &mut ReadTx<'_, 'tx>,
    presented: &Presented,
    name: &PackageName,
    now: Micros,
) -> Result<Granted<'tx, A>, E>
where
    E: From<CatalogError> + From<Denied> + From<Refused>,
{
    let caller = caller::<E>(tx, presented, now)?;
    let facts = tx.facts(&caller, name.as_str())?;
    Ok(decide::<A>(&facts)?)
}

/// As [`may`], with the package's row locked.
pub(crate) fn may_change<'tx, A: Action, E>(
    tx: &mut WriteTx<'_, 'tx>,
    presented: &Presented,
    name: &PackageName,
    now: Micros,
) -> Result<Granted<'tx, A>, E>
where
    E: From<CatalogError> + From<Denied> + From<Refused>,
{
    let caller = caller::<E>(tx, presented, now)?;
    let facts = tx.facts(&caller, name.as_str())?;
    Ok(decide::<A>(&facts)?)
}

/// As [`may_change`] for a push, which creates the package when there is none and the caller may.
pub(crate) fn may_push<'tx, E>(
    tx: &mut WriteTx<'_, 'tx>,
    presented: &Presented,
    name: &PackageName,
    now: Micros,
) -> Result<Granted<'tx, Push>, E>
where
    E: From<CatalogError> + From<Denied> + From<Refused>,
{
    let caller = caller::<E>(tx, presented, now)?;
    let mut facts = tx.facts(&caller, name.as_str())?;
    if facts.exists() {
        return Ok(decide_push(&facts)?);
    }
    let created = decide_create(&facts)?;
    tx.create_package(&created, now)?;
    facts = tx.facts(&caller, name.as_str())?;
    let may = decide_push(&facts)?;
    // The new row holds its owner's row. Who ended the organization before that took its name away, and a package
    // must not outlive it.
    if may.owner() != created.namespace() {
        let path = name.as_str().to_owned();
        return Err(Refused { refusal: Refusal::NotFound, action: "push", path, creating: true }.into());
    }
    Ok(may)
}

/// Whether the caller may push to a package that is there. To who may not see it, it is one that they may not
/// create: the same words for both.
pub(crate) fn decide_push<'tx>(facts: &PackageFacts<'tx>) -> Result<Granted<'tx, Push>, Refused> {
    let unseen = |refused: Refused| Refused { creating: refused.refusal == Refusal::NotFound, ..refused };
    decide::<Push>(facts).map_err(unseen)
}
