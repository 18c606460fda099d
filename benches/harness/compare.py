"""Measures the engine against the floor and its peers, interleaved, under one load generator."""

import argparse
import time
from pathlib import Path

from . import load, million, plot, report, scenarios, servers
from .cpu import machine_seconds
from .failure import Failure
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say

SUMMARY = "engine, floor and peers, interleaved: rates, CPU time a message, and ratios"

EPILOG = """\
examples:
  scripts/bench                                   everything, 5 rounds: about 25 minutes
  scripts/bench --quick                           every scenario once, for a second each: within five minutes
  scripts/bench --scenario echo-64 --rounds 9     one scenario, thoroughly
  scripts/bench --server engine --server floor    without the peers
  scripts/bench --patience 60                     on a machine that others use: wait for a quiet moment before each run
  scripts/bench --json bench.json --svg bench.svg the table, all rounds as JSON, and a picture of the ratios
  scripts/bench --server engine --server floor \\
      --engine 'target/release/floor {job} --listen 127.0.0.1:{port} --cpu {cpu}'
                                                  the harness against itself: every ratio should be 1

CPU time a message is the server's user and system time while the load is steady, divided by the messages that the
load generator received; of `connect`, a message is a handshake. On loopback it holds the receiver's share of TCP too.
"engine/this CPU" below 1 means that the engine is the cheaper one. Rates are comparable only in rows where the
server's core was the busier.
"""

# What may be missing if it was not asked for by name.
OPTIONAL = ("uws",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [scenario.name for scenario in scenarios.SCENARIOS]
    parser.add_argument("--quick", action="store_true", help="one round of one second each: does it work at all?")
    parser.add_argument("--rounds", type=count, help="rounds, of which medians are taken (default 5)")
    parser.add_argument("--seconds", type=positive, help="seconds of load a run (default 4)")
    parser.add_argument(
        "--scenario", action="append", choices=names, metavar="NAME", help=f"only this, repeatable: {', '.join(names)}"
    )
    parser.add_argument(
        "--server",
        action="append",
        choices=servers.NAMES,
        metavar="NAME",
        help=f"only this, repeatable: {', '.join(servers.NAMES)}",
    )
    parser.add_argument(
        "--hold",
        type=int,
        metavar="N",
        help="connections that the engine then holds, as in `million`; 0: none "
        f"(default {million.QUICK_CONNECTIONS:,}, or none where --scenario or --server is given)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for a quiet machine before each run (default 0)",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the ratios there")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    if options.hold is None:
        options.hold = 0 if options.scenario or options.server else million.QUICK_CONNECTIONS
    prepare(options, root)
    kinds = _kinds(options, root)
    all_results, failures = _measure(options, root, kinds)
    outcome = Outcome(
        tables=[table for table in (report.table(all_results), report.wanted(all_results)) if table],
        words=[
            f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s.",
            "A share is of rates where the server's core was the busier one on both sides, and else of what CPU time "
            "a message leaves to a core.",
        ],
        document={
            "rounds": options.rounds,
            "seconds": options.seconds,
            "scenarios": [results.as_json() for results in all_results],
        },
        failures=failures,
        invalid=any(results.faults(server) for results in all_results for server in results.runs),
    )
    if options.svg:
        options.svg.write_text(plot.ratios(all_results))
        outcome.picture = options.svg
    if options.hold and not failures:
        outcome.add(million.measure(million.quick(options, options.hold), root), "hold")
    return outcome


def _kinds(options: argparse.Namespace, root: Path) -> list[servers.ServerKind]:
    """The servers. A peer that was not asked for by name may be missing."""
    present = []
    for kind in servers.kinds(options.engine):
        if options.server and kind.name not in options.server:
            continue
        reason = kind.missing(root)
        if reason is None:
            present.append(kind)
        elif kind.name in OPTIONAL and not options.server:
            say(f"bench: goes on without {reason}")
        else:
            raise Failure(reason)
    return present


def _measure(options: argparse.Namespace, root: Path, kinds: list[servers.ServerKind]) -> tuple[list, list[str]]:
    all_results = [report.Results(scenario) for scenario in scenarios.by_names(options.scenario)]
    failures: list[str] = []
    plan = [
        (round_, kind, results)
        for round_ in range(options.rounds)
        for results in all_results
        for kind in rotated(kinds, round_)
    ]
    for done, (round_, kind, results) in enumerate(plan, start=1):
        where = f"[{done}/{len(plan)}] {results.scenario.name} {kind.name}"
        try:
            run = _one(options, root, kind, results.scenario)
        except (Failure, OSError) as failure:
            failures.append(f"{where}: {failure}")
            say(f"{where}: FAILED: {failure}")
            continue
        except KeyboardInterrupt:
            failures.append(f"{where}: interrupted; this is what was measured before")
            break
        results.add(kind.name, round_, run)
        cpu = "-" if run.cpu_nanoseconds is None else f"{run.cpu_nanoseconds:,.0f}"
        say(f"{where}: {run.messages_per_second:,.0f}/s, {cpu} ns{', starved' if run.starved else ''}")
    for results in all_results:
        results.runs = {kind.name: results.runs[kind.name] for kind in kinds if kind.name in results.runs}
    return all_results, failures


def rotated(kinds: list, round_: int) -> list:
    """Another one begins in each round, so that none always has the warm or the cold machine."""
    shift = round_ % len(kinds)
    return kinds[shift:] + kinds[:shift]


def _await_quiet(patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        begin = machine_seconds()
        time.sleep(0.5)
        if (machine_seconds() - begin) / 0.5 < load.OTHERS_SHARE_MAX:
            return


def _one(options: argparse.Namespace, root: Path, kind: servers.ServerKind, scenario: scenarios.Scenario) -> load.Run:
    _await_quiet(options.patience)
    with servers.RunningServer(kind, root, options.server_cpu, job=scenario.floor_job) as server:
        return load.run(root, options.load, scenario, server, options.load_cpu, options.seconds)
