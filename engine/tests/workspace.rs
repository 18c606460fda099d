//! The architecture's rules that a compiler does not hold: who may depend on whom, and what keeps the
//! pure crates pure.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// A member of the workspace.
struct Member {
    name: &'static str,
    /// No sockets, clock, threads, async or randomness of its own.
    is_pure: bool,
    /// Has `unsafe`, and so lints of its own.
    has_unsafe: bool,
    /// The members that it may use. A strict DAG: each stands above its user.
    may_use: &'static [&'static str],
}

const MEMBERS: [Member; 10] = [
    member("ringmain-proto", true, false, &[]),
    member("ringmain-router", true, false, &[]),
    member(
        "ringmain-core",
        true,
        false,
        &["ringmain-proto", "ringmain-router"],
    ),
    // Of the router it takes the doorbell: the trait that it implements, and the word of a sleeper.
    member("ringmain-rt", false, true, &["ringmain-router"]),
    member(
        "ringmain-shard",
        false,
        false,
        &[
            "ringmain-proto",
            "ringmain-router",
            "ringmain-core",
            "ringmain-rt",
        ],
    ),
    member("ringmain-nats", false, false, &["ringmain-router"]),
    // Reads and writes files; what only a system call tells, the engine hands in.
    member("ringmain-tuning", false, false, &[]),
    member(
        "ringmain",
        false,
        false,
        &[
            "ringmain-proto",
            "ringmain-router",
            "ringmain-core",
            "ringmain-rt",
            "ringmain-shard",
            "ringmain-nats",
            "ringmain-tuning",
        ],
    ),
    member(
        "ringmain-loadgen",
        false,
        false,
        &["ringmain-proto", "ringmain-rt"],
    ),
    member(
        "ringmain-benches",
        false,
        true,
        &[
            "ringmain-proto",
            "ringmain-router",
            "ringmain-core",
            "ringmain-rt",
            "ringmain-shard",
        ],
    ),
];

const fn member(
    name: &'static str,
    is_pure: bool,
    has_unsafe: bool,
    may_use: &'static [&'static str],
) -> Member {
    Member {
        name,
        is_pure,
        has_unsafe,
        may_use,
    }
}

/// Crates that only these members may depend on. Development dependencies are free.
const OWNERS: [(&str, &[&str]); 26] = [
    ("monoio", &["ringmain-rt"]),
    ("io-uring", &["ringmain-rt", "ringmain-benches"]),
    ("socket2", &["ringmain-rt"]),
    (
        "libc",
        &["ringmain-rt", "ringmain-loadgen", "ringmain-benches"],
    ),
    ("tokio", &["ringmain-nats", "ringmain", "ringmain-benches"]),
    ("tokio-tungstenite", &["ringmain-benches"]),
    ("hyper", &["ringmain-shard", "ringmain", "ringmain-benches"]),
    ("hyper-util", &["ringmain", "ringmain-benches"]),
    ("crossbeam-channel", &["ringmain-router"]),
    ("fastwebsockets", &["ringmain-proto", "ringmain-benches"]),
    ("figment", &["ringmain"]),
    ("flate2", &["ringmain-proto"]),
    ("getrandom", &["ringmain"]),
    ("prometheus-client", &["ringmain"]),
    ("tracing", &["ringmain-shard", "ringmain-nats", "ringmain"]),
    ("tracing-subscriber", &["ringmain"]),
    ("tracing-appender", &["ringmain"]),
    // One allocator a binary.
    ("mimalloc", &["ringmain", "ringmain-loadgen"]),
    ("maud", &["ringmain-loadgen"]),
    // Libraries say what went wrong by type.
    ("anyhow", &["ringmain", "ringmain-loadgen"]),
    ("rand", &["ringmain-loadgen", "ringmain-benches"]),
    ("async-nats", &["ringmain-nats", "ringmain-benches"]),
    ("rustls", &["ringmain-shard", "ringmain-loadgen"]),
    ("x509-parser", &["ringmain-shard"]),
    ("openssl", &[]),
    ("async-std", &[]),
];

/// One concept a file.
const SOURCE_LINES_MAX: usize = 600;

fn metadata() -> Metadata {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(root)
        .no_deps()
        .exec()
        .unwrap()
}

/// Each member that there is, with what the list says of it.
fn members(metadata: &Metadata) -> Vec<(&Package, &'static Member)> {
    static LIST: [Member; MEMBERS.len()] = MEMBERS;
    metadata
        .workspace_packages()
        .into_iter()
        .filter_map(|package| {
            let member = LIST.iter().find(|member| *package.name == member.name)?;
            Some((package, member))
        })
        .collect()
}

/// What a member is linked with or built by, by the packages' own names.
fn dependencies(package: &Package) -> impl Iterator<Item = &str> {
    let linked = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development);
    linked.map(|dependency| dependency.name.as_str())
}

fn folder(package: &Package) -> PathBuf {
    package.manifest_path.parent().unwrap().into()
}

fn toml(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| {
        if path.is_dir() {
            sources(&path)
        } else {
            vec![path]
        }
    });
    found
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn every_member_is_listed_and_exists() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let found: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let listed: BTreeSet<&str> = MEMBERS.iter().map(|member| member.name).collect();
    assert_eq!(
        found, listed,
        "a new member needs its place in the DAG: say in MEMBERS what it may use"
    );
}

