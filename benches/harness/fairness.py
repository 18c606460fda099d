"""What a large room does to others on the same shard.

Echoes are sent by the clock to an engine of one shard: alone, and while a room of 10,000 members on that shard gets ten
messages a second. Latency counts from the time at which a message was due. Both load generators share the other core;
the one that echoes runs before the other wherever the system allows that, since its own waiting is not the engine's.
"""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from .failure import Failure
from .load import Generator, faults
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .servers import RunningServer, kind_of
from .table import Table

SUMMARY = "latency of echoes on a shard, alone and beside a large room's fan-out"
LATENCY_MAX_WANTED_MS = 20.0
# The echoes warm up for so long, so that their connecting is over and the room's messages flow before they count; the
# room's messages go on for as long behind the last of them.
MARGIN_SECONDS = 2.0
ROOM_WARMUP_SECONDS = 1.0
# Nice levels by which the echoing load generator goes before the other one.
URGENCY = 10

EPILOG = """\
examples:
  scripts/bench fairness
  scripts/bench fairness --rounds 1 --seconds 3 --members 1000
"""


@dataclass
class Echoes:
    """One round of echoes."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    send_lag_max_ms: float
    deliveries_per_second: float
    faults: dict[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=count, default=3, help="of each, interleaved (default 3)")
    parser.add_argument("--seconds", type=positive, default=10.0, help="of echoes a round (default 10)")
    parser.add_argument("--connections", type=count, default=50, help="connections that echo (default 50)")
    parser.add_argument("--rate", type=positive, default=1_000.0, help="echoes a second (default 1,000)")
    parser.add_argument("--members", type=count, default=10_000, help="members of the room (default 10,000)")
    parser.add_argument("--publications", type=positive, default=10.0, help="messages a second to it (default 10)")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    prepare(options, root)
    rounds: dict[str, list[Echoes]] = {"alone": [], "beside the room": []}
    failures = []
    for round_ in range(options.rounds):
        for name, results in rounds.items():
            try:
                echoes = _round(options, root, name != "alone")
            except (Failure, OSError) as failure:
                failures.append(f"round {round_ + 1} {name}: {failure}")
                continue
            results.append(echoes)
            say(f"round {round_ + 1} {name}: p50 {echoes.p50_ms:.2f} ms, max {echoes.max_ms:.2f} ms")
    return _outcome(options, rounds, failures)


def _round(options: argparse.Namespace, root: Path, with_room: bool) -> Echoes:
    kind = kind_of("engine", options.engine, root)
    words = [options.load, "echo", "--connections", str(options.connections), "--rate-messages", f"{options.rate:g}"]
    words += ["--warmup", f"{MARGIN_SECONDS:g}", "--duration", f"{options.seconds:g}"]
    words += ["--cpus", str(options.load_cpu), "--json"]
    seconds_max = options.seconds + 60
    with RunningServer(kind, root, options.server_cpu) as server:
        echo_words = [*words, "--url", server.url("/echo")]
        if not with_room:
            with Generator(echo_words, root, options.load_cpu, URGENCY) as echo:
                return _echoes(echo.result(seconds_max), None)
        with Generator(_room_words(options, server), root, options.load_cpu) as room:
            _await_members(room, server, options)
            with Generator(echo_words, root, options.load_cpu, URGENCY) as echo:
                output = echo.result(seconds_max)
            return _echoes(output, room.result(seconds_max))


def _room_words(options: argparse.Namespace, server: RunningServer) -> list[str]:
    words = [options.load, "fanout", "--url", server.url("/raw/fairness"), "--connections", str(options.members + 1)]
    words += ["--rate-messages", f"{options.publications:g}", "--bytes", "128"]
    words += ["--warmup", f"{ROOM_WARMUP_SECONDS:g}", "--duration", f"{options.seconds + 2 * MARGIN_SECONDS:g}"]
    return [*words, "--cpus", str(options.load_cpu), "--json"]


def _await_members(room: Generator, server: RunningServer, options: argparse.Namespace) -> None:
    """Until the server holds the descriptors of all members."""
    for _ in range(600):
        if room.is_done(0.1):
            room.result(0.1)
            raise Failure("the room's load generator ended before the echoes began")
        if _sockets(server.pid) >= options.members:
            return
    raise Failure(f"{options.members:,} members did not join within 60 s")


def _sockets(pid: int) -> int:
    """Descriptors of the fullest table of a process: each shard has one of its own."""
    return max(sum(1 for _ in (task / "fd").iterdir()) for task in Path(f"/proc/{pid}/task").iterdir())


def _echoes(output: dict, room: dict | None) -> Echoes:
    latency, lag = output.get("latency_microseconds"), output.get("send_lag_microseconds")
    if not latency or not lag:
        raise Failure("no echo came back")
    found = faults(output)
    for name, number in faults(room or {}).items():
        found[name] = found.get(name, 0) + number
    if room:
        covered = room["measured_from"] <= output["measured_from"] and output["measured_to"] <= room["measured_to"]
        if not covered:
            raise Failure("the room's messages did not last as long as the echoes: is the machine busy?")
    return Echoes(
        latency["p50"] / 1e3,
        latency["p99"] / 1e3,
        latency["max"] / 1e3,
        lag["max"] / 1e3,
        float(room["messages_per_second"]) if room else 0.0,
        found,
    )


def _outcome(options: argparse.Namespace, rounds: dict[str, list[Echoes]], failures: list[str]) -> Outcome:
    table = Table(
        f"Echoes by the clock, {options.rate:g} a second, on one shard",
        ("echoes", "p50 ms", "p99 ms", "max ms", "sent late by, max ms", "room's deliveries/s", "notes"),
        frozenset({"echoes", "notes"}),
    )
    outcome = Outcome(tables=[table], failures=failures)
    medians: dict[str, list[float]] = {}
    for name, results in rounds.items():
        if not results:
            continue
        columns = [[r.p50_ms for r in results], [r.p99_ms for r in results], [r.max_ms for r in results]]
        medians[name] = [statistics.median(columns[0]), statistics.median(columns[1]), max(columns[2])]
        wrong = {fault for result in results for fault in result.faults}
        outcome.invalid |= bool(wrong)
        table.add(
            name,
            *(f"{value:.2f}" for value in medians[name]),
            f"{max(result.send_lag_max_ms for result in results):.2f}",
            f"{statistics.median(result.deliveries_per_second for result in results):,.0f}",
            "; ".join(f"INVALID: {fault}" for fault in sorted(wrong)),
        )
        outcome.document[name.replace(" ", "_")] = [vars(result) for result in results]
    if len(medians) == 2:
        alone, beside = medians.values()
        table.add("ratio", *(f"{b / a:.2f}" for a, b in zip(alone, beside)), "", "", "")
        good = beside[2] <= LATENCY_MAX_WANTED_MS
        outcome.invalid |= not good
        outcome.words = [
            f"p50 and p99 are medians of {options.rounds} rounds of {options.seconds:g} s, max is over all of them.",
            f"{'No' if good else 'Some'} echo beside the room took longer than {LATENCY_MAX_WANTED_MS:g} ms"
            f"{'' if good else ': MISSED'}.",
        ]
    return outcome
