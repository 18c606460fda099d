"""One million concurrent WebSocket connections to one engine process, all of them in one room.

They are held with the heartbeat on, and then one message goes to the room: everyone must receive it once. The engine
and the load generator have many threads, since each descriptor table ends at the hard limit of descriptors, and the
load generator comes from many loopback addresses, since each has no more than its ports.
"""

import argparse
import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from . import idle, memory
from .failure import Failure
from .hold import Hold, hold, shards_for, tell
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .servers import kind_of

SUMMARY = "1,000,000 connections to one engine, held, and one message to all of them"
QUICK_CONNECTIONS = 100_000
# Both ends' user space and kernel memory, measured at 100,000 connections, and a quarter more.
BYTES_PER_CONNECTION = 12_000
FILES_SPARE = 10_000

EPILOG = """\
examples:
  scripts/bench million                         the whole: some 11 GiB of memory and five minutes
  scripts/bench million --connections 100000    the quick form, as in `scripts/bench --quick`
"""


@dataclass(frozen=True)
class Settings:
    """What to hold, and with which programs."""

    what: Hold
    engine: str | None
    load: str
    server_cpu: int
    load_cpu: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=count, default=1_000_000, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--seconds", type=positive, help="how long they are held (default 120; 30 below 1,000,000 connections)"
    )
    parser.add_argument(
        "--heartbeat", type=positive, default=25.0, metavar="SECONDS", help="the engine's heartbeat (default 25)"
    )
    parser.add_argument("--io", choices=["uring", "epoll"], default="uring", help="the engine's back end")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    prepare(options, root)
    seconds = options.seconds or (120.0 if options.connections >= 1_000_000 else 30.0)
    what = Hold(options.connections, options.connections, seconds, options.heartbeat, options.io, probe=True)
    return measure(Settings(what, options.engine, options.load, options.server_cpu, options.load_cpu), root)


def quick(options: argparse.Namespace, connections: int) -> Settings:
    """The form within the comparison: a short hold, and a short heartbeat so that it still has several pings each."""
    what = Hold(connections, connections, 20.0, 10.0, probe=True)
    return Settings(what, options.engine, options.load, options.server_cpu, options.load_cpu)


def measure(settings: Settings, root: Path) -> Outcome:
    """Holds them and says what it was like. What this host cannot hold is refused with the remedy."""
    what = settings.what
    outcome = Outcome(tables=[idle.table("Connections held by one engine process, all in one room")])
    needs = require(what.connections)
    say(needs)
    try:
        kind = kind_of("engine", settings.engine, root)
        held = hold(kind, root, settings.load, settings.server_cpu, settings.load_cpu, what)
    except (Failure, OSError) as failure:
        outcome.failures.append(f"holding {what.connections:,} connections: {failure}")
        return outcome
    tell(held, "engine")
    outcome.tables[0].add(*idle.row("engine", held))
    outcome.document = held.as_json()
    missing = held.expected - held.received
    complete = held.received == what.connections - 1 and not missing
    outcome.invalid = bool(held.faults) or not complete
    last = f", the last after {held.last_delivery_seconds:.2f} s" if held.last_delivery_seconds is not None else ""
    outcome.words = [
        needs,
        f"Held for {held.hold_seconds:g} s after the last join, with {held.pings:,} pings answered and "
        f"{held.faults.get('connections_lost', 0):,} connections lost.",
        f"Then one message to the room: {held.received:,} of the {what.connections - 1:,} others received it"
        f"{' once' if complete and not held.faults else ''}{last}.",
        idle.words("engine", held),
        f"Memory that the machine had left at the worst moment: {held.memory_available_bytes_min / 2**30:.1f} GiB.",
    ]
    return outcome


def _tracked_max() -> int | None:
    """How many connections the host tracks at most, if it tracks those of loopback."""
    folder = Path("/proc/sys/net/netfilter")
    if not (folder / "nf_conntrack_max").exists():
        return None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()):
            tracked = int((folder / "nf_conntrack_count").read_text())
    return int((folder / "nf_conntrack_max").read_text()) if tracked else None


def require(connections: int) -> str:
    """What so many connections need of this host, in words; refuses what cannot work with the remedy."""
    shards = shards_for(connections)
    problems = []
    allocated, _, files_max = (int(word) for word in Path("/proc/sys/fs/file-nr").read_text().split())
    files = allocated + 2 * connections + FILES_SPARE
    if files > files_max:
        problems.append(f"{files:,} open files, both ends together: `sysctl -w fs.file-max={files}`")
    available, needed = memory.available_bytes(), connections * BYTES_PER_CONNECTION
    if needed > available:
        problems.append(
            f"{needed / 2**30:.1f} GiB of memory for both ends, and {available / 2**30:.1f} GiB are available: "
            f"hold {available // BYTES_PER_CONNECTION:,} connections at most"
        )
    tracked_max = _tracked_max()
    if tracked_max is not None and tracked_max < connections + FILES_SPARE:
        problems.append(
            f"{connections + FILES_SPARE:,} tracked connections: "
            f"`sysctl -w net.netfilter.nf_conntrack_max={connections + FILES_SPARE}`, or no tracking on loopback"
        )
    backlog = int(Path("/proc/sys/net/core/somaxconn").read_text())
    if backlog < 1024:
        problems.append("a longer queue of connections to accept: `sysctl -w net.core.somaxconn=4096`")
    if problems:
        raise Failure(f"{connections:,} connections need more than this host gives: " + "; ".join(problems))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"Needs {files:,} open files of {files_max:,}, about {needed / 2**30:.1f} GiB of {available / 2**30:.1f} GiB, "
        f"and {shards} shards with {hard:,} descriptors each."
    )
