"""What TLS costs: handshakes on one core, full and resumed, and the memory of an idle connection.

A handshake is all that it takes to open a WebSocket: TCP, TLS 1.3 where there is TLS, and the upgrade. Handshakes a
second of one core are those that the engine's own CPU time comes to: the load generator, which has as much to reckon,
holds the rate down. That sessions were resumed, or not, is read from the engine's metrics.
"""

import argparse
import dataclasses
import re
import statistics
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from . import hold as holding
from .cpu import Sampler
from .failure import Failure
from .hold import Hold, hold, tell
from .idle import MEMBERS_PER_ROOM, row, table
from .load import Generator, faults
from .options import add_common, count, positive, prepare
from .outcome import Outcome, say
from .servers import RunningServer, ServerKind, free_port, kind_of
from .table import Table

SUMMARY = "handshakes on one core, full and resumed, and bytes of an idle TLS connection"
USER_BYTES_WANTED = 12 * 1024
USER_BYTES_GOOD = 8 * 1024
KEYS = {"p256": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa2048": ("rsa:2048",)}
# Connections that are held when the last handshake is done, so that its CPU time can be read in peace.
SETTLE_SECONDS = 0.5
RESUMED_SHARE_MIN = 0.9

EPILOG = """\
examples:
  scripts/bench tls
  scripts/bench tls --rounds 1 --handshakes 2000 --connections 2000 --seconds 5 --io uring
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--handshakes", type=count, default=8_000, help="of each kind a round (default 8,000)")
    parser.add_argument("--rounds", type=count, default=3, help="of each kind, interleaved (default 3)")
    parser.add_argument("--keys", nargs="+", choices=KEYS, default=list(KEYS), help="of the certificate (default all)")
    parser.add_argument("--connections", type=count, default=10_000, help="idle ones (default 10,000)")
    parser.add_argument("--seconds", type=positive, default=20.0, help="how long these are held (default 20)")
    parser.add_argument("--io", default="uring,epoll", help="back ends for the idle ones (default %(default)s)")
    add_common(parser)


def run(options: argparse.Namespace, root: Path) -> Outcome:
    prepare(options, root)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        certificates = {key: _certificate(Path(folder), key) for key in options.keys}
        _handshakes(options, root, certificates, outcome)
        _idle(options, root, certificates[options.keys[0]], outcome)
    return outcome


def _certificate(folder: Path, key: str) -> tuple[str, ...]:
    """Makes one, and returns the engine's words for it."""
    names = [str(folder / f"{key}.{part}.pem") for part in ("cert", "key")]
    command = ["openssl", "req", "-x509", "-newkey", *KEYS[key], "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", names[0], "-keyout", names[1]]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"cannot make a certificate: {error}: is openssl installed?") from None
    return ("--tls-cert", names[0], "--tls-key", names[1])


def _handshakes(options, root: Path, certificates: dict, outcome: Outcome) -> None:
    kinds = [("plain", None, False)]
    for key in certificates:
        kinds += [(f"full, {key}", key, False), (f"resumed, {key}", key, True)]
    rates: dict[str, list[float]] = {name: [] for name, _, _ in kinds}
    for round_ in range(options.rounds):
        for name, key, resumes in kinds:
            try:
                rate = _round(options, root, certificates[key] if key else None, resumes)
            except (Failure, OSError) as failure:
                outcome.failures.append(f"{name}, round {round_ + 1}: {failure}")
                say(f"{name}: FAILED: {failure}")
                continue
            rates[name].append(rate)
            say(f"round {round_ + 1}: {name}: {rate:,.0f} handshakes a second of one core")
    found = Table("Handshakes a second of one core", ("handshake", "median", "least", "most", "CPU us each"))
    for name, values in rates.items():
        if values:
            median = statistics.median(values)
            found.add(name, f"{median:,.0f}", f"{min(values):,.0f}", f"{max(values):,.0f}", f"{1e6 / median:.1f}")
    outcome.tables.append(found)
    outcome.document["handshakes_per_second_of_one_core"] = rates


def _round(options, root: Path, certificate: tuple[str, ...] | None, resumes: bool) -> float:
    kind, admin = _with_metrics(kind_of("engine", options.engine, root))
    port = free_port()
    extra = ("--tls-listen", f"127.0.0.1:{port}", *certificate) if certificate else ()
    with RunningServer(kind, root, options.server_cpu, extra=extra) as server:
        words = [options.load, "connect", "--connections", str(options.handshakes), "--handshakes-max", "64"]
        words += ["--url", f"wss://127.0.0.1:{port}/echo", "--insecure"] if certificate else ["--url", server.url("/echo")]
        words += ["--resume"] if resumes else []
        words += ["--source-addresses", "4", "--duration", f"{SETTLE_SECONDS:g}", "--cpus", str(options.load_cpu), "--json"]
        words += ["--busy-max", "2"]
        sampler = Sampler(server.pid, options.load_cpu)
        sampler.start()
        try:
            with Generator(words, root, options.load_cpu) as generator:
                output = generator.result(300.0)
        finally:
            sampler.stop()
        made = {outcome: _count(admin, outcome) for outcome in ("full", "resumed")}
        server.check()
    wrong = faults(output)
    if wrong or output["connected"] != options.handshakes:
        raise Failure(f"{output['connected']} of {options.handshakes} connected: {wrong} {output.get('errors')}")
    wanted = made["resumed"] if resumes else made["full"]
    if certificate and wanted < RESUMED_SHARE_MIN * options.handshakes:
        raise Failure(f"the handshakes were not what they were to be: {made}")
    spent = sampler.seconds_at(output["measured_from"]) - sampler.samples[0][1]
    return options.handshakes / spent


def _with_metrics(kind: ServerKind) -> tuple[ServerKind, int]:
    port = free_port()
    command = kind.command.replace("--admin off", f"--admin 127.0.0.1:{port}")
    return dataclasses.replace(kind, command=command), port


def _count(admin: int, outcome: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = opener.open(f"http://127.0.0.1:{admin}/metrics", timeout=10).read().decode()
    name = rf'^ringmain_tls_handshakes_total{{.*outcome="{outcome}".*}} (\d+)$'
    return sum(int(value) for value in re.findall(name, text, re.MULTILINE))


def _idle(options, root: Path, certificate: tuple[str, ...], outcome: Outcome) -> None:
    found = table("Idle TLS connections")
    for io in options.io.split(","):
        tls = holding.Tls(free_port(), certificate)
        what = Hold(options.connections, MEMBERS_PER_ROOM, options.seconds, 25.0, io, tls=tls)
        try:
            kind = kind_of("engine", options.engine, root)
            held = hold(kind, root, options.load, options.server_cpu, options.load_cpu, what)
        except (Failure, OSError) as failure:
            outcome.failures.append(f"idle on {io}: {failure}")
            say(f"idle on {io}: FAILED: {failure}")
            continue
        tell(held, "engine")
        found.add(*row("engine", held))
        outcome.document[f"idle_{io}"] = held.as_json()
        bytes_ = held.user_bytes_per_connection
        outcome.invalid |= bool(held.faults) or bytes_ > USER_BYTES_WANTED
        verdict = "good" if bytes_ <= USER_BYTES_GOOD else "met" if bytes_ <= USER_BYTES_WANTED else "MISSED"
        outcome.words.append(
            f"An idle TLS connection on {io}: {bytes_:,.0f} user-space bytes; wanted: {USER_BYTES_WANTED:,} or less, "
            f"good: {USER_BYTES_GOOD:,}: {verdict}."
        )
    outcome.tables.append(found)
