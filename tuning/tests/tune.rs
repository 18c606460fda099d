//! Applying and reverting on made-up hosts, by the library and by `scripts/tune.sh`, which must do the same.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use ringmain_tuning::tune::files::{LIMITS, SYSCTL, TMPFILES};
use ringmain_tuning::tune::state::{RECORD, State};
use ringmain_tuning::tune::{Action, Options, Outcome, Plan, TuneError, apply, revert};
use ringmain_tuning::{Facts, SETTINGS};
use support::Tree;

fn options(connections: u64) -> Options {
    Options {
        connections,
        ..Options::default()
    }
}

fn applied(tree: &Tree, options: &Options) -> Outcome {
    apply(&tree.root(), &Facts::read(&tree.root()), options).unwrap()
}

fn reverted(tree: &Tree) -> Outcome {
    revert(&tree.root(), &Facts::read(&tree.root())).unwrap()
}

fn plan(tree: &Tree, options: &Options) -> Plan {
    let root = tree.root();
    Plan::new(&Facts::read(&root), &State::read(&root).unwrap(), options)
}

fn script(tree: &Tree, arguments: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/tune.sh");
    let mut command = Command::new("sh");
    command
        .arg(path)
        .args(arguments)
        .arg("--root")
        .arg(tree.path());
    command.output().unwrap()
}

