//! Loom explores every order of one producer or two, a sleeper and the word between them.
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p ringmain-router --release --test loom_doorbell`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use ringmain_router::SleepWord;

struct Model {
    word: SleepWord,
    /// Stands for the lane: crossbeam-channel does not run under loom.
    lane: AtomicUsize,
    rung: AtomicUsize,
}

fn produce(model: &Model) {
    model.lane.fetch_add(1, Ordering::Relaxed);
    if model.word.must_ring() {
        model.rung.fetch_add(1, Ordering::Release);
    }
}

fn check(producers: usize) {
    loom::model(move || {
        let model = Arc::new(Model {
            word: SleepWord::default(),
            lane: AtomicUsize::new(0),
            rung: AtomicUsize::new(0),
        });
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || produce(&model))
            })
            .collect();
        let sleeps = model.word.arm(|| model.lane.load(Ordering::Relaxed) == 0);
        for thread in threads {
            thread.join().unwrap();
        }
        if sleeps {
            // All producers are done: whoever sleeps beside a frame must have been rung, once.
            assert_eq!(
                model.rung.load(Ordering::Acquire),
                1,
                "a frame waits beside a sleeper"
            );
        } else {
            assert!(
                model.lane.load(Ordering::Relaxed) > 0,
                "it was awake for a reason"
            );
        }
    });
}

#[test]
fn no_frame_waits_beside_a_sleeper() {
    check(1);
}

#[test]
fn of_two_producers_one_rings() {
    check(2);
}
