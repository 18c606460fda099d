//! The result as one page that needs nothing else: no script, no font, no picture from elsewhere.
//!
//! `maud` escapes whatever is put into it, so nothing of a report is taken for markup.

mod curve;
mod plot;
mod scale;
mod tables;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::units::{bytes, count, number, percent, time};
use super::{Report, words};

const STYLE: &str = include_str!("page.css");

/// The page of a report.
pub fn page(report: &Report) -> String {
    let title = format!("{}, {}", report.mode, words::loop_named(report));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – ringmain-load" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (report.mode) " " span.loop { (words::loop_named(report)) } }
                    p.note { (report.url) " · " (words::ended_at(report)) }
                }
                (verdict(report))
                (key_figures(report))
                (curve::draw(report))
                (timeline::draw(report))
                (tables::all(report))
                footer { "Made by ringmain-load " (report.host.version) "." }
            }
        }
    };
    page.into_string()
}

/// What came of it, before any figure.
fn verdict(report: &Report) -> Markup {
    let faults = report.faults();
    html! {
        @if faults.is_empty() {
            p.verdict.good { (words::nothing_amiss(report)) }
        } @else {
            p.verdict.bad { strong { "FAILED" } ": " (faults.join(", ")) "." }
        }
        @if let Some(words) = words::interrupted(report) {
            div.verdict.doubtful { strong { "INTERRUPTED" } ": " (words) "." }
        }
        @if !report.valid {
            div.verdict.doubtful {
                strong { "INVALID" } ": these are not the target’s figures."
                ul { @for reason in &report.invalid_because { li { (reason) "." } } }
            }
        }
    }
}

/// A figure in large type: its name, its value, and what else to know.
type Tile = (&'static str, String, String);

fn key_figures(report: &Report) -> Markup {
    let mut tiles = Vec::new();
    tiles.extend(message_tiles(report));
    tiles.push((
        "connected",
        count(report.connected),
        format!(
            "in {:.2} s: {}/s",
            report.connect_seconds,
            number(report.handshakes_per_second)
        ),
    ));
    if let Some(handshake) = report.handshake_microseconds {
        let more = format!("p50 {}", time(handshake.p50));
        tiles.push(("handshake p99", time(handshake.p99), more));
    }
    tiles.extend(target_tiles(report));
    let when = match (report.handshakes_busy_share, &report.storm) {
        (Some(_), None) => ", while connecting",
        (Some(_), Some(_)) => ", while they came back",
        (None, _) => "",
    };
    tiles.push((
        "load generator",
        percent(report.handshakes_busy_share.unwrap_or(report.busy_share)),
        format!("its busiest core’s share of its time{when}"),
    ));
    html! {
        section.tiles {
            @for (name, value, more) in &tiles {
                div { span.name { (name) } span.value { (value) } span.more { (more) } }
            }
        }
    }
}

fn message_tiles(report: &Report) -> Vec<Tile> {
    let mut tiles = Vec::new();
    if report.loop_kind.is_some() {
        let more = match report
            .messages_per_second_offered
            .zip(report.messages_per_second_sent)
        {
            Some((offered, sent)) => {
                format!("offered {}, sent {}", number(offered), number(sent))
            }
            None => format!("{}/s", bytes(report.bytes_per_second)),
        };
        let rate = number(report.messages_per_second);
        tiles.push(("messages/s received", rate, more));
    }
    if let Some(latency) = report.latency_microseconds {
        let service = report.service_microseconds;
        let service = |of: fn(super::Percentiles) -> f64| {
            service.map_or(String::new(), |times| {
                format!("service {}", time(of(times)))
            })
        };
        tiles.extend([
            ("latency p50", time(latency.p50), service(|t| t.p50)),
            ("latency p99", time(latency.p99), service(|t| t.p99)),
            ("latency p99.9", time(latency.p999), service(|t| t.p999)),
            ("latency max", time(latency.max), service(|t| t.max)),
        ]);
    }
    tiles
}

fn target_tiles(report: &Report) -> Vec<Tile> {
    let Some(target) = &report.target else {
        return Vec::new();
    };
    let mut tiles = Vec::new();
    if let Some(cpu) = words::cpu_a_message(report) {
        let share = target.cpu_seconds.unwrap_or(0.0) / report.duration_seconds.max(1e-9);
        tiles.push((
            "target’s CPU a message",
            time(cpu / 1e3),
            format!("{} of a core", percent(share)),
        ));
    }
    if let Some(user) = target.user_bytes_a_connection {
        let kernel = target.kernel_bytes_a_connection;
        let kernel = kernel.map_or(String::new(), |kernel| {
            format!("kernel, both ends: {}", bytes(kernel))
        });
        tiles.push(("target’s bytes a connection", bytes(user), kernel));
    }
    tiles
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_names_the_loop_and_says_the_verdict_first() {
        let closed = page(&sample::closed());
        assert!(closed.contains("closed loop with 4 in flight"));
        assert!(closed.find("Delivered whole") < closed.find("messages/s received"));
        let open = page(&sample::open());
        assert!(open.contains("open loop at 5,000 messages/s"));
        assert!(open.contains("service: from the actual sending"));
        assert!(page(&sample::idle()).contains("Handshakes by percentile"));
        let faulty = page(&sample::faulty(60));
        assert!(faulty.contains("120 messages lost") && faulty.contains("the server is full"));
        assert!(faulty.contains("11 more rows"), "50 of 61 are shown");
    }

    #[test]
    fn an_invalid_run_says_so_and_why() {
        let report = Report {
            valid: false,
            invalid_because: vec!["the schedule was not kept".to_owned()],
            ..sample::open()
        };
        let page = page(&report);
        assert!(page.contains("INVALID") && page.contains("the schedule was not kept"));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_runs() {
        let page = page(&sample::faulty(3));
        for needle in ["<script", "src=", "href=", "url(", "@import", "onload"] {
            assert!(!page.contains(needle), "{needle}");
        }
    }

    /// `faulty`, with this wherever text can come from outside.
    fn saying(text: &str) -> Report {
        let mut report = sample::faulty(1);
        report.command = vec![text.to_owned()];
        report.url = text.to_owned();
        report.mode = text.to_owned();
        report.io = text.to_owned();
        report.errors = [(text.to_owned(), 1)].into();
        report.hints = vec![text.to_owned()];
        report.valid = false;
        report.invalid_because = vec![text.to_owned()];
        report.host.cpu = text.to_owned();
        report.host.kernel = text.to_owned();
        let target = report.target.get_or_insert_default();
        target.metrics = [(text.to_owned(), 1.0)].into();
        target.warnings = vec![text.to_owned()];
        report
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in "[<>\"'&/a-z =]{1,20}") {
            let marks = |page: &str| ['<', '>', '"'].map(|mark| page.matches(mark).count());
            prop_assert_eq!(marks(&page(&saying(&text))), marks(&page(&saying("plain"))));
        }
    }
}
