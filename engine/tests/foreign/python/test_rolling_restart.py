"""Each node of a cluster ends in turn and comes back, under load: what the others say to each other is not touched."""

import asyncio

import pytest

from support.cluster import NODES, eventually
from support.load import Member, Publisher

ROOM = "talk"
# What each publisher has its node take between one step and the next.
STEP_MESSAGES = 200


class Talk:
    """A publisher and a member on each node, all in one room."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.members, self.publishers = {}, {}
        self.ended = []
        self._lives = 0

    async def join(self, name):
        self.members[name] = await Member.join(self.cluster, name, ROOM)
        await asyncio.to_thread(self.cluster.rooms_are, 1, name)
        self._lives += 1
        publisher = f"{name}{self._lives}"
        self.publishers[name] = await Publisher.begin(self.cluster, name, ROOM, publisher)

    async def goes_on(self):
        """Waits until every member has heard a good deal more of every publisher."""
        for publisher in self.publishers.values():
            reach = publisher.sent + STEP_MESSAGES
            for member in (*self.members.values(), *self.publishers.values()):
                await member.has(publisher.name, reach)

    async def leave(self, name):
        """The clients of a node that has ended. Returns its publisher, for what it said last."""
        member, publisher = self.members.pop(name), self.publishers.pop(name)
        await publisher.closed()
        await member.end()
        await publisher.end()
        self.ended += [member, publisher]
        return publisher

    async def end(self):
        for publisher in self.publishers.values():
            await publisher.stop()
        for publisher in self.publishers.values():
            for member in (*self.members.values(), *self.publishers.values()):
                await member.has(publisher.name, publisher.sent - 1)
        for member in (*self.members.values(), *self.publishers.values()):
            await member.end()
            self.ended.append(member)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_rolling_restart_under_load_costs_the_others_nothing(cluster, how):
    """`stop` is SIGTERM and a drain: the last words of the leaver's own publisher reach all who stay."""
    options = {"environment": {"RINGMAIN_DRAIN_SECONDS": "0.5"}}
    cluster.broker.start()
    cluster.start(*NODES, **options)
    cluster.know_each_other()

    async def run():
        talk = Talk(cluster)
        for name in NODES:
            await talk.join(name)
        await talk.goes_on()
        for leaver in NODES:
            stay = [name for name in NODES if name != leaver]
            engine = cluster.nodes.pop(leaver)
            await asyncio.to_thread(getattr(engine, how))
            left = await talk.leave(leaver)
            assert left.taken >= STEP_MESSAGES
            if how == "stop":
                for name in stay:
                    await talk.members[name].has(left.name, left.taken)
            await eventually(lambda: all(cluster.known(name) == set(stay) - {name} for name in stay), f"{leaver} was gone")
            await talk.goes_on()
            assert cluster.missed() == 0
            await asyncio.to_thread(cluster.start, leaver, **options)
            await asyncio.to_thread(cluster.know_each_other)
            await talk.join(leaver)
            await talk.goes_on()
        await talk.end()
        # Each ledger has refused what came twice or out of order; this is what did not come at all.
        holes = {(member.ledger.where, publisher): holes for member in talk.ended for publisher, holes in member.ledger.holes.items() if holes}
        assert not holes, holes

    asyncio.run(run())
    assert cluster.missed() == 0
    assert not any(cluster.drops(name) for name in NODES)
