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

#[test]
fn sections_say_which_rooms_have_which_settings() {
    use ringmain_core::SlowConsumer::{DropOldest, KeepLatest};
    let text = "queue_messages_max = 7\n\n[[rooms]]\nmatch = 'chat:*'\nslow_consumer = 'drop_oldest'\n\
        queue_bytes_max = 2048\n[[rooms]]\nmatch = '*'\nslow_consumer = 'keep_latest'\nqueue_bytes_max = '4KiB'\n";
    let config = Config::merge(&[file(text).unwrap(), environment(&[]).unwrap()]).unwrap();
    let policies = config.settings.room_policies();
    let of = |name: &str| {
        let name = ringmain_router::RoomName::new(name.as_bytes()).unwrap();
        let settings = policies.of(&name);
        (
            settings.slow_consumer,
            settings.queue_bytes_max,
            settings.queue_messages_max,
        )
    };
    assert_eq!(of("chat:a"), (DropOldest, 2048, 7));
    assert_eq!(of("news"), (KeepLatest, 4096, 7));
    let shown = render::effective(&config);
    assert!(
        shown.contains("[[rooms]] # test.toml, line 3\nmatch = \"chat:*\""),
        "{shown}"
    );
    let again = Config::merge(&[file(&shown).unwrap()]).unwrap();
    assert_eq!(again.settings, config.settings);
}

#[test]
fn what_is_wrong_in_a_section_is_told_by_path_and_line() {
    for (text, expected) in [
        (
            "[[rooms]]\nmatch = 'a'\n[[rooms]]\nmatch = 'b'\nslow = 1\n",
            "`rooms[1].slow` (test.toml, line 5): unknown field `slow`",
        ),
        (
            "[[rooms]]\nmatch = 'a'\nslow_consumer = 'never'\n",
            "`rooms[0].slow_consumer` (test.toml, line 3): `never` is not `disconnect`, `drop_oldest` or `keep_latest`",
        ),
        (
            "[[rooms]]\nmatch = ''\n",
            "`rooms[0].match` (test.toml, line 2): a pattern is not empty",
        ),
        (
            "\n[[rooms]]\nslow_consumer = 'disconnect'\n",
            "`rooms[0]` (test.toml, line 2): missing field `match`",
        ),
        (
            "[[rooms]]\nmatch = 'a'\nqueue_bytes_max = 17\n",
            "`rooms[0].queue_bytes_max` (test.toml, line 3): it is 17; allowed: 1KiB to 64MiB, or 0",
        ),
        (
            "[rooms]\nmatch = 'a'\n",
            "`rooms` (test.toml, line 1): it is a list of tables: each begins with a line `[[rooms]]`",
        ),
    ] {
        let found = refusal(file(text));
        assert!(found.contains(expected), "{found}");
    }
    let many = "[[rooms]]\nmatch = 'a'\n".repeat(257);
    let found = refusal(file(&many));
    assert!(found.contains("at most 256 are allowed"), "{found}");
}

#[test]
fn the_printed_examples_of_sections_are_right() {
    let text = render::template(&Settings::default());
    // From the first section on; before it come the keys.
    let (_, examples) = text.split_once("# [limits]\n").unwrap();
    let uncommented: String = examples
        .lines()
        .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
        // What says what they are for is in words.
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .collect();
    let layer = file(&format!("[limits]\n{uncommented}")).unwrap();
    let config = Config::merge(&[layer]).unwrap();
    assert_eq!(config.settings.sections.rooms.len(), 1);
    assert_eq!(config.settings.sections.limits.accept_rate.0, 500);
    assert_eq!(
        config
            .settings
            .sections
            .limits
            .trusted_proxies
            .0
            .iter()
            .count(),
        2
    );
    assert_eq!(config.settings.sections.tls.len(), 1);
}

#[test]
fn limits_are_read_shown_and_compared_key_by_key() {
    let text = "[limits]\nmessage_rate = 50\nmessage_burst = 200\nbyte_rate = '1MiB'\nrate_action = 'close'\ntrusted_proxies = ['10.0.0.0/8', '::1']\n";
    let config = Config::merge(&[file(text).unwrap()]).unwrap();
    let settings = &config.settings;
    let rates = settings.limits(1 << 20).connection_rates;
    assert_eq!(rates.messages, sections::limits::rate(50, 200));
    assert_eq!(rates.bytes, sections::limits::rate(1 << 20, 1 << 20));
    let shown = render::effective(&config);
    assert!(shown.contains("[limits] # test.toml, line 1\n"), "{shown}");
    let shown = shown.split_once("[limits]").unwrap().1;
    let again = file(&format!("[limits]{shown}")).unwrap();
    let again = Config::merge(&[again]).unwrap();
    assert_eq!(again.settings.sections.limits, settings.sections.limits);
    let changes: Vec<_> = settings
        .sections
        .changes(&Settings::default().sections)
        .collect();
    assert!(
        changes.contains(&("message_rate", "50".to_owned(), "0".to_owned())),
        "{changes:?}"
    );
    assert_eq!(changes.len(), 5);
}

#[test]
fn limits_that_say_nothing_or_too_much_are_refused_with_their_line() {
    for (text, problem) in [
        (
            "[limits]\n\nmessage_burst = 5",
            "limits.message_burst` (test.toml, line 3): without `message_rate`",
        ),
        (
            "[limits]\nmessage_rate = 2000000000",
            "limits.message_rate` (test.toml, line 2): it is 2000000000",
        ),
        (
            "[limits]\nrate_action = 'shout'",
            "`shout` is not `refuse`, `drop` or `close`",
        ),
        ("[limits]\nmessages = 1", "unknown field `messages`"),
        (
            "[limits]\ntrusted_proxies = ['10.0.0.0/40']",
            "`10.0.0.0/40` is no network",
        ),
        (
            "[limits]\nproxy_protocol = 'on'",
            "believed only from `trusted_proxies`",
        ),
        (
            "[limits]\nblock_seconds = 0",
            "limits.block_seconds` (test.toml, line 2): it is 0",
        ),
        ("limits = 3", "limits"),
    ] {
        let told = refusal(file(text));
        assert!(told.contains(problem), "{told}");
    }
}
