"""Limits on what comes in: connections at a time, and messages raised above the default."""

import pytest
from websockets.exceptions import InvalidStatus

from support.contract import METRICS
from support.deadline import until
from support.raw import BINARY, TEXT, Raw, frame, upgrade_request

MAX = 12


def test_an_engine_that_is_full_says_so_and_when_to_come_again(start_engine):
    engine = start_engine("--connections-max", str(MAX))
    admitted = []
    refused = []
    for _ in range(3 * MAX):
        raw = Raw(engine)
        raw.send(upgrade_request("/echo"))
        response = raw.response()
        if response.status == 101:
            admitted.append(raw)
        else:
            refused.append(response)
            raw.expect_end()
            raw.close()
    assert len(admitted) == MAX
    for response in refused:
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
    for raw in admitted:
        raw.send(frame(TEXT, b"those within are served"))
        assert raw.frame() == (TEXT, b"those within are served")

    for raw in admitted:
        raw.close()

    def is_admitted():
        with Raw(engine) as raw:
            raw.send(upgrade_request("/echo") + frame(TEXT, b"room again"))
            return raw.response().status == 101 and raw.frame() == (TEXT, b"room again")

    until(is_admitted, "a connection was admitted again")


def test_a_client_library_is_told_that_the_engine_is_full(start_engine, join):
    engine = start_engine("--connections-max", "1", shards=1)
    join(engine, "/raw/only")
    with pytest.raises(InvalidStatus) as refused:
        join(engine, "/raw/only")
    assert refused.value.response.status_code == 503
    assert int(refused.value.response.headers["Retry-After"]) > 0


def test_a_raised_message_limit_is_checked_before_the_payload_comes(start_engine):
    limit = 32 << 20
    engine = start_engine("--message-bytes-max", str(limit))
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(frame(BINARY, announced=limit + 1))
        raw.expect_close(1009)
    payload = b"x" * limit
    with Raw.upgraded(engine, "/echo") as raw:
        raw.send(frame(BINARY, payload))
        opcode, echoed = raw.frame()
        assert opcode == BINARY
        assert echoed == payload
    assert engine.metrics().sum(METRICS["messages_out"]) == 1
