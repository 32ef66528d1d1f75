//! Queries are looked at: how each statement finds its rows.
//!
//! A plan is written here in short: `alias: index` for each table in the order it is read, `id` for the table's own
//! key, `list` for a list among the parameters, `rows of …` for what a part in parentheses gave, `sort` where rows
//! are sorted and not read in their order. A table that is read as a whole is `ALL`, which no statement may do that is
//! not named in [`READ_WHOLE`].

use crate::connection::Connection;
use crate::schema::{Dialect, migrate};
use crate::sql::Statement;
use crate::test_database::Database;
use crate::{
    accounts, blobs, collection, copies, damage, devices, downloads, facts, findings, glance, jobs, links,
    manifests, namespaces_seen, organizations, package_access, package_records, packages, parts, referrers,
    repositories, retention, reviews, robots, rules, scrub, scrub_manifests, scrub_store, scrub_usage,
    settings, storage, tags, teams, tokens, trash, uploads, usage, versions,
};
use std::collections::BTreeSet;

/// What is only asked of PostgreSQL.
const POSTGRES_ONLY: &[&Statement] = &[&glance::PULL];

/// What requests wait for, with the plan that it must have.
const HOT: &[(&Statement, &str)] = &[
    (&facts::CALLER_BY_HASH, "t: tokens_1, a: id"),
    (&facts::CALLER_BY_TOKEN, "t: id, a: id"),
    (&facts::CALLER_BY_ACCOUNT, "accounts: id"),
    (&tokens::TOKEN_HOLDER, "t: id, a: id"),
    (&facts::LIMITS, "token_limits: token_limits_by_token"),
    (&facts::NAMESPACE, "a: accounts_1, m: memberships_1, p: id, r: id"),
    (&facts::PACKAGE, "p: packages_live_by_path, g: package_grants_1"),
    (&facts::PACKAGE_FOLLOWED, "p: id, l: packages_live_by_path, r: redirects_1, g: package_grants_1"),
    (&facts::PACKAGE_DELETED, "p: packages_deleted_by_path, g: package_grants_1"),
    (
        &facts::ROLES,
        "team_members: team_members_by_account, rows of mine, t: id, \
         p: id, rows of mine, g: package_teams_1, p: id, c: repository_accounts_1, \
         p: id, rows of mine, c: repository_teams_1, p: id, r: id, m: memberships_1, o: id",
    ),
    (&facts::LOCK_PACKAGE, "packages: packages_live_by_path"),
    (&blobs::READABLE_BLOB, "l: package_blobs_1, b: blobs_1"),
    (&links::LINKED, "package_blobs: package_blobs_1, json_each: list, b: blobs_1"),
    (&blobs::LOCK_BLOB, "blobs: blobs_1"),
    (
        &blobs::HOLDER,
        "l: package_blobs_by_digest, p: id, m: memberships_1, b: id, g: package_grants_1, \
         team_members: team_members_by_account, rows of mine, t: id, rows of mine, g: package_teams_1, \
         c: repository_accounts_1, rows of mine, c: repository_teams_1, r: id, m: memberships_1, o: id",
    ),
    (&storage::HOLDER_OF, "packages: id"),
    (&storage::PACKAGE_LIMITS, "p: id, a: id, n: plans_1, settings: settings_1"),
    (&storage::STORED, "account_storage: id"),
    (&storage::OWNS_BLOB, "account_blobs: account_blobs_1"),
    (&manifests::MANIFEST_BY_TAG, "t: tags_open_by_name, v: id, m: id"),
    (&manifests::MANIFEST_BY_DIGEST, "v: versions_live_by_digest, m: id"),
    (&manifests::MANIFEST_HEAD_BY_TAG, "t: tags_open_by_name, v: id, m: id"),
    (&manifests::MANIFEST_HEAD_BY_DIGEST, "v: versions_live_by_digest, m: id"),
    (&manifests::MANIFEST_ID, "manifests: manifests_1"),
    (&manifests::LIVE_VERSION, "versions: versions_live_by_digest"),
    (&manifests::DELETE_VERSION, "versions: id"),
    (&tags::TAGS, "tags: tags_open_by_name"),
    (&rules::OPEN_TAG, "tags: tags_open_by_name"),
    (&rules::TAG_RULES, "p: id, r: tag_rules_by_owner, a: id, r: tag_rules_by_package, p: id"),
    (&rules::TAGS_AT, "json_each: list, t: tags_open_by_version"),
    (&rules::INDEXES_ABOVE, "json_each: list, c: id, k: version_children_1, w: id, sort"),
    (&rules::OPEN_TAGS_OF, "tags: tags_open_by_name"),
    (&rules::LOCK_PACKAGES_OF, "packages: packages_live_by_owner"),
    (&tags::INSERT_TAG, "versions: id"),
    (&tags::HAS_VERSION, "versions: versions_live"),
    (&tags::CLOSE_TAGS_OF, "tags: tags_open_by_version"),
    (
        &referrers::REFERRERS,
        "v: versions_live_by_subject, m: id, rows of by_subject, sort, t: tags_open_by_name, f: id, r: \
         manifest_refs_1, v: versions_live_by_digest, m: id, sort, rows of by_fallback_tag, sort, rows of \
         found, v: id, m: id, sort",
    ),
    (
        &package_records::PACKAGES_IN_VISIBLE,
        "p: packages_in_namespace, rows of open, sort, m: memberships_1, p: packages_in_namespace, t: \
         token_limits_by_token, rows of internal, sort, b: id, p: packages_in_namespace, t: \
         token_limits_by_token, rows of internal_to_robots, sort, b: id, p: packages_live_by_owner, t: \
         token_limits_by_token, rows of robots, sort, m: memberships_1, b: id, p: packages_inheriting, \
         t: token_limits_by_token, rows of inherited, sort, g: package_grants_by_account, p: id, t: \
         token_limits_by_token, sort, rows of granted, sort, team_members: team_members_by_account, \
         rows of mine, t: id, rows of mine, g: package_teams_by_team, p: id, t: token_limits_by_token, \
         sort, rows of through_teams, sort, c: repository_accounts_by_account, p: \
         packages_by_repository, t: token_limits_by_token, sort, rows of collaborating, sort, rows of \
         mine, c: repository_teams_by_team, p: packages_by_repository, t: token_limits_by_token, sort, \
         rows of through_repositories, sort, rows of visible, sort, rows of page, p: id, o: id, r: id, \
         a: id, m: memberships_1, b: id, c: repository_accounts_1, rows of mine, c: repository_teams_1, \
         ro: id, sort",
    ),
    (
        &package_records::PACKAGES_IN,
        "p: packages_live_by_owner, t: token_limits_by_token, rows of page, p: id, o: id, r: id, a: id, \
         m: memberships_1, b: id, c: repository_accounts_1, team_members: team_members_by_account, rows \
         of mine, t: id, rows of mine, c: repository_teams_1, ro: id, sort",
    ),
    (&versions::VERSIONS_ACTIVE, "versions: versions_listed, rows of page, v: id, m: id, sort"),
    (
        &parts::BECOME_PARTS,
        "versions: id, versions: id, versions: versions_deleted_with, versions: id, k: \
         version_children_by_version, c: versions_live_by_digest, versions: versions_deleted_with, k: \
         version_children_by_version, c: versions_live_by_digest, versions: id, r: \
         versions_live_by_subject, versions: versions_deleted_with, r: versions_live_by_subject, t: \
         tags_open_by_version, k: version_children_1, w: id, s: versions_live_by_digest",
    ),
    (
        &parts::BE_PARTS_NO_MORE,
        "versions: id, versions: id, k: version_children_by_version, c: versions_live_by_digest, \
         versions: versions_deleted_with, k: version_children_by_version, c: versions_live_by_digest, \
         versions: id, r: versions_live_by_subject, versions: versions_deleted_with, r: \
         versions_live_by_subject, k: version_children_1, w: id, s: versions_live_by_digest",
    ),
    (
        &parts::STATE,
        "v: id, t: tags_open_by_version, k: version_children_1, w: id, s: versions_live_by_digest",
    ),
    (
        &parts::PARTS_BELOW,
        "json_each: list, w: versions_live_by_digest, k: version_children_by_version, c: \
         versions_live_by_digest, sort, json_each: list, r: versions_live_by_subject, sort",
    ),
    (
        &parts::PARTS_HELD,
        "json_each: list, c: versions_live_by_digest, k: version_children_1, w: id, json_each: list, s: \
         versions_live_by_digest, json_each: list",
    ),
    (
        &parts::WHOLES,
        "json_each: list, c: id, k: version_children_1, w: id, json_each: list, c: id, s: \
         versions_live_by_digest, rows of named, sort, rows of found, v: id",
    ),
    (&versions::VERSIONS_WITH_PARTS, "versions: versions_live, rows of page, v: id, m: id, sort"),
    (
        &versions::VERSIONS_DELETED,
        "d: versions_deleted, n: versions_live_by_digest, n: versions_deleted_by_digest, rows of page, \
         v: id, m: id, sort",
    ),
    (&versions::VERSION_BY_ID, "v: id, m: id"),
    (&versions::VERSION_BY_DIGEST, "v: versions_live_by_digest, m: id"),
    (&versions::VERSION_BY_TAG, "t: tags_open_by_name, v: id, m: id"),
    (&versions::VERSION_DELETED, "v: id, m: id"),
    (&versions::TAGS_OF_VERSIONS, "json_each: list, t: tags_open_by_version, sort"),
    (&versions::TAGS_OF_DELETED, "json_each: list, v: id, t: tags_closed_by_version, sort"),
    (&versions::PUSHED_AGAIN, "v: id, n: versions_live_by_digest, v: id, n: versions_deleted_by_digest"),
    (&versions::DELETE_PARTS, "versions: versions_live_by_digest, json_each: list"),
    (&versions::RESTORE_VERSION, "versions: id"),
    (
        &versions::RESTORE_PARTS,
        "versions: versions_deleted_with, n: versions_live_by_digest, n: versions_deleted_by_digest",
    ),
    (&versions::FORGET_TAKEN, "versions: versions_deleted_with"),
    (&versions::REOPEN_TAGS, "t: tags_closed_by_version, o: tags_open_by_name"),
    (
        &links::LINK_AGAIN,
        "versions: id, versions: versions_deleted_with, rows of whole, r: version_blobs_1, u: \
         package_blobs_unlinked_1, b: blobs_1, b: version_blobs_by_digest, v: id, sort, k: version_children_1, v: id, \
         rows of names, sort",
    ),
    (
        &links::FORGET_UNLINKED,
        "package_blobs_unlinked: package_blobs_unlinked_1, versions: id, r: version_blobs_1, l: \
         package_blobs_1, versions: versions_deleted_with, r: version_blobs_1, l: package_blobs_1",
    ),
    (
        &package_records::PACKAGES_IN_OF_VISIBILITY,
        "p: packages_in_namespace, t: token_limits_by_token, rows of page, p: id, o: id, r: id, a: id, \
         m: memberships_1, b: id, c: repository_accounts_1, team_members: team_members_by_account, rows \
         of mine, t: id, rows of mine, c: repository_teams_1, ro: id, sort",
    ),
    (
        &package_records::PACKAGES_DELETED_IN,
        "p: packages_deleted_by_owner, n: packages_deleted_by_path, t: token_limits_by_token, rows of \
         page, p: id, o: id, r: id, a: id, m: memberships_1, b: id, c: repository_accounts_1, \
         team_members: team_members_by_account, rows of mine, t: id, rows of mine, c: \
         repository_teams_1, ro: id, sort",
    ),
    (&package_records::MOST_DOWNLOADED, "versions: versions_downloaded"),
    (
        &package_records::PACKAGE_RECORD,
        "p: id, o: id, r: id, a: id, m: memberships_1, b: id, c: repository_accounts_1, team_members: \
         team_members_by_account, rows of mine, t: id, rows of mine, c: repository_teams_1, ro: id",
    ),
    (&packages::PATHS, "p: packages_live_by_path"),
    (
        &namespaces_seen::NAMESPACES_SEEN,
        "m: memberships_by_account, o: id, t: token_limits_by_token, b: id, t: token_limits_by_token, a: id, t: \
         token_limits_by_token",
    ),
    (&namespaces_seen::PATHS_OWNED, "p: packages_live_by_owner"),
    (&namespaces_seen::PATHS_INTERNAL, "p: packages_in_namespace"),
    (&namespaces_seen::PATHS_INHERITING, "p: packages_inheriting"),
    (&namespaces_seen::PATHS_CHOSEN_IN, "t: token_limits_by_token, p: id, sort"),
    (
        &packages::PATHS_VISIBLE,
        "p: packages_live_by_visibility, rows of open, sort, g: package_grants_by_account, p: id, t: \
         token_limits_by_token, sort, rows of granted, sort, team_members: team_members_by_account, rows of mine, t: \
         id, rows of mine, g: package_teams_by_team, p: id, t: token_limits_by_token, sort, rows of through_teams, \
         sort, c: repository_accounts_by_account, p: packages_by_repository, t: token_limits_by_token, sort, rows of \
         collaborating, sort, rows of mine, c: repository_teams_by_team, p: packages_by_repository, t: \
         token_limits_by_token, sort, rows of through_repositories, sort, rows of visible",
    ),
    (&uploads::UPLOAD, "uploads: uploads_1"),
    (&uploads::RECORD_PART, "uploads: uploads_1"),
    (&uploads::FINISH_UPLOAD, "uploads: uploads_1"),
    (&uploads::TAKE_LEASE, "uploads: uploads_1"),
    (&uploads::RENEW_LEASE, "uploads: uploads_1"),
    (&uploads::KEEP_STATE, "uploads: uploads_1"),
    (&uploads::EXPIRED, "uploads: uploads_by_expiry"),
    (&uploads::REMOVE_EXPIRED, "uploads: uploads_1"),
];

