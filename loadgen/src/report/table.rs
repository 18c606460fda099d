//! The result as tables for people.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::HumanCount;

use super::scenario;
use super::units::{bytes, count, number, percent, seconds};
use super::words::{self, Row};
use super::{Percentiles, Report};
use crate::delivery::DeliveryRow;

/// Rows of the proof of delivery that are shown.
const DELIVERIES_MAX: usize = 20;
/// Metrics of the target that are shown.
const METRICS_MAX: usize = 20;
/// The delivery's columns; a row without a publisher is of what came changed.
pub const DELIVERY_COLUMNS: [&str; 9] = [
    "room",
    "publisher",
    "sent",
    "expected",
    "received",
    "lost",
    "duplicated",
    "reordered",
    "corrupt",
];

/// Writes the report as text, the verdict last.
pub fn format(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}, {}", words::title(report), words::threads(report));
    let _ = writeln!(text, "{}", pairs(counts(report)));
    if let Some(times) = times(report) {
        let _ = writeln!(text, "{times}");
    }
    write_target(&mut text, report);
    write_deliveries(&mut text, report);
    for (kind, count) in &report.errors {
        let _ = writeln!(text, "{count} x {kind}");
    }
    for hint in &report.hints {
        let _ = writeln!(text, "  {hint}");
    }
    let _ = writeln!(text, "Host: {}", words::host(report));
    write_verdict(&mut text, report);
    text
}

fn write_target(text: &mut String, report: &Report) {
    let rows = words::target(report);
    if !rows.is_empty() {
        let _ = writeln!(text, "Target:\n{}", pairs(rows));
    }
    write_metrics(text, report);
    let warnings = report.target.iter().flat_map(|target| &target.warnings);
    for warning in warnings {
        let _ = writeln!(text, "  not read: {warning}");
    }
}

/// The metrics that were asked for: what counts events before what merely was larger at the end.
fn write_metrics(text: &mut String, report: &Report) {
    let Some(target) = report.target.as_ref().filter(|t| !t.metrics.is_empty()) else {
        return;
    };
    let (counters, others): (Vec<_>, Vec<_>) = target
        .metrics
        .iter()
        .partition(|(name, _)| name.ends_with("_total"));
    let mut table = new_table();
    for (name, grown) in counters.iter().chain(&others).take(METRICS_MAX) {
        table.add_row([name.to_string(), number(**grown)]);
    }
    align_right(&mut table, 1);
    let _ = writeln!(text, "Its metrics that grew while measuring:\n{table}");
    let more = target.metrics.len().saturating_sub(METRICS_MAX);
    if more > 0 {
        let _ = writeln!(text, " and {more} more; --json has them");
    }
}

fn write_deliveries(text: &mut String, report: &Report) {
    let amiss: Vec<_> = report
        .deliveries
        .iter()
        .filter(|row| row.is_amiss())
        .collect();
    if amiss.is_empty() {
        return;
    }
    let mut table = new_table();
    table.set_header(DELIVERY_COLUMNS);
    for row in amiss.iter().take(DELIVERIES_MAX) {
        table.add_row(delivery_cells(row));
    }
    align_right(&mut table, 0);
    let _ = writeln!(text, "Deliveries amiss:\n{table}");
    let more = amiss.len().saturating_sub(DELIVERIES_MAX);
    if more > 0 {
        // Rows are left out of a report only after those amiss, unless these alone are too many.
        let or_more = if amiss.len() == report.deliveries.len() && report.deliveries_left_out > 0 {
            " or more"
        } else {
            ""
        };
        let _ = writeln!(text, " and {more}{or_more} more; --json has them");
    }
}

/// The cells of a row of the proof of delivery.
pub fn delivery_cells(row: &DeliveryRow) -> [String; 9] {
    let publisher = row.publisher.map_or("any".to_owned(), |p| p.to_string());
    let [sent, expected, received, lost] =
        [row.sent, row.expected, row.received, row.lost].map(count);
    let [duplicated, reordered, corrupt] = [row.duplicated, row.reordered, row.corrupt].map(count);
    [
        row.room.to_string(),
        publisher,
        sent,
        expected,
        received,
        lost,
        duplicated,
        reordered,
        corrupt,
    ]
}

fn write_verdict(text: &mut String, report: &Report) {
    let faults = report.faults();
    let _ = if faults.is_empty() {
        write!(text, "{}", words::nothing_amiss(report))
    } else {
        write!(text, "FAILED: {}", faults.join(", "))
    };
    if let Some(words) = words::interrupted(report) {
        let _ = write!(text, "\nINTERRUPTED: {words}");
    }
    if !report.valid {
        let _ = write!(text, "\nINVALID: these are not the target's figures, since");
        for reason in &report.invalid_because {
            let _ = write!(text, "\n  {reason}");
        }
    }
}

/// A table without lines.
pub fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table
}

