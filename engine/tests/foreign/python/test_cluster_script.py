"""scripts/cluster: a NATS server and three nodes to try, and nothing left of them when it ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.broker import free_port, server_path
from support.cluster import NODES
from support.deadline import DEADLINE_SECONDS, until
from support.engine import binary

SCRIPT = Path(__file__).parents[4] / "scripts" / "cluster"


def free_first_port():
    """A port that is free, and so are the others that the script takes by it."""
    for first in range(21_000, 31_000, 30):
        try:
            with ExitStack() as probes:
                for node in range(len(NODES)):
                    for port in (first + 10 * node, first + 10 * node + 1):
                        probes.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            pass
    raise AssertionError("no ports are free")


def answer(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except ConnectionRefusedError:
        return None, ""
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_three_nodes_share_their_rooms_until_the_script_is_ended(number):
    first = free_first_port()
    ports = {"FIRST_PORT": str(first), "NATS_PORT": str(free_port()), "NATS_SERVER": server_path()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGMAIN_")}
    script = subprocess.Popen(
        [SCRIPT, "--shards", "1"],
        env={**environment, **ports, "RINGMAIN_BINARY": str(Path(binary()).absolute())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:

        def nodes(node):
            assert script.poll() is None, script.stdout.read().decode()
            status, text = answer(first + 10 * node + 1, "GET", "/cluster")
            return {other["node"] for other in json.loads(text)["nodes"]} if status == 200 else set()

        for at, name in enumerate(NODES):
            until(lambda: nodes(at) == set(NODES) - {name}, f"{name} knew the others")
        assert answer(first + 20, "POST", "/rooms/lobby/messages", "hello")[0] == 202
        script.send_signal(number)
        assert script.wait(DEADLINE_SECONDS) == 0
        assert all(answer(first + 10 * at, "GET", "/")[0] is None for at in range(len(NODES)))
    finally:
        # Ends what it has started too.
        script.terminate()
        script.wait(DEADLINE_SECONDS)
        script.stdout.close()
