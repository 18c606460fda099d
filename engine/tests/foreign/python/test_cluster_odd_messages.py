"""Plain messages that the nodes' own NATS client cannot read: they cost plain publishing a moment, and nothing else."""

import asyncio
import json
import socket

import nats
import pytest
from nats.errors import NoRespondersError, TimeoutError

from support.cluster import NODES, eventually
from support.deadline import DEADLINE_SECONDS
from support.load import Member, Publisher

_HEADERS = b"NATS/1.0\r\na line without a colon\r\n\r\n"

ODD = {
    "subject": b"PUB ringmain.main.publish.caf\xe9 1\r\nx\r\n",
    "reply": b"PUB ringmain.main.publish.lobby r\xff 1\r\nx\r\n",
    "headers": b"HPUB ringmain.main.publish.lobby %d %d\r\n%sx\r\n" % (len(_HEADERS), len(_HEADERS) + 1, _HEADERS),
}


def publish(port, lines):
    """Hands the server what a client of its own would not send."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as stream:
        stream.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n' + lines + b"PING\r\n")
        got = b""
        while b"PONG\r\n" not in got:
            got += stream.recv(65_536)
            assert b"-ERR" not in got, got


async def is_taken(backend, subject, text):
    """Asks until a node answers: for a moment there may be none that listens."""
    for _ in range(100):
        try:
            reply = await backend.request(subject, text, timeout=1)
        except (NoRespondersError, TimeoutError):
            await asyncio.sleep(0.1)
            continue
        assert json.loads(reply.data) == {"ok": True}
        return
    raise AssertionError(f"no node took what was published to {subject}")


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("cluster", ["current", "older"], indirect=True)
def test_a_message_that_cannot_be_read_does_not_touch_what_nodes_say_to_each_other(cluster, what):
    cluster.broker.start()
    cluster.start(*NODES)
    cluster.know_each_other()

    async def run():
        far = await Member.join(cluster, "b", "lobby")
        talker = await Publisher.begin(cluster, "a", "lobby", "talker")
        await asyncio.to_thread(cluster.rooms_are, 1, "a", "b")
        await far.has("talker", talker.sent + 100)
        # One node gets each of them: whichever, it reads the next ones of the talker a moment later.
        for number in range(1, 5):
            publish(cluster.broker.port, ODD[what])
            await eventually(lambda: cluster.total("publish_interruptions") >= number, "a node has lost what it reads them by")
            await far.has("talker", talker.sent + 100)
        backend = await nats.connect(cluster.broker.url)
        await is_taken(backend, "ringmain.main.publish.lobby", b"shop 0")
        await far.has("shop", 0)
        await backend.close()
        await talker.stop()
        await far.has("talker", talker.sent - 1)
        for member in (far, talker):
            await member.end()
        assert far.ledger.holes["talker"] == 0

    asyncio.run(run())
    assert cluster.total("interruptions") == 0, "no node has lost the others"
    assert cluster.missed() == 0
    assert not any(cluster.drops(name) for name in NODES)
