//! The target's process, where it runs on this host.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::kernel::kib;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";
/// What `/proc/PID/stat` counts times in, on every Linux.
const TICK: Duration = Duration::from_millis(10);
/// What a process takes at most from its beginning to the program that it is to run.
const START_TIME: Duration = Duration::from_millis(100);

/// The process of this host that is the target, or several that share its listener and so are one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    ids: Vec<u32>,
}

impl Process {
    /// The process of this id.
    ///
    /// # Errors
    /// There is none.
    pub fn of(id: u32) -> io::Result<Process> {
        let process = Process { ids: vec![id] };
        process.cpu().map(|_| process)
    }

    /// What listens at a loopback address; `None` if it cannot be found. Of servers that hand their listener on to
    /// others (nginx, gunicorn, Node's cluster) it is not known which of them will work: all are the target.
    pub fn listening_at(address: SocketAddr) -> Option<Process> {
        if !address.ip().to_canonical().is_loopback() {
            return None;
        }
        let links = listeners(address);
        if links.is_empty() {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut ids: Vec<u32> = ids.filter(|&id| holds(id, &links)).collect();
        if ids.len() > 1 {
            // Whatever a server starts holds all that the server does, until it is the other program.
            thread::sleep(START_TIME);
            ids.retain(|&id| holds(id, &links));
        }
        ids.sort_unstable();
        (!ids.is_empty()).then_some(Process { ids })
    }

    /// The ids, in rising order.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// CPU time of all its threads, user and system.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.ids.iter().map(|id| cpu_of(*id)).sum()
    }

    /// Its private anonymous memory, in bytes. What several have shared since they were one counts for each.
    ///
    /// # Errors
    /// It has ended, or belongs to somebody else.
    pub fn user_bytes(&self) -> io::Result<u64> {
        self.ids.iter().map(|id| user_bytes_of(*id)).sum()
    }
}

fn cpu_of(id: u32) -> io::Result<Duration> {
    let mut sum_ns = 0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        // A thread may end while this looks.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let ran_ns = text.split_whitespace().next();
        sum_ns += ran_ns.and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0);
    }
    // Exact, but without the threads that have ended: of a server with a thread for each connection it may shrink.
    let living = Duration::from_nanos(sum_ns);
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    Ok(living.max(ticks(&stat).map_or(Duration::ZERO, |ticks| TICK * ticks)))
}

/// User and system time in a process's `stat`, threads that have ended included.
fn ticks(stat: &str) -> Option<u32> {
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    u32::try_from(user + system).ok()
}

fn user_bytes_of(id: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    kib(&text, "Anonymous:").ok_or_else(|| io::Error::other("smaps_rollup has no line Anonymous"))
}

/// The links under `/proc/PID/fd` of the sockets that connections to this address come to.
fn listeners(address: SocketAddr) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            if let [_, local, _, LISTENING, ..] = fields[..]
                && let Some(inode) = fields.get(9)
                && let Some(distance) = local_address(local).and_then(|at| distance(at, address))
            {
                found.push((distance, format!("socket:[{inode}]")));
            }
        }
    }
    let nearest = found.iter().map(|(distance, _)| *distance).min();
    found.retain(|(distance, _)| Some(*distance) == nearest);
    found.into_iter().map(|(_, link)| link).collect()
}

/// How far a listener is from an address; `None` if it takes no connections to it. Of several the kernel gives a
/// connection to the nearest: at the address itself, at all of its family, at all.
fn distance(listener: SocketAddr, address: SocketAddr) -> Option<u8> {
    let (at, to) = (listener.ip().to_canonical(), address.ip().to_canonical());
    match (at, to) {
        _ if listener.port() != address.port() => None,
        _ if at == to => Some(0),
        _ if !at.is_unspecified() => None,
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Some(1),
        (IpAddr::V6(_), IpAddr::V4(_)) => Some(2),
        (IpAddr::V4(_), IpAddr::V6(_)) => None,
    }
}

/// An address as `/proc/net/tcp` has it: words of 32 bits in the order of this host's bytes, then the port.
fn local_address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = words.get(8 * at..8 * (at + 1))?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = if words.len() == 8 {
        IpAddr::from(word(0)?)
    } else {
        let mut bytes = [0; 16];
        for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
            part.copy_from_slice(&word(at)?);
        }
        IpAddr::from(bytes)
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
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
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::{Child, Command, Stdio};

    /// Another process, which holds a listener until it is dropped.
    struct Other(Child);

    impl Other {
        fn holding(listener: TcpListener) -> Other {
            let mut sleep = Command::new("sleep");
            sleep.arg("600").stdin(Stdio::from(OwnedFd::from(listener)));
            Other(sleep.spawn().unwrap())
        }
    }

    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn ids_at(address: SocketAddr) -> Vec<u32> {
        Process::listening_at(address).unwrap().ids().to_vec()
    }

    #[test]
    fn the_process_that_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let process = Process::listening_at(address).unwrap();
        assert_eq!(process.ids(), [std::process::id()]);
        assert!(process.cpu().unwrap() > Duration::ZERO);
        assert!(process.user_bytes().unwrap() > 4096);
        drop(listener);
        assert_eq!(Process::listening_at(address), None);
        assert_eq!(Process::listening_at("192.0.2.1:80".parse().unwrap()), None);
    }

    #[test]
    fn what_a_thread_did_that_has_ended_is_not_forgotten() {
        const WORKED: Duration = Duration::from_millis(100);
        let process = Process::of(std::process::id()).unwrap();
        let before = process.cpu().unwrap();
        let work = || while ringmain_rt::cpu::thread_time() < WORKED {};
        std::thread::spawn(work).join().unwrap();
        // The system tells it in hundredths of a second, user and system time apart.
        let grown = process.cpu().unwrap().saturating_sub(before);
        assert!(grown + Duration::from_millis(20) >= WORKED, "{grown:?}");
    }

    #[test]
    fn of_servers_at_several_addresses_the_one_of_the_address_is_found() {
        let this = TcpListener::bind("127.0.0.1:0").unwrap();
        let at_this = this.local_addr().unwrap();
        let mut at_other = at_this;
        at_other.set_ip(IpAddr::from([127, 0, 0, 2]));
        let other = Other::holding(TcpListener::bind(at_other).unwrap());
        assert_eq!(ids_at(at_this), [std::process::id()]);
        assert_eq!(ids_at(at_other), [other.0.id()]);
    }

    #[test]
    fn who_listens_at_all_addresses_is_found_by_each() {
        for (any, one) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "127.0.0.1"),
            ("::", "::1"),
            ("::1", "::1"),
        ] {
            let any: IpAddr = any.parse().unwrap();
            let Ok(listener) = TcpListener::bind((any, 0)) else {
                assert!(any.is_ipv6(), "{any}");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let address = SocketAddr::new(one.parse().unwrap(), port);
            assert_eq!(ids_at(address), [std::process::id()], "{any} {one}");
        }
    }

    #[test]
    fn processes_that_share_a_listener_are_watched_together() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = Other::holding(listener.try_clone().unwrap());
        let mut both = [std::process::id(), other.0.id()];
        both.sort_unstable();
        let process = Process::listening_at(listener.local_addr().unwrap()).unwrap();
        assert_eq!(process.ids(), both);
        let one = |id| Process::of(id).unwrap().user_bytes().unwrap();
        assert!(process.user_bytes().unwrap() > one(other.0.id()));
    }
}
