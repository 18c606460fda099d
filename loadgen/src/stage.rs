//! Which stage the run is in. The control thread decides; the workers follow.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::clock::Window;

/// The stages, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connections are opened.
    Connect,
    /// Messages are sent, or connections held; also the wait for the last messages.
    Run(Window),
    /// Connections are closed.
    Close,
}

const CONNECT: u8 = 0;
const RUN: u8 = 1;
const CLOSE: u8 = 2;

/// The stage, written by the control thread alone.
#[derive(Debug, Default)]
pub struct StageCell {
    stage: AtomicU8,
    begin_ns: AtomicU64,
    from_ns: AtomicU64,
    to_ns: AtomicU64,
    cut_short: AtomicBool,
}

impl StageCell {
    /// Goes to [`Stage::Run`].
    pub fn run(&self, window: Window) {
        self.begin_ns.store(window.begin_ns, Ordering::Relaxed);
        self.from_ns.store(window.from_ns, Ordering::Relaxed);
        self.to_ns.store(window.to_ns, Ordering::Relaxed);
        // Publishes the times.
        self.stage.store(RUN, Ordering::Release);
    }

    /// Sending and measuring end at this time, before their time; or it has not come to them. Nobody who is not there
    /// by then has failed.
    pub fn cut_short(&self, to_ns: u64) {
        self.to_ns.store(to_ns, Ordering::Relaxed);
        // Who sees it sees the time.
        self.cut_short.store(true, Ordering::Release);
    }

    /// Whether somebody has ended the run before its time.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short.load(Ordering::Acquire)
    }

    /// Goes to [`Stage::Close`].
    pub fn close(&self) {
        self.stage.store(CLOSE, Ordering::Release);
    }

    /// The stage now.
    #[inline]
    pub fn get(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            CONNECT => Stage::Connect,
            RUN => Stage::Run(Window {
                begin_ns: self.begin_ns.load(Ordering::Relaxed),
                from_ns: self.from_ns.load(Ordering::Relaxed),
                to_ns: self.to_ns.load(Ordering::Relaxed),
            }),
            _ => Stage::Close,
        }
    }
}
