//! Rules about tags: which stay where they are, and which only some may change.
//!
//! A change of a tag takes two proofs: that the caller may do such a thing to the package ([`Granted`]), and that no
//! rule holds the tag. The second kind is made here only, from rules that were read in the same transaction, and the
//! catalog's functions that move or end a tag take it as an argument: [`TagMove`], [`TagEnd`], [`VersionEnd`],
//! [`PackageEnd`], [`AccountEnd`], [`TagsBack`].
//!
//! Rules add up. A package's own come on top of its owner's and weaken none of them, so an organization's rule holds
//! whatever the admins of its packages think; exceptions are part of the rule that they are exceptions from.

use crate::brand::{Brand, Invariant};
use crate::decide::{Delete, Granted, Move, Prune, Push, Restore};
use crate::patterns::Pattern;
use crate::places::Govern;
use crate::scope::Role;
use crate::{AccountId, PackageId, RuleId, VersionId};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a rule does to the tags that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Once it is set, the tag is neither moved nor deleted, by nobody.
    Immutable,
    /// The tag is made, moved and deleted only by who has at least this role on the package; by nobody, when there is
    /// none.
    Protected(Option<Role>),
}

/// A rule about tags.
#[derive(Clone, Debug)]
pub struct TagRule {
    /// Its number, which people use.
    pub id: RuleId,
    /// Of one package only; none: of all packages of the owner.
    pub package: Option<PackageId>,
    /// Whose rule it is, for people: the owner's name or the package's path.
    pub of: String,
    /// What it does.
    pub hold: Hold,
    /// To which tags.
    pub pattern: Pattern,
    /// But not to these.
    pub except: Vec<Pattern>,
    /// Whether the package may be deleted or moved with such tags in it.
    pub lets_package_go: bool,
}

impl TagRule {
    /// Whether it is about a tag of a package.
    pub fn is_about(&self, package: PackageId, tag: &str) -> bool {
        self.package.is_none_or(|of| of == package)
            && self.pattern.matches(tag)
            && !self.except.iter().any(|except| except.matches(tag))
    }
}

/// What a rule kept from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagChange {
    /// The tag was to be made.
    Make,
    /// It was to point at another version.
    Move,
    /// It was to be deleted.
    Delete,
    /// Something that it leads to was to be deleted: its version, a child of it, or bytes.
    Break,
    /// Its package was to be deleted, or to leave its path.
    Package,
}

/// A rule holds a tag. It says which, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TagHeld {
    /// The tag.
    pub tag: String,
    /// The rule.
    pub rule: RuleId,
    /// Whose rule that is.
    pub of: String,
    /// As it is written.
    pub pattern: String,
    /// What it does.
    pub hold: Hold,
    /// What was to be done.
    pub change: TagChange,
}

impl fmt::Display for TagHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TagHeld { tag, rule, of, pattern, hold, change } = self;
        match hold {
            Hold::Immutable => write!(f, "the tag `{tag}` is immutable")?,
            Hold::Protected(None) => write!(f, "the tag `{tag}` is protected from everybody")?,
            Hold::Protected(Some(role)) => {
                write!(f, "the tag `{tag}` is protected: it takes the role {role} to change it")?;
            }
        }
        write!(f, " (rule {rule} of `{of}`: `{pattern}`); ")?;
        f.write_str(match (change, hold) {
            (TagChange::Make | TagChange::Move, Hold::Protected(Some(_))) => {
                "push under another tag, ask somebody who has the role, or "
            }
            (TagChange::Make | TagChange::Move, _) => "push under another tag, or ",
            (TagChange::Delete | TagChange::Break | TagChange::Package, _) => "",
        })?;
        write!(f, "have the rule changed by who administers `{of}`")
    }
}

/// The rules that are about a package, or about all packages of an owner.
#[derive(Clone, Debug)]
pub struct TagRules<'tx> {
    rules: Vec<Arc<TagRule>>,
    _of: Invariant<'tx>,
}

