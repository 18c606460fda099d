"""Connections of a user counted on three nodes together."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.cluster import NODES
from support.deadline import DEADLINE_SECONDS, until
from support.users import SECTION, is_open, member, token

REFUSED = "user_connections_in_cluster"


@pytest.fixture
def limited(tmp_path):
    file = tmp_path / "ringmain.toml"
    file.write_text("[limits]\nconnections_per_user_cluster = 3\n" + SECTION)
    return ("--config", str(file), "--log", "info,ringmain::open=debug")


def refusals(engine):
    return engine.metrics().sum("ringmain_refused_total", reason=REFUSED)


def admitted(engine):
    def lines():
        return [line for line in engine.output.splitlines() if "connection admitted" in line]

    return until(lines, "the log told of who was let in")


def counted(cluster, name, here, elsewhere):
    """Waits until a node knows how many users have connections, here and elsewhere."""

    def is_known():
        page = cluster.page(name)["users"]
        return (page["here"], page["elsewhere"]) == (here, elsewhere)

    until(is_known, f"{name} knew of {here} users here and {elsewhere} elsewhere")


async def is_refused(engine, user):
    with pytest.raises(InvalidStatus) as caught:
        await member(engine, user)
    assert caught.value.response.status_code == 429
    assert b"on all servers together" in caught.value.response.body


def test_a_user_has_no_more_connections_than_it_may_on_all_nodes_together(cluster, limited):
    cluster.broker.start()
    cluster.start(*NODES, args=limited)
    cluster.know_each_other()
    a, b, c = (cluster.nodes[name] for name in NODES)

    async def run():
        one, two = await member(a, "ann"), await member(b, "ann")
        await asyncio.to_thread(counted, cluster, "c", 0, 1)
        three = await member(c, "ann")
        for name in NODES:
            await asyncio.to_thread(counted, cluster, name, 1, 1)
        for engine in (a, b, c):
            await is_refused(engine, "ann")
        # The log tells of those that were let in, and of no others.
        for engine in (a, b, c):
            assert len(await asyncio.to_thread(admitted, engine)) == 1
        # With the token as a message, too.
        late = await member(a, "ann", how="message")
        await late.send(token("ann"))
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(late.recv(), DEADLINE_SECONDS)
        assert caught.value.rcvd.code == 1013
        his = await member(a, "bob")
        # Who leaves makes room, on any node.
        await one.close()
        await asyncio.to_thread(counted, cluster, "b", 1, 2)

        async def comes_in():
            for _ in range(200):
                try:
                    return await member(b, "ann")
                except InvalidStatus:
                    await asyncio.sleep(0.02)
            raise AssertionError("there was never room")

        four = await comes_in()
        for conn in (two, three, four, his):
            await is_open(conn)
            await conn.close()

    asyncio.run(run())
    assert refusals(a) == refusals(c) == 1
    assert a.metrics().sum("ringmain_closes_total", reason="too_many_connections") == 1
    for name in NODES:
        counted(cluster, name, 0, 0)


def test_a_node_that_dies_holds_nobodys_place_and_without_the_server_each_node_counts_alone(cluster, limited):
    cluster.broker.start()
    cluster.start("a", "b", args=limited)
    cluster.know_each_other()
    a = cluster.nodes["a"]

    async def run():
        for _ in range(3):
            await member(cluster.nodes["b"], "ann")
        await asyncio.to_thread(counted, cluster, "a", 0, 1)
        await is_refused(a, "ann")
        cluster.nodes.pop("b").kill()
        await asyncio.to_thread(counted, cluster, "a", 0, 0)
        mine = [await member(a, "ann") for _ in range(3)]
        await asyncio.to_thread(cluster.start, "b", args=limited)
        await asyncio.to_thread(counted, cluster, "b", 0, 1)
        await is_refused(cluster.nodes["b"], "ann")
        cluster.broker.kill()
        # Once it is not known any more what the others have, it is the node's own connections that count.
        await asyncio.to_thread(counted, cluster, "b", 0, 0)
        others = [await member(cluster.nodes["b"], "ann") for _ in range(3)]
        await is_refused(cluster.nodes["b"], "ann")
        cluster.broker.start()
        await asyncio.to_thread(cluster.know_each_other)
        for name in ("a", "b"):
            await asyncio.to_thread(counted, cluster, name, 1, 1)
        # Nobody who is there is sent away.
        for conn in [*mine, *others]:
            await is_open(conn)
        await is_refused(a, "ann")

    asyncio.run(run())
