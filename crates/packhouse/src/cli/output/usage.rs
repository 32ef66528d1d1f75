//! Tables of what accounts use, and of plans.

use super::{bytes, rows_or, table};
use comfy_table::{Cell, Color};
use packhouse_service::operator::{MeasureView, PlanLimitsView, UsageView};

/// Parts of a bar.
const BAR: u64 = 10;
/// Hundredths from which a limit is near.
const NEAR: u64 = 80;

pub(super) fn usage(rows: &[UsageView]) -> String {
    let mut table = table(["account", "plan", "storage", "private", "transfer", "private transfer"]);
    for row in rows {
        let mut cells = vec![Cell::new(&row.account), Cell::new(&row.plan)];
        cells.extend([row.storage, row.private_storage, row.transfer, row.private_transfer].map(measure));
        table.add_row(cells);
    }
    let text = rows_or(rows.len(), &mut table, "no accounts yet; `packhouse user create NAME` makes one");
    match rows.first() {
        Some(row) => format!("{text}\ntransfer of {}-{:02}, in UTC\n", row.month / 100, row.month % 100),
        None => text,
    }
}

/// What is used, and of a limit how much of it: `498.0 MB of 500.0 MB ■■■■■■■■■□ 99 %`.
fn measure(view: MeasureView) -> Cell {
    let Some(limit) = view.limit else { return Cell::new(bytes(view.used)) };
    let hundredths = match limit {
        0 => 100,
        _ => u64::try_from(u128::from(view.used) * 100 / u128::from(limit)).unwrap_or(u64::MAX),
    };
    let full = (hundredths * BAR / 100).min(BAR);
    let bar: String = (0..BAR).map(|part| if part < full { '■' } else { '□' }).collect();
    let cell = Cell::new(format!("{} of {} {bar} {hundredths} %", bytes(view.used), bytes(limit)));
    match hundredths {
        100.. => cell.fg(Color::Red),
        NEAR.. => cell.fg(Color::Yellow),
        _ => cell,
    }
}

pub(super) fn plans(rows: &[PlanLimitsView]) -> String {
    let limit = |limit: Option<u64>| limit.map_or_else(|| "-".to_owned(), bytes);
    let mut table = table(["plan", "storage", "private", "transfer", "private transfer", ""]);
    for row in rows {
        let about = match (row.default, row.configured) {
            (true, _) => "default",
            (false, true) => "",
            (false, false) => "not in the configuration any more",
        };
        table.add_row([
            row.name.clone(),
            limit(row.storage),
            limit(row.private_storage),
            limit(row.transfer),
            limit(row.private_transfer),
            about.to_owned(),
        ]);
    }
    rows_or(rows.len(), &mut table, "no plans yet; the first start of `packhouse serve` makes them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_a_bar() {
        let of = |used, limit| measure(MeasureView { used, limit }).content();
        assert_eq!(of(1_500, None), "1.5 kB");
        assert_eq!(of(498, Some(500)), "498 B of 500 B ■■■■■■■■■□ 99 %");
        assert_eq!(of(0, Some(500)), "0 B of 500 B □□□□□□□□□□ 0 %");
        assert_eq!(of(1_000, Some(500)), "1.0 kB of 500 B ■■■■■■■■■■ 200 %");
        assert_eq!(of(0, Some(0)), "0 B of 0 B ■■■■■■■■■■ 100 %");
    }
}
