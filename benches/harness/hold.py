"""Many connections held by one engine: what they cost in memory and in CPU time."""

import math
import resource
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import memory
from .cpu import Sampler
from .failure import Failure
from .load import Generator, faults
from .outcome import say
from .servers import RunningServer, ServerKind

# Of each descriptor table, for listeners, doorbells, reserves, and the uneven spread of connections over shards.
DESCRIPTORS_SPARE_SHARE = 0.07
SHARDS_MAX = 62
MEMORY_AVAILABLE_BYTES_MIN = 1 << 30
SAMPLE_SECONDS = 0.5
# CPU time counts from here after the last join on, memory in the second half of the hold.
SETTLE_SECONDS = 1.0
HANDSHAKES_PER_SECOND_MIN = 2_000
# Of the ports of one source address. The kernel looks through every second one first, and is slow once these are taken.
PORTS_PLANNED_SHARE = 0.4


@dataclass(frozen=True)
class Tls:
    """Where the engine is to listen for TLS, and its words for the certificate."""

    port: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Hold:
    """What is to be held, and for how long."""

    connections: int
    members_per_room: int
    seconds: float
    heartbeat_seconds: float
    io: str = "uring"
    # One message to each room at the end.
    probe: bool = False
    # The connections are made by TLS.
    tls: Tls | None = None


@dataclass
class Held:
    """What came of it. Bytes are those of the server."""

    io: str
    shards: int
    connections: int
    connected: int
    refused: int
    connect_seconds: float
    user_bytes_per_connection: float
    kernel_bytes_per_connection: float
    kernel_source: str
    # The server's part of it, by cache of the kernel.
    kernel_caches: dict[str, float]
    cpu_nanoseconds_per_connection_second: float | None
    connect_cpu_microseconds: float
    heartbeat_seconds: float
    hold_seconds: float
    pings: int
    expected: int
    received: int
    last_delivery_seconds: float | None
    memory_available_bytes_min: int
    faults: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict:
        return asdict(self)


