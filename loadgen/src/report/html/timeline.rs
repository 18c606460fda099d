//! The run over time: plots above each other with one time axis.

use maud::{Markup, html};

use super::plot::{Axis, Line, Plot, Points, Size, legend, picture, px};
use super::scale::Scale;
use crate::report::timeline::Moment;
use crate::report::{Percentiles, Report, units};

const HEIGHT_PX: f64 = 96.0;
/// Between two plots, in pixels.
const GAP_PX: f64 = 14.0;
/// If one rate is so many times the other, each has a plot of its own.
const RATES_APART: f64 = 10.0;

/// One of the plots.
struct Panel {
    title: &'static str,
    is_log: bool,
    label: fn(f64) -> String,
    lines: Vec<Line>,
}

/// The timeline; nothing if nothing was recorded.
pub fn draw(report: &Report) -> Markup {
    let (Some(first), Some(last)) = (report.timeline.first(), report.timeline.last()) else {
        return Markup::default();
    };
    let end = last.at_seconds + last.seconds;
    let mut names = vec![];
    if report.sent > 0 {
        names.extend([("s3", "sent"), ("s1", "received")]);
    }
    if has_latency(report) {
        names.extend([("s1", "latency p50"), ("s2", "latency p99")]);
    }
    html! {
        section {
            h2 { "Timeline" }
            p.note {
                "Stretches of " (units::seconds(first.seconds)) " from the start of the run; the first and the last are "
                "partly empty. What was measured is shaded."
                @if last.seconds > first.seconds {
                    " The run was longer than it was planned: all that came after is in the last one."
                }
            }
            @if !names.is_empty() { (legend(&names)) }
            @for size in Size::BOTH { (draw_at(report, end, size)) }
        }
    }
}

fn has_latency(report: &Report) -> bool {
    let mut moments = report.timeline.iter();
    moments.any(|moment| moment.latency_microseconds.is_some())
}

fn draw_at(report: &Report, end: f64, size: Size) -> Markup {
    let x_scale = Scale::Linear { from: 0.0, to: end };
    let x = Axis {
        scale: x_scale,
        ticks: x_scale.ticks(if size == Size::Wide { 12 } else { 5 }),
        label: units::number_round,
        title: "seconds of the run",
    };
    let panels = panels(report);
    let count = panels.len();
    let mut top = 0.0;
    let mut drawn = Vec::new();
    for (index, panel) in panels.iter().enumerate() {
        let plot = panel_plot(panel, x.clone(), size, top, index + 1 == count);
        drawn.push(html! {
            (shade(report, &plot))
            (plot.draw(&panel.lines))
        });
        top += plot.full_height() + GAP_PX;
        if plot.labels_x && size == Size::Wide {
            drawn.push(hints(report, &plot));
        }
    }
    let content = html! { @for plot in &drawn { (plot) } };
    picture(size, top - GAP_PX, "The run over time", &content)
}

fn panel_plot(panel: &Panel, x: Axis, size: Size, top: f64, labels_x: bool) -> Plot {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let values = points.flatten().map(|&(_, value)| value);
    let scale = if panel.is_log {
        Scale::log(values)
    } else {
        Scale::linear(values)
    };
    Plot {
        width: size.width(),
        top,
        height: HEIGHT_PX,
        x,
        y: Axis {
            scale,
            ticks: scale.ticks(4),
            label: panel.label,
            title: panel.title,
        },
        labels_x,
    }
}

fn panels(report: &Report) -> Vec<Panel> {
    let line = |class, value: &dyn Fn(&Moment) -> Option<f64>| Line {
        class,
        points: steps(&report.timeline, value),
    };
    let linear = |title, lines| Panel {
        title,
        is_log: false,
        label: units::number_round,
        lines,
    };
    let mut panels = vec![linear(
        "connections open at the end of each stretch",
        vec![line("s4", &|moment| Some(moment.connections as f64))],
    )];
    if report.sent > 0 {
        let sent = line("s3", &|moment| Some(moment.sent_per_second));
        let received = line("s1", &|moment| Some(moment.received_per_second));
        let most = |of: fn(&Moment) -> f64| report.timeline.iter().map(of).fold(1.0, f64::max);
        let ratio = most(|m| m.received_per_second) / most(|m| m.sent_per_second);
        if (1.0 / RATES_APART..RATES_APART).contains(&ratio) {
            panels.push(linear(
                "messages a second, sent and received",
                vec![sent, received],
            ));
        } else {
            panels.push(linear("messages sent a second", vec![sent]));
            panels.push(linear("messages received a second", vec![received]));
        }
    }
    if has_latency(report) {
        let quantile =
            |of: fn(Percentiles) -> f64| move |moment: &Moment| moment.latency_microseconds.map(of);
        panels.push(Panel {
            title: "latency, log scale",
            is_log: true,
            label: units::time_round,
            lines: vec![
                line("s2", &quantile(|times| times.p99)),
                line("s1", &quantile(|times| times.p50)),
            ],
        });
    }
    if report.timeline.iter().any(|moment| moment.errors > 0) {
        panels.push(linear(
            "connections failed or lost, in each stretch",
            vec![line("s5", &|moment| Some(moment.errors as f64))],
        ));
    }
    panels
}

/// A level line for each stretch.
fn steps(moments: &[Moment], value: &dyn Fn(&Moment) -> Option<f64>) -> Points {
    let mut points = Vec::new();
    for moment in moments {
        match value(moment) {
            Some(value) => {
                points.push(Some((moment.at_seconds, value)));
                points.push(Some((moment.at_seconds + moment.seconds, value)));
            }
            None => points.push(None),
        }
    }
    points
}

/// What was measured.
fn shade(report: &Report, plot: &Plot) -> Markup {
    let Some(from) = report.measured_at_seconds else {
        return Markup::default();
    };
    let (left, right) = (plot.at_x(from), plot.at_x(from + report.duration_seconds));
    html! {
        rect class="shade" x=(px(left)) width=(px(right - left)) y=(px(plot.inner_top())) height=(px(plot.height)) {}
    }
}

/// Says what a stretch holds where the pointer rests on it; over all plots down to this one, the last.
fn hints(report: &Report, plot: &Plot) -> Markup {
    let bottom = plot.inner_top() + plot.height;
    html! {
        @for moment in &report.timeline {
            @let (left, right) = (plot.at_x(moment.at_seconds), plot.at_x(moment.at_seconds + moment.seconds));
            rect class="hint" x=(px(left)) width=(px(right - left)) y="0" height=(px(bottom)) {
                title { (hint(moment)) }
            }
        }
    }
}

fn hint(moment: &Moment) -> String {
    let times = moment.latency_microseconds.map_or(String::new(), |times| {
        format!(
            "\nlatency p50 {}, p99 {}",
            units::time(times.p50),
            units::time(times.p99)
        )
    });
    format!(
        "from {}\n{} connections\nsent {}/s, received {}/s{times}\n{} errors",
        units::seconds(moment.at_seconds),
        units::count(moment.connections),
        units::number(moment.sent_per_second),
        units::number(moment.received_per_second),
        units::count(moment.errors),
    )
}
