"""Hostile frames and hostile pixels: a socket says what it cannot use and lives on, and a pixel is always the same."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.tracking.pixel import GIF
from tests.api import Hub, Sender
from tests.integration.test_hostile_http import JSON, assert_well, shared_sender

MARK = {"type": "seen", "sequence": 0, "the last": 1}
END_SECONDS = 60.0
TYPES = st.sampled_from(["connect", "viewing", "seen", "connected", "event", "heartbeat", "error", "", "CONNECT"])
FIELDS = st.sampled_from(["token", "stream", "after", "message_id", "sequence", "more", "type ", "\0"])
FRAMES = st.one_of(
    st.text(max_size=60),
    st.binary(max_size=60),
    JSON.map(json.dumps),
    st.builds(
        lambda type_, fields: json.dumps({"type": type_, **fields}), TYPES, st.dictionaries(FIELDS, JSON, max_size=3)
    ),
    st.sampled_from(
        ['{"type":"seen","sequence":' + "9" * 400 + "}", "[" * 5000, '{"type":"viewing","message_id":"\\ud800"}']
    ),
)


@settings(max_examples=60)
@given(st.lists(FRAMES, min_size=1, max_size=12))
async def test_any_frames_are_answered_by_name_and_the_socket_lives_on(hub: Hub, frames: list[str | bytes]) -> None:
    """Each frame that is heard is also checked against the AsyncAPI document."""
    sender = await shared_sender(hub)
    async with sender.socket() as (socket, _):
        for frame in frames:
            await socket.connection.send(_sendable(frame))
        await socket.say(**MARK)
        answers: list[dict[str, Any]] = []
        while not answers or "`the last`" not in answers[-1].get("detail", ""):
            answers.append(await socket.hear())
            assert answers[-1]["type"] in ("error", "event", "heartbeat")


@settings(max_examples=40)
@given(FRAMES)
async def test_any_first_frame_that_does_not_connect_ends_the_socket(hub: Hub, frame: str | bytes) -> None:
    async with hub.socket() as socket:
        await socket.connection.send(_sendable(frame))
        assert await socket.closed() in (4400, 4401)


def _sendable(frame: str | bytes) -> str | bytes:
    return frame if isinstance(frame, bytes) else frame.encode("utf-8", "replace").decode()


@settings(max_examples=60)
@given(st.binary(max_size=200), st.booleans())
async def test_any_bytes_in_the_place_of_frames_end_the_connection(hub: Hub, noise: bytes, connect: bool) -> None:
    """Below the frames: what follows the upgrade is noise, and then nothing more."""
    sender = await shared_sender(hub)
    key = base64.b64encode(bytes(16)).decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        writer.write(
            "GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: glimpse.v1\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        if connect:
            frame = json.dumps({"type": "connect", "token": sender.token}).encode()
            writer.write(bytes([0x81, 0x80 | 126]) + len(frame).to_bytes(2) + bytes(4) + frame)
        writer.write(noise)
        writer.write_eof()
        async with asyncio.timeout(END_SECONDS):
            await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[int, int, bytes]:
    """Where to spoil a good token, how much of it to take away, and what to put there."""
    return draw(st.integers(0, 60)), draw(st.integers(0, 60)), draw(st.binary(min_size=1, max_size=20))


async def pixel(hub: Hub, token: bytes) -> bytes:
    """What is answered to a token of any bytes, head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        target = f"/o/{quote_from_bytes(token, safe='')}.gif".encode()
        writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(END_SECONDS):
            answer = await reader.read()
    finally:
        writer.transport.abort()
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith((b"date:", b"x-request-id:")))


@settings(max_examples=120)
@given(st.one_of(st.binary(max_size=80), spoilt()))
async def test_any_token_is_answered_with_the_same_image(hub: Hub, made: bytes | tuple[int, int, bytes]) -> None:
    sender = await shared_sender(hub)
    if not hasattr(hub.app.state, "shared_message"):
        hub.app.state.shared_message = await sender.register()
    good = hub.app.state.shared_message["pixels"][0]["url"].rpartition("/")[2].removesuffix(".gif").encode()
    token = made if isinstance(made, bytes) else good[: made[0]] + made[2] + good[made[0] + made[1] :]
    answer = await pixel(hub, token)
    assert answer == await pixel(hub, b"forged")
    assert answer.endswith(GIF)
    if token != good:
        assert (await sender.get(f"/messages/{hub.app.state.shared_message['id']}"))["hits"] == 0


async def test_hub_is_well_after_all_that(hub: Hub, sender: Sender) -> None:
    await assert_well(hub, sender)
