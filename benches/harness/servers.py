"""The servers: how each is started, awaited and stopped."""

import shlex
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .failure import Failure

START_SECONDS_MAX = 15.0
# A million connections take a while to close.
STOP_SECONDS_MAX = 60.0

ENGINE = "target/release/ringmain --listen 127.0.0.1:{port} --admin off --shards {shards} --cpus {cpu} --drain-seconds 0"
FLOOR = "target/release/floor {job} --listen 127.0.0.1:{port} --cpu {cpu}"
UWS = "node benches/peers/uws/server.js --port {port} --cpu {cpu}"
TUNGSTENITE = "target/release/peer-tungstenite --listen 127.0.0.1:{port} --cpu {cpu}"
FASTWEBSOCKETS = "target/release/peer-fastwebsockets --listen 127.0.0.1:{port} --cpu {cpu}"

NAMES = ("engine", "floor", "uws", "tungstenite", "fastwebsockets")


@dataclass(frozen=True)
class ServerKind:
    """A server that can be started. `command` may have the fields {port}, {cpu}, {job} and {shards}."""

    name: str
    command: str
    # A file without which it cannot start, and how to get it.
    needs: str
    remedy: str

    def missing(self, root: Path) -> str | None:
        """Why it cannot be started, if so."""
        if (root / self.needs).exists():
            return None
        return f"{self.name}: there is no {self.needs}: run `{self.remedy}`"


def kinds(engine_command: str | None) -> list[ServerKind]:
    """All servers, the engine first. Another command may stand in for the engine's."""
    command = engine_command or ENGINE
    ours = "cargo build --release -p ringmain-benches"
    return [
        ServerKind("engine", command, shlex.split(command)[0], "cargo build --release -p ringmain"),
        ServerKind("floor", FLOOR, "target/release/floor", ours),
        ServerKind(
            "uws",
            UWS,
            "benches/peers/uws/node_modules/@trufflesuite/uws-js-unofficial/package.json",
            "npm ci --ignore-scripts --prefix benches/peers/uws",
        ),
        ServerKind("tungstenite", TUNGSTENITE, "target/release/peer-tungstenite", ours),
        ServerKind("fastwebsockets", FASTWEBSOCKETS, "target/release/peer-fastwebsockets", ours),
    ]


def kind_of(name: str, engine_command: str | None, root: Path) -> ServerKind:
    """One server, which must be there."""
    kind = next(kind for kind in kinds(engine_command) if kind.name == name)
    reason = kind.missing(root)
    if reason:
        raise Failure(reason)
    return kind


class RunningServer:
    """A server process, alive inside a `with` block and gone after it.

    `cpu` is a core, or a list of cores for an engine with several `shards`; `extra` are more words of its command.
    """

    def __init__(
        self,
        kind: ServerKind,
        root: Path,
        cpu: int | str,
        job: str = "echo",
        shards: int = 1,
        extra: tuple[str, ...] = (),
    ):
        self.kind = kind
        self.port = free_port()
        self._log = tempfile.TemporaryFile()
        command = shlex.split(kind.command.format(port=self.port, cpu=cpu, job=job, shards=shards)) + list(extra)
        try:
            self._process = subprocess.Popen(
                command, cwd=root, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
        except OSError as error:
            raise Failure(f"cannot start {kind.name}: {error}: is {command[0]} installed?") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> "RunningServer":
        try:
            self._await_listening()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        self.stop()

    def _await_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failure(f"{self.kind.name} does not listen after {START_SECONDS_MAX:.0f} s: {self._last_words()}")

    def check(self) -> None:
        """Fails if the server has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise Failure(f"{self.kind.name} ended with status {code}: {self._last_words()}")

    def log(self) -> str:
        """What it has said so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _last_words(self) -> str:
        lines = [line for line in self.log()[-4096:].splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error")]
        return " / ".join(errors or lines[-3:]) or "it said nothing"

    def stop(self) -> None:
        """Asks the process to end and, at the deadline, ends it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


def free_port() -> int:
    """A port that nothing listens on now. A new one for each run keeps TIME_WAIT of the last one out of the way."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