/// Everything else: no table is read as a whole.
const OTHERS: &[&Statement] = &[
    &accounts::ACCOUNT_BY_NAME,
    &accounts::ACCOUNTS,
    &accounts::INSERT_ACCOUNT,
    &accounts::MEMBERS,
    &accounts::OWNERS,
    &accounts::PUT_MEMBER,
    &accounts::REMOVE_MEMBER,
    &accounts::SET_SITE_ADMIN,
    &accounts::SUSPEND,
    &blobs::INSERT_BLOB,
    &copies::BLOBS_TO_COPY,
    &copies::END_SETTING,
    &copies::PLACE_BLOB,
    &collection::COUNT_COLLECTED,
    &collection::END_BLOBS,
    &collection::END_GRANTS_OF,
    &collection::END_LIMITS_OF,
    &collection::END_MANIFESTS,
    &collection::END_MANIFEST_REFS,
    &collection::END_PACKAGE,
    &collection::END_REDIRECTS_TO,
    &collection::END_RETENTION_OF,
    &collection::END_RULES_OF,
    &collection::END_TAG_DOWNLOADS_OF,
    &collection::END_TEAM_GRANTS_OF,
    &collection::END_VERSIONS,
    &collection::END_VERSION_BLOBS,
    &collection::END_VERSION_CHILDREN,
    &collection::END_VERSION_TAGS,
    &collection::END_WORKFLOW_GRANTS_OF,
    &collection::EXPIRE_UPLOADS_OF,
    &collection::LINKS_PINNED,
    &collection::LOCK_BLOBS,
    &collection::LOCK_MANIFESTS,
    &collection::LOCK_PACKAGE_BY_ID,
    &collection::REVIEW_LINKS_OF,
    &collection::REVIEW_MANIFESTS_OF,
    &collection::UNLINKED_AT,
    &collection::VERSIONS_DELETED_AT,
    &collection::VERSIONS_ENDED,
    &collection::VERSIONS_OF,
    &links::DROP_LINKS,
    &links::DROP_LINKS_OF,
    &links::DROP_UNLINKED,
    &links::DROP_UNLINKED_OF,
    &links::COUNT_LINK,
    &links::LINK,
    &links::PIN_LINK,
    &links::REMEMBER_UNLINKED,
    &links::UNLINK,
    &manifests::HELD_MANIFEST,
    &manifests::INSERT_BLOBS,
    &manifests::PIN_VERSION,
    &reviews::CLAIM_REVIEWS,
    &reviews::DROP_REVIEWS_OF,
    &reviews::LOCK_REVIEWS,
    &reviews::NEXT_REVIEW,
    &reviews::POSTPONE_REVIEWS,
    &reviews::REVIEW,
    &reviews::REVIEWED,
    &reviews::REVIEW_BLOBS,
    &reviews::REVIEW_PACKAGES_OF,
    &reviews::REVIEW_VERSIONS,
    &trash::CLAIM_TRASH,
    &trash::END_HOLD,
    &trash::NEXT_TRASH,
    &trash::PUT_HOLD,
    &trash::PUT_TRASH,
    &trash::REMOVE_TRASH,
    &trash::TRASH_BLOBS,
    &manifests::INSERT_MANIFEST,
    &manifests::INSERT_CHILDREN,
    &manifests::INSERT_REFS,
    &manifests::INSERT_VERSION,
    &manifests::SET_VERSION_MANIFEST,
    &organizations::ACCOUNT_BY_ID,
    &organizations::END_COLLABORATORS,
    &organizations::END_DELETED_PACKAGES,
    &organizations::END_MEMBERSHIPS,
    &organizations::END_ORGANIZATION,
    &organizations::END_PACKAGES,
    &organizations::END_POLICY,
    &organizations::END_REDIRECTS,
    &organizations::END_REPOSITORIES,
    &organizations::END_ROBOTS,
    &organizations::END_TEAMS,
    &organizations::END_TEAM_MEMBERS,
    &organizations::END_TEAM_PACKAGES,
    &organizations::END_TEAM_PARENTS,
    &organizations::END_TEAM_REPOSITORIES,
    &organizations::END_WORKFLOW_ROLES,
    &organizations::LEAVE_PACKAGES,
    &organizations::LEAVE_REPOSITORIES,
    &organizations::LEAVE_TEAMS,
    &organizations::LEAVE_TEAMS_COUNT,
    &organizations::LOCK_ACCOUNT,
    &organizations::MEMBERSHIP,
    &organizations::MEMBERS_LISTED,
    &organizations::MEMBER_COUNT,
    &organizations::ORGANIZATIONS_OF,
    &organizations::ORGANIZATIONS_SHARED,
    &organizations::POLICY,
    &organizations::PUT_POLICY,
    &organizations::SET_PROFILE,
    &package_access::CALLER_AS,
    &package_access::DROP_ACCOUNTS,
    &package_access::DROP_REPOSITORIES,
    &package_access::DROP_TEAMS,
    &package_access::EVER_A_VERSION,
    &package_access::GRANTED_ACCOUNTS,
    &package_access::GRANTED_REPOSITORIES,
    &package_access::GRANTED_TEAMS,
    &package_access::LINK_PACKAGE,
    &package_access::OWNED_REPOSITORY,
    &package_access::OWNED_TEAM,
    &package_access::PACKAGE_LINK,
    &package_access::PUT_PACKAGE_REPOSITORY,
    &package_access::PUT_PACKAGE_TEAM,
    &package_access::REMOVE_PACKAGE_REPOSITORY,
    &package_access::REMOVE_PACKAGE_TEAM,
    &package_access::ROBOT_OF,
    &package_access::SET_ABOUT,
    &package_access::SET_INHERITS,
    &package_access::SET_SOURCE,
    &repositories::ADD_REPOSITORIES,
    &repositories::COLLABORATOR,
    &repositories::COLLABORATORS,
    &repositories::COLLABORATORS_ALL,
    &repositories::COLLABORATORS_OUTSIDE,
    &repositories::DELETE_REPOSITORY,
    &repositories::DELETE_REPOSITORY_ACCOUNTS,
    &repositories::DELETE_REPOSITORY_PACKAGES,
    &repositories::DELETE_REPOSITORY_TEAMS,
    &repositories::DELETE_REPOSITORY_TEAM_COUNTS,
    &repositories::INSERT_REPOSITORY,
    &repositories::LOCK_REPOSITORY,
    &repositories::PUT_COLLABORATOR,
    &repositories::REMOVE_COLLABORATOR,
    &repositories::REPOSITORIES_OF,
    &repositories::REPOSITORIES_OWN,
    &repositories::REPOSITORIES_PUBLIC,
    &repositories::REPOSITORIES_VISIBLE,
    &repositories::REPOSITORY,
    &repositories::REPOSITORY_FACTS,
    &repositories::REPOSITORY_ROLES,
    &repositories::SET_REPOSITORY,
    &repositories::UNLINK_PACKAGES,
    &teams::ADD_TEAM_MEMBERS,
    &teams::ADD_TEAM_REPOSITORIES,
    &teams::DELETE_TEAM,
    &teams::DELETE_TEAM_MEMBERS,
    &teams::DELETE_TEAM_PACKAGES,
    &teams::DELETE_TEAM_REPOSITORIES,
    &teams::INSERT_TEAM,
    &teams::INSERT_TEAM_MEMBER,
    &teams::INSERT_TEAM_ROLE,
    &teams::MEMBER_SHARED,
    &teams::RAISE_TEAMS_BELOW,
    &teams::REMOVE_TEAM_MEMBER,
    &teams::REMOVE_TEAM_ROLE,
    &teams::REPOSITORY_TEAMS,
    &teams::SET_TEAM,
    &teams::SET_TEAM_MEMBER,
    &teams::SET_TEAM_ROLE,
    &teams::TEAM,
    &teams::TEAMS,
    &teams::TEAMS_ABOVE,
    &teams::TEAMS_BELOW,
    &teams::TEAMS_OWN,
    &teams::TEAM_BY_SLUG,
    &teams::TEAM_DEPTH,
    &teams::TEAM_FACTS,
    &teams::TEAM_MEMBER,
    &teams::TEAM_MEMBERS,
    &teams::TEAM_REPOSITORIES,
    &teams::TEAM_ROLE,
    &packages::GRANTS,
    &packages::INSERT_PACKAGE,
    &packages::PACKAGES,
    &packages::PACKAGES_OF,
    &packages::PUT_GRANT,
    &packages::REMOVE_GRANT,
    &packages::SET_VISIBILITY,
    &parts::COUNT_VERSIONS,
    &parts::SET_HELD,
    &parts::SET_PART,
    &settings::PING,
    &settings::PUT_SETTING,
    &settings::SETTING,
    &tags::CLOSE_TAG,
    &devices::DECIDE_DEVICE,
    &devices::DEVICE,
    &devices::DEVICE_ASKED,
    &devices::INSERT_DEVICE,
    &devices::LOCK_APPROVER,
    &devices::LOCK_DEVICE,
    &devices::POLLED,
    &devices::REMOVE_DEVICE,
    &devices::REMOVE_EXPIRED_DEVICES,
    &robots::END_ROBOT,
    &robots::INSERT_ROBOT,
    &robots::IS_ROBOT_OF,
    &robots::LOCK_ROBOT,
    &robots::REMOVE_GRANTS_TO,
    &robots::ROBOTS,
    &robots::ROBOT_BY_NAME,
    &robots::SET_ROBOT,
    &tokens::INSERT_LIMIT,
    &tokens::LIMITS_OF,
    &tokens::LOCK_PARENT,
    &tokens::LOCK_TOKEN,
    &tokens::REVOKE_ALL,
    &tokens::TOKENS_KEPT,
    &tokens::TOKENS_KEPT_OF,
    &tokens::USED,
    &tokens::USED_BY_HASH,
    &tokens::INSERT_SIGNING_KEY,
    &tokens::INSERT_TOKEN,
    &tokens::REVIVE_CONFIGURED,
    &tokens::REVOKE_TOKEN,
    &tokens::TOKENS,
    &tokens::TOKENS_OF,
    &uploads::INSERT_UPLOAD,
    &uploads::KEEP_IN_TRASH,
    &uploads::RELEASE_LEASE,
    &usage::ADD_TRANSFER,
    &usage::PUT_PLAN,
    &usage::SET_PLAN,
    &usage::TRANSFERRED,
    &usage::USAGES,
    &storage::ADD_NAMES,
    &storage::ADD_STORAGE,
    &storage::CLOSE_BLOBS,
    &storage::COUNTED_LINKS,
    &storage::COUNT_BLOBS,
    &storage::COUNT_NAMED,
    &storage::FORGET_BLOBS,
    &storage::FORGET_BLOBS_OF,
    &storage::FORGET_STORAGE_OF,
    &storage::PLAN_LIMITS,
    &storage::MOVE_UPLOADS,
    &storage::NAMES,
    &storage::OPEN_UPLOADS,
    &storage::UNCOUNT_BLOBS,
    &storage::UNCOUNT_UNNAMED,
    &uploads::REMOVE_UPLOAD,
    &package_records::DELETE_PACKAGE,
    &package_records::DROP_GRANTS,
    &package_records::DROP_REPOSITORY_GRANTS,
    &package_records::DROP_TEAM_GRANTS,
    &package_records::END_REDIRECT_TO,
    &package_records::MOVE_PACKAGE,
    &package_records::PUT_REDIRECT,
    &package_records::RESTORE_PACKAGE,
    &package_records::STANDING_OF,
    &package_records::TRANSFER_PACKAGE,
    &package_records::WHERE_NOW,
    &downloads::COUNT_ON_PACKAGES,
    &downloads::COUNT_ON_TAGS,
    &downloads::COUNT_ON_VERSIONS,
    &downloads::LOCK_COUNTED,
    &packages::COUNT_PACKAGES,
    &packages::PATHS_CHOSEN,
    &packages::END_REDIRECT,
    &packages::VISIBILITY,
    &jobs::ADD_JOB,
    &jobs::CLAIM_JOB,
    &jobs::END_JOB,
    &jobs::JOB_KNOWN,
    &jobs::LEASE_JOB,
    &retention::END_RETENTION,
    &retention::INSERT_POLICY,
    &retention::OWNER_OF,
    &retention::PACKAGES_UNDER,
    &retention::POLICIES_DUE,
    &retention::POLICY_OF_OWNER,
    &retention::POLICY_OF_PACKAGE,
    &retention::POLICY_RAN,
    &retention::PRUNE_ROW,
    &retention::PRUNE_ROWS,
    &retention::PRUNE_TAGS,
    &retention::PRUNE_WHOLES,
    &retention::REMOVE_POLICY_OF_PACKAGE,
    &rules::COUNT_OF_OWNER,
    &rules::COUNT_OF_PACKAGE,
    &rules::END_TAG_RULES,
    &rules::INSERT_TAG_RULE,
    &rules::OPEN_TAGS_BELOW,
    &rules::REMOVE_OF_OWNER,
    &rules::REMOVE_OF_PACKAGE,
    &rules::TAGS_TO_REOPEN,
    &rules::TAG_RULES_BELOW,
    &rules::TAG_RULES_OF_OWNER,
    &rules::TAG_RULES_OF_PACKAGE,
    &rules::USERS_OF_BLOB,
    &tags::TAG_AS_OF,
    &tags::TAG_HISTORY,
    &tags::TAG_PAST,
    &tags::TAGS_OPEN,
    &crate::schema::MIGRATION_DONE,
    &findings::CLEAR_FINDINGS,
    &damage::DAMAGED_BLOB,
    &damage::ORPHAN_BLOB,
    &damage::HEAL_BLOB,
    &damage::SCRUB_BLOBS,
    &damage::BLOB_LIES_AT,
    &damage::MARK_BLOB,
    &damage::UNMARK_BLOB,
    &damage::PACKAGES_OF_BLOB,
    &damage::DAMAGED_OF_SIZE,
    &damage::DAMAGED_BLOBS,
    &findings::NOTE_FINDING,
    &findings::SETTLE_FINDINGS,
    &findings::FINDINGS,
    &scrub::END_OF_MANIFESTS,
    &scrub::END_OF_VERSIONS,
    &scrub::END_OF_TAGS,
    &scrub::END_OF_PACKAGES,
    &scrub::END_OF_ACCOUNTS,
    &scrub::END_OF_TEAMS,
    &scrub::REFS_OF_NONE,
    &scrub::END_REFS_OF_NONE,
    &scrub::MANIFESTS_FORGOTTEN,
    &scrub::REVIEW_FORGOTTEN_MANIFEST,
    &scrub::VERSIONS_LOST,
    &scrub::VERSION_LOST,
    &scrub::VERSIONS_MISNAMED,
    &scrub::NAME_VERSION,
    &scrub::CHILDREN_WRONG,
    &scrub::CHILDREN_AGAIN,
    &scrub::BLOBS_WRONG,
    &scrub::BLOBS_AGAIN,
    &scrub::NAMED_BY_NONE,
    &scrub::END_NAMED_BY_NONE,
    &scrub::CHILDREN_OF_NONE,
    &scrub::END_CHILDREN_OF_NONE,
    &scrub::VERSIONS_FORGOTTEN,
    &scrub::REVIEW_FORGOTTEN_VERSION,
    &scrub::TAGS_OF_NONE,
    &scrub::END_TAG_OF_NONE,
    &scrub::TAGS_OF_DELETED_VERSIONS,
    &scrub::CLOSE_TAG_OF_DELETED,
    &scrub::PARTS_WRONG,
    &scrub::TURN_PART,
    &scrub::PACKAGES_MISCOUNTED,
    &scrub::COUNT_PACKAGE_AGAIN,
    &scrub::PACKAGES_FORGOTTEN,
    &scrub::REVIEW_FORGOTTEN_PACKAGE,
    &scrub::LINKS_STALE,
    &scrub::END_STALE_LINK,
    &scrub::NAMES_BLOB,
    &scrub::INSERT_LOST_BLOB,
    &scrub::LINKS_OF_NO_PACKAGE,
    &scrub::END_LINK_OF_NO_PACKAGE,
    &scrub::LINKS_FORGOTTEN,
    &scrub::REVIEW_FORGOTTEN_LINK,
    &scrub::UNLINKED_FORGOTTEN,
    &scrub::REVIEW_FORGOTTEN_UNLINKED,
    &scrub::LOCK_ACCOUNT_BY_ID,
    &scrub::ACCOUNTS_MISCOUNTED,
    &scrub::COUNT_ACCOUNT_AGAIN,
    &scrub::LOCK_TEAM_BY_ID,
    &scrub::TEAMS_MISCOUNTED,
    &scrub::COUNT_TEAM_AGAIN,
    &scrub_manifests::SCRUB_MANIFESTS,
    &scrub_manifests::LOCK_MANIFEST,
    &scrub_manifests::REFS_OF,
    &scrub_manifests::PACKAGES_OF_MANIFEST,
    &scrub_manifests::TWINS,
    &scrub_manifests::MARK_MANIFEST,
    &scrub_manifests::REPAIR_MANIFEST,
    &scrub_manifests::DAMAGED_MANIFESTS,
    &scrub_store::KEY_NAMED,
    &scrub_usage::COUNT_LINK_AGAIN,
    &scrub_usage::END_STORED,
    &scrub_usage::FORGET_STORED,
    &scrub_usage::LINKS_MISCOUNTED,
    &scrub_usage::LOCK_STORAGE,
    &scrub_usage::STORAGE_MISCOUNTED,
    &scrub_usage::STORED_AGAIN,
    &scrub_usage::SUM_STORED_AGAIN,
    &scrub_store::SCRUB_UPLOADS,
    &scrub_store::UPLOAD_STANDS,
    &scrub_store::END_LOST_UPLOAD,
    &scrub_store::SCRUB_TRASH,
    &scrub_store::TAKE_OUT_OF_TRASH,
    &manifests::HEAL_MANIFEST,
    &manifests::DROP_REFS,
];