impl<'tx> TagRules<'tx> {
    /// Rules read in the transaction of `brand`, in the order of their numbers.
    pub fn new(_brand: &Brand<'tx>, rules: Vec<Arc<TagRule>>) -> Self {
        TagRules { rules, _of: PhantomData }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The first rule that keeps somebody with a role from a change; `set` says whether the tag is there.
    fn held(
        &self,
        package: PackageId,
        tag: &str,
        set: bool,
        role: Option<Role>,
        change: TagChange,
    ) -> Result<(), TagHeld> {
        let holds = |rule: &&Arc<TagRule>| {
            let holds = match rule.hold {
                Hold::Immutable => set,
                Hold::Protected(None) => true,
                Hold::Protected(Some(needs)) => role < Some(needs),
            };
            holds && rule.is_about(package, tag) && !(change == TagChange::Package && rule.lets_package_go)
        };
        match self.rules.iter().find(holds) {
            None => Ok(()),
            Some(rule) => Err(TagHeld {
                tag: tag.to_owned(),
                rule: rule.id,
                of: rule.of.clone(),
                pattern: rule.pattern.as_str().to_owned(),
                hold: rule.hold,
                change,
            }),
        }
    }

    /// The rule that holds a tag against everybody without a role, as retention is: for its reports.
    pub fn holds(&self, package: PackageId, tag: &str) -> Option<TagHeld> {
        self.held(package, tag, true, None, TagChange::Delete).err()
    }
}

/// Where a tag points, read in transaction `'tx`.
#[derive(Clone, Debug)]
pub struct TagAt<'tx> {
    package: PackageId,
    name: String,
    open: Option<(i64, VersionId)>,
    _of: Invariant<'tx>,
}

impl<'tx> TagAt<'tx> {
    /// Read in the transaction of `brand`. `open`: the catalog's row of it, and the version; none: it is not set.
    pub fn new(_brand: &Brand<'tx>, package: PackageId, name: &str, open: Option<(i64, VersionId)>) -> Self {
        TagAt { package, name: name.to_owned(), open, _of: PhantomData }
    }

    /// The package.
    pub fn package(&self) -> PackageId {
        self.package
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The catalog's row of it, and the version it points at.
    pub fn open(&self) -> Option<(i64, VersionId)> {
        self.open
    }
}

/// Proof that no rule holds a tag where it is.
#[derive(Debug)]
pub struct TagMove<'tx> {
    at: TagAt<'tx>,
    to: VersionId,
}

impl<'tx> TagMove<'tx> {
    /// Where it is.
    pub fn at(&self) -> &TagAt<'tx> {
        &self.at
    }
    /// Where it will point.
    pub fn to(&self) -> VersionId {
        self.to
    }
}

/// Proof that no rule keeps a tag from being deleted.
#[derive(Debug)]
pub struct TagEnd<'tx>(TagAt<'tx>);

impl<'tx> TagEnd<'tx> {
    /// Where it is.
    pub fn at(&self) -> &TagAt<'tx> {
        &self.0
    }
}

/// What leads to something in a package, read in transaction `'tx`: its tags, and those of all live indexes above it.
#[derive(Clone, Debug)]
pub struct Reached<'tx> {
    package: PackageId,
    version: VersionId,
    tags: Vec<String>,
    _of: Invariant<'tx>,
}

impl<'tx> Reached<'tx> {
    /// Read in the transaction of `brand`.
    pub fn new(_brand: &Brand<'tx>, package: PackageId, version: VersionId, tags: Vec<String>) -> Self {
        Reached { package, version, tags, _of: PhantomData }
    }
}

/// Proof that no rule holds a tag that leads to a version.
#[derive(Debug)]
pub struct VersionEnd<'tx> {
    package: PackageId,
    version: VersionId,
    _of: Invariant<'tx>,
}

impl VersionEnd<'_> {
    /// The package.
    pub fn package(&self) -> PackageId {
        self.package
    }
    /// The version.
    pub fn version(&self) -> VersionId {
        self.version
    }
}

/// What leads to the bytes of a blob in a package, read in transaction `'tx`.
#[derive(Clone, Debug)]
pub struct BlobReached<'tx> {
    package: PackageId,
    digest: Vec<u8>,
    tags: Vec<String>,
    _of: Invariant<'tx>,
}

