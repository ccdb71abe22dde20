"""HTTP under the hub: clients that go away before they are answered, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.processes import eventually
from tests.test_transport import GET, Server, answer, client, running


class Later:
    """An application that answers as many requests as it is let; without a task of its own if it `takes`."""

    def __init__(self, *, takes: bool) -> None:
        self.lets = asyncio.Semaphore(0)
        self.asked = self.answered = 0
        self.waiting: set[asyncio.Task[None]] = set()
        if takes:
            self.take = self._take

    def _take(self, _: Scope, write: Callable[[bytes, bytes], bool], run: Callable[[ASGIApp], None]) -> bool:
        async def wait() -> None:
            await self.lets.acquire()
            if not write(b"content-length: 1\r\n", b"x"):
                run(answer)
            self.answered += 1

        self.asked += 1
        self.waiting.add(asyncio.create_task(wait()))
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.lets.acquire()
        await answer(scope, receive, send)
        self.answered += 1


@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("requests", [1, 3])
def test_client_that_goes_away_before_it_is_answered_is_no_error(
    caplog: pytest.LogCaptureFixture, takes: bool, requests: int
) -> None:
    async def leave() -> None:
        app = Later(takes=takes)
        async with running(app) as (server, port):
            async with client(port) as (reader, writer):
                writer.write(GET * requests)
                await eventually(lambda: app.asked)
                if requests > 1:
                    app.lets.release()
                    await reader.readuntil(b"\r\n\r\n")
            await eventually(lambda: not server.server_state.connections)
            app.lets.release()
            await eventually(lambda: app.answered == app.asked and not server.server_state.tasks)
            assert app.asked == min(requests, 2)

    # As the hub is run: uvloop, unlike asyncio, raises where something is written to a closed transport.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(leave())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("requests", [1, 2])
async def test_request_that_is_being_answered_hears_that_its_client_went_away(requests: int) -> None:
    asked, heard = [], []

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        asked.append(scope["path"])
        while (message := await receive())["type"] != "http.disconnect":
            pass
        heard.append(message)

    async with running(app) as (server, port):
        async with client(port) as (_, writer):
            writer.write(GET * requests)
            await eventually(lambda: asked)
        await eventually(lambda: heard and not server.server_state.tasks)
        assert asked == ["/"]


def traces(server: Server) -> list[weakref.ref[Any]]:
    """By which to see whether anything is left of the connection there is."""
    [protocol] = server.server_state.connections
    return [weakref.ref(protocol), weakref.ref(protocol.transport)]


@pytest.mark.parametrize("begun", [b"", GET[:20], GET], ids=["nothing", "half a head", "request"])
async def test_connection_that_ended_is_forgotten(begun: bytes) -> None:
    async with running(answer) as (server, port):
        async with client(port) as (reader, writer):
            writer.write(begun)
            if begun == GET:
                await reader.readuntil(b"\r\n\r\n0")
            await eventually(lambda: server.server_state.connections)
            kept = traces(server)
        await eventually(lambda: not server.server_state.connections)
        await eventually(lambda: gc.collect() is not None and not any(each() for each in kept))
