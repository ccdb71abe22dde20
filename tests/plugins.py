"""A plugin as the protocol describes it, and mail that is read at a steady pace, for tests of hub processes.

Promise: a plugin resumes with nothing but the last sequence it has seen; it comes back by itself, to each of its
hubs in turn, until it is told not to. For the tests it keeps what it heard, in the order in which it came.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.documents import assert_told
from tests.ledger import Ledger, Pixel
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import HubProcess

FOR_GOOD = 4400
"""A client must not come back by itself after a close code from here on."""


@dataclass
class Plugin:
    """A client of the WebSocket. `urls` are its hubs', taken in turn; `last` is the sequence it saw last."""

    token: str
    urls: Sequence[str]
    last: int | None = None
    stream: str = "history"
    come_back_seconds: float = 0.2
    heard: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    connected: int = 0
    not_recovered: int = 0
    online: bool = False

    async def run(self) -> None:
        """Listen, and come back whenever the connection is lost, until closed for good."""
        for url in itertools.cycle(self.urls):
            try:
                async with connect(
                    url,
                    subprotocols=[Subprotocol("glimpse.v1")],
                    open_timeout=PATIENCE_SECONDS,
                    close_timeout=1,
                    compression=None,
                ) as connection:
                    await self._listen(connection)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self.codes.append(code)
                if code >= FOR_GOOD:
                    return
            except (OSError, TimeoutError, InvalidHandshake, EOFError):
                pass
            finally:
                self.online = False
            await asyncio.sleep(random.uniform(0, self.come_back_seconds))

    async def told(self, type_: str) -> Any:
        """Wait until the last event heard is of `type_`. Returns its data."""
        await eventually(lambda: self.events and self.events[-1]["type"] == type_, what=f"told of {type_}")
        return self.events[-1]["data"]

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event."""
        self.heard_at.append(time.time())
        self.last = int(event["sequence"])
        self.heard.append(self.last)
        self.events.append(event)

    async def read_log(self, head: int) -> None:
        """Called when there is too much to be replayed. This plugin reads nothing, and goes on with live events."""

    async def _listen(self, connection: ClientConnection) -> None:
        first = {"type": "connect", "token": self.token, "stream": self.stream, "after": self.last}
        await connection.send(json.dumps(first))
        while True:
            frame = json.loads(await connection.recv())
            assert_told(frame)
            if frame["type"] == "connected":
                self.connected += 1
                self.not_recovered += not frame["recovered"]
                self.last = frame["sequence"] if self.last is None else self.last
                if not frame["recovered"]:
                    await self.read_log(frame["sequence"])
                self.online = True
            elif frame["type"] == "event":
                self.hear(frame["event"])


@asynccontextmanager
async def listening(*plugins: Plugin) -> AsyncIterator[None]:
    """All of `plugins` connected, and coming back by themselves, for as long as the block."""
    tasks = [asyncio.create_task(plugin.run()) for plugin in plugins]
    try:
        await eventually(
            lambda: all(plugin.online or task.done() for plugin, task in zip(plugins, tasks, strict=True)),
            4 * PATIENCE_SECONDS,
            "all plugins connected",
        )
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@asynccontextmanager
async def reading(
    ledger: Ledger, hubs: Sequence[HubProcess], per_second: float = 80, readers: int = 8
) -> AsyncIterator[list[Pixel]]:
    """Mail that is opened at this pace, on each of `hubs` in turn, for as long as the block.

    A hub that cannot be reached is passed over for the next, as a router does. The list has the pixels that were
    asked for and not answered, because the connection ended first.
    """
    ended, unanswered = asyncio.Event(), list[Pixel]()
    pause = readers / per_second

    async def read(number: int) -> None:
        for hub in itertools.islice(itertools.cycle(hubs), number, None):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
            except OSError:
                if ended.is_set():
                    return
                await asyncio.sleep(pause / 10)
                continue
            pixel: Pixel | None = None
            kept = True
            try:
                while kept and not reader.at_eof() and not ended.is_set():
                    pixel = ledger.pixel()
                    kept = await ledger.hit(pixel, reader, writer)
                    pixel = None
                    # How long a reader looks at one mail before the next.
                    await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
            except (OSError, asyncio.IncompleteReadError):
                if pixel is not None:
                    unanswered.append(pixel)
            finally:
                writer.transport.abort()
            if ended.is_set():
                return

    tasks = [asyncio.create_task(read(number)) for number in range(readers)]
    try:
        yield unanswered
    finally:
        ended.set()
        await asyncio.gather(*tasks)
