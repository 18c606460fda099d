//! What there is only so much of.

use std::io::Write;

use ringmain_proto::ws::Opcode;

use crate::client::{dial, frame, read_to_end, request, upgraded};
use crate::world::{BACKENDS, Engine, GoodMembers, load, until};

#[test]
fn readers_that_stop_are_closed_and_cost_nobody_else() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 6);
        // Enough to fill the outbox of those who do not read.
        let slow = load(&format!(
            "slow --url ws://{}/raw/slow --connections 100 --slow-share 20% --bytes 16000 --rate-messages 400 \
             --duration 4 --warmup 0 --threads 1",
            engine.address
        ));
        let (code, report) = slow.end();
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(report["lost"], 0, "{report:#}");
        assert_eq!(report["slow"]["closed"], 20, "{report:#}");
        good.assert_unharmed();
        assert_eq!(engine.closed("slow_consumer"), 20);
        engine.assert_well();
    }
}

#[test]
fn without_a_free_descriptor_who_is_there_goes_on_and_who_comes_is_told() {
    for backend in BACKENDS {
        let engine = Engine::start_with_files(700, backend, &[]);
        let good = GoodMembers::talk(&engine, 5);
        let mut admitted = Vec::new();
        let mut refused = 0;
        for _ in 0..2_500 {
            let mut stream = dial(engine.address);
            stream.write_all(&request("/raw/more")).unwrap();
            admitted.push(stream);
        }
        until("all were seen to", || {
            let metric = |name| engine.metric(name, "");
            (metric("ringmain_accepted_total") + metric("ringmain_refused_total") >= 3_500)
                .then_some(())
        });
        for mut stream in admitted {
            // Who was let in is closed by this, who was not has its answer.
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let answer = read_to_end(&mut stream);
            let text = String::from_utf8_lossy(&answer);
            refused += u64::from(text.starts_with("HTTP/1.1 503 "));
            assert!(
                text.starts_with("HTTP/1.1 503 ") || text.starts_with("HTTP/1.1 101 "),
                "{text}"
            );
        }
        assert_eq!(engine.metric("ringmain_refused_total", ""), refused);
        assert!(refused > 500, "{refused} were refused");
        good.assert_unharmed();
        engine.assert_well();
    }
}

#[test]
fn when_memory_is_full_its_largest_holders_are_closed() {
    for backend in BACKENDS {
        // Eight MiB a shard.
        let engine = Engine::start(
            backend,
            &["--memory-bytes-max", "32MiB", "--message-bytes-max", "1MiB"],
        );
        let good = GoodMembers::talk(&engine, 6);
        // Messages that never end: each holds nearly a MiB.
        let whole = frame(Opcode::Binary, &vec![7; 1_000_000]);
        let mut hoarders: Vec<_> = (0..100)
            .map(|_| upgraded(engine.address, "/raw/hoard"))
            .collect();
        for stream in &mut hoarders {
            // Some are closed while they write.
            let _ = stream.write_all(&whole[..900_000]);
        }
        until("some were closed for it", || {
            (engine.closed("memory_full") > 50).then_some(())
        });
        good.assert_unharmed();
        assert!(engine.metric("ringmain_memory_bytes", "") <= 33 << 20);
        engine.assert_well();
    }
}
