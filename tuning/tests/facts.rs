//! Facts of made-up hosts.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use ringmain_tuning::Facts;
use support::Tree;

const GIB: u64 = 1 << 30;

fn facts(files: &[(&str, &str)]) -> Facts {
    Facts::read(&Tree::new(files).root())
}

#[test]
fn a_host_as_it_is_installed_is_read() {
    let facts = facts(&[]);
    assert_eq!(facts.kernel_version(), (6, 1));
    assert_eq!(facts.user, Some(0));
    assert_eq!(facts.cpus, [0, 1, 2, 3]);
    assert_eq!(facts.numa_nodes, [0]);
    assert_eq!(facts.cpu_quota, None);
    assert_eq!(facts.memory.total_bytes, 16 * GIB);
    assert_eq!(facts.memory.free_bytes(), 15 * GIB);
    assert_eq!(facts.memory.group, None);
    assert_eq!(facts.number("nofile"), Some(524_288));
    assert_eq!(
        facts.settings["net.ipv4.tcp_mem"].to_string(),
        "190000 253000 380000"
    );
    assert_eq!(facts.settings["transparent_hugepage"].to_string(), "always");
    assert_eq!(facts.files_open, Some(1000));
    assert_eq!(facts.tcp_memory_pages, Some(25));
    assert!(facts.conntrack.unwrap().is_in_use());
    assert_eq!(facts.io_uring_disabled, Some(0));
}

#[test]
fn version_2_takes_the_lowest_limit_up_to_the_root() {
    let facts = facts(&[
        ("proc/self/cgroup", "0::/slice/service\n"),
        ("sys/fs/cgroup/slice/memory.max", "1073741824\n"),
        ("sys/fs/cgroup/slice/memory.current", "536870912\n"),
        (
            "sys/fs/cgroup/slice/memory.stat",
            "anon 1\ninactive_file 268435456\n",
        ),
        ("sys/fs/cgroup/slice/service/memory.max", "max\n"),
        ("sys/fs/cgroup/slice/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/slice/service/cpu.max", "max 100000\n"),
    ]);
    let group = facts.memory.group.clone().unwrap();
    assert_eq!(group.limit_bytes, GIB);
    assert_eq!(group.path, "/sys/fs/cgroup/slice");
    // Files that can be dropped are not in use.
    assert_eq!(facts.memory.free_bytes(), GIB / 4 * 3);
    assert_eq!(facts.memory.limit_bytes, GIB);
    assert_eq!(facts.cpu_quota, Some(1.5));
}

#[test]
fn a_container_of_version_2_has_its_limit_at_the_root() {
    let facts = facts(&[("sys/fs/cgroup/memory.max", "536870912\n")]);
    assert_eq!(facts.memory.limit_bytes, GIB / 2);
}

#[test]
fn version_1_looks_at_the_memory_controller_alone() {
    let files = [
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        ),
        (
            "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
            "268435456\n",
        ),
        ("sys/fs/cgroup/cpu/memory.limit_in_bytes", "1\n"),
        ("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "50000\n"),
        ("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ];
    let inside = (
        "proc/self/cgroup",
        "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n",
    );
    let found = facts(&[&files[..], &[inside]].concat());
    assert_eq!(found.memory.limit_bytes, GIB / 4);
    assert_eq!(found.cpu_quota, Some(0.5));
    // Seen from within a container the path is the host's and not there; a limit beyond the host's memory is none.
    let elsewhere = ("proc/self/cgroup", "4:memory:/elsewhere\n");
    let found = facts(&[&files[..], &[elsewhere]].concat());
    assert_eq!(found.memory.group, None);
    assert_eq!(found.memory.limit_bytes, 16 * GIB);
}

#[test]
fn what_siblings_use_of_a_parents_memory_is_not_free() {
    let version_2 = [
        ("proc/self/cgroup", "0::/slice/service\n"),
        ("sys/fs/cgroup/slice/memory.max", "8589934592\n"),
        ("sys/fs/cgroup/slice/memory.current", "8321499136\n"),
        ("sys/fs/cgroup/slice/service/memory.max", "4294967296\n"),
        ("sys/fs/cgroup/slice/service/memory.current", "0\n"),
    ];
    let base = "sys/fs/cgroup/memory/slice";
    let names = [
        format!("{base}/memory.limit_in_bytes"),
        format!("{base}/memory.usage_in_bytes"),
        format!("{base}/service/memory.limit_in_bytes"),
        format!("{base}/service/memory.usage_in_bytes"),
    ];
    let paths = names.iter().map(String::as_str);
    let mut version_1 = vec![("proc/self/cgroup", "4:memory:/slice/service\n")];
    version_1.extend(paths.zip(version_2[1..].iter().map(|(_, text)| *text)));
    for files in [&version_2[..], &version_1] {
        let memory = facts(files).memory;
        // 8 GiB less the 7.75 in use, though the group's own limit is smaller.
        assert_eq!(memory.free_bytes(), GIB / 4);
        let group = memory.group.clone().unwrap();
        assert!(group.path.ends_with("/slice"), "{}", group.path);
        assert_eq!(group.limit_bytes, 8 * GIB);
        assert_eq!(memory.limit_bytes, 4 * GIB);
    }
}

#[test]
fn a_kernel_without_a_setting_does_not_have_it() {
    let tree = Tree::new(&[]);
    tree.remove("proc/sys/net/ipv4/tcp_migrate_req");
    tree.remove("proc/sys/net/netfilter/nf_conntrack_max");
    let facts = Facts::read(&tree.root());
    assert_eq!(facts.number("net.ipv4.tcp_migrate_req"), None);
    assert_eq!(facts.conntrack, None);
}

#[test]
fn only_interfaces_with_a_device_count() {
    let facts = facts(&[
        ("sys/class/net/lo/queues/rx-0/rps_cpus", "0\n"),
        ("sys/class/net/eth0/device/vendor", "x\n"),
        (
            "sys/class/net/eth0/queues/rx-0/rps_cpus",
            "00000000,00000000\n",
        ),
        (
            "sys/class/net/eth0/queues/rx-1/rps_cpus",
            "00000000,0000000f\n",
        ),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0\n"),
    ]);
    let [eth0] = facts.interfaces.as_slice() else {
        panic!("{:?}", facts.interfaces);
    };
    assert_eq!(
        (eth0.name.as_str(), eth0.receive_queues, eth0.is_spread),
        ("eth0", 2, true)
    );
}
