//! What commands print: tables for people, JSON for programs.

mod rules;
mod usage;
mod verify;

use crate::config::Row;
use anyhow::{Context, bail};
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use jiff::Timestamp;
use packhouse_service::Explanation;
use packhouse_service::operator::{
    AccessView, AccountView, Answer, GarbageView, GcRoundView, GcStatusView, MemberView, PackageAccessView,
    PackageView, PolicyView, RepositoryView, RobotView, TeamView, TokenView,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{ErrorKind, IsTerminal, Write};

/// Prints to stdout. A reader that has had enough (`… | head`) is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says what went wrong, with its causes.
pub(super) fn complain(error: &anyhow::Error) {
    say("\x1b[1;31merror:\x1b[0m", &format!("{error:#}"));
}

pub(super) fn warn(text: &str) {
    say("\x1b[1;33mwarning:\x1b[0m", text);
}

pub(super) fn refuse(text: &str) {
    say("\x1b[1;31mrefused:\x1b[0m", text);
}

pub(super) fn note(text: &str) {
    let _ = write!(anstream::stderr(), "{text}");
}

fn say(heading: &str, text: &str) {
    // `anstream` drops the colours for NO_COLOR and where there is no terminal. If stderr is closed, nobody
    // can be told so.
    let _ = writeln!(anstream::stderr(), "{heading} {text}");
}

/// One document, with a line end.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    Ok(text + "\n")
}

/// The rows of `config check`.
pub(super) fn settings(rows: &[Row]) -> String {
    let mut table = table(["key", "value", "from"]);
    for row in rows {
        let value = match (&row.value, row.meaning) {
            (Some(value), _) if value.is_empty() => "(none)".to_owned(),
            (Some(value), _) => value.clone(),
            (None, meaning) => format!("({})", meaning.unwrap_or("none")),
        };
        table.add_row([row.key, &value, &row.source]);
    }
    lines(&mut table)
}

/// An answer as one JSON document: lists as arrays, times as RFC 3339.
pub(super) fn json_of(answer: Answer) -> anyhow::Result<String> {
    let mut value = match answer {
        Answer::Done { message } => json!({ "message": message }),
        Answer::Users(rows) | Answer::Orgs(rows) => serde_json::to_value(rows)?,
        Answer::Members(rows) => serde_json::to_value(rows)?,
        Answer::Tokens(rows) => serde_json::to_value(rows)?,
        Answer::Packages(rows) => serde_json::to_value(rows)?,
        Answer::Robots(rows) => serde_json::to_value(rows)?,
        Answer::Access(rows) => serde_json::to_value(rows)?,
        Answer::PackageAccess(access) => serde_json::to_value(access)?,
        Answer::Policy(policy) => serde_json::to_value(policy)?,
        Answer::Teams(rows) => serde_json::to_value(rows)?,
        Answer::Repositories(rows) => serde_json::to_value(rows)?,
        Answer::Rules(rows) => serde_json::to_value(rows)?,
        Answer::Retention(view) => serde_json::to_value(view)?,
        Answer::Plan(plan) => serde_json::to_value(plan)?,
        Answer::TagHistory(rows) => serde_json::to_value(rows)?,
        Answer::Explained(explanation) => serde_json::to_value(explanation)?,
        Answer::Usage(rows) => serde_json::to_value(rows)?,
        Answer::Plans(rows) => serde_json::to_value(rows)?,
        Answer::GcRound(round) => serde_json::to_value(round)?,
        Answer::Garbage(rows) => serde_json::to_value(rows)?,
        Answer::GcStatus(status) => serde_json::to_value(status)?,
        Answer::Imported(step) => serde_json::to_value(step)?,
        Answer::Exported(step) => serde_json::to_value(step)?,
        Answer::Backup(view) => serde_json::to_value(view)?,
        Answer::VerifyRun(run) => serde_json::to_value(run)?,
        Answer::Verified(verified) => serde_json::to_value(verified)?,
        Answer::VerifyStatus(status) => {
            let mut value = serde_json::to_value(status)?;
            times_for_people(&mut value["run"]);
            value
        }
        Answer::Token { token, view } => {
            let mut value = serde_json::to_value(view)?;
            value["token"] = token.into();
            value
        }
        Answer::Refused { message } => bail!(message),
    };
    times_for_people(&mut value);
    json(&value)
}

