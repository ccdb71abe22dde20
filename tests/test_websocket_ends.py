"""The WebSocket's limits, and every way it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub.live import socket as live
from hub.store.away import DatabaseAway
from hub.store.credentials import Credentials
from hub.store.messages import Messages
from hub.transport_websocket import HubWebSocket
from tests.api import MACHINE, NEVER_SECONDS, Hub, Sender, Socket, assert_problem, running_hub
from tests.processes import eventually

Frame = dict[str, Any]


@pytest.fixture
async def strict_hub(tmp_path: Path, migrated_sqlite_url: str) -> AsyncIterator[Hub]:
    """A hub that soon gives up a client that does not read."""
    settings = {"heartbeat_seconds": 0.1, "send_seconds": 2.0, "max_queue_bytes": 1 << 18}
    async with running_hub(tmp_path, migrated_sqlite_url, **settings) as hub:
        yield hub


async def test_client_that_never_connects_is_closed_with_4408(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url, connect_seconds=0.2) as hub, hub.socket() as socket:
        assert await socket.closed() == 4408


async def test_client_that_has_more_than_the_log_is_closed_with_4001_and_told_so(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 30)
    async with sender.socket() as (socket, _):
        await hub.cut_log(sender, 10)
        await sender.register()
        assert await socket.closed() == 4001
    async with sender.socket(after=30) as (socket, connected):
        assert (connected["recovered"], connected["sequence"]) == (False, 11)
        await sender.register()
        assert (await socket.event())["sequence"] == "12"


async def test_heartbeats_come_in_silence_and_say_where_the_log_stands(strict_hub: Hub) -> None:
    sender = await strict_hub.add_sender()
    async with sender.socket() as (socket, connected):
        assert connected["heartbeat"] == 0.1
        for _ in range(3):
            assert await socket.hear() == {"type": "heartbeat", "sequence": 0}
        message = await sender.register()
        await socket.event("message.registered")
        assert await socket.hear() == {"type": "heartbeat", "sequence": 1}
        # An event that this stream does not carry moves the head all the same.
        await sender.hit(message, user_agent=MACHINE)
        await eventually(lambda: heard(socket, {"type": "heartbeat", "sequence": 2}))


async def test_client_that_leaves_before_it_is_answered_is_no_error(
    hub: Hub, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    before = await gone(hub)
    for _ in range(10):
        socket = await connect(hub.ws_url)
        await socket.send(json.dumps({"type": "connect", "token": sender.token}))
        socket.transport.abort()
    await eventually(lambda: left(hub, before + 10), what="all are counted as left")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def left(hub: Hub, number: int) -> bool:
    return await gone(hub) >= number


async def gone(hub: Hub, code: int = 1005) -> int:
    """How many sockets were counted as closed with this code; 1005 stands for those left by their clients."""
    text = (await hub.http.get("/metrics")).text
    found = re.search(rf'^glimpse_socket_closes_total{{code="{code}"}} (\d+)', text, re.M)
    return int(found[1]) if found else 0


async def heard(socket: Socket, frame: Frame) -> bool:
    return await socket.hear() == frame


async def test_21st_socket_of_a_user_is_closed_with_4409_and_no_other(hub: Hub, sender: Sender) -> None:
    async with hub.socket() as extra:
        for _ in range(20):
            socket = await connect(hub.ws_url)
            hub.clients.push_async_callback(socket.close)
            await Socket(socket).say(type="connect", token=sender.token)
            assert (await Socket(socket).hear())["type"] == "connected"
        await extra.say(type="connect", token=sender.token)
        assert await extra.closed() == 4409
        await sender.register()
        assert (await Socket(socket).event())["type"] == "message.registered"
        await socket.close()
        await eventually(lambda: is_let_in(hub, sender), what="room for another socket")


async def is_let_in(hub: Hub, sender: Sender) -> bool:
    async with hub.socket() as socket:
        await socket.say(type="connect", token=sender.token)
        try:
            return bool((await socket.hear())["type"] == "connected")
        except ConnectionClosed:
            return False


async def test_server_that_goes_down_closes_with_4001_and_takes_no_more(
    tmp_path: Path, migrated_sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        sender = await hub.add_sender()
        async with sender.socket() as (one, _), sender.socket(stream="history") as (two, _), hub.socket() as newcomer:
            await hub.drain()
            assert [await each.closed() for each in (one, two, newcomer)] == [4001, 4001, 4001]
        with pytest.raises(InvalidStatus) as refused:
            async with hub.socket():
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["content-type"] == "application/problem+json"
        assert_problem(await sender.http.get("/stream"), 503)
        assert (await hub.http.get("/readyz")).status_code == 503
        message = await sender.register()
        await sender.hit(message)
        assert (await sender.get(f"/messages/{message['id']}"))["opens"] == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_server_goes_down_even_as_a_newcomers_time_is_up(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub, (await hub.add_sender()).socket() as (socket, _):
        with suppress(TimeoutError):
            async with asyncio.timeout(0) as deadline:
                hub.app.state.socket._newcomers.add(deadline)
                try:
                    await asyncio.Event().wait()
                finally:
                    await hub.drain()
        assert await socket.closed() == 4001


async def test_client_let_in_just_as_the_server_goes_down_is_not_waited_for(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_token = Credentials.by_token
    async with running_hub(tmp_path, migrated_sqlite_url, connect_seconds=NEVER_SECONDS) as hub:
        token = (await hub.add_sender()).token

        async def drained_meanwhile(*given: Any) -> Any:
            credential = await by_token(*given)
            await hub.drain()
            return credential

        monkeypatch.setattr(Credentials, "by_token", drained_meanwhile)
        async with hub.socket(additional_headers={"authorization": f"Bearer {token}"}) as socket:
            assert await socket.closed() == 4001


async def test_client_that_never_reads_is_let_go_and_harms_nobody(strict_hub: Hub) -> None:
    sender = await strict_hub.add_sender()
    recipients = [{"address": f"r{number}@example.com"} for number in range(500)]
    message = await sender.register(recipients=recipients, pixels="per_recipient")
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", strict_hub.port))
    # A client that takes one frame and then stops reading its connection.
    async with (
        strict_hub.socket(sock=narrow, max_queue=1, ping_interval=None) as stuck,
        sender.socket(stream="history") as (reader, _),
    ):
        await stuck.say(type="connect", token=sender.token, stream="history")
        assert (await stuck.hear())["type"] == "connected"
        for number in range(60):
            await sender.patch(f"/messages/{message['id']}", muted=bool(number % 2))
            await reader.event("message.updated")
            if await closes(strict_hub, 4008):
                break
        await eventually(lambda: closes(strict_hub, 4008), what="the client that does not read is let go")
        assert (await strict_hub.http.get("/metrics")).text.count("glimpse_sockets 1.0") == 1
        sockets_left = [each for each in strict_hub.server.server_state.connections if isinstance(each, HubWebSocket)]
        assert len(sockets_left) == 1, "the connection is dropped at once, with all that waits in it"
        stuck.connection.transport.resume_reading()
        assert await stuck.closed() == 1006, "it is cut off, as it would not read a close frame either"
        await sender.register()
        await reader.event("message.registered")


async def closes(hub: Hub, code: int) -> bool:
    return f'glimpse_socket_closes_total{{code="{code}"}} 1.0' in (await hub.http.get("/metrics")).text


async def test_client_for_whom_too_much_waits_is_closed_with_4008_and_can_resume(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the client read too slowly for anything to be written at once.
    monkeypatch.setattr(HubWebSocket, "write_frame", lambda _self, _frame: False)
    async with running_hub(tmp_path, migrated_sqlite_url, max_queue_bytes=100) as hub:
        sender = await hub.add_sender()
        async with sender.socket() as (socket, _):
            await sender.register()
            assert await socket.closed() == 4008
        async with sender.socket(after=0) as (socket, connected):
            assert connected["recovered"]
            assert (await socket.event())["sequence"] == "1"


@pytest.mark.parametrize("round_", range(10))
async def test_token_revoked_while_its_socket_opens_leaves_no_socket(hub: Hub, sender: Sender, round_: int) -> None:
    made = await sender.post("/tokens", {"name": "plugin"})

    async def revoke() -> None:
        for _ in range(round_ * 3):
            await asyncio.sleep(0)
        await sender.http.delete(f"/tokens/{made['id']}")

    async with hub.socket() as socket:
        revoking = asyncio.create_task(revoke())
        await socket.say(type="connect", token=made["token"], stream="history")
        assert await socket.closed() == 4401
        await revoking


async def test_revoked_socket_is_told_nothing_more_and_heard_no_more(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next event waits, as it would for a client that is slow to read."""
    await hub.fill_log(sender, 5)
    made = await sender.post("/tokens", {"name": "plugin"})
    send, receive, said = live.Socket.send, live.Socket.receive, asyncio.Event()
    frames: list[str] = []

    async def slow(self: live.Socket, frame: bytes) -> None:
        await send(self, frame)
        if b'"event"' in frame:
            await sender.http.delete(f"/tokens/{made['id']}")
            await said.wait()

    async def heard(self: live.Socket) -> str | None:
        if any("seen" in frame for frame in frames):
            # Only now is the hub done with it.
            said.set()
        frames.append(await receive(self) or "")
        return frames[-1]

    monkeypatch.setattr(live.Socket, "send", slow)
    monkeypatch.setattr(live.Socket, "receive", heard)
    async with hub.socket() as socket:
        await socket.say(type="connect", token=made["token"], stream="history", after=0)
        assert (await socket.hear())["type"] == "connected"
        assert (await socket.event())["sequence"] == "1"
        await eventually(lambda: revoked(sender, made["id"]), what="the token is revoked")
        await socket.say(type="seen", sequence=5)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert (await sender.get("/me"))["seen_sequence"] == 0


