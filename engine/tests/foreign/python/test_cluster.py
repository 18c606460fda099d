"""Three engines and a NATS server: rooms across a cluster, and what becomes of them when something is gone."""

import asyncio
import json
import re
import time
from pathlib import Path

import nats
import pytest

from support.broker import Broker, free_port
from support.cluster import BACKEND, NODES, client, eventually, receive
from support.deadline import DEADLINE_SECONDS, until
from support.engine import Engine
from support.load import Member, Publisher
from support.partition import Island, is_possible

EITHER_SERVER = pytest.mark.parametrize("cluster", ["current", "older"], indirect=True)


async def hears_nothing(member, seconds=0.5):
    with pytest.raises(asyncio.TimeoutError):
        await receive(member, seconds)


async def crosses(sender, member, text):
    """Sends until it arrives: a connection to the server that is new is known a moment later here than there."""
    for attempt in range(100):
        await sender.send(f"{text} {attempt}")
        try:
            while not (await receive(member, 0.2)).startswith(text):
                pass
            return
        except asyncio.TimeoutError:
            pass
    raise AssertionError(f"{text!r} never arrived")


@EITHER_SERVER
def test_members_on_all_nodes_get_each_message_once_in_the_publishers_order(cluster):
    """100,000 messages in 100 rooms, from publishers on all nodes, to members on all nodes."""
    rooms, each = 100, 1_000
    cluster.broker.start()
    cluster.start(*NODES)
    cluster.know_each_other()

    async def run():
        members = {}
        for room in range(rooms):
            for name in NODES:
                members[room, name] = await client(cluster.nodes[name], f"room%20{room}%20*.%3E")
        await asyncio.to_thread(cluster.rooms_are, rooms)

        async def publish(room):
            sender = members[room, NODES[room % 3]]
            for number in range(each):
                await sender.send(f"{number}")

        async def expect(room, name):
            got = [await receive(members[room, name]) for _ in range(each)]
            assert got == [str(number) for number in range(each)], f"room {room} on {name}"

        receivers = [
            asyncio.create_task(expect(room, name)) for room, name in members if NODES[room % 3] != name
        ]
        await asyncio.gather(*(publish(room) for room in range(rooms)), *receivers)
        await hears_nothing(members[0, "b"])
        await asyncio.gather(*(member.close() for member in members.values()))

    asyncio.run(run())
    assert cluster.total("sent") == rooms * each, "one message for NATS each"
    assert cluster.total("received") == 2 * rooms * each, "one copy a node"
    assert cluster.missed() == 0
    assert not any(cluster.drops(name) for name in NODES)


@EITHER_SERVER
def test_any_client_of_nats_publishes_to_all_nodes(cluster):
    cluster.broker.start()
    cluster.start(*NODES)
    cluster.know_each_other()

    async def run():
        members = [await client(cluster.nodes[name], "caf%C3%A9.1") for name in NODES]
        await asyncio.to_thread(cluster.rooms_are, 1)
        backend = await nats.connect(cluster.broker.url)
        subject = "ringmain.main.publish.caf=C3=A9=2E1"
        for number in range(200):
            await backend.publish(subject, b"n %d" % number)
        reply = await backend.request(subject, b"asked", timeout=10)
        assert json.loads(reply.data) == {"ok": True}
        reply = await backend.request(subject, b"\xff\x00", timeout=10)
        assert json.loads(reply.data) == {"ok": True}
        for member in members:
            got = [await receive(member) for _ in range(202)]
            assert sorted(map(str, got)) == sorted(map(str, [*(f"n {n}" for n in range(200)), "asked", b"\xff\x00"]))
            await hears_nothing(member, 0.2)
        reply = await backend.request("ringmain.main.publish.x", b"x" * 65537, timeout=10)
        assert json.loads(reply.data)["error"] == "the message has 65537 bytes; at most 65536 are allowed"
        reply = await backend.request("ringmain.main.publish.a=", b"x", timeout=10)
        assert json.loads(reply.data)["ok"] is False
        await backend.close()

    asyncio.run(run())
    assert cluster.total("published") == 202, "one node takes each"


@EITHER_SERVER
def test_nodes_come_and_go(cluster):
    cluster.broker.start()
    cluster.start(*NODES)
    cluster.know_each_other()
    leaver = cluster.nodes.pop("c")
    leaver.stop()
    until(lambda: cluster.known("a") == {"b"}, "the clean leaver was gone at once", 1.5)
    killed = cluster.nodes.pop("b")
    killed.process.kill()
    began = time.monotonic()
    until(lambda: not cluster.page("a")["nodes"], "the silent node was gone")
    # Three seconds after it was last heard, and what this machine needs to say so.
    assert time.monotonic() - began < 4
    cluster.start("b")
    cluster.know_each_other()


