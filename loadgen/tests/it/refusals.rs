//! Connections that do not come to be, and commands that cannot work.

use std::net::TcpListener;

use crate::program::{output, run};
use crate::server::{Conduct, start};

#[test]
fn handshakes_that_fail_are_counted_by_kind() {
    for (conduct, kind, refused) in [
        (Conduct::Refuse, "http_503", 5),
        (Conduct::WrongAccept, "not_websocket", 0),
        (Conduct::Silent, "handshake_timeout", 0),
    ] {
        let url = start(conduct);
        let run = run(&format!(
            "echo --url {url}/echo --connections 5 --duration 0.1 --handshake-timeout 0.3"
        ));
        assert_eq!(run.code, 1);
        assert_eq!(run.errors(kind), 5, "{:#}", run.report);
        assert_eq!((run.count("failed"), run.count("refused")), (5, refused));
        assert_eq!((run.count("connected"), run.count("sent")), (0, 0));
    }
}

#[test]
fn nothing_listens() {
    // The port was free a moment ago, and nobody else is given it so soon.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for io in ["epoll", "auto"] {
        let run = run(&format!(
            "echo --url ws://{address}/echo --connections 3 --duration 0.1 --io {io}"
        ));
        assert_eq!(run.code, 1);
        assert_eq!(run.errors("refused"), 3, "{:#}", run.report);
        assert_eq!(run.count("refused"), 3);
    }
}

#[test]
fn those_that_were_let_in_go_on() {
    let url = start(Conduct::RefuseAfter(4));
    let run = run(&format!(
        "fanout --url {url}/raw/x --connections 7 --publishers 7 --handshakes-max 1 --threads 1 --duration 0.2"
    ));
    assert_eq!(run.code, 1);
    assert_eq!((run.count("connected"), run.count("refused")), (4, 3));
    assert_eq!(run.count("expected"), run.count("sent") * 3);
    assert_eq!(run.count("lost"), 0);
}

#[test]
fn commands_that_cannot_work_say_what_would() {
    for (words, wanted) in [
        ("echo --url ws://127.0.0.1:1/echo --bytes 39", "40 to"),
        ("echo --url wss://127.0.0.1:1/echo", "--insecure"),
        ("echo --url ws://127.0.0.1:1/echo --cpus 4000", "--cpus"),
        ("echo --connections 3", "--url"),
        (
            "fanout --url ws://127.0.0.1:1/raw/x --connections 1",
            "at least 2",
        ),
        (
            "echo --url ws://127.0.0.1:1/echo --in-flight 2 --rate-messages 3",
            "cannot be used with",
        ),
    ] {
        let output = output(words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {stderr}");
        assert!(stderr.contains(wanted), "{words}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_error_says_its_cause_once() {
    let url = start(Conduct::Good);
    for (words, cause) in [
        (
            "echo --url ws://127.0.0.1:99999/echo".to_owned(),
            "invalid port",
        ),
        (
            format!("echo --url {url}/echo --metrics http://127.0.0.1:1/metrics"),
            "Connection refused",
        ),
        (
            "compare /nowhere/a.json /nowhere/b.json".to_owned(),
            "No such file",
        ),
    ] {
        let output = output(&words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {stderr}");
        assert_eq!(stderr.matches(cause).count(), 1, "{words}: {stderr}");
    }
}

#[test]
fn what_may_be_behind_messages_that_went_astray_is_said() {
    let url = start(Conduct::Good);
    for (words, wanted) in [
        // A room instead of an echo, and the other way round.
        ("echo/raw/x", "answers each binary message"),
        ("fanout/echo", "--own"),
        ("fanout/raw/x?self=1", "--own"),
    ] {
        let (scenario, path) = words.split_once('/').unwrap();
        let run = run(&format!(
            "{scenario} --url {url}/{path} --connections 3 --duration 0.2 --warmup 0 --drain 0.2"
        ));
        assert_eq!(run.code, 1);
        let hints = run.report["hints"].to_string();
        assert!(hints.contains(wanted), "{words}: {hints}");
    }
}