/// Aligns the columns from the first on to the right.
pub fn align_right(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn pairs(rows: Vec<Row>) -> Table {
    let mut table = new_table();
    for (name, value) in rows {
        table.add_row([name, &value]);
    }
    align_right(&mut table, 1);
    table
}

/// What was counted, for a table of names and values.
pub fn counts(report: &Report) -> Vec<Row> {
    let mut rows = vec![(
        "connected",
        format!(
            "{} in {:.2} s ({}/s)",
            count(report.connected),
            report.connect_seconds,
            count(report.handshakes_per_second as u64)
        ),
    )];
    if report.failed > 0 {
        let (failed, refused) = (count(report.failed), count(report.refused));
        rows.push(("failed", format!("{failed}, of which {refused} refused")));
    }
    rows.push(("connections lost", count(report.connections_lost)));
    rows.extend(scenario::rows(report));
    if report.loop_kind.is_some() {
        rows.extend(rates(report));
    }
    if report.expected > 0 || report.loop_kind.is_some() {
        rows.extend([
            ("sent", count(report.sent)),
            ("expected", count(report.expected)),
            ("received", count(report.received)),
            ("lost", count(report.lost)),
            ("duplicated", count(report.duplicated)),
            ("reordered", count(report.reordered)),
            ("corrupt", count(report.corrupt)),
        ]);
    }
    let seldom = [
        ("unexpected", report.unexpected),
        ("unsent", report.unsent),
        ("stalled", report.stalled),
        ("pings answered", report.pings),
    ];
    let seldom = seldom.into_iter().filter(|(_, value)| *value > 0);
    rows.extend(seldom.map(|(name, value)| (name, count(value))));
    rows.push(("load's CPU", load_cpu(report)));
    rows
}

/// The load generator's CPU time in the measurement; of connections that are opened, that is before it.
fn load_cpu(report: &Report) -> String {
    let measured = format!(
        "{}, busiest core {}",
        seconds(report.cpu_seconds),
        percent(report.busy_share)
    );
    match (report.handshakes_busy_share, &report.storm) {
        (Some(share), None) => format!("busiest core {} while connecting", percent(share)),
        (Some(share), Some(_)) => format!("{measured}, {} while coming back", percent(share)),
        (None, _) => measured,
    }
}

fn rates(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some((offered, sent)) = report
        .messages_per_second_offered
        .zip(report.messages_per_second_sent)
    {
        rows.push(("offered/s", number(offered)));
        rows.push((
            "sent/s",
            format!("{} ({})", number(sent), percent(sent / offered)),
        ));
    }
    rows.push(("messages/s", number(report.messages_per_second)));
    rows.push(("payload/s", bytes(report.bytes_per_second)));
    rows
}

fn times(report: &Report) -> Option<Table> {
    let times = words::times(report);
    let mut table = new_table();
    table.set_header(["microseconds", "p50", "p90", "p99", "p99.9", "max", "mean"]);
    for &(name, percentiles) in &times {
        table.add_row(times_row(name, percentiles));
    }
    align_right(&mut table, 1);
    (!times.is_empty()).then_some(table)
}

fn times_row(name: &str, percentiles: Percentiles) -> [String; 7] {
    let time = |microseconds: f64| {
        if microseconds < 100.0 {
            format!("{microseconds:.1}")
        } else {
            HumanCount(microseconds.round() as u64).to_string()
        }
    };
    let Percentiles {
        p50,
        p90,
        p99,
        p999,
        max,
        mean,
        ..
    } = percentiles;
    let [p50, p90, p99, p999, max, mean] = [p50, p90, p99, p999, max, mean].map(time);
    [name.to_owned(), p50, p90, p99, p999, max, mean]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_table_names_the_loop_the_target_and_the_host() {
        let closed = format(&sample::closed());
        assert!(closed.contains("closed loop with 4 in flight"), "{closed}");
        assert!(closed.contains("6,000 ns") && closed.contains("700 bytes"));
        assert!(closed.contains("Host: A processor, 2 cores"), "{closed}");
        assert!(closed.contains("Delivered whole") && !closed.contains("offered"));
        let open = format(&sample::open());
        assert!(open.contains("offered/s") && open.contains("service"));
        assert!(format(&sample::idle()).contains("stayed open"));
    }

    #[test]
    fn at_most_so_many_deliveries_amiss_are_shown_and_none_that_are_whole() {
        let few = format(&sample::faulty(20));
        assert!(!few.contains(" more; --json"), "{few}");
        let many = format(&sample::faulty(25));
        assert!(many.contains(" and 5 more; --json has them"), "{many}");
        assert!(many.contains("FAILED: 3 connections failed, 50 messages lost"));
        assert!(many.contains("3 x http_503") && many.contains("the server is full"));
    }

    #[test]
    fn the_targets_metrics_are_shown_what_counts_events_first() {
        let mut report = sample::closed();
        let metrics = &mut report.target.get_or_insert_default().metrics;
        metrics.extend((0..30).map(|number| (format!("a_gauge_{number}"), 1.0)));
        metrics.insert("drops_total".to_owned(), 17.0);
        let more = metrics.len() - METRICS_MAX;
        let text = format(&report);
        let found = |words: &str| {
            text.find(words)
                .unwrap_or_else(|| panic!("{words}: {text}"))
        };
        assert!(found("drops_total") < found("a_gauge_0"));
        found(&format!("and {more} more; --json has them"));
    }

    #[test]
    fn a_run_that_was_ended_early_says_so() {
        let mut report = sample::closed();
        assert!(!format(&report).contains("INTERRUPTED"));
        report.interrupted = true;
        assert!(format(&report).contains("rates and times are of"));
        report.duration_seconds = 0.0;
        assert!(format(&report).contains("before anything was measured"));
        report.measured_at_seconds = None;
        assert!(format(&report).contains("before all connections were open"));
    }

    #[test]
    fn an_invalid_run_says_so_and_why() {
        let mut report = sample::open();
        report.valid = false;
        report.invalid_because = vec!["the schedule was not kept".to_owned()];
        let text = format(&report);
        assert!(
            text.ends_with("since\n  the schedule was not kept"),
            "{text}"
        );
    }
}
