"""The database goes away under a running hub: its pixels answer, and every hit is recorded afterwards, once."""

from __future__ import annotations

import asyncio
import sqlite3
import urllib.request
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from hub.store.urls import sqlite_path
from hub.store.users import Users
from tests.factories import Store
from tests.hub_process import Start
from tests.ledger import SECRET, a_ledger, asking
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import HubProcess, Postgres

pytestmark = pytest.mark.alone

LOCKED_SECONDS = 5.0
PROMPT_SECONDS = 4.0
"""The longest that an answer may take: a hit goes to the spool after 0.6 s, and the machine may be busy."""


async def test_file_locked_by_another_program_costs_no_hit_and_no_long_wait(embedded: Store, start_hub: Start) -> None:
    ledger = await a_ledger(embedded, pixels=40000)
    hub = start_hub(embedded.url, HUB_SECRET_KEY=SECRET)
    async with asking(ledger, [hub], 8):
        await eventually(lambda: len(ledger.answered) > 100)
        with closing(sqlite3.connect(sqlite_path(embedded.url), isolation_level=None, timeout=0)) as other:
            await eventually(lambda: _locks(other))
            before = len(ledger.answered)
            # A fixed time, because that is what is tested: the lock is held for longer than a commit may wait.
            await asyncio.sleep(LOCKED_SECONDS)
            assert len(ledger.answered) > before + 8
            assert not await asyncio.to_thread(hub.ready)
            other.execute("ROLLBACK")
        await eventually(lambda: asyncio.to_thread(hub.ready))
    assert ledger.slowest < PROMPT_SECONDS
    assert not ledger.uncertain
    assert hub.terminate() == 0
    await ledger.check(embedded.database)


def serves(hub: HubProcess) -> bool:
    try:
        with urllib.request.urlopen(f"{hub.base_url}/healthz", timeout=PATIENCE_SECONDS):
            return True
    except OSError:
        return False


def _locks(other: sqlite3.Connection) -> bool:
    try:
        other.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


async def test_restarted_server_and_cut_sessions_cost_no_hit(
    remote: Store, postgres: Postgres, start_hub: Start
) -> None:
    ledger = await a_ledger(remote, pixels=40000)
    hub = start_hub(remote.url, HUB_SECRET_KEY=SECRET)
    async with asking(ledger, [hub], 8):
        for restart in (False, True, False):
            before = len(ledger.answered)
            await eventually(lambda before=before: len(ledger.answered) > before + 100)  # type: ignore[misc]
            if restart:
                await asyncio.to_thread(postgres.stop)
                before = len(ledger.answered)
                await eventually(lambda before=before: len(ledger.answered) > before + 20)  # type: ignore[misc]
                assert ledger.slowest < PROMPT_SECONDS
                # On this thread, with which the server ends. `launch` does not wait, so the clients here go on.
                postgres.launch()
                await eventually(lambda: asyncio.to_thread(postgres.answers))
            else:
                await asyncio.to_thread(postgres.terminate_sessions, urlsplit(remote.url).path[1:])
        await eventually(lambda: asyncio.to_thread(hub.ready))
    assert not ledger.uncertain
    assert hub.terminate() == 0
    await ledger.check(remote.database)


async def test_hub_that_starts_while_its_file_is_locked_answers_and_loses_no_hit(
    embedded: Store, start_hub: Start
) -> None:
    ledger = await a_ledger(embedded, pixels=40000)
    hub = start_hub(embedded.url, HUB_SECRET_KEY=SECRET)
    assert hub.terminate() == 0
    with closing(sqlite3.connect(sqlite_path(embedded.url), isolation_level=None, timeout=0)) as other:
        await eventually(lambda: _locks(other))
        hub.launch()
        await eventually(lambda: asyncio.to_thread(serves, hub), what="the hub serves")
        async with asking(ledger, [hub], 8):
            await eventually(lambda: len(ledger.answered) > 100)
            assert not await asyncio.to_thread(hub.ready)
            other.execute("ROLLBACK")
            await eventually(lambda: asyncio.to_thread(hub.ready))
    assert ledger.slowest < PROMPT_SECONDS
    assert hub.terminate() == 0
    await ledger.check(embedded.database)


async def test_hub_that_starts_while_its_server_is_down_answers_with_the_key_it_kept(
    remote: Store, postgres: Postgres, start_hub: Start
) -> None:
    await Users(remote.database).secret("pixel", SECRET)
    ledger = await a_ledger(remote, pixels=40000)
    hub = start_hub(remote.url)
    assert hub.terminate() == 0
    await asyncio.to_thread(postgres.stop)
    try:
        hub.launch()
        await eventually(lambda: asyncio.to_thread(serves, hub), what="the hub serves")
        async with asking(ledger, [hub], 8):
            await eventually(lambda: len(ledger.answered) > 100)
            assert not await asyncio.to_thread(hub.ready)
    finally:
        # On this thread, with which the server ends.
        postgres.start()
    await eventually(lambda: asyncio.to_thread(hub.ready))
    assert ledger.slowest < PROMPT_SECONDS
    assert not ledger.uncertain
    assert hub.terminate() == 0
    await ledger.check(remote.database)