/// An answer as a table or a sentence.
pub(super) fn text_of(answer: Answer) -> anyhow::Result<String> {
    Ok(match answer {
        Answer::Done { message } => message + "\n",
        Answer::Users(rows) => accounts(&rows, "no users yet; `packhouse user create NAME` makes one"),
        Answer::Orgs(rows) => accounts(&rows, "no organizations yet; `packhouse org create NAME` makes one"),
        Answer::Members(rows) => members(&rows),
        Answer::Token { token, view } => {
            let end = view
                .expires_at
                .map_or("it does not expire".to_owned(), |at| format!("it expires {}", time(at)));
            format!(
                "token {} for `{}` ({}); {end}. It is shown only now:\n\n{token}\n",
                view.id,
                view.user,
                if view.scopes.is_empty() { view.kind } else { view.scopes.join(", ") }
            )
        }
        Answer::Tokens(rows) => tokens(&rows),
        Answer::Packages(rows) => packages(&rows),
        Answer::Robots(rows) => robots(&rows),
        Answer::Access(rows) => access(&rows, "nobody has a role of their own"),
        Answer::PackageAccess(access) => package_access(&access),
        Answer::Policy(view) => policy(&view),
        Answer::Teams(rows) => teams(&rows),
        Answer::Repositories(rows) => repositories(&rows),
        Answer::Rules(rows) => rules::rules(&rows),
        Answer::Retention(view) => rules::retention(&view),
        Answer::Plan(plan) => rules::plan(&plan),
        Answer::TagHistory(rows) => rules::history(&rows),
        Answer::Explained(explanation) => explained(&explanation),
        Answer::Usage(rows) => usage::usage(&rows),
        Answer::Plans(rows) => usage::plans(&rows),
        Answer::GcRound(round) => gc_round(&round),
        Answer::Garbage(rows) => garbage(&rows),
        Answer::GcStatus(status) => gc_status(&status),
        Answer::Imported(_) | Answer::Exported(_) => bail!("a step is not shown by itself"),
        Answer::Backup(view) => view.phase + "\n",
        Answer::VerifyRun(run) => verify::run(&run),
        Answer::Verified(verified) => verify::verified(&verified),
        Answer::VerifyStatus(status) => verify::status(&status),
        Answer::Refused { message } => bail!(message),
    })
}

fn accounts(rows: &[AccountView], none: &str) -> String {
    let mut table = table(["id", "name", "state", "created"]);
    for row in rows {
        let state = match (row.suspended_at, row.site_admin) {
            (Some(at), _) => format!("suspended {}", time(at)),
            (None, true) => "site administrator".to_owned(),
            (None, false) => "active".to_owned(),
        };
        table.add_row([row.id.to_string(), row.name.clone(), state, time(row.created_at)]);
    }
    rows_or(rows.len(), &mut table, none)
}

fn members(rows: &[MemberView]) -> String {
    let mut table = table(["user", "role"]);
    for row in rows {
        table.add_row([&row.user, &row.role]);
    }
    rows_or(rows.len(), &mut table, "no members")
}

fn tokens(rows: &[TokenView]) -> String {
    let mut table = table(["id", "user", "name", "scopes", "created", "state"]);
    for row in rows {
        let state = match (row.revoked_at, row.expires_at) {
            (Some(at), _) => format!("revoked {}", time(at)),
            (None, Some(at)) if at <= Timestamp::now().as_microsecond() => format!("expired {}", time(at)),
            (None, Some(at)) => format!("until {}", time(at)),
            (None, None) => "does not expire".to_owned(),
        };
        // What a fine-grained one is for has no place in a line.
        let scopes = if row.scopes.is_empty() { row.kind.clone() } else { row.scopes.join(",") };
        let id = row.id.to_string();
        table.add_row([id, row.user.clone(), row.name.clone(), scopes, time(row.created_at), state]);
    }
    rows_or(rows.len(), &mut table, "no tokens; `packhouse token create USER` makes one")
}

fn robots(rows: &[RobotView]) -> String {
    let mut table = table(["id", "robot", "role", "for", "created"]);
    for row in rows {
        let description = row.description.clone().unwrap_or_default();
        table.add_row([
            row.id.to_string(),
            row.name.clone(),
            row.role.clone(),
            description,
            time(row.created_at),
        ]);
    }
    rows_or(rows.len(), &mut table, "no robots; `packhouse robot create ORG NAME` makes one")
}

fn packages(rows: &[PackageView]) -> String {
    let mut table = table(["id", "package", "visibility", "created"]);
    for row in rows {
        table.add_row([row.id.to_string(), row.path.clone(), row.visibility.clone(), time(row.created_at)]);
    }
    rows_or(rows.len(), &mut table, "no packages yet; the first push makes one")
}

