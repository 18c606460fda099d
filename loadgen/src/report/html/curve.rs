//! The percentile curves: times against 1/(1 - quantile), both logarithmic, so that the tail has its room.

use maud::{Markup, html};

use super::plot::{Axis, Line, Plot, Points, Size, legend, picture};
use super::scale::Scale;
use crate::report::{CurvePoint, Report, units};

const HEIGHT_PX: f64 = 260.0;
/// The median has a label of its own between 0% and 90%.
const MEDIAN: f64 = 2.0;

/// One curve: its class, its name, its points and how many values it is of.
struct Curve<'a> {
    class: &'static str,
    name: &'static str,
    points: &'a [CurvePoint],
    count: u64,
}

/// All curves that the report has.
pub fn draw(report: &Report) -> Markup {
    let count = |times: Option<crate::report::Percentiles>| times.map_or(0, |times| times.count);
    let messages = [
        Curve {
            class: "s1",
            name: "latency",
            points: &report.latency_curve,
            count: count(report.latency_microseconds),
        },
        Curve {
            class: "s2",
            name: "service: from the actual sending",
            points: &report.service_curve,
            count: count(report.service_microseconds),
        },
    ];
    let offered = report.handshakes_per_second_offered;
    let handshakes = [
        Curve {
            class: "s1",
            name: "handshake",
            points: &report.handshake_curve,
            count: count(report.handshake_microseconds),
        },
        Curve {
            class: "s2",
            name: "service: from the actual beginning",
            // Without a rate both are the same.
            points: if offered.is_some() {
                &report.handshake_service_curve
            } else {
                &[]
            },
            count: count(report.handshake_service_microseconds),
        },
    ];
    let latency = match report.loop_kind.as_deref() {
        Some("open") => {
            "Latency counts from the time at which a message was due, so that a stall of the target is seen in all \
             messages that it held up. The service time counts from the actual sending."
        }
        Some(_) => {
            "Latency of messages sent as answers allowed (closed loop): while the target stalled, nothing was sent, so \
             the tail is shorter than what users would see at a given rate."
        }
        None => "Of the messages that probed the rooms, all sent at once at the end.",
    };
    let handshake = match offered {
        Some(_) => "From when a connection was due to the end of its handshake.",
        None => {
            "Handshakes as fast as the target took them (closed loop): they wait for each other."
        }
    };
    html! {
        (section("Latency", latency, &messages))
        @if offered.is_some() || report.latency_curve.is_empty() {
            (section("Handshakes", handshake, &handshakes))
        }
    }
}

fn section(title: &str, explanation: &str, curves: &[Curve<'_>; 2]) -> Markup {
    let curves: Vec<_> = curves.iter().filter(|c| !c.points.is_empty()).collect();
    if curves.is_empty() {
        return Markup::default();
    }
    let names: Vec<_> = curves
        .iter()
        .map(|curve| (curve.class, curve.name))
        .collect();
    html! {
        section {
            h2 { (title) " by percentile" }
            p.note { (explanation) }
            (legend(&names))
            @for size in Size::BOTH { (plot(title, size, &curves)) }
        }
    }
}

fn plot(title: &str, size: Size, curves: &[&Curve<'_>]) -> Markup {
    let end = curves.iter().map(|curve| curve.count).max().unwrap_or(0);
    let x_scale = Scale::Log {
        from: 1.0,
        to: (end as f64).max(10.0),
    };
    let mut x_ticks = x_scale.decades();
    x_ticks.insert(1, MEDIAN);
    let all = curves.iter().flat_map(|curve| curve.points);
    let y_scale = Scale::log(all.map(|point| point.microseconds));
    let plot = Plot {
        width: size.width(),
        top: 0.0,
        height: HEIGHT_PX,
        x: Axis {
            scale: x_scale,
            ticks: x_ticks,
            label: percentile,
            title: "percentile, log scale of 1/(1 − p)",
        },
        y: Axis {
            scale: y_scale,
            ticks: y_scale.ticks(10),
            label: units::time_round,
            title: "time, log scale",
        },
        labels_x: true,
    };
    let lines: Vec<_> = curves
        .iter()
        .map(|curve| Line {
            class: curve.class,
            points: points(curve),
        })
        .collect();
    picture(size, plot.full_height(), title, &plot.draw(&lines))
}

/// The largest value is put where the one value beyond all others is: at 1/(1 - quantile) = their number.
fn points(curve: &Curve<'_>) -> Points {
    let end = curve.count as f64;
    let points = curve.points.iter();
    points
        .map(|point| {
            let left = (1.0 - point.quantile).max(f64::MIN_POSITIVE);
            Some(((1.0 / left).min(end), point.microseconds))
        })
        .collect()
}

/// 1/(1 - quantile) as the percentile: 100 is 99%.
fn percentile(one_in: f64) -> String {
    let percent = 100.0 * (1.0 - 1.0 / one_in);
    let digits = (one_in.log10().round() as usize).saturating_sub(2);
    format!("{percent:.digits$}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_the_nines_they_need() {
        let labels = [1.0, 2.0, 10.0, 100.0, 1e4, 1e6].map(percentile);
        assert_eq!(labels, ["0%", "50%", "90%", "99%", "99.99%", "99.9999%"]);
    }
}
