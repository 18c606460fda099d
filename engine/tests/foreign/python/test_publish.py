"""POST /rooms/{room}/messages, by Python's http.client, by curl, and by bytes that no client would send."""

import http.client
import json
import subprocess
import time

import pytest

from support.contract import LIMITS, METRICS
from support.deadline import DEADLINE_SECONDS, until
from support.raw import Raw

MAX = LIMITS["message_bytes_max_default"]


def client(engine):
    return http.client.HTTPConnection(engine.host, engine.port, timeout=DEADLINE_SECONDS)


def post(connection, room, body, content_type="text/plain", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        headers["Content-Type"] = content_type
    connection.request("POST", f"/rooms/{room}/messages", body, headers)
    response = connection.getresponse()
    return response.status, response.read().decode(), response


def request(room, body, *headers, version="1.1"):
    lines = [f"POST /rooms/{room}/messages HTTP/{version}", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_requests_follow_each_other_on_one_connection_in_order(engine, join):
    member = join(engine, "/raw/order")
    connection = client(engine)
    for n in range(200):
        status, text, response = post(connection, "order", f"{n}")
        assert status == 202, text
        assert json.loads(text)["id"]
        assert not response.will_close
    assert [member.recv(timeout=DEADLINE_SECONDS) for _ in range(200)] == [str(n) for n in range(200)]


@pytest.mark.parametrize("content_type, body, kind", [
    ("text/plain", "text", str),
    ("application/json", '{"a":1}', str),
    ("application/vnd.api+json; charset=utf-8", "{}", str),
    ("application/octet-stream", b"\x00\xff", bytes),
    ("image/png", b"text", bytes),
    (None, b"text", bytes),
    ("text/plain", "", str),
    ("application/octet-stream", b"", bytes),
    ("text/plain", "x" * MAX, str),
    ("application/octet-stream", b"\x80" * MAX, bytes),
])
def test_the_content_type_says_whether_it_is_text(engine, join, content_type, body, kind):
    member = join(engine, "/raw/kinds")
    assert post(client(engine), "kinds", body, content_type)[0] == 202
    got = member.recv(timeout=DEADLINE_SECONDS)
    assert isinstance(got, kind) and got == body


@pytest.mark.parametrize("content_type, body, status, says", [
    ("text/plain", b"ab\xff", 400, "at byte 2"),
    ("text/plain; charset=iso-8859-1", b"x", 415, "UTF-8"),
    ("multipart/form-data; boundary=x", b"x", 415, "application/octet-stream"),
    ("nonsense", b"x", 415, "nonsense"),
])
def test_what_is_no_message_is_refused_with_the_reason(engine, join, content_type, body, status, says):
    member = join(engine, "/raw/refused")
    got, text, _ = post(client(engine), "refused", body, content_type)
    assert got == status and says in text
    got, text, _ = post(client(engine), "refused", b"x", Content_Encoding="gzip")
    assert got == 415 and "gzip" in text
    assert post(client(engine), "refused", "the next")[0] == 202
    assert member.recv(timeout=DEADLINE_SECONDS) == "the next"


def test_a_body_without_a_length_is_taken_up_to_the_limit(engine, join):
    member = join(engine, "/raw/chunks")

    def chunked(chunks):
        connection = client(engine)
        try:
            connection.request("POST", "/rooms/chunks/messages", iter(chunks), encode_chunked=True)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It may be refused before all of it is sent.
        return connection.getresponse().status

    assert chunked([b"one", b" and ", b"two"]) == 202
    assert member.recv(timeout=DEADLINE_SECONDS) == b"one and two"
    assert chunked([b"x" * 1024] * (MAX // 1024)) == 202
    assert len(member.recv(timeout=DEADLINE_SECONDS)) == MAX
    assert chunked([b"x" * 1024] * (MAX // 1024) + [b"x"]) == 413


def test_a_body_above_the_limit_is_refused_before_it_is_sent(engine):
    with Raw(engine) as raw:
        head = f"POST /rooms/x/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX + 1}\r\nExpect: 100-continue\r\n\r\n"
        raw.send(head.encode())
        response = raw.response()
        assert response.status == 413
        assert str(MAX) in response.text
        raw.expect_end()


def test_who_waits_for_100_is_told_to_go_on(engine, join):
    member = join(engine, "/raw/expect")
    with Raw(engine) as raw:
        raw.send(b"POST /rooms/expect/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert raw._take(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send(b"hello")
        assert raw.response().status == 202
    assert member.recv(timeout=DEADLINE_SECONDS) == "hello"


def test_requests_in_one_segment_are_answered_in_order(engine, join):
    member = join(engine, "/raw/pipe")
    with Raw(engine) as raw:
        raw.send(b"".join(request("pipe", b"%d" % n, "Content-Type: text/plain") for n in range(300)))
        for _ in range(300):
            assert raw.response().status == 202
    assert [member.recv(timeout=DEADLINE_SECONDS) for _ in range(300)] == [str(n) for n in range(300)]


def test_a_body_in_pieces_is_put_together(engine, join):
    member = join(engine, "/raw/pieces")
    whole = request("pieces", b"in pieces", "Content-Type: text/plain", "Connection: close")
    with Raw(engine) as raw:
        for n in range(len(whole)):
            raw.send(whole[n : n + 1])
        assert raw.response().status == 202
        raw.expect_end()
    assert member.recv(timeout=DEADLINE_SECONDS) == "in pieces"


@pytest.mark.parametrize("room", [f"half-{n}" for n in range(8)])
def test_who_closes_its_half_after_the_request_is_answered(engine, room):
    with Raw(engine) as raw:
        raw.send(request(room, b"x"))
        raw.socket.shutdown(1)
        assert raw.response().status == 202


def test_http_1_0_is_served(engine):
    with Raw(engine) as raw:
        raw.send(request("old", b"x", version="1.0"))
        assert raw.response().status == 202
        raw.expect_end()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods_are_told_which_there_are(engine, method):
    connection = client(engine)
    connection.request(method, "/rooms/x/messages")
    response = connection.getresponse()
    assert response.status == 405
    assert response.headers["allow"] == "POST, OPTIONS"


def test_room_names_are_checked_and_decoded(engine, join):
    member = join(engine, "/raw/a%2Fb")
    for room in ("a%2Fb", "a/b"):
        assert post(client(engine), room, "x")[0] == 202
        assert member.recv(timeout=DEADLINE_SECONDS) == "x"
    for room, says in (("", "empty"), ("x" * 256, "256 bytes"), ("%0A", "U+000A")):
        status, text, _ = post(client(engine), room, "x")
        assert status == 400 and says in text


def test_curl_publishes(engine, join):
    member = join(engine, "/raw/curl")
    url = f"http://{engine.host}:{engine.port}/rooms/curl/messages"

    def curl(*arguments):
        return subprocess.run(["curl", "-sS", "--max-time", "20", *arguments, url], capture_output=True, check=True, text=True).stdout

    assert json.loads(curl("-d", "a form, as it says"))["id"]
    assert member.recv(timeout=DEADLINE_SECONDS) == "a form, as it says"
    assert json.loads(curl("--json", '{"n":1}'))["id"]
    assert member.recv(timeout=DEADLINE_SECONDS) == '{"n":1}'
    # So large that curl asks first whether it may go on.
    assert json.loads(curl("-H", "Content-Type: application/octet-stream", "-H", "Expect: 100-continue", "--data-binary", "y" * MAX))["id"]
    assert member.recv(timeout=DEADLINE_SECONDS) == b"y" * MAX


def test_a_body_that_does_not_come_is_given_up_and_its_memory_freed(start_engine):
    engine = start_engine(environment={"RINGMAIN_HANDSHAKE_SECONDS": "1"})
    with Raw(engine) as raw:
        raw.send(request("slow", b"x" * 60_000)[:30_000])
        until(lambda: engine.metrics().sum("ringmain_memory_bytes") >= 20_000, "the body was counted")
        begin = time.monotonic()
        raw.expect_bad_request()
        assert time.monotonic() - begin < 5
    until(lambda: engine.metrics().sum("ringmain_memory_bytes") == 0, "the memory was freed")
    assert engine.metrics().sum(METRICS["closes"], reason="handshake_timeout") == 1


def test_an_idle_connection_is_kept_as_long_as_it_is_said(start_engine):
    engine = start_engine(environment={"RINGMAIN_HANDSHAKE_SECONDS": "0.5", "RINGMAIN_KEEP_ALIVE_SECONDS": "2"})
    with Raw(engine) as raw:
        raw.send(request("idle", b"x"))
        assert raw.response().status == 202
        # Longer than a handshake may take, as one that says nothing finds out: that time is over with the answer.
        with Raw(engine) as silent:
            silent.expect_bad_request()
        raw.send(request("idle", b"x"))
        assert raw.response().status == 202
        begin = time.monotonic()
        raw.expect_end()
        assert 1.5 < time.monotonic() - begin < 5
    assert engine.metrics().sum(METRICS["closes"], reason="handshake_timeout") == 1
    until(lambda: engine.metrics().sum(METRICS["closes"], reason="request_done") == 1, "it ended well")


def test_requests_without_an_origin_can_be_refused(start_engine):
    engine = start_engine(environment={"RINGMAIN_ORIGIN_MISSING": "refuse", "RINGMAIN_ORIGINS": "*"})
    status, text, _ = post(client(engine), "x", "x")
    assert status == 403 and "origin_missing" in text
    status, text, response = post(client(engine), "x", "x", Origin="https://anybody.example")
    assert status == 202
    assert response.headers["access-control-allow-origin"] == "https://anybody.example"
    assert response.headers["access-control-allow-credentials"] is None