/// What may read a table as a whole, and why.
const READ_WHOLE: &[(&Statement, &str)] = &[
    (&usage::DROP_PLANS, "once at a start, and they are few"),
    (&usage::FORGET_PLANS, "once at a start, and they are few"),
    (&usage::PLANS, "they are few"),
    (&crate::schema::MIGRATIONS_DONE, "once at a start, and they are few"),
    (&settings::LOCK_SETTINGS, "once at a start, and they are few"),
    (&tokens::SIGNING_KEYS, "the newest eight"),
    (&tokens::REVOKE_CONFIGURED, "once at a start; nobody waits"),
    (&collection::COLLECTED, "as many as there are kinds"),
    (&reviews::REVIEWS_WAITING, "what waits is what there is to do; asked for by people and once a minute"),
    (&trash::TRASH_TOTAL, "likewise"),
    (&copies::BLOBS_TOTAL, "who copies all of them counts them first"),
    (&trash::HELD_SINCE, "one for each kept copy of the catalog"),
    (&trash::END_EXPIRED_HOLDS, "one for each kept copy of the catalog"),
    (&damage::DAMAGED_BLOBS_TOTAL, "a small index: what is quarantined"),
    (&damage::DAMAGED_MANIFESTS_TOTAL, "likewise"),
    (&findings::FINDINGS_TOTAL, "what the last scrub found, some thousand rows"),
    (&scrub_store::SCRUB_TOTAL, "once when a scrub begins, which reads all of it anyway"),
];

