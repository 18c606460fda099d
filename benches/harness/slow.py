"""What one member that does not read does to the others of its room.

A room of 1,000 on one shard gets messages by the clock: with all members reading, and with one that reads nothing,
interleaved, under each policy for slow consumers. Latency is that of the members who read, and counts from the time at
which a message was due. With `disconnect` the stuck member is closed when it has fallen behind too far; with the
others it stays to the end.
"""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from .failure import Failure
from .load import Generator, doubts, faults
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .servers import RunningServer, kind_of
from .table import Table

SUMMARY = "latency in a room of 1,000, with all members reading and with one that reads nothing"
POLICIES = ("disconnect", "drop_oldest", "keep_latest")
P99_RATIO_WANTED = 1.25
WARMUP_SECONDS = 1.0

EPILOG = """\
examples:
  scripts/bench slow
  scripts/bench slow --policies keep_latest --rounds 2 --seconds 3
"""


@dataclass
class Round:
    """What the members who read have measured, and what the load generator knows of the stuck one."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    deliveries_per_second: float
    stuck_closed: int
    stuck_missed: int
    faults: dict[str, int]
    # Why the load generator says that it measured itself.
    doubts: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES, help="these alone (default all)")
    parser.add_argument("--rounds", type=count, default=10, help="of each, interleaved (default 10)")
    parser.add_argument("--seconds", type=positive, default=5.0, help="of messages a round (default 5)")
    parser.add_argument("--members", type=count, default=1_000, help="members of the room (default 1,000)")
    parser.add_argument("--publications", type=positive, default=100.0, help="messages a second to it (default 100)")
    parser.add_argument("--bytes", type=count, default=1_024, help="of each message (default 1,024)")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    prepare(options, root)
    rounds: dict[str, dict[bool, list[Round]]] = {policy: {False: [], True: []} for policy in options.policies}
    failures = []
    for round_ in range(options.rounds):
        for policy, results in rounds.items():
            # Whatever drifts within a pair shall not always harm the same one.
            for with_stuck in (False, True) if round_ % 2 == 0 else (True, False):
                name = f"{policy}, {'one stuck' if with_stuck else 'all read'}"
                try:
                    found = _round(options, root, policy, with_stuck)
                except (Failure, OSError) as failure:
                    failures.append(f"round {round_ + 1} {name}: {failure}")
                    continue
                results[with_stuck].append(found)
                say(f"round {round_ + 1} {name}: p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms")
    return outcome(options, rounds, failures)


def _round(options: argparse.Namespace, root: Path, policy: str, with_stuck: bool) -> Round:
    kind = kind_of("engine", options.engine, root)
    with RunningServer(kind, root, options.server_cpu, extra=("--slow-consumer", policy)) as server:
        with Generator(_words(options, server, with_stuck), root, options.load_cpu) as generator:
            output = generator.result(options.seconds + 60)
    latency = output.get("latency_microseconds")
    if not latency:
        raise Failure("no message came")
    stuck = output.get("slow") or {}
    return Round(
        latency["p50"] / 1e3,
        latency["p99"] / 1e3,
        latency["max"] / 1e3,
        float(output["messages_per_second"]),
        int(stuck.get("closed") or 0),
        int(stuck.get("missed") or 0),
        faults(output),
        doubts(output),
    )


def _words(options: argparse.Namespace, server: RunningServer, with_stuck: bool) -> list[str]:
    # One publishes. The share is of all connections, and rounded: one is one.
    connections = options.members + 1
    words = [options.load, "slow", "--url", server.url("/raw/slow"), "--connections", str(connections)]
    words += ["--slow-share", f"{1 / connections if with_stuck else 0:.9f}"]
    words += ["--rate-messages", f"{options.publications:g}", "--bytes", str(options.bytes)]
    words += ["--warmup", f"{WARMUP_SECONDS:g}", "--duration", f"{options.seconds:g}"]
    return [*words, "--cpus", str(options.load_cpu), "--json"]


def outcome(
    options: argparse.Namespace, rounds: dict[str, dict[bool, list[Round]]], failures: list[str]
) -> Outcome:
    """The tables, and whether the figures are what is wanted."""
    table = Table(
        f"{options.publications:g} messages a second of {options.bytes:,} bytes to {options.members:,} members",
        ("policy", "members", "p50 ms", "p99 ms", "max ms", "deliveries/s", "stuck one missed", "notes"),
        frozenset({"policy", "members", "notes"}),
    )
    found = Outcome(tables=[table], failures=failures)
    for policy, results in rounds.items():
        medians = {}
        for with_stuck, of in results.items():
            if not of:
                continue
            medians[with_stuck] = statistics.median(one.p99_ms for one in of)
            wrong = {fault for one in of for fault in one.faults}
            doubted = [one.doubts for one in of if one.doubts]
            found.invalid |= bool(wrong or doubted)
            missed = [one.stuck_missed for one in of]
            notes = [f"INVALID: {fault}" for fault in sorted(wrong)]
            if doubted:
                notes.append(f"INVALID: {len(doubted)} of {len(of)} rounds, {doubted[0][0]}")
            if any(one.stuck_closed for one in of):
                notes.append(f"the stuck one was closed in {sum(one.stuck_closed for one in of)} of {len(of)} rounds")
            table.add(
                policy,
                "one stuck" if with_stuck else "all read",
                f"{statistics.median(one.p50_ms for one in of):.2f}",
                f"{medians[with_stuck]:.2f}",
                f"{max(one.max_ms for one in of):.2f}",
                f"{statistics.median(one.deliveries_per_second for one in of):,.0f}",
                f"{statistics.median(missed):,.0f}" if with_stuck else "",
                "; ".join(notes),
            )
        found.document[policy] = {
            "one_stuck" if with_stuck else "all_read": [vars(one) for one in of] for with_stuck, of in results.items()
        }
        if len(medians) == 2:
            ratio = medians[True] / medians[False]
            good = ratio <= P99_RATIO_WANTED
            found.invalid |= not good
            found.document[policy]["p99_ratio"] = ratio
            found.words.append(
                f"{policy}: with one stuck member the others' median p99 is {ratio:.2f} times that without it"
                f"{'' if good else f', more than {P99_RATIO_WANTED}: MISSED'}."
            )
    found.words.append(f"p50 and p99 are medians of {options.rounds} rounds of {options.seconds:g} s.")
    return found
