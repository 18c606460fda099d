//! What the host has after the next boot or login: nothing that its files said is lost, nothing shuts anyone out.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use ringmain_tuning::tune::files::{LIMITS, SYSCTL, TMPFILES};
use ringmain_tuning::tune::state::State;
use ringmain_tuning::tune::{Action, Options, Outcome, Plan, apply, revert};
use ringmain_tuning::{Facts, SETTINGS};
use support::Tree;

/// The profile as it is copied by hand.
const PROFILE: &str = include_str!("../files/sysctl-100k.conf");

fn options(connections: u64, skip: &[&str]) -> Options {
    Options {
        connections,
        skip: skip.iter().map(|&name| name.to_owned()).collect(),
        ..Options::default()
    }
}

fn applied(tree: &Tree, options: &Options) -> Outcome {
    apply(&tree.root(), &Facts::read(&tree.root()), options).unwrap()
}

fn reverted(tree: &Tree) {
    let outcome = revert(&tree.root(), &Facts::read(&tree.root())).unwrap();
    assert!(outcome.refused.is_empty(), "{outcome}");
}

/// What the script prints, and whether it did all.
fn script(tree: &Tree, arguments: &[&str]) -> (String, bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/tune.sh");
    let mut command = Command::new("sh");
    command.arg(path).args(arguments).arg("--root");
    let output = command.arg(tree.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.success())
}

/// A file of the host; empty if it is not there.
fn file(tree: &Tree, path: &str) -> String {
    tree.root().read(path).unwrap_or_default()
}

/// The lines of a profile that set something.
fn assignments(profile: &str) -> Vec<&str> {
    let lines = profile.lines().filter(|line| !line.starts_with('#'));
    lines.filter(|line| line.contains('=')).collect()
}

/// A host on which `sysctl --system` has read this file, as ours.
fn with_profile(text: &str) -> Tree {
    let tree = Tree::new(&[("etc/sysctl.d/90-ringmain.conf", text)]);
    for line in assignments(text) {
        let (name, value) = line.split_once('=').unwrap();
        let path = format!("proc/sys/{}", name.trim().replace('.', "/"));
        if tree.path().join(&path).exists() {
            tree.write(&path, &format!("{}\n", value.trim()));
        }
    }
    tree
}

