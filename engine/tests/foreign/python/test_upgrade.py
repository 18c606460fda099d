"""The opening handshake, and the frames that come with it or right behind it."""

import pytest

from support.raw import ACCEPT, BINARY, PING, PONG, TEXT, Raw, frame, upgrade_request


def test_answers_the_key_and_accepts_no_extension(engine):
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo", Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
        response = raw.response()
        assert response.status == 101
        assert response.headers["sec-websocket-accept"] == ACCEPT
        assert response.headers["upgrade"].lower() == "websocket"
        assert response.headers["connection"].lower() == "upgrade"
        assert "sec-websocket-extensions" not in response.headers
        assert "sec-websocket-protocol" not in response.headers


@pytest.mark.parametrize("headers", [
    {"Connection": "keep-alive, Upgrade"},
    {"Connection": "upgrade"},
    {"Upgrade": "WebSocket"},
    {"X_Padding": "x" * 7000},
], ids=["connection has more to say", "connection in small letters", "upgrade in capitals", "a head of 7 KiB"])
def test_accepts_every_spelling_of_an_upgrade(engine, headers):
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo", **headers))
        assert raw.response().status == 101
        raw.send(frame(TEXT, b"hello"))
        assert raw.frame() == (TEXT, b"hello")


@pytest.mark.parametrize("headers, status", [
    ({"Sec_WebSocket_Key": None}, 400),
    ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
    ({"Sec_WebSocket_Version": None}, 426),
    ({"Sec_WebSocket_Version": "8"}, 426),
], ids=["no key", "a short key", "no version", "an old version"])
def test_refuses_an_upgrade_that_it_cannot_do(engine, headers, status):
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo", **headers))
        response = raw.response()
        # RFC 6455, section 4.2.1: whatever does not match is answered with "an appropriate HTTP error code".
        assert response.status in (status, 400)
        assert response.body, "a refusal has to say why"
        if response.status == 426:
            assert response.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("path", ["/echo", "/raw/first?self=1"])
def test_takes_a_frame_that_comes_in_the_segment_of_the_request(engine, path):
    with Raw(engine) as raw:
        raw.send(upgrade_request(path) + frame(TEXT, b"first"))
        assert raw.response().status == 101
        assert raw.frame() == (TEXT, b"first")
        raw.send(frame(TEXT, b"second"))
        assert raw.frame() == (TEXT, b"second")


def test_takes_many_frames_that_come_in_the_segment_of_the_request(engine):
    frames = [frame(BINARY, bytes([i]) * i) for i in range(100)]
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo") + b"".join(frames) + frame(PING, b"?"))
        assert raw.response().status == 101
        for i in range(100):
            assert raw.frame() == (BINARY, bytes([i]) * i)
        assert raw.frame() == (PONG, b"?")


def test_takes_a_frame_larger_than_a_request_head_may_be_that_comes_with_the_request(engine):
    payload = bytes(range(256)) * 240
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo") + frame(BINARY, payload))
        assert raw.response().status == 101
        assert raw.frame() == (BINARY, payload)


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 8], ids=lambda cut: f"{cut} bytes with the request")
def test_takes_a_frame_that_comes_in_part_with_the_request(engine, cut):
    first = frame(TEXT, b"in two parts")
    with Raw(engine) as raw:
        raw.send(upgrade_request("/echo") + first[:cut])
        assert raw.response().status == 101
        raw.send(first[cut:])
        assert raw.frame() == (TEXT, b"in two parts")


def test_takes_a_frame_that_follows_the_request_before_it_is_answered(engine):
    # Repeated, because the frame is to meet the engine in as many states of the upgrade as may be.
    for i in range(50):
        with Raw(engine) as raw:
            raw.send(upgrade_request("/raw/behind?self=1"))
            raw.send(frame(TEXT, b"right behind %d" % i))
            assert raw.response().status == 101
            assert raw.frame() == (TEXT, b"right behind %d" % i)


def test_takes_a_request_byte_by_byte(engine):
    with Raw(engine) as raw:
        for byte in upgrade_request("/echo") + frame(TEXT, b"slowly"):
            raw.send(bytes([byte]))
        assert raw.response().status == 101
        assert raw.frame() == (TEXT, b"slowly")
