//! The scenarios, against a server that does everything right and ones that do not.

use std::time::Duration;

use serde_json::Value;

use crate::program::{output, run};
use crate::server::{Conduct, start};

#[test]
fn connecting_is_measured_from_when_a_handshake_was_due() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "connect --url {url}/echo --connections 30 --rate 200"
    ));
    run.assert_clean();
    assert_eq!(run.report["mode"], "connect");
    assert!(run.number("connect_seconds") >= 0.14);
    let due = &run.report["handshake_microseconds"];
    let service = &run.report["handshake_service_microseconds"];
    assert!(due["mean"].as_f64() >= service["mean"].as_f64());
    assert_eq!(service["count"], 30);
}

#[test]
fn a_storm_of_handshakes_begins_them_all_at_once() {
    let url = start(Conduct::Good);
    run(&format!("connect --url {url} --connections 60 --storm")).assert_clean();
}

/// A run's exit code and report; how busy and how late it may be is among the words.
fn judged(words: &str) -> (Option<i32>, Value) {
    let output = output(&format!("{words} --json"));
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), report)
}

#[test]
fn a_load_generator_that_was_busy_with_handshakes_says_so() {
    let (url, lag) = (start(Conduct::Good), "--lag-max 60000");
    for words in [
        format!("connect --url {url}/echo --connections 30 --rate 40"),
        // All come back at one moment of these four seconds. That three of them are spent waiting hides nothing.
        format!("storm --url {url} --connections 600 --policy fixed:3 --duration 4"),
    ] {
        let (code, report) = judged(&format!("{words} --busy-max 100 {lag}"));
        assert_eq!(
            (code, &report["valid"]),
            (Some(0), &true.into()),
            "{report:#}"
        );
        let share = report["handshakes_busy_share"].as_f64().unwrap();
        // Of four seconds the half in which most is done has eight times the share that it has of the whole: all that
        // the threads do besides may be three times as much as the handshakes. Whatever had the waiting in it would
        // be a third more at the most.
        assert!(
            share > 2.0 * report["busy_share"].as_f64().unwrap(),
            "{report:#}"
        );
        let (code, report) = judged(&format!("{words} --busy-max {} {lag}", share / 20.0));
        assert_eq!(code, Some(3), "{report:#}");
        let why = report["invalid_because"].to_string();
        assert!(why.contains("bottleneck"), "{why}");
    }
    // The handshakes of others are how they begin, not what they measure.
    let words = "--connections 30 --rate 40 --duration 0.1 --warmup 0 --busy-max 100";
    let (_, report) = judged(&format!("echo --url {url}/echo {words} {lag}"));
    assert_eq!(report["handshakes_busy_share"], Value::Null);
}

#[test]
fn handshakes_that_begin_late_are_a_schedule_that_was_not_kept() {
    let words = |url| format!("connect --url {url}/echo --connections 30 --busy-max 100");
    let good = start(Conduct::Good);
    let (code, report) = judged(&format!("{} --rate 200 --lag-max 0.00001", words(good)));
    assert_eq!(code, Some(3), "{report:#}");
    let why = report["invalid_because"].to_string();
    assert!(why.contains("one handshake in a hundred began"), "{why}");
    // A server that answers one after the other holds the next one up: that is its latency, and no lag.
    let slow = start(Conduct::Late(u64::MAX, Duration::from_millis(20)));
    let (code, report) = judged(&format!(
        "{} --rate 10000 --handshakes-max 1 --threads 1 --lag-max 200",
        words(slow)
    ));
    assert_eq!(code, Some(0), "{report:#}");
    let p99 = |field: &str| report[field]["p99"].as_f64().unwrap();
    assert!(p99("handshake_microseconds") > 29.0 * 20_000.0 * 0.9);
    assert!(p99("handshake_lag_microseconds") < 200_000.0);
}

#[test]
fn everyone_talks_in_small_rooms() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "chat --url {url}/raw/c --connections 21 --members 5 --rate-messages 400 --threads 2 --duration 0.5 --warmup 0.1"
    ));
    run.assert_clean();
    assert_eq!((run.count("rooms"), run.count("publishers")), (5, 21));
    assert_eq!(run.report["loop"], "open");
    let rows = run.report["deliveries"].as_array().unwrap();
    assert_eq!(rows.len(), 21);
    for row in rows {
        // Rooms of 5, 4, 4, 4 and 4.
        let others = if row["room"] == 0 { 4 } else { 3 };
        assert_eq!(
            row["expected"].as_u64(),
            row["sent"].as_u64().map(|sent| sent * others)
        );
        assert_eq!(row["received"], row["expected"]);
    }
}

