//! Who may do what. Facts in, a decision with its reason out; no I/O, no clock.
//!
//! [`decide`] and its siblings are the only makers of a [`Granted`], and a [`Granted`] is the only thing that
//! the catalog takes to touch a package. It is branded with the transaction its facts were read in, so it can
//! be neither kept, nor carried to another transaction, nor used for another action; see [`brand`].
//!
//! What is deliberately absent: nothing here knows HTTP, tokens' bytes or SQL. Roles and scopes are GitHub's
//! (docs.github.com, "About permissions for GitHub Packages").

pub mod brand;
mod decide;
mod facts;
mod ids;
mod patterns;
mod places;
mod quota;
mod reason;
mod rules;
mod scope;
mod tokens;

pub use brand::{Brand, with_brand};
pub use decide::{
    Action, Administer, Collect, Create, Delete, Explain, Granted, List, Move, Operate, Prune, Publish, Pull,
    Push, Restore, Scrub, See, decide, decide_collect, decide_create, decide_explain, decide_list,
    decide_move, decide_operate, decide_prune, decide_publish, decide_scrub, explain_roles,
};
pub use facts::{
    Bound, Caller, Chosen, Given, Limit, NamespaceFacts, PackageFacts, Policy, RepositoryFacts, Standing,
    TeamFacts, Who,
};
pub use ids::{AccountId, ManifestId, PackageId, RepositoryId, RuleId, TeamId, TokenId, VersionId};
pub use patterns::{PATTERN_BYTES_MAX, Pattern, PatternError, version_of};
pub use places::{
    CreateRepository, DeleteRepository, EditRepository, EditTeam, Govern, Inspect, LinkRepository,
    ListCollaborators, ListIn, ListRepositories, ManageRules, ManageTeams, NamespaceAction, Own,
    RepositoryAction, SeeRepository, SeeTeam, SeeUsage, decide_create_repository, decide_edit_team,
    decide_list_in, decide_list_repositories, decide_mention_repository, decide_namespace, decide_own,
    decide_repository, decide_see_team,
};
pub use quota::{Bytes, Limits, Measure, Over, OverQuota, Size};
pub use reason::{Because, Refusal, Refused};
pub use rules::{
    AccountEnd, BlobEnd, BlobReached, EndsVersions, Hold, PackageEnd, Reached, TagAt, TagChange, TagEnd,
    TagHeld, TagMove, TagRule, TagRules, TagSurvey, TagsBack, TagsTakenBack, TouchesVersions, VersionEnd,
    decide_account_end, decide_blob_end, decide_package_end, decide_package_leave, decide_tag_end,
    decide_tag_move, decide_tags_back, decide_version_end,
};
pub use scope::{Actions, RepositoryRole, Role, Scopes, UnknownScope, UnknownWord, Visibility};
pub use tokens::{MakeToken, Wanted, decide_hand_on, decide_make_token};
