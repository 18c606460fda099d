"""What is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One load, the same for every server. Of `connect`, a message is a handshake."""

    name: str
    title: str
    job: str
    connections: int
    bytes: int
    # Messages under way at once, for each connection of an echo and for the publisher of a fan-out.
    in_flight: int

    @property
    def floor_job(self) -> str:
        """What the floor is told to do."""
        return "accept" if self.job == "connect" else self.job

    @property
    def path(self) -> str:
        return "/raw/bench" if self.job == "fanout" else "/echo"


SCENARIOS = [
    Scenario("echo-64", "echo 64 B, 200 connections, 1 in flight", "echo", 200, 64, 1),
    Scenario("echo-64-pipelined", "echo 64 B, 200 connections, 16 in flight", "echo", 200, 64, 16),
    Scenario("echo-16k", "echo 16 KiB, 200 connections, 1 in flight", "echo", 200, 16 * 1024, 1),
    Scenario("fanout-1k", "fan-out 128 B to 1,000, 4 in flight", "fanout", 1_000, 128, 4),
    Scenario("fanout-10k", "fan-out 128 B to 10,000, 4 in flight", "fanout", 10_000, 128, 4),
    # What one descriptor table of 20,000 holds, with some to spare.
    Scenario("connect", "15,000 handshakes, as fast as they go", "connect", 15_000, 0, 0),
]


def by_names(names: list[str]) -> list[Scenario]:
    """The scenarios of these names, or all."""
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]
