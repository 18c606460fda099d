"""The engine's own pings: who answers stays, who does not is let go."""

from support.contract import CLOSE_REASONS, METRICS
from support.deadline import until
from support.raw import PING, PONG, TEXT, Raw, frame


def start_impatient(start_engine):
    return start_engine("--heartbeat-seconds", "0.2", environment={"RINGMAIN_PONG_WAIT_SECONDS": "1"})


def test_a_silent_connection_is_pinged_and_stays_while_it_answers(start_engine):
    engine = start_impatient(start_engine)
    with Raw.upgraded(engine, "/echo") as raw:
        for _ in range(4):
            opcode, payload = raw.frame()
            assert opcode == PING
            raw.send(frame(PONG, payload))
        raw.send(frame(TEXT, b"still here"))
        assert raw.frame() == (TEXT, b"still here")

        # Answers no more.
        assert raw.frame()[0] == PING
        raw.expect_end()
    until(
        lambda: engine.metrics().sum(METRICS["closes"], reason=CLOSE_REASONS["heartbeat"]) == 1,
        "the connection that did not answer was counted",
    )


def test_a_client_library_stays_through_many_pings(start_engine, join):
    engine = start_impatient(start_engine)
    clients = [join(engine, "/raw/idle") for _ in range(8)]
    until(lambda: engine.metrics().sum(METRICS["pings"]) >= 5 * len(clients), "everyone was pinged some times")
    engine.members_are(len(clients))
    clients[0].send("all here?")
    for client in clients[1:]:
        assert client.recv(20) == "all here?"
    assert engine.metrics().sum(METRICS["closes"]) == 0
