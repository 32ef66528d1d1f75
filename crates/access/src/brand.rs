//! A name for one transaction in the type system.

use std::marker::PhantomData;

/// Neither longer nor shorter than `'tx`: two transactions never unify.
pub(crate) type Invariant<'tx> = PhantomData<fn(&'tx ()) -> &'tx ()>;

/// Names one transaction. It cannot be cloned and has no public constructor, so facts can only be made
/// where a transaction is open.
#[derive(Debug)]
pub struct Brand<'tx>(Invariant<'tx>);

/// Opens a brand for the time of one call. The `for<'tx>` is what makes each call's brand its own.
pub fn with_brand<R>(body: impl for<'tx> FnOnce(Brand<'tx>) -> R) -> R {
    body(Brand(PhantomData))
}