#[test]
fn messages_of_several_sizes_are_told_apart() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "fanout --url {url}/raw/z --connections 4 --bytes 40:3,9000:1 --in-flight 4 --duration 0.3 --warmup 0.1"
    ));
    run.assert_clean();
    assert_eq!(run.report["payload_bytes"], "40:3,9000:1");
    let mean = run.number("bytes_per_second") / run.number("messages_per_second");
    assert!((1_000.0..5_000.0).contains(&mean), "{mean}");
}

#[test]
fn visitors_see_a_publishers_messages_without_a_hole() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "churn --url {url}/raw/v --connections 8 --rooms 2 --rate-messages 300 --visits 40 --stay 0.2 --threads 2 \
         --duration 1 --warmup 0.1"
    ));
    run.assert_clean();
    let visits = &run.report["visits"];
    assert!(visits["visits"].as_u64().unwrap() >= 20, "{visits}");
    assert!(visits["received"].as_u64().unwrap() > 100, "{visits}");
    assert_eq!(visits["missed"], 0);
}

#[test]
fn the_deadline_of_a_visit_is_not_that_of_the_next_one() {
    // Handshakes take 0.4 s and have 1.3 s. Visitors are back after 1.1 s, so while one hangs, the deadlines
    // behind it are of visits whose visitors are in their next handshake.
    let url = start(Conduct::Late(8, Duration::from_millis(400)));
    let run = run(&format!(
        "churn --url {url}/raw/v --connections 2 --rate-messages 50 --visits 10 --stay 0.05 --handshake-timeout 1.3 \
         --duration 4 --warmup 0 --threads 1"
    ));
    assert_eq!(run.errors("handshake_timeout"), 1, "{:#}", run.report);
    assert_eq!(run.count("failed"), 1, "{:#}", run.report);
}

#[test]
fn what_a_visitor_misses_is_a_fault() {
    // Only visitors and the publisher are in the room with the one other member.
    let url = start(Conduct::DropFrom(2, 40));
    let run = run(&format!(
        "churn --url {url}/raw/v --connections 2 --rate-messages 300 --visits 10 --stay 0.8 --duration 1.5 --warmup 0"
    ));
    assert_eq!(run.code, 1, "{:#}", run.report);
    assert_eq!(run.report["visits"]["missed"], 1, "{:#}", run.report);
    assert_eq!(run.count("lost"), 0);
}

#[test]
fn everyone_comes_back_from_a_storm_and_hears_the_rest() {
    let url = start(Conduct::Good);
    for policy in ["at-once", "fixed:0.2", "backoff:0.3:2"] {
        let run = run(&format!(
            "storm --url {url} --connections 40 --members-per-room 10 --threads 2 --policy {policy} --duration 1.5"
        ));
        run.assert_clean();
        let storm = &run.report["storm"];
        assert_eq!(
            (&storm["returned"], &storm["retried"]),
            (&40.into(), &0.into()),
            "{policy}"
        );
        let back = &storm["back_microseconds"];
        assert_eq!(back["count"], 40);
        let least = if policy == "fixed:0.2" {
            200_000.0
        } else {
            0.0
        };
        assert!(back["p50"].as_f64().unwrap() >= least, "{policy}: {back}");
        // One message to each of four rooms of ten.
        assert_eq!((run.count("sent"), run.count("received")), (4, 36));
    }
}

#[test]
fn who_is_refused_in_a_storm_tries_again_and_who_never_gets_in_is_missing() {
    // The first 10 are the ramp; all who come after the next 5 are refused.
    let url = start(Conduct::RefuseAfter(15));
    let run = run(&format!(
        "storm --url {url} --connections 10 --policy fixed:0.05 --duration 0.6 --threads 1"
    ));
    assert_eq!(run.code, 1);
    assert_eq!(run.report["storm"]["returned"], 5);
    assert!(run.report["storm"]["retried"].as_u64().unwrap() >= 5);
    assert_eq!(run.count("failed"), 5);
    assert_eq!(run.count("connections_lost"), 0);
}

#[test]
fn who_hangs_in_the_handshake_when_a_storm_ends_is_missing() {
    let url = start(Conduct::SilentAfter(6));
    for timeout in ["0.2", "0.5"] {
        let run = run(&format!(
            "storm --url {url} --connections 6 --policy at-once --duration 0.7 --handshake-timeout {timeout}"
        ));
        assert_eq!((run.code, run.count("failed")), (1, 6), "{:#}", run.report);
        assert_eq!(run.count("connections_lost"), 0);
        if run.count("connected") == 6 {
            // The first run: its ramp was answered.
            assert_eq!(run.report["storm"]["returned"], 0);
            assert!(run.report["storm"]["retried"].as_u64().unwrap() >= 6);
        }
    }
}