/// The descriptor limits in the file.
fn limits(tree: &Tree) -> Vec<u64> {
    let limits = file(tree, LIMITS);
    let lines = limits.lines().filter(|line| !line.starts_with('#'));
    let of_files = lines.filter(|line| line.split_whitespace().nth(2) == Some("nofile"));
    let numbers = of_files.map(|line| line.split_whitespace().nth(3).unwrap());
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// The descriptor limits in the file, each at most what the kernel allows.
fn assert_nobody_is_shut_out(tree: &Tree) -> Vec<u64> {
    let ceiling: u64 = file(tree, "/proc/sys/fs/nr_open").parse().unwrap();
    let limits = limits(tree);
    let is_allowed = limits.iter().all(|&number| number <= ceiling);
    assert!(is_allowed, "{ceiling}: {limits:?}");
    limits
}

#[test]
fn a_profile_that_was_copied_by_hand_loses_nothing() {
    for by_script in [false, true] {
        let tree = with_profile(PROFILE);
        let before = tree.contents();
        if by_script {
            assert!(script(&tree, &["apply", "100k"]).1);
        } else {
            let outcome = applied(&tree, &options(100_000, &[]));
            assert!(outcome.refused.is_empty(), "{outcome}");
        }
        let text = file(&tree, SYSCTL);
        assert!(text.contains("\nnet.ipv4.tcp_mem = "), "{text}");
        for line in assignments(PROFILE) {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        reverted(&tree);
        assert_eq!(tree.contents(), before);
    }
}

#[test]
fn what_was_set_by_hand_is_written_for_the_next_boot() {
    for by_script in [false, true] {
        let tree = with_profile(PROFILE);
        tree.write("proc/sys/net/ipv4/tcp_mem", "2000000 3000000 4000000\n");
        tree.write("proc/self/limits", "Max open files 1024 1048576 files\n");
        // The values stay, the file goes: as after `sysctl -w`.
        tree.remove("etc/sysctl.d/90-ringmain.conf");
        let before = tree.contents();
        let plan = Plan::new(
            &Facts::read(&tree.root()),
            &State::default(),
            &options(100_000, &[]),
        );
        assert!(plan.steps.iter().all(|step| step.action == Action::Keep));
        if by_script {
            assert!(script(&tree, &["apply", "100k"]).1);
        } else {
            let outcome = applied(&tree, &options(100_000, &[]));
            assert_eq!(outcome.done, [format!("{SYSCTL} is written")], "{outcome}");
        }
        let text = file(&tree, SYSCTL);
        for line in assignments(PROFILE) {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(applied(&tree, &options(100_000, &[])).done.is_empty());
        reverted(&tree);
        assert_eq!(tree.contents(), before);
    }
}

#[test]
fn lines_of_the_replaced_files_that_are_not_ours_stay() {
    let files = [
        (
            "etc/sysctl.d/90-ringmain.conf",
            "# by hand\nvm.swappiness = 1\n-net/ipv4/tcp_ecn=1\n; also\nnet.core.somaxconn = 100000\nnet.ipv4.tcp_fin_timeout = 7\nfs.file-max=5",
        ),
        (
            "etc/security/limits.d/90-ringmain.conf",
            "proxy hard nofile 300000\nproxy soft nofile 4000000 # too many\n* - core 0\n* hard nofile 5\nroot hard nofile unlimited\n",
        ),
        (
            "etc/tmpfiles.d/90-ringmain.conf",
            "w /sys/x - - - - 1\nw /sys/kernel/mm/transparent_hugepage/enabled - - - - never\n",
        ),
    ];
    let (ours, theirs) = (Tree::new(&files), Tree::new(&files));
    let before = ours.contents();
    let skipping = Options {
        huge_pages: true,
        ..options(100_000, &[])
    };
    applied(&ours, &skipping);
    assert!(script(&theirs, &["apply", "100k", "--huge-pages"]).1);
    assert_eq!(ours.contents(), theirs.contents());
    for (path, wanted, gone) in [
        (
            SYSCTL,
            &[
                "vm.swappiness = 1",
                "-net/ipv4/tcp_ecn=1",
                "net.core.somaxconn = 100000",
                "net.ipv4.tcp_fin_timeout = 7",
                "fs.file-max = 1600000",
            ][..],
            "fs.file-max=5",
        ),
        (
            LIMITS,
            &[
                "proxy hard nofile 300000",
                "proxy soft nofile 1048576",
                "* - core 0",
                "* hard nofile 1048576",
                "root hard nofile 1048576",
            ],
            "* hard nofile 5",
        ),
        (
            TMPFILES,
            &[
                "w /sys/x - - - - 1",
                "w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise",
            ],
            "w /sys/kernel/mm/transparent_hugepage/enabled - - - - never",
        ),
    ] {
        let text = file(&ours, path);
        for line in wanted {
            assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
        }
        assert!(text.lines().all(|found| found != gone), "{text}");
    }
    let once = ours.contents();
    let again = applied(&ours, &skipping);
    assert!(again.done.is_empty(), "{again}");
    assert!(script(&ours, &["apply", "100k"]).1);
    assert_eq!(ours.contents(), once);
    reverted(&ours);
    assert_eq!(ours.contents(), before);
}

#[test]
fn a_setting_that_is_skipped_or_refused_later_stays_in_the_file() {
    let tree = Tree::new(&[]);
    applied(&tree, &options(100_000, &[]));
    let line = "net.core.somaxconn = 16384";
    applied(&tree, &options(1_000_000, &["net.core.somaxconn"]));
    assert!(file(&tree, SYSCTL).lines().any(|found| found == line));
    tree.remove("proc/sys/net/core/somaxconn");
    let fixed = "/proc/sys/kernel/cap_last_cap";
    symlink(fixed, tree.path().join("proc/sys/net/core/somaxconn")).unwrap();
    let outcome = applied(&tree, &options(1_000_000, &[]));
    assert_eq!(outcome.refused.len(), 1, "{outcome}");
    assert!(file(&tree, SYSCTL).lines().any(|found| found == line));
    assert!(!script(&tree, &["apply", "1m"]).1);
    assert!(file(&tree, SYSCTL).lines().any(|found| found == line));
}

#[test]
fn what_another_file_sets_well_enough_is_left_to_it() {
    let files = [
        ("proc/sys/net/core/somaxconn", "100000\n"),
        ("proc/sys/net/ipv4/tcp_fin_timeout", "5\n"),
        ("proc/sys/net/core/netdev_max_backlog", "30000\n"),
        // The same name in /etc takes the place of the one below /usr/lib.
        (
            "usr/lib/sysctl.d/20-x.conf",
            "net.core.netdev_max_backlog = 30000\n",
        ),
        ("etc/sysctl.d/20-x.conf", "# off\n"),
        ("usr/lib/sysctl.d/50-net.conf", "net/core/somaxconn=128\n"),
        ("run/sysctl.d/60-net.conf", "-net.core.somaxconn = 90000\n"),
        (
            "etc/sysctl.d/50-fin.conf",
            "net.ipv4.tcp_fin_timeout = 40\n",
        ),
    ];
    let (ours, theirs) = (Tree::new(&files), Tree::new(&files));
    applied(&ours, &options(100_000, &[]));
    assert!(script(&theirs, &["apply", "100k"]).1);
    assert_eq!(ours.contents(), theirs.contents());
    let text = file(&ours, SYSCTL);
    assert!(!text.contains("somaxconn"), "{text}");
    assert!(text.contains("\nnet.ipv4.tcp_fin_timeout = 5\n"), "{text}");
    assert!(
        text.contains("\nnet.core.netdev_max_backlog = 30000\n"),
        "{text}"
    );
}

#[test]
fn no_limit_is_above_the_ceiling_that_was_skipped() {
    let tree = Tree::new(&[]);
    let outcome = applied(&tree, &options(1_000_000, &["fs.nr_open"]));
    assert_eq!(assert_nobody_is_shut_out(&tree), [1_048_576; 2]);
    let [note] = outcome.notes.as_slice() else {
        panic!("{outcome}");
    };
    for part in ["nofile", "1048576", "2097152", "fs.nr_open"] {
        assert!(note.contains(part), "{note}");
    }
    // Raised until the next boot only: that ends it.
    let tree = Tree::new(&[("proc/sys/fs/nr_open", "4000000\n")]);
    applied(&tree, &options(1_000_000, &["fs.nr_open"]));
    assert_eq!(assert_nobody_is_shut_out(&tree), [1_048_576; 2]);
    // The kernel's own is not sure where the last file lowers it.
    tree.write("etc/sysctl.conf", "fs.nr_open = 800000\n");
    applied(&tree, &options(1_000_000, &["fs.nr_open"]));
    assert_eq!(assert_nobody_is_shut_out(&tree), [800_000; 2]);
    // Nor is more where it raises it.
    let tree = Tree::new(&[
        ("proc/sys/fs/nr_open", "4000000\n"),
        ("etc/sysctl.conf", "fs.nr_open = 4000000\n"),
    ]);
    applied(&tree, &options(1_000_000, &["fs.nr_open"]));
    assert_eq!(assert_nobody_is_shut_out(&tree), [1_048_576; 2]);
    // Raised for good by another file.
    tree.write("etc/sysctl.d/10-open.conf", "fs.nr_open = 4000000\n");
    applied(&tree, &options(1_000_000, &["fs.nr_open"]));
    assert_eq!(assert_nobody_is_shut_out(&tree), [2_097_152; 2]);
}

/// Puts a number in the place of `fs.nr_open` that nobody can write, root included.
fn with_a_ceiling_that_stays(files: &[(&str, &str)]) -> Tree {
    let tree = Tree::new(files);
    tree.remove("proc/sys/fs/nr_open");
    let fixed = "/proc/sys/kernel/cap_last_cap";
    symlink(fixed, tree.path().join("proc/sys/fs/nr_open")).unwrap();
    tree
}

#[test]
fn no_limit_is_above_a_ceiling_that_cannot_be_written() {
    let older = (
        "etc/security/limits.d/90-ringmain.conf",
        "* hard nofile 2097152\nproxy - nofile unlimited\n",
    );
    for files in [&[][..], &[older]] {
        let (ours, theirs) = (
            with_a_ceiling_that_stays(files),
            with_a_ceiling_that_stays(files),
        );
        let outcome = applied(&ours, &options(1_000_000, &[]));
        assert_eq!(outcome.refused.len(), 1, "{outcome}");
        let (said, is_all) = script(&theirs, &["apply", "1m"]);
        assert!(!is_all, "{said}");
        assert_eq!(ours.contents(), theirs.contents());
        // Of what is there already nothing is dropped; nobody's limit is made lower by a line of ours.
        assert_eq!(assert_nobody_is_shut_out(&ours).len(), 2 * files.len());
        let said_by_binary = outcome.to_string();
        for text in [said, said_by_binary] {
            assert!(text.contains("note: nofile: "), "{text}");
        }
        reverted(&ours);
        assert!(script(&theirs, &["revert"]).1);
        assert_eq!(ours.contents(), theirs.contents());
    }
}

#[test]
fn no_limit_is_above_a_ceiling_that_a_later_file_lowers() {
    let later = ("etc/sysctl.d/99-hard.conf", "fs/nr_open = 600000\n");
    let last = ("etc/sysctl.conf", "fs.nr_open=700000\n");
    let at = |number| {
        format!(
            "/{} sets it to {number}",
            if number == 700_000 { last.0 } else { later.0 }
        )
    };
    // The last file is not read by everyone: it may lower, and is not relied on.
    for (files, number) in [
        (&[later][..], 600_000),
        (&[last], 700_000),
        (&[later, last], 600_000),
    ] {
        let (ours, theirs) = (Tree::new(files), Tree::new(files));
        let outcome = applied(&ours, &options(1_000_000, &[]));
        assert_eq!(limits(&ours), [number; 2]);
        let note = outcome.notes.iter().find(|note| note.starts_with("nofile"));
        let file = at(number);
        assert!(note.unwrap().contains(&file), "{outcome}");
        let (said, is_all) = script(&theirs, &["apply", "1m"]);
        assert!(is_all && said.contains(&file), "{said}");
        assert_eq!(ours.contents(), theirs.contents());
    }
}

#[test]
fn every_setting_that_is_good_is_kept_for_good() {
    // Whatever the table has: after apply, each value stands in a file.
    let tree = Tree::new(&[]);
    applied(&tree, &options(1, &[]));
    let text = file(&tree, SYSCTL);
    let facts = Facts::read(&tree.root());
    let plan = Plan::new(&facts, &State::default(), &options(1, &[]));
    assert!(plan.steps.len() + 4 == SETTINGS.len(), "{plan:?}");
    for step in plan.steps.iter().filter(|step| step.name.contains('.')) {
        let line = format!("\n{} = {}\n", step.name, step.new);
        assert!(format!("{text}\n").contains(&line), "{line}\n{text}");
    }
}
