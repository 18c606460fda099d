"""A NATS server that takes less than a node has for it: members and publishers of the node do not notice."""

import asyncio
import time

import pytest

from support.cluster import BACKEND, client, eventually, receive
from support.deadline import until
from support.engine import Engine
from support.metrics import Metrics
from support.narrow import Narrow

# 120 MB: far more than what the kernel keeps on the way, so that the narrow way is felt.
MESSAGES, PAYLOAD = 30_000, "x" * 4_000


async def flood(sender, near, count, far=None):
    """As fast as a member of this node takes them, with some on their way, and no faster than `far` if it is given.

    Returns the seconds until `near` has them all."""
    began, got, more = time.monotonic(), 0, asyncio.Event()
    if far is not None:
        far.more = more

    async def send():
        for number in range(count):
            while number - min(got, count if far is None else len(far.got)) > 100:
                more.clear()
                await more.wait()
            await sender.send(f"{number} {PAYLOAD}")

    sending = asyncio.create_task(send())
    for number in range(count):
        assert (await receive(near)).startswith(f"{number} "), "each once, in order"
        got += 1
        more.set()
    await sending
    return time.monotonic() - began


class Listener:
    """Reads all the time, so that the member is not what is slow."""

    def __init__(self, member):
        self.got = []
        self.late = None
        self.more = asyncio.Event()
        self._task = asyncio.create_task(self._read(member))

    async def _read(self, member):
        async for text in member:
            self.got.append(text.split(" ")[0])
            self.more.set()

    async def hears(self, sender, word):
        """Says it until it arrives; all that was before it is gone then."""
        for _ in range(200):
            await sender.send(word)
            await asyncio.sleep(0.1)
            assert not self._task.done(), "the member was closed"
            if word in self.got:
                self.late = self.got.index(word)
                # Those that are on their way.
                await asyncio.sleep(0.5)
                self.got.clear()
                return
        raise AssertionError(f"{word!r} never arrived")

    async def has(self, count):
        await asyncio.to_thread(until, lambda: len(self.got) >= count, f"{count} had come")


async def passes(near, word):
    """Takes what a member of this node has heard beside."""
    while True:
        try:
            assert (await receive(near, 0.5)) == word
        except asyncio.TimeoutError:
            return


# One takes next to nothing; the other takes something all the time, but less than there is.
@pytest.mark.parametrize("bytes_per_second", [100_000, 2_000_000])
def test_a_slow_server_costs_other_nodes_named_drops_and_local_members_nothing(cluster, tmp_path, bytes_per_second):
    file = tmp_path / "ringmain.toml"
    # Nothing expires: what is dropped is dropped for want of room, and who waited for time to pass waited long.
    file.write_text('[cluster]\nqueue_bytes_max = "1MiB"\nqueue_seconds = 10\n')
    cluster.broker.start()
    way = Narrow(cluster.broker.port)
    engine = Engine.start(BACKEND, "--nats", way.url, "--node", "a", "--config", str(file), shards=2)
    cluster.nodes["a"] = engine
    cluster.start("b")
    cluster.know_each_other()

    async def run():
        # On whichever shards: the publisher and its neighbour may share one or not.
        sender, near, far = [await client(cluster.nodes[n], "lobby") for n in ("a", "a", "b")]
        far = Listener(far)
        await asyncio.to_thread(cluster.rooms_are, 1)
        await far.hears(sender, "before")
        await passes(near, "before")
        await flood(sender, near, MESSAGES, far)
        await far.has(MESSAGES)
        assert not cluster.drops("a")

        way.bytes_per_second = bytes_per_second
        seconds = await flood(sender, near, MESSAGES)
        # At the pace of the way it would be a minute, or twenty.
        assert seconds < MESSAGES * len(PAYLOAD) / bytes_per_second / 2, f"local delivery took {seconds:.2f} s"
        slowest, ends = 0, time.monotonic() + 4
        while time.monotonic() < ends:
            began = time.monotonic()
            await sender.send(f"one {PAYLOAD}")
            assert (await receive(near)).startswith("one ")
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2, f"local delivery waited {slowest:.2f} s"
        drops = cluster.drops("a")
        assert drops and set(drops) <= {"queue_full", "queue_expired"}, drops
        assert Metrics(engine.admin("/metrics")[2]).sum("ringmain_drops_total", reason="lane_full") == 0

        way.bytes_per_second = None
        await far.hears(sender, "after")
        await passes(near, "after")
        settled = cluster.drops("a")
        await flood(sender, near, 500, far)
        await far.has(500)
        assert far.got == [str(number) for number in range(500)]
        assert cluster.drops("a") == settled, "nothing is lost any more"

    try:
        asyncio.run(run())
    finally:
        way.close()
    until(lambda: cluster.missed("b") > 0, "the other node knew what it had missed")


def test_after_a_long_outage_old_messages_are_not_sent(cluster):
    """Only what NATS' own client had already goes out late: 64 KiB, and a message that was on its way into it."""
    cluster.broker.start()
    cluster.start("a", "b")
    cluster.know_each_other()

    async def run():
        sender, near, far = [await client(cluster.nodes[n], "lobby") for n in ("a", "a", "b")]
        far = Listener(far)
        await asyncio.to_thread(cluster.rooms_are, 1)
        await far.hears(sender, "before")
        await passes(near, "before")
        # The server is paused at first, so that the way is full when it ends.
        cluster.broker.pause()
        await flood(sender, near, 5_000)
        cluster.broker.kill()
        far.got.clear()
        await eventually(lambda: not cluster.page("a")["waiting"]["messages"], "what waited was dropped for its age")
        await asyncio.to_thread(cluster.broker.start)
        await far.hears(sender, "after")
        assert far.late <= 64 * 1024 // len(PAYLOAD) + 1, f"{far.late} old messages came"

    asyncio.run(run())
    assert cluster.drops("a").get("queue_expired", 0) > 0
