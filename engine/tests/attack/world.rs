//! The engine, and those who must not notice anything.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::support::{self, Process, command};
pub use crate::support::{BACKENDS, PATIENCE, temporary, until};

/// Good members; twenty rooms of fifty.
const GOOD_MEMBERS: u64 = 1_000;

const ENGINE: &str = env!("CARGO_BIN_EXE_ringmain");
/// Held by each engine that runs: one attack at a time, where the tests are threads of one process.
static TURN: Mutex<()> = Mutex::new(());

/// A running engine of four shards.
pub struct Engine {
    engine: support::Engine,
    _turn: MutexGuard<'static, ()>,
    pub address: SocketAddr,
}

impl Engine {
    /// On free ports, with these arguments more.
    pub fn start(backend: &str, more: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", backend, more)
    }

    pub fn start_at(listen: &str, backend: &str, more: &[&str]) -> Self {
        Self::start_by(command(ENGINE), listen, backend, more)
    }

    /// With so few open files in each table.
    pub fn start_with_files(files: u32, backend: &str, more: &[&str]) -> Self {
        let mut command = command("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, ENGINE]);
        Self::start_by(command, "127.0.0.1:0", backend, more)
    }

    fn start_by(mut command: Command, listen: &str, backend: &str, more: &[&str]) -> Self {
        // Another test's failure is its own.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        command.args(["--listen", listen, "--admin", "127.0.0.1:0"]);
        command.args(["--io", backend, "--shards", "4", "--log", "warn"]);
        let engine = support::Engine::by(command.args(more));
        Engine {
            address: engine.listening().parse().unwrap(),
            engine,
            _turn: turn,
        }
    }

    /// The sum of a metric over its shards; with `label`, of those lines that have it.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.engine.metrics();
        let lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Connections closed for a reason.
    pub fn closed(&self, reason: &str) -> u64 {
        self.metric("ringmain_closes_total", &format!("reason=\"{reason}\""))
    }

    /// What of its memory is in use.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.engine.process().id());
        let statm = std::fs::read_to_string(path).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Ends it as the kernel would.
    pub fn kill(self) {
        self.engine.process().kill();
    }

    /// It must still be there, and have said nothing of a panic.
    pub fn assert_well(&self) {
        let output = self.engine.output();
        assert!(self.engine.process().is_running(), "{output}");
        assert!(!output.contains("panicked"), "{output}");
    }
}

/// Runs the load generator.
pub fn load(arguments: &str) -> Load {
    load_command(command("env"), arguments)
}

/// Runs the load generator, which is built beside the engine, by a command that takes a program as its last argument.
pub fn load_command(mut command: Command, arguments: &str) -> Load {
    let binary = Path::new(ENGINE).with_file_name("ringmain-load");
    assert!(
        binary.exists(),
        "{} is missing: build the whole workspace (cargo build --workspace, in the profile of these tests)",
        binary.display()
    );
    // Whether this machine keeps up is not what is tested.
    let own = [
        "--json",
        "--busy-max",
        "100",
        "--lag-max",
        "60000",
        "--quiet",
    ];
    command.arg(binary).args(arguments.split(' ')).args(own);
    Load(Process::start(&mut command))
}

/// A run of the load generator.
pub struct Load(Process);

impl Load {
    /// Ends it at once: all its connections are gone.
    pub fn kill(self) {
        self.0.kill();
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.0.is_running()
    }

    /// Its exit code and its result, once it has ended.
    pub fn end(self) -> (i32, Value) {
        let (code, output) = self.0.end();
        let (Some(from), Some(to)) = (output.find('{'), output.rfind('}')) else {
            panic!("no result: {output}");
        };
        let report = serde_json::from_str(&output[from..=to]).unwrap();
        (code.unwrap(), report)
    }
}

/// A thousand members that talk, in rooms of their own.
pub struct GoodMembers(Load);

impl GoodMembers {
    /// They talk for so many seconds, beginning before this returns.
    pub fn talk(engine: &Engine, seconds: u32) -> Self {
        let before = engine.metric("ringmain_messages_in_total", "");
        let load = load(&format!(
            "fanout --url ws://{}/raw/good --connections {GOOD_MEMBERS} --rooms 20 --rate-messages 200 \
             --duration {seconds} --warmup 0 --threads 1",
            engine.address
        ));
        until("the good members talk", || {
            (engine.metric("ringmain_messages_in_total", "") > before).then_some(())
        });
        GoodMembers(load)
    }

    /// Waits for the end of their talk: nothing may have happened to them.
    pub fn assert_unharmed(self) {
        let (code, report) = self.0.end();
        assert_eq!(code, 0, "{report:#}");
        for field in [
            "lost",
            "duplicated",
            "reordered",
            "corrupt",
            "failed",
            "connections_lost",
        ] {
            assert_eq!(report[field], 0, "{field} of {report:#}");
        }
        assert_eq!(report["connected"], GOOD_MEMBERS);
        assert!(report["received"].as_u64().unwrap() > 1_000, "{report:#}");
    }
}
