"""The ledger itself: it does not add up when it must not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from tests import ledger as ledger_module
from tests.factories import Store
from tests.hub_process import HubProcess
from tests.ledger import a_ledger


async def test_ledger_does_not_take_a_hit_that_is_never_answered_for_one_cut_off_by_a_kill(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "ROUTER_SECONDS", 0.05)
    ledger = await a_ledger(embedded, pixels=1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        hub = HubProcess(tmp_path, embedded.url, port=server.sockets[0].getsockname()[1])
        with pytest.raises(AssertionError, match="not answered within"):
            await ledger.ask(hub)


async def test_ledger_finds_a_hit_that_was_answered_and_not_recorded(embedded: Store) -> None:
    ledger = await a_ledger(embedded, pixels=2)
    await ledger.check(embedded.database)
    ledger.answered.add(ledger.pixel())
    with pytest.raises(AssertionError, match="1 of 1 answered hits were not recorded"):
        await ledger.check(embedded.database)
