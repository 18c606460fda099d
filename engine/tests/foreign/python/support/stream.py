"""An event stream on a bare socket."""

from .raw import Raw, Response


class Stream(Raw):
    """A member that listens; `response` is the head of the answer."""

    def __init__(self, engine, path, *headers, version="1.1", **options):
        super().__init__(engine, **options)
        lines = [f"GET {path} HTTP/{version}", "Host: localhost", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        while b"\r\n\r\n" not in self._unread:
            assert self._more(), f"the connection ended within a response: {self._unread!r}"
        head, self._unread = self._unread.split(b"\r\n\r\n", 1)
        self.response = Response(head, b"")

    def block(self):
        """The next lines up to an empty one."""
        while b"\n\n" not in self._unread:
            assert self._more(), f"the stream ended: {self._unread!r}"
        block, self._unread = self._unread.split(b"\n\n", 1)
        return block.decode()

    def event(self):
        """The next block that is neither comment nor the time to come back."""
        while True:
            block = self.block()
            if not block.startswith((":", "retry:")):
                return block
