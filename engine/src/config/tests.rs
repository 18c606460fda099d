//! Sources, their priority, and what they refuse.

use std::ffi::OsString;
use std::path::Path;

use super::keys::{self, KEYS};
use super::render;
use super::*;

fn file(text: &str) -> Result<Layer, Problems> {
    Layer::toml(Path::new("test.toml"), text)
}

fn environment(variables: &[(&str, &str)]) -> Result<Layer, Problems> {
    let variables: Vec<_> = variables
        .iter()
        .map(|&(name, value)| (OsString::from(name), OsString::from(value)))
        .collect();
    Layer::environment(variables.into_iter())
}

fn flags(values: &[(&'static str, &str)]) -> Layer {
    let values: Vec<_> = values
        .iter()
        .map(|&(key, value)| (key, value.to_owned()))
        .collect();
    Layer::flags(values.into_iter())
}

fn refusal<T>(result: Result<T, Problems>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn the_later_source_wins() {
    let file = file("shards = 1\nbacklog = 1\nio = 'epoll'\nlog = 'warn'").unwrap();
    let environment = environment(&[
        ("RINGMAIN_BACKLOG", "2"),
        ("RINGMAIN_IO", "uring"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    let config = Config::merge(&[file, environment, flags(&[("io", "auto")])]).unwrap();
    let shown = |key: &str| (keys::find(key).unwrap().show)(&config.settings);
    let sources = |key: &str| (shown(key), config.origin(key).to_string());
    assert_eq!(sources("shards"), ("1".into(), "test.toml, line 1".into()));
    assert_eq!(
        sources("backlog"),
        ("2".into(), "environment variable RINGMAIN_BACKLOG".into())
    );
    assert_eq!(sources("io"), ("auto".into(), "--io".into()));
    assert_eq!(sources("log"), ("warn".into(), "test.toml, line 4".into()));
    assert_eq!(
        sources("listen"),
        ("127.0.0.1:8000".into(), "default".into())
    );
}

#[test]
fn nothing_set_gives_the_defaults() {
    assert_eq!(Config::merge(&[]).unwrap().settings, Settings::default());
}

#[test]
fn all_unknown_keys_of_a_file_are_refused_by_name_and_line() {
    let text = refusal(file("shards = 2\n\nshard = 2\n[server]\nlisten = 'x'\n"));
    assert!(text.contains("`shard` (test.toml, line 3)"), "{text}");
    assert!(text.contains("`server` (test.toml, line 4)"), "{text}");
    assert!(text.contains("ringmain config default"), "{text}");
}

#[test]
fn an_unknown_variable_is_refused_by_name() {
    let text = refusal(environment(&[("RINGMAIN_LISTN", "127.0.0.1:1")]));
    assert!(text.contains("`RINGMAIN_LISTN`"), "{text}");
    assert!(environment(&[("RINGMAIN_CONFIG", "x"), ("RINGMAINE", "y")]).is_ok());
    // Case matters in the environment.
    assert!(environment(&[("RINGMAIN_listen", "127.0.0.1:1")]).is_err());
}

#[test]
fn what_kubernetes_sets_for_a_service_is_no_setting() {
    let links = [
        "RINGMAIN_SERVICE_HOST",
        "RINGMAIN_SERVICE_PORT",
        "RINGMAIN_SERVICE_PORT_WS",
        "RINGMAIN_PORT",
        "RINGMAIN_PORT_8000_TCP",
        "RINGMAIN_PORT_8000_TCP_ADDR",
        "RINGMAIN_ADMIN_SERVICE_HOST",
        "RINGMAIN_ADMIN_PORT_8001_TCP_PROTO",
    ];
    for link in links {
        let layer = environment(&[(link, "tcp://10.0.0.1:8000")]);
        assert_eq!(
            layer.unwrap(),
            environment(&[]).unwrap(),
            "{link} was taken for a setting"
        );
    }
    for key in &KEYS {
        assert!(
            environment(&[(&key.variable(), "x")])
                .unwrap()
                .origin(key.name)
                .is_some(),
            "{} was taken for a service link",
            key.name
        );
    }
}

#[test]
fn a_value_that_cannot_be_read_is_refused_by_key_place_and_reason() {
    let config = Config::merge(&[file("\nmessage_bytes_max = '64KB'").unwrap()]);
    let text = refusal(config);
    assert!(
        text.contains("`message_bytes_max` (test.toml, line 2): `64KB` is not a size"),
        "{text}"
    );
    let config = Config::merge(&[environment(&[("RINGMAIN_IO", "magic")]).unwrap()]);
    assert_eq!(
        refusal(config),
        "`io` (environment variable RINGMAIN_IO): `magic` is not `auto`, `uring` or `epoll`"
    );
    let text = refusal(file("cpus = [0, 1]"));
    assert!(text.contains("`cpus` (test.toml, line 1)"), "{text}");
}

#[test]
fn values_out_of_range_are_refused_all_at_once() {
    let text = refusal(Config::merge(&[
        file("shards = 63\nheartbeat_seconds = 0").unwrap(),
        flags(&[("message_bytes_max", "65MiB")]),
    ]));
    for line in [
        "`shards` (test.toml, line 1) is 63; allowed: 1 to 62, or 0: one a core of `cpus`",
        "`heartbeat_seconds` (test.toml, line 2) is 0; allowed: 0.1 to 86400",
        "`message_bytes_max` (--message-bytes-max) is 65MiB; allowed: 125 to 64MiB",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn the_ends_of_every_range_are_allowed() {
    let config = Config::merge(&[flags(&[
        ("message_bytes_max", "64MiB"),
        ("shards", "62"),
        ("backlog", "1"),
        ("memory_bytes_max", "1MiB"),
        ("request_head_bytes_max", "8KiB"),
        ("heartbeat_seconds", "0.1"),
    ])]);
    let settings = config.unwrap().settings;
    assert_eq!(settings.limits(1).message_bytes_max, 64 << 20);
    assert_eq!(settings.limits(1).heartbeat_ms, 100);
}

#[test]
fn numbers_and_texts_mean_the_same_in_a_file() {
    let read = |text: &str| Config::merge(&[file(text).unwrap()]).unwrap().settings;
    assert_eq!(
        read("message_bytes_max = 1_048_576\nheartbeat_seconds = 1.0\ncpus = 0"),
        read("message_bytes_max = '1MiB'\nheartbeat_seconds = '1'\ncpus = '0'")
    );
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_told() {
    let text = refusal(file("shards = \n"));
    assert!(
        text.contains("test.toml is not TOML") && text.contains("line 1"),
        "{text}"
    );
    let text = refusal(Layer::file(Path::new("/nowhere/ringmain.toml")));
    assert!(
        text.contains("cannot read the configuration file /nowhere/ringmain.toml"),
        "{text}"
    );
}

#[test]
fn the_printed_defaults_are_a_file_with_all_keys_that_changes_nothing() {
    let text = render::template(&Settings::default());
    let layer = file(&text).unwrap();
    for key in &KEYS {
        assert!(layer.origin(key.name).is_some(), "{} is missing", key.name);
    }
    assert_eq!(
        Config::merge(&[layer]).unwrap().settings,
        Settings::default()
    );
}

#[test]
fn the_effective_values_say_where_they_come_from() {
    let config = Config::merge(&[flags(&[("shards", "3")])]).unwrap();
    let text = render::effective(&config);
    assert_eq!(text.lines().count(), KEYS.len());
    let shards = text.lines().find(|line| line.starts_with("shards = 3 "));
    assert!(shards.is_some_and(|line| line.ends_with("# --shards")));
    assert_eq!(
        Config::merge(&[file(&text).unwrap()]).unwrap().settings,
        config.settings
    );
}
