"""How many plain messages of NATS clients a node takes, and a room."""

import asyncio
import json
import time

import nats
from nats.errors import NoRespondersError

from support.cluster import client
from support.deadline import DEADLINE_SECONDS, until


def configured(tmp_path, text):
    file = tmp_path / "ringmain.toml"
    file.write_text(text)
    return ("--config", str(file))


async def answers(backend, subject, count):
    """What comes of so many requests at once, in their order: `None` for ok, else why not."""
    replies = await asyncio.gather(*(backend.request(subject, b"%d" % n, timeout=10) for n in range(count)))
    replies = [json.loads(reply.data) for reply in replies]
    return [None if reply["ok"] else reply["error"] for reply in replies]


async def publisher(cluster):
    """A client of the server, from the moment on when it knows that the node takes plain messages."""
    backend = await nats.connect(cluster.broker.url)
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            # A wrong name is refused before any rate.
            reply = await backend.request("ringmain.main.publish.a=", b"", timeout=10)
            assert not json.loads(reply.data)["ok"]
            return backend
        except NoRespondersError:
            assert time.monotonic() < end, "in vain waited until the node listened"
            await asyncio.sleep(0.01)


async def received(member):
    got = []
    try:
        while True:
            got.append(await asyncio.wait_for(member.recv(), 1))
    except asyncio.TimeoutError:
        return got


def test_a_node_takes_so_many_plain_messages_and_tells_the_others(cluster, tmp_path):
    cluster.broker.start()
    cluster.start("a", args=configured(tmp_path, "[cluster]\nmessage_rate = 10\nmessage_burst = 20\n"))

    async def run():
        member = await client(cluster.nodes["a"], "lobby")
        await asyncio.to_thread(cluster.rooms_are, 1)
        backend = await publisher(cluster)
        began = time.monotonic()
        replies = await answers(backend, "ringmain.main.publish.lobby", 100)
        most = 20 + 10 * (time.monotonic() - began) + 1
        passed = replies.count(None)
        assert 20 <= passed <= most
        assert all("this node takes no more messages from NATS" in reply for reply in replies if reply)
        assert len(await received(member)) == passed
        # Later it takes more.
        assert await answers(backend, "ringmain.main.publish.lobby", 1) == [None]
        await backend.close()
        return passed

    passed = asyncio.run(run())
    expected = {"refused": cluster.drops("a")["refused"], "node_rate": 100 - passed}
    until(lambda: cluster.drops("a") == expected, "the refused ones were counted by name")
    assert cluster.nodes["a"].metrics().sum("ringmain_cluster_drops_total", reason="node_rate") == 100 - passed


def test_a_rooms_own_rate_holds_for_plain_messages_and_for_members_together(cluster, tmp_path):
    rooms = '[[rooms]]\nmatch = "prices-*"\nroom_message_rate = 5\nroom_message_burst = 30\n'
    cluster.broker.start()
    cluster.start("a", args=configured(tmp_path, '[limits]\nrate_action = "drop"\n' + rooms))

    async def run():
        # Rooms have their homes on both shards.
        for room in ("prices-1", "prices-2", "prices-3", "prices-4"):
            member, sender = [await client(cluster.nodes["a"], room) for _ in range(2)]
            backend = await publisher(cluster)
            for number in range(10):
                await sender.send(f"member {number}")
            for number in range(10):
                assert await asyncio.wait_for(member.recv(), DEADLINE_SECONDS) == f"member {number}"
            began = time.monotonic()
            replies = await answers(backend, f"ringmain.main.publish.{room}", 60)
            passed = replies.count(None)
            assert 15 <= passed <= 20 + 5 * (time.monotonic() - began) + 1, passed
            assert all("the room takes no more messages" in reply for reply in replies if reply)
            got = await received(member)
            assert len(got) == passed and got == sorted(got, key=int), "in their order"
            # Rooms without a rate are not held.
            assert await answers(backend, "ringmain.main.publish.other", 60) == [None] * 60
            await backend.close()
            await member.close()
            await sender.close()

    asyncio.run(run())
    until(lambda: set(cluster.drops("a")) == {"refused", "room_rate"}, "they were counted by name, and nothing else")
