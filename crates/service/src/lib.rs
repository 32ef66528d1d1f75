//! Every rule: accounts, tokens, packages, pull, push, delete. Edges call nothing else.
//!
//! An edge parses a request into what these functions take, calls one of them and renders what it gives. What a
//! caller shows ([`Shown`]) comes in as it was sent; who that is and what they may do is decided here, in the
//! transaction that then does it.
//!
//! What is deliberately absent: nothing here sees a header, a status code or a body's encoding.

mod access;
mod bearer;
mod begun;
mod buffers;
mod clock;
mod copies;
mod deletes;
mod devices;
mod downloads;
mod error;
mod explain;
mod gc;
mod held;
mod identity;
mod leases;
mod linking;
mod lists;
mod manage;
mod manifests;
pub mod operator;
mod organizations;
mod own_tokens;
mod package_access;
mod packages;
mod pins;
mod pulls;
mod rate_limits;
mod rates;
mod receive;
mod repositories;
mod retention;
mod robots;
mod rules;
mod scrub;
mod start;
mod sweep;
mod tally;
mod teams;
mod together;
mod token_format;
mod token_service;
pub mod transfer;
mod uploads;
mod usage;
mod versions;

pub use bearer::SERVICE_NAME;
pub use bearer::Signed;
pub use clock::{Clock, SystemClock};
pub use copies::{
    BackupProgress, Backups, CopyError, RestoreFrom, RestoreProgress, RestoreTarget, Restored, Snapshots,
    restore,
};
pub use devices::{DeviceAsked, DeviceBegun, DeviceError, DeviceToken};
pub use error::{DeleteError, Denied, Fault, ListError, PullError, PushError, TokenError, UploadError};
pub use explain::{Explanation, Reason};
pub use gc::{Collected, GcStatus, kind_of};
pub use identity::{ActingAs, Identity, Shown};
pub use linking::CreateRepositories;
pub use lists::{Page, ReferrersPage};
pub use manage::{ManageError, Rows};
pub use manifests::{ManifestPut, PutManifest};
pub use organizations::{AccountSeen, MemberAnswer, MembershipSeen, PolicyChange, ProfileChange};
pub use own_tokens::{LimitWanted, TokenMade, TokenSeen, TokenWanted};
pub use package_access::{Grantee, PackageAccess};
pub use packages::{Namespace, PackageError, PackagesAsked, PackagesPage};
pub use packhouse_access::{Actions, Refusal, Refused, Role, Scopes, TagHeld, Visibility};
pub use packhouse_access::{Limits, OverQuota, RepositoryRole};
pub use packhouse_catalog::{
    Account, AccountKind, Affiliation, Affiliations, Collaborator, Membership, OrganizationPolicy,
    Repository, RepositoryOwner, Team, TeamAbove, TeamMember, TokenKind, Window,
};
pub use packhouse_catalog::{PackageRecord, Pulls, TagRow, Version};
pub use packhouse_catalog::{Presented, Removed, ReviewKind, chain};
pub use pulls::{BlobFound, ManifestFound};
pub use rate_limits::{Admission, ApiAct, ApiPass, Limited, Rate, RateSettings};
pub use repositories::{NewRepository, RepositoryChange, RepositorySeen};
pub use retention::{Plan, Planned, Policy as RetentionPolicy, RetentionSeen, Verdict, Why};
pub use robots::{RobotChange, RobotSeen, RobotTokenWanted};
pub use rules::{RuleSeen, RuleWanted, RulesOf};
pub use start::{FirstStart, Service, Settings, StartError};
pub use sweep::Swept;
pub use teams::{NewTeam, ParentChosen, TeamChange};
pub use token_format::{Secret, checksum, is_well_formed};
pub use token_service::{Grant, GrantedToken, ScopeAsked, TokenRequest};
pub use uploads::{Mounted, Part, Session};
pub use usage::Usage;
pub use versions::{VersionsPage, VersionsShown};
