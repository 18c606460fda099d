"""Memory: a process's own, the kernel's, and what the machine has left."""

import os
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Objects of which only one end has any, by the driver that its end uses; all others both ends have alike.
URING_CACHES = ("io_kiocb",)
EPOLL_CACHES = ("eventpoll_epi", "eventpoll_pwq")
# What earlier connections leave behind for a minute; it shrinks in its own time.
PASSING_CACHES = ("tw_sock_TCP", "tw_sock_TCPv6", "request_sock_TCP")


def anonymous_bytes(pid: int) -> int:
    """What a process has written to: heap, stacks and whatever else is not a file's."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/smaps_rollup has no line Anonymous")


def available_bytes() -> int:
    """What can be had without swapping."""
    return _meminfo()["MemAvailable"]


def _meminfo() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


@dataclass(frozen=True)
class KernelMemory:
    """Bytes of the kernel's small objects: by cache, or in one sum where the caches may not be read."""

    caches: dict[str, int]

    @property
    def source(self) -> str:
        return "/proc/slabinfo" if "Slab" not in self.caches else "Slab in /proc/meminfo"

    @classmethod
    def read(cls) -> "KernelMemory":
        try:
            lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
        except OSError:
            return cls({"Slab": _meminfo()["Slab"]})
        caches = {}
        for line in lines:
            name, _, _, _, _, pages_per_slab, *_ = line.split()
            slabs = int(line.split(":")[2].split()[2])
            caches[name] = slabs * int(pages_per_slab) * PAGE_BYTES
        return cls(caches)

    def growth(self, before: "KernelMemory") -> dict[str, int]:
        """Bytes by cache, the largest first."""
        grown = {name: bytes_ - before.caches.get(name, 0) for name, bytes_ in self.caches.items()}
        for name in PASSING_CACHES:
            grown.pop(name, None)
        return dict(sorted(((name, bytes_) for name, bytes_ in grown.items() if bytes_), key=lambda item: -item[1]))


def server_share(growth: dict[str, int], server_io: str, load_io: str) -> dict[str, float]:
    """Of a growth on a host that both ends are on, the server's part.

    A connection has a socket at each end, so half of everything is the server's, but for what only one end's way of
    waiting needs. `load_io` is how the load generator waits for its sockets.
    """

    def share(name: str) -> float:
        for caches, io in ((URING_CACHES, "uring"), (EPOLL_CACHES, "epoll")):
            if name in caches:
                ends = [end == io for end in (server_io, load_io)]
                return ends[0] / sum(ends) if any(ends) else 0.5
        return 0.5

    return {name: bytes_ * share(name) for name, bytes_ in growth.items()}
