"""The command line and the order of the runs."""

import argparse
import json
import os
import platform
import resource
import shlex
import signal
import sys
import time
from pathlib import Path

from . import load, report, scenarios, servers
from .cpu import machine_seconds
from .failure import Failure

LOAD = "target/release/ringmain-load"

EXAMPLES = """\
examples:
  scripts/bench                                   everything, 5 rounds: about 10 minutes
  scripts/bench --quick                           every scenario once, for a second each
  scripts/bench --scenario echo-64 --rounds 9     one scenario, thoroughly
  scripts/bench --server engine --server floor    without the peer
  scripts/bench --patience 60                     on a machine that others use: wait for a quiet moment before each run
  scripts/bench --json bench.json                 the table, and all rounds as JSON
  scripts/bench --load target/release/floor-load --server engine --server floor \\
      --engine 'target/release/floor {job} --listen 127.0.0.1:{port} --cpu {cpu}'
                                                  the harness against itself: every ratio should be 1

CPU time a message is the server's user and system time while the load is steady, divided by the messages that the
load generator received. On loopback it holds the receiver's share of TCP too. "engine/this CPU" below 1 means that
the engine is the cheaper one. Rates are comparable only in rows where the server's core was the busier.

exit status: 0 done; 1 interrupted, a run failed, or messages were lost, duplicated, reordered or corrupt; 2 cannot begin
"""


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures the engine against the floor and uWebSockets.js, interleaved, under one load generator.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [scenario.name for scenario in scenarios.SCENARIOS]
    parser.add_argument("--quick", action="store_true", help="one round of one second: does it work at all?")
    parser.add_argument("--rounds", type=int, help="rounds, of which medians are taken (default 5)")
    parser.add_argument("--seconds", type=float, help="seconds of load a run (default 4)")
    parser.add_argument(
        "--scenario", action="append", choices=names, metavar="NAME", help=f"only this, repeatable: {', '.join(names)}"
    )
    parser.add_argument(
        "--server", action="append", choices=["engine", "floor", "uws"], help="only this, repeatable (default: all)"
    )
    parser.add_argument("--engine", metavar="COMMAND", help=f"another engine (default: {servers.ENGINE})")
    parser.add_argument("--load", metavar="BINARY", default=LOAD, help="another load generator (default: %(default)s)")
    parser.add_argument("--server-cpu", type=int, default=0, help="the servers' core (default 0)")
    parser.add_argument("--load-cpu", type=int, default=1, help="the load generator's core (default 1)")
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for a quiet machine before each run (default 0)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parsed = parser.parse_args(arguments)
    parsed.rounds = parsed.rounds or (1 if parsed.quick else 5)
    parsed.seconds = parsed.seconds or (1.0 if parsed.quick else 4.0)
    if parsed.rounds < 1 or parsed.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    return parsed


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _prepare(options: argparse.Namespace, root: Path) -> list[servers.ServerKind]:
    """Checks that everything is there. A peer that was not asked for by name may be missing."""
    missing_cpus = {options.server_cpu, options.load_cpu} - os.sched_getaffinity(0)
    if missing_cpus or options.server_cpu == options.load_cpu:
        raise Failure("two different cores are needed, of those this process may use: see --server-cpu and --load-cpu")
    if not (root / options.load).exists():
        raise Failure(f"there is no {options.load}: run `cargo build --release -p ringmain-loadgen`")
    kinds = [kind for kind in servers.kinds(options.engine) if not options.server or kind.name in options.server]
    present = []
    for kind in kinds:
        reason = kind.missing(root)
        if reason is None:
            present.append(kind)
        elif kind.name == "uws" and not options.server:
            _say(f"bench: goes on without {reason}")
        else:
            raise Failure(reason)
    # Room for 10,000 sockets in whatever is started from here.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return present


def _measure(options: argparse.Namespace, root: Path, kinds: list[servers.ServerKind]) -> tuple[list, list[str]]:
    chosen = scenarios.by_names(options.scenario)
    all_results = [report.Results(scenario) for scenario in chosen]
    failures: list[str] = []
    plan = [
        (round_, kind, results)
        for round_ in range(options.rounds)
        for results in all_results
        for kind in _rotated(kinds, round_)
    ]
    for done, (round_, kind, results) in enumerate(plan, start=1):
        where = f"[{done}/{len(plan)}] {results.scenario.name} {kind.name}"
        try:
            run = _one(options, root, kind, results.scenario)
        except (Failure, OSError) as failure:
            failures.append(f"{where}: {failure}")
            _say(f"{where}: FAILED: {failure}")
            continue
        except KeyboardInterrupt:
            failures.append(f"{where}: interrupted; this is what was measured before")
            break
        results.add(kind.name, round_, run)
        cpu = "-" if run.cpu_nanoseconds is None else f"{run.cpu_nanoseconds:,.0f}"
        _say(f"{where}: {run.messages_per_second:,.0f}/s, {cpu} ns{', starved' if run.starved else ''}")
    for results in all_results:
        results.runs = {kind.name: results.runs[kind.name] for kind in kinds if kind.name in results.runs}
    return all_results, failures


def _rotated(kinds: list[servers.ServerKind], round_: int) -> list[servers.ServerKind]:
    """Another server begins in each round, so that none always has the warm or the cold machine."""
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
    with servers.RunningServer(kind, scenario.job, options.server_cpu, root) as server:
        return load.run(root, options.load, scenario, server, options.load_cpu, options.seconds)


def _conditions(options: argparse.Namespace) -> dict:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "load": shlex.split(options.load)[0],
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def main(root: Path, arguments: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    options = _arguments(arguments)
    # Like Ctrl-C, so that whatever runs is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        kinds = _prepare(options, root)
        all_results, failures = _measure(options, root, kinds)
    except Failure as failure:
        _say(f"bench: {failure}")
        return 2
    conditions = _conditions(options)
    print(report.table(all_results))
    print(
        f"\nmedians of {conditions['rounds']} interleaved rounds of {conditions['seconds']:g} s; {conditions['cpu']}, "
        f"{conditions['cores']} cores, Linux {conditions['kernel']}; load: {conditions['load']}"
    )
    for failure in failures:
        print(f"FAILED {failure}")
    if options.json:
        document = {
            "conditions": conditions,
            "scenarios": [results.as_json() for results in all_results],
            "failures": failures,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    invalid = any(results.faults(server) for results in all_results for server in results.runs)
    return 1 if failures or invalid else 0
