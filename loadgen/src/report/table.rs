//! The result as tables for people.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::{HumanBytes, HumanCount, HumanFloatCount};

use super::{Percentiles, Report};

/// Writes the report as text.
pub fn format(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", title(report));
    let _ = writeln!(text, "{}", counts(report));
    if let Some(times) = times(report) {
        let _ = writeln!(text, "{times}");
    }
    for (kind, count) in &report.errors {
        let _ = writeln!(text, "{count} x {kind}");
    }
    for hint in &report.hints {
        let _ = writeln!(text, "  {hint}");
    }
    let faults = report.faults();
    let verdict = if faults.is_empty() {
        "Nothing lost, duplicated, reordered or corrupt.".to_owned()
    } else {
        format!("FAILED: {}", faults.join(", "))
    };
    let _ = write!(text, "{verdict}");
    text
}

fn title(report: &Report) -> String {
    let how = match (report.in_flight, report.messages_per_second_offered) {
        (Some(in_flight), _) => format!(", closed loop with {in_flight} in flight"),
        (_, Some(rate)) => format!(", open loop at {} messages/s", HumanFloatCount(rate)),
        _ => String::new(),
    };
    format!(
        "{} {}: {} connections{how}, {:.1} s, {} on {}",
        report.mode,
        report.url,
        HumanCount(u64::from(report.connections)),
        report.duration_seconds,
        match report.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        },
        report.io,
    )
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table
}

fn align_right(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn counts(report: &Report) -> Table {
    let number = |count: u64| HumanCount(count).to_string();
    let mut table = new_table();
    let mut row = |name: &str, value: String| {
        table.add_row([name, &value]);
    };
    row(
        "connected",
        format!(
            "{} in {:.2} s ({}/s)",
            number(report.connected),
            report.connect_seconds,
            number(report.handshakes_per_second as u64)
        ),
    );
    if report.failed > 0 {
        let (failed, refused) = (number(report.failed), number(report.refused));
        row("failed", format!("{failed}, of which {refused} refused"));
    }
    row("connections lost", number(report.connections_lost));
    if report.loop_kind.is_some() {
        row("messages/s", number(report.messages_per_second as u64));
        let bytes = HumanBytes(report.bytes_per_second as u64);
        row("payload/s", bytes.to_string());
    }
    if report.expected > 0 || report.loop_kind.is_some() {
        row("sent", number(report.sent));
        row("expected", number(report.expected));
        row("received", number(report.received));
        row("lost", number(report.lost));
        row("duplicated", number(report.duplicated));
        row("reordered", number(report.reordered));
        row("corrupt", number(report.corrupt));
    }
    for (name, count) in [
        ("unexpected", report.unexpected),
        ("unsent", report.unsent),
        ("stalled", report.stalled),
        ("pings answered", report.pings),
    ] {
        if count > 0 {
            row(name, number(count));
        }
    }
    row(
        "load's CPU",
        format!(
            "{:.2} s, busiest thread {:.0}%",
            report.cpu_seconds,
            report.busy_share * 100.0
        ),
    );
    align_right(&mut table, 1);
    table
}

fn times(report: &Report) -> Option<Table> {
    let rows = [
        ("latency", report.latency_microseconds),
        ("send lag", report.send_lag_microseconds),
        ("handshake", report.handshake_microseconds),
    ];
    let mut table = new_table();
    table.set_header(["microseconds", "p50", "p90", "p99", "p99.9", "max", "mean"]);
    let mut any = false;
    for (name, percentiles) in rows {
        if let Some(percentiles) = percentiles {
            table.add_row(times_row(name, percentiles));
            any = true;
        }
    }
    align_right(&mut table, 1);
    any.then_some(table)
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