def shards_for(connections: int) -> int:
    """Shards whose descriptor tables hold so many connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = int(hard * (1 - DESCRIPTORS_SPARE_SHARE))
    shards = math.ceil(connections / each)
    if shards > SHARDS_MAX:
        raise Failure(
            f"{connections:,} connections need {shards} shards of {each:,}, and an engine has {SHARDS_MAX} at most: "
            f"raise the hard limit of descriptors (`ulimit -Hn`) to {math.ceil(connections / SHARDS_MAX * 1.1):,}"
        )
    return shards


BANNER_SECONDS_MAX = 10.0


@dataclass
class _Sample:
    at: float
    user_bytes: int
    kernel: memory.KernelMemory


def _banner(server: RunningServer) -> str:
    """What the engine says at its start; it listens a moment before."""
    deadline = time.monotonic() + BANNER_SECONDS_MAX
    while "listening" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    return server.log()


def hold(kind: ServerKind, root: Path, load_binary: str, server_cpu: int, load_cpu: int, what: Hold) -> Held:
    """Starts the server, opens the connections, holds them, and measures."""
    is_engine = kind.name == "engine"
    shards = shards_for(what.connections) if is_engine else 1
    extra = _engine_words(what) if is_engine else ()
    with RunningServer(kind, root, server_cpu, job="idle", shards=shards, extra=extra) as server:
        if is_engine and what.io == "uring" and "io_uring (" not in _banner(server):
            raise Failure("the engine did not start on io_uring: is it forbidden here? `--io epoll` leaves it out")
        before = _sample(server.pid)
        sampler = Sampler(server.pid, load_cpu)
        sampler.start()
        try:
            with Generator(_load_words(load_binary, server, what, load_cpu), root, load_cpu) as generator:
                samples, available_min = _watch(generator, server, what)
                output = generator.result(1.0)
        finally:
            sampler.stop()
        server.check()
    return _evaluate(what, shards, output, sampler, before, samples, available_min)


def _engine_words(what: Hold) -> tuple[str, ...]:
    words = ("--io", what.io, "--connections-max", str(what.connections + 1_000))
    words += ("--tls-listen", f"127.0.0.1:{what.tls.port}", *what.tls.words) if what.tls else ()
    return words + ("--heartbeat-seconds", f"{what.heartbeat_seconds:g}")


def _load_words(binary: str, server: RunningServer, what: Hold, cpu: int) -> list[str]:
    url = f"wss://127.0.0.1:{what.tls.port}" if what.tls else server.url("")
    words = [binary, "idle", "--url", url, "--connections", str(what.connections)]
    words += ["--insecure"] if what.tls else []
    words += ["--members-per-room", str(what.members_per_room), "--duration", f"{what.seconds:g}"]
    words += ["--source-addresses", str(_source_addresses(what.connections))]
    words += ["--handshake-timeout", "60", "--cpus", str(cpu), "--json"]
    return words + (["--probe"] if what.probe else [])


def _source_addresses(connections: int) -> int:
    low, high = (int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return math.ceil(connections / max(1, int((high - low + 1) * PORTS_PLANNED_SHARE)))


def _sample(pid: int) -> _Sample:
    return _Sample(time.monotonic(), memory.anonymous_bytes(pid), memory.KernelMemory.read())


def _watch(generator: Generator, server: RunningServer, what: Hold) -> tuple[list[_Sample], int]:
    """Samples memory until the load generator is done; stops everything before the machine runs out of it."""
    seconds_max = what.connections / HANDSHAKES_PER_SECOND_MIN + what.seconds + 120
    deadline = time.monotonic() + seconds_max
    samples: list[_Sample] = []
    available_min = memory.available_bytes()
    while not generator.is_done(SAMPLE_SECONDS):
        server.check()
        samples.append(_sample(server.pid))
        available = memory.available_bytes()
        available_min = min(available_min, available)
        if available < MEMORY_AVAILABLE_BYTES_MIN:
            raise Failure(
                f"stopped, since only {available / 2**20:,.0f} MiB of memory are left: hold fewer than "
                f"{what.connections:,} connections, or give the machine more memory"
            )
        if time.monotonic() > deadline:
            raise Failure(f"{what.connections:,} connections were not opened and held within {seconds_max:.0f} s")
    return samples, available_min


def _evaluate(
    what: Hold,
    shards: int,
    output: dict,
    sampler: Sampler,
    before: _Sample,
    samples: list[_Sample],
    available_min: int,
) -> Held:
    connected = int(output["connected"])
    if not connected:
        raise Failure(f"no connection was opened: {output.get('errors')}")
    begin, end = output["measured_from"], output["measured_to"]
    settled = [sample for sample in samples if (begin + end) / 2 <= sample.at <= end]
    if not settled:
        raise Failure(f"memory was not looked at between two joins and closes: hold longer than {what.seconds:g} s")
    user_bytes = statistics.median(sample.user_bytes for sample in settled)
    kernel = settled[-1].kernel
    # The load generator waits by epoll, whatever it drives its ring with.
    caches = memory.server_share(kernel.growth(before.kernel), what.io, "epoll")
    latency = output.get("latency_microseconds") or {}
    share = sampler.share_between(begin + SETTLE_SECONDS, end)
    return Held(
        io=what.io,
        shards=shards,
        connections=what.connections,
        connected=connected,
        refused=int(output["refused"]),
        connect_seconds=float(output["connect_seconds"]),
        user_bytes_per_connection=(user_bytes - before.user_bytes) / connected,
        kernel_bytes_per_connection=sum(caches.values()) / connected,
        kernel_source=kernel.source,
        kernel_caches={name: round(bytes_ / connected, 1) for name, bytes_ in caches.items() if bytes_ > connected},
        cpu_nanoseconds_per_connection_second=share / connected * 1e9 if end - begin > 2 * SETTLE_SECONDS else None,
        connect_cpu_microseconds=(sampler.seconds_at(begin) - sampler.samples[0][1]) / connected * 1e6,
        heartbeat_seconds=what.heartbeat_seconds,
        hold_seconds=what.seconds,
        pings=int(output["pings"]),
        expected=int(output["expected"]),
        received=int(output["received"]),
        last_delivery_seconds=latency["max"] / 1e6 if what.probe and latency else None,
        memory_available_bytes_min=available_min,
        faults=faults(output),
    )


def tell(held: Held, name: str) -> None:
    """One line of progress."""
    say(
        f"{name} {held.io}: {held.connected:,} connected in {held.connect_seconds:.1f} s, "
        f"{held.user_bytes_per_connection:,.0f} B of its own and {held.kernel_bytes_per_connection:,.0f} B of the "
        f"kernel's a connection"
    )