async def revoked(sender: Sender, token_id: str) -> bool:
    return token_id not in [each["id"] for each in (await sender.get("/tokens"))["items"]]


async def away(*_: object) -> None:
    raise DatabaseAway("gone")


async def test_database_that_is_away_refuses_the_upgrade_for_now(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Credentials, "by_token", away)
    with pytest.raises(InvalidStatus) as refused:
        async with hub.socket(additional_headers={"authorization": f"Bearer {sender.token}"}):
            pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["retry-after"]


@pytest.mark.parametrize("method", ["by_token", "reload"])
async def test_database_that_goes_away_closes_with_1013(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    before = await gone(hub, 1013)
    monkeypatch.setattr(Credentials, method, away)
    async with hub.socket() as socket:
        await socket.say(type="connect", token=sender.token)
        assert await socket.closed() == 1013
    assert await gone(hub, 1013) == before + 1


async def test_token_found_gone_once_its_socket_is_registered_is_closed_with_4401(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def revoked_meanwhile(*_: object) -> None:
        return None

    monkeypatch.setattr(Credentials, "reload", revoked_meanwhile)
    async with hub.socket() as socket:
        await socket.say(type="connect", token=sender.token)
        assert await socket.closed() == 4401


async def test_database_away_for_a_moment_is_an_error_frame_and_the_socket_stays(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await sender.register()
    async with sender.socket() as (socket, _):
        with monkeypatch.context() as broken:
            broken.setattr(Messages, "owned", away)
            await socket.say(type="viewing", message_id=message["id"])
            assert (await socket.hear())["code"] == "unavailable"
        await sender.register()
        await socket.event("message.registered")
