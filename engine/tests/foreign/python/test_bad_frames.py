"""Frames that break the protocol close their sender with the right code, while its room goes on."""

import struct

import pytest

from support.contract import CLOSE_REASONS, METRICS
from support.deadline import DEADLINE_SECONDS, until
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame

EURO = "€".encode()

BAD = {
    # RFC 6455, section 5.1
    "an unmasked text": (frame(TEXT, b"bare", masked=False), 1002),
    "an unmasked ping": (frame(PING, masked=False), 1002),
    "an unmasked close": (frame(CLOSE, struct.pack(">H", 1000), masked=False), 1002),
    # Section 5.2
    "RSV1": (frame(TEXT, b"x", rsv=4), 1002),
    "RSV2": (frame(BINARY, b"x", rsv=2), 1002),
    "RSV3 on a ping": (frame(PING, rsv=1), 1002),
    "opcode 3": (frame(3, b"x"), 1002),
    "opcode 7": (frame(7), 1002),
    "opcode 11": (frame(11, b"x"), 1002),
    "opcode 15": (frame(15), 1002),
    "a length of 16 bits that fits 7": (frame(BINARY, b"x" * 125, length_form=16), 1002),
    "a length of 64 bits that fits 16": (frame(BINARY, b"x" * 500, length_form=64), 1002),
    "a length with the highest bit set": (frame(BINARY, announced=1 << 63), (1002, 1009)),
    "a length beyond every limit": (frame(BINARY, announced=1 << 40), 1009),
    # Section 5.4
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a text within a fragmented text": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a binary within a fragmented text": (frame(TEXT, b"a", fin=False) + frame(BINARY, b"b", fin=False), 1002),
    # Section 5.5
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a ping whose header says 126 bytes": (frame(PING, announced=126), 1002),
    "a pong of 126 bytes": (frame(PONG, b"x" * 126), 1002),
    "a close of 126 bytes": (frame(CLOSE, struct.pack(">H", 1000) + b"x" * 124), 1002),
    "a fragmented ping": (frame(PING, b"x", fin=False), 1002),
    # Section 8.1
    "a text that is not UTF-8": (frame(TEXT, b"a\xffb"), 1007),
    "an overlong slash": (frame(TEXT, b"\xc0\xaf"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "a character above U+10FFFF": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "a text that ends within a character": (frame(TEXT, EURO[:2]), 1007),
    "a fragmented text that ends within a character": (
        frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, EURO[1:2]), 1007),
    "a text whose fragments do not fit together": (frame(TEXT, EURO[:2], fin=False) + frame(CONTINUATION, b"a"), 1007),
    # Fails at the first bad byte, without waiting for the rest.
    "a bad byte in a fragment that others should follow": (frame(TEXT, b"\xff", fin=False), 1007),
    "a bad byte in a frame that is not complete": (frame(TEXT, b"good\xffbad", announced=1000), 1007),
    "too large a frame, before its payload": (frame(BINARY, announced=65537), 1009),
    "too large a text, before its payload": (frame(TEXT, announced=70_000), 1009),
    "a fragment that makes the message too large, before its payload": (
        frame(BINARY, b"x" * 65536, fin=False) + frame(CONTINUATION, announced=1), 1009),
}


@pytest.fixture
def room(engine, join):
    """Members on several connections of a room, who must see nothing of what happens to others."""
    engine.members_are(0)
    return [join(engine, "/raw/good") for _ in range(3)]


def receive(client):
    return client.recv(DEADLINE_SECONDS)


@pytest.mark.parametrize("bad, codes", BAD.values(), ids=BAD.keys())
def test_a_bad_frame_closes_its_sender_only(engine, room, bad, codes):
    codes = codes if isinstance(codes, tuple) else (codes,)
    with Raw.upgraded(engine, "/raw/good") as raw:
        raw.send(frame(TEXT, b"good"))
        raw.send(bad)
        raw.expect_close(*codes)
    for client in room:
        assert receive(client) == "good"
    engine.members_are(len(room))
    for sender in room:
        sender.send("the room goes on")
        for client in room:
            if client is not sender:
                assert receive(client) == "the room goes on"


def test_good_frames_before_a_bad_one_in_the_same_segment_are_delivered(engine, room):
    with Raw.upgraded(engine, "/raw/good") as raw:
        raw.send(frame(TEXT, b"one") + frame(BINARY, b"two") + frame(3) + frame(TEXT, b"too late"))
        raw.expect_close(1002)
    for client in room:
        assert receive(client) == "one"
        assert receive(client) == b"two"
    engine.members_are(len(room))
    room[0].send("next")
    for client in room[1:]:
        assert receive(client) == "next"


@pytest.mark.parametrize("bad, code", [
    (frame(3), 1002), (frame(TEXT, b"\xff"), 1007), (frame(BINARY, announced=1 << 40), 1009),
], ids=["1002", "1007", "1009"])
def test_a_close_is_counted_by_its_reason_and_tells_it(engine, bad, code):
    def closes():
        return engine.metrics().sum(METRICS["closes"], reason=CLOSE_REASONS[str(code)])

    before = closes()
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(bad)
        _, reason = raw.expect_close(code)
    assert reason, "a close has to say why"
    until(lambda: closes() == before + 1, "the close was counted")
