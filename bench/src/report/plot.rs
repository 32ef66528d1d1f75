//! One picture of all figures: for each work a bar for each target, with its lowest and highest run.

use std::fmt::Write as _;

use super::Report;
use crate::figures::{Figures, Series};
use crate::goals::number;

const WIDTH: f64 = 960.0;
/// Where bars begin: what is left of it is for names.
const LEFT: f64 = 170.0;
/// The longest bar, with room for its figure behind it.
const LENGTH: f64 = 620.0;
const BAR: f64 = 15.0;
const STEP: f64 = 19.0;
const HEADING: f64 = 30.0;

/// Colours that people who see few colours can tell apart (Okabe and Ito).
const COLOURS: &[(&str, &str)] = &[
    ("packhouse", "#0072b2"),
    ("distribution", "#e69f00"),
    ("docker-registry", "#cc79a7"),
    ("machine", "#777777"),
    ("nginx", "#999999"),
];
const OTHERS: &str = "#009e73";

pub(super) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for figures in report.works.iter().filter(|figures| !figures.series.is_empty()) {
        // Writing to a string does not fail.
        let _ = write_work(figures, &mut body, &mut y);
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn write_work(figures: &Figures, body: &mut String, y: &mut f64) -> std::fmt::Result {
    *y += HEADING;
    let direction = if figures.unit.more_is_better() { "more" } else { "less" };
    let title = escape(figures.title);
    let unit = figures.unit.name();
    writeln!(
        body,
        "<text x=\"10\" y=\"{:.0}\" font-weight=\"bold\">{title} <tspan fill=\"#666666\">({unit}, {direction} is better)</tspan></text>",
        *y - 8.0
    )?;
    let most = figures.series.iter().map(|series| series.max).fold(f64::MIN_POSITIVE, f64::max);
    for series in &figures.series {
        write_bar(series, most, body, *y)?;
        *y += STEP;
    }
    Ok(())
}

fn write_bar(series: &Series, most: f64, body: &mut String, y: f64) -> std::fmt::Result {
    let place = |value: f64| LEFT + LENGTH * (value / most).clamp(0.0, 1.0);
    let middle = y + BAR / 2.0;
    let (low, high, end) = (place(series.min), place(series.max), place(series.median));
    let known = COLOURS.iter().find(|(name, _)| series.target.starts_with(name));
    let colour = known.map_or(OTHERS, |(_, colour)| *colour);
    writeln!(
        body,
        "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
         <path d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v6M{high:.1} {:.1}v6\" stroke=\"#000000\" fill=\"none\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        LEFT - 8.0,
        middle + 4.0,
        escape(&series.target),
        (end - LEFT).max(0.5),
        middle - 3.0,
        middle - 3.0,
        end.max(high) + 8.0,
        middle + 4.0,
        number(series.median),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
