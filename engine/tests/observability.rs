//! What an operator sees of a running engine: metrics, the files made of their names, and the log.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use ringmain_core::CloseReason;
use serde_json::Value as Json;

use support::{BACKENDS, Engine, PATIENCE, Temporary, temporary, until};

/// Set, the generated parts of the documentation are written anew instead of compared.
const WRITE_VARIABLE: &str = "WRITE_DOCS";
const WRITE_COMMAND: &str = "WRITE_DOCS=1 cargo test -p ringmain --test observability";

/// Labels of metrics of which there is no sample yet: the engine is alone, and its NATS server is not there.
const LABELS_WITHOUT_SAMPLES: [(&str, &str); 2] = [
    ("ringmain_cluster_node_heard_milliseconds", "node"),
    ("ringmain_cluster_node_round_trip_milliseconds", "node"),
];

/// An engine that shows all metrics that there can be: with a certificate, and part of a cluster.
fn start_with_everything(test: &str) -> (Engine, Temporary) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pair = made.cert.pem() + &made.signing_key.serialize_pem();
    let pair = temporary(test, &pair);
    let engine = start(&[
        "--shards",
        "2",
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        &pair.0,
        "--nats",
        "nats://127.0.0.1:1",
    ]);
    (engine, pair)
}

/// An engine on free ports.
fn start(more: &[&str]) -> Engine {
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Engine::start(&[&ports[..], more].concat())
}

/// Sends these bytes on a connection of its own, and reads it to its end.
fn send(engine: &Engine, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(engine.listening()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Events of the log whose field has this value.
fn events(engine: &Engine, field: &str, value: &str) -> Vec<Json> {
    let output = engine.output();
    let events = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok());
    events.filter(|event| event[field] == value).collect()
}

fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .into()
}

/// A handshake, and behind it a frame without the mask that it must have (RFC 6455, section 5.1).
fn faulty(path: &str) -> Vec<u8> {
    [upgrade(path), vec![0x82, 0x01, 0x00]].concat()
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A metric as `/metrics` shows it.
#[derive(Default)]
struct Shown {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
    samples: BTreeSet<String>,
}

fn shown(text: &str) -> BTreeMap<String, Shown> {
    let mut metrics = BTreeMap::<String, Shown>::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            name.clone_into(&mut family);
            metrics.entry(family.clone()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            metrics.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let metric = metrics.get_mut(&family).unwrap();
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            metric.samples.insert(name.to_owned());
            for label in labels
                .trim_end_matches('}')
                .split(',')
                .filter(|label| !label.is_empty())
            {
                let (name, value) = label.split_once('=').unwrap();
                let values = metric.labels.entry(name.to_owned()).or_default();
                values.insert(value.trim_matches('"').to_owned());
            }
        }
    }
    metrics
}

/// Names of metrics in a text, with the values that a label is compared with behind them.
fn used(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(at) = ["ringmain_", "process_"]
        .iter()
        .filter_map(|prefix| rest.find(prefix))
        .min()
    {
        let is_whole = !rest[..at].ends_with(is_word);
        let end = rest[at..]
            .find(|c| !is_word(c))
            .map_or(rest.len(), |len| at + len);
        let name = rest[at..end].to_owned();
        rest = &rest[end..];
        let mut compared = Vec::new();
        if let Some(selector) = rest.strip_prefix('{')
            && let Some((selector, _)) = selector.split_once('}')
        {
            for comparison in selector.split(", ").flat_map(|part| part.split(',')) {
                // =, !=, =~ or !~
                let (label, values) = comparison.split_at(comparison.find(['=', '!']).unwrap());
                let values = values.trim_matches(['=', '!', '~', '"', '\\']);
                let label = label.trim().to_owned();
                compared.extend(
                    values
                        .split('|')
                        .map(|value| (label.clone(), value.to_owned())),
                );
            }
        }
        if is_whole {
            found.push((name, compared));
        }
    }
    found
}

