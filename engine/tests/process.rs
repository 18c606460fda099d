//! The binary as its operator sees it: what it prints, answers and returns.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use support::{BACKENDS, Engine, ask, ask_as, run, temporary, until, upgraded};

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[test]
fn the_block_says_what_runs_where() {
    for backend in BACKENDS {
        let engine = Engine::serve(backend, &[]);
        assert!(!engine.listening().ends_with(":0"));
        assert!(!engine.admin().ends_with(":0"));
        assert!(has_line(
            &engine.output(),
            concat!("Ringmain ", env!("CARGO_PKG_VERSION"))
        ));
        assert!(engine.line("back end ").contains(backend));
        assert!(engine.line("shards ").starts_with("2 on CPU "));
        assert!(
            engine
                .line("descriptors ")
                .ends_with("each with a private table")
        );
        assert!(engine.line("connections ").starts_with("at most "));
        assert!(engine.line("memory ").contains(" a shard"));
    }
}

#[test]
fn the_admin_server_answers() {
    for backend in BACKENDS {
        let engine = Engine::serve(backend, &[]);
        let admin = engine.admin();
        assert_eq!(ask(&admin, "GET /health/live").status, 200);
        assert_eq!(ask(&admin, "GET /health/ready").status, 200);
        let metrics = ask(&admin, "GET /metrics?x=1");
        assert_eq!(metrics.status, 200);
        assert!(
            metrics
                .head
                .contains("content-type: text/plain; version=0.0.4")
        );
        let line = format!("ringmain_io_backend{{backend=\"{backend}\"}} 1");
        assert!(has_line(&metrics.body, &line), "{}", metrics.body);
        assert!(
            has_line(&metrics.body, "ringmain_shards 2"),
            "{}",
            metrics.body
        );
        let head = ask(&admin, "HEAD /metrics");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        let missing = ask(&admin, "GET /metric");
        assert_eq!(missing.status, 404);
        assert!(missing.body.contains("/metrics"));
        let refused = ask(&admin, "POST /metrics");
        assert_eq!(refused.status, 405);
        assert!(refused.head.contains("allow: get, head"));
        // A page in a browser whose name resolves to the loopback address.
        for (name, status) in [("rebound.example:8001", 403), ("localhost:8001", 200)] {
            let answer = ask_as(&admin, "GET /metrics", name);
            assert_eq!(answer.status, status, "{name}: {}", answer.body);
        }
        let refused = ask(&admin, "GET /users/ann/close");
        assert_eq!(refused.status, 405);
        assert!(refused.head.contains("allow: post"), "{}", refused.head);
    }
}

#[test]
fn metrics_count_what_the_shards_do() {
    for backend in BACKENDS {
        let engine = Engine::serve(backend, &[]);
        let (address, admin) = (engine.listening(), engine.admin());
        let _members: Vec<TcpStream> = (0..8).map(|_| upgraded(&address, "/raw/lobby")).collect();
        let metrics = ask(&admin, "GET /metrics").body;
        let members: u64 = metrics
            .lines()
            .filter(|line| line.starts_with("ringmain_members{"))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum();
        assert_eq!(members, 8, "{metrics}");
    }
}

#[test]
fn a_signal_stops_it_in_order() {
    for backend in BACKENDS {
        for signal in ["TERM", "INT"] {
            let engine = Engine::serve(backend, &[]);
            let mut client = upgraded(&engine.listening(), "/echo");
            engine.signal(signal);
            let mut close = [0; 4];
            client.read_exact(&mut close).unwrap();
            // A close frame with 1012.
            assert_eq!((close[0], &close[2..]), (0x88, &[0x03, 0xf4][..]));
            drop(client);
            let (code, output) = engine.end();
            assert_eq!(code, Some(0), "{output}");
            assert!(output.contains(&format!("SIG{signal}")), "{output}");
            assert!(!output.contains("panicked"), "{output}");
        }
    }
}

#[test]
fn while_it_stops_it_is_not_ready_and_a_second_signal_ends_it_at_once() {
    for backend in BACKENDS {
        let file = temporary("patient", "close_handshake_seconds = 600\n");
        let engine = Engine::serve(backend, &["--config", &file.0]);
        let admin = engine.admin();
        // Answers no close.
        let _silent = upgraded(&engine.listening(), "/echo");
        engine.signal("TERM");
        // So soon it is the same signal again.
        engine.signal("TERM");
        until("readiness is gone", || {
            let ready = ask(&admin, "GET /health/ready");
            (ready.status == 503 && ready.body.contains("stopping")).then_some(())
        });
        assert_eq!(ask(&admin, "GET /health/live").status, 200);
        // An end under way says so each second: by then a second signal is no echo of the first.
        engine.says("still draining");
        engine.signal("TERM");
        let (code, output) = engine.end();
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("a second signal"), "{output}");
    }
}

