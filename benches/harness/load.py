"""The load generator: `ringmain-load`, or anything with its command line and its JSON."""

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .cpu import Sampler, machine_seconds, process_seconds
from .failure import Failure
from .scenarios import Scenario
from .servers import RunningServer

# What connecting, warming up, waiting for the last message and closing may take beside the measurement itself.
OVERHEAD_SECONDS_MAX = 60.0
FAULTS = ("lost", "duplicated", "reordered", "corrupt", "unexpected", "stalled", "connections_lost")
# Time that others may spend on the machine, in cores, before a run is called disturbed.
OTHERS_SHARE_MAX = 0.1
# In a closed loop one of the two sides is always busy. Where neither had half its core, others kept both waiting.
BUSIER_SHARE_MIN = 0.5


@dataclass
class Run:
    """One server under one load."""

    messages_per_second: float
    # None if the load generator measured nothing to divide by.
    cpu_nanoseconds: float | None
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


def command(binary: str, scenario: Scenario, port: int, cpu: int, seconds: float) -> list[str]:
    """The load generator's command line."""
    words = [binary, scenario.job, "--url", f"ws://127.0.0.1:{port}{scenario.path}"]
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
        output, load_cpu = _output(command(binary, scenario, server.port, cpu, seconds), root, seconds)
    finally:
        sampler.stop()
    server.check()
    own = load_cpu + process_seconds(server.pid) - server_begin
    elapsed = time.monotonic() - begin
    others = max(0.0, (machine_seconds() - machine_begin - own) / elapsed)
    return _evaluate(output, sampler, seconds, others)


def _output(words: list[str], root: Path, seconds: float) -> tuple[dict, float]:
    process = subprocess.Popen(
        words, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        stdout, stderr = process.communicate(timeout=seconds + OVERHEAD_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Failure(f"the load generator was not done after {seconds + OVERHEAD_SECONDS_MAX:.0f} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    text = stdout.decode(errors="replace").strip()
    # It may end with a status other than 0 because messages were lost; then its report is what is wanted.
    try:
        output = json.loads(text)
    except json.JSONDecodeError:
        words = stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise Failure(f"the load generator ended with status {process.returncode}: {' / '.join(words)}") from None
    if not output.get("messages_per_second"):
        known = {name: output[name] for name in ("connected", "sent", "received", *FAULTS) if name in output}
        raise Failure(f"nothing arrived while the load generator measured: {known}")
    return output, float(output.get("cpu_seconds") or 0)


def _evaluate(output: dict, sampler: Sampler, seconds: float, others: float) -> Run:
    rate = float(output["messages_per_second"])
    window = (output.get("measured_from"), output.get("measured_to"))
    if None in window:
        share = sampler.steady_share(seconds)
    else:
        share = sampler.share_between(*window)
    return Run(
        messages_per_second=rate,
        cpu_nanoseconds=share / rate * 1e9 if share else None,
        server_share=share,
        load_share=float(output.get("busy_share") or 0),
        others_share=others,
        faults={name: int(output[name]) for name in FAULTS if output.get(name)},
    )