/// Every expression of the dashboard.
fn expressions(json: &Json, found: &mut Vec<String>) {
    match json {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Json::String(text)
                        if name == "expr" || name == "query" || name == "definition" =>
                    {
                        found.push(text.clone());
                    }
                    value => expressions(value, found),
                }
            }
        }
        Json::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn dashboard_and_alerts_name_only_what_the_engine_shows() {
    let (engine, _pair) = start_with_everything("dashboard");
    let metrics = shown(&engine.metrics());
    let without = LABELS_WITHOUT_SAMPLES.map(|(name, _)| name);
    let samples: BTreeSet<&str> = metrics
        .values()
        .flat_map(|metric| &metric.samples)
        .map(String::as_str)
        .chain(
            without
                .into_iter()
                .filter(|name| metrics.contains_key(*name)),
        )
        .collect();
    let mut values = BTreeMap::<&str, BTreeSet<&str>>::new();
    for (label, found) in metrics.values().flat_map(|metric| &metric.labels) {
        values
            .entry(label)
            .or_default()
            .extend(found.iter().map(String::as_str));
    }
    let dashboard: Json = serde_json::from_str(&file("observe/dashboard.json")).unwrap();
    let mut dashboard_uses = Vec::new();
    expressions(&dashboard, &mut dashboard_uses);
    let rules = file("observe/alerts.yml");
    let files = [
        ("dashboard.json", dashboard_uses.join("\n"), 60),
        ("alerts.yml", rules, 25),
    ];
    for (name, text, least) in &files {
        let used = used(text);
        assert!(
            used.len() >= *least,
            "{name} uses only {} metrics",
            used.len()
        );
        for (metric, compared) in used {
            assert!(
                samples.contains(metric.as_str()),
                "{name}: the engine shows no {metric}"
            );
            for (label, value) in compared {
                // Prometheus adds these two, and Grafana its variables.
                if !matches!(label.as_str(), "job" | "instance") && !value.contains('$') {
                    let known = values
                        .get(label.as_str())
                        .is_some_and(|values| values.contains(value.as_str()));
                    assert!(known, "{name}: {metric} has no {label}={value:?}");
                }
            }
        }
    }
}

#[test]
fn every_alert_is_explained_and_tried() {
    let (rules, tests) = (file("observe/alerts.yml"), file("observe/alerts.test.yml"));
    let docs = file("../docs/observability.md");
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in alerts {
        assert!(
            docs.contains(&format!("| `{alert}` |")),
            "docs/observability.md does not say what to do about {alert}"
        );
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "alerts.test.yml does not try {alert}"
        );
    }
}

/// The generated parts of the documentation, by the name between their marks.
fn generated(metrics: &BTreeMap<String, Shown>) -> [(&'static str, String); 2] {
    let mut table =
        String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for (
        name,
        Shown {
            kind, help, labels, ..
        },
    ) in metrics
    {
        let without = LABELS_WITHOUT_SAMPLES.iter().filter(|(of, _)| of == name);
        let labels: Vec<String> = labels
            .keys()
            .map(String::as_str)
            .chain(without.map(|(_, label)| *label))
            .filter(|label| *label != "le")
            .map(|label| format!("`{label}`"))
            .collect();
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        )
        .unwrap();
    }
    let mut closes = String::from(
        "| reason | level | close code | text to the client |\n| --- | --- | --- | --- |\n",
    );
    for entry in &CloseReason::CATALOGUE {
        let code = entry
            .code
            .map_or_else(|| "-".to_owned(), |code| code.to_string());
        let level = format!("{:?}", entry.severity).to_lowercase();
        writeln!(
            closes,
            "| `{}` | {level} | {code} | {} |",
            entry.name, entry.text
        )
        .unwrap();
    }
    [("metrics", table), ("closes", closes)]
}

#[test]
fn the_documentation_has_every_metric_and_reason() {
    let (engine, _pair) = start_with_everything("metrics");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
    let found = fs::read_to_string(&path).unwrap();
    let mut wanted = found.clone();
    for (name, text) in generated(&shown(&engine.metrics())) {
        let (begin, end) = (
            format!("<!-- begin {name} -->\n"),
            format!("<!-- end {name} -->"),
        );
        let from = wanted.find(&begin).unwrap() + begin.len();
        let to = from + wanted[from..].find(&end).unwrap();
        wanted.replace_range(from..to, &text);
    }
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        fs::write(&path, wanted).unwrap();
    } else {
        assert!(
            found == wanted,
            "docs/observability.md differs from what the engine shows: run `{WRITE_COMMAND}`"
        );
    }
}

#[test]
fn a_delivery_is_in_the_histogram_of_its_shard() {
    for backend in BACKENDS {
        let engine = start(&["--io", backend, "--shards", "2"]);
        let address = engine.listening();
        let mut members: Vec<TcpStream> = (0..8)
            .map(|_| TcpStream::connect(&address).unwrap())
            .collect();
        for member in &mut members {
            member.set_read_timeout(Some(PATIENCE)).unwrap();
            member.write_all(&upgrade("/raw/lobby?self=1")).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                member.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
        }
        members[0].write_all(&[0x82, 0x81, 0, 0, 0, 0, 7]).unwrap();
        for member in &mut members {
            let mut frame = [0; 3];
            member.read_exact(&mut frame).unwrap();
            assert_eq!(frame, [0x82, 1, 7]);
        }
        // Counted when the shard's turn ends, a moment after the members have it.
        until("eight deliveries", || {
            let metrics = engine.metrics();
            let counts = metrics
                .lines()
                .filter(|line| line.starts_with("ringmain_delivery_lag_seconds_count{"));
            let counts =
                counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
            (counts.sum::<u64>() == 8).then_some(())
        });
        let text = engine.metrics();
        let sums = text
            .lines()
            .filter(|line| line.starts_with("ringmain_delivery_lag_seconds_sum{"));
        let sum: f64 = sums
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum();
        assert!(sum > 0.0 && sum < 8.0 * PATIENCE.as_secs_f64(), "{sum}");
    }
}

