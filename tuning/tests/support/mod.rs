//! A host as a tree of files.
#![allow(dead_code)] // Not every test file uses all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ringmain_tuning::Root;

/// A directory that looks like a small host; gone at the end of the test.
pub struct Tree(PathBuf);

/// A host as it is installed: 16 GiB, four CPUs, defaults of Linux 6.1, and the user root.
const DEFAULTS: &[(&str, &str)] = &[
    (
        "proc/self/status",
        "Name:\tx\nUid:\t0\t0\t0\t0\nCpus_allowed_list:\t0-3\n",
    ),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max locked memory         8388608              8388608              bytes     \n\
         Max open files            1024                 524288               files     \n",
    ),
    ("proc/self/cgroup", "0::/\n"),
    (
        "proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:        1048576 kB\nMemAvailable:   15728640 kB\n",
    ),
    (
        "proc/net/sockstat",
        "sockets: used 9\nTCP: inuse 4 orphan 0 tw 0 alloc 5 mem 25\n",
    ),
    ("proc/sys/kernel/osrelease", "6.1.0-test\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("proc/sys/fs/file-nr", "1000\t0\t1600000\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "1600000\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/sys/net/core/netdev_max_backlog", "1000\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "2048\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("proc/sys/net/ipv4/tcp_mem", "190000\t253000\t380000\n"),
    ("proc/sys/net/ipv4/tcp_notsent_lowat", "4294967295\n"),
    ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1\n"),
    ("proc/sys/net/ipv4/tcp_max_tw_buckets", "65536\n"),
    ("proc/sys/net/ipv4/tcp_max_orphans", "65536\n"),
    ("proc/sys/net/ipv4/tcp_fin_timeout", "60\n"),
    ("proc/sys/net/ipv4/tcp_migrate_req", "0\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "131072\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "500\n"),
    (
        "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
        "432000\n",
    ),
    (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "[always] madvise never\n",
    ),
    ("sys/devices/system/node/node0/cpulist", "0-3\n"),
    ("etc/sysctl.d/99-sysctl.conf", "# nothing\n"),
];

impl Tree {
    /// The host, with these files instead or besides.
    pub fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringmain-tuning-{}-{number}", std::process::id());
        let tree = Tree(std::env::temp_dir().join(name));
        for (path, text) in DEFAULTS.iter().chain(files) {
            tree.write(path, text);
        }
        tree
    }

    pub fn root(&self) -> Root {
        Root::new(&self.0)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.0.join(path)).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    /// Every file and directory, with the words of its text: white space is the kernel's own affair.
    pub fn contents(&self) -> BTreeMap<PathBuf, Option<String>> {
        let mut contents = BTreeMap::new();
        collect(&self.0, &self.0, &mut contents);
        contents
    }
}

fn collect(root: &Path, directory: &Path, contents: &mut BTreeMap<PathBuf, Option<String>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            contents.insert(name, None);
            collect(root, &path, contents);
        } else {
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let is_value = name.starts_with("proc") || name.starts_with("sys");
            let text = if is_value {
                let words: Vec<&str> = text.split_whitespace().collect();
                // Of a list of choices, the kernel shows all, and takes one.
                let chosen = words.iter().find(|word| word.starts_with('['));
                chosen.map_or_else(
                    || words.join(" "),
                    |word| word.trim_matches(['[', ']']).to_owned(),
                )
            } else {
                text
            };
            contents.insert(name, Some(text));
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
