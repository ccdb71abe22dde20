"""Two hubs on one PostgreSQL and one Valkey, one of them behind links that can be made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hub.api.auth import TOKEN_PREFIX, new_secret, secret_hash
from hub.model import User
from tests.factories import T0, Store, open_store
from tests.ledger import LEDGER_KEYS, SECRET, Ledger, Pixel, a_ledger, get
from tests.plugins import Plugin
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import HubProcess, Postgres, Valkey
from tests.toxic import ToxicProxy

PIXELS = 10_000


@dataclass
class Duo:
    """Hub `one` reaches its servers over `to_postgres` and `to_valkey`, hub `two` reaches them directly.

    There is one sender, `user`: `token` is their API token, and `ledger` has their messages.
    """

    store: Store
    one: HubProcess
    two: HubProcess
    to_postgres: ToxicProxy
    to_valkey: ToxicProxy
    ledger: Ledger
    user: User
    token: str

    @property
    def hubs(self) -> list[HubProcess]:
        """Both."""
        return [self.one, self.two]

    @property
    def database_name(self) -> str:
        """The name of the database on its server."""
        return self.store.url.rpartition("/")[2]

    async def head(self) -> int:
        """The last sequence of the sender's log."""
        return (await self.store.user(self.user.id)).sequence

    async def plugin(self, *hubs: HubProcess, **options: Any) -> Plugin:
        """A plugin of the sender's that listens at `hubs`, in turn, from now on."""
        wanted: dict[str, Any] = {"token": self.token, "last": await self.head()} | options
        return Plugin(urls=[hub.ws_url for hub in hubs], **wanted)

    async def new_token(self, user: User | None = None) -> tuple[str, str]:
        """Another API token of the sender's (or of `user`'s), and its id."""
        token = new_secret(TOKEN_PREFIX)
        row = await self.store.credentials.add_token((user or self.user).id, "test", secret_hash(token), T0)
        return token, row.id

    @asynccontextmanager
    async def api(self, hub: HubProcess, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client of a hub's REST API."""
        headers = {"authorization": f"Bearer {token or self.token}"}
        async with httpx.AsyncClient(
            base_url=f"{hub.base_url}/api/v1", headers=headers, timeout=PATIENCE_SECONDS, verify=False
        ) as client:
            yield client

    async def ready(self, *hubs: HubProcess, seconds: float = 2 * PATIENCE_SECONDS) -> None:
        """Wait until `hubs` (or both) say that they are ready."""
        for hub in hubs or self.hubs:
            await eventually(lambda hub=hub: asyncio.to_thread(hub.ready), seconds, "the hub ready")  # type: ignore[misc]

    async def checks(self, hub: HubProcess) -> dict[str, str]:
        """What `/readyz` says of each part."""
        async with httpx.AsyncClient(verify=False, timeout=PATIENCE_SECONDS) as client:
            checks: dict[str, str] = (await client.get(f"{hub.base_url}/readyz")).json()["checks"]
        return checks

    async def all_heard(self, start: int, plugins: Sequence[Plugin], seconds: float = 2 * PATIENCE_SECONDS) -> int:
        """Wait until each of `plugins` has heard the log from `start` to now; check that it did so once and in order.

        A plugin may have heard later events too. Returns how many events there are from `start` to now.
        """
        head = await self.head()
        await eventually(
            lambda: all((plugin.last or 0) >= head for plugin in plugins),
            seconds,
            f"all plugins at {head}",
        )
        for plugin in plugins:
            assert plugin.heard == list(range(start + 1, (plugin.last or 0) + 1))
            assert not plugin.not_recovered
        return head - start

    async def hit(self, hub: HubProcess, pixel: Pixel | None = None) -> None:
        """Ask `hub` for a pixel, by default for one that was never asked for."""
        pixel = pixel or self.ledger.pixel()
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        try:
            await get(reader, writer, f"/o/{LEDGER_KEYS.sign(*pixel)}.gif")
        finally:
            writer.transport.abort()
        self.ledger.answered[pixel] += 1

    async def more_hits(self, number: int = 30) -> None:
        """Wait until `number` more of the pixels that `tests.plugins.reading` asks for are answered."""
        goal = len(self.ledger.answered) + number
        await eventually(lambda: len(self.ledger.answered) >= goal, 2 * PATIENCE_SECONDS, "pixels are answered")

    async def settled(self) -> None:
        """Wait until both are ready and nothing waits in a spool; then compare all answers with the database."""
        await self.ready()
        await eventually(lambda: not self.spooled(), what="the spools are empty")
        await self.ledger.check(self.store.database)

    def spooled(self) -> list[Path]:
        """The segments in the spools of both."""
        return [path for hub in self.hubs for path in Path(hub.environ["HUB_SPOOL_DIR"]).glob("*.spool")]


async def slow(link: ToxicProxy) -> None:
    """Every chunk takes a while."""
    link.delay = 0.2


async def reset(link: ToxicProxy) -> None:
    """Every connection is reset, several times."""
    for _ in range(5):
        accepted = link.accepted
        link.reset()
        await eventually(lambda accepted=accepted: link.accepted > accepted)  # type: ignore[misc]


async def half_closed_to_hub(link: ToxicProxy) -> None:
    """To the hub, the server seems to have ended its side."""
    link.half_close("client")


async def half_closed_to_server(link: ToxicProxy) -> None:
    """To the server, the hub seems to have ended its side."""
    link.half_close("server")


async def silent(link: ToxicProxy) -> None:
    """Connections stay open, and nothing comes."""
    link.go_silent()


def mend(link: ToxicProxy) -> None:
    """End the delay or the silence that one of `HARMS` began."""
    link.delay = 0.0
    link.speak()


HARMS: tuple[Callable[[ToxicProxy], Awaitable[None]], ...] = (
    slow,
    reset,
    half_closed_to_hub,
    half_closed_to_server,
    silent,
)
"""Ways in which a link goes bad."""


@asynccontextmanager
async def a_duo(directory: Path, postgres: Postgres, template: str, valkey: Valkey) -> AsyncIterator[Duo]:
    """A duo on an empty Valkey and on a new database, a copy of `template`, for as long as the block."""
    valkey.command("FLUSHALL")
    async with AsyncExitStack() as stack:
        name = stack.enter_context(postgres.database(template))
        postgres.run(
            f"ALTER DATABASE {name} SET synchronous_commit = on"
        )  # What is committed outlives a killed server.
        to_postgres = await stack.enter_async_context(ToxicProxy("127.0.0.1", postgres.port))
        to_valkey = await stack.enter_async_context(ToxicProxy("127.0.0.1", valkey.port))
        links = [
            (f"postgres://postgres@127.0.0.1:{to_postgres.port}/{name}", f"redis://127.0.0.1:{to_valkey.port}/0"),
            (postgres.url(name), valkey.url),
        ]
        hubs = [
            HubProcess(directory, database, {"REDIS_URL": redis, "HUB_SECRET_KEY": SECRET}) for database, redis in links
        ]
        for hub in hubs:
            hub.launch()
            stack.callback(hub.kill)
        store = await stack.enter_async_context(open_store(postgres.url(name)))
        user = await store.sender()
        ledger = await a_ledger(store, user, pixels=PIXELS)
        [one, two] = hubs
        duo = Duo(store, one, two, to_postgres, to_valkey, ledger, user, "")
        duo.token, _ = await duo.new_token()
        await duo.ready()
        yield duo