#[test]
fn a_faulty_client_leaves_a_line_that_says_who_where_and_why() {
    for backend in BACKENDS {
        let engine = start(&["--io", backend, "--shards", "2", "--log-format", "json"]);
        send(&engine, &faulty("/raw/kitchen"));
        let event = until("the line", || {
            events(&engine, "reason", "protocol_error").pop()
        });
        assert_eq!(event["level"], "INFO", "{event}");
        assert_eq!(event["target"], "ringmain::close", "{event}");
        assert_eq!(event["room"], "kitchen", "{event}");
        assert!(
            event["detail"].as_str().unwrap().contains("mask"),
            "{event}"
        );
        assert!(
            event["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{event}"
        );
        assert!(
            event["shard"].is_u64() && event["open_seconds"].is_u64(),
            "{event}"
        );
    }
}

#[test]
fn what_is_of_no_interest_is_told_only_to_who_wants_it() {
    let request =
        b"GET /nothing-here?token=secret HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for (filter, lines) in [("info", 0), ("debug", 1)] {
        let engine = start(&["--shards", "1", "--log", filter, "--log-format", "json"]);
        assert!(send(&engine, request).starts_with(b"HTTP/1.1 404 "));
        // No HTTP at all.
        send(&engine, b"\0\0\0\0\r\n\r\n");
        // Behind these in the log, so that they are there if they ever will be.
        send(&engine, &faulty("/echo"));
        until("the line", || {
            events(&engine, "reason", "protocol_error").pop()
        });
        let refused = events(&engine, "message", "request refused");
        let told: Vec<_> = refused
            .iter()
            .map(|event| (event["status"].as_u64(), event["path"].as_str()))
            .collect();
        let all = [(Some(404), Some("/nothing-here")), (Some(400), Some(""))];
        assert_eq!(told, all[..2 * lines]);
        assert_eq!(events(&engine, "reason", "bad_request").len(), lines);
        assert!(!engine.output().contains("secret"));
        let metrics = engine.metrics();
        for line in [
            r#"ringmain_requests_refused_total{shard="0",status="404"} 1"#,
            r#"ringmain_requests_refused_total{shard="0",status="400"} 1"#,
            r#"ringmain_closes_total{shard="0",reason="bad_request"} 1"#,
        ] {
            assert!(
                metrics.lines().any(|found| found == line),
                "{line}\n{metrics}"
            );
        }
    }
}

#[test]
fn a_storm_does_not_fill_the_log() {
    const STORM: usize = 500;
    let engine = start(&["--shards", "2", "--log-format", "json"]);
    let began = Instant::now();
    for _ in 0..STORM {
        send(&engine, &faulty("/echo"));
    }
    let told = |events: &[Json]| {
        events
            .iter()
            .filter(|event| event["message"] == "connection closed")
            .count()
    };
    let events = until("all are told, one by one or as a number", || {
        let found = events(&engine, "reason", "protocol_error");
        let more: u64 = found
            .iter()
            .filter_map(|event| event["more"].as_u64())
            .sum();
        (told(&found) + more as usize == STORM).then_some(found)
    });
    let seconds = began.elapsed().as_secs() as usize + 1;
    assert!(
        told(&events) <= 10 * (seconds + 1),
        "{} lines in {seconds} s",
        told(&events)
    );
    let sums = events.iter().filter(|event| event["more"].is_u64());
    assert!(sums.clone().count() <= seconds + 1);
    for event in sums {
        let message = event["message"].as_str().unwrap();
        assert!(
            message.starts_with("and ")
                && message.contains(" more connections closed in the last "),
            "{message}"
        );
    }
}

#[test]
fn who_finds_the_node_full_is_counted_and_told() {
    let engine = start(&[
        "--shards",
        "1",
        "--connections-max",
        "1",
        "--log-format",
        "json",
    ]);
    let mut first = TcpStream::connect(engine.listening()).unwrap();
    first.write_all(&upgrade("/echo")).unwrap();
    first.read_exact(&mut [0; 12]).unwrap();
    assert!(send(&engine, &upgrade("/echo")).starts_with(b"HTTP/1.1 503 "));
    let event = until("the line", || {
        events(&engine, "reason", "connections_max").pop()
    });
    assert_eq!(
        (&event["level"], &event["target"]),
        (&"WARN".into(), &"ringmain::refuse".into())
    );
    assert!(
        event["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{event}"
    );
    let line = r#"ringmain_refused_total{shard="0",reason="connections_max"} 1"#;
    assert!(engine.metrics().lines().any(|found| found == line));
}