def test_without_a_server_at_start_a_node_serves_alone_and_joins_when_it_comes(cluster):
    cluster.start("a", "b")
    page = cluster.page("a")
    assert page["connected"] is False and page["interrupted_ms"] >= 0

    async def run():
        one, two = await client(cluster.nodes["a"], "lobby"), await client(cluster.nodes["a"], "lobby")
        far = await client(cluster.nodes["b"], "lobby")
        await one.send("alone")
        assert await receive(two) == "alone"
        await asyncio.to_thread(cluster.broker.start)
        await asyncio.to_thread(cluster.know_each_other)
        await asyncio.to_thread(cluster.rooms_are, 1)
        await one.send("together")
        assert await receive(two) == "together"
        # What was said alone is heard by the others only if the server came in time for it.
        while (text := await receive(far)) != "together":
            assert text == "alone"

    asyncio.run(run())


def test_readiness_without_the_server_is_a_choice(cluster, tmp_path):
    file = tmp_path / "ringmain.toml"
    file.write_text('[cluster]\nready_alone = "off"\n')
    engine = Engine(BACKEND, "--nats", cluster.broker.url, "--config", str(file), shards=1)
    cluster.nodes["a"] = engine
    match = until(lambda: re.search(r"http://([\d.]+):([1-9]\d*)", engine.output), "it printed its address")
    engine.admin_host, engine.admin_port = match[1], int(match[2])
    status, _, text = until(lambda: engine.admin("/health/ready"), "it answered")
    assert (status, text) == (503, "the NATS server is not there\n")
    cluster.broker.start()
    until(lambda: engine.admin("/health/ready")[0] == 200, "it was ready")


@EITHER_SERVER
@pytest.mark.parametrize("trouble", ["killed", "paused"])
def test_without_the_server_local_members_lose_nothing_and_the_rest_goes_on_when_it_is_back(
    cluster, trouble, tmp_path
):
    file = tmp_path / "ringmain.toml"
    file.write_text('[cluster]\nqueue_bytes_max = "256KiB"\n')
    cluster.broker.start()
    cluster.start("a", "b", args=("--config", str(file)))
    cluster.know_each_other()

    async def run():
        sender, near, far = [await client(cluster.nodes[n], "lobby") for n in ("a", "a", "b")]
        await asyncio.to_thread(cluster.rooms_are, 1)
        await crosses(sender, far, "before")
        while not (await receive(near)).startswith("before"):
            pass
        cluster.broker.kill() if trouble == "killed" else cluster.broker.pause()
        slowest, number, end = 0, 0, time.monotonic() + DEADLINE_SECONDS
        # The systems on the way take some megabytes before the queue has to.
        while number < 3_000 or number % 500 or not cluster.drops("a"):
            assert time.monotonic() < end, "nothing was dropped"
            began = time.monotonic()
            await sender.send(f"local {number} " + "x" * 2_000)
            text = await receive(near)
            slowest = max(slowest, time.monotonic() - began)
            assert text.startswith(f"local {number} "), text[:40]
            number += 1
        # Less than anything waits in the queue for the server.
        assert slowest < 1.5, f"local delivery waited {slowest:.2f} s for the server"
        await eventually(lambda: not cluster.page("a")["waiting"]["messages"], "what waited was dropped for its age")
        await sender.send("last of them")
        assert await receive(near) == "last of them"
        cluster.broker.start() if trouble == "killed" else cluster.broker.go_on()
        await crosses(sender, far, "after")

    asyncio.run(run())
    drops = cluster.drops("a")
    assert drops.get("queue_full", 0) + drops.get("queue_expired", 0) > 0, "what was lost has a name"
    until(lambda: cluster.missed("b") > 0, "and the other node knows that it has missed it")
    if trouble == "killed":
        assert cluster.page("b")["interruptions"] >= 1


