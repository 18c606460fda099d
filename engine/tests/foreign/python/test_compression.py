"""permessage-deflate: Python `websockets` with many sets of parameters, and what no good client sends from bare sockets."""

import itertools
import json
import struct
import zlib

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from support.contract import CLOSE_REASONS, METRICS
from support.deadline import until
from support.engine import Engine
from support.raw import BINARY, CLOSE, CONTINUATION, PING, TEXT, Raw, frame, upgrade_request

LIMIT = 65536
RSV1 = 4

OFFERS = [
    {},
    {"client_max_window_bits": True},
    {"client_max_window_bits": 9},
    {"client_max_window_bits": 12, "server_max_window_bits": 10},
    {"server_max_window_bits": 9},
    {"server_max_window_bits": 15},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True, "client_max_window_bits": 15},
]


def rows(count, seed=0):
    return json.dumps([{"id": n, "symbol": f"ABC{n * 7 % 50}", "price": n * 7919 % 1000} for n in range(seed, seed + count)])


MESSAGES = [
    "",
    "short",
    rows(10),
    rows(10),
    rows(500),
    rows(10, 3),
    "grün€😀" * 500,
    bytes(LIMIT),
    bytes(itertools.islice(itertools.cycle(range(251)), 40_000)),
]


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "takeover"])
def takeover(request):
    return request.param


@pytest.fixture(scope="module")
def engine(backend, takeover):
    engine = Engine.start(backend, "--compression", *(["--compression-takeover"] if takeover else []))
    yield engine
    engine.stop()


