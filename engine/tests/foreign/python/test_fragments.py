"""Messages of unknown length, sent as fragments from asynchronous iterators."""

import asyncio

from websockets.asyncio.client import connect

from support.deadline import DEADLINE_SECONDS


def run(main):
    async def bounded():
        async with asyncio.timeout(DEADLINE_SECONDS):
            await main()

    asyncio.run(bounded())


def test_streams_of_several_publishers_arrive_as_whole_messages(engine):
    async def words(name, count):
        for i in range(count):
            yield f"{name}{i}€ "
            # The other publishers' fragments come in between.
            await asyncio.sleep(0)

    async def main():
        url = engine.url("/raw/streams")
        async with (
            connect(url, proxy=None) as one,
            connect(url, proxy=None) as two,
            connect(url, proxy=None) as member,
        ):
            await asyncio.gather(one.send(words("a", 300)), two.send(words("b", 300)))
            received = {await member.recv(), await member.recv()}
            assert received == {"".join(f"{name}{i}€ " for i in range(300)) for name in "ab"}
            assert await one.recv() == "".join(f"b{i}€ " for i in range(300))
            assert await two.recv() == "".join(f"a{i}€ " for i in range(300))

    run(main)


def test_a_ping_within_a_stream_is_answered_before_the_stream_ends(engine):
    async def main():
        async with connect(engine.url("/echo"), proxy=None) as client:
            async def chunks():
                yield b"before "
                pong = await client.ping(b"within")
                await pong
                yield b"after"

            await client.send(chunks())
            assert await client.recv() == b"before after"

    run(main)
