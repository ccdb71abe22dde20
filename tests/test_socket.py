"""One open socket: what is sent at once, what has to wait, and the heartbeats of an idle socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from starlette.websockets import WebSocketDisconnect

from hub.live.close_codes import CloseCode
from hub.live.connections import Connections
from hub.live.listener import Listener
from hub.live.notices import Notice, Run, text_frame
from hub.live.socket import CloseSocket, Disconnected, Socket, Writer
from tests.processes import eventually

HEARTBEAT = 0.05
TICK = 0.001
"""How much too early an event loop may find that a time is over."""


def a_notice(sequence: int) -> Notice:
    return Notice("me", sequence, "open.recorded", True, b"%d" % sequence)


@dataclass
class Client:
    """A client, in place of the connection. If `fast` it takes frames at once, otherwise when `reads` is set."""

    fast: bool = True
    heard: list[dict[str, Any]] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    def write_frame(self, frames: bytes) -> bool:
        if self.fast:
            while frames:
                size = frames[1]
                self._hear(frames[2 : 2 + size])
                frames = frames[2 + size :]
        return self.fast

    @property
    def scope(self) -> dict[str, Any]:
        return {"extensions": {"glimpse.transport": {"frame": self.write_frame}}}

    async def send(self, message: dict[str, str]) -> None:
        await self.reads.wait()
        self._hear(message["text"])

    def _hear(self, text: str | bytes) -> None:
        self.heard.append(json.loads(text))
        self.heard_at.append(asyncio.get_running_loop().time())

    @property
    def numbers(self) -> list[int]:
        """The events that came, by their number."""
        return [each["event"] for each in self.heard if each["type"] == "event"]


@dataclass
class Log:
    """Catches up a listener that is behind, in place of the connections."""

    reads: int = 0
    pages: int = 1

    async def catch_up(self, listener: Listener) -> None:
        self.reads += 1
        if self.reads < self.pages:
            return
        listener.replay([a_notice(1)])
        listener.caught_up(1)


@dataclass
class EndingLog(Log):
    """A log that is read until another client has heard heartbeats; by then the listener is to end."""

    other: Client = field(default_factory=Client)

    async def catch_up(self, listener: Listener) -> None:
        await eventually(lambda: len(self.other.heard) >= 2, what="heartbeats were due")
        await super().catch_up(listener)
        listener.close(CloseCode.GOING_DOWN, "the server is going down")


@asynccontextmanager
async def a_writer(client: Client, log: Log | None = None, *, behind: bool = False) -> AsyncIterator[Listener]:
    """A listener whose socket is `client`. It stands at 1 or, if `behind`, has the log to read first."""
    listener = Listener("me", "history", "token:1", 1 << 20)
    if not behind:
        listener.caught_up(1)
    async with asyncio.TaskGroup() as group:
        socket = Socket(cast(Any, client), 5.0)
        writer = Writer(socket, listener, cast(Connections, log or Log()), group, HEARTBEAT)
        try:
            yield listener
        finally:
            writer.stop()


async def test_live_events_are_written_together_with_no_task() -> None:
    client = Client()
    async with a_writer(client) as listener:
        tasks = len(asyncio.all_tasks())
        listener.offer(Run([a_notice(2), a_notice(3)]))
        assert client.numbers == [2, 3]
        assert len(asyncio.all_tasks()) == tasks


async def test_idle_socket_has_heartbeats_that_an_event_puts_off() -> None:
    client = Client()
    async with a_writer(client) as listener:
        await eventually(lambda: len(client.heard) == 2)
        assert client.heard == [{"type": "heartbeat", "sequence": 1}] * 2
        listener.offer(Run([a_notice(2)]))
        await eventually(lambda: len(client.heard) == 4)
        assert client.heard_at[3] - client.heard_at[2] >= HEARTBEAT - TICK
        assert client.heard[2:] == [{"type": "event", "event": 2}, {"type": "heartbeat", "sequence": 2}]


@dataclass
class Leaving:
    """A connection whose client leaves, or does not even read a close, as `error` says."""

    error: Exception | None = None
    reasons: list[str] = field(default_factory=list)
    aborts: int = 0

    @property
    def scope(self) -> dict[str, Any]:
        return {"extensions": {"glimpse.transport": {"transport": self}}}

    async def receive(self) -> dict[str, str]:
        return {"type": "websocket.disconnect"}

    async def send(self, _message: dict[str, str]) -> None:
        await self._fail()

    async def close(self, _code: int, reason: str) -> None:
        self.reasons.append(reason)
        await self._fail()

    async def _fail(self) -> None:
        if self.error is None:
            await asyncio.Event().wait()
        else:
            raise self.error

    def abort(self) -> None:
        self.aborts += 1


@pytest.mark.parametrize("error", [WebSocketDisconnect(1006), RuntimeError("left"), OSError("left")], ids=type)
async def test_client_that_left_is_noticed_however_the_server_says_so(error: Exception) -> None:
    client = Leaving(error)
    socket = Socket(cast(Any, client), 5.0)
    with pytest.raises(Disconnected):
        await socket.receive()
    with pytest.raises(Disconnected):
        await socket.send(b"{}")
    await socket.close(4001, "the server is going down")
    assert client.aborts == 0


async def test_client_that_does_not_read_is_cut_off_also_as_it_is_told_the_end() -> None:
    client = Leaving()
    socket = Socket(cast(Any, client), 0.01)
    with pytest.raises(TimeoutError):
        await socket.send(b"{}")
    async with asyncio.timeout(1.0):
        await socket.close(4008, "too slow")
    assert client.aborts == 1


async def test_reason_of_a_close_is_cut_between_characters_to_what_a_frame_takes() -> None:
    client = Leaving(OSError())
    await Socket(cast(Any, client), 5.0).close(4400, "n" + "ö" * 200)
    assert client.reasons == ["n" + "ö" * 59]


@pytest.mark.parametrize("fast", [True, False])
async def test_frame_of_any_kind_ends_a_silence(fast: bool) -> None:
    client = Client(fast=fast)
    client.reads.set()
    socket = Socket(cast(Any, client), 5.0)
    socket.spoke_at = before = 0.0
    await socket.send(b'{"type":"error"}')
    assert client.heard == [{"type": "error"}]
    assert socket.spoke_at > before


async def test_event_does_not_overtake_those_that_wait_for_a_slow_client() -> None:
    client = Client(fast=False)
    async with a_writer(client) as listener:
        listener.offer(Run([a_notice(2), a_notice(3)]))
        await asyncio.sleep(0)
        client.fast = True
        listener.offer(Run([a_notice(4)]))
        assert client.numbers == []
        client.reads.set()
        await eventually(lambda: client.numbers == [2, 3, 4])
        listener.offer(Run([a_notice(5)]))
        assert client.numbers == [2, 3, 4, 5]
        client.fast = False
        listener.offer(Run([a_notice(6)]))
        await eventually(lambda: client.numbers == [2, 3, 4, 5, 6])


async def test_slow_client_has_its_heartbeat_when_it_reads_again() -> None:
    client = Client(fast=False)
    async with a_writer(client) as listener:
        await eventually(lambda: listener.write is None, what="the socket waits for the client")
        assert client.heard == []
        client.reads.set()
        await eventually(lambda: len(client.heard) > 0)
        assert client.heard[0] == {"type": "heartbeat", "sequence": 1}


async def test_heartbeat_overtakes_nothing_and_is_needless_after_it() -> None:
    client, other = Client(fast=False), Client()
    async with a_writer(client) as listener, a_writer(other):
        listener.offer(Run([a_notice(2)]))
        await asyncio.sleep(0)
        client.fast = True
        await eventually(lambda: len(other.heard) >= 3, what="heartbeats were due")
        assert client.heard == []
        client.reads.set()
        await eventually(lambda: len(client.heard) >= 2)
        assert client.heard[:2] == [{"type": "event", "event": 2}, {"type": "heartbeat", "sequence": 2}]
        assert client.heard_at[1] - client.heard_at[0] >= HEARTBEAT - TICK


async def test_idle_socket_is_looked_after_only_when_a_heartbeat_may_be_due(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    beat = Writer._beat

    def counted(writer: Writer) -> None:
        nonlocal looks
        looks += 1
        beat(writer)

    monkeypatch.setattr(Writer, "_beat", counted)
    client = Client()
    async with a_writer(client):
        await eventually(lambda: len(client.heard) >= 3)
    assert looks == len(client.heard)


async def test_log_is_read_for_a_listener_until_it_is_no_longer_behind() -> None:
    client, log = Client(), Log(pages=2)
    async with a_writer(client, log, behind=True):
        await eventually(lambda: client.numbers == [1])
        assert log.reads == 2


async def test_log_is_read_as_soon_as_the_bus_may_have_lost_something() -> None:
    client, log = Client(), Log()
    async with a_writer(client, log) as listener:
        listener.fall_behind()
        await eventually(lambda: log.reads)


async def test_reason_for_the_end_is_raised_in_the_group() -> None:
    async def closed() -> None:
        async with a_writer(Client()) as listener:
            listener.close(CloseCode.GOING_DOWN, "the server is going down")
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as ended:
        await closed()
    [closing] = ended.value.exceptions
    assert isinstance(closing, CloseSocket)
    assert (closing.code, closing.reason) == (4001, "the server is going down")


async def test_heartbeat_does_not_name_what_was_not_sent_because_the_end_came() -> None:
    """A client goes on from a heartbeat's sequence."""
    client, log = Client(), EndingLog()
    with pytest.raises(ExceptionGroup):
        async with a_writer(log.other), a_writer(client, log, behind=True):
            await asyncio.Event().wait()
    assert log.reads == 1
    assert client.heard == []


async def test_nothing_is_sent_after_the_end() -> None:
    client, other = Client(), Client()
    async with a_writer(other):
        async with a_writer(client) as listener:
            pass
        listener.offer(Run([a_notice(2)]))
        listener.close(CloseCode.GOING_DOWN, "the server is going down")
        await eventually(lambda: len(other.heard) == 2, what="heartbeats were due")
    assert client.heard == []


def test_frames_of_a_run_are_each_a_whole_frame() -> None:
    assert Run([a_notice(2), a_notice(3)]).frames("history") == b"".join(
        text_frame(b'{"type":"event","event":%d}' % number) for number in (2, 3)
    )
