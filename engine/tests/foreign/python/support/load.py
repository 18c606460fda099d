"""Publishers that number what they send, and members that check what they hear."""

import asyncio

from websockets.exceptions import ConnectionClosed

from .cluster import client, eventually


class Ledger:
    """What one member has heard: of each publisher the first and the last number, how many there were, and holes."""

    def __init__(self, where):
        self.where = where
        self.first, self.last, self.count, self.holes = {}, {}, {}, {}

    def note(self, text):
        publisher, number = text.split(" ")[:2]
        number = int(number)
        last = self.last.get(publisher)
        if last is None:
            self.first[publisher] = number
            last = number - 1
        assert number > last, f"a member on {self.where} got {number} of {publisher} after {last}"
        self.holes[publisher] = self.holes.get(publisher, 0) + number - last - 1
        self.last[publisher] = number
        self.count[publisher] = self.count.get(publisher, 0) + 1


class Member:
    """A client that listens until it is closed."""

    def __init__(self, where, socket):
        self.ledger = Ledger(where)
        self.is_open = True
        self._socket = socket
        self._task = asyncio.create_task(self._listen())

    @classmethod
    async def join(cls, cluster, name, room):
        return cls(name, await client(cluster.nodes[name], room))

    async def _listen(self):
        try:
            async for text in self._socket:
                self.ledger.note(text)
        except ConnectionClosed:
            pass
        finally:
            self.is_open = False

    async def has(self, publisher, number):
        """Waits until it has heard so far."""
        what = f"a member on {self.ledger.where} had {number} of {publisher}"
        await eventually(lambda: self._task.done() or self.ledger.last.get(publisher, -1) >= number, what)
        if self._task.done():
            # What it got was wrong, or it was closed.
            self._task.result()
        assert self.ledger.last.get(publisher, -1) >= number, f"closed before {what}"

    async def end(self):
        """Waits for its end, if it was not closed already, and says what was wrong."""
        await self._socket.close()
        await self._task


class Publisher(Member):
    """A member that sends numbers until it is closed or stopped, and hears its own: what it hears, its node has taken."""

    PAUSE_SECONDS = 0.002

    def __init__(self, where, socket, name):
        super().__init__(where, socket)
        self.name = name
        self.sent = 0
        self._is_stopped = False
        self._sending = asyncio.create_task(self._send())

    @classmethod
    async def begin(cls, cluster, where, room, name):
        return cls(where, await client(cluster.nodes[where], f"{room}?self=1"), name)

    async def _send(self):
        try:
            while not self._is_stopped:
                await self._socket.send(f"{self.name} {self.sent}")
                self.sent += 1
                await asyncio.sleep(self.PAUSE_SECONDS)
        except ConnectionClosed:
            pass

    @property
    def taken(self):
        """The last number that its node has certainly taken."""
        return self.ledger.last.get(self.name, -1)

    async def stop(self):
        """Sends no more, and waits until its node has taken all."""
        self._is_stopped = True
        await self._sending
        await self.has(self.name, self.sent - 1)

    async def closed(self):
        """Waits until its node has closed it."""
        await eventually(lambda: not self.is_open, f"{self.name} was closed")
        await self._sending
