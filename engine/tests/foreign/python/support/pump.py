"""Many sockets at once, each sending all that it has and receiving all that comes, without a thread of their own."""

import selectors
import time

_CHUNK = 1 << 18


class Stream:
    """One socket: the bytes that it has still to send, and those that it has received."""

    def __init__(self, socket, outgoing=b"", expected=0):
        self.socket = socket
        self.outgoing = memoryview(outgoing)
        self.expected = expected
        self.received = bytearray()
        self.ended = False
        socket.setblocking(False)

    def is_done(self):
        return not self.outgoing and (self.ended or len(self.received) >= self.expected)

    def send_some(self):
        """Returns whether the socket took anything."""
        try:
            self.outgoing = self.outgoing[self.socket.send(self.outgoing[:_CHUNK]) :]
            return True
        except BlockingIOError:
            return False

    def receive_some(self):
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.received += data
        self.ended = not data


def _missing(streams):
    missing = [
        f"{len(stream.received)} of {stream.expected} bytes received, {len(stream.outgoing)} unsent"
        for stream in streams
        if not stream.is_done()
    ]
    return f"{len(missing)} of {len(streams)} connections wait, the first with {missing[0]}"


def pump(streams, seconds, what):
    """Sends and receives until every stream has sent everything and has received what it expects, or has ended.

    `what` names in the error what has not come within `seconds`.
    """
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)
        while not all(stream.is_done() for stream in streams):
            assert time.monotonic() < end, f"waited {seconds} s in vain for {what}: {_missing(streams)}"
            for key, events in selector.select(1.0):
                stream = key.data
                if events & selectors.EVENT_WRITE and stream.outgoing:
                    stream.send_some()
                if events & selectors.EVENT_READ and not stream.ended:
                    stream.receive_some()
                # A socket that has nothing to send is always writable, and one at its end always readable.
                wanted = (selectors.EVENT_WRITE if stream.outgoing else 0) | (0 if stream.ended else selectors.EVENT_READ)
                if not wanted:
                    selector.unregister(stream.socket)
                elif wanted != key.events:
                    selector.modify(stream.socket, wanted, stream)
