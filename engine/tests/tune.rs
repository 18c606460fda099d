//! `doctor` and `tune` on this host: applied, reverted, and compared with what was there before.
//!
//! Needs root and a writable `/proc/sys`; elsewhere the tests say why they are skipped. On the host itself nothing is
//! lowered, even for a moment: the settings that are, are tested in a network namespace of their own.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ringmain_tuning::settings::{Consent, Scope};
use ringmain_tuning::tune::files::{LIMITS, SYSCTL, TMPFILES};
use ringmain_tuning::tune::state::{DIRECTORY, RECORD};
use ringmain_tuning::value::Direction;
use ringmain_tuning::{SETTINGS, Value};
use serde_json::Value as Json;

const BINARY: &str = env!("CARGO_BIN_EXE_ringmain");

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(arguments: &[&str]) -> Json {
    serde_json::from_slice(&run(arguments).stdout).unwrap()
}

/// Everything that tuning could change: live values, files, and the record's directories.
fn paths() -> Vec<String> {
    let live = SETTINGS.iter().filter_map(|setting| setting.path());
    let files = [SYSCTL, LIMITS, TMPFILES, RECORD].map(str::to_owned);
    live.chain(files).collect()
}

type Snapshot = BTreeMap<String, Option<Vec<u8>>>;

fn snapshot() -> Snapshot {
    let files = paths().into_iter().map(|path| {
        let bytes = fs::read(&path).ok();
        (path, bytes)
    });
    let directories = [
        DIRECTORY,
        "/var/lib/ringmain",
        "/etc/tmpfiles.d",
        "/etc/security/limits.d",
    ];
    let directories = directories.map(|path| {
        let there = Path::new(path).is_dir().then(Vec::new);
        (path.to_owned(), there)
    });
    files.chain(directories).collect()
}

/// The host, to one test at a time, in whatever process; as it was at the end, whatever happens.
struct Host {
    before: Snapshot,
    _lock: fs::File,
}

impl Host {
    /// None, with the reason on stdout, where the settings cannot be changed.
    fn borrow() -> Option<Self> {
        // Past the test harness, which shows the output of failed tests alone.
        let skip = |why: &str| {
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
        };
        // Opened alone: nobody else's change is undone by it.
        let probe = fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/fs/nr_open");
        if probe.is_err() {
            skip("not root, or /proc/sys is read-only");
            return None;
        }
        let lock =
            fs::File::create(std::env::temp_dir().join("ringmain-host-settings.lock")).unwrap();
        lock.lock().unwrap();
        if Path::new(RECORD).exists() {
            skip("this host is tuned: `ringmain tune revert` first");
            return None;
        }
        let namespace = Command::new("unshare")
            .args(["--net", "--mount", "true"])
            .output();
        if !namespace.is_ok_and(|output| output.status.success()) {
            skip("`unshare --net --mount` is not to be had");
            return None;
        }
        Some(Host {
            before: snapshot(),
            _lock: lock,
        })
    }

