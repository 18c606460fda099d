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
# Well below the heartbeat's interval, whose timer would wake a shard that has forgotten something.
PROMPT_SECONDS = 12
# Outboxes of 16 MiB: the readers here share two cores with the engine, and shall not pass for slow ones.
LIMIT = ("--message-bytes-max", str(8 << 20))


def messages(publisher, count):
    """What a publisher sends, and what members receive of it."""
    payloads = [PAYLOAD.pack(publisher, sequence) for sequence in range(count)]
    sent = b"".join(frame(BINARY, payload) for payload in payloads)
    received = b"".join(server_frame(payload) for payload in payloads)
    return sent, received


def test_a_flood_of_one_publisher_reaches_all_members_whole(start_engine):
    engine = start_engine(*LIMIT)
    sent, received = messages(0, 150_000)
    with ExitStack() as stack:
        members = [stack.enter_context(Raw.upgraded(engine, "/raw/flood")) for _ in range(6)]
        publisher = stack.enter_context(Raw.upgraded(engine, "/raw/flood"))
        streams = [Stream(member.socket, expected=len(received)) for member in members]
        pump([*streams, Stream(publisher.socket, outgoing=sent)], PROMPT_SECONDS, "a flood of one publisher")
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
        pump([stream for _, stream in streams], PROMPT_SECONDS, "floods of several publishers")
        for place, stream in streams:
            assert_in_order(stream.received, [other for other in range(publishers) if other != place], count)
        assert engine.metrics().sum(METRICS["drops"]) == 0


def server_frame(payload):
    size = len(payload)
    return (bytes([0x80 | BINARY, size]) if size < 126 else struct.pack(">BBH", 0x80 | BINARY, 126, size)) + payload


def assert_in_order(received, publishers, count):
    next_of = dict.fromkeys(publishers, 0)
    for at in range(0, len(received), MESSAGE_BYTES):
        publisher, sequence = PAYLOAD.unpack_from(received, at + 2)
        assert next_of[publisher] == sequence, f"{publisher}:{sequence} where {next_of[publisher]} was due"
        next_of[publisher] += 1
    assert set(next_of.values()) == {count}, next_of


def test_a_burst_of_any_size_arrives_whole_without_waiting_for_more(engine):
    # Queues and budgets have sizes; a burst that just fills one must not leave its last message behind.
    with ExitStack() as stack:
        rooms = [
            [stack.enter_context(Raw.upgraded(engine, f"/raw/burst-{room}")) for _ in range(2)] for room in range(8)
        ]
        for size in range(1, 280):
            sent, received = messages(0, size)
            members = [Stream(member.socket, expected=len(received)) for _, member in rooms]
            publishers = [Stream(publisher.socket, outgoing=sent) for publisher, _ in rooms]
            pump([*members, *publishers], PROMPT_SECONDS, f"bursts of {size} messages")
            for member in members:
                assert member.received == received, f"a burst of {size} messages is not what was published"


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
        echoes = b"".join(server_frame(payload) for payload in payloads)
        stream.expected = len(echoes)
        pump([stream], PROMPT_SECONDS, "all echoes")
        assert stream.received == echoes