def compress(message):
    """The payload of a message on its own."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert payload.endswith(b"\0\0\xff\xff")
    return payload[:-4]


def inflate(payload):
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


def upgraded(engine, path="/echo", offer="permessage-deflate"):
    raw = Raw(engine)
    raw.send(upgrade_request(path, Sec_WebSocket_Extensions=offer))
    response = raw.response()
    assert response.status == 101, response.body
    return raw, response.headers.get("sec-websocket-extensions")


def reply(raw):
    """The next frame, as (first byte, payload)."""
    first, second = raw._take(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", raw._take(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", raw._take(8))
    return first, raw._take(length)


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_messages_come_back(engine, join, offer):
    client = join(engine, "/echo", compression=None, extensions=[ClientPerMessageDeflateFactory(**offer)])
    [extension] = client.protocol.extensions
    assert extension.name == "permessage-deflate"
    assert extension.remote_max_window_bits == offer.get("server_max_window_bits", 15)
    for message in MESSAGES * 2:
        client.send(message)
        assert client.recv() == message


def test_what_is_agreed_on(engine, takeover, join):
    client = join(engine, "/echo")
    [extension] = client.protocol.extensions
    assert extension.remote_no_context_takeover == extension.local_no_context_takeover == (not takeover)


def test_fragments_are_put_together(engine, join):
    client = join(engine, "/echo", compression="deflate")
    for _ in range(3):
        client.send([rows(100, n) for n in range(5)])
        assert client.recv() == "".join(rows(100, n) for n in range(5))


def test_a_room_of_all_parameters_hears_everything(engine, join):
    members = [join(engine, "/raw/all", compression=None)]
    members += [
        join(engine, "/raw/all", compression=None, extensions=[ClientPerMessageDeflateFactory(**offer)]) for offer in OFFERS
    ]
    engine.members_are(len(members))
    for publisher in (members[0], members[1], members[-1]):
        for message in MESSAGES:
            publisher.send(message)
        for member in members:
            if member is not publisher:
                assert [member.recv() for _ in MESSAGES] == MESSAGES


def test_replies_are_compressed_where_it_pays(engine):
    raw, _ = upgraded(engine)
    with raw:
        long = rows(50).encode()
        raw.send(frame(TEXT, compress(long), rsv=RSV1) + frame(TEXT, b"short") + frame(TEXT, long))
        first, payload = reply(raw)
        assert first == 0x80 | 0x40 | TEXT
        assert inflate(payload) == long
        assert reply(raw) == (0x80 | TEXT, b"short")
        first, _ = reply(raw)
        assert first == 0x80 | 0x40 | TEXT


def test_fragments_with_control_frames_amid(engine):
    raw, _ = upgraded(engine)
    with raw:
        payload = compress(b"Hello" * 10)
        raw.send(
            frame(TEXT, payload[:2], fin=False, rsv=RSV1)
            + frame(PING, b"amid")
            + frame(CONTINUATION, b"", fin=False)
            + frame(CONTINUATION, payload[2:])
        )
        assert reply(raw)[1] == b"amid"
        assert reply(raw) == (0x80 | TEXT, b"Hello" * 10)


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        (frame(TEXT, compress(b"x"), fin=False, rsv=RSV1) + frame(CONTINUATION, b"", rsv=RSV1), 1002, CLOSE_REASONS["1002"]),
        (frame(PING, b"", rsv=RSV1), 1002, CLOSE_REASONS["1002"]),
        (frame(CLOSE, b"", rsv=RSV1), 1002, CLOSE_REASONS["1002"]),
        (frame(TEXT, compress(b"x"), rsv=2), 1002, CLOSE_REASONS["1002"]),
        (frame(TEXT, compress(b"x"), rsv=5), 1002, CLOSE_REASONS["1002"]),
        (frame(TEXT, compress(b"gr\xfcn"), rsv=RSV1), 1007, CLOSE_REASONS["1007"]),
        (frame(BINARY, b"\xff" * 20, rsv=RSV1), 1007, CLOSE_REASONS["compression"]),
        (frame(BINARY, compress(b"Hello" * 10)[:-3], rsv=RSV1), 1007, CLOSE_REASONS["compression"]),
        (frame(BINARY, compress(bytes(LIMIT + 1)), rsv=RSV1), 1009, CLOSE_REASONS["1009"]),
        (frame(BINARY, compress(bytes(50 << 20)), rsv=RSV1), 1009, CLOSE_REASONS["1009"]),
    ],
    ids=[
        "bit on a continuation",
        "bit on a ping",
        "bit on a close",
        "another reserved bit",
        "two reserved bits",
        "no UTF-8 inside",
        "no deflate",
        "cut off",
        "one byte too many",
        "bomb",
    ],
)
def test_what_is_wrong_closes_its_sender_alone(engine, join, frames, code, reason):
    good = join(engine, "/echo")
    before = engine.metrics()
    raw, _ = upgraded(engine)
    with raw:
        raw.send(frames)
        raw.expect_close(code)
    good.send(rows(20))
    assert good.recv() == rows(20)
    until(
        lambda: engine.metrics().sum(METRICS["closes"], reason=reason) == before.sum(METRICS["closes"], reason=reason) + 1,
        f"the close was counted as {reason}",
    )


def test_the_largest_message_is_no_bomb(engine):
    raw, _ = upgraded(engine)
    with raw:
        raw.send(frame(BINARY, compress(bytes(LIMIT)), rsv=RSV1))
        _, payload = reply(raw)
        assert inflate(payload) == bytes(LIMIT)


def test_a_flood_of_small_frames_that_become_large_holds_up_nobody(engine, join):
    good = join(engine, "/echo")
    raw, _ = upgraded(engine)
    with raw:
        count = 1000
        raw.send(frame(BINARY, compress(bytes(LIMIT)), rsv=RSV1) * count)
        good.send(rows(20))
        assert good.recv(timeout=5) == rows(20)
        context = zlib.decompressobj(-15)
        for _ in range(count):
            _, payload = reply(raw)
            assert context.decompress(payload + b"\0\0\xff\xff") == bytes(LIMIT)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=07",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "x-webkit-deflate-frame",
    ],
)
def test_an_offer_that_cannot_be_accepted_is_declined(engine, offer):
    raw, answer = upgraded(engine, offer=offer)
    with raw:
        assert answer is None
        raw.send(frame(TEXT, rows(50).encode()))
        assert reply(raw) == (0x80 | TEXT, rows(50).encode())
        raw.send(frame(TEXT, compress(b"x"), rsv=RSV1))
        raw.expect_close(1002)


def test_the_next_offer_is_taken(engine):
    offers = 'permessage-deflate; what, permessage-deflate; server_max_window_bits="10", permessage-deflate'
    raw, answer = upgraded(engine, offer=offers)
    with raw:
        assert "server_max_window_bits=10" in answer


@pytest.mark.parametrize("header", ["permessage-deflate;", "permessage-deflate; a=", 'permessage-deflate; a="1', "a b"])
def test_a_malformed_header_is_refused_with_a_reason(engine, header):
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo", Sec_WebSocket_Extensions=header))
        response = raw.response()
        assert response.status == 400
        assert "Sec-WebSocket-Extensions" in response.text


def test_without_takeover_each_message_stands_alone(engine, takeover):
    raw, _ = upgraded(engine, offer="permessage-deflate; server_no_context_takeover")
    with raw:
        for _ in range(3):
            raw.send(frame(TEXT, rows(50).encode()))
            _, payload = reply(raw)
            assert inflate(payload) == rows(50).encode()
