//! The binary `ringmain`.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ringmain::cli::{Cli, Command, ConfigCommand, ServeFlags};
use ringmain::config::{Settings, render};
use ringmain::control::Outcome;
use ringmain::sources::Sources;
use ringmain::token::flags::TokenCommand;
use ringmain::token::{self, TokenError};
use ringmain::tune::{self, Answer, HostCommandError};
use ringmain::{bootstrap, fatal, logging};
use ringmain_rt::process::{exit_now, last_words};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The engine could not start, has failed, or was ended by a second signal.
const EXIT_FAILURE: u8 = 1;
/// The command line or the configuration is wrong. The same as clap's.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(flags)) => serve(&flags),
        Some(Command::Config(ConfigCommand::Default)) => {
            print(&render::template(&Settings::default()))
        }
        Some(Command::Config(ConfigCommand::Check { config })) => check(config),
        Some(Command::Doctor(flags)) => answer(tune::doctor(&flags)),
        Some(Command::Tune(command)) => answer(tune::tune(&command)),
        Some(Command::Token(command)) => token(&command),
    }
}

fn serve(flags: &ServeFlags) -> ExitCode {
    let sources = Sources::new(flags.config.clone(), Some(flags.layer()));
    let (config, plan) = match sources.read() {
        Ok(configured) => configured,
        Err(error) => return fail(&error, EXIT_USAGE),
    };
    ringmain_rt::process::disable_huge_pages();
    fatal::end_on_panic();
    let Settings {
        log, log_format, ..
    } = &config.settings;
    let log = match logging::start(log.targets().clone(), *log_format) {
        Ok(log) => log,
        Err(error) => return fail(&error, EXIT_FAILURE),
    };
    let outcome = bootstrap::serve(sources, config.settings, plan, &log);
    // Writes out what waits.
    drop(log);
    match outcome {
        Ok(Outcome::Stopped) => ExitCode::SUCCESS,
        // The shards still run: without waiting for them.
        Ok(Outcome::Cut) => exit_now(EXIT_FAILURE.into()),
        Err(error) => fail(&error, EXIT_FAILURE),
    }
}

fn check(file: Option<PathBuf>) -> ExitCode {
    match Sources::new(file, None).read() {
        Ok((config, plan)) => print(&format!("ok\n\n{}\n{plan}", render::effective(&config))),
        Err(error) => fail(&error, EXIT_USAGE),
    }
}

fn answer(answer: Result<Answer, HostCommandError>) -> ExitCode {
    match answer {
        Ok(Answer { text, code: 0 }) => print(&text),
        Ok(Answer { text, code }) => {
            print(&text);
            ExitCode::from(code)
        }
        Err(error @ HostCommandError::UnknownSetting(_)) => fail(&error, EXIT_USAGE),
        Err(error) => fail(&error, EXIT_FAILURE),
    }
}

fn token(command: &TokenCommand) -> ExitCode {
    match token::token(command) {
        Ok(Answer { text, code: 0 }) => print(&text),
        Ok(Answer { text, code }) => {
            print(&text);
            ExitCode::from(code)
        }
        Err(error @ TokenError::Sources(_)) => fail(&error, EXIT_USAGE),
        Err(error) => fail(&error, EXIT_FAILURE),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, EXIT_FAILURE),
    }
}

/// Says why not, past a log that may be stuck with the lock of stderr.
fn fail(error: &dyn Display, code: u8) -> ExitCode {
    last_words(&format!("error: {error}\n"));
    ExitCode::from(code)
}
