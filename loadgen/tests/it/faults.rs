//! Servers that do wrong: each wrong is counted under its name, and the exit code says it.

use crate::program::run;
use crate::server::{Conduct, start};

/// A delivery amid the run, but soon: a machine with other work may get no further than that.
const NUMBER: u64 = 7;
const ECHO: &str =
    "/echo --connections 6 --in-flight 3 --threads 2 --warmup 0 --drain 0.3 --duration 0.4";
const FANOUT: &str = "/raw/x --connections 6 --in-flight 3 --threads 2 --publishers 2 --warmup 0 --drain 0.3 --duration 0.4";

#[test]
fn a_lost_message() {
    for words in [["echo", ECHO], ["fanout", FANOUT]] {
        let url = start(Conduct::Drop(NUMBER));
        let run = run(&format!("{} --url {url}{}", words[0], words[1]));
        run.assert_faults(&[("lost", 1)]);
        assert_eq!(run.count("expected"), run.count("received") + 1);
    }
}

#[test]
fn a_message_that_comes_twice() {
    for words in [["echo", ECHO], ["fanout", FANOUT]] {
        let url = start(Conduct::Duplicate(NUMBER));
        let run = run(&format!("{} --url {url}{}", words[0], words[1]));
        run.assert_faults(&[("duplicated", 1)]);
        assert_eq!(run.count("expected"), run.count("received"));
    }
}

#[test]
fn the_last_message_comes_twice() {
    // The probe sends one message to the other; the second copy comes when all seems done.
    let url = start(Conduct::Duplicate(0));
    let run = run(&format!(
        "idle --url {url} --connections 2 --duration 0.1 --probe"
    ));
    run.assert_faults(&[("duplicated", 1)]);
}

#[test]
fn two_messages_in_the_wrong_order() {
    // One publisher: the messages of two have no order.
    let fanout = FANOUT.replace("--publishers 2", "--publishers 1");
    for words in [["echo", ECHO], ["fanout", &fanout]] {
        let url = start(Conduct::Swap(NUMBER));
        let run = run(&format!("{} --url {url}{}", words[0], words[1]));
        run.assert_faults(&[("reordered", 1)]);
    }
}

#[test]
fn a_changed_message() {
    for conduct in [Conduct::Corrupt(NUMBER), Conduct::AsText(NUMBER)] {
        for words in [["echo", ECHO], ["fanout", FANOUT]] {
            let url = start(conduct);
            let run = run(&format!("{} --url {url}{}", words[0], words[1]));
            run.assert_faults(&[("corrupt", 1), ("lost", 1)]);
        }
    }
}

#[test]
fn a_message_at_the_wrong_receiver() {
    for words in [["echo", ECHO], ["fanout", &format!("{FANOUT} --rooms 2")]] {
        let url = start(Conduct::Leak(NUMBER));
        let run = run(&format!("{} --url {url}{}", words[0], words[1]));
        run.assert_faults(&[("unexpected", 1)]);
    }
}

#[test]
fn own_messages_that_nobody_asked_for() {
    let url = start(Conduct::Good);
    let run = run(&format!(
        "fanout --url {url}/raw/x?self=1 --connections 3 --rate-messages 100 --duration 0.2 --warmup 0"
    ));
    run.assert_faults(&[("unexpected", 20)]);
}

#[test]
fn connections_that_the_server_ends() {
    for (conduct, kind) in [
        (Conduct::Close(NUMBER, 1001), "closed_1001"),
        (Conduct::End(NUMBER), "ended_without_close"),
        (Conduct::Garbage(NUMBER), "protocol_error"),
    ] {
        for words in [["echo", ECHO], ["fanout", FANOUT]] {
            let url = start(conduct);
            let run = run(&format!("{} --url {url}{}", words[0], words[1]));
            assert_eq!(run.code, 1);
            assert_eq!(run.errors(kind), 1, "{kind} in {:#}", run.report);
            assert_eq!(run.count("connections_lost"), 1);
            assert_eq!(run.count("connected"), 6);
            assert!(run.count("lost") > 0);
        }
    }
}

#[test]
fn a_closed_loop_goes_on_without_a_member_that_has_gone() {
    let url = start(Conduct::Close(NUMBER, 1011));
    let run = run(&format!(
        "fanout --url {url}/raw/x --connections 6 --threads 2 --duration 1 --warmup 0 --drain 0.3"
    ));
    assert_eq!(run.errors("closed_1011"), 1, "{:#}", run.report);
    // The message that the member did not get, and no more.
    assert_eq!(run.count("lost"), 1);
    assert_eq!(run.count("stalled"), 0);
    assert!(run.count("sent") > 3, "{:#}", run.report);
}

#[test]
fn a_server_that_does_not_read_stops_the_sender_and_not_the_clock() {
    let url = start(Conduct::Deaf);
    let run = run(&format!(
        "echo --url {url}/echo --connections 2 --bytes 1000000 --rate-messages 100 --duration 0.6 --warmup 0 --drain 0.1"
    ));
    assert_eq!(run.code, 1);
    assert_eq!(run.count("sent") + run.count("unsent"), 60);
    assert!(run.count("unsent") > 0, "{:#}", run.report);
    assert_eq!(run.count("lost"), run.count("sent"));
}

#[test]
fn a_server_that_does_not_close_is_left_after_some_time() {
    let url = start(Conduct::Clinging);
    let run = run(&format!(
        "echo --url {url}/echo --connections 2 --duration 0.1 --warmup 0"
    ));
    // Every message came back: that is no fault of the run.
    assert_eq!(run.code, 0);
    assert_eq!(run.errors("close_timeout"), 2);
}