    fn assert_as_before(&self) {
        let now = snapshot();
        for (path, before) in &self.before {
            assert_eq!(now[path], *before, "{path}");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for (path, before) in &self.before {
            let now = fs::read(path).ok();
            match before {
                Some(bytes) if Path::new(path).is_file() && now.as_ref() != Some(bytes) => {
                    let _ = fs::write(path, bytes);
                }
                None if now.is_some() => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        if self.before[DIRECTORY].is_none() {
            let _ = fs::remove_dir_all(DIRECTORY);
        }
        for path in [
            "/var/lib/ringmain",
            "/etc/tmpfiles.d",
            "/etc/security/limits.d",
        ] {
            if self.before[path].is_none() {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

/// Asserts that what the plan wanted to change is now as it wanted, and nothing else has changed.
fn assert_applied(plan: &Json, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    let mut set = BTreeMap::new();
    for step in plan["steps"].as_array().unwrap() {
        if step["action"] == "set" {
            set.insert(
                step["name"].as_str().unwrap(),
                step["new"].as_str().unwrap(),
            );
        }
    }
    assert!(set.len() >= 3, "{plan}");
    for setting in SETTINGS {
        let Some(path) = setting.path() else { continue };
        match set.get(setting.name) {
            Some(new) => assert_eq!(
                Value::parse(&now[&path]).unwrap().to_string(),
                *new,
                "{path}"
            ),
            None => assert_eq!(now[&path], before[&path], "{path}"),
        }
    }
}

fn live(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let texts = snapshot.iter().map(|(path, bytes)| {
        let text = bytes.clone().unwrap_or_default();
        (
            path.clone(),
            String::from_utf8_lossy(&text).trim().to_owned(),
        )
    });
    texts.collect()
}

#[test]
fn on_this_host_revert_restores_what_two_applies_changed() {
    let Some(host) = Host::borrow() else { return };
    let lowering = SETTINGS
        .iter()
        .filter(|setting| !matches!(setting.direction, Direction::AtLeast | Direction::Covers));
    let skip: Vec<&str> = lowering
        .flat_map(|setting| ["--skip", setting.name])
        .collect();
    let with = |arguments: &[&'static str]| -> Vec<&'static str> { [arguments, &skip].concat() };
    let plan = json(&with(&[
        "tune",
        "plan",
        "--json",
        "--connections",
        "1000000",
    ]));

    let output = run(&with(&["tune", "apply", "--connections", "100000"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(&with(&["tune", "apply", "--connections", "1000000"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        stdout(&output).ends_with("done: `ringmain tune revert` takes it back\n"),
        "{output:?}"
    );
    assert_applied(&plan, &live(&host.before), &live(&snapshot()));
    let sysctl = fs::read_to_string(SYSCTL).unwrap();
    assert!(
        sysctl.contains("\nnet.core.somaxconn = 65535\n"),
        "{sysctl}"
    );

    let output = run(&["tune", "revert"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    host.assert_as_before();
    let output = run(&["tune", "revert"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("nothing to revert"),
        "{output:?}"
    );
}

/// Runs commands in one network namespace of their own, and says after each what is there.
fn in_namespace(commands: &[String]) -> Vec<BTreeMap<String, String>> {
    const MARK: &str = "-- what is there --";
    let mut script = format!(
        "look() {{ echo '{MARK}'; for file in {}; do echo \"$file=$(cat $file 2>/dev/null)\"; done; }}\n",
        paths().join(" ")
    );
    script += "look\n";
    for command in commands {
        script += &format!("{command} >&2 || exit 9\nlook\n");
    }
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    let looks = text.split(MARK).skip(1).map(|look| {
        let start = |line: &str| {
            line.starts_with('/')
                .then(|| line.split_once('='))
                .flatten()
                .is_some()
        };
        let mut found = BTreeMap::new();
        let mut path = String::new();
        for line in look.lines().filter(|line| !line.is_empty()) {
            if start(line) {
                let (name, value) = line.split_once('=').unwrap();
                path = name.to_owned();
                found.insert(path.clone(), value.to_owned());
            } else {
                *found.get_mut(&path).unwrap() += line;
            }
        }
        found
    });
    looks.collect()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/tune.sh")
        .canonicalize()
        .unwrap()
}

/// Applies everything for a million connections in a network namespace, and reverts it.
fn whole_table(apply: &str, revert: &str) {
    let Some(host) = Host::borrow() else { return };
    let plan_file = std::env::temp_dir().join(format!("ringmain-plan-{}.json", std::process::id()));
    let plan = format!(
        "{BINARY} tune plan --json --connections 1000000 --conntrack > {}",
        plan_file.display()
    );
    // In two commands of a shell, so that the plan is made in the namespace, before anything is applied.
    let looks = in_namespace(&[
        format!("{{ {plan}; }}"),
        apply.to_owned(),
        apply.to_owned(),
        revert.to_owned(),
    ]);
    let plan: Json = serde_json::from_slice(&fs::read(&plan_file).unwrap()).unwrap();
    fs::remove_file(&plan_file).unwrap();
    let [before, planned, applied, again, reverted] = looks.as_slice() else {
        panic!("{looks:?}");
    };
    assert_eq!(before, planned);
    let steps = plan["steps"].as_array().unwrap();
    let without = steps
        .iter()
        .filter(|step| !step["name"].as_str().unwrap().contains("conntrack"));
    let plan = serde_json::json!({ "steps": without.collect::<Vec<_>>() });
    assert_applied(&plan, before, applied);
    assert_eq!(applied["/proc/sys/net/ipv4/tcp_slow_start_after_idle"], "0");
    assert_eq!(applied, again);
    assert_eq!(before, reverted);
    host.assert_as_before();
}

#[test]
fn a_namespace_has_its_own_of_what_is_said_to_be_the_networks_and_nothing_of_the_hosts() {
    let Some(_host) = Host::borrow() else { return };
    let looks = in_namespace(&[]);
    let of_kernel = SETTINGS
        .iter()
        .filter(|setting| setting.name.starts_with("net.") && setting.consent == Consent::Tuning);
    for setting in of_kernel {
        let is_there = !looks[0][&setting.path().unwrap()].is_empty();
        assert_eq!(
            is_there,
            setting.scope == Scope::Network,
            "{}",
            setting.name
        );
    }
}

#[test]
fn in_a_namespace_the_binary_sets_and_restores_the_whole_table() {
    whole_table(
        &format!("{BINARY} tune apply --connections 1000000"),
        &format!("{BINARY} tune revert"),
    );
}

#[test]
fn in_a_namespace_the_script_sets_and_restores_the_whole_table() {
    let script = script();
    let script = script.display();
    whole_table(
        &format!("sh {script} apply 1m"),
        &format!("sh {script} revert"),
    );
}

#[test]
fn in_a_namespace_the_script_takes_back_what_the_binary_did() {
    let script = script();
    whole_table(
        &format!("{BINARY} tune apply --connections 1000000"),
        &format!("sh {} revert", script.display()),
    );
}

/// As in a container: settings cannot be written, files can.
#[test]
fn a_read_only_proc_is_reported_setting_by_setting() {
    let Some(host) = Host::borrow() else { return };
    // The host's own files are out of sight in this mount namespace.
    let script = format!(
        "set -e; for directory in /etc/sysctl.d /etc/security/limits.d /var/lib; do mount -t tmpfs none $directory; done\n\
         mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys\n\
         set +e; {BINARY} tune apply --connections 1000000; echo \"code $?\"; cat {LIMITS}; {BINARY} tune revert; echo \"code $?\""
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    for part in [
        "refused: fs.nr_open: Read-only file system",
        "refused: net.core.somaxconn: Read-only file system",
        "in a container",
        "code 1\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // A limit above the ceiling that stays would keep everyone from logging in.
    let ceiling = fs::read_to_string("/proc/sys/fs/nr_open").unwrap();
    let ceiling: u64 = ceiling.trim().parse().unwrap();
    let limits = text.lines().filter_map(|line| {
        let number = line.split_once(" hard nofile ")?.1;
        Some(number.parse::<u64>().unwrap())
    });
    assert!(limits.into_iter().all(|limit| limit <= ceiling), "{text}");
    assert!(
        text.ends_with("done: everything is as before\ncode 0\n"),
        "{text}"
    );
    host.assert_as_before();
}

#[test]
fn the_doctor_answers_with_its_exit_code() {
    let fits = run(&["doctor", "--connections", "1"]);
    assert_eq!(fits.status.code(), Some(0), "{fits:?}");
    assert!(stdout(&fits).starts_with("1 connections fit: "), "{fits:?}");
    let too_many = run(&["doctor", "--connections", "100000000"]);
    assert_eq!(too_many.status.code(), Some(1), "{too_many:?}");
    assert!(
        stdout(&too_many).contains("To make them fit"),
        "{too_many:?}"
    );
    for arguments in [
        &["doctor", "--connections", "0"][..],
        &["doctor", "--shards", "63"],
        &["tune", "plan"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let unknown = run(&[
        "tune",
        "plan",
        "--connections",
        "1",
        "--skip",
        "net.core.nothing",
    ]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// The program with a limit of 3,000 open files, which is what limits it first.
fn with_few_files(arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 3000 && exec \"$0\" \"$@\"", BINARY]);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The connections that an engine with so many shards says it has room for, as it starts.
fn room_at_start(shards: &str) -> u64 {
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut command = with_few_files(&[&listen[..], &["--shards", shards]].concat());
    let mut engine = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(engine.stdout.take().unwrap()).lines();
    let found = lines
        .map(Result::unwrap)
        .find_map(|line| line.split_once("at most ").map(|(_, rest)| rest.to_owned()));
    engine.kill().unwrap();
    engine.wait().unwrap();
    let found = found.unwrap();
    found.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_doctor_says_what_the_engine_then_has_room_for() {
    for shards in ["1", "3", "10"] {
        let arguments = ["doctor", "--json", "--connections", "1", "--shards", shards];
        let output = with_few_files(&arguments).output().unwrap();
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        if report["engine"]["private_tables"] != true || report["engine"]["io_uring"] != true {
            eprintln!(
                "skipped: without private tables or io_uring the doctor reckons with a few less"
            );
            return;
        }
        assert_eq!(report["limited_by"], "descriptors");
        assert_eq!(report["holds"], room_at_start(shards), "{shards} shards");
    }
}

#[test]
fn every_verb_has_help_with_examples() {
    for verb in [
        &["doctor"][..],
        &["tune"],
        &["tune", "plan"],
        &["tune", "apply"],
        &["tune", "revert"],
    ] {
        let output = run(&[verb, &["--help"]].concat());
        let text = stdout(&output);
        assert!(
            text.contains("Examples:") && text.contains("Exit codes:"),
            "{text}"
        );
        assert!(!text.contains("--root"), "{text}");
    }
}

#[test]
fn the_plan_names_the_files_that_are_missing_though_nothing_is_to_change() {
    let tree = std::env::temp_dir().join(format!("ringmain-good-{}", std::process::id()));
    fs::create_dir_all(tree.join("proc/sys/net/core")).unwrap();
    fs::write(tree.join("proc/sys/net/core/somaxconn"), "65535\n").unwrap();
    let root = tree.to_str().unwrap();
    let output = run(&["tune", "plan", "--connections", "5", "--root", root]);
    fs::remove_dir_all(&tree).unwrap();
    let text = stdout(&output);
    let line = format!(
        "Nothing to change now; to write for the next boot {SYSCTL}: sudo ringmain tune apply --connections 5\n"
    );
    assert!(text.ends_with(&line), "{text}");
}

#[test]
fn without_root_apply_says_what_to_do() {
    let tree = std::env::temp_dir().join(format!("ringmain-not-root-{}", std::process::id()));
    fs::create_dir_all(tree.join("proc/self")).unwrap();
    fs::write(
        tree.join("proc/self/status"),
        "Uid:\t1000\t1000\t1000\t1000\n",
    )
    .unwrap();
    let root = tree.to_str().unwrap();
    let output = run(&["tune", "apply", "--connections", "5", "--root", root]);
    fs::remove_dir_all(&tree).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("run it with sudo"),
        "{output:?}"
    );
}
