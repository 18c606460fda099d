"""Fixtures: an engine on each back end.

RINGMAIN_BACKENDS narrows the back ends where a machine forbids one of them, which is a choice to be made aloud: a
back end that is missing fails the suite.
"""

import os
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from support.broker import older_server
from support.cluster import Cluster
from support.engine import Engine, binary

BACKENDS = os.environ.get("RINGMAIN_BACKENDS", "uring,epoll").split(",")


def pytest_configure():
    try:
        binary()
    except RuntimeError as error:
        # Once, and not for each of the tests.
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def engine(backend):
    """An engine with default limits, shared by the tests of a file."""
    engine = Engine.start(backend)
    yield engine
    engine.stop()


@pytest.fixture
def start_engine(backend):
    """Starts engines of a test's own: `start_engine(*args, **options)`. All are stopped when the test ends."""
    engines = []

    def start(*args, **options):
        engine = Engine.start(backend, *args, **options)
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.stop()


@pytest.fixture
def cluster(request):
    """A cluster of which nothing runs yet. Its parameter, if it has one, says with which NATS server."""
    server = older_server() if getattr(request, "param", "current") == "older" else None
    cluster = Cluster(server)
    yield cluster
    cluster.stop()


@pytest.fixture
def join():
    """Opens clients, `join(engine, path)`, which are closed when the test ends."""
    with ExitStack() as clients:

        def open_client(engine, path, **options):
            # No proxy of the environment may come between, and no ping of the client's own among its frames.
            client = connect(
                engine.url(path), proxy=None, ping_interval=None, open_timeout=20, close_timeout=20, **options
            )
            return clients.enter_context(client)

        yield open_client
