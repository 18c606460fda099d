//! The report for people.

use super::{Check, Report, Status};
use crate::settings::Setting;
use crate::text::{grouped, lines, size, table};

/// Columns of the table of checks.
const WIDTH: u16 = 110;

/// Verdict, checks, memory, and what to change.
pub fn text(report: &Report) -> String {
    let mut text = verdict(report);
    text.push_str(&checks(report));
    text.push_str(&budget(report));
    text.push_str(&changes(report));
    text
}

fn verdict(report: &Report) -> String {
    let (holds, target) = (grouped(report.holds), grouped(report.connections));
    let fits = if report.fits { "fit" } else { "do NOT fit" };
    let limited_by = report.limited_by;
    format!(
        "{target} connections {fits}: this host can hold {holds} now, limited first by {limited_by}.\n\n"
    )
}

fn checks(report: &Report) -> String {
    let mut rows = table(&["check", "", "found"]);
    rows.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    rows.set_width(WIDTH);
    for check in &report.checks {
        rows.add_row([&check.name, check.status.word(), &check.found]);
    }
    lines(&rows)
}

fn budget(report: &Report) -> String {
    let budget = &report.budget;
    let mut rows = table(&[]);
    let mut row = |name: &str, bytes: u64, how: &str| {
        rows.add_row([name, &size(bytes), how]);
    };
    row(
        "Ringmain, idle",
        budget.user_bytes,
        "700 B a connection, measured",
    );
    row(
        "kernel, idle",
        budget.kernel_bytes,
        "4 KiB a connection: socket, file, poll",
    );
    if budget.conntrack_bytes > 0 {
        row(
            "connection tracking",
            budget.conntrack_bytes,
            "400 B a connection",
        );
    }
    row("together", budget.idle_bytes, "must be there");
    row(
        "TCP buffers, at work",
        budget.busy_buffer_bytes,
        "1 in 20 reads slowly (64 KiB), 1 in 5 has 2 KiB unread",
    );
    row(
        "free now",
        budget.free_bytes,
        "for these, for messages (memory_bytes_max) and for all else",
    );
    format!(
        "\nMemory for {} connections\n{}",
        grouped(budget.connections),
        lines(&rows)
    )
}

fn changes(report: &Report) -> String {
    let titles = [
        ("To make them fit", Status::Bad),
        ("To make it better", Status::Warn),
    ];
    let parts = titles.map(|(title, status)| {
        let checks = report.checks.iter().filter(|check| check.status == status);
        let (settings, others): (Vec<&Check>, Vec<&Check>) =
            checks.partition(|check| Setting::find(&check.name).is_some());
        let mut text = String::new();
        for check in others {
            for change in &check.change {
                text += &format!("  {}: {change}\n", check.name);
            }
        }
        if !settings.is_empty() {
            let connections = report.connections;
            text += &format!(
                "  kernel settings, all at once: sudo ringmain tune apply --connections {connections}\n    \
                 (`ringmain tune plan` explains them), or until the next boot:\n"
            );
        }
        for change in settings.iter().flat_map(|check| &check.change) {
            text += &format!("    {change}\n");
        }
        if text.is_empty() {
            text
        } else {
            format!("\n{title}\n{text}")
        }
    });
    parts.concat()
}
