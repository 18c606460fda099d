"""Publishers that send without end are slowed down, not cut off, and nothing is lost by it."""

import random
import struct
import time
from contextlib import ExitStack

from support.contract import METRICS
from support.deadline import DEADLINE_SECONDS, until
from support.pump import Stream, pump
from support.raw import BINARY, Raw, frame

PAYLOAD = struct.Struct(">II24x")
MESSAGE_BYTES = 2 + PAYLOAD.size
# Outboxes of 16 MiB: the readers here share two cores with the engine, and shall not pass for slow ones.
LIMIT = ("--message-bytes-max", str(8 << 20))


def messages(publisher, count):
    """What a publisher sends, and what members receive of it."""
    payloads = [PAYLOAD.pack(publisher, sequence) for sequence in range(count)]
    sent = b"".join(frame(BINARY, payload) for payload in payloads)
    received = b"".join(bytes([0x80 | BINARY, PAYLOAD.size]) + payload for payload in payloads)
    return sent, received


def test_a_flood_of_one_publisher_reaches_all_members_whole(start_engine):
    engine = start_engine(*LIMIT)
    sent, received = messages(0, 150_000)
    with ExitStack() as stack:
        members = [stack.enter_context(Raw.upgraded(engine, "/raw/flood")) for _ in range(6)]
        publisher = stack.enter_context(Raw.upgraded(engine, "/raw/flood"))
        streams = [Stream(member.socket, expected=len(received)) for member in members]
        pump([*streams, Stream(publisher.socket, outgoing=sent)])
        for stream in streams:
            assert stream.received == received, "the stream of a member is not what was published"
        assert engine.metrics().sum(METRICS["drops"]) == 0
        assert engine.metrics().sum(METRICS["mesh_frames_out"], lane="data") > 0


def test_floods_of_several_publishers_reach_all_members_each_in_its_order(start_engine):
    engine = start_engine(*LIMIT)
    publishers, count = 4, 25_000
    with ExitStack() as stack:
        rooms = [[stack.enter_context(Raw.upgraded(engine, f"/raw/flood-{room}")) for _ in range(6)] for room in range(2)]
        streams = []
        for members in rooms:
            for place, member in enumerate(members):
                is_publisher = place < publishers
                others = publishers - 1 if is_publisher else publishers
                outgoing = messages(place, count)[0] if is_publisher else b""
                streams.append((place, Stream(member.socket, outgoing, others * count * MESSAGE_BYTES)))
        pump([stream for _, stream in streams])
        for place, stream in streams:
            assert_in_order(stream.received, [other for other in range(publishers) if other != place], count)
        assert engine.metrics().sum(METRICS["drops"]) == 0


def assert_in_order(received, publishers, count):
    next_of = dict.fromkeys(publishers, 0)
    for at in range(0, len(received), MESSAGE_BYTES):
        publisher, sequence = PAYLOAD.unpack_from(received, at + 2)
        assert next_of[publisher] == sequence, f"{publisher}:{sequence} where {next_of[publisher]} was due"
        next_of[publisher] += 1
    assert set(next_of.values()) == {count}, next_of


def test_an_echo_client_that_only_sends_is_not_read_and_loses_nothing(engine):
    rng = random.Random(17)
    payloads = [rng.randbytes(rng.randrange(60_000)) for _ in range(600)]
    with Raw.upgraded(engine, "/echo") as raw:
        stream = Stream(raw.socket, b"".join(frame(BINARY, payload) for payload in payloads), expected=0)
        before = engine.metrics().sum(METRICS["publishers_paused"])
        end = time.monotonic() + DEADLINE_SECONDS

        def is_not_read():
            assert time.monotonic() < end and stream.outgoing, "all was taken from a client that does not read"
            took = stream.send_some()
            return not took and engine.metrics().sum(METRICS["publishers_paused"]) > before

        until(is_not_read, "the engine stopped reading")
        for payload in payloads:
            head = bytes([0x80 | BINARY])
            size = len(payload)
            stream.expected += len(payload) + (2 if size < 126 else 4)
        pump([stream])
        at = 0
        for payload in payloads:
            size = len(payload)
            head = bytes([0x82, size]) if size < 126 else struct.pack(">BBH", 0x82, 126, size)
            expected = head + payload
            assert stream.received[at : at + len(expected)] == expected
            at += len(expected)
        assert at == len(stream.received)
