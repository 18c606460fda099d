"""HTTP and WebSocket on a bare TCP socket: what a well-behaved client never sends, and how it arrives."""

import socket
import struct

from .deadline import DEADLINE_SECONDS

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# RFC 6455, section 1.3, gives this answer to the key above.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

_MASK = b"\x11\x22\x33\x44"


def frame(opcode, payload=b"", *, fin=True, rsv=0, masked=True, announced=None, length_form=None):
    """A client's frame. `announced` lets its header promise another length; `length_form` (7, 16, 64) forces its form."""
    length = len(payload) if announced is None else announced
    form = length_form or (7 if length < 126 else 16 if length < 65536 else 64)
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        head += bytes([mask_bit | length])
    elif form == 16:
        head += bytes([mask_bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", length)
    if masked:
        head += _MASK
        repeated = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
        payload = (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))
    return head + payload


def close_frame(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def upgrade_request(path, **headers):
    """The request of an upgrade. A header given as None is left out."""
    fields = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"GET {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Response:
    def __init__(self, head, body):
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status_line.split(" ")[1])
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.body = body

    @property
    def text(self):
        return self.body.decode()


class Raw:
    """A TCP connection to the engine; a context manager."""

    def __init__(self, engine, *, receive_buffer=None):
        self._socket = socket.socket()
        if receive_buffer is not None:
            # Only before connecting does the size bound the window that is offered.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(DEADLINE_SECONDS)
        self._socket.connect((engine.host, engine.port))
        # Each `send` is then a segment of its own.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    @classmethod
    def upgraded(cls, engine, path, **options):
        raw = cls(engine, **options)
        raw.send(upgrade_request(path))
        response = raw.response()
        assert response.status == 101, f"{path} was refused with {response.status}: {response.body}"
        return raw

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Drops the connection without a word."""
        self._socket.close()

    @property
    def socket(self):
        """The socket, for those who do all reading and writing themselves from here on."""
        assert not self._unread, f"bytes were read that nobody took: {self._unread[:100]!r}"
        return self._socket

    def send(self, data):
        self._socket.sendall(data)

    def _more(self):
        data = self._socket.recv(1 << 18)
        self._unread += data
        return data

    def _take(self, count):
        chunks = [self._unread]
        have = len(self._unread)
        while have < count:
            data = self._socket.recv(1 << 18)
            assert data, f"the connection ended after {have} of {count} bytes: {b''.join(chunks)[:200]!r}"
            chunks.append(data)
            have += len(data)
        all_bytes = b"".join(chunks)
        self._unread = all_bytes[count:]
        return all_bytes[:count]

    def response(self):
        """The answer to a request, with its body unless it is a 101."""
        while b"\r\n\r\n" not in self._unread:
            assert self._more(), f"the connection ended within a response: {self._unread!r}"
        head, self._unread = self._unread.split(b"\r\n\r\n", 1)
        response = Response(head, b"")
        if response.status != 101:
            length = response.headers.get("content-length")
            if length is not None:
                response.body = self._take(int(length))
            elif response.headers.get("transfer-encoding") == "chunked":
                response.body = b"".join(self._chunks())
            else:
                while self._more():
                    pass
                response.body, self._unread = self._unread, b""
        return response

    def _chunks(self):
        while True:
            while b"\r\n" not in self._unread:
                assert self._more(), "the connection ended within a chunked body"
            size, self._unread = self._unread.split(b"\r\n", 1)
            chunk = self._take(int(size, 16))
            assert self._take(2) == b"\r\n"
            if not chunk:
                return
            yield chunk

    def frame(self):
        """The next frame, as (opcode, payload); frames of a server must be whole messages without a mask."""
        first, second = self._take(2)
        assert first & 0x70 == 0, f"reserved bits are set: {first:#x}"
        assert first & 0x80, "the engine sent a fragment"
        assert second & 0x80 == 0, "the engine sent a masked frame"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
            assert length > 125, "the length is not in its shortest form"
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
            assert length > 65535, "the length is not in its shortest form"
        return first & 0x0F, self._take(length)

    def expect_close(self, *codes):
        """The next frame is a close with one of `codes`, and then the connection ends. Returns the code and the reason."""
        opcode, payload = self.frame()
        assert opcode == CLOSE, f"opcode {opcode} with {payload[:100]!r} where a close was due"
        code = struct.unpack(">H", payload[:2])[0] if payload else None
        reason = payload[2:].decode()
        assert code in codes, f"closed with {code} {reason!r}, not with {codes}"
        self.send_quietly(frame(CLOSE, payload[:2]))
        self.expect_end()
        return code, reason

    def send_quietly(self, data):
        """Sends what the engine may no longer want, having closed already."""
        try:
            self.send(data)
        except OSError:
            pass

    def expect_end(self):
        """Nothing comes any more but the end of the connection."""
        try:
            rest = self._unread + self._socket.recv(1 << 16)
        except ConnectionResetError:
            rest = self._unread
        assert rest == b"", f"bytes after the end: {rest[:100]!r}"

    def expect_bad_request(self):
        """A 400 or nothing, and then the end of the connection."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        assert self._unread == b"" or self._unread.startswith(b"HTTP/1.1 400 "), self._unread[:200]