/// SQLite shows a scan of the tables that refer to the one inserted into. It is skipped unless a foreign key is
/// violated at that moment (`FkIfZero` in its program), so it is tried below and not read from the plan.
const REFERRED_TO: &[&Statement] = &[&accounts::INSERT_ACCOUNT, &robots::INSERT_ROBOT];

/// A catalog's file, empty, and a connection of the test's own.
fn stage() -> (tempfile::TempDir, rusqlite::Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let mut connection =
        Connection::sqlite(rusqlite::Connection::open(&path).unwrap(), None, Default::default());
    migrate(&mut connection, Dialect::Sqlite).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    (folder, connection)
}

fn plan(connection: &rusqlite::Connection, statement: &Statement) -> String {
    let text = format!("EXPLAIN QUERY PLAN {}", statement.sqlite());
    let mut explained = connection.prepare(&text).unwrap();
    let mut rows = explained.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.extend(step(&row.get::<_, String>(3).unwrap()));
    }
    steps.join(", ")
}

/// A line of the plan in short; none for those that only give it its shape.
fn step(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let index = words.iter().position(|word| *word == "INDEX").and_then(|at| words.get(at + 1));
    match words.as_slice() {
        ["SEARCH", table, ..] if line.contains("USING INTEGER PRIMARY KEY") => Some(format!("{table}: id")),
        ["SEARCH", table, ..] => {
            let index = index.unwrap_or_else(|| panic!("no index: {line}"));
            Some(format!("{table}: {}", index.trim_start_matches("sqlite_autoindex_")))
        }
        ["SCAN", "CONSTANT", "ROW"] => None,
        ["SCAN", table, "VIRTUAL", ..] => Some(format!("{table}: list")),
        ["SCAN", part] if PARTS.contains(part) => Some(format!("rows of {part}")),
        ["SCAN", table, ..] => Some(format!("{table}: ALL")),
        ["USE", "TEMP", "B-TREE", ..] => Some("sort".to_owned()),
        [
            "CO-ROUTINE" | "LIST" | "SCALAR" | "CORRELATED" | "MERGE" | "LEFT" | "RIGHT" | "MATERIALIZE",
            ..,
        ] => None,
        // Over the rows of an IN list, so that most misses need no look into it.
        ["CREATE", "BLOOM", "FILTER"] => None,
        ["SETUP" | "RECURSIVE" | "COMPOUND" | "LEFT-MOST" | "UNION", ..] => None,
        _ => panic!("a line that this test does not know: {line}"),
    }
}

