//! A comparison as a table for people.

use std::fmt::Write as _;

use super::Comparison;
use super::figures::{Figure, Mark};
use crate::report::table::{align_right, new_table};
use crate::report::units::percent;

/// Writes the comparison as text, the verdict last.
pub fn format(comparison: &Comparison) -> String {
    let mut table = new_table();
    table.set_header(["", "A", "B", "change", ""]);
    for figure in &comparison.figures {
        table.add_row(row(figure));
    }
    align_right(&mut table, 1);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}\nA: {}\nB: {}\n{table}",
        comparison.scenario, comparison.a, comparison.b
    );
    for doubt in &comparison.doubts {
        let _ = writeln!(text, "Note: {doubt}");
    }
    let max = percent(comparison.max_regress.0);
    if comparison.is_worse() {
        let _ = write!(text, "WORSE (by more than {max}, or amiss):");
        for reason in &comparison.worse_because {
            let _ = write!(text, "\n  {reason}");
        }
    } else {
        let _ = write!(
            text,
            "B is not worse: nothing that counts lost more than {max}."
        );
    }
    text
}

fn row(figure: &Figure) -> [String; 5] {
    let value =
        |value: Option<f64>| value.map_or("-".to_owned(), |value| figure.unit.format(value));
    let change = figure.change.map_or("-".to_owned(), |change| {
        format!("{}{}", if change > 0.0 { "+" } else { "" }, percent(change))
    });
    let mark = match figure.mark {
        Mark::Shown => "not judged",
        Mark::Same => "same",
        Mark::Better => "better",
        Mark::Worse => "WORSE",
    };
    [
        figure.name.to_owned(),
        value(figure.a),
        value(figure.b),
        change,
        mark.to_owned(),
    ]
}
