"""Holds idle connections in rooms of 100 and measures what each costs the engine, beside the floor's bare sockets.

Bytes of its own are the growth of Anonymous in /proc/PID/smaps_rollup from before the first connection to the second
half of the hold. Bytes of the kernel are the growth of its object caches meanwhile; both ends are on this host, so half
of them count, but for the objects that only one end's way of waiting for sockets needs. Page tables and the sockets'
buffers, which are empty, are not in there. CPU time is that of the heartbeat: one ping and one pong a connection and
heartbeat.
"""

import argparse
from pathlib import Path

from .failure import Failure
from .hold import Held, Hold, hold, tell
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .servers import kind_of
from .table import Table, number

SUMMARY = "idle connections: bytes and CPU time each"
MEMBERS_PER_ROOM = 100
USER_BYTES_WANTED = 700
# What one descriptor table and the ports of one address hold.
FLOOR_CONNECTIONS_MAX = 15_000

EPILOG = """\
examples:
  scripts/bench idle                                    100,000 connections on io_uring and on epoll
  scripts/bench idle --connections 10000 --seconds 20 --heartbeat 10 --io uring
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=count, default=100_000, metavar="N", help="default %(default)s")
    parser.add_argument("--io", default="uring,epoll", help="the engine's back ends, by comma (default %(default)s)")
    parser.add_argument(
        "--seconds", type=positive, default=60.0, help="how long they are held after the last join (default 60)"
    )
    parser.add_argument(
        "--heartbeat", type=positive, default=25.0, metavar="SECONDS", help="the engine's heartbeat (default 25)"
    )
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    backends = options.io.split(",")
    if not set(backends) <= {"uring", "epoll"}:
        raise Failure(f"--io {options.io}: give uring, epoll, or both with a comma between")
    prepare(options, root)
    floor_connections = min(options.connections, FLOOR_CONNECTIONS_MAX)
    plan = [("engine", io, options.connections) for io in backends] + [("floor", "uring", floor_connections)]
    outcome = Outcome(tables=[table("Idle connections")])
    for name, io, connections in plan:
        what = Hold(connections, MEMBERS_PER_ROOM, options.seconds, options.heartbeat, io)
        try:
            kind = kind_of(name, options.engine, root)
            held = hold(kind, root, options.load, options.server_cpu, options.load_cpu, what)
        except (Failure, OSError) as failure:
            outcome.failures.append(f"{name} {io}: {failure}")
            say(f"{name} {io}: FAILED: {failure}")
            continue
        tell(held, name)
        outcome.tables[0].add(*row(name, held))
        outcome.document[f"{name}_{io}"] = held.as_json()
        outcome.words.append(words(name, held))
        outcome.invalid |= bool(held.faults)
        if name == "engine":
            good = held.user_bytes_per_connection <= USER_BYTES_WANTED
            outcome.invalid |= not good
            outcome.words.append(
                f"{name} on {io}: {held.user_bytes_per_connection:,.0f} user-space bytes a connection; wanted: "
                f"{USER_BYTES_WANTED} or less: {'met' if good else 'MISSED'}."
            )
    return outcome


def table(title: str) -> Table:
    """The table of what is held."""
    return Table(
        title,
        (
            "server", "back end", "shards", "connected", "not", "connect s", "CPU us/handshake", "user B", "kernel B",
            "heartbeat s", "CPU ns/connection s", "pings", "notes",
        ),  # fmt: skip
        frozenset({"server", "back end", "notes"}),
    )


def row(name: str, held: Held) -> tuple[str, ...]:
    """Its row: bytes are those of one connection."""
    return (
        name,
        held.io,
        str(held.shards),
        f"{held.connected:,}",
        f"{held.connections - held.connected:,}",
        f"{held.connect_seconds:.2f}",
        f"{held.connect_cpu_microseconds:.1f}",
        f"{held.user_bytes_per_connection:,.0f}",
        f"{held.kernel_bytes_per_connection:,.0f}",
        f"{held.heartbeat_seconds:g}" if name == "engine" else "none",
        number(held.cpu_nanoseconds_per_connection_second, ",.0f"),
        f"{held.pings:,}",
        "; ".join(f"INVALID: {count} {fault}" for fault, count in held.faults.items()),
    )


def words(name: str, held: Held) -> str:
    """What the kernel's bytes are made of."""
    caches = sorted(held.kernel_caches.items(), key=lambda item: -item[1])[:8]
    parts = ", ".join(f"{cache} {bytes_:,.0f}" for cache, bytes_ in caches)
    return f"Kernel bytes a connection of {name} on {held.io}, by {held.kernel_source}, its end alone: {parts}."
