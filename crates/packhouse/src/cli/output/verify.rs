//! What a scrub came to.

use super::{bytes, lines, rows_or, table, time};
use packhouse_service::operator::{VerifiedView, VerifyRunView, VerifyStatusView};

pub(super) fn run(run: &VerifyRunView) -> String {
    let state = match run.ended_at {
        Some(at) => format!("ended {}", time(at)),
        None => format!("interrupted, or still running, at the {}", run.stage),
    };
    format!(
        "{} of {} blobs, {} of {}; began {}, {state}; {} found, {} of them not repaired\n",
        run.blobs,
        run.blobs_total,
        bytes(run.bytes),
        bytes(run.bytes_total),
        time(run.started_at),
        run.found,
        run.open
    )
}

pub(super) fn verified(verified: &VerifiedView) -> String {
    let run = &verified.run;
    if run.found == 0 {
        return format!("all is well: {} blobs, {}\n", run.blobs, bytes(run.bytes));
    }
    let mut table = table(["kind", "where", "what", "done"]);
    for row in &verified.findings {
        table.add_row([&row.kind, &row.place, &row.what, &row.done]);
    }
    let mut text = lines(&mut table);
    let shown = verified.findings.len() as u64;
    if run.found > shown {
        text.push_str(&format!("… and {} more\n", run.found - shown));
    }
    text.push_str(&format!(
        "\n{} blobs, {} looked at; {} found, {} of them not repaired\n",
        run.blobs,
        bytes(run.bytes),
        run.found,
        run.open
    ));
    text
}

pub(super) fn status(status: &VerifyStatusView) -> String {
    let mut text = match &status.run {
        Some(last) => run(last),
        None => "nothing was verified yet; `packhouse verify` does\n".to_owned(),
    };
    let mut table = table(["quarantined", "digest", "bytes", "packages"]);
    for row in &status.quarantined {
        let size = row.bytes.map(bytes).unwrap_or_default();
        table.add_row([row.kind.clone(), row.digest.clone(), size, row.packages.join(", ")]);
    }
    text.push('\n');
    text.push_str(&rows_or(status.quarantined.len(), &mut table, "nothing is quarantined"));
    text
}