def test_a_node_and_the_server_are_killed_in_turn(cluster):
    """Who sits beside the publisher hears everything; what others miss is counted, and none hears anything twice."""
    cluster.broker.start()
    cluster.start("a", "b")
    cluster.know_each_other()

    async def run():
        near = await Member.join(cluster, "a", "lobby")
        talker = await Publisher.begin(cluster, "a", "lobby", "talker")

        async def far():
            member = await Member.join(cluster, "b", "lobby")
            await asyncio.to_thread(cluster.rooms_are, 1)
            await member.has("talker", talker.sent + 100)
            return member

        one = await far()
        assert one.ledger.holes["talker"] == 0 and cluster.missed() == 0
        cluster.broker.kill()
        await talker.has("talker", talker.sent + 100)
        cluster.nodes.pop("b").kill()
        await asyncio.to_thread(cluster.start, "b")
        await asyncio.to_thread(cluster.broker.start)
        await asyncio.to_thread(cluster.know_each_other)
        two = await far()
        assert two.ledger.first["talker"] > one.ledger.last["talker"]
        cluster.nodes.pop("b").kill()
        cluster.broker.kill()
        await asyncio.to_thread(cluster.broker.start)
        await asyncio.to_thread(cluster.start, "b")
        await asyncio.to_thread(cluster.know_each_other)
        three = await far()
        cluster.broker.kill()
        await eventually(lambda: cluster.drops("a").get("queue_expired"), "something had waited for too long")
        await asyncio.to_thread(cluster.broker.start)
        await three.has("talker", talker.sent + 100)
        await talker.stop()
        await near.has("talker", talker.sent - 1)
        await three.has("talker", talker.sent - 1)
        for member in (near, talker, one, two, three):
            await member.end()
        for member in (near, talker):
            assert member.ledger.count["talker"] == talker.sent, "all, each once, in order"
        assert three.ledger.holes["talker"] > 0, "the server was away"
        holes = three.ledger.holes["talker"]
        await eventually(lambda: cluster.missed("b") == holes, f"the {holes} that it cost were counted, and no more")

    asyncio.run(run())


def test_a_leaver_sends_what_its_members_have_sent_before_it_goes(cluster):
    cluster.broker.start()
    cluster.start("a", "b")
    cluster.know_each_other()

    async def run():
        sender, far = await client(cluster.nodes["a"], "lobby"), await client(cluster.nodes["b"], "lobby")
        near = await client(cluster.nodes["a"], "lobby")
        await asyncio.to_thread(cluster.rooms_are, 1)
        for number in range(5_000):
            await sender.send(str(number))
        # What a local member has got is taken in; then the node ends.
        for number in range(5_000):
            assert await receive(near) == str(number)
        await asyncio.to_thread(cluster.nodes["a"].stop)
        assert [await receive(far) for _ in range(5_000)] == [str(number) for number in range(5_000)]

    asyncio.run(run())


def test_the_server_is_reached_with_a_password_and_the_password_does_not_show(cluster, tmp_path):
    cluster.broker.args = ("--user", "ring", "--pass", "hush-hush")
    cluster.broker.start()
    password, file = tmp_path / "password", tmp_path / "ringmain.toml"
    password.write_text("hush-hush\n")
    file.write_text(f'[cluster]\nuser = "ring"\npassword_file = "{password}"\n')
    cluster.start("a", "b", args=("--config", str(file), "--log", "debug"))
    cluster.know_each_other()
    assert all("hush-hush" not in engine.output for engine in cluster.nodes.values())


@EITHER_SERVER
def test_the_permissions_that_the_documentation_gives_are_enough_and_no_more(cluster, tmp_path, monkeypatch):
    text = (Path(__file__).parents[4] / "docs" / "cluster.md").read_text()
    config, file, password = (tmp_path / name for name in ("nats.conf", "ringmain.toml", "password"))
    config.write_text(re.search(r"```text\n(authorization \{.*?)```", text, re.DOTALL)[1])
    monkeypatch.setenv("NODE_PASSWORD", "node-secret")
    monkeypatch.setenv("SHOP_PASSWORD", "shop-secret")
    password.write_text("node-secret")
    file.write_text(f'[cluster]\nuser = "node"\npassword_file = "{password}"\n')
    cluster.broker.args = ("-c", str(config))
    cluster.name = "chat"
    cluster.broker.start()
    cluster.start("a", "b", args=("--cluster", "chat", "--config", str(file)))
    cluster.know_each_other()

    async def run():
        one, two = [await client(cluster.nodes[name], "lobby") for name in ("a", "b")]
        await asyncio.to_thread(cluster.rooms_are, 1)
        await one.send("from a")
        assert await receive(two) == "from a"
        refused = asyncio.Queue()
        shop = await nats.connect(cluster.broker.url, user="shop", password="shop-secret", error_cb=refused.put)
        reply = await shop.request("ringmain.chat.publish.lobby", b"from the shop", timeout=10)
        assert json.loads(reply.data) == {"ok": True}
        assert await receive(one) == await receive(two) == "from the shop"
        # Nor does a node say for it what it may not say: that would be counted as unreadable, or heard in the vault.
        vault = [await client(cluster.nodes[name], "vault") for name in ("a", "b")]
        await asyncio.to_thread(cluster.rooms_are, 2)
        for number, reply in enumerate(("nodes", "last", "publish.vault", "room.000.vault")):
            await shop.publish("ringmain.chat.publish.lobby", b"%d" % number, reply=f"ringmain.chat.{reply}")
            assert await receive(one) == await receive(two) == f"{number}"
        reply = await shop.request("ringmain.chat.publish.lobby", b"behind them", timeout=10)
        assert json.loads(reply.data) == {"ok": True}
        for member in vault:
            await hears_nothing(member)
        for subject in ("ringmain.chat.nodes", "ringmain.chat.last", "ringmain.chat.room.000.lobby"):
            await shop.publish(subject, b"forged")
            assert "permissions violation" in str(await asyncio.wait_for(refused.get(), 10)).lower()
        await shop.close()

    asyncio.run(run())
    for name in ("a", "b"):
        assert not cluster.drops(name), "nothing that was forged came through"
        assert "ermissions" not in cluster.nodes[name].output, "no node was refused anything"


