"""The nodes of a cluster, and processes beside them."""

import base64
import http.client
import json
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .failure import Failure
from .servers import free_port

DEADLINE_SECONDS = 30.0


class Process:
    """A process, alive inside a `with` block."""

    def __init__(self, command: list[str], root: Path):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_exception) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Node(Process):
    def __init__(self, engine: str, name: str, nats: str | None, root: Path, words: tuple[str, ...] = ("--shards", "1")):
        self.port, self.admin = free_port(), free_port()
        command = [*shlex.split(engine), "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"]
        command += ["--drain-seconds", "0", *words]
        super().__init__(command + (["--nats", nats, "--node", name] if nats else []), root)
        until(lambda: self.get("/health/ready")[0] == 200, f"node {name} was ready")

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def page(self) -> dict:
        return json.loads(self.get("/cluster")[1])

    def member(self, room: str) -> socket.socket:
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(bytes(16)).decode()
        stream.sendall(
            f"GET /raw/{room} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.recv(1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Failure(f"a member was refused: {head!r}")
        return stream


def until(state, what: str):
    end = time.monotonic() + DEADLINE_SECONDS
    while not (answer := state()):
        if time.monotonic() > end:
            raise Failure(f"in vain: {what}")
        time.sleep(0.02)
    return answer
