//! What the fuzzer of configuration files runs, and what the tests replay over its corpus.

use std::path::Path;

use ringmain::config::{Config, Layer, Problems, render};

/// What a file sets, or all that is wrong with it.
fn read(text: &str) -> Result<Config, Problems> {
    Config::merge(&[Layer::toml(Path::new("fuzzed.toml"), text)?])
}

/// A file is taken or refused with words; what is taken can be written down and read again.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match read(text) {
        Ok(config) => {
            let told = render::effective(&config);
            assert!(told.lines().count() > 10, "{told}");
            let mut plain = config.settings.clone();
            plain.sections = Default::default();
            let again = read(&render::template(&plain));
            let again = again.unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(again.settings, plain);
        }
        Err(problems) => {
            let said = problems.to_string();
            assert!(
                said.contains("fuzzed.toml"),
                "it does not say where: {said}"
            );
        }
    }
}
