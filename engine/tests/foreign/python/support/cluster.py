"""Engines that share their rooms over a NATS server, and clients of theirs."""

import asyncio
import json

from websockets.asyncio.client import connect

from .broker import Broker
from .deadline import DEADLINE_SECONDS, until
from .engine import Engine

BACKEND = "epoll"
NODES = ["a", "b", "c"]


class Cluster:
    def __init__(self, server=None):
        self.broker = Broker(server=server)
        # Where there are several, all of them.
        self.servers = None
        self.nodes = {}
        self.name = "main"

    def start(self, *names, args=(), **options):
        for name in names:
            self.nodes[name] = Engine.start(
                BACKEND, "--nats", self.broker.url, "--node", name, *args, shards=2, **options
            )

    def page(self, name):
        status, _, text = self.nodes[name].admin("/cluster")
        assert status == 200, text
        return json.loads(text)

    def known(self, name):
        """The nodes that a node knows."""
        return {node["node"] for node in self.page(name)["nodes"]}

    def know_each_other(self):
        names = set(self.nodes)
        until(lambda: all(self.known(name) == names - {name} for name in names), f"{names} knew each other")
        until(lambda: all(self._takes_plain(name) for name in names), f"{names} took plain messages")

    def rooms_are(self, count, *names):
        """Waits until the nodes know of so many rooms, and the server that they want what is published there."""
        names = names or tuple(self.nodes)
        until(lambda: all(self.page(name)["rooms"] == count for name in names), f"{count} rooms were known")
        until(lambda: all(self._is_subscribed(name) for name in names), "the server knew the subscriptions")

    def _subjects(self, client):
        servers = self.servers or [self.broker]
        return [subject for server in servers for subject in server.subscriptions(client)]

    def _takes_plain(self, name):
        return f"ringmain.{self.name}.publish.*" in self._subjects(f"ringmain {name} publish")

    def _is_subscribed(self, name):
        subjects = self._subjects(f"ringmain {name}")
        rooms = [subject for subject in subjects if subject.startswith(f"ringmain.{self.name}.room.")]
        return len(rooms) == self.page(name)["subscriptions"]

    def total(self, kind, *names):
        return sum(self.page(name)[kind] for name in names or self.nodes)

    def missed(self, *names):
        return sum(self.page(name)["streams"]["relay"]["missed"] for name in names or self.nodes)

    def drops(self, name):
        return {reason: count for reason, count in self.page(name)["drops"].items() if count}

    def stop(self):
        for engine in self.nodes.values():
            engine.kill()
        self.broker.kill()


def client(engine, room):
    return connect(
        engine.url(f"/raw/{room}"), proxy=None, ping_interval=None, max_queue=None, open_timeout=20, close_timeout=2
    )


async def receive(member, seconds=DEADLINE_SECONDS):
    return await asyncio.wait_for(member.recv(), seconds)


async def eventually(state, what, seconds=DEADLINE_SECONDS):
    """Waits for a state, and lets other tasks go on meanwhile."""
    return await asyncio.to_thread(until, state, what, seconds)
