"""The engine under test: a process of its own on free ports, stopped by its process id."""

import http.client
import os
import re
import signal
import subprocess
import threading

from .contract import METRICS
from .deadline import DEADLINE_SECONDS, until
from .metrics import Metrics

_OUTPUT_CHARS_MAX = 1 << 20


def binary():
    """The path of the engine under test."""
    path = os.environ.get("RINGMAIN_BINARY")
    if not path:
        raise RuntimeError(
            "RINGMAIN_BINARY is not set: build the engine and set it to the binary, or run `scripts/test foreign-python`"
        )
    if not os.access(path, os.X_OK):
        raise RuntimeError(
            f"RINGMAIN_BINARY={path} is not an executable file: build it, or run `scripts/test foreign-python`"
        )
    return path


def _foreign_environment():
    """The environment without what the engine would take for its configuration, the names of this suite among it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RINGMAIN_")}


class Engine:
    """`start` gives an engine that is ready; the constructor one that has only been started."""

    def __init__(self, backend, *args, shards=4, listen="127.0.0.1:0", admin="127.0.0.1:0", environment=None, prefix=()):
        self.backend = backend
        self._output = []
        self._output_chars = 0
        command = [binary(), "--listen", listen, "--admin", admin, "--shards", str(shards), "--io", backend, *args]
        # Of the command: to run it elsewhere. It has to become the engine, which gets our signals.
        command = [*prefix, *command]
        self.process = subprocess.Popen(
            command,
            # Engines that are stopped at the end of a test do not take their time.
            env={**_foreign_environment(), "RINGMAIN_DRAIN_SECONDS": "0", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, backend, *args, **options):
        engine = cls(backend, *args, **options)
        try:
            engine._wait_until_ready()
        except BaseException as error:
            engine.kill()
            error.add_note(f"--- the engine's output ---\n{engine.output}")
            raise
        return engine

    def _read_output(self):
        for line in self.process.stdout:
            if self._output_chars < _OUTPUT_CHARS_MAX:
                self._output.append(line.decode(errors="replace"))
                self._output_chars += len(line)

    @property
    def output(self):
        return "".join(self._output)

    def _wait_until_ready(self):
        def addresses():
            assert self.process.poll() is None, f"the engine ended at start with code {self.process.returncode}"
            listen = re.search(r"ws://([\d.]+):([1-9]\d*)", self.output)
            admin = re.search(r"http://([\d.]+):([1-9]\d*)", self.output)
            return listen and admin and (listen, admin)

        listen, admin = until(addresses, "the engine printed its addresses")
        self.host, self.port = listen[1], int(listen[2])
        secure = re.search(r"wss://[\d.]+:([1-9]\d*)", self.output)
        self.secure_port = secure and int(secure[1])
        self.admin_host, self.admin_port = admin[1], int(admin[2])

        def ready():
            try:
                return self.admin("/health/ready")[0] == 200
            except OSError:
                return False

        until(ready, "the engine was ready")
        assert self.metrics().sum(METRICS["io_backend"], backend=self.backend) == 1

    def url(self, path):
        return f"ws://{self.host}:{self.port}{path}"

    def secure_url(self, path):
        return f"wss://{self.host}:{self.secure_port}{path}"

    def admin(self, path, method="GET", headers=None):
        """Status, headers and text of the admin's answer."""
        connection = http.client.HTTPConnection(self.admin_host, self.admin_port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def metrics(self):
        status, _, text = self.admin("/metrics")
        assert status == 200, text
        return Metrics(text)

    def members_are(self, count):
        """Waits until the rooms have `count` members: leaving is noticed a moment after the socket's end."""
        until(lambda: self.metrics().sum(METRICS["members"]) == count, f"the engine counted {count} members")

    def signal(self, number):
        self.process.send_signal(number)

    def wait_for_end(self, seconds=DEADLINE_SECONDS):
        """The exit code; all output has been read by then."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the engine has not ended within {seconds} s\n{self.output}") from None
        self._reader.join(DEADLINE_SECONDS)
        return code

    def stop(self):
        """SIGTERM, and the proof that it ended well."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            assert self.wait_for_end() == 0, f"the engine ended with code {self.process.returncode}\n{self.output}"
            assert "panicked at" not in self.output, self.output
        finally:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