/// Names of the parts in parentheses.
const PARTS: &[&str] = &[
    "above",
    "below",
    "by_fallback_tag",
    "by_subject",
    "by_team",
    "collaborating",
    "counted",
    "found",
    "gone",
    "granted",
    "held",
    "inherited",
    "internal",
    "internal_to_robots",
    "kept",
    "made",
    "mine",
    "named",
    "names",
    "open",
    "organizations",
    "own",
    "page",
    "robots",
    "theirs",
    "through_repositories",
    "through_teams",
    "visible",
    "whole",
];

#[test]
fn hot_statements_find_their_rows_as_written_here() {
    let (_folder, connection) = stage();
    for &(statement, expected) in HOT {
        assert_eq!(plan(&connection, statement), expected, "{}", statement.name);
    }
}

#[test]
fn no_statement_reads_a_table_as_a_whole() {
    let (_folder, connection) = stage();
    let mut wrong = Vec::new();
    for &statement in OTHERS.iter().chain(HOT.iter().map(|(statement, _)| statement)) {
        let plan = plan(&connection, statement);
        let referred_to = REFERRED_TO.iter().any(|known| known.name == statement.name);
        if plan.contains("ALL") != referred_to {
            wrong.push(format!("{}: {plan}", statement.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for &(statement, why) in READ_WHOLE {
        let plan = plan(&connection, statement);
        assert!(plan.contains("ALL") || plan.contains("sort"), "{} ({why}): {plan}", statement.name);
    }
}

/// The names in the sources, so that a new statement does not escape.
#[test]
fn every_statement_is_looked_at() {
    let mut written = BTreeSet::new();
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    for source in sources {
        let path = source.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("plans.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("statement!(").skip(1) {
                let name = rest.trim_start().split(',').next().unwrap();
                if name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
                    // A connection to PostgreSQL keeps what it prepared by this name.
                    assert!(written.insert(name.to_owned()), "two statements have the name {name}");
                }
            }
        }
    }
    let looked_at: BTreeSet<String> = (HOT.iter().map(|(statement, _)| statement))
        .chain(OTHERS)
        .chain(POSTGRES_ONLY)
        .chain(READ_WHOLE.iter().map(|(statement, _)| statement))
        .map(|statement| statement.name.to_owned())
        .collect();
    assert_eq!(written, looked_at);
}

#[test]
fn inserting_into_a_table_that_others_refer_to_reads_none_of_them() {
    let (_folder, connection) = stage();
    // Rows in every table that refers to the three.
    let rows = "
        INSERT INTO accounts (id, name, kind, created_at) VALUES (1, 'mona', 1, 1);
        INSERT INTO packages (id, path, owner_id, visibility, created_at) VALUES (1, 'mona/a', 1, 0, 1);
        INSERT INTO manifests (id, digest, media_type, kind, size, payload) VALUES (1, x'01', '', 1, 0, x'');
        INSERT INTO versions (id, package_id, manifest_id, digest, created_at) VALUES (1, 1, 1, x'01', 1);
        WITH RECURSIVE n (n) AS (SELECT 1 UNION SELECT n + 1 FROM n WHERE n < 100)
        INSERT INTO tags (package_id, name, version_id, valid_from) SELECT 1, n, 1, 1 FROM n;
        WITH RECURSIVE n (n) AS (SELECT 1 UNION SELECT n + 1 FROM n WHERE n < 100)
        INSERT INTO uploads (id, package_id, account_id, storage_key, received, hash_state, created_at, expires_at)
        SELECT n, 1, 1, n, 0, x'', 1, 1 FROM n";
    connection.execute_batch(rows).unwrap();
    let inserted = |statement: &Statement, values: &[&dyn rusqlite::ToSql]| {
        let mut insert = connection.prepare(statement.sqlite()).unwrap();
        let id: i64 = insert.query_row(values, |row| row.get(0)).unwrap();
        assert!(id > 1, "{}", statement.name);
        let scanned = insert.get_status(rusqlite::StatementStatus::FullscanStep);
        assert_eq!(scanned, 0, "rows read by {}", statement.name);
    };
    inserted(&accounts::INSERT_ACCOUNT, &[&"hubot", &1, &0, &1, &"Hubot"]);
    inserted(&robots::INSERT_ROBOT, &[&"acme+bot", &3, &1, &1, &None::<i64>, &None::<String>]);
    inserted(&packages::INSERT_PACKAGE, &[&"mona/b", &1, &1, &0, &1, &1]);
    inserted(&manifests::INSERT_VERSION, &[&1, &1, &b"\x02".as_slice(), &None::<i64>, &1, &1]);
}

/// PostgreSQL chooses by the size of its tables, which are empty here: what is asked is whether it *could* do without
/// reading a whole table, with plans that know no parameter, as for a prepared statement.
#[test]
fn the_same_indexes_serve_postgresql() {
    let Some(database) = Database::postgres() else { return };
    let Database::Postgres(postgres) = &database else { return };
    let client = ::postgres::Client::connect(&postgres.url, ::postgres::NoTls).unwrap();
    let mut connection = Connection::postgres(client, None);
    migrate(&mut connection, Dialect::Postgres).unwrap();
    for statement in HOT.iter().map(|(statement, _)| statement).chain(POSTGRES_ONLY) {
        let parameters = (1..20).filter(|n| statement.postgres().contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; parameters].join(", ");
        let explained = database.rows(&format!(
            "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;
             PREPARE looked_at AS {}; EXPLAIN EXECUTE looked_at ({nulls})",
            statement.postgres()
        ));
        let plan = explained.join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{}:\n{plan}", statement.name);
    }
}
