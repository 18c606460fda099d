//! What a run leaves behind: the page, the HDR log, and results that can be compared.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::{Value, json};

use crate::program::{Run, output, run};
use crate::server::{Conduct, start};

const SHORT: &str = "--connections 4 --duration 0.4 --warmup 0.1";

/// A file of this name that no other test has, and none before.
fn file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn the_page_stands_alone_names_its_loop_and_escapes_what_it_was_given() {
    let url = start(Conduct::Good);
    for (pace, named) in [
        ("--in-flight 2", "closed loop with 2 in flight"),
        ("--rate-messages 500", "open loop at 500 messages/s"),
    ] {
        let path = file("page.html");
        let run = run(&format!(
            "echo --url {url}/echo?<script>'&\" {SHORT} {pace} --html {}",
            path.display()
        ));
        run.assert_clean();
        let page = fs::read_to_string(path).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
        assert!(page.contains(named), "{named}");
        assert!(page.contains("Delivered whole"));
        assert!(page.contains("/echo?&lt;script&gt;'&amp;&quot;"), "{page}");
        for loaded in ["<script", "src=", "href=", "url("] {
            assert!(!page.contains(loaded), "{loaded}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }
}

#[test]
fn the_page_shows_what_was_lost_and_where() {
    let url = start(Conduct::Drop(20));
    let path = file("faulty.html");
    let run = run(&format!(
        "fanout --url {url}/raw/x {SHORT} --rate-messages 200 --drain 0.3 --html {}",
        path.display()
    ));
    run.assert_faults(&[("lost", 1)]);
    let page = fs::read_to_string(path).unwrap();
    assert!(page.contains("1 messages lost"), "{page}");
    assert!(page.contains("<tr class=\"amiss\">"));
}

#[test]
fn the_page_of_idle_connections_has_their_handshakes() {
    let url = start(Conduct::Good);
    let path = file("idle.html");
    let path_text = path.display();
    let run = run(&format!(
        "idle --url {url} --connections 4 --duration 0.2 --html {path_text}"
    ));
    run.assert_clean();
    let page = fs::read_to_string(path).unwrap();
    assert!(page.contains("handshakes in a closed loop"));
    assert!(page.contains("Handshakes by percentile") && !page.contains("Latency by percentile"));
}

#[test]
fn the_log_holds_the_latencies_of_the_result() {
    let url = start(Conduct::Good);
    let path = file("latencies.hlog");
    let run = run(&format!(
        "echo --url {url}/echo --connections 3 --threads 2 --duration 1.5 --warmup 0.1 --rate-messages 300 --hlog {}",
        path.display()
    ));
    run.assert_clean();
    let log = fs::read(path).unwrap();
    let (mut counts, mut whole, mut start) = (Vec::new(), Histogram::<u64>::new(3).unwrap(), None);
    for entry in IntervalLogIterator::new(&log) {
        match entry.unwrap() {
            LogEntry::StartTime(time) => start = Some(time),
            LogEntry::BaseTime(time) => assert_eq!(Some(time), start),
            LogEntry::Interval(interval) => {
                let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let times: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut bytes.as_slice())
                    .unwrap();
                assert_eq!(interval.start_timestamp().as_secs(), counts.len() as u64);
                assert_eq!(interval.duration().as_secs(), 1);
                counts.push(times.len());
                whole.add(&times).unwrap();
            }
        }
    }
    let latency = &run.report["latency_microseconds"];
    assert_eq!(Some(whole.len()), latency["count"].as_u64());
    let p99 = whole.value_at_quantile(0.99) as f64 / 1e3;
    let reported = latency["p99"].as_f64().unwrap();
    assert!((p99 / reported - 1.0).abs() < 2e-3, "{p99} {reported}");
    let timeline = run.report["timeline"].as_array().unwrap();
    let in_timeline = |moment: &Value| moment["latency_microseconds"]["count"].as_u64();
    let in_timeline: Vec<_> = timeline
        .iter()
        .map(|m| in_timeline(m).unwrap_or(0))
        .collect();
    assert_eq!(counts, in_timeline);
    let ended = run.report["host"]["ended_at"].as_f64().unwrap();
    let ran = ended - start.unwrap().as_secs_f64();
    assert!((0.0..60.0).contains(&ran), "{ran}");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_run() {
    let url = start(Conduct::Good);
    for option in ["--html", "--hlog"] {
        let output = output(&format!(
            "echo --url {url}/echo {SHORT} {option} /nowhere/x"
        ));
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            error.contains(option) && error.contains("/nowhere/x"),
            "{error}"
        );
        assert!(output.stdout.is_empty());
    }
}

/// Writes a result, changed somewhat, and returns the file's name.
fn result(name: &str, run: &Run, change: impl FnOnce(&mut Value)) -> String {
    let mut report = run.report.clone();
    // What else the machine does must not decide.
    report["valid"] = json!(true);
    report["invalid_because"] = json!([]);
    change(&mut report);
    let path = file(name);
    fs::write(&path, report.to_string()).unwrap();
    path.display().to_string()
}

/// The exit code, standard output, and standard error of a comparison.
fn compare(words: &str) -> (Option<i32>, String, String) {
    let output = output(&format!("compare {words}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_comparison_says_by_its_exit_code_whether_the_second_is_worse() {
    let url = start(Conduct::Good);
    let run = run(&format!("echo --url {url}/echo {SHORT}"));
    run.assert_clean();
    let rate = run.number("messages_per_second");
    let a = result("a.json", &run, |_| {});
    let slower = result("slower.json", &run, |r| {
        r["messages_per_second"] = json!(rate * 0.9)
    });
    let (code, text, _) = compare(&format!("{a} {a}"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("closed loop with 1 in flight") && text.contains("not worse"));
    let (code, text, _) = compare(&format!("{a} {slower}"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("WORSE") && text.contains("-10.0%"), "{text}");
    assert_eq!(compare(&format!("{slower} {a}")).0, Some(0));
    assert_eq!(
        compare(&format!("{a} {slower} --max-regress 11%")).0,
        Some(0)
    );
    let (code, json, _) = compare(&format!("{a} {slower} --json"));
    assert_eq!(code, Some(1));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["figures"][0]["name"], "messages/s");
    assert_eq!(json["figures"][0]["mark"], "worse");
    assert_eq!(json["worse_because"].as_array().unwrap().len(), 1);
    let faulty = result("faulty.json", &run, |r| r["lost"] = json!(1));
    assert_eq!(compare(&format!("{a} {faulty}")).0, Some(1));
    assert_eq!(compare(&format!("{faulty} {faulty}")).0, Some(0));
    let invalid = result("invalid.json", &run, |r| r["valid"] = json!(false));
    assert_eq!(compare(&format!("{a} {invalid}")).0, Some(1));
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let url = start(Conduct::Good);
    let run = run(&format!("echo --url {url}/echo {SHORT}"));
    let a = result("one.json", &run, |_| {});
    let other = result("other.json", &run, |r| {
        r["connections"] = json!(5);
        r["in_flight"] = json!(2);
    });
    let (code, _, error) = compare(&format!("{a} {other}"));
    assert_eq!(code, Some(2));
    assert!(
        error.contains("connections (A: 4, B: 5), in flight (A: 1, B: 2)"),
        "{error}"
    );
    let no_result = file("no-result.json");
    fs::write(&no_result, "{}").unwrap();
    let (code, _, error) = compare(&format!("{a} {}", no_result.display()));
    assert_eq!(code, Some(2));
    assert!(error.contains("no result of ringmain-load"), "{error}");
    let (code, _, error) = compare(&format!("{a} nowhere.json"));
    assert_eq!(code, Some(2));
    assert!(error.contains("cannot read nowhere.json"), "{error}");
    assert_eq!(compare(&format!("{a} {a} --max-regress -5")).0, Some(2));
}
