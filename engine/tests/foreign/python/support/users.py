"""Clients with tokens, on engines that ask for them."""

import time

import jwt
from websockets.asyncio.client import connect

SECRET = "the secret of these tests, which is long enough"

# A configuration that asks for tokens.
SECTION = f"""
[auth]
query_parameter = "token"
[[auth.keys]]
algorithm = "HS256"
secret = "{SECRET}"
"""


def token(user):
    rooms = [{"match": "*", "join": True, "publish": True}]
    return jwt.encode({"exp": time.time() + 600, "rooms": rooms, "sub": user}, SECRET, algorithm="HS256")


def member(engine, user, room="lobby", how="request"):
    """A user's connection, whose token comes in its request, or will be its first message."""
    query = f"token={token(user)}" if how == "request" else "auth=message"
    return connect(engine.url(f"/raw/{room}?{query}"), proxy=None, ping_interval=None, open_timeout=20, close_timeout=2)


async def is_open(member):
    await (await member.ping())
