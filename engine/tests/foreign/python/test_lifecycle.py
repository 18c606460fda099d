"""How the engine starts, and how it stops."""

import signal
import socket
import struct

import pytest
from websockets.exceptions import ConnectionClosed

from support.contract import METRICS
from support.deadline import until
from support.engine import Engine
from support.raw import BINARY, CLOSE, TEXT, Raw, frame, upgrade_request


def assert_refuses_to_start(backend, **addresses):
    engine = Engine(backend, **addresses)
    try:
        code = engine.wait_for_end()
    finally:
        engine.kill()
    assert code != 0
    port = next(iter(addresses.values())).rsplit(":", 1)[1]
    assert port in engine.output, f"the error does not name the address:\n{engine.output}"
    assert "in use" in engine.output.lower(), f"the error does not say what is wrong:\n{engine.output}"
    assert "panicked" not in engine.output


@pytest.mark.parametrize("which", ["listen", "admin"])
def test_an_address_in_use_by_another_engine_is_an_error_at_start(start_engine, backend, join, which):
    first = start_engine()
    taken = first.port if which == "listen" else first.admin_port
    assert_refuses_to_start(backend, **{which: f"127.0.0.1:{taken}"})
    client = join(first, "/echo")
    client.send("unharmed")
    assert client.recv(20) == "unharmed"


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with SO_REUSEPORT"])
def test_an_address_in_use_by_another_program_is_an_error_at_start(backend, shared):
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert_refuses_to_start(backend, listen=f"127.0.0.1:{other.getsockname()[1]}")


def test_an_address_is_free_again_after_an_engine_has_stopped(start_engine, join):
    first = start_engine()
    client = join(first, "/echo")
    first.stop()
    with pytest.raises(ConnectionClosed):
        client.recv(20)
    again = start_engine(listen=f"127.0.0.1:{first.port}")
    assert again.port == first.port
    client = join(again, "/echo")
    client.send("again")
    assert client.recv(20) == "again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_closes_everyone_with_1012(start_engine, join, number):
    engine = start_engine()
    clients = [join(engine, f"/raw/room-{i % 3}") for i in range(12)] + [join(engine, "/echo")]
    engine.members_are(12)
    engine.signal(number)
    for client in clients:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(20)
        assert closed.value.rcvd is not None, "the connection ended without a close"
        assert closed.value.rcvd.code == 1012
    assert engine.wait_for_end() == 0


def test_a_stop_comes_after_everything_that_was_queued(start_engine, join):
    # The outbox may hold twice the largest message, 8 MiB here. 6 MiB fit in there, and do not fit in the kernel's
    # buffers, of which the sender's ends at 4 MiB and the receiver's is kept small.
    engine = start_engine("--message-bytes-max", str(4 << 20))
    slow = [Raw.upgraded(engine, "/raw/queued", receive_buffer=4096) for _ in range(4)]
    quick = join(engine, "/raw/queued")
    publisher = join(engine, "/raw/queued")
    engine.members_are(6)
    count, payload_bytes = 96, 64 << 10
    before = engine.metrics().sum(METRICS["messages_out"])
    for i in range(count):
        publisher.send(struct.pack(">I", i) * (payload_bytes // 4))
        assert quick.recv(20) == struct.pack(">I", i) * (payload_bytes // 4)
    until(
        lambda: engine.metrics().sum(METRICS["messages_out"]) - before == count * (len(slow) + 1),
        "all messages were queued for all members",
    )

    engine.signal(signal.SIGTERM)
    with pytest.raises(ConnectionClosed) as closed:
        quick.recv(20)
    assert closed.value.rcvd.code == 1012
    for raw in slow:
        for i in range(count):
            opcode, payload = raw.frame()
            assert opcode == BINARY, f"opcode {opcode} with {payload[:50]!r} where message {i} was due"
            assert payload == struct.pack(">I", i) * (payload_bytes // 4), f"message {i} is not what was sent"
        raw.expect_close(1012)
        raw.close()
    assert engine.wait_for_end() == 0


def test_a_stop_ends_the_listening_at_once(start_engine):
    engine = start_engine()
    # Does not answer the close, so that the engine stays until its patience ends.
    with Raw.upgraded(engine, "/echo") as silent:
        engine.signal(signal.SIGTERM)
        opcode, payload = silent.frame()
        assert (opcode, payload[:2]) == (CLOSE, struct.pack(">H", 1012))
        with pytest.raises(OSError):
            until(lambda: Raw(engine).close(), "a new connection was refused", seconds=2)
        assert engine.wait_for_end() == 0


def test_a_stop_does_not_wait_for_those_who_never_finished_a_request(start_engine):
    engine = start_engine()
    with Raw(engine), Raw(engine) as half:
        half.send(upgrade_request("/echo")[:40])
        until(lambda: engine.metrics().sum(METRICS["connections"]) == 2, "the engine had both connections")
        engine.signal(signal.SIGTERM)
        assert engine.wait_for_end() == 0


def test_a_stop_in_the_middle_of_a_message_is_a_clean_close(start_engine):
    engine = start_engine()
    with Raw.upgraded(engine, "/raw/half") as raw:
        raw.send(frame(TEXT, b"the beginning of", announced=1000))
        until(lambda: engine.metrics().sum(METRICS["members"]) == 1, "the member was there")
        engine.signal(signal.SIGTERM)
        opcode, payload = raw.frame()
        assert (opcode, payload[:2]) == (CLOSE, struct.pack(">H", 1012))
    assert engine.wait_for_end() == 0


def test_the_engine_says_where_it_listens_and_what_it_runs_on(start_engine, backend):
    engine = start_engine(shards=4)
    assert engine.port != 0
    assert engine.admin_port != 0
    assert backend in engine.output
    assert "0.1.0" in engine.output, "the version is missing"


@pytest.mark.parametrize("args", [
    ("--no-such-flag",), ("--message-bytes-max", "lots"), ("--io", "magic"),
], ids=["an unknown flag", "a limit that is no number", "an unknown back end"])
def test_a_wrong_flag_is_an_error_that_names_it(backend, args):
    engine = Engine(backend, *args)
    try:
        assert engine.wait_for_end() not in (0, None)
    finally:
        engine.kill()
    assert args[0] in engine.output
