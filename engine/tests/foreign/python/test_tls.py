"""wss:// by OpenSSL, as Python has it: messages of all sizes, records in pieces, renewed certificates, the end."""

import os
import select
import signal
import socket
import ssl
import subprocess
import urllib.parse
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.deadline import DEADLINE_SECONDS, until

MIB = 1 << 20


def make_certificate(folder, common_name="localhost"):
    """Writes cert.pem and key.pem, which vouch for themselves."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={common_name}"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def secure_engine(start_engine, tmp_path):
    make_certificate(tmp_path)
    files = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    return start_engine("--tls-listen", "127.0.0.1:0", *files, "--message-bytes-max", "4MiB")


def trust(tmp_path, version=None):
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def open_client(engine, path, context, **options):
    """Connects, and takes the tickets that follow the handshake of TLS 1.3 before `websockets` sends and receives in two
    threads: this Python's ssl does not keep one from the other, and may lose what is sent meanwhile."""
    url = engine.secure_url(path)
    address = urllib.parse.urlsplit(url)
    bare = socket.create_connection((address.hostname, address.port), timeout=20)
    secure = context.wrap_socket(bare, server_hostname=address.hostname)
    if secure.version() == "TLSv1.3":
        assert select.select([secure], [], [], DEADLINE_SECONDS)[0], "no ticket came"
        secure.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            secure.recv(1)
    secure.settimeout(None)
    plain_url = url.replace("wss:", "ws:", 1)
    return connect(plain_url, sock=secure, proxy=None, open_timeout=20, close_timeout=20, max_size=None, **options)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_messages_of_all_sizes_come_back(secure_engine, tmp_path, version):
    with open_client(secure_engine, "/echo", trust(tmp_path, version)) as client:
        for size in [0, 1, 126, 16_384, 16_385, 65_536, MIB]:
            body = os.urandom(size)
            client.send(body)
            assert client.recv(DEADLINE_SECONDS) == body
        fragments = [os.urandom(30_000) for _ in range(20)]
        client.send(fragments)
        assert client.recv(DEADLINE_SECONDS) == b"".join(fragments)


def test_members_of_a_room_get_everything_in_order(secure_engine, tmp_path):
    context = trust(tmp_path)
    with (
        open_client(secure_engine, "/raw/room", context) as one,
        open_client(secure_engine, "/raw/room", context) as two,
        connect(secure_engine.url("/raw/room"), proxy=None, max_size=None) as plain,
    ):
        bodies = [os.urandom(5_000) for _ in range(200)]
        for body in bodies:
            one.send(body)
        for member in (two, plain):
            assert [member.recv(DEADLINE_SECONDS) for _ in bodies] == bodies


def test_records_in_pieces_and_an_end_without_a_word(secure_engine, tmp_path):
    context = trust(tmp_path)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection((secure_engine.host, secure_engine.secure_port), DEADLINE_SECONDS) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def drive(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        stream.sendall(bytes([byte]))
                    incoming.write(stream.recv(7))

        drive(tls.do_handshake)
        tls.write(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b""
        while chunk := drive(lambda: tls.read(4096)):
            answer += chunk
        # The engine has said that nothing more comes: else the read had failed.
        assert answer.startswith(b"HTTP/1.1 404 ")


def test_https_by_pythons_own_client(secure_engine, tmp_path):
    url = secure_engine.secure_url("/rooms/r/messages").replace("wss:", "https:")
    request = urllib.request.Request(url, data=b"hello", headers={"content-type": "text/plain"}, method="POST")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust(tmp_path))
    )
    with opener.open(request, timeout=DEADLINE_SECONDS) as response:
        assert response.status == 202


def test_a_renewed_certificate_is_presented_and_connections_stay(secure_engine, tmp_path):
    with open_client(secure_engine, "/echo", trust(tmp_path)) as client:
        client.send(b"before")
        assert client.recv(DEADLINE_SECONDS) == b"before"
        make_certificate(tmp_path, "renewed")
        secure_engine.signal(signal.SIGHUP)

        def is_presented():
            address = (secure_engine.host, secure_engine.secure_port)
            presented = ssl.get_server_certificate(address, timeout=DEADLINE_SECONDS)
            return presented == (tmp_path / "cert.pem").read_text()

        # Each shard takes it up in its own time: so many connections come to all of them.
        until(lambda: all(is_presented() for _ in range(24)), "all shards presented the new certificate")
        with open_client(secure_engine, "/echo", trust(tmp_path)) as other:
            other.send(b"after")
            assert other.recv(DEADLINE_SECONDS) == b"after"
        client.send(b"still")
        assert client.recv(DEADLINE_SECONDS) == b"still"


def test_a_stop_closes_with_1012(secure_engine, tmp_path):
    with open_client(secure_engine, "/echo", trust(tmp_path)) as client:
        client.send(b"last")
        assert client.recv(DEADLINE_SECONDS) == b"last"
        secure_engine.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as end:
            client.recv(DEADLINE_SECONDS)
        assert end.value.rcvd.code == 1012
    assert secure_engine.wait_for_end() == 0
