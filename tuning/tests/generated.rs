//! What is made from the table agrees with it.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

use std::fs;
use std::path::{Path, PathBuf};

use ringmain_tuning::{SETTINGS, Setting, Target, generate};
use serde_json::Value as Json;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(checkout().join(path)).unwrap()
}

#[test]
fn generated_files_are_what_the_table_says() {
    for (path, text) in generate::files(&checkout()).unwrap() {
        assert!(
            fs::read_to_string(checkout().join(&path)).is_ok_and(|found| found == text),
            "{path} differs from the table: run `{}`",
            generate::COMMAND
        );
    }
}

#[test]
fn the_documentation_has_every_setting_with_reason_risk_and_source() {
    let text = read("docs/tuning.md");
    for setting in SETTINGS {
        for part in [
            setting.name,
            setting.reason,
            setting.risk,
            setting.source,
            setting.rule,
        ] {
            assert!(text.contains(part), "{}: {part}", setting.name);
        }
    }
    assert!(!text.contains("{{"));
}

#[test]
fn the_units_limits_are_those_of_the_table() {
    let unit = read("tuning/files/ringmain.service");
    let target = Target {
        connections: 100_000,
        memory_bytes: 1 << 34,
        page_bytes: 4096,
    };
    for name in ["nofile", "memlock"] {
        let setting = Setting::find(name).unwrap();
        let line = format!("Limit{}={}", name.to_uppercase(), (setting.value)(&target));
        assert!(unit.lines().any(|found| found == line), "no {line}");
    }
}

#[test]
fn the_seccomp_profile_allows_what_the_engine_needs_and_nothing_that_opens_the_host() {
    let profile: Json = serde_json::from_str(&read("tuning/files/seccomp.json")).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let rules = profile["syscalls"].as_array().unwrap();
    let allowed = |name: &str| {
        rules.iter().any(|rule| {
            let names = rule["names"].as_array().unwrap();
            rule["action"] == "SCMP_ACT_ALLOW" && names.iter().any(|found| found == name)
        })
    };
    for name in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "close_range",
        "epoll_pwait",
        "accept4",
        "sched_setaffinity",
        "prlimit64",
        "execve",
        "futex",
        "prctl",
    ] {
        assert!(allowed(name), "{name}");
    }
    for name in [
        "mount",
        "bpf",
        "ptrace",
        "kexec_load",
        "init_module",
        "setns",
        "unshare",
        "keyctl",
        "perf_event_open",
        "userfaultfd",
        "reboot",
        "swapon",
        "open_by_handle_at",
        "process_vm_writev",
    ] {
        assert!(!allowed(name), "{name}");
    }
    // `clone` may make threads, not namespaces; what `clone3` is asked for cannot be seen, so that C libraries fall back.
    let clone3 = rules
        .iter()
        .find(|rule| rule["names"][0] == "clone3")
        .unwrap();
    assert_eq!(
        (&clone3["action"], &clone3["errnoRet"]),
        (&"SCMP_ACT_ERRNO".into(), &38.into())
    );
}