#[test]
fn the_list_is_a_dag() {
    for (index, member) in MEMBERS.iter().enumerate() {
        for used in member.may_use {
            let place = MEMBERS.iter().position(|other| other.name == *used);
            assert!(
                place.is_some_and(|place| place < index),
                "{} may use {used}, which does not stand above it",
                member.name
            );
        }
    }
}

#[test]
fn members_use_only_those_below_them() {
    let metadata = metadata();
    for (package, member) in members(&metadata) {
        for used in dependencies(package) {
            let is_member = MEMBERS.iter().any(|other| other.name == used);
            assert!(
                !is_member || member.may_use.contains(&used),
                "{} must not depend on {used}",
                member.name
            );
        }
    }
}

#[test]
fn crates_with_owners_are_used_by_them_alone() {
    let metadata = metadata();
    for (package, member) in members(&metadata) {
        for used in dependencies(package) {
            let owners = OWNERS.iter().find(|(name, _)| *name == used);
            assert!(
                owners.is_none_or(|(_, owners)| owners.contains(&member.name)),
                "{} must not depend on {used}: only {:?} may",
                member.name,
                owners.unwrap().1
            );
        }
    }
}

#[test]
fn pure_crates_forbid_unsafe_code() {
    let metadata = metadata();
    for (package, _) in members(&metadata)
        .into_iter()
        .filter(|(_, member)| member.is_pure)
    {
        let library = folder(package).join("src/lib.rs");
        let text = std::fs::read_to_string(&library).unwrap();
        assert!(
            text.lines().any(|line| line == "#![forbid(unsafe_code)]"),
            "{} does not forbid unsafe code",
            library.display()
        );
    }
}

#[test]
fn lints_are_the_workspaces_where_there_is_no_unsafe() {
    let metadata = metadata();
    for (package, member) in members(&metadata) {
        let manifest = toml(package.manifest_path.as_std_path());
        let lints = &manifest["lints"];
        let inherits = lints
            .get("workspace")
            .is_some_and(|inherits| inherits.as_bool() == Some(true));
        assert_eq!(inherits, !member.has_unsafe, "the lints of {}", member.name);
        assert!(
            inherits || lints["clippy"]["undocumented_unsafe_blocks"].as_str() == Some("deny"),
            "{} has unsafe blocks that need not say why",
            member.name
        );
    }
}

/// Clippy takes the settings that lie nearest to a crate, and no others: each pure crate has its own.
#[test]
fn clippy_is_told_the_same_in_every_pure_crate() {
    let metadata = metadata();
    let members = members(&metadata);
    let pure = members.iter().filter(|(_, member)| member.is_pure);
    let files: Vec<PathBuf> = pure
        .map(|(package, _)| folder(package).join("clippy.toml"))
        .collect();
    let texts: BTreeSet<String> = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(texts.len(), 1, "{files:?} are not the same");
    let settings = toml(&files[0]);
    for (list, path) in [
        ("disallowed-methods", "std::time::Instant::now"),
        ("disallowed-methods", "std::time::SystemTime::now"),
        ("disallowed-methods", "std::thread::spawn"),
        ("disallowed-methods", "std::thread::sleep"),
        ("disallowed-types", "std::time::Instant"),
        ("disallowed-types", "std::net::TcpStream"),
    ] {
        let entries = settings[list].as_array().unwrap();
        assert!(
            entries
                .iter()
                .any(|entry| entry["path"].as_str() == Some(path)),
            "{path} is not in {list}"
        );
    }
    // What holds everywhere else holds there too.
    let root = toml(
        &metadata
            .workspace_root
            .join("clippy.toml")
            .into_std_path_buf(),
    );
    for (key, value) in &root {
        assert_eq!(
            settings.get(key),
            Some(value),
            "`{key}` of the root's clippy.toml"
        );
    }
}

#[test]
fn nobody_allows_what_clippy_forbids_the_pure_crates() {
    let metadata = metadata();
    let root = toml(
        &metadata
            .workspace_root
            .join("Cargo.toml")
            .into_std_path_buf(),
    );
    let lints = root["workspace"]["lints"]["clippy"].as_table().unwrap();
    for name in ["disallowed_methods", "disallowed_types", "style"] {
        assert!(
            !lints.contains_key(name),
            "the workspace must leave clippy::{name} at its default, which warns"
        );
    }
    // Written in two parts, so that this file would not be found itself.
    let forbidden = [
        concat!("clippy::", "disallowed"),
        concat!("clippy::", "style"),
        concat!("clippy::", "all"),
    ];
    for (package, _) in members(&metadata)
        .into_iter()
        .filter(|(_, member)| member.is_pure)
    {
        for path in sources(&folder(package).join("src")) {
            let text = std::fs::read_to_string(&path).unwrap();
            for name in forbidden {
                assert!(!text.contains(name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn no_source_is_long() {
    let metadata = metadata();
    let members = members(&metadata);
    let folders = members.iter().flat_map(|(package, _)| {
        let parts = ["src", "tests", "benches"].map(|part| folder(package).join(part));
        parts.into_iter().filter(|part| part.is_dir())
    });
    for path in folders.flat_map(|folder| sources(&folder)) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines < SOURCE_LINES_MAX,
            "{} has {lines} lines: find the second concept in it",
            path.display()
        );
    }
}
