//! What the doctor says of made-up hosts.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use ringmain_tuning::Facts;
use ringmain_tuning::doctor::{Check, Engine, Report, Status};
use support::Tree;

fn engine() -> Engine {
    Engine {
        shards: 4,
        shards_max: 62,
        io_uring: true,
        io_reason: "available".into(),
        private_tables: true,
        descriptors_reserved: 64,
        connections_max_default: 1_000_000,
    }
}

fn report(files: &[(&str, &str)], engine: Engine, connections: u64) -> Report {
    Report::new(Facts::read(&Tree::new(files).root()), engine, connections)
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    let found = report.checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no {name} in\n{}", report.text()))
}

const NO_TRACKING: (&str, &str) = ("proc/sys/net/netfilter/nf_conntrack_count", "0\n");

#[test]
fn the_tightest_bound_decides() {
    let limits = |hard: &str| format!("Max open files  1024  {hard}  files\n");
    let small = limits("10068");
    let found = report(
        &[("proc/self/limits", &small), NO_TRACKING],
        engine(),
        100_000,
    );
    assert_eq!(
        (found.holds, found.limited_by, found.fits),
        (40_000, "descriptors", false)
    );
    let descriptors = check(&found, "descriptors");
    assert_eq!(descriptors.status, Status::Bad);
    assert!(
        descriptors.change[0].contains("LimitNOFILE=1048576"),
        "{descriptors:?}"
    );
    assert!(
        descriptors.change[1].contains("--shards 11"),
        "ten have too few, since each table holds what rings all of them: {descriptors:?}"
    );

    let found = report(
        &[("proc/self/limits", &small), NO_TRACKING],
        engine(),
        40_000,
    );
    assert!(found.fits);
    assert_eq!(check(&found, "descriptors").status, Status::Ok);

    // 62 shards would not do.
    let found = report(
        &[("proc/self/limits", &limits("1064")), NO_TRACKING],
        engine(),
        100_000,
    );
    assert_eq!(check(&found, "descriptors").change.len(), 1);
}

#[test]
fn a_shared_table_is_one_limit_for_all_shards() {
    let shared = Engine {
        private_tables: false,
        ..engine()
    };
    let found = report(&[NO_TRACKING], shared, 600_000);
    assert_eq!(
        (found.holds, found.limited_by),
        (524_288 - 4 * (64 + 4 * 4), "descriptors")
    );
    assert_eq!(
        check(&found, "descriptors").change.len(),
        1,
        "more shards do not help"
    );
    assert_eq!(check(&found, "descriptor tables").status, Status::Warn);
}

#[test]
fn the_files_of_the_host_limit_what_all_shards_hold() {
    let found = report(
        &[("proc/sys/fs/file-max", "90000\n"), NO_TRACKING],
        engine(),
        100_000,
    );
    assert_eq!(
        (found.holds, found.limited_by),
        (89_000, "open files of the host")
    );
    let change = &check(&found, "open files of the host").change[0];
    assert_eq!(change, "sysctl -w fs.file-max=\"524288\"");
}

#[test]
fn the_control_group_limits_memory() {
    let files = [
        ("sys/fs/cgroup/memory.max", "268435456\n"),
        ("sys/fs/cgroup/memory.current", "0\n"),
        NO_TRACKING,
    ];
    let found = report(&files, engine(), 100_000);
    assert_eq!(found.limited_by, "memory");
    assert_eq!(found.holds, 268_435_456 / 10 * 9 / (700 + 4096));
    let memory = check(&found, "memory");
    assert!(
        memory.found.contains("256.0 MiB of /sys/fs/cgroup"),
        "{memory:?}"
    );
    assert!(memory.change[0].contains("MemoryMax="), "{memory:?}");
}

#[test]
fn connection_tracking_limits_only_where_it_is_in_use() {
    let found = report(&[], engine(), 200_000);
    assert_eq!(
        (found.holds, found.limited_by),
        (131_072 - 500, "connection tracking")
    );
    let tracking = check(&found, "connection tracking");
    assert!(tracking.change[0].contains("notrack"), "{tracking:?}");
    assert!(
        tracking.change[1].contains("nf_conntrack_max=\"524288\""),
        "{tracking:?}"
    );
    assert_eq!(found.budget.conntrack_bytes, 200_000 * 400);

    let found = report(&[NO_TRACKING], engine(), 200_000);
    assert!(found.fits);
    assert_eq!(check(&found, "connection tracking").status, Status::Ok);
    assert_eq!(found.budget.conntrack_bytes, 0);
}

#[test]
fn what_slows_is_warned_of_and_still_fits() {
    let epoll = Engine {
        io_uring: false,
        io_reason: "io_uring cannot be used".into(),
        ..engine()
    };
    let files = [
        ("proc/sys/kernel/io_uring_disabled", "2\n"),
        ("sys/fs/cgroup/cpu.max", "200000 100000\n"),
        ("sys/devices/system/node/node0/cpulist", "0-1\n"),
        ("sys/devices/system/node/node1/cpulist", "2-3\n"),
        ("sys/class/net/eth0/device/vendor", "x\n"),
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n"),
        NO_TRACKING,
    ];
    let found = report(&files, epoll, 100_000);
    assert!(found.fits);
    for name in [
        "io_uring",
        "CPUs",
        "NUMA",
        "network queues",
        "net.core.somaxconn",
    ] {
        let check = check(&found, name);
        assert_eq!(check.status, Status::Warn, "{check:?}");
        assert!(!check.change.is_empty(), "{check:?}");
    }
    assert_eq!(
        check(&found, "io_uring").change,
        ["sysctl -w kernel.io_uring_disabled=0"]
    );
    assert!(
        found.text().contains("100,000 connections fit"),
        "{}",
        found.text()
    );
}

#[test]
fn locked_memory_matters_before_linux_5_12() {
    let old = ("proc/sys/kernel/osrelease", "5.11.9\n");
    assert_eq!(
        check(&report(&[old], engine(), 1), "locked memory").status,
        Status::Warn
    );
    let new = report(&[], engine(), 1);
    assert!(new.checks.iter().all(|check| check.name != "locked memory"));
}

#[test]
fn more_than_the_configuration_admits_is_said() {
    let found = report(&[NO_TRACKING], engine(), 1_500_000);
    let change = &check(&found, "configuration").change[0];
    assert_eq!(change, "ringmain --connections-max 1500000");
}

#[test]
fn what_does_not_fit_has_a_remedy_and_the_text_says_it() {
    for connections in [1, 1_000, 100_000, 1_000_000, 100_000_000] {
        let found = report(&[], engine(), connections);
        let text = found.text();
        assert_eq!(found.fits, found.holds >= connections);
        for check in &found.checks {
            assert_eq!(
                check.change.is_empty(),
                check.status == Status::Ok,
                "{check:?}"
            );
            for change in &check.change {
                assert!(text.contains(change), "{change}\n{text}");
            }
        }
        assert!(found.bounds.is_sorted_by_key(|bound| bound.connections));
    }
}

#[test]
fn a_host_that_says_nothing_holds_nothing() {
    let facts = Facts::read(&ringmain_tuning::Root::new("/nonexistent"));
    let found = Report::new(facts, engine(), 1);
    assert!(!found.fits);
    assert_eq!((found.holds, found.limited_by), (0, "memory"));
}
