//! The target's process, where it runs on this host.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::kernel::kib;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// The process of this id.
    ///
    /// # Errors
    /// There is none.
    pub fn of(id: u32) -> io::Result<Process> {
        let process = Process(id);
        process.cpu().map(|_| process)
    }

    /// The process that listens at a loopback address; `None` if it cannot be found.
    pub fn listening_at(address: SocketAddr) -> Option<Process> {
        if !address.ip().is_loopback() {
            return None;
        }
        let inodes = listeners(address.port());
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.find(|&id| holds(id, &inodes)).map(Process)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0
    }

    /// CPU time of all its threads that live, user and system.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut sum_ns = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0))? {
            // A thread may end while this looks.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let ran_ns = text.split_whitespace().next();
            sum_ns += ran_ns.and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(sum_ns))
    }

    /// Its private anonymous memory, in bytes.
    ///
    /// # Errors
    /// It has ended, or belongs to somebody else.
    pub fn user_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0))?;
        kib(&text, "Anonymous:")
            .ok_or_else(|| io::Error::other("smaps_rollup has no line Anonymous"))
    }
}

/// The links under `/proc/PID/fd` of all sockets that listen on a port.
fn listeners(port: u16) -> Vec<String> {
    let end = format!(":{port:04X}");
    let mut links = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<_> = line.split_whitespace().collect();
            if let [_, local, _, state, ..] = fields[..]
                && local.ends_with(&end)
                && state == LISTENING
                && let Some(inode) = fields.get(9)
            {
                links.push(format!("socket:[{inode}]"));
            }
        }
    }
    links
}

/// Whether a process holds one of these. Each thread is asked, since it may have a descriptor table of its own.
fn holds(id: u32, links: &[String]) -> bool {
    let tasks = fs::read_dir(format!("/proc/{id}/task"));
    let mut tasks = tasks.into_iter().flatten().flatten();
    tasks.any(|task| holds_at(&task.path().join("fd"), links))
}

fn holds_at(descriptors: &Path, links: &[String]) -> bool {
    let descriptors = fs::read_dir(descriptors);
    let mut descriptors = descriptors.into_iter().flatten().flatten();
    descriptors.any(|descriptor| {
        let link = fs::read_link(descriptor.path());
        link.is_ok_and(|link| {
            link.to_str()
                .is_some_and(|link| links.iter().any(|l| l == link))
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_process_that_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let process = Process::listening_at(address).unwrap();
        assert_eq!(process.id(), std::process::id());
        assert!(process.cpu().unwrap() > Duration::ZERO);
        assert!(process.user_bytes().unwrap() > 4096);
        drop(listener);
        assert_eq!(Process::listening_at(address), None);
        assert_eq!(Process::listening_at("192.0.2.1:80".parse().unwrap()), None);
    }
}
