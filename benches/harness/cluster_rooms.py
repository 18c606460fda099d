"""Very many rooms on a node of a cluster: how soon they are subscribed to, also again, and what each takes."""

import http.client
import json
import math
import time
from pathlib import Path

from . import memory
from .cluster_nodes import Node, Process, until
from .failure import Failure
from .hold import shards_for
from .load import Generator
from .outcome import Outcome, say
from .servers import free_port
from .table import Table

ROOM_BYTES_WANTED = 1024
# What the generator may take for its handshakes, a thousand of them.
CONNECT_SECONDS_EACH_THOUSAND = 1.0
# All is looked at while the connections are held.
HOLD_SECONDS = 25.0
SETTLE_SECONDS = 3.0


class Broker(Process):
    """A NATS server that says how many subscriptions it has."""

    def __init__(self, server: str, port: int, monitor: int, root: Path):
        self.monitor = monitor
        super().__init__([server, "-a", "127.0.0.1", "-p", str(port), "-m", str(monitor)], root)

    def subscriptions(self) -> int | None:
        """`None` while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor, timeout=5)
        try:
            connection.request("GET", "/subsz")
            return json.loads(connection.getresponse().read())["num_subscriptions"]
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(options, outcome: Outcome, server: str, root: Path) -> None:
    """With a cluster and without: what remains is the cluster's."""
    alone = _rooms(options, root, None)
    port, monitor = free_port(), free_port()
    with Broker(server, port, monitor, root) as broker:
        until(lambda: broker.subscriptions() is not None, "the NATS server answered")
        linked = _rooms(options, root, (broker, server, port, monitor))
    show(options, outcome, alone, linked)


def show(options, outcome: Outcome, alone: dict, linked: dict) -> None:
    """The table, and whether a room takes no more than is wanted."""
    each = (linked["bytes"] - alone["bytes"]) / options.rooms
    table = Table(f"a node with {options.rooms:,} rooms of one member each", ("what", "figure"), frozenset({"what"}))
    table.add("connections opened and joined within", f"{linked['connect_seconds']:.1f} s")
    table.add("the same without a cluster", f"{alone['connect_seconds']:.1f} s")
    table.add("all rooms known to the link, after the last join", f"{linked['known_seconds'] * 1e3:,.0f} ms or less")
    table.add("subscriptions at the NATS server", f"{linked['subscriptions']:,}")
    table.add("server killed: connected again after it listens", f"{linked['connected_seconds'] * 1e3:,.0f} ms")
    table.add("and all subscribed to again, from the first on", f"{linked['subscribed_seconds'] * 1e3:,.0f} ms")
    table.add("the cluster's bytes a room", f"{each:,.0f}")
    outcome.tables.append(table)
    good = each <= ROOM_BYTES_WANTED
    outcome.invalid |= not good
    outcome.words.append(
        f"A room takes {each:,.0f} bytes for the cluster (wanted: {ROOM_BYTES_WANTED:,} or less)"
        f"{'' if good else ': MISSED'}."
    )
    outcome.document["rooms"] = {"alone": alone, "cluster": linked, "bytes_each": each}


def _rooms(options, root: Path, broker) -> dict:
    words = ("--shards", str(shards_for(options.rooms)), "--connections-max", str(options.rooms + 1_000))
    nats = f"nats://127.0.0.1:{broker[2]}" if broker else None
    with Node(options.engine, "m", nats, root, words) as node:
        before = memory.anonymous_bytes(node.process.pid)
        seconds = HOLD_SECONDS if broker else SETTLE_SECONDS + 2
        load = [options.load, "idle", "--url", f"ws://127.0.0.1:{node.port}", "--connections", str(options.rooms)]
        load += ["--members-per-room", "1", "--duration", f"{seconds:g}", "--handshake-timeout", "60", "--json"]
        began = time.monotonic()
        with Generator(load, root, 1) as generator:
            longest = options.rooms / 1_000 * CONNECT_SECONDS_EACH_THOUSAND + 30
            _until(lambda: _joined(node) >= options.rooms, "all had joined", longest, 0.05)
            joined = time.monotonic()
            found = {"connect_seconds": joined - began}
            if broker:
                until(lambda: node.page()["rooms"] == options.rooms, "all rooms were known")
                found["known_seconds"] = time.monotonic() - joined
            time.sleep(SETTLE_SECONDS)
            found["bytes"] = memory.anonymous_bytes(node.process.pid) - before
            if broker:
                found |= _again(broker, root)
            say(f"{'cluster' if broker else 'alone'}: {found}")
            while not generator.is_done(0.5):
                pass
            output = generator.result(1.0)
        if output["connected"] != options.rooms:
            raise Failure(f"only {output['connected']:,} of {options.rooms:,} connected: {output.get('errors')}")
        return found


def _joined(node) -> int:
    """Connections that have joined a room, by the engine's own count."""
    _, text = node.get("/metrics")
    lines = (line for line in text.splitlines() if line.startswith("ringmain_connections{"))
    return int(math.fsum(float(line.rsplit(" ", 1)[1]) for line in lines))


def _again(broker, root: Path) -> dict:
    """The server is killed and started again: when is everything as it was?"""
    first, server, port, monitor = broker
    wanted = first.subscriptions()
    first.kill()
    with Broker(server, port, monitor, root) as second:
        _until(lambda: second.subscriptions() is not None, "the new server answered", 10, 0.001)
        # Its own, before the node comes: it waits for longer than this takes.
        own = second.subscriptions() or 0
        listens = time.monotonic()
        _until(lambda: (second.subscriptions() or 0) > own, "the node was there again", 30, 0.001)
        connected = time.monotonic()
        _until(lambda: (second.subscriptions() or 0) >= wanted, "all was subscribed to again", 30, 0.001)
        return {
            "subscriptions": wanted,
            "connected_seconds": connected - listens,
            "subscribed_seconds": time.monotonic() - connected,
        }


def _until(state, what: str, seconds: float, pause: float):
    end = time.monotonic() + seconds
    while not (answer := state()):
        if time.monotonic() > end:
            raise Failure(f"in vain: {what}")
        time.sleep(pause)
    return answer