#[test]
fn an_address_in_use_is_an_error_at_start() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    for backend in BACKENDS {
        for flag in ["--listen", "--admin"] {
            let (listen, admin) = match flag {
                "--listen" => (taken.as_str(), "127.0.0.1:0"),
                _ => ("127.0.0.1:0", taken.as_str()),
            };
            let engine = Engine::start(&["--listen", listen, "--admin", admin, "--io", backend]);
            let (code, output) = engine.end();
            assert_eq!(code, Some(1), "{output}");
            assert!(output.contains(&taken), "{output}");
            assert!(output.to_lowercase().contains("in use"), "{output}");
            assert!(output.contains(flag), "{output}");
        }
    }
}

#[test]
fn the_admin_server_can_be_off() {
    let engine = Engine::start(&["serve", "--listen", "127.0.0.1:0", "--admin", "off"]);
    assert_eq!(engine.line("admin "), "off");
    engine.signal("TERM");
    assert_eq!(engine.end().0, Some(0));
}

#[test]
fn the_log_can_be_json() {
    let engine = Engine::serve("epoll", &["--log-format", "json"]);
    engine.admin();
    engine.signal("TERM");
    let (code, output) = engine.end();
    assert_eq!(code, Some(0), "{output}");
    let events = output.lines().filter(|line| line.starts_with('{'));
    let events: Vec<serde_json::Value> = events
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        events.iter().any(|event| event["signal"] == "SIGTERM"),
        "{output}"
    );
}

#[test]
fn a_wrong_configuration_is_told_with_code_2() {
    let file = temporary("wrong", "shards = 2\nshard = 3\n");
    let wrong = |arguments: &[&str], environment: &[(&str, &str)], part: &str| {
        let (code, _, stderr) = run(arguments, environment);
        assert_eq!(code, Some(2), "{arguments:?} {stderr}");
        assert!(stderr.contains(part), "{part}\n{stderr}");
    };
    wrong(&["--no-such-flag"], &[], "--no-such-flag");
    wrong(&["--message-bytes-max", "lots"], &[], "--message-bytes-max");
    wrong(&["--io", "magic"], &[], "--io");
    wrong(&["--cpus", "1000"], &[], "`cpus` names CPU 1000");
    wrong(&["--shards", "63"], &[], "`shards` (--shards) is 63");
    wrong(&[], &[("RINGMAIN_LISTN", "x")], "RINGMAIN_LISTN");
    let line = format!("`shard` ({}, line 2)", file.0);
    wrong(&["serve", "--config", &file.0], &[], &line);
    wrong(&["config", "check", "--config", &file.0], &[], &line);
    wrong(&["config", "check"], &[("RINGMAIN_CONFIG", &file.0)], &line);
}

#[test]
fn the_default_configuration_is_found_good() {
    let (code, text, _) = run(&["config", "default"], &[]);
    assert_eq!(code, Some(0));
    let file = temporary("default", &text);
    let (code, checked, stderr) = run(&["config", "check", "--config", &file.0], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(checked.starts_with("ok\n"), "{checked}");
    assert!(checked.contains("backlog = 4096"), "{checked}");
}

/// Not a test of its own: the body of the processes that [`a_panic_ends_the_process`] starts.
#[test]
fn panics_if_it_is_told_to() {
    let Ok(how) = std::env::var("PANIC_HERE") else {
        return;
    };
    ringmain::fatal::end_on_panic();
    if how == "with a stuck log" {
        // Holds the lock of stderr for ever, once its pipe is full.
        let filler = std::thread::Builder::new().name("filler".into());
        filler
            .spawn(|| {
                let mut stderr = std::io::stderr().lock();
                while stderr.write_all(&[b'x'; 4096]).is_ok() {}
            })
            .unwrap();
        until("stderr takes nothing", || sleeps("filler").then_some(()));
    }
    let thread = std::thread::Builder::new().name("shard-7".into());
    let _ = thread.spawn(|| panic!("on purpose")).unwrap().join();
    std::process::exit(0);
}

/// Whether the thread of this name waits for the system.
fn sleeps(thread: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let name = format!("({thread}) S");
    stats.into_iter().any(|stat| stat.contains(&name))
}

#[test]
fn a_panic_ends_the_process() {
    for how in ["plainly", "with a stuck log"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "panics_if_it_is_told_to", "--nocapture"])
            .env("PANIC_HERE", how)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        // Nobody reads stderr before the end.
        let status = until("the process has ended", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(70), "{how}");
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        if how == "plainly" {
            assert!(text.contains("thread shard-7 panicked at"), "{text}");
            assert!(text.contains("on purpose"), "{text}");
        }
    }
}