fn access(rows: &[AccessView], none: &str) -> String {
    let mut table = table(["user", "role"]);
    for row in rows {
        table.add_row([&row.user, &row.role]);
    }
    rows_or(rows.len(), &mut table, none)
}

fn package_access(view: &PackageAccessView) -> String {
    match (&view.repository, view.inherits) {
        (Some(repository), true) => {
            format!("has the access of the repository {repository}, and no roles of its own\n")
        }
        (_, _) => {
            access(&view.roles, "nobody has a role of their own; the namespace's owners have all rights")
        }
    }
}

fn policy(view: &PolicyView) -> String {
    let mut table = table(["members", "may"]);
    let packages = if view.packages.is_empty() { "none".to_owned() } else { view.packages.join(", ") };
    let flag = |flag| if flag { "yes" } else { "no" }.to_owned();
    table.add_row(["have packages".to_owned(), packages]);
    table.add_row(["visibility of new packages".to_owned(), view.default.clone()]);
    table.add_row(["linked packages inherit access".to_owned(), flag(view.inherit)]);
    table.add_row(["role in each repository".to_owned(), view.base_role.clone()]);
    table.add_row(["make repositories".to_owned(), flag(view.members_create_repositories)]);
    lines(&mut table)
}

fn teams(rows: &[TeamView]) -> String {
    let mut table = table(["id", "team", "name", "privacy", "parent", "members", "repositories"]);
    for row in rows {
        let parent = row.parent.clone().unwrap_or_default();
        let (members, repositories) = (row.members.to_string(), row.repositories.to_string());
        let (id, slug, name) = (row.id.to_string(), row.slug.clone(), row.name.clone());
        table.add_row([id, slug, name, row.privacy.clone(), parent, members, repositories]);
    }
    rows_or(rows.len(), &mut table, "no teams yet; `packhouse team create ORG NAME` makes one")
}

fn repositories(rows: &[RepositoryView]) -> String {
    let mut table = table(["id", "repository", "visibility", "created"]);
    for row in rows {
        table.add_row([row.id.to_string(), row.path.clone(), row.visibility.clone(), time(row.created_at)]);
    }
    rows_or(rows.len(), &mut table, "no repositories yet; `packhouse repo create OWNER/NAME` makes one")
}

fn explained(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.decision);
    if !explanation.roles.is_empty() {
        let mut table = table(["role", "because"]);
        for reason in &explanation.roles {
            table.add_row([&reason.role, &reason.because]);
        }
        text.push('\n');
        text.push_str(&lines(&mut table));
    }
    text
}

fn gc_round(round: &GcRoundView) -> String {
    if round.removed.is_empty() && round.files == 0 {
        return format!("nothing to remove ({} looked at)\n", round.reviews);
    }
    let mut table = table(["removed", "count", "bytes"]);
    for (kind, count) in &round.removed {
        table.add_row([kind.clone(), count.to_string(), String::new()]);
    }
    table.add_row(["collected".to_owned(), String::new(), bytes(round.collected_bytes)]);
    table.add_row(["files".to_owned(), round.files.to_string(), bytes(round.reclaimed_bytes)]);
    lines(&mut table)
}

fn garbage(rows: &[GarbageView]) -> String {
    let mut table = table(["kind", "package", "digest", "bytes"]);
    let mut sum = 0_u64;
    for row in rows {
        let size = if row.bytes > 0 { bytes(row.bytes) } else { String::new() };
        let (package, digest) =
            (row.package.clone().unwrap_or_default(), row.digest.clone().unwrap_or_default());
        table.add_row([row.kind.clone(), package, digest, size]);
        sum += row.bytes;
    }
    let mut text = rows_or(rows.len(), &mut table, "nothing is due: there is nothing to remove now");
    if !rows.is_empty() {
        text.push_str(&format!("\n{} things, {}; nothing was removed\n", rows.len(), bytes(sum)));
    }
    text
}

fn gc_status(status: &GcStatusView) -> String {
    let mut waiting = table(["to look at", "waiting", "due", "first"]);
    for row in &status.reviews {
        waiting.add_row([row.kind.clone(), row.waiting.to_string(), row.due.to_string(), time(row.first_at)]);
    }
    let mut text = rows_or(status.reviews.len(), &mut waiting, "nothing waits to be looked at");
    text.push_str(&format!(
        "\nin the trash: {} keys, {}; {} of them held by backups or snapshots\n",
        status.trash_keys,
        bytes(status.trash_bytes),
        status.trash_held
    ));
    if !status.collected.is_empty() {
        let mut collected = table(["collected", "count", "bytes"]);
        for row in &status.collected {
            let name = if row.kind == "bytes" { "files" } else { &row.kind };
            collected.add_row([name.to_owned(), row.things.to_string(), bytes(row.bytes)]);
        }
        text.push('\n');
        text.push_str(&lines(&mut collected));
    }
    text
}

