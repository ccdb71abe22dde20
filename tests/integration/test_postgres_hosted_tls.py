"""TLS as hosted servers have it: PostgreSQL with `sslmode=require`, Redis with a self-signed certificate.

The servers in the wheels are built without TLS, so a proxy speaks it for them, begun in each protocol's own way.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.api.auth import TOKEN_PREFIX, new_secret, secret_hash
from hub.store.away import DatabaseAway
from hub.store.database import Database
from tests.factories import T0, Store, open_store
from tests.ledger import SECRET, a_ledger
from tests.plugins import Plugin, listening, reading
from tests.processes import eventually
from tests.servers import HubProcess, Postgres, Valkey
from tests.toxic import TlsPostgres, ToxicProxy

CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
HITS = 20


@pytest.fixture(scope="module")
def certificate() -> ssl.SSLContext:
    """The TLS of a server whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
async def to_postgres(postgres: Postgres, certificate: ssl.SSLContext) -> AsyncIterator[TlsPostgres]:
    async with TlsPostgres("127.0.0.1", postgres.port, certificate) as proxy:
        yield proxy


@pytest.fixture
async def to_valkey(valkey: Valkey, certificate: ssl.SSLContext) -> AsyncIterator[ToxicProxy]:
    async with ToxicProxy("127.0.0.1", valkey.port, tls=certificate) as proxy:
        yield proxy


async def test_hub_has_everything_over_tls_also_after_the_links_were_cut(
    tmp_path: Path, postgres: Postgres, postgresql_template: str, to_postgres: TlsPostgres, to_valkey: ToxicProxy
) -> None:
    with postgres.database(postgresql_template) as name:
        url = f"postgres://postgres@127.0.0.1:{to_postgres.port}/{name}?sslmode=require"
        redis_url = f"rediss://127.0.0.1:{to_valkey.port}/0"
        environ = {"REDIS_URL": redis_url, "HUB_REDIS_INSECURE_TLS": "1", "HUB_SECRET_KEY": SECRET}
        hub = HubProcess(tmp_path, url, environ)
        migrated = await asyncio.to_thread(hub.command, "migrate")
        assert migrated.returncode == 0, migrated.stderr
        hub.launch()
        try:
            await eventually(lambda: asyncio.to_thread(hub.ready), what="the hub ready")
            async with open_store(postgres.url(name)) as store:
                await hear_and_check(hub, store, to_postgres, to_valkey)
        finally:
            hub.kill()
    assert to_postgres.encrypted > 1
    assert to_valkey.accepted > 1


async def hear_and_check(hub: HubProcess, store: Store, to_postgres: TlsPostgres, to_valkey: ToxicProxy) -> None:
    user, token = await store.sender(), new_secret(TOKEN_PREFIX)
    await store.credentials.add_token(user.id, "test", secret_hash(token), T0)
    ledger = await a_ledger(store, user, pixels=10_000)
    start = (await store.user(user.id)).sequence
    plugin = Plugin(token, [hub.ws_url], last=start, stream="history")
    async with listening(plugin):
        async with reading(ledger, [hub]):
            await eventually(lambda: len(plugin.heard) > HITS)
            to_postgres.reset()
            to_valkey.reset()
            await eventually(lambda: len(plugin.heard) > 3 * HITS)
        await eventually(lambda: asyncio.to_thread(hub.ready), what="the hub ready again")
        await eventually(lambda: not list(Path(hub.environ["HUB_SPOOL_DIR"]).glob("*.spool")))
        head = (await store.user(user.id)).sequence
        await eventually(lambda: plugin.last == head)
    assert plugin.heard == list(range(start + 1, head + 1))
    assert not ledger.uncertain
    await ledger.check(store.database)


@pytest.mark.parametrize(
    ("query", "let_in"),
    [
        ("sslmode=require", True),
        (f"sslmode=verify-ca&sslrootcert={CERTIFICATE}", True),
        ("sslmode=verify-full", False),
        ("sslmode=disable", False),
    ],
)
async def test_sslmode_is_obeyed_where_only_tls_is_taken(to_postgres: TlsPostgres, query: str, let_in: bool) -> None:
    database = Database(f"postgres://postgres@127.0.0.1:{to_postgres.port}/postgres?{query}")
    try:
        if let_in:
            await database.connect()
            assert await database.fetch("SELECT 1")
            assert to_postgres.encrypted > 0
        else:
            with pytest.raises(DatabaseAway):
                await database.connect()
    finally:
        await database.disconnect()
