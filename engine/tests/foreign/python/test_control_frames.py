"""Pings, pongs and the closing handshake, by a client library and on bare sockets."""

import struct

import pytest
from websockets.exceptions import ConnectionClosed

from support.raw import CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, close_frame, frame


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=["empty", "one byte", "125 bytes"])
def test_a_ping_is_answered_with_its_own_payload(engine, join, payload):
    client = join(engine, "/echo")
    assert client.ping(payload).wait(20), "no pong came"
    client.send("still here")
    assert client.recv(20) == "still here"


def test_pings_and_messages_are_answered_in_their_order(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(b"".join(frame(PING, b"p%d" % i) + frame(TEXT, b"t%d" % i) for i in range(50)))
        frames = [raw.frame() for _ in range(100)]
        assert [payload for opcode, payload in frames if opcode == PONG] == [b"p%d" % i for i in range(50)]
        assert [payload for opcode, payload in frames if opcode == TEXT] == [b"t%d" % i for i in range(50)]


def test_pongs_that_nobody_asked_for_are_ignored(engine, join):
    client = join(engine, "/echo")
    client.pong(b"unasked")
    client.pong(b"")
    client.send("still here")
    assert client.recv(20) == "still here"


def test_pings_do_not_reach_the_room(engine, join):
    sender, member = join(engine, "/raw/pings"), join(engine, "/raw/pings")
    assert sender.ping(b"for the engine").wait(20)
    sender.pong(b"for nobody")
    sender.send("for the room")
    assert member.recv(20) == "for the room"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 3999, 4000, 4999])
def test_a_close_is_answered_with_its_code(engine, join, code):
    client = join(engine, "/raw/closing")
    client.close(code, "that is all")
    assert client.protocol.close_rcvd is not None, "no close came back"
    assert client.protocol.close_rcvd.code == code


def test_a_close_without_a_code_is_answered(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(frame(CLOSE))
        opcode, payload = raw.frame()
        assert opcode == CLOSE
        assert payload in (b"", struct.pack(">H", 1000))
        raw.expect_end()


def test_a_close_with_the_longest_reason_is_answered_and_ends_the_connection(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(close_frame(1000, "ä".encode() * 61 + b"z"))
        raw.expect_close(1000)


def test_what_comes_after_a_close_is_ignored(engine, join):
    member = join(engine, "/raw/after-close")
    with Raw.upgraded(engine, "/raw/after-close") as raw:
        raw.send(frame(TEXT, b"before") + close_frame(1000) + frame(TEXT, b"after") + frame(PING))
        raw.expect_close(1000)
    assert member.recv(20) == "before"
    engine.members_are(1)
    other = join(engine, "/raw/after-close")
    other.send("of another")
    assert member.recv(20) == "of another"


def test_echoes_that_were_due_come_before_the_answer_to_a_close(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(b"".join(frame(TEXT, b"%d" % i) for i in range(200)) + close_frame(1000))
        for i in range(200):
            assert raw.frame() == (TEXT, b"%d" % i)
        raw.expect_close(1000)


def test_a_close_may_come_between_two_fragments(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(frame(TEXT, b"unfinished", fin=False) + close_frame(4321) + frame(CONTINUATION, b"!"))
        raw.expect_close(4321)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535])
def test_a_close_code_that_may_not_be_sent_is_an_error(engine, code):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(close_frame(code))
        raw.expect_close(1002)


def test_a_close_of_one_byte_is_an_error(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(frame(CLOSE, b"\x03"))
        raw.expect_close(1002)


def test_a_close_reason_that_is_not_utf8_is_an_error(engine):
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(close_frame(1000, b"\xff"))
        raw.expect_close(1007)


def test_a_client_library_sees_the_engines_close(engine, join):
    client = join(engine, "/echo", max_size=None)
    client.send(b"x" * 70_000)
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(20)
    assert closed.value.rcvd.code == 1009
    assert closed.value.rcvd.reason, "a close has to say why"
