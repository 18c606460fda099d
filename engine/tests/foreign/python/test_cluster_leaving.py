"""A node that ends in order: what its members have said reaches the others, whatever comes in meanwhile."""

import asyncio
import socket

import pytest

from support.cluster import BACKEND, client, eventually
from support.deadline import DEADLINE_SECONDS, until
from support.engine import Engine
from support.load import Member, Publisher
from support.narrow import Narrow
from support.partition import elsewhere_resolved, is_possible

MESSAGES, PAYLOAD = 150, "x" * 4_000


class Talker(Publisher):
    """It hardly pauses: something is always on its way to the node that ends."""

    PAUSE_SECONDS = 0.0005


@pytest.mark.parametrize("cluster", ["current", "older"], indirect=True)
def test_what_a_leaver_has_written_arrives_though_others_talk_to_it_and_its_way_is_narrow(cluster):
    cluster.broker.start()
    way = Narrow(cluster.broker.port)
    cluster.nodes["a"] = Engine.start(BACKEND, "--nats", way.url, "--node", "a", shards=2)
    cluster.start("b", "c")
    cluster.know_each_other()

    async def run():
        near, far = [await Member.join(cluster, name, "lobby") for name in ("a", "b")]
        sender = await client(cluster.nodes["a"], "lobby")
        talkers = [await Talker.begin(cluster, name, "lobby", name) for name in ("b", "c")]
        await asyncio.to_thread(cluster.rooms_are, 1)
        for talker in talkers:
            await near.has(talker.name, 100)
        way.bytes_per_second = 2_000_000
        for number in range(MESSAGES):
            await sender.send(f"last {number} {PAYLOAD}")
        # What a local member has got is taken in; then the node ends.
        await near.has("last", MESSAGES - 1)
        await asyncio.to_thread(cluster.nodes.pop("a").stop)
        await eventually(lambda: cluster.known("b") == {"c"}, "the leaver was gone")
        await far.has("last", MESSAGES - 1)
        assert far.ledger.count["last"] == MESSAGES
        for talker in talkers:
            await talker.stop()
            await talker.end()
        for member in (near, far):
            await member.end()
        await sender.close()

    try:
        asyncio.run(run())
    finally:
        way.close()
    until(lambda: "a node has left the cluster node=a" in cluster.nodes["b"].output, "b was told that a has left")
    assert cluster.missed() == 0


@pytest.mark.skipif(not is_possible(), reason="another resolv.conf takes root and `unshare`")
def test_a_name_that_is_still_being_looked_up_does_not_hold_the_end_up(tmp_path):
    # It takes questions, and answers none.
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.83.78.84", 53))
        resolver = tmp_path / "resolv.conf"
        resolver.write_text("nameserver 127.83.78.84\noptions timeout:30 attempts:5\n")
        engine = Engine.start(
            BACKEND, "--nats", "nats://broker.example:4222", shards=1, prefix=elsewhere_resolved(resolver)
        )
        silent.settimeout(DEADLINE_SECONDS)
        assert b"broker" in silent.recv(512), "it looks the name up"
        # Which takes two and a half minutes.
        engine.stop()
