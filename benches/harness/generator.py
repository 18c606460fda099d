"""The load generator's own CPU time a message against the engine's: it should cost less than what it loads."""

import argparse
from pathlib import Path

from . import scenarios
from .failure import Failure
from .load import run as run_load
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .report import Results
from .servers import RunningServer, kind_of
from .table import Table, number

SUMMARY = "the load generator's CPU time a message against the engine's"
# The load generator's CPU time a message over the engine's, at most.
RATIO_WANTED = {"echo": 1.2, "fanout": 1.0}

EPILOG = """\
examples:
  scripts/bench load
  scripts/bench load --scenario echo-64 --rounds 9
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [scenario.name for scenario in scenarios.SCENARIOS if scenario.job in RATIO_WANTED]
    parser.add_argument(
        "--scenario", action="append", choices=names, metavar="NAME", help=f"only this, repeatable: {', '.join(names)}"
    )
    parser.add_argument("--rounds", type=count, default=3, help="rounds, of which medians are taken (default 3)")
    parser.add_argument("--seconds", type=positive, default=4.0, help="of load a run (default 4)")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    prepare(options, root)
    kind = kind_of("engine", options.engine, root)
    chosen = [scenario for scenario in scenarios.by_names(options.scenario) if scenario.job in RATIO_WANTED]
    all_results = [Results(scenario) for scenario in chosen]
    outcome = Outcome()
    for round_ in range(options.rounds):
        for results in all_results:
            where = f"round {round_ + 1}, {results.scenario.name}"
            try:
                with RunningServer(kind, root, options.server_cpu) as server:
                    run = run_load(root, options.load, results.scenario, server, options.load_cpu, options.seconds)
            except (Failure, OSError) as failure:
                outcome.failures.append(f"{where}: {failure}")
                continue
            results.add("engine", round_, run)
            say(f"{where}: load {run.load_cpu_nanoseconds or 0:,.0f} ns, engine {run.cpu_nanoseconds or 0:,.0f} ns")
    table = Table(
        "CPU time of the load generator",
        ("scenario", "load ns/message", "engine ns/message", "load/engine", "wanted", "verdict"),
        frozenset({"scenario", "verdict"}),
    )
    outcome.tables = [table]
    outcome.words = [f"Medians of {options.rounds} rounds of {options.seconds:g} s."]
    for results in all_results:
        if results.runs:
            _judge(results, table, outcome)
    return outcome


def _judge(results: Results, table: Table, outcome: Outcome) -> None:
    load, engine = results.median("engine", "load_cpu_nanoseconds"), results.median("engine", "cpu_nanoseconds")
    ratio = load / engine if load and engine else None
    wanted = RATIO_WANTED[results.scenario.job]
    good = ratio is not None and ratio < wanted
    wrong = "; ".join(f"INVALID: {number} {name}" for name, number in results.faults("engine").items())
    outcome.invalid |= not good or bool(wrong)
    table.add(
        results.scenario.title,
        number(load, ",.0f"),
        number(engine, ",.0f"),
        number(ratio, ".2f"),
        f"below {wanted:g}",
        wrong or ("met" if good else "MISSED"),
    )
    outcome.document[results.scenario.name] = {
        "load_cpu_nanoseconds": load,
        "engine_cpu_nanoseconds": engine,
        "ratio": ratio,
        "ratio_wanted_below": wanted,
        "rounds": [run.as_json() for _, run in sorted(results.runs["engine"].items())],
    }
