//! The page's tables.

use maud::{Markup, html};

use crate::report::table::{DELIVERY_COLUMNS, counts, delivery_cells};
use crate::report::units::{bytes, count, number, percent, time};
use crate::report::words::{self, Row};
use crate::report::{Percentiles, Report};

/// Rows of the proof of delivery that are shown.
const DELIVERIES_MAX: usize = 50;
/// As many of those that are whole are shown, to see what they are like.
const DELIVERIES_WHOLE: usize = 10;
/// Metrics of the target that are shown.
const METRICS_MAX: usize = 100;

/// All of them.
pub fn all(report: &Report) -> Markup {
    html! {
        div.columns {
            section { h2 { "What was run" } (texts(&words::settings(report))) (command(report)) }
            section { h2 { "Counted" } (pairs(&counts(report))) }
        }
        (times(report))
        (deliveries(report))
        (errors(report))
        (target(report))
        section { h2 { "Host of the load" } (texts(&host(report))) }
    }
}

fn pairs(rows: &[Row]) -> Markup {
    html! { table.pairs { (named(rows)) } }
}

/// The same where the values are no numbers.
fn texts(rows: &[Row]) -> Markup {
    html! { table.pairs.texts { (named(rows)) } }
}

fn named(rows: &[Row]) -> Markup {
    html! {
        tbody { @for (name, value) in rows {
            tr { th scope="row" { (name) } td { (value) } }
        } }
    }
}

/// The command line, broken only between its words, where they fit.
fn command(report: &Report) -> Markup {
    html! { p.command { @for word in words::command(report) { code { (word) } " " } } }
}

fn times(report: &Report) -> Markup {
    let rows = words::times(report);
    if rows.is_empty() {
        return Markup::default();
    }
    let cells = |times: &Percentiles| {
        let values = [
            times.p50, times.p90, times.p99, times.p999, times.max, times.mean,
        ];
        values.map(time)
    };
    html! {
        section {
            h2 { "Times" }
            div.scroll { table.numbers {
                thead { tr {
                    @for name in ["", "p50", "p90", "p99", "p99.9", "max", "mean", "values"] { th scope="col" { (name) } }
                } }
                tbody { @for (name, times) in &rows {
                    tr {
                        th scope="row" { (name) }
                        @for cell in cells(times) { td { (cell) } }
                        td { (count(times.count)) }
                    }
                } }
            } }
        }
    }
}

fn deliveries(report: &Report) -> Markup {
    if report.expected == 0 && report.corrupt == 0 {
        return Markup::default();
    }
    let amiss = report
        .deliveries
        .iter()
        .filter(|row| row.is_amiss())
        .count();
    let shown = (amiss + DELIVERIES_WHOLE).min(DELIVERIES_MAX);
    let all = report.deliveries.len() + report.deliveries_left_out;
    let more = all.saturating_sub(shown);
    let shown = report.deliveries.iter().take(shown);
    html! {
        section {
            h2 { "Proof of delivery" }
            p.note {
                "By room and publisher; " (count(amiss as u64)) " of " (count(all as u64)) " rows amiss, these first. "
                "Whose a corrupt message was cannot be known."
            }
            div.scroll { table.numbers {
                thead { tr { @for name in DELIVERY_COLUMNS { th scope="col" { (name) } } } }
                tbody { @for row in shown {
                    tr.amiss[row.is_amiss()] { @for cell in delivery_cells(row) { td { (cell) } } }
                } }
            } }
            @if more > 0 { p.note { "and " (count(more as u64)) " more rows" } }
        }
    }
}

fn errors(report: &Report) -> Markup {
    if report.errors.is_empty() {
        return Markup::default();
    }
    html! {
        section {
            h2 { "Errors by kind" }
            table.pairs { tbody {
                @for (kind, number) in &report.errors {
                    tr { th scope="row" { (kind) } td { (count(*number)) } }
                }
            } }
            @if !report.hints.is_empty() {
                ul { @for hint in &report.hints { li { (hint) } } }
            }
        }
    }
}

fn target(report: &Report) -> Markup {
    let Some(target) = &report.target else {
        return Markup::default();
    };
    let more = target.metrics.len().saturating_sub(METRICS_MAX);
    html! {
        section {
            h2 { "What was found of the target" }
            (pairs(&words::target(report)))
            @for warning in &target.warnings { p.note { "Not read: " (warning) } }
            @if !target.metrics.is_empty() {
                h3 { "Its metrics that grew while measuring" }
                div.scroll { table.pairs { tbody {
                    @for (name, grown) in target.metrics.iter().take(METRICS_MAX) {
                        tr { th scope="row" { (name) } td { (number(*grown)) } }
                    }
                } } }
                @if more > 0 { p.note { "and " (count(more as u64)) " more, which --json has" } }
            }
        }
    }
}

fn host(report: &Report) -> Vec<Row> {
    let host = &report.host;
    let busy: Vec<_> = report
        .busy_shares
        .iter()
        .map(|share| percent(*share))
        .collect();
    vec![
        ("processor", host.cpu.clone()),
        ("cores", host.cores.to_string()),
        ("memory", bytes(host.memory_bytes as f64)),
        ("kernel", host.kernel.clone()),
        ("load’s threads, busy", busy.join(", ")),
        ("ended", words::ended_at(report)),
    ]
}
