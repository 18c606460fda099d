//! The engine as a process, and plain clients for it.
#![allow(dead_code, reason = "each test file uses a part")]

mod process;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

pub use process::{Process, command};

pub const BACKENDS: [&str; 2] = ["uring", "epoll"];
/// For what takes milliseconds, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

const ENGINE: &str = env!("CARGO_BIN_EXE_ringmain");

/// The engine as a process; ended with the test.
pub struct Engine(Process);

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

impl Engine {
    pub fn start(arguments: &[&str]) -> Self {
        Engine::by(command(ENGINE).args(arguments))
    }

    /// By a command that runs it.
    pub fn by(command: &mut Command) -> Self {
        Engine(Process::start(command))
    }

    /// An engine on free ports.
    pub fn serve(backend: &str, more: &[&str]) -> Self {
        Self::serve_with_shards(backend, "2", more)
    }

    /// An engine on free ports with so many shards. It does not take its time to end, unless it is told to.
    pub fn serve_with_shards(backend: &str, shards: &str, more: &[&str]) -> Self {
        let mut command = command(ENGINE);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command
            .args(["--io", backend, "--shards", shards])
            .args(more);
        Engine::by(command.env("RINGMAIN_DRAIN_SECONDS", "0"))
    }

    pub fn process(&self) -> &Process {
        &self.0
    }

    pub fn output(&self) -> String {
        self.0.output()
    }

    /// Waits until it has said this, and returns all that it has said.
    pub fn says(&self, text: &str) -> String {
        until(&format!("it says {text:?}"), || {
            let is_running = self.0.is_running();
            let output = self.output();
            assert!(is_running || output.contains(text), "{output}");
            output.contains(text).then_some(output)
        })
    }

    /// What stands behind a name in the block that is printed at start.
    pub fn line(&self, name: &str) -> String {
        until(&format!("the line {name}"), || {
            assert!(self.0.is_running(), "{}", self.output());
            let output = self.output();
            let line = output.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().to_owned())
        })
    }

    pub fn listening(&self) -> String {
        self.line("listening ")
            .strip_prefix("ws://")
            .unwrap()
            .to_owned()
    }

    pub fn admin(&self) -> String {
        self.line("admin ")
            .strip_prefix("http://")
            .unwrap()
            .to_owned()
    }

    pub fn metrics(&self) -> String {
        ask(&self.admin(), "GET /metrics").body
    }

    pub fn signal(&self, name: &str) {
        self.0.signal(name);
    }

    /// Its exit code, and all that it has printed.
    pub fn end(self) -> (Option<i32>, String) {
        self.0.end()
    }
}

/// Status, head and body of an answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn ask(address: &str, request: &str) -> Answer {
    ask_as(address, request, address)
}

/// The same, of a server that is called `host`.
pub fn ask_as(address: &str, request: &str, host: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("{request} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// A WebSocket after its handshake, as plain as possible.
pub fn upgraded(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// A file that is gone at the end of the test.
pub struct Temporary(pub String);

pub fn temporary(name: &str, text: &str) -> Temporary {
    let unique = format!("ringmain-{name}-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(unique);
    std::fs::write(&path, text).unwrap();
    Temporary(path.to_str().unwrap().to_owned())
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = command(ENGINE);
    command.args(arguments).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
