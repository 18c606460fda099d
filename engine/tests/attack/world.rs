//! The engine, and those who must not notice anything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const BACKENDS: [&str; 2] = ["uring", "epoll"];
/// For what takes milliseconds, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Good members; twenty rooms of fifty.
const GOOD_MEMBERS: u64 = 1_000;

/// Waits for a state, with a deadline.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that ends with the test, and what it says.
struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        // Whatever the tests' own environment holds, the engine begins with the defaults.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RINGMAIN_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let output = output.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    output.lock().unwrap().push_str(&(line + "\n"));
                }
            });
        }
        Process { child, output }
    }

    fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Held by each engine that runs: one attack at a time, where the tests are threads of one process.
static TURN: Mutex<()> = Mutex::new(());

/// A running engine of four shards.
pub struct Engine {
    process: Process,
    _turn: MutexGuard<'static, ()>,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Engine {
    /// On free ports, with these arguments more.
    pub fn start(backend: &str, more: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", backend, more)
    }

    pub fn start_at(listen: &str, backend: &str, more: &[&str]) -> Self {
        Self::start_by(
            Command::new(env!("CARGO_BIN_EXE_ringmain")),
            listen,
            backend,
            more,
        )
    }

    /// With so few open files in each table.
    pub fn start_with_files(files: u32, backend: &str, more: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ringmain")]);
        Self::start_by(command, "127.0.0.1:0", backend, more)
    }

    fn start_by(mut command: Command, listen: &str, backend: &str, more: &[&str]) -> Self {
        // Another test's failure is its own.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        command.args(["--listen", listen, "--admin", "127.0.0.1:0"]);
        command.args(["--io", backend, "--shards", "4", "--log", "warn"]);
        let mut process = Process::start(command.args(more));
        let mut address = |name: &str, scheme: &str| {
            let text = until("the engine says where it listens", || {
                let ended = process.child.try_wait().unwrap();
                assert!(ended.is_none(), "{}", process.output());
                let output = process.output();
                let line = output.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.trim().to_owned())
            });
            text.strip_prefix(scheme).unwrap().parse().unwrap()
        };
        let (address, admin) = (address("listening ", "ws://"), address("admin ", "http://"));
        Engine {
            process,
            _turn: turn,
            address,
            admin,
        }
    }

    /// The sum of a metric over its shards; with `label`, of those lines that have it.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
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
        let path = format!("/proc/{}/statm", self.process.child.id());
        let statm = std::fs::read_to_string(path).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Ends it as the kernel would.
    pub fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// It must still be there, and have said nothing of a panic.
    pub fn assert_well(&mut self) {
        let output = self.process.output();
        assert_eq!(self.process.child.try_wait().unwrap(), None, "{output}");
        assert!(!output.contains("panicked"), "{output}");
    }
}

/// Runs the load generator.
pub fn load(arguments: &str) -> Load {
    load_command(Command::new("env"), arguments)
}

/// Runs the load generator, which is built beside the engine, by a command that takes a program as its last argument.
pub fn load_command(mut command: Command, arguments: &str) -> Load {
    let binary: PathBuf = Path::new(env!("CARGO_BIN_EXE_ringmain")).with_file_name("ringmain-load");
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
    pub fn kill(mut self) {
        self.0.child.kill().unwrap();
        self.0.child.wait().unwrap();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.0.child.try_wait().unwrap().is_none()
    }

    /// Its exit code and its result, once it has ended.
    pub fn end(mut self) -> (i32, Value) {
        let status = until("the load has ended", || self.0.child.try_wait().unwrap());
        // Its output may take a moment longer than its end.
        let report = until("the load's result is whole", || {
            let output = self.0.output();
            let json = &output[output.find('{')?..=output.rfind('}')?];
            serde_json::from_str(json).ok()
        });
        (status.code().unwrap(), report)
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

/// A file that is gone with the test.
pub struct Temporary(PathBuf);

impl Temporary {
    pub fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!(
            "ringmain-attack-{}-{name}.toml",
            std::process::id()
        ));
        std::fs::write(&path, text).unwrap();
        Temporary(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