impl<'tx> BlobReached<'tx> {
    /// Read in the transaction of `brand`.
    pub fn new(_brand: &Brand<'tx>, package: PackageId, digest: Vec<u8>, tags: Vec<String>) -> Self {
        BlobReached { package, digest, tags, _of: PhantomData }
    }
}

/// Proof that no rule holds a tag that leads to the bytes of a blob.
#[derive(Debug)]
pub struct BlobEnd<'tx> {
    package: PackageId,
    digest: Vec<u8>,
    _of: Invariant<'tx>,
}

impl BlobEnd<'_> {
    /// The package.
    pub fn package(&self) -> PackageId {
        self.package
    }
    /// The blob, as the catalog keeps digests.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

/// Looks at every tag of what is to go, one after the other, so that a package may have as many as it likes.
#[derive(Debug)]
pub struct TagSurvey<'tx> {
    rules: TagRules<'tx>,
    role: Option<Role>,
    held: Option<TagHeld>,
}

impl<'tx> TagSurvey<'tx> {
    /// A survey in the transaction of `brand`, which brings it all tags.
    pub fn new<A>(_brand: &Brand<'tx>, may: &Granted<'tx, A>, rules: TagRules<'tx>) -> Self {
        TagSurvey { rules, role: may.on.role, held: None }
    }

    /// Whether there is anything to look for.
    pub fn is_over(&self) -> bool {
        self.held.is_some() || self.rules.is_empty()
    }

    /// A tag that is set.
    pub fn see(&mut self, package: PackageId, tag: &str) {
        if self.held.is_none() {
            self.held = self.rules.held(package, tag, true, self.role, TagChange::Package).err();
        }
    }
}

/// Proof that no rule holds a tag of a package that is to be deleted or to leave its path.
#[derive(Debug)]
pub struct PackageEnd<'tx> {
    package: PackageId,
    _of: Invariant<'tx>,
}

impl PackageEnd<'_> {
    /// The package.
    pub fn package(&self) -> PackageId {
        self.package
    }
}

/// Proof that no rule holds a tag of any package of an account that is to be deleted.
#[derive(Debug)]
pub struct AccountEnd<'tx>(Invariant<'tx>);

/// Tags that a deleted version takes back when it is restored, read in transaction `'tx`: those whose names are free.
#[derive(Clone, Debug)]
pub struct TagsTakenBack<'tx> {
    package: PackageId,
    version: VersionId,
    tags: Vec<String>,
    _of: Invariant<'tx>,
}

impl<'tx> TagsTakenBack<'tx> {
    /// Read in the transaction of `brand`.
    pub fn new(_brand: &Brand<'tx>, package: PackageId, version: VersionId, tags: Vec<String>) -> Self {
        TagsTakenBack { package, version, tags, _of: PhantomData }
    }
}

/// Proof that no rule keeps a version from taking its tags back.
#[derive(Debug)]
pub struct TagsBack<'tx> {
    package: PackageId,
    version: VersionId,
    _of: Invariant<'tx>,
}

impl TagsBack<'_> {
    /// The package.
    pub fn package(&self) -> PackageId {
        self.package
    }
    /// The version.
    pub fn version(&self) -> VersionId {
        self.version
    }
}

/// Whether a tag may be made, or point at another version. Pointing where it points changes nothing, so nothing
/// forbids it.
pub fn decide_tag_move<'tx>(
    may: &Granted<'tx, Push>,
    rules: &TagRules<'tx>,
    at: TagAt<'tx>,
    to: VersionId,
) -> Result<TagMove<'tx>, TagHeld> {
    let change = match at.open {
        Some((_, version)) if version == to => return Ok(TagMove { at, to }),
        Some(_) => TagChange::Move,
        None => TagChange::Make,
    };
    rules.held(at.package, &at.name, at.open.is_some(), may.on.role, change)?;
    Ok(TagMove { at, to })
}

/// Whether a tag may be deleted.
pub fn decide_tag_end<'tx>(
    may: &Granted<'tx, Delete>,
    rules: &TagRules<'tx>,
    at: TagAt<'tx>,
) -> Result<TagEnd<'tx>, TagHeld> {
    rules.held(at.package, &at.name, at.open.is_some(), may.on.role, TagChange::Delete)?;
    Ok(TagEnd(at))
}

