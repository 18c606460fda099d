"""Commands of an operator: a connection, or all that a user has, is closed, on whichever node it is."""

import asyncio
import json
import re

import pytest
from websockets.exceptions import ConnectionClosed

from support.cluster import BACKEND, NODES
from support.deadline import DEADLINE_SECONDS, until
from support.engine import Engine
from support.users import SECTION, is_open, member, token


@pytest.fixture
def guarded(tmp_path):
    """The arguments of an engine that asks for tokens, and tells of connections that it lets in."""
    file = tmp_path / "ringmain.toml"
    file.write_text(SECTION)
    return ("--config", str(file), "--log", "info,ringmain::open=debug,ringmain::close=debug")


def command(engine, path):
    status, _, text = engine.admin(path, method="POST")
    return status, json.loads(text) if text.startswith("{") else text


async def close_of(member):
    with pytest.raises(ConnectionClosed) as caught:
        await asyncio.wait_for(member.recv(), DEADLINE_SECONDS)
    return caught.value.rcvd.code, caught.value.rcvd.reason


def closed_by_order(engine):
    return engine.metrics().sum("ringmain_closes_total", reason="closed_by_operator")


def names_of(engine, user):
    lines = [line for line in engine.output.splitlines() if "connection admitted" in line and f'user="{user}"' in line]
    return [re.search(r'connection="?([\w.-]+)', line)[1] for line in lines]


def test_all_of_a_user_is_closed_on_all_nodes_and_nobody_elses(cluster, guarded):
    cluster.broker.start()
    cluster.start(*NODES, args=guarded)
    cluster.know_each_other()

    async def run():
        hers = [await member(cluster.nodes[name], "ann é") for name in [*NODES, "a"]]
        # One whose token comes as its first message.
        late = await member(cluster.nodes["b"], "ann é", how="message")
        await late.send(token("ann é"))
        await is_open(late)
        his = [await member(cluster.nodes[name], "bob") for name in NODES]
        answer = await asyncio.to_thread(
            command, cluster.nodes["a"], "/users/ann%20%C3%A9/close?code=4001&text=until%20tomorrow"
        )
        assert answer == (200, {"closed": 2, "whole": True, "nodes_told": 2})
        for one in [*hers, late]:
            assert await close_of(one) == (4001, "until tomorrow")
        for one in his:
            await is_open(one)
        # She may come back: the order was for those who were there.
        await is_open(await member(cluster.nodes["c"], "ann é"))
        for one in his:
            await one.close()

    asyncio.run(run())
    assert [closed_by_order(cluster.nodes[name]) for name in NODES] == [2, 2, 1]

    def orders(way):
        return sum(cluster.nodes[name].metrics().sum(f"ringmain_cluster_orders_{way}_total") for name in NODES)

    # The link shows what it has counted a moment later.
    until(lambda: (orders("sent"), orders("received")) == (1, 2), "one order was sent and two nodes took it")


def test_a_connection_is_closed_by_its_name_from_any_node(cluster, guarded):
    cluster.broker.start()
    cluster.start("a", "b", args=guarded)
    cluster.know_each_other()

    async def run():
        one, two = [await member(cluster.nodes["b"], "ann") for _ in range(2)]
        first, second = until(lambda: len(found := names_of(cluster.nodes["b"], "ann")) == 2 and found, "both were told of")
        assert first.startswith("b.") and first != second
        answer = await asyncio.to_thread(command, cluster.nodes["a"], f"/connections/{first}/close")
        assert answer == (200, {"closed": 0, "whole": True, "nodes_told": 1})
        assert await close_of(one) == (1008, "closed by the operator")
        await is_open(two)
        answer = await asyncio.to_thread(command, cluster.nodes["b"], f"/connections/{second}/close?code=3000")
        assert answer == (200, {"closed": 1, "whole": True, "nodes_told": 0})
        assert await close_of(two) == (3000, "closed by the operator")

        def is_gone():
            return command(cluster.nodes["b"], f"/connections/{second}/close")[0] == 404

        until(is_gone, "a connection that is gone was not found")
        # Another start of a node is another node.
        await asyncio.to_thread(cluster.nodes.pop("b").stop)
        await asyncio.to_thread(cluster.start, "b", args=guarded)
        await asyncio.to_thread(cluster.know_each_other)
        again = await member(cluster.nodes["b"], "ann")
        for node in ("a", "b"):
            status, text = await asyncio.to_thread(command, cluster.nodes[node], f"/connections/{first}/close")
            assert status == 404 and "started anew" in text
        await is_open(again)
        await again.close()

    asyncio.run(run())
    assert closed_by_order(cluster.nodes["a"]) == 0


