//! What the host allows.

use std::fs;
use std::io;

use ringmain_rt::descriptors::{self, Table};
use ringmain_rt::thread::{self, ThreadSetup};
use ringmain_rt::{cpu, driver};

use crate::settings::Settings;

/// The range that the kernel uses unless it was told otherwise.
const PORTS_DEFAULT: (u32, u32) = (32_768, 60_999);

/// What a plan depends on.
#[derive(Clone, Debug)]
pub struct Host {
    /// Cores that the process may use.
    pub cpus: Vec<usize>,
    /// Descriptors in one table, with the soft limit raised.
    pub descriptors: usize,
    /// Whether each thread has a table of its own.
    pub private_tables: bool,
    /// Open files of the whole host.
    pub files: u64,
    /// Local ports of one address.
    pub ports: u32,
}

impl Host {
    /// Looks at this host, and raises the limit of descriptors as far as it goes.
    ///
    /// # Errors
    /// The system calls'.
    pub fn look() -> io::Result<Host> {
        let (first, last) = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|range| parse_range(&range))
            .unwrap_or(PORTS_DEFAULT);
        let files = fs::read_to_string("/proc/sys/fs/file-max").unwrap_or_default();
        let probe = ThreadSetup {
            name: "probe".into(),
            cpu: None,
            keep: Vec::new(),
        };
        // A thread that ends at once: whether the system allows a private table is found out by having one.
        let table = thread::spawn(probe, |table, _| table)?.join();
        Ok(Host {
            cpus: cpu::allowed()?,
            descriptors: descriptors::raise_limit()?,
            private_tables: table.is_ok_and(|table| table == Table::Private),
            files: files.trim().parse().unwrap_or(u64::MAX),
            ports: last.saturating_sub(first) + 1,
        })
    }

    /// Chooses the driver that the settings ask for.
    ///
    /// # Errors
    /// io_uring was asked for and is not to be had.
    pub fn choose_driver(settings: &Settings) -> Result<driver::Chosen, driver::UringUnavailable> {
        driver::choose(settings.io)
    }
}

fn parse_range(range: &str) -> Option<(u32, u32)> {
    let mut words = range.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
