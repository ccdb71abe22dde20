"""Server-sent events to clients that are gone or do not read: each is let go, and holds no place."""

from __future__ import annotations

import asyncio
import socket as sockets
from functools import partial
from pathlib import Path

import pytest

from tests.api import Hub, Sender, running_hub
from tests.processes import eventually

NEVER_SECONDS = 1000.0
HIGH_WATER = 64 * 1024
"""If more waits for a client, the next answer to it waits, too."""


async def test_client_that_is_gone_before_its_stream_begins_holds_no_place(hub: Hub, sender: Sender) -> None:
    request = f"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.token}\r\n\r\n"
    for number in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(request.encode())
        for _ in range(number):
            await asyncio.sleep(0)
        writer.transport.abort()
    await eventually(lambda: has_room(sender), what="room for a stream")


async def test_client_that_reads_not_even_an_earlier_answer_holds_no_place(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    """Its stream is let in, and then waits for the line before it can begin."""
    async with running_hub(tmp_path, migrated_sqlite_url, send_seconds=0.1, heartbeat_seconds=1) as hub:
        sender = await hub.add_sender()
        with sockets.socket() as narrow:
            narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", hub.port))
            while waiting_bytes(hub) <= HIGH_WATER:
                answered = hub.server.server_state.total_requests
                narrow.send(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
                await eventually(partial(has_answered_more, hub, answered))
            path = "/api/v1/stream"
            narrow.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.token}\r\n\r\n".encode())
            await eventually(lambda: has_streams(hub, 1))
            await eventually(lambda: has_streams(hub, 0), what="the client that does not read is let go")


async def test_client_that_never_reads_is_let_go_without_an_error(
    tmp_path: Path, migrated_sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the transport would do the same, a minute later.
    monkeypatch.setattr("hub.transport.UNREAD_SECONDS", NEVER_SECONDS)
    settings = {"send_seconds": 0.5, "max_queue_bytes": 1 << 18}
    async with running_hub(tmp_path, migrated_sqlite_url, **settings) as hub:
        sender = await hub.add_sender()
        message = await sender.register(*(f"r{n}@example.com" for n in range(500)), pixels="per_recipient")
        narrow = sockets.socket()
        narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", hub.port))
        with narrow:
            path = "/api/v1/stream?stream=history"
            narrow.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.token}\r\n\r\n".encode())
            await eventually(lambda: has_streams(hub, 1))
            for number in range(40):
                await sender.patch(f"/messages/{message['id']}", muted=bool(number % 2))
            await eventually(lambda: has_streams(hub, 0), what="the client that does not read is let go")
            await eventually(lambda: not waiting_bytes(hub), what="nothing waits for it any more")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def has_answered_more(hub: Hub, requests: int) -> bool:
    return hub.server.server_state.total_requests > requests


def waiting_bytes(hub: Hub) -> int:
    return sum(each.transport.get_write_buffer_size() for each in hub.server.server_state.connections)


async def has_streams(hub: Hub, count: int) -> bool:
    return f"glimpse_sockets {count}.0\n" in (await hub.http.get("/metrics")).text


async def has_room(sender: Sender) -> bool:
    async with sender.http.stream("GET", "/stream") as response:
        return response.status_code == 200