def test_a_server_among_several_may_be_lost(cluster):
    """Of three NATS servers the one is killed that an engine uses: it goes on over those that are left."""
    ports = [free_port() for _ in range(3)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers = [
        Broker("--cluster_name", "test", "--cluster", f"nats://127.0.0.1:{port}", "--routes", routes).start()
        for port in ports
    ]
    cluster.servers = servers
    urls = ",".join(server.url for server in servers)
    try:
        for name in ("a", "b"):
            cluster.nodes[name] = Engine.start(BACKEND, "--nats", urls, "--node", name, shards=2)
        cluster.know_each_other()

        async def run():
            near, far = [await Member.join(cluster, name, "lobby") for name in ("a", "b")]
            await asyncio.to_thread(cluster.rooms_are, 1)
            talker = await Publisher.begin(cluster, "a", "lobby", "talker")
            await far.has("talker", talker.sent + 100)
            for name in ("a", "b"):
                server = next(server for server in servers if server.subscriptions(f"ringmain {name}"))
                server.kill()
                await eventually(lambda: cluster.page(name)["interruptions"] >= 1, f"{name} saw it")
                # What is sent from now on, or a moment later, arrives again.
                await far.has("talker", talker.sent + 1_000)
                await asyncio.to_thread(server.start)
                await eventually(lambda: all(each.routes() == 2 for each in servers), "the servers knew each other")
                await far.has("talker", talker.sent + 100)
            await talker.stop()
            for member in (near, far):
                await member.has("talker", talker.sent - 1)
                await member.end()
            await talker.end()
            assert near.ledger.count["talker"] == talker.sent, "who is on the same node has all"
            holes = far.ledger.holes["talker"]
            await eventually(lambda: cluster.missed("b") == holes, f"the {holes} that it cost were counted, and no more")

        asyncio.run(run())
    finally:
        for server in servers:
            server.kill()


@pytest.mark.skipif(not is_possible(), reason="network namespaces take root and `ip`")
def test_a_node_that_is_cut_off_serves_its_own_and_comes_back_when_the_partition_is_healed(cluster):
    with Island() as island:
        cluster.broker = Broker(host=island.addresses[0], prefix=island.command)
        try:
            cluster.broker.start()
            for name, address in zip(("a", "b"), island.addresses):
                url = f"nats://{address}:{cluster.broker.port}"
                cluster.nodes[name] = Engine.start(BACKEND, "--nats", url, "--node", name, shards=2)
            cluster.know_each_other()

            async def run():
                sender, near, far = [await client(cluster.nodes[n], "lobby") for n in ("a", "a", "b")]
                await asyncio.to_thread(cluster.rooms_are, 1)
                await crosses(sender, far, "before")
                while not (await receive(near)).startswith("before"):
                    pass
                island.cut(0)
                gone = asyncio.create_task(eventually(lambda: not cluster.known("b"), "b saw that a was gone", 5))
                alone = asyncio.create_task(
                    eventually(lambda: not cluster.page("a")["connected"], "a saw that it was cut off")
                )
                number = 0
                while number < 500 or not (gone.done() and alone.done()):
                    await sender.send(f"local {number}")
                    assert await receive(near, 1) == f"local {number}"
                    number += 1
                await asyncio.gather(gone, alone)
                island.heal(0)
                await crosses(sender, far, "after")

            asyncio.run(run())
            cluster.know_each_other()
            assert cluster.page("a")["interruptions"] >= 1
            assert cluster.page("b")["interruptions"] == 0
        finally:
            cluster.stop()


def test_a_node_alone_has_no_cluster():
    engine = Engine.start(BACKEND, shards=1)
    status, _, text = engine.admin("/cluster")
    assert status == 404 and "--nats" in text
    assert "ringmain_cluster" not in engine.admin("/metrics")[2]
    engine.stop()
