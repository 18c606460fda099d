"""Medians, ratios and the table of the comparison."""

import statistics
from dataclasses import dataclass, field

from .load import OTHERS_SHARE_MAX, Run
from .scenarios import Scenario
from .table import Table, number

BASE = "engine"
# What the engine should reach: scenario, server, and the share of that server's rate.
WANTED = (
    ("echo-64", "floor", 0.9),
    ("echo-64-pipelined", "floor", 0.9),
    ("fanout-1k", "floor", 0.9),
    ("fanout-10k", "floor", 0.9),
    ("echo-16k", "uws", 1.0),
    ("connect", "floor", 0.7),
)


@dataclass
class Results:
    """The runs of one scenario, by server and round."""

    scenario: Scenario
    runs: dict[str, dict[int, Run]] = field(default_factory=dict)

    def add(self, server: str, round_: int, run: Run) -> None:
        self.runs.setdefault(server, {})[round_] = run

    def usable(self, server: str) -> dict[int, Run]:
        """The runs that medians are taken of: those that were not starved or, if all were, all."""
        runs = self.runs.get(server, {})
        return {round_: run for round_, run in runs.items() if not run.starved} or runs

    def median(self, server: str, what: str) -> float | None:
        return _median([getattr(run, what) for run in self.usable(server).values()])

    def ratio(self, server: str, what: str) -> float | None:
        """The engine's value over the server's: the median over rounds, since rounds share the machine's mood."""
        ours, theirs = self.usable(BASE), self.usable(server)
        both = ours.keys() & theirs.keys()
        if ours and not both:
            # Starvation can leave no round that both have; then the medians must do.
            return _ratio(self.median(BASE, what), self.median(server, what))
        return _median([_ratio(getattr(ours[round_], what), getattr(theirs[round_], what)) for round_ in both])

    def reached(self, server: str) -> tuple[float | None, str]:
        """The share of the server's rate that the engine reaches, and what that was taken from.

        Where the load generator was the busier, both rates are its own: then it is the rate that the CPU time a message
        leaves to a core.
        """
        busiest = [self.median(name, "server_share") >= self.median(name, "load_share") for name in (BASE, server)]
        if all(busiest):
            return self.ratio(server, "messages_per_second"), "rate"
        cpu = self.ratio(server, "cpu_nanoseconds")
        return (1 / cpu if cpu else None), "CPU time"

    def faults(self, server: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for run in self.runs[server].values():
            for name, count in run.faults.items():
                sums[name] = sums.get(name, 0) + count
        return sums

    def notes(self, server: str) -> list[str]:
        """What keeps the row from being taken at its word."""
        notes = [f"INVALID: {count} {name}" for name, count in self.faults(server).items()]
        runs = self.runs[server].values()
        starved = sum(run.starved for run in runs)
        if starved:
            kept = ", NOT left out" if starved == len(runs) else ""
            notes.append(f"{starved} of {len(runs)} rounds starved{kept}")
        doubts = []
        if self.median(server, "load_share") > self.median(server, "server_share"):
            doubts.append("load's core the busier")
        others = self.median(server, "others_share")
        if others > OTHERS_SHARE_MAX:
            doubts.append(f"others used {others:.1f} cores")
        if doubts:
            notes.append(f"only CPU time counts: {', '.join(doubts)}")
        return notes

    def as_json(self) -> dict:
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.title,
            "servers": {server: self._server_as_json(server) for server in self.runs},
        }

    def _server_as_json(self, server: str) -> dict:
        return {
            "messages_per_second": self.median(server, "messages_per_second"),
            "cpu_nanoseconds": self.median(server, "cpu_nanoseconds"),
            "load_cpu_nanoseconds": self.median(server, "load_cpu_nanoseconds"),
            "engine_rate_ratio": self.ratio(server, "messages_per_second"),
            "engine_cpu_ratio": self.ratio(server, "cpu_nanoseconds"),
            "notes": self.notes(server),
            "rounds": [run.as_json() for _, run in sorted(self.runs[server].items())],
        }


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def table(all_results: list[Results]) -> Table:
    """One row for each scenario and server."""
    result = Table(
        "Medians; engine/this above 1 in rate and below 1 in CPU means that the engine is the better one",
        (
            "scenario", "server", "messages/s", "CPU ns/message", "server busy", "load busy",
            "engine/this rate", "engine/this CPU", "notes",
        ),  # fmt: skip
        frozenset({"scenario", "server", "notes"}),
    )
    for results in all_results:
        for server in results.runs:
            result.add(*_row(results, server))
    return result


def _row(results: Results, server: str) -> tuple[str, ...]:
    def ratio(what: str) -> str:
        return "" if server == BASE else number(results.ratio(server, what), ".2f")

    return (
        results.scenario.title,
        server,
        number(results.median(server, "messages_per_second"), ",.0f"),
        number(results.median(server, "cpu_nanoseconds"), ",.0f"),
        number(results.median(server, "server_share"), ".0%"),
        number(results.median(server, "load_share"), ".0%"),
        ratio("messages_per_second"),
        ratio("cpu_nanoseconds"),
        "; ".join(results.notes(server)),
    )


def wanted(all_results: list[Results]) -> Table | None:
    """What the engine should reach and what it does, of the scenarios and servers that were run."""
    result = Table(
        "What is wanted of the engine",
        ("scenario", "against", "wanted", "reached", "by", "verdict"),
        frozenset({"scenario", "against", "by", "verdict"}),
    )
    by_name = {results.scenario.name: results for results in all_results}
    for scenario, server, share in WANTED:
        results = by_name.get(scenario)
        if results is None or not {BASE, server} <= results.runs.keys():
            continue
        reached, source = results.reached(server)
        verdict = "-" if reached is None else "met" if reached >= share else "MISSED"
        result.add(results.scenario.title, server, f"{share:.2f}", number(reached, ".2f"), source, verdict)
    return result if result.rows else None
