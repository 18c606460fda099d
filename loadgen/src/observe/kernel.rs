//! The kernel's own memory.

use std::fs;
use std::io;

/// Bytes in the kernel's slabs, in which sockets and their files lie.
///
/// # Errors
/// `/proc/meminfo` is not to be read.
pub fn slab_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    kib(&text, "Slab:").ok_or_else(|| io::Error::other("/proc/meminfo has no line Slab"))
}

/// The bytes of a line such as `Slab:  1234 kB`.
pub fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
