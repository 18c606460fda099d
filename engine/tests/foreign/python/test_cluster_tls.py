"""How a node reaches NATS servers by TLS: no server without it gets a word, and files that are wrong are told at the start."""

import json
import socket
import ssl
import subprocess

import pytest

from support.cluster import BACKEND
from support.deadline import DEADLINE_SECONDS
from support.engine import Engine
from test_tls import make_certificate

CLUSTER_FILES = ["tls_authorities", "nkey_file", "credentials_file"]


def make_leaf(folder):
    """A certificate that is none of an authority, which else nobody takes for a server's."""
    config = folder / "openssl.cnf"
    config.write_text("[req]\ndistinguished_name = name\nx509_extensions = leaf\n[name]\n"
                      "[leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = IP:127.0.0.1\n")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nats"]
    command += ["-config", config, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)


def info(port, **more):
    told = {"server_id": "S", "version": "2.10.0", "proto": 1, "host": "127.0.0.1", "port": port, "headers": True}
    return b"INFO " + json.dumps({**told, "max_payload": 1 << 20, **more}).encode() + b"\r\n"


def listener():
    made = socket.create_server(("127.0.0.1", 0))
    made.settimeout(DEADLINE_SECONDS)
    return made


def accepted(made):
    stream, _ = made.accept()
    stream.settimeout(DEADLINE_SECONDS)
    return stream


def tell_of_another(secure, other, tmp_path):
    """A server with TLS, which tells of another, and ends as soon as a node is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    port = secure.getsockname()[1]
    stream = accepted(secure)
    stream.sendall(info(port, tls_required=True, connect_urls=[f"127.0.0.1:{other.getsockname()[1]}"]))
    with context.wrap_socket(stream, server_side=True) as stream:
        got = b""
        while not got.endswith(b"PING\r\n"):
            got += (more := stream.recv(65_536))
            assert more, got
        assert b"hush-hush" in got
        secure.close()
        stream.sendall(b"PONG\r\n")


def test_a_server_that_another_tells_of_is_reached_by_tls_too(tmp_path):
    make_leaf(tmp_path)
    password, file = tmp_path / "password", tmp_path / "ringmain.toml"
    password.write_text("hush-hush\n")
    lines = ["[cluster]", 'user = "ring"', f'password_file = "{password}"', f'tls_authorities = "{tmp_path / "cert.pem"}"']
    file.write_text("\n".join(lines) + "\n")
    with listener() as secure, listener() as other:
        url = f"tls://127.0.0.1:{secure.getsockname()[1]}"
        engine = Engine.start(BACKEND, "--nats", url, "--config", str(file), shards=1)
        try:
            tell_of_another(secure, other, tmp_path)
            with accepted(other) as stream:
                stream.sendall(info(other.getsockname()[1]))
                # Of TLS, the first byte of a hello.
                assert stream.recv(65_536)[:1] == b"\x16"
        finally:
            engine.kill()


@pytest.mark.parametrize("key", CLUSTER_FILES)
@pytest.mark.parametrize("what", ["missing", "wrong"])
def test_a_file_that_cannot_be_used_is_told_at_the_start(tmp_path, key, what):
    path, file = tmp_path / "secret", tmp_path / "ringmain.toml"
    if what == "wrong":
        path.write_text("SUnotAKey\n")
    file.write_text(f'[cluster]\n{key} = "{path}"\n')
    engine = Engine(BACKEND, "--nats", "tls://127.0.0.1:9", "--config", str(file), shards=1)
    try:
        assert engine.wait_for_end() != 0
        assert f"`{key}`" in engine.output and str(path) in engine.output, engine.output
        assert "SUnotAKey" not in engine.output
    finally:
        engine.kill()


def test_a_certificate_of_another_key_is_told_at_the_start(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        make_certificate(tmp_path / name)
    file = tmp_path / "ringmain.toml"
    certificate, key = tmp_path / "one" / "cert.pem", tmp_path / "other" / "key.pem"
    file.write_text(f'[cluster]\ntls_cert = "{certificate}"\ntls_key = "{key}"\n')
    engine = Engine(BACKEND, "--nats", "tls://127.0.0.1:9", "--config", str(file), shards=1)
    try:
        assert engine.wait_for_end() != 0
        assert "`tls_cert`" in engine.output and str(certificate) in engine.output, engine.output
    finally:
        engine.kill()
