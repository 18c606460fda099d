"""GET /sse/{room}, by curl and on bare sockets."""

import json
import subprocess

import pytest

from support.contract import METRICS
from support.deadline import DEADLINE_SECONDS, until
from support.raw import Raw
from support.stream import Stream
from test_http import ask, plain
from test_publish import client, post


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_begins_at_once_and_says_that_nobody_may_keep_it(engine, version):
    with Stream(engine, "/sse/begin", version=version) as stream:
        headers = stream.response.headers
        assert stream.response.status == 200
        assert headers["content-type"] == "text/event-stream"
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert "content-length" not in headers and "transfer-encoding" not in headers
        retry = int(stream.block().removeprefix("retry: "))
        assert 1000 <= retry <= 3000
        assert post(client(engine), "begin", "a\nb")[0] == 202
        assert stream.event() == "data: a\ndata: b"
        assert post(client(engine), "begin", b"\x00\x01", "application/octet-stream")[0] == 202
        assert stream.event() == "event: ringmain.binary\ndata: AAE="


def test_sockets_and_streams_are_members_of_the_same_room(engine, join):
    member = join(engine, "/raw/same")
    with Stream(engine, "/sse/same") as stream:
        member.send("from a socket")
        assert stream.event() == "data: from a socket"


def test_what_a_client_says_on_a_stream_is_ignored(engine):
    with Stream(engine, "/sse/talks") as stream:
        for _ in range(20):
            stream.send(plain("GET", "/") + b"\xff" * 10_000)
        assert post(client(engine), "talks", "still here")[0] == 202
        assert stream.event() == "data: still here"


def test_head_says_what_get_would_begin_with(engine):
    with Stream(engine, "/sse/head") as stream:
        with Raw(engine) as raw:
            raw.send(plain("HEAD", "/sse/head", "Connection: close\r\n"))
            while raw._more():
                pass
            head = raw._unread.decode().lower()
    assert head.startswith("http/1.1 200 ") and head.endswith("\r\n\r\n")
    assert "content-type: text/event-stream\r\n" in head and "content-length" not in head
    assert stream.response.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_told_which_there_are(engine, method):
    response = ask(engine, plain(method, "/sse/x", "Content-Length: 0\r\n"))
    assert response.status == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_who_takes_no_events_is_told_so(engine):
    response = ask(engine, plain("GET", "/sse/x", "Accept: application/json\r\n"))
    assert response.status == 406
    assert "text/event-stream" in response.text


def test_the_root_names_all_paths(engine):
    text = ask(engine, plain("GET", "/")).text
    assert "/sse/{room}" in text and "/rooms/{room}/messages" in text


def test_a_stream_on_a_connection_that_has_published(engine):
    with Raw(engine) as raw:
        body = b"before"
        raw.send(b"POST /rooms/after/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n" + body + plain("GET", "/sse/after"))
        assert raw.response().status == 202
        while b"\n\n" not in raw._unread:
            assert raw._more()
        assert b"HTTP/1.1 200 OK\r\n" in raw._unread
        assert post(client(engine), "after", "now")[0] == 202
        while b"data: now\n\n" not in raw._unread:
            assert raw._more()


def test_curl_listens(engine):
    url = f"http://{engine.host}:{engine.port}/sse/curl"
    curl = subprocess.Popen(["curl", "-sSN", "--max-time", "20", url], stdout=subprocess.PIPE, text=True)
    try:
        assert curl.stdout.readline().startswith("retry: ")
        assert post(client(engine), "curl", "hello")[0] == 202
        assert [curl.stdout.readline() for _ in range(2)] == ["\n", "data: hello\n"]
    finally:
        curl.kill()
        curl.wait()
        curl.stdout.close()


def test_comments_keep_a_stream_alive_and_nobody_has_to_answer(start_engine):
    engine = start_engine(environment={"RINGMAIN_HEARTBEAT_SECONDS": "0.2", "RINGMAIN_PONG_WAIT_SECONDS": "0.2"})
    with Stream(engine, "/sse/beat") as stream:
        blocks = [stream.block() for _ in range(6)]
    assert blocks[0].startswith("retry: ") and blocks[1:] == [":"] * 5


def test_a_slow_stream_is_closed_and_told_when_to_come_back(start_engine):
    engine = start_engine()
    publisher = client(engine)
    with Stream(engine, "/sse/slow", receive_buffer=4096) as slow, Stream(engine, "/sse/slow") as good:
        body = "x" * 60_000
        sent = 0
        while engine.metrics().sum(METRICS["drops"], reason="slow_consumer") == 0:
            for _ in range(10):
                assert post(publisher, "slow", body)[0] == 202
                assert good.event() == f"data: {body}"
                sent += 1
            assert sent < 1000
        received = 0
        while (event := slow.event()) == f"data: {body}":
            received += 1
        assert received < sent
        name, retry, data = event.split("\n")
        assert name == "event: ringmain.close"
        assert 5_000 <= int(retry.removeprefix("retry: ")) <= 15_000
        assert json.loads(data.removeprefix("data: ")) == {
            "reason": "slow_consumer", "message": "reads too slowly", "reconnect": "later",
        }
        slow.expect_end()
        assert post(publisher, "slow", "the others go on")[0] == 202
        assert good.event() == "data: the others go on"


def test_a_client_that_is_gone_is_noticed_though_nothing_is_published(engine):
    streams = [Stream(engine, "/sse/gone") for _ in range(8)]
    until(lambda: engine.metrics().sum(METRICS["event_streams"]) == 8, "all streams were counted", DEADLINE_SECONDS)
    for stream in streams:
        stream.close()
    until(lambda: engine.metrics().sum(METRICS["event_streams"]) == 0, "all were noticed to be gone", DEADLINE_SECONDS)