#[test]
fn a_slow_member_that_the_server_closes_is_counted_and_no_fault() {
    // Deliveries go to the steady and the slow member in turn.
    let url = start(Conduct::Close(21, 1013));
    let run = run(&format!(
        "slow --url {url}/raw/s --connections 3 --slow-share 34% --rate-messages 100 --duration 0.8 --warmup 0 --threads 1"
    ));
    run.assert_clean();
    assert_eq!(run.report["slow"]["members"], 1);
    assert_eq!(run.report["slow"]["closed"], 1, "{:#}", run.report);
}

#[test]
fn slow_members_are_not_expected_to_have_read_everything() {
    let url = start(Conduct::Good);
    for (speed, some) in [(0, false), (20_000, true)] {
        let run = run(&format!(
            "slow --url {url}/raw/s --connections 10 --slow-share 20% --slow-bytes-per-second {speed} --bytes 100 \
             --rate-messages 200 --duration 0.8 --warmup 0 --threads 2"
        ));
        run.assert_clean();
        let slow = &run.report["slow"];
        assert_eq!(slow["members"], 2);
        assert_eq!(slow["missed"], 0);
        // What they had not read is read at the end.
        assert!(slow["received"].as_u64().unwrap() > 0 || !some);
        assert_eq!(run.count("expected"), run.count("sent") * 7);
    }
}

#[test]
fn the_targets_cpu_is_shared_by_all_messages_that_arrived() {
    let url = start(Conduct::Good);
    // One publishes, one listens, and one reads slowly, but all there is.
    let run = run(&format!(
        "slow --url {url}/raw/s --connections 3 --slow-share 34% --slow-bytes-per-second 1000000 --rate-messages 200 \
         --duration 1 --warmup 0"
    ));
    assert_eq!(run.report["slow"]["received"], 200, "{:#}", run.report);
    let target = &run.report["target"];
    let [cpu, each] =
        ["cpu_seconds", "cpu_nanoseconds_a_message"].map(|field| target[field].as_f64().unwrap());
    let messages = cpu * 1e9 / each;
    // The steady one's alone were the rate.
    let steady = run.number("messages_per_second") * run.number("duration_seconds");
    assert!(messages > 1.25 * steady, "{messages}: {:#}", run.report);
}

#[test]
fn a_report_says_what_compare_needs_to_know() {
    let url = start(Conduct::Good);
    let stays = "--rate-messages 100 --duration 0.3 --warmup 0";
    let run_of = |words: &str| run(&format!("{words} {stays}")).report;
    let fanout = run_of(&format!("fanout --url {url}/raw/o --connections 2"));
    assert_eq!(fanout["own"], false, "{fanout:#}");
    let churn = run_of(&format!(
        "churn --url {url}/raw/p --connections 2 --visits 5 --stay 0.1"
    ));
    assert_eq!(churn["visits"]["stay_seconds"], 0.1, "{churn:#}");
    assert_eq!(churn["own"], Value::Null, "{churn:#}");
}

#[test]
fn a_soak_watches_the_targets_memory() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "soak --url {url}/raw/k --connections 10 --members 5 --rate-messages 50 --visits 10 --stay 0.1 --duration 3 \
         --growth-max 100%"
    ));
    run.assert_clean();
    // The server is this process.
    assert_eq!(run.report["target"]["pid"], std::process::id());
    let memory = run.report["target"]["memory"].as_array().unwrap();
    assert!(memory.len() >= 8 && memory[0]["user_bytes"].as_u64().unwrap() > 0);
    assert!(run.report["target"]["memory_growth_share"].is_f64());
}

#[test]
fn a_run_whose_load_generator_was_too_busy_is_invalid() {
    let url = start(Conduct::Good);
    let output = output(&format!(
        "echo --url {url}/echo --connections 2 --duration 0.3 --busy-max 0.000001 --json"
    ));
    assert_eq!(output.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], false);
    assert!(
        report["invalid_because"][0]
            .as_str()
            .unwrap()
            .contains("--cpus")
    );
}

#[test]
fn the_run_in_stretches_adds_up_to_the_whole() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "echo --url {url}/echo --connections 4 --threads 2 --rate-messages 200 --duration 2.5 --warmup 0"
    ));
    run.assert_clean();
    let timeline = run.report["timeline"].as_array().unwrap();
    assert!(timeline.len() >= 3);
    let sum = |field: &str| -> f64 {
        timeline
            .iter()
            .map(|moment| moment[field].as_f64().unwrap())
            .sum()
    };
    assert_eq!(sum("sent_per_second").round() as u64, run.count("sent"));
    assert_eq!(
        sum("received_per_second").round() as u64,
        run.count("received")
    );
    let counted: u64 = timeline
        .iter()
        .filter_map(|moment| moment["latency_microseconds"]["count"].as_u64())
        .sum();
    assert_eq!(run.report["latency_microseconds"]["count"], counted);
}
