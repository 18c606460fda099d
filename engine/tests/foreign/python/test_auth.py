"""Tokens that PyJWT made: where they are shown, what they allow, and that keys are exchanged while clients stay."""

import signal
import time

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.deadline import DEADLINE_SECONDS, until

OLD = "the old secret of this test, which is long enough"
NEW = "the new secret of this test, which is long enough"


def token(secret=OLD, rooms="*", **claims):
    rooms = [{"match": rooms, "join": True, "publish": True}]
    return jwt.encode({"exp": time.time() + 600, "rooms": rooms, **claims}, secret, algorithm="HS256")


def bearer(text):
    return {"additional_headers": {"Authorization": f"Bearer {text}"}}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(OLD)
    return path


@pytest.fixture
def guarded(start_engine, tmp_path, secret):
    """Starts an engine that asks for tokens, with more lines for its section."""

    def start(more=""):
        file = tmp_path / "ringmain.toml"
        key = f'[[auth.keys]]\nalgorithm = "HS256"\nsecret_file = "{secret}"\n'
        file.write_text(f"[auth]\n{more}\n{key}")
        return start_engine("--config", str(file))

    return start


def refused(join, engine, path, status, **options):
    with pytest.raises(InvalidStatus) as caught:
        join(engine, path, **options)
    assert caught.value.response.status_code == status
    return caught.value.response.body.decode()


def test_a_token_is_taken_from_each_place_that_is_set(guarded, join):
    engine = guarded('cookie = "session"\nquery_parameter = "token"')
    good = token()
    for path, options in [
        ("/raw/room", bearer(good)),
        ("/raw/room", {"additional_headers": {"Cookie": f"a=b; session={good}"}}),
        ("/raw/room", {"subprotocols": ["ringmain.v1", f"bearer.{good}"]}),
        (f"/raw/room?token={good}", {}),
    ]:
        client = join(engine, path, **options)
        assert client.subprotocol in (None, "ringmain.v1")
        client.close()
    assert good not in engine.output


def test_a_refusal_says_why_and_nothing_of_the_token(guarded, join):
    engine = guarded()
    for wrong, says in [
        (token(exp=time.time() - 60), "expired"),
        (token(NEW), "signature"),
        (token()[:-1], "refused"),
        (jwt.encode({"rooms": []}, None, algorithm="none"), "alg"),
    ]:
        body = refused(join, engine, "/raw/room", 401, **bearer(wrong))
        assert says in body
        assert wrong not in body
    body = refused(join, engine, "/raw/other", 403, **bearer(token(rooms="room")))
    assert "other" in body
    # In the query, where none is looked for.
    refused(join, engine, f"/raw/room?token={token()}", 401)
    assert "without a token" in refused(join, engine, "/raw/room", 401)
    counted = {labels["reason"]: 0 for labels, _ in engine.metrics().of("ringmain_tokens_refused_total")}
    for labels, count in engine.metrics().of("ringmain_tokens_refused_total"):
        counted[labels["reason"]] += count
    counted = {reason: count for reason, count in counted.items() if count}
    assert sum(counted.values()) == 5, counted
    assert {"expired": 1, "rights": 1}.items() <= counted.items(), counted
    assert counted["signature"] >= 1, counted


def test_who_is_connected_stays_when_the_key_is_exchanged(guarded, join, secret):
    engine = guarded()
    one, two = (join(engine, "/raw/room", **bearer(token())) for _ in range(2))
    secret.write_text(NEW)
    engine.process.send_signal(signal.SIGHUP)
    until(lambda: engine.metrics().sum("ringmain_reloads_total", outcome="applied") == 1, "the reload")
    refused(join, engine, "/raw/room", 401, **bearer(token(OLD)))
    three = join(engine, "/raw/room", **bearer(token(NEW)))
    one.send("hello")
    for client in (two, three):
        assert client.recv(DEADLINE_SECONDS) == "hello"


def test_a_first_message_that_never_comes_ends_the_wait(guarded, join):
    engine = guarded("message_seconds = 1")
    client = join(engine, "/raw/room?auth=message")
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(DEADLINE_SECONDS)
    assert caught.value.rcvd.code == 3008
    # A ping is answered once the token is taken, and says so to a client that only listens.
    client = join(engine, "/raw/room?auth=message")
    client.send(token())
    assert client.ping().wait(DEADLINE_SECONDS)


def test_messages_that_may_not_be_published_are_dropped_where_that_is_set(guarded, join):
    engine = guarded('refused_publish = "drop"\nanonymous = [{ match = "room", join = true }]')
    guest, member = join(engine, "/raw/room"), join(engine, "/raw/room", **bearer(token()))
    guest.send("not allowed")
    member.send("hello")
    assert guest.recv(DEADLINE_SECONDS) == "hello"
    until(lambda: engine.metrics().sum("ringmain_drops_total", reason="not_permitted") == 1, "the drop is counted")