/// What may take a version from the tags that lead to it: somebody who deletes, or who pushes its bytes as something
/// else, or the worker that applies a retention policy, which has no role.
pub trait TouchesVersions<'tx>: crate::decide::sealed::Sealed {
    /// The package.
    fn package(&self) -> PackageId;
    /// With which role.
    fn role(&self) -> Option<Role>;
}

/// What ends versions: somebody who deletes, or that worker.
pub trait EndsVersions<'tx>: TouchesVersions<'tx> {
    /// Who, if it is an account.
    fn account(&self) -> Option<AccountId>;
}

macro_rules! touches_versions {
    ($($action:ty),+) => {$(
        impl crate::decide::sealed::Sealed for Granted<'_, $action> {}
        impl<'tx> TouchesVersions<'tx> for Granted<'tx, $action> {
            fn package(&self) -> PackageId {
                self.on.package.unwrap_or(PackageId(-1))
            }
            fn role(&self) -> Option<Role> {
                self.on.role
            }
        }
    )+};
}
touches_versions!(Delete, Push, Prune);

impl<'tx> EndsVersions<'tx> for Granted<'tx, Delete> {
    fn account(&self) -> Option<AccountId> {
        self.account
    }
}

impl<'tx> EndsVersions<'tx> for Granted<'tx, Prune> {
    fn account(&self) -> Option<AccountId> {
        self.account
    }
}

/// Whether a version may go, with all tags that lead to it.
pub fn decide_version_end<'tx>(
    may: &impl TouchesVersions<'tx>,
    rules: &TagRules<'tx>,
    reached: &Reached<'tx>,
) -> Result<VersionEnd<'tx>, TagHeld> {
    for tag in &reached.tags {
        rules.held(reached.package, tag, true, may.role(), TagChange::Break)?;
    }
    Ok(VersionEnd { package: reached.package, version: reached.version, _of: PhantomData })
}

/// Whether the bytes of a blob may go from a package.
pub fn decide_blob_end<'tx>(
    may: &Granted<'tx, Delete>,
    rules: &TagRules<'tx>,
    reached: BlobReached<'tx>,
) -> Result<BlobEnd<'tx>, TagHeld> {
    for tag in &reached.tags {
        rules.held(reached.package, tag, true, may.on.role, TagChange::Break)?;
    }
    Ok(BlobEnd { package: reached.package, digest: reached.digest, _of: PhantomData })
}

/// Whether a package may be deleted with its tags.
pub fn decide_package_end<'tx>(
    may: &Granted<'tx, Delete>,
    survey: TagSurvey<'tx>,
) -> Result<PackageEnd<'tx>, TagHeld> {
    survey.held.map_or(Ok(PackageEnd { package: may.package(), _of: PhantomData }), Err)
}

/// Whether a package may leave its path: what is pushed there later would have the tags of this one.
pub fn decide_package_leave<'tx>(
    may: &Granted<'tx, Move>,
    survey: TagSurvey<'tx>,
) -> Result<PackageEnd<'tx>, TagHeld> {
    survey.held.map_or(Ok(PackageEnd { package: may.package(), _of: PhantomData }), Err)
}

/// Whether an account may be deleted with its packages.
pub fn decide_account_end<'tx>(
    _may: &Granted<'tx, Govern>,
    survey: TagSurvey<'tx>,
) -> Result<AccountEnd<'tx>, TagHeld> {
    survey.held.map_or(Ok(AccountEnd(PhantomData)), Err)
}

/// Whether a version that is restored may take its tags back.
pub fn decide_tags_back<'tx>(
    may: &Granted<'tx, Restore>,
    rules: &TagRules<'tx>,
    tags: &TagsTakenBack<'tx>,
) -> Result<TagsBack<'tx>, TagHeld> {
    for tag in &tags.tags {
        rules.held(tags.package, tag, false, may.on.role, TagChange::Make)?;
    }
    Ok(TagsBack { package: tags.package, version: tags.version, _of: PhantomData })
}
