//! Runs in which nothing goes wrong.

use crate::program::{output, run};
use crate::server::{Conduct, start};

const SHORT: &str = "--duration 0.4 --warmup 0.1 --io";

#[test]
fn echo_in_a_closed_loop() {
    let url = start(Conduct::Good);
    for io in ["epoll", "auto"] {
        for more in ["", "--threads 3 --in-flight 4", "--mask zero --bytes 40"] {
            let run = run(&format!(
                "echo --url {url}/echo --connections 20 {SHORT} {io} {more}"
            ));
            run.assert_clean();
            assert_eq!(run.report["loop"], "closed");
            assert_eq!(run.count("sent"), run.count("received"));
            assert!(run.number("messages_per_second") > 0.0);
            assert!(run.number("cpu_seconds") > 0.0 && run.number("busy_share") > 0.0);
            let latency = &run.report["latency_microseconds"];
            assert!(latency["p50"].as_f64() <= latency["p999"].as_f64());
            assert!(latency["p999"].as_f64() <= latency["max"].as_f64());
            assert!(run.report["handshake_microseconds"]["count"] == 20);
            let cores = std::thread::available_parallelism().unwrap().get();
            assert_eq!(run.report["host"]["cores"].as_u64(), Some(cores as u64));
        }
    }
}

#[test]
fn what_is_measured_lies_in_the_window() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "echo --url {url}/echo --connections 5 --duration 0.5 --warmup 0.5"
    ));
    run.assert_clean();
    assert_eq!(run.number("duration_seconds"), 0.5);
    let measured = run.number("measured_to") - run.number("measured_from");
    assert!((measured - 0.5).abs() < 1e-6);
    let in_window = run.number("messages_per_second") * 0.5;
    assert!(in_window < run.count("received") as f64);
}

#[test]
fn echo_of_messages_larger_than_the_buffer() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "echo --url {url}/echo --connections 3 --in-flight 3 --bytes 700001 {SHORT} auto"
    ));
    run.assert_clean();
}

#[test]
fn echo_in_an_open_loop_sends_what_was_asked_for() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "echo --url {url}/echo --connections 7 --threads 2 --rate-messages 800 --duration 0.4 --warmup 0.1"
    ));
    run.assert_clean();
    assert_eq!(run.report["loop"], "open");
    assert_eq!(run.count("sent"), 400);
    assert_eq!(run.number("messages_per_second_offered"), 800.0);
    // All that was due in the 0.4 s of the measurement.
    assert_eq!(run.report["latency_microseconds"]["count"], 320);
    assert_eq!(run.report["send_lag_microseconds"]["count"], 320);
    assert_eq!(run.report["service_microseconds"]["count"], 320);
}

#[test]
fn fanout_reaches_everyone_of_the_room_and_nobody_else() {
    let url = start(Conduct::Good);
    for (io, more, others) in [
        ("auto", "", 19),
        ("epoll", "--threads 3 --in-flight 3 --publishers 5", 19),
        ("auto", "--threads 2 --rooms 4 --publishers 8", 4),
        ("auto", "--threads 3 --publishers 4 --rate-messages 300", 19),
    ] {
        let run = run(&format!(
            "fanout --url {url}/raw/x --connections 20 {SHORT} {io} {more}"
        ));
        run.assert_clean();
        assert!(run.count("sent") > 1, "{:#}", run.report);
        assert_eq!(run.count("expected"), run.count("sent") * others);
        assert_eq!(run.count("stalled"), 0);
    }
}

#[test]
fn publishers_receive_their_own_messages_if_they_shall() {
    let url = start(Conduct::Good);
    for rooms in ["", "--rooms 3"] {
        let run = run(&format!(
            "fanout --url {url}/raw/y?self=1 --own --connections 6 --publishers 2 {rooms} {SHORT} auto"
        ));
        run.assert_clean();
        assert!(run.count("received") > 0);
    }
}

#[test]
fn idle_connections_are_held_and_probed() {
    let url = start(Conduct::Good);
    let words = format!(
        "idle --url {url}/ --connections 25 --members-per-room 10 --threads 2 --duration 0.2 --io"
    );
    for io in ["epoll", "auto"] {
        let held = run(&format!("{words} {io}"));
        held.assert_clean();
        assert_eq!((held.count("sent"), held.count("rooms")), (0, 3));
        let probed = run(&format!("{words} {io} --probe"));
        probed.assert_clean();
        // One message to each room of 9, 8 and 8.
        assert_eq!((probed.count("sent"), probed.count("received")), (3, 22));
        assert_eq!(probed.report["latency_microseconds"]["count"], 22);
    }
}

#[test]
fn pings_are_answered_and_a_handshake_may_come_in_pieces() {
    let url = start(Conduct::Slowly);
    let run = run(&format!("idle --url {url} --connections 5 --duration 0.1"));
    run.assert_clean();
    assert_eq!(run.count("pings"), 5);
}

#[test]
fn handshakes_keep_the_rate() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "idle --url {url} --connections 20 --threads 2 --rate 100 --duration 0.1"
    ));
    run.assert_clean();
    assert!(run.number("connect_seconds") >= 0.19);
}

#[test]
fn connections_come_from_many_loopback_addresses() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "idle --url {url} --connections 10 --source-addresses 4 --duration 0.1 --handshakes-max 1"
    ));
    run.assert_clean();
    assert!(
        run.stderr.contains("127.0.0.2 to 127.0.0.5"),
        "{}",
        run.stderr
    );
}

#[test]
fn people_get_a_table_and_quiet_runs_say_nothing_else() {
    let url = start(Conduct::Good);
    let output = output(&format!(
        "echo --url {url}/echo --connections 2 --duration 0.2 --quiet"
    ));
    let table = String::from_utf8(output.stdout).unwrap();
    for word in ["closed loop", "messages/s", "p99.9", "Nothing lost"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    assert!(output.stderr.is_empty());
    assert!(output.status.success());
}

#[test]
fn what_follows_a_long_sleep_is_in_the_stretch_in_which_it_happens() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "idle --url {url} --connections 4 --members-per-room 4 --duration 2.3 --probe --threads 1"
    ));
    run.assert_clean();
    for moment in run.report["timeline"].as_array().unwrap() {
        let probed = moment["at_seconds"].as_f64() >= Some(2.0);
        for rate in ["sent_per_second", "received_per_second"] {
            let rate = moment[rate].as_f64().unwrap();
            assert!(probed || rate == 0.0, "{:#}", run.report["timeline"]);
        }
    }
}
