"""A way to a server that can be made narrow: a TCP proxy that lets so many bytes a second through, to the server."""

import socket
import threading
import time

from .broker import free_port

_STEP_SECONDS = 0.02


class Narrow:
    """`bytes_per_second` may be set at any time; `None` lets everything through. What comes back is never held up."""

    def __init__(self, port):
        self.server_port = port
        self.port = free_port()
        self.bytes_per_second = None
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What lies in this buffer has passed already for who sends it.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                return
            for of, to, is_narrow in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=(of, to, is_narrow), daemon=True).start()

    def _carry(self, of, to, is_narrow):
        try:
            while True:
                rate = self.bytes_per_second if is_narrow else None
                data = of.recv(65_536 if rate is None else max(1, int(rate * _STEP_SECONDS)))
                if not data:
                    break
                to.sendall(data)
                if rate is not None:
                    time.sleep(_STEP_SECONDS)
        except OSError:
            pass
        for stream in (of, to):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
