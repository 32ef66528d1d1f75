//! Triggers of the writer's own connection that see each change of what is remembered.
//!
//! They are temporary, so they are in no file and no copy of it, and other programs that open the file do not need our
//! function. Only the writer has them, since nobody else writes.

use super::Warm;
use super::stamps::{About, Shard};
use crate::CatalogError;
use rusqlite::functions::FunctionFlags;
use std::sync::{Arc, Mutex, PoisonError};

/// How the triggers name what a change is about; 1 is [`About::Places`].
const CONTENTS: i64 = 2;
const PLANS: i64 = 3;
const TOKEN: i64 = 4;
const PATH: i64 = 5;
const PACKAGE: i64 = 6;

/// A table, which of its columns are watched, and what a change of them is about. `insert`: whether a new row can make
/// wrong what is remembered (that nothing was found is remembered of facts only).
pub(super) struct Watched {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
    insert: bool,
    /// In SQL, over the row `$` (`OLD` or `NEW`).
    about: &'static str,
    /// Only rows for which this is true.
    only: Option<&'static str>,
    /// The rows that `about` is over beside `$`.
    from: &'static str,
}

const fn watched(
    table: &'static str,
    columns: &'static [&'static str],
    insert: bool,
    about: &'static str,
) -> Watched {
    Watched { table, columns, insert, about, only: None, from: "" }
}

/// Numbers (`id`) never change, and rows that others refer to go after those.
pub(super) const WATCHED: &[Watched] = &[
    watched(
        "tokens",
        &["account_id", "kind", "hash", "scopes", "expires_at", "revoked_at"],
        false,
        "4, $.id",
    ),
    watched("token_limits", &["token_id", "owner_id", "package_id", "role"], true, "4, $.token_id"),
    watched(
        "accounts",
        &["name", "kind", "site_admin", "suspended_at", "organization_id", "role"],
        true,
        "1, NULL",
    ),
    watched("accounts", &["plan", "login"], false, "3, NULL"),
    watched(
        "plans",
        &["name", "storage", "private_storage", "transfer", "private_transfer"],
        true,
        "3, NULL",
    ),
    Watched {
        only: Some("$.name = 'default_plan'"),
        ..watched("settings", &["name", "value"], true, "3, NULL")
    },
    watched("memberships", &["organization_id", "account_id", "owner"], true, "1, NULL"),
    watched(
        "policies",
        &[
            "organization_id",
            "packages_private",
            "packages_internal",
            "packages_public",
            "packages_default",
            "members_create_repositories",
            "base_role",
        ],
        true,
        "1, NULL",
    ),
    watched("teams", &["parent_id"], true, "1, NULL"),
    watched("team_members", &["team_id", "account_id"], true, "1, NULL"),
    watched("repositories", &["owner_id"], true, "1, NULL"),
    watched("repository_accounts", &["repository_id", "account_id", "role"], true, "1, NULL"),
    watched("repository_teams", &["repository_id", "team_id", "role"], true, "1, NULL"),
    watched(
        "packages",
        &["path", "owner_id", "visibility", "inherits", "repository_id", "deleted_at"],
        true,
        "5, $.path",
    ),
    // Whoever asked by an old path for a package that was deleted was told that there is none.
    Watched {
        from: "FROM redirects r WHERE r.package_id = $.id",
        ..watched("packages", &["deleted_at"], false, "5, r.path")
    },
    watched("redirects", &["path", "package_id"], true, "5, $.path"),
    watched(
        "package_grants",
        &["package_id", "account_id", "role"],
        true,
        "5, (SELECT path FROM packages WHERE id = $.package_id)",
    ),
    watched(
        "package_teams",
        &["package_id", "team_id", "role"],
        true,
        "5, (SELECT path FROM packages WHERE id = $.package_id)",
    ),
    watched("tags", &["package_id", "name", "version_id", "valid_to"], false, "6, $.package_id"),
    watched(
        "versions",
        &["package_id", "manifest_id", "digest", "deleted_at", "pinned_until"],
        false,
        "6, $.package_id",
    ),
    watched("manifests", &["digest", "media_type", "size", "payload", "damaged_at"], false, "2, NULL"),
    watched("package_blobs", &["package_id", "digest", "pinned_until"], false, "6, $.package_id"),
    watched("blobs", &["digest", "size", "storage_key", "damage"], false, "2, NULL"),
];

/// Rows that go after all that refers to them: that they go ends nothing that is remembered.
const LAST_TO_GO: [&str; 2] = ["manifests", "blobs"];

/// What a connection changed since its last commit.
#[derive(Clone)]
pub(crate) struct Watch {
    warm: Arc<Warm>,
    marks: Arc<Mutex<Vec<Shard>>>,
}

impl Watch {
    /// Puts the triggers on a connection whose schema is up to date.
    pub(crate) fn on(connection: &rusqlite::Connection, warm: &Arc<Warm>) -> Result<Watch, CatalogError> {
        let failed = |source| CatalogError::Sqlite { statement: "watch", source };
        let watch = Watch { warm: Arc::clone(warm), marks: Arc::default() };
        let marking = watch.clone();
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
        connection
            .create_scalar_function("packhouse_changed", 2, flags, move |values| {
                marking.mark(values.get(0)?, values.get_raw(1));
                Ok(0)
            })
            .map_err(failed)?;
        connection.execute_batch(&triggers()).map_err(failed)?;
        Ok(watch)
    }

    fn mark(&self, about: i64, key: rusqlite::types::ValueRef<'_>) {
        let number = || key.as_i64().unwrap_or(-1);
        let about = match about {
            TOKEN => About::Token(number()),
            PATH => About::Path(key.as_str().unwrap_or_default()),
            PACKAGE => About::Package(number()),
            CONTENTS => About::Contents,
            PLANS => About::Plans,
            // Places; and what is misspelt ends too much rather than too little.
            _ => About::Places,
        };
        let shard = self.warm.stamps().shard(about);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.last() != Some(&shard) {
            marks.push(shard);
        }
    }

    /// In front of a commit.
    pub(crate) fn announce(&self) {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        self.warm.stamps().announce(&marks);
    }

    /// Behind a commit, or a rollback, which changed nothing: then what is remembered is only read again.
    pub(crate) fn publish(&self) {
        let marks = std::mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner));
        self.warm.stamps().publish(&marks);
    }
}

fn triggers() -> String {
    let mut text = "PRAGMA temp_store = MEMORY;\n".to_owned();
    for Watched { table, columns, insert, about, only, from } in WATCHED {
        let trigger = |event: &str, rows: &[&str]| {
            let changed: Vec<String> = rows
                .iter()
                .map(|row| format!("SELECT packhouse_changed({about}) {from};").replace('$', row))
                .collect();
            let when: Vec<String> =
                only.iter().flat_map(|only| rows.iter().map(|row| only.replace('$', row))).collect();
            let when = if when.is_empty() { String::new() } else { format!("WHEN {}", when.join(" OR ")) };
            let name = event.split(' ').next().unwrap_or_default();
            format!(
                "CREATE TEMP TRIGGER warm_{table}_{}_{name} AFTER {event} ON main.{table} {when} BEGIN {} END;\n",
                columns.first().unwrap_or(&"all"),
                changed.join(" ")
            )
        };
        text += &trigger(&format!("UPDATE OF {}", columns.join(", ")), &["OLD", "NEW"]);
        if !LAST_TO_GO.contains(table) {
            text += &trigger("DELETE", &["OLD"]);
        }
        if *insert {
            text += &trigger("INSERT", &["NEW"]);
        }
    }
    text
}
