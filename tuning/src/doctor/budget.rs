//! The memory that connections take.

use serde::Serialize;

use crate::facts::Facts;

/// User-space bytes of an idle connection: measured, see `ringmain-load idle --probe`.
pub const USER_BYTES: u64 = 700;
/// Kernel bytes of an idle connection: socket, inode, file and dentry 3,773, and a poll in the ring (256) or in epoll
/// (208). Measured from slabinfo on Linux 6.18, x86-64.
pub const KERNEL_BYTES: u64 = 4096;
/// Bytes of an entry of connection tracking, with its extensions.
pub const CONNTRACK_BYTES: u64 = 400;
/// One connection in so many reads slowly when it is busy.
const SLOW_ONE_IN: u64 = 20;
/// What the kernel then holds for it, unless `tcp_wmem` allows less.
const SLOW_BYTES: u64 = 64 << 10;
/// One connection in so many has input that was not read yet.
const UNREAD_ONE_IN: u64 = 5;
/// The memory that a small message takes until it is read.
const UNREAD_BYTES: u64 = 2048;

/// Bytes for a number of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// How many.
    pub connections: u64,
    /// Ringmain's own, idle.
    pub user_bytes: u64,
    /// The kernel's, idle.
    pub kernel_bytes: u64,
    /// Connection tracking's, where it is in use.
    pub conntrack_bytes: u64,
    /// Their sum: what must be there.
    pub idle_bytes: u64,
    /// TCP buffers while one in 20 reads slowly and one in 5 has 2 KiB unread.
    pub busy_buffer_bytes: u64,
    /// What the process could still take.
    pub free_bytes: u64,
}

impl Budget {
    /// What so many connections take on this host.
    pub fn new(facts: &Facts, connections: u64) -> Self {
        let wmem = facts.settings.get("net.ipv4.tcp_wmem");
        let wmem_max = wmem.and_then(crate::Value::last).unwrap_or(SLOW_BYTES);
        let tracked = facts.conntrack.is_some_and(|table| table.is_in_use());
        let user_bytes = connections * USER_BYTES;
        let kernel_bytes = connections * KERNEL_BYTES;
        let conntrack_bytes = if tracked {
            connections * CONNTRACK_BYTES
        } else {
            0
        };
        Budget {
            connections,
            user_bytes,
            kernel_bytes,
            conntrack_bytes,
            idle_bytes: user_bytes + kernel_bytes + conntrack_bytes,
            busy_buffer_bytes: connections / SLOW_ONE_IN * wmem_max.min(SLOW_BYTES)
                + connections / UNREAD_ONE_IN * UNREAD_BYTES,
            free_bytes: facts.memory.free_bytes(),
        }
    }

    /// Bytes of one idle connection.
    pub fn idle_bytes_each(&self) -> u64 {
        self.idle_bytes / self.connections.max(1)
    }
}