def test_without_the_server_a_command_is_carried_out_here_alone_and_says_so(cluster, guarded):
    cluster.start("a", args=guarded)

    async def run():
        one = await member(cluster.nodes["a"], "ann")
        answer = await asyncio.to_thread(command, cluster.nodes["a"], "/users/ann/close")
        assert answer == (200, {"closed": 1, "whole": True, "nodes_told": 0})
        assert (await close_of(one))[0] == 1008
        answer = await asyncio.to_thread(command, cluster.nodes["a"], "/users/ann/close")
        assert answer == (404, {"closed": 0, "whole": True, "nodes_told": 0})

    asyncio.run(run())


def test_a_user_with_many_connections_is_closed_while_others_talk(guarded):
    engine = Engine.start(BACKEND, *guarded, shards=2)

    async def run():
        hers = [await member(engine, "ann", room="hers") for _ in range(400)]
        one, two = await member(engine, "bob"), await member(engine, "bob")
        closing = asyncio.create_task(asyncio.to_thread(command, engine, "/users/ann/close"))
        for number in range(200):
            await one.send(str(number))
            assert await asyncio.wait_for(two.recv(), DEADLINE_SECONDS) == str(number)
        assert await closing == (200, {"closed": 400, "whole": True, "nodes_told": 0})
        for code, _ in await asyncio.gather(*(close_of(conn) for conn in hers)):
            assert code == 1008
        await asyncio.gather(one.close(), two.close())

    asyncio.run(run())
    engine.stop()


def test_commands_of_pages_and_what_is_no_command_are_refused():
    engine = Engine.start(BACKEND, shards=1)
    assert engine.admin("/users/ann/close")[0] == 405
    status, text = command(engine, "/users/ann/close?code=1000")
    assert status == 400 and "3000 to 4999" in text
    status, text = command(engine, "/connections/x/close")
    assert status == 400 and "five parts" in text
    status, _, text = engine.admin("/users/ann/close", method="POST", headers={"Origin": "http://127.0.0.1"})
    assert status == 403 and "browser" in text
    engine.stop()


def test_with_a_token_every_command_has_to_show_it_and_it_does_not_show_itself(tmp_path):
    secret, file = tmp_path / "token", tmp_path / "ringmain.toml"
    secret.write_text("a token of this test, which is long enough\n")
    file.write_text(f'[commands]\ntoken_file = "{secret}"\n' + SECTION)
    engine = Engine.start(BACKEND, "--config", str(file), "--log", "debug", shards=1)

    def ask(text=None):
        headers = {"Authorization": f"Bearer {text}"} if text else {}
        return engine.admin("/users/ann/close", method="POST", headers=headers)[0]

    async def run():
        one = await member(engine, "ann")
        for wrong in (None, "a token of this test", "another token of this test, also long enough"):
            assert await asyncio.to_thread(ask, wrong) == 401
        await is_open(one)
        assert await asyncio.to_thread(ask, secret.read_text().strip()) == 200
        assert (await close_of(one))[0] == 1008

    asyncio.run(run())
    assert engine.admin("/health/live")[0] == 200, "pages need none"
    assert "a token of this test" not in engine.output
    engine.stop()
