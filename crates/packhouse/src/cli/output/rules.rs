//! Tables of rules, retention and the tags' past.

use super::{lines, rows_or, table, time};
use packhouse_service::operator::{PlanView, RetentionView, RuleView, TagView};

/// Digests are told apart by so many characters in a table.
const DIGEST_CHARS: usize = 19;

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn short(digest: &str) -> String {
    digest.chars().take(DIGEST_CHARS).collect()
}

pub(super) fn rules(rows: &[RuleView]) -> String {
    let mut table = table(["id", "of", "tags", "except", "are", "changed by", "since"]);
    for row in rows {
        let by = match row.role.as_deref() {
            None | Some("nobody") => "nobody".to_owned(),
            Some(role) => format!("role {role}"),
        };
        table.add_row([
            row.id.to_string(),
            row.of.clone(),
            row.pattern.clone(),
            or_dash((!row.except.is_empty()).then(|| row.except.join(" "))),
            row.hold.clone(),
            by,
            time(row.created_at),
        ]);
    }
    rows_or(rows.len(), &mut table, "no rules; `packhouse protect immutable OWNER/NAME 'v*'` makes one")
}

/// So many seconds as people write them.
fn duration(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

pub(super) fn retention(view: &RetentionView) -> String {
    let policy = &view.policy;
    let mut table = table(["rule", "value"]);
    let mut row = |rule: &str, value: Option<String>| {
        if let Some(value) = value {
            table.add_row([rule.to_owned(), value]);
        }
    };
    row("policy of", Some(view.of.clone()));
    row("keep last", policy.keep_last.map(|count| count.to_string()));
    row("keep newer than", policy.keep_newer_seconds.map(duration));
    row("keep pulled within", policy.keep_pulled_seconds.map(duration));
    row("keep tags", (!policy.keep_tags.is_empty()).then(|| policy.keep_tags.join("  ")));
    row("drop untagged after", policy.drop_untagged_seconds.map(duration));
    row("drop pre-releases after", policy.drop_prereleases_seconds.map(duration));
    row("drop the rest", policy.drop_rest.then(|| "yes".to_owned()));
    row("runs every", policy.every_seconds.map(duration));
    row("runs daily at", policy.daily_at.as_ref().map(|at| format!("{at} UTC")));
    row("runs next", Some(view.due_at.map_or("by hand only".to_owned(), time)));
    let last = |at| format!("{}: kept {}, dropped {}", time(at), view.kept, view.dropped);
    row("ran last", view.ran_at.map(last));
    lines(&mut table)
}

pub(super) fn plan(plan: &PlanView) -> String {
    let mut table = table(["version", "tags", "digest", "pushed", "pulled", "verdict", "rule"]);
    for row in &plan.versions {
        table.add_row([
            row.id.to_string(),
            or_dash((!row.tags.is_empty()).then(|| row.tags.join(" "))),
            short(&row.digest),
            row.pushed_at.map_or("unknown".to_owned(), time),
            row.pulled_at.map_or("never".to_owned(), time),
            row.verdict.clone(),
            row.rule.clone(),
        ]);
    }
    let listed = if plan.versions.is_empty() { String::new() } else { lines(&mut table) + "\n" };
    let sum = match plan.done {
        true => format!("policy of {}: kept {}, dropped {}\n", plan.of, plan.kept, plan.dropped),
        false => format!("policy of {}: would keep {}, would drop {}\n", plan.of, plan.kept, plan.dropped),
    };
    listed + &sum
}

pub(super) fn history(rows: &[TagView]) -> String {
    let mut table = table(["tag", "version", "digest", "from", "to", "by"]);
    for row in rows {
        table.add_row([
            row.tag.clone(),
            row.version.to_string(),
            row.digest.clone(),
            time(row.from_at),
            row.to_at.map_or("now".to_owned(), time),
            or_dash(row.moved_by.clone()),
        ]);
    }
    rows_or(rows.len(), &mut table, "there never was such a tag")
}
