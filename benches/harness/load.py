"""The load generator: `ringmain-load`, or anything with its command line and its JSON."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from .cpu import Sampler, machine_seconds, process_seconds
from .failure import Failure
from .scenarios import Scenario
from .servers import RunningServer

# What connecting, warming up, waiting for the last message and closing may take beside the measurement itself.
OVERHEAD_SECONDS_MAX = 60.0
# Connections are held this long after the last handshake, so that the CPU time of the handshakes can be read in peace.
CONNECT_HOLD_SECONDS = 0.5
# The search for a free port must not be what is measured, so handshakes come from several loopback addresses.
CONNECT_SOURCES = 4
FAULTS = ("failed", "lost", "duplicated", "reordered", "corrupt", "unexpected", "stalled", "connections_lost")
NO_REASON = "the load generator calls it so"
# Time that others may spend on the machine, in cores, before a run is called disturbed.
OTHERS_SHARE_MAX = 0.1
# In a closed loop one of the two sides is always busy. Where neither had half its core, others kept both waiting.
BUSIER_SHARE_MIN = 0.5


@dataclass
class Run:
    """One server under one load. A message of `connect` is a handshake."""

    messages_per_second: float
    # None if the load generator measured nothing to divide by.
    cpu_nanoseconds: float | None
    load_cpu_nanoseconds: float | None
    server_share: float
    load_share: float
    others_share: float
    faults: dict[str, int]

    @property
    def starved(self) -> bool:
        """Says more about the machine than about the server."""
        return max(self.server_share, self.load_share) < BUSIER_SHARE_MIN

    def as_json(self) -> dict:
        return asdict(self) | {"starved": self.starved}


def faults(output: dict) -> dict[str, int]:
    """What went wrong, by the load generator's own count."""
    return {name: int(output[name]) for name in FAULTS if output.get(name)}


def doubts(output: dict) -> list[str]:
    """Why the load generator calls its own figures invalid: it measured itself, not the server. Nothing if it does not."""
    return [] if output.get("valid", True) else output.get("invalid_because") or [NO_REASON]


class Generator:
    """A load generator at work, gone after the `with` block whatever happens. Its CPU time is sampled on `cpu`."""

    def __init__(self, words: list[str], root: Path, cpu: int, urgency: int = 0):
        def hurry() -> None:
            # Not everyone may; without it the figures are a little worse, and what was sent late is told.
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, -urgency)

        self._errors = tempfile.TemporaryFile()
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            words,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            preexec_fn=hurry if urgency else None,
        )
        self.sampler = Sampler(self._process.pid, cpu)
        self.sampler.start()

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_exception) -> None:
        self.kill()
        self.sampler.stop()
        self._output.close()
        self._errors.close()

    def is_done(self, seconds: float) -> bool:
        """Waits so long at most."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def result(self, seconds_max: float) -> dict:
        """Its report, once it is done; it may have ended with a status other than 0 because messages were lost."""
        if not self.is_done(seconds_max):
            raise Failure(f"the load generator was not done after {seconds_max:.0f} s")
        self._output.seek(0)
        try:
            return json.loads(self._output.read())
        except json.JSONDecodeError:
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace").strip().splitlines()[-3:]
            status = self._process.returncode
            raise Failure(f"the load generator ended with status {status}: {' / '.join(words)}") from None


@lru_cache
def _knows_connect(binary: Path) -> bool:
    text = subprocess.run([binary, "--help"], capture_output=True, text=True).stdout
    return any(line.split()[:1] == ["connect"] for line in text.splitlines())


def command(root: Path, binary: str, scenario: Scenario, server: RunningServer, cpu: int, seconds: float) -> list[str]:
    """The load generator's command line."""
    if scenario.job == "connect":
        # What has no job of that name opens as many connections, then holds them for a moment.
        job, path = ("connect", scenario.path) if _knows_connect(root / binary) else ("idle", "")
        words = [binary, job, "--url", server.url(path), "--connections", str(scenario.connections)]
        words += ["--source-addresses", str(CONNECT_SOURCES), "--duration", f"{CONNECT_HOLD_SECONDS:g}"]
        return words + ["--cpus", str(cpu), "--json"]
    words = [binary, scenario.job, "--url", server.url(scenario.path)]
    # One publishes and the others receive; the titles count those.
    publishers = 1 if scenario.job == "fanout" else 0
    words += ["--connections", str(scenario.connections + publishers), "--bytes", str(scenario.bytes)]
    words += ["--duration", f"{seconds:g}", "--cpus", str(cpu), "--json"]
    words += ["--in-flight", str(scenario.in_flight)]
    if publishers:
        words += ["--publishers", str(publishers)]
    return words


def run(root: Path, binary: str, scenario: Scenario, server: RunningServer, cpu: int, seconds: float) -> Run:
    """Loads the server once. The load generator is gone afterwards, whatever happened."""
    sampler = Sampler(server.pid, cpu)
    machine_begin, server_begin, begin = machine_seconds(), process_seconds(server.pid), time.monotonic()
    sampler.start()
    try:
        with Generator(command(root, binary, scenario, server, cpu, seconds), root, cpu) as generator:
            output = generator.result(seconds + OVERHEAD_SECONDS_MAX)
    finally:
        sampler.stop()
    server.check()
    load_cpu = max((cpu for _, cpu in generator.sampler.samples), default=0.0)
    own = load_cpu + process_seconds(server.pid) - server_begin
    others = max(0.0, (machine_seconds() - machine_begin - own) / (time.monotonic() - begin))
    if scenario.job == "connect":
        return _evaluate_connect(output, sampler, generator.sampler, server_begin, others)
    return _evaluate(output, sampler, seconds, others)


def _evaluate(output: dict, sampler: Sampler, seconds: float, others: float) -> Run:
    rate = float(output.get("messages_per_second") or 0)
    if not rate:
        known = {name: output[name] for name in ("connected", "sent", "received", *FAULTS) if name in output}
        raise Failure(f"nothing arrived while the load generator measured: {known}")
    window = (output.get("measured_from"), output.get("measured_to"))
    if None in window:
        share = sampler.steady_share(seconds)
        load_cpu = None
    else:
        share = sampler.share_between(*window)
        load_cpu = float(output.get("cpu_seconds") or 0) / (rate * (window[1] - window[0]))
    return Run(
        messages_per_second=rate,
        cpu_nanoseconds=share / rate * 1e9 if share else None,
        load_cpu_nanoseconds=load_cpu * 1e9 if load_cpu else None,
        server_share=share,
        load_share=float(output.get("busy_share") or 0),
        others_share=others,
        faults=faults(output),
    )


def _evaluate_connect(output: dict, server: Sampler, load: Sampler, server_begin: float, others: float) -> Run:
    """CPU time from the start of the load generator until it was told of the last handshake; nothing comes before."""
    connected, seconds = int(output.get("connected") or 0), float(output.get("connect_seconds") or 0)
    end = output.get("measured_from")
    if not connected or not seconds or end is None:
        raise Failure(f"no connection was opened: {output.get('errors') or 'and nothing says why'}")
    server_cpu, load_cpu = server.seconds_at(end) - server_begin, load.seconds_at(end)
    return Run(
        messages_per_second=connected / seconds,
        cpu_nanoseconds=server_cpu / connected * 1e9,
        load_cpu_nanoseconds=load_cpu / connected * 1e9,
        server_share=min(1.0, server_cpu / seconds),
        load_share=min(1.0, load_cpu / seconds),
        others_share=others,
        faults=faults(output),
    )
