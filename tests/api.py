"""A hub in the test's own event loop, on a real port, with senders, sockets and hits on real pixels.

Promise: requests and frames travel over real connections and through the protocols that the hub is served
with; only the process is the test's. Accounts and tokens are made by the hub's own code. Every answer and every
frame heard is checked against the hub's own documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.api.auth import TOKEN_PREFIX, new_secret, secret_hash
from hub.app import create_app
from hub.config import Config
from hub.model import Event, Settings, new_id, now
from hub.server import FRAME_BYTES
from hub.store.credentials import Credentials
from hub.store.database import Database
from hub.store.events import Events
from hub.store.users import Users
from hub.transport import HubHttp, HubState
from hub.transport_websocket import HubWebSocket
from tests.documents import assert_told, check_answer
from tests.hub_process import weak_hash
from tests.processes import PATIENCE_SECONDS
from tests.servers import Postgres, eventually

PASSWORD = "correct horse battery"
PASSWORD_HASH = weak_hash(PASSWORD)

LONG_AGO = "2024-05-01T12:00:00Z"
"""When the messages here were sent: so long ago that no hit falls into the delivery window."""
READER = "203.0.113.7"
MAIL_PROGRAM = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.10.1",
)
MACHINE = "curl/8.5.0"
COMMIT_SECONDS = 10.0
"""Long: on a busy machine a slow commit would send a hit to the spool, and its open would be counted only later."""
NEVER_SECONDS = 1000.0
"""Longer than any test: the look through all sockets and their logs would mend, half a minute later, what was not said
at once."""
JSON = {"content-type": "application/json"}


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, for the test's own loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = HubState()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Socket:
    """A WebSocket as a client sees it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **frame: Any) -> None:
        """Send a frame."""
        await self.connection.send(json.dumps(frame))

    async def hear(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(seconds):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
        assert_told(frame)
        return frame

    async def event(self, type_: str | None = None) -> dict[str, Any]:
        """The next frame, which has to be an event (of `type_`); heartbeats are passed over."""
        frame = await self.hear()
        while frame["type"] == "heartbeat":
            frame = await self.hear()
        assert frame["type"] == "event", frame
        event: dict[str, Any] = frame["event"]
        assert type_ in (None, event["type"]), event
        return event

    async def closed(self) -> int:
        """Wait until the server closes the socket, dropping the frames before that. Returns the close code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.connection.recv()
            await self.connection.wait_closed()
        assert self.connection.close_code is not None
        return self.connection.close_code


@dataclass
class Sender:
    """An account, with a client that shows its API token."""

    hub: Hub
    id: str
    email: str
    token: str
    token_id: str
    http: httpx.AsyncClient
    subjects: int = 0

    async def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET under `/api/v1`, which has to succeed."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None) -> Any:
        """The answer to a POST under `/api/v1`, which has to succeed; None if it is empty."""
        answer = await self.http.post(path, json=body) if body is not None else await self.http.post(path)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def patch(self, path: str, **body: Any) -> Any:
        """The answer to a PATCH under `/api/v1`, which has to succeed."""
        answer = await self.http.patch(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def register(self, *addresses: str, **fields: Any) -> dict[str, Any]:
        """Register a message, sent long ago unless `sent_at` says otherwise."""
        self.subjects += 1
        body = {
            "subject": f"Proposal {self.subjects}",
            "recipients": [{"address": address} for address in addresses or ("reader@example.com",)],
            "sent_at": LONG_AGO,
        }
        message: dict[str, Any] = await self.post("/messages", body | fields)
        return message

    async def hit(self, message: Mapping[str, Any], pixel: int = 0, **headers: str) -> None:
        """Ask for a pixel of a message as a new reader, whose open is counted unless `headers` say otherwise."""
        self.hub.readers += 1
        count = self.hub.readers
        address = f"198.51.{count // 250 % 250}.{count % 250 + 1}"
        fresh = {"user-agent": MAIL_PROGRAM[0], "x-forwarded-for": address} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        answer = await self.hub.http.get(message["pixels"][pixel]["url"], headers=fresh)
        assert answer.status_code == 200, answer.text

    async def head(self) -> int:
        """The last sequence of the sender's log."""
        sequence: int = (await self.get("/me"))["sequence"]
        return sequence

    @asynccontextmanager
    async def socket(self, **first: Any) -> AsyncIterator[tuple[Socket, dict[str, Any]]]:
        """A connected socket and the `connected` frame; `first` adds to the `connect` frame."""
        async with self.hub.socket() as socket:
            await socket.say(type="connect", token=self.token, **first)
            connected = await socket.hear()
            assert connected["type"] == "connected", connected
            yield socket, connected

    async def log_in(self, **headers: str) -> httpx.AsyncClient:
        """A browser's client that is logged in: it has the cookie, and sends our Origin."""
        client = self.hub.client(**headers)
        answer = await client.post("/session", json={"email": self.email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return client


@dataclass
class Hub:
    """A running hub. `http` is a client of its root without credentials."""

    app: Starlette
    server: Server
    config: Config
    port: int
    database: Database
    http: httpx.AsyncClient
    clients: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    readers: int = 0

    @property
    def origin(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address of its WebSocket."""
        return f"ws://127.0.0.1:{self.port}/api/v1/ws"

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A client of the API with these headers and a cookie jar of its own, closed with the hub."""
        # Loading the certificate authorities would take longer than most tests.
        client = httpx.AsyncClient(
            base_url=f"{self.origin}/api/v1",
            headers=headers,
            timeout=PATIENCE_SECONDS,
            verify=False,
            event_hooks={"response": [check_answer]},
        )
        self.clients.push_async_callback(client.aclose)
        return client

    async def add_sender(self, role: str = "user") -> Sender:
        """A new account with the password `PASSWORD` and one API token."""
        email = f"{new_id()}@example.com"
        user = await Users(self.database).add(email, "A Sender", role, PASSWORD_HASH, now())
        token = new_secret(TOKEN_PREFIX)
        row = await Credentials(self.database).add_token(user.id, "test", secret_hash(token), now())
        return Sender(self, user.id, email, token, row.id, self.client(authorization=f"Bearer {token}"))

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[Socket]:
        """A WebSocket that is open and has said nothing yet."""
        settings: dict[str, Any] = {
            "subprotocols": ["glimpse.v1"],
            "open_timeout": PATIENCE_SECONDS,
            "close_timeout": 2,
        } | options
        async with connect(self.ws_url, **settings) as connection:
            yield Socket(connection)

    async def fill_log(self, sender: Sender, count: int) -> None:
        """Append `count` small events to a sender's log without publishing them."""
        head = await sender.head()
        made = [
            Event(sender.id, head + number, "settings.updated", 1, settings=Settings())
            for number in range(1, count + 1)
        ]
        async with self.database.write() as tx:
            await tx.change(Events(self.database).added(made))
            await tx.fetch("UPDATE users SET sequence = $1 WHERE id = $2", head + count, sender.id)

    async def cut_log(self, sender: Sender, head: int) -> None:
        """Cut a sender's log back to `head`, as an older copy of the database would have it."""
        async with self.database.write() as tx:
            await tx.fetch("DELETE FROM events WHERE user_id = $1 AND sequence > $2", sender.id, head)
            await tx.fetch("UPDATE users SET sequence = $1 WHERE id = $2", head, sender.id)

    async def drain(self) -> None:
        """Close all sockets as the server does before it ends."""
        await self.app.state.drain(0)


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an error answer, which has to have this status and the contract's shape for errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert body["status"] == status
    assert all(isinstance(body[name], str) and body[name] for name in ("type", "title", "detail"))
    return body


@asynccontextmanager
async def running_hub(directory: Path, database_url: str, **settings: Any) -> AsyncIterator[Hub]:
    """A hub on a migrated database, for as long as the block; `settings` are of `Config`."""
    folders = {"data_dir": directory / "data", "spool_dir": directory / "spool"}
    patience = {"commit_seconds": COMMIT_SECONDS, "log_check_seconds": NEVER_SECONDS}
    config = Config(database_url=database_url, **{**patience, **folders, **settings})
    app = create_app(config)
    server = Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            http=HubHttp,
            ws=HubWebSocket,
            ws_max_size=FRAME_BYTES,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    )
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or serving.done(), what="the hub started")
    assert server.started, "the hub could not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    database = Database(database_url)
    await database.connect()
    try:
        hooks = {"response": [check_answer]}
        root = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=root, timeout=PATIENCE_SECONDS, verify=False, event_hooks=hooks) as http:
            hub = Hub(app, server, config, port, database, http)
            async with hub.clients:
                yield hub
    finally:
        await database.disconnect()
        await app.state.drain(0)
        server.should_exit = True
        await serving


@asynccontextmanager
async def plainly_served(hub: Hub) -> AsyncIterator[int]:
    """The port at which uvicorn's own protocols, without our extensions, also serve the hub's application."""
    server = Server(
        uvicorn.Config(
            hub.app,
            port=0,
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
    )
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or serving.done(), what="the plain server started")
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(scope="module")
def hub(sqlite_hub: Hub) -> Hub:
    """A hub that a module's tests share; each test makes senders of its own."""
    return sqlite_hub


@pytest.fixture(scope="module")
async def sqlite_hub(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[Hub]:
    """A hub that a module's tests share, on SQLite."""
    directory = tmp_path_factory.mktemp("hub")
    shutil.copy(sqlite_template, directory / "hub.db")
    async with running_hub(directory, f"sqlite:///{directory / 'hub.db'}") as hub:
        yield hub


@pytest.fixture(scope="module")
async def postgresql_hub(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, postgresql_template: str
) -> AsyncIterator[Hub]:
    """A hub that a module's tests share, on PostgreSQL."""
    with postgres.database(postgresql_template) as name:
        async with running_hub(tmp_path_factory.mktemp("hub"), postgres.url(name)) as hub:
            yield hub


@pytest.fixture
async def sender(hub: Hub) -> Sender:
    """A new account on the module's hub."""
    return await hub.add_sender()


@pytest.fixture
async def stranger(hub: Hub) -> Sender:
    """Another account on the module's hub."""
    return await hub.add_sender()