fn ran(tree: &Tree, arguments: &[&str]) {
    let output = script(tree, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
}

fn of_host(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[test]
fn revert_restores_everything() {
    let tree = Tree::new(&[]);
    let before = tree.contents();
    let outcome = applied(&tree, &options(1_000_000));
    assert!(outcome.refused.is_empty(), "{outcome}");
    assert_eq!(tree.read("proc/sys/net/core/somaxconn"), "65535\n");
    assert!(
        tree.read(of_host(SYSCTL))
            .contains("\nfs.nr_open = 2097152\n")
    );
    assert!(
        tree.read(of_host(LIMITS))
            .contains("\nroot hard nofile 2097152\n")
    );
    assert_ne!(tree.contents(), before);
    let outcome = reverted(&tree);
    assert!(outcome.refused.is_empty(), "{outcome}");
    assert_eq!(tree.contents(), before);
}

#[test]
fn files_that_were_there_come_back_byte_for_byte_with_their_permissions() {
    let tree = Tree::new(&[(of_host(LIMITS), "ours\n")]);
    let path = tree.path().join(of_host(SYSCTL));
    std::fs::write(&path, b"# of another tool\n\xff\x00no newline").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = (tree.contents(), std::fs::read(&path).unwrap());
    applied(&tree, &options(100_000));
    assert!(tree.read(of_host(SYSCTL)).starts_with("# Ringmain"));
    reverted(&tree);
    assert_eq!((tree.contents(), std::fs::read(&path).unwrap()), before);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn applying_again_keeps_the_first_record_and_the_files() {
    let tree = Tree::new(&[]);
    let before = tree.contents();
    applied(&tree, &options(100_000));
    let once = tree.contents();
    let again = applied(&tree, &options(100_000));
    assert!(again.done.is_empty(), "{again}");
    assert_eq!(tree.contents(), once);
    applied(
        &tree,
        &Options {
            conntrack: true,
            huge_pages: true,
            ..options(1_000_000)
        },
    );
    assert_eq!(
        tree.read("proc/sys/net/netfilter/nf_conntrack_max"),
        "2097152\n"
    );
    // What was asked for once stays in the files.
    applied(&tree, &options(1_000_000));
    assert!(
        tree.read(of_host(SYSCTL))
            .contains("\n-net.netfilter.nf_conntrack_max = 2097152\n")
    );
    assert!(
        tree.read(of_host(TMPFILES))
            .contains("transparent_hugepage/enabled - - - - madvise\n")
    );
    reverted(&tree);
    assert_eq!(tree.contents(), before);
}

#[test]
fn what_is_better_already_is_left_alone() {
    let tree = Tree::new(&[
        ("proc/sys/net/core/somaxconn", "100000\n"),
        ("proc/sys/net/ipv4/tcp_fin_timeout", "5\n"),
        ("proc/sys/net/ipv4/ip_local_port_range", "1024\t60999\n"),
        (
            "proc/self/limits",
            "Max open files  1024  unlimited  files\n",
        ),
        (
            "etc/sysctl.d/50-ours.conf",
            "net.core.somaxconn = 100000\nnet.ipv4.tcp_fin_timeout = 5\n",
        ),
    ]);
    applied(&tree, &options(100_000));
    assert_eq!(tree.read("proc/sys/net/core/somaxconn"), "100000\n");
    assert_eq!(tree.read("proc/sys/net/ipv4/tcp_fin_timeout"), "5\n");
    // A range is widened to both.
    assert_eq!(
        tree.read("proc/sys/net/ipv4/ip_local_port_range"),
        "1024 65535\n"
    );
    let sysctl = tree.read(of_host(SYSCTL));
    assert!(
        !sysctl.contains("somaxconn") && !sysctl.contains("fin_timeout"),
        "{sysctl}"
    );
    assert!(!tree.path().join(of_host(LIMITS)).exists());
}

#[test]
fn tracking_and_huge_pages_are_never_touched_unasked() {
    let tree = Tree::new(&[]);
    let names = |options| {
        let plan = plan(&tree, &options);
        plan.steps.iter().map(|step| step.name).collect::<Vec<_>>()
    };
    let unasked = names(options(1_000_000));
    assert!(
        unasked
            .iter()
            .all(|name| !name.contains("conntrack") && !name.contains("huge"))
    );
    let asked = names(Options {
        conntrack: true,
        huge_pages: true,
        ..options(1)
    });
    assert_eq!(asked.len(), unasked.len() + 3);
    // Without memlock, which this kernel does not need.
    assert_eq!(asked.len(), SETTINGS.len() - 1);
}

#[test]
fn a_skipped_setting_stays() {
    let tree = Tree::new(&[]);
    let skip = vec!["net.core.somaxconn".to_owned()];
    applied(
        &tree,
        &Options {
            skip,
            ..options(100_000)
        },
    );
    assert_eq!(tree.read("proc/sys/net/core/somaxconn"), "4096\n");
    assert!(!tree.read(of_host(SYSCTL)).contains("somaxconn"));
}

/// Puts a number in the place of somaxconn that nobody can write, root included.
fn with_a_refusal(tree: &Tree) {
    tree.remove("proc/sys/net/core/somaxconn");
    let fixed = "/proc/sys/kernel/cap_last_cap";
    symlink(fixed, tree.path().join("proc/sys/net/core/somaxconn")).unwrap();
}

#[test]
fn what_the_kernel_refuses_is_named_and_the_rest_is_done() {
    let tree = Tree::new(&[]);
    with_a_refusal(&tree);
    let before = tree.contents();
    let outcome = applied(&tree, &options(100_000));
    let [refused] = outcome.refused.as_slice() else {
        panic!("{outcome}");
    };
    assert!(refused.starts_with("net.core.somaxconn: "), "{refused}");
    assert_eq!(tree.read("proc/sys/net/ipv4/tcp_migrate_req"), "1\n");
    assert!(!tree.read(of_host(SYSCTL)).contains("somaxconn"));
    let outcome = reverted(&tree);
    assert!(outcome.refused.is_empty(), "{outcome}");
    assert_eq!(tree.contents(), before);

    let output = script(&tree, &["apply", "100k"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("refused: net.core.somaxconn"), "{text}");
    assert!(!tree.read(of_host(SYSCTL)).contains("somaxconn"));
    ran(&tree, &["revert"]);
    assert_eq!(tree.contents(), before);
}

#[test]
fn without_root_nothing_is_changed() {
    let tree = Tree::new(&[("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n")]);
    let before = tree.contents();
    let facts = Facts::read(&tree.root());
    let error = apply(&tree.root(), &facts, &options(100_000)).unwrap_err();
    assert!(
        matches!(error, TuneError::NotRoot { verb: "apply" }),
        "{error}"
    );
    assert!(error.to_string().contains("run it with sudo"), "{error}");
    let error = revert(&tree.root(), &facts).unwrap_err();
    assert!(
        matches!(error, TuneError::NotRoot { verb: "revert" }),
        "{error}"
    );
    assert_eq!(tree.contents(), before);
}

#[test]
fn without_a_record_nothing_is_changed() {
    let tree = Tree::new(&[]);
    let facts = Facts::read(&tree.root());
    let error = revert(&tree.root(), &facts).unwrap_err();
    assert!(matches!(error, TuneError::NothingApplied { .. }), "{error}");
    assert_eq!(script(&tree, &["revert"]).status.code(), Some(1));
    // The record cannot be written.
    tree.write(&format!("{}.new/x", of_host(RECORD)), "in the way");
    let before = tree.contents();
    let error = apply(&tree.root(), &facts, &options(100_000)).unwrap_err();
    assert!(matches!(error, TuneError::Record { .. }), "{error}");
    assert_eq!(script(&tree, &["apply", "1m"]).status.code(), Some(1));
    assert_eq!(tree.contents(), before);
}

#[test]
fn a_record_that_cannot_be_understood_stops_both_verbs() {
    let tree = Tree::new(&[(of_host(RECORD), "value\n")]);
    let before = tree.contents();
    let facts = Facts::read(&tree.root());
    let error = apply(&tree.root(), &facts, &options(100_000)).unwrap_err();
    assert!(matches!(error, TuneError::Unreadable { .. }), "{error}");
    assert!(matches!(
        revert(&tree.root(), &facts),
        Err(TuneError::Unreadable { .. })
    ));
    assert_eq!(tree.contents(), before);
}

#[test]
fn a_value_that_went_with_its_module_is_no_obstacle() {
    let tree = Tree::new(&[]);
    applied(
        &tree,
        &Options {
            conntrack: true,
            ..options(1_000_000)
        },
    );
    tree.remove("proc/sys/net/netfilter/nf_conntrack_max");
    let outcome = reverted(&tree);
    assert!(outcome.refused.is_empty(), "{outcome}");
    assert!(!tree.path().join(of_host(RECORD)).exists());
}

#[test]
fn a_file_that_is_read_later_is_named() {
    let tree = Tree::new(&[(
        "etc/sysctl.d/99-other.conf",
        "# x\nnet.core.somaxconn = 128\nnet/ipv4/tcp_fin_timeout=9\nvm.swappiness=1\n",
    )]);
    let outcome = applied(&tree, &options(100_000));
    let [note] = outcome.notes.as_slice() else {
        panic!("{outcome}");
    };
    assert!(
        note.contains("99-other.conf also sets net.core.somaxconn, net.ipv4.tcp_fin_timeout"),
        "{note}"
    );
}

#[test]
fn the_plan_says_what_would_happen_and_changes_nothing() {
    let tree = Tree::new(&[]);
    tree.remove("proc/sys/net/ipv4/tcp_migrate_req");
    let before = tree.contents();
    let plan = plan(&tree, &options(100_000));
    let text = plan.text();
    for step in &plan.steps {
        assert_eq!(
            step.action == Action::Missing,
            step.current.is_none(),
            "{step:?}"
        );
        if step.action == Action::Set {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = format!(
                "{} {} -> {}",
                step.name,
                step.current.as_ref().unwrap(),
                step.new
            );
            assert!(words.contains(&line), "{line}\n{text}");
            assert!(
                text.contains(step.reason) && text.contains(step.risk),
                "{text}"
            );
        }
    }
    ran(&tree, &["plan", "100k"]);
    assert_eq!(tree.contents(), before);
}

/// Hosts on which the script and the library must come to the same.
fn hosts() -> Vec<Vec<(&'static str, &'static str)>> {
    vec![
        vec![],
        vec![
            ("proc/sys/net/core/somaxconn", "100000\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t262144\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "1024\t60999\n"),
            (
                "proc/self/limits",
                "Max locked memory  unlimited  unlimited  bytes\nMax open files  1024  unlimited  files\n",
            ),
            ("proc/sys/kernel/osrelease", "5.11.0-1-amd64\n"),
        ],
        vec![
            (
                "proc/self/limits",
                "Max locked memory  65536  65536  bytes\nMax open files  1024  4096  files\n",
            ),
            ("proc/sys/kernel/osrelease", "5.4.0\n"),
            ("etc/sysctl.d/90-ringmain.conf", "# older\nfs.nr_open = 5\n"),
            ("etc/security/limits.d/README", "x\n"),
        ],
    ]
}

#[test]
fn script_and_library_set_the_same_write_the_same_and_take_back_what_the_other_did() {
    let asked = ["--conntrack", "--huge-pages"];
    for files in hosts() {
        for (profile, connections) in [("100k", 100_000), ("1m", 1_000_000)] {
            for all in [false, true] {
                let (ours, theirs) = (Tree::new(&files), Tree::new(&files));
                let before = ours.contents();
                let arguments = [&["apply", profile][..], if all { &asked } else { &[] }].concat();
                applied(
                    &ours,
                    &Options {
                        conntrack: all,
                        huge_pages: all,
                        ..options(connections)
                    },
                );
                ran(&theirs, &arguments);
                assert_eq!(ours.contents(), theirs.contents(), "{profile} {files:?}");
                // Again, by the other one: nothing changes.
                ran(&ours, &arguments);
                applied(
                    &theirs,
                    &Options {
                        conntrack: all,
                        huge_pages: all,
                        ..options(connections)
                    },
                );
                assert_eq!(ours.contents(), theirs.contents(), "{profile} {files:?}");
                ran(&ours, &["revert"]);
                assert_eq!(ours.contents(), before, "{profile} {files:?}");
                let outcome = reverted(&theirs);
                assert!(outcome.refused.is_empty(), "{outcome}");
                assert_eq!(theirs.contents(), before, "{profile} {files:?}");
            }
        }
    }
}

#[test]
fn the_script_says_what_it_changes_as_the_binary_does() {
    let tree = Tree::new(&[]);
    let applied = script(&tree, &["apply", "100k"]);
    let text = String::from_utf8(applied.stdout).unwrap();
    assert!(
        text.contains("net.core.somaxconn: 4096 -> 16384\n"),
        "{text}"
    );
    assert!(
        text.contains("ip_local_port_range: 32768 60999 -> 10240 65535\n"),
        "{text}"
    );
    let (ours, theirs) = (reverted(&tree), {
        ran(&tree, &["apply", "100k"]);
        script(&tree, &["revert"])
    });
    let text = String::from_utf8(theirs.stdout).unwrap();
    let values = |lines: Vec<&str>| -> Vec<String> {
        let values = lines.into_iter().filter(|line| line.contains("->"));
        values.map(str::to_owned).collect()
    };
    let ours = values(ours.done.iter().map(String::as_str).collect());
    assert!(
        ours.contains(&"/proc/sys/net/core/somaxconn: 16384 -> 4096".to_owned()),
        "{ours:?}"
    );
    assert_eq!(values(text.lines().collect()), ours);
}

#[test]
fn the_script_says_what_it_does_not_understand() {
    let tree = Tree::new(&[]);
    for arguments in [
        &["tune"][..],
        &["apply"],
        &["apply", "2m"],
        &["plan", "1m", "--fast"],
    ] {
        let output = script(&tree, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
