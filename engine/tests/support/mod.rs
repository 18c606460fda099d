//! The engine as a process, and plain clients for it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const BACKENDS: [&str; 2] = ["uring", "epoll"];
/// For what takes milliseconds, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The engine as a process; ended with the test.
pub struct Engine {
    pub child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmain"));
    command.args(arguments).stdin(Stdio::null());
    // Whatever the tests' own environment holds, these processes begin with the defaults.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGMAIN_") {
            command.env_remove(name);
        }
    }
    command
}

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
        Engine::of(&mut command(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        let readers = streams.map(|stream| {
            let output = output.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    output.lock().unwrap().push_str(&(line + "\n"));
                }
            })
        });
        Engine {
            child,
            output,
            readers: readers.into(),
        }
    }

    /// An engine on free ports.
    pub fn serve(backend: &str, more: &[&str]) -> Self {
        Self::serve_with_shards(backend, "2", more)
    }

    /// An engine on free ports with so many shards. It does not take its time to end, unless it is told to.
    pub fn serve_with_shards(backend: &str, shards: &str, more: &[&str]) -> Self {
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut command =
            command(&[&ports[..], &["--io", backend, "--shards", shards], more].concat());
        Engine::of(command.env("RINGMAIN_DRAIN_SECONDS", "0"))
    }

    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until it has said this, and returns all that it has said.
    pub fn says(&mut self, text: &str) -> String {
        until(&format!("it says {text:?}"), || {
            let output = self.output();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || output.contains(text), "{output}");
            output.contains(text).then_some(output)
        })
    }

    /// What stands behind a name in the block that is printed at start.
    pub fn line(&mut self, name: &str) -> String {
        until(&format!("the line {name}"), || {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", self.output());
            let output = self.output();
            let line = output.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().to_owned())
        })
    }

    pub fn listening(&mut self) -> String {
        self.line("listening ")
            .strip_prefix("ws://")
            .unwrap()
            .to_owned()
    }

    pub fn admin(&mut self) -> String {
        self.line("admin ")
            .strip_prefix("http://")
            .unwrap()
            .to_owned()
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Its exit code, and all that it has printed.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status: ExitStatus = until("the process has ended", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status.code(), self.output())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status, head and body of an answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn ask(address: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("{request} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())
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
    let mut command = command(arguments);
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