/// A number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let (mut shown, mut unit) = (count / 100, 0);
    while shown >= 10_000 && unit + 1 < UNITS.len() {
        shown /= 1_000;
        unit += 1;
    }
    format!("{}.{} {}", shown / 10, shown % 10, UNITS[unit])
}

/// What a command that takes longer says while it works: a line on a terminal, nothing elsewhere.
pub(super) struct Progress(Option<indicatif::ProgressBar>);

impl Progress {
    pub(super) fn begin(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = indicatif::ProgressBar::new_spinner();
        bar.set_message(what);
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self(Some(bar))
    }

    /// A bar, once it is known how many bytes there are in all.
    pub(super) fn measure(&self, done: u64, all: u64, how_far: &str) {
        let Some(bar) = self.0.as_ref().filter(|_| all > 0) else { return self.say(how_far) };
        if bar.length() != Some(all) {
            bar.set_length(all);
            let style = "{spinner} {msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}";
            // The template is ours; should it be wrong, the spinner stays.
            if let Ok(style) = indicatif::ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
        }
        bar.set_position(done);
        bar.set_message(how_far.to_owned());
    }

    /// A bar of what is done of what, with words.
    pub(super) fn part_of(&self, done: u64, total: u64, how_far: &str) {
        let Some(bar) = &self.0 else { return };
        if bar.length() != Some(total) {
            if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} [{bar:30}] {msg}") {
                bar.set_style(style);
            }
            bar.set_length(total);
        }
        bar.set_position(done);
        bar.set_message(how_far.to_owned());
    }

    /// A line that stays, where a person looks.
    pub(super) fn keep(&self, line: &str) {
        if let Some(bar) = &self.0 {
            bar.println(line);
        }
    }

    pub(super) fn say(&self, how_far: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(how_far.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn rows_or(count: usize, table: &mut Table, none: &str) -> String {
    if count == 0 { format!("{none}\n") } else { lines(table) }
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if !(colours && std::io::stdout().is_terminal()) {
        // Whole lines, without escapes, for whatever reads them.
        table.force_no_tty();
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header.map(|name| Cell::new(name.to_uppercase()).add_attribute(Attribute::Bold)));
    table
}

fn lines(table: &mut Table) -> String {
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    let text = table.to_string();
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Microseconds since 1970 as RFC 3339, to the second.
fn time(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    Timestamp::from_second(seconds).map_or_else(|_| micros.to_string(), |time| time.to_string())
}

fn times_for_people(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(times_for_people),
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(micros) = field.as_i64().filter(|_| name.ends_with("_at")) {
                    *field = time(micros).into();
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> TokenView {
        TokenView {
            id: 7,
            user: "mona".into(),
            name: "laptop".into(),
            kind: "classic".into(),
            scopes: vec!["read:packages".into()],
            last_used_at: None,
            created_at: 1_700_000_000_000_000,
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn json_has_arrays_and_readable_times() {
        let text = json_of(Answer::Tokens(vec![token()])).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["created_at"], "2023-11-14T22:13:20Z");
        assert_eq!(value[0]["expires_at"], Value::Null);
        let text = json_of(Answer::Token { token: "phr_x".into(), view: token() }).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["token"], &value["id"]), (&json!("phr_x"), &json!(7)));
        assert_eq!(json_of(Answer::Access(Vec::new())).unwrap(), "[]\n");
    }

    #[test]
    fn bytes_are_rounded_down_for_people() {
        for (count, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (12_345_678_901, "12.3 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn tables_are_plain_where_nobody_looks() {
        let text = text_of(Answer::Tokens(vec![token()])).unwrap();
        assert!(!text.contains('\x1b'), "{text}");
        let rows: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            rows,
            [
                "ID USER NAME SCOPES CREATED STATE",
                "7 mona laptop read:packages 2023-11-14T22:13:20Z does not expire"
            ]
        );
        assert!(text_of(Answer::Users(Vec::new())).unwrap().starts_with("no users yet"));
        assert!(text_of(Answer::Refused { message: "no".into() }).is_err());
    }
}
