"""One room's members on one shard, and the same members on two.

With two cores in all, load generator and server share the second one wherever the server has both: CPU time a delivery
is what counts there, and the rate only says that nothing stands still.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from .compare import rotated
from .failure import Failure
from .load import run as run_load
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .report import Results
from .scenarios import Scenario
from .servers import RunningServer, kind_of
from .table import Table, number

SUMMARY = "one room on one shard and on two: CPU time a delivery"

EPILOG = """\
examples:
  scripts/bench shards
  scripts/bench shards --members 10000 --rounds 1 --seconds 2
"""


@dataclass(frozen=True)
class Layout:
    """Where the engine's shards run."""

    name: str
    shards: int
    cpus: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--members", type=count, default=1_000, help="members of the room (default 1,000)")
    parser.add_argument("--bytes", type=count, default=128, help="bytes of each message (default 128)")
    parser.add_argument("--rounds", type=count, default=5, help="rounds, of which medians are taken (default 5)")
    parser.add_argument("--seconds", type=positive, default=4.0, help="of load a run (default 4)")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    prepare(options, root)
    server, load = options.server_cpu, options.load_cpu
    layouts = [
        Layout(f"1 shard on core {server}", 1, str(server)),
        Layout(f"2 shards on core {server}", 2, str(server)),
        Layout(f"2 shards on cores {server} and {load}", 2, f"{server},{load}"),
    ]
    title = f"fan-out {options.bytes} B to {options.members:,}, 4 in flight"
    scenario = Scenario("shards", title, "fanout", options.members, options.bytes, 4)
    results = Results(scenario)
    outcome = Outcome()
    for round_ in range(options.rounds):
        for layout in rotated(layouts, round_):
            try:
                _one(options, root, layout, results, round_)
            except (Failure, OSError) as failure:
                outcome.failures.append(f"round {round_ + 1}, {layout.name}: {failure}")
    outcome.tables = [_table(results, layouts)]
    outcome.words = [f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s."]
    outcome.document = {layout.name: _as_json(results, layout) for layout in layouts if layout.name in results.runs}
    outcome.invalid = any(results.faults(name) for name in results.runs)
    return outcome


def _one(options: argparse.Namespace, root: Path, layout: Layout, results: Results, round_: int) -> None:
    kind = kind_of("engine", options.engine, root)
    with RunningServer(kind, root, layout.cpus, shards=layout.shards) as server:
        run = run_load(root, options.load, results.scenario, server, options.load_cpu, options.seconds)
    results.add(layout.name, round_, run)
    say(f"round {round_ + 1}, {layout.name}: {run.messages_per_second:,.0f}/s, {run.cpu_nanoseconds or 0:,.0f} ns")


def _as_json(results: Results, layout: Layout) -> dict:
    return {
        "deliveries_per_second": results.median(layout.name, "messages_per_second"),
        "cpu_nanoseconds": results.median(layout.name, "cpu_nanoseconds"),
        "rounds": [run.as_json() for _, run in sorted(results.runs[layout.name].items())],
    }


def _table(results: Results, layouts: list[Layout]) -> Table:
    table = Table(
        results.scenario.title,
        ("engine", "deliveries/s", "CPU ns/delivery", "CPU over one shard's", "notes"),
        frozenset({"engine", "notes"}),
    )
    base = results.median(layouts[0].name, "cpu_nanoseconds") if layouts[0].name in results.runs else None
    for layout in layouts:
        if layout.name not in results.runs:
            continue
        cpu = results.median(layout.name, "cpu_nanoseconds")
        wrong = "; ".join(f"INVALID: {count} {name}" for name, count in results.faults(layout.name).items())
        table.add(
            layout.name,
            number(results.median(layout.name, "messages_per_second"), ",.0f"),
            number(cpu, ",.0f"),
            number(cpu / base if cpu and base else None, ".2f"),
            wrong,
        )
    return table
