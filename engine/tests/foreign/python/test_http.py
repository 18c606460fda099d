"""Plain requests at the public address, and the admin's endpoints."""

import pytest

from support.contract import LIMITS, METRICS
from support.raw import TEXT, Raw, frame, upgrade_request


def ask(engine, request):
    with Raw(engine) as raw:
        raw.send(request)
        return raw.response()


def plain(method, path, headers=""):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


@pytest.mark.parametrize("path", ["/nothing", "/echoes", "/raws/x", "/metrics", "/nothing?x=/echo"])
def test_an_unknown_path_is_not_found(engine, path):
    response = ask(engine, plain("GET", path))
    assert response.status == 404
    assert response.body, "the answer has to help"


def test_the_root_says_what_there_is(engine):
    response = ask(engine, plain("GET", "/"))
    assert response.status == 200
    assert "/raw/" in response.text and "/echo" in response.text


def test_an_upgrade_of_an_unknown_path_is_not_found(engine):
    assert ask(engine, upgrade_request("/nothing")).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/echo", "/raw/x"])
def test_other_methods_than_get_are_not_allowed(engine, method, path):
    response = ask(engine, plain(method, path, "Content-Length: 0\r\n"))
    assert response.status == 405
    assert "GET" in response.headers["allow"]
    assert response.body, "the answer has to help"


@pytest.mark.parametrize("path", ["/echo", "/raw/x"])
def test_a_plain_get_is_told_to_upgrade(engine, path):
    response = ask(engine, plain("GET", path))
    assert response.status == 426
    assert response.headers["upgrade"].lower() == "websocket"
    assert "websocket" in response.text.lower()


@pytest.mark.parametrize("request_bytes", [
    plain("GET", "/echo", "X-Padding: " + "x" * 2 * LIMITS["request_head_bytes_max"] + "\r\n"),
    plain("GET", "/" + "x" * 2 * LIMITS["request_head_bytes_max"]),
    upgrade_request("/echo", X_Padding="x" * LIMITS["request_head_bytes_max"]),
], ids=["a plain request", "a long path", "an upgrade"])
def test_a_head_above_8_kib_is_refused(engine, request_bytes):
    # A long path may as well be called what it is: 414.
    assert ask(engine, request_bytes).status in (431, 414)


def test_a_head_that_never_ends_is_refused(engine):
    with Raw(engine) as raw:
        raw.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n")
        header = b"X-Padding: " + b"x" * 1000 + b"\r\n"
        for _ in range(12):
            raw.send_quietly(header)
        assert raw.response().status == 431


def test_what_is_not_http_ends_its_own_connection_only(engine):
    with Raw(engine) as well_behaved, Raw(engine) as raw:
        raw.send(b"\x16\x03\x01\x02\x00 this is no request\r\n\r\n")
        raw.expect_bad_request()
        well_behaved.send(upgrade_request("/echo") + frame(TEXT, b"unharmed"))
        assert well_behaved.response().status == 101
        assert well_behaved.frame() == (TEXT, b"unharmed")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_the_admin_says_that_it_is_healthy(engine, path):
    assert engine.admin(path)[0] == 200


def test_the_admin_does_not_know_other_paths(engine):
    assert engine.admin("/nothing")[0] == 404


def test_the_admin_gives_its_metrics(engine):
    status, headers, text = engine.admin("/metrics")
    assert status == 200
    assert headers["content-type"].split(";")[0] in ("text/plain", "application/openmetrics-text")
    for name in set(METRICS.values()) - {METRICS["closes"], METRICS["drops"]}:
        assert f"\n{name}" in text, f"{name} is missing"
    metrics = engine.metrics()
    assert [labels["shard"] for labels, _ in metrics.of(METRICS["connections"])] == ["0", "1", "2", "3"]
    assert [labels for labels, value in metrics.of(METRICS["build_info"]) if labels["version"] and value == 1]


def test_the_metrics_count_messages_and_bytes(engine):
    before = engine.metrics()
    with Raw.upgraded(engine, "/echo") as raw:
        for _ in range(10):
            raw.send(frame(TEXT, b"x" * 1000))
            assert raw.frame() == (TEXT, b"x" * 1000)
        after = engine.metrics()
    for name in ("messages_in", "messages_out"):
        assert after.sum(METRICS[name]) - before.sum(METRICS[name]) == 10
    for name in ("bytes_in", "bytes_out"):
        assert after.sum(METRICS[name]) - before.sum(METRICS[name]) >= 10_000
