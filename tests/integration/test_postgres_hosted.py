"""PostgreSQL as it is hosted: restarted, its sessions cut, its network bad; pixels are answered all the while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.duo import HARMS, Duo, mend, silent
from tests.ledger import ROUTER_SECONDS
from tests.plugins import Plugin, listening, reading
from tests.processes import eventually
from tests.servers import Postgres
from tests.toxic import ToxicProxy

HITS = 30
PROMPT_SECONDS = 6.0
"""The longest that an answer may take: a statement is given up after 10 s, but a hit goes to the spool after 0.6 s."""


@pytest.fixture
async def sockets(duo: Duo) -> AsyncIterator[list[Plugin]]:
    """A plugin on each hub, which hears every event; every hit has to be answered promptly, and recorded once."""
    start = await duo.head()
    plugins = [await duo.plugin(hub) for hub in duo.hubs]
    duo.ledger.slowest = 0
    async with listening(*plugins):
        yield plugins
        await duo.settled()
        assert await duo.all_heard(start, plugins) > HITS
    assert not duo.ledger.uncertain
    assert duo.ledger.slowest < PROMPT_SECONDS


@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
async def test_restart_costs_no_hit_and_no_event(
    duo: Duo, sockets: list[Plugin], postgres: Postgres, end: Callable[[Postgres], None]
) -> None:
    async with reading(duo.ledger, duo.hubs):
        await duo.more_hits()
        await asyncio.to_thread(end, postgres)
        try:
            await eventually(lambda: both_spool(duo), what="both say that hits go to the spool")
            await duo.more_hits()
            assert {path.parent for path in duo.spooled()} == {Path(hub.environ["HUB_SPOOL_DIR"]) for hub in duo.hubs}
        finally:
            # Not `start`, which would stop the readers here: how long they wait is measured.
            postgres.launch()
            await eventually(lambda: asyncio.to_thread(postgres.answers))
        await duo.ready()
        await duo.more_hits()
    assert [plugin.codes for plugin in sockets] == [[], []], "open sockets stay open"


async def both_spool(duo: Duo) -> bool:
    told = [await duo.checks(hub) for hub in duo.hubs]
    return all("spool" in checks["recorder"] and checks["bus"] == "ok" for checks in told)


@pytest.mark.usefixtures("sockets")
async def test_cut_sessions_cost_no_hit_and_no_event(duo: Duo, postgres: Postgres) -> None:
    async with reading(duo.ledger, duo.hubs):
        for _ in range(4):
            await duo.more_hits()
            # Until then the hubs may have no sessions to be cut, because the last ones were cut, too.
            await eventually(lambda: asyncio.to_thread(has_sessions, postgres, duo.database_name))
            await asyncio.to_thread(postgres.terminate_sessions, duo.database_name)
        await duo.more_hits()


def has_sessions(postgres: Postgres, database: str) -> bool:
    return int(postgres.run(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")) > 1


@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize("harm", HARMS)
async def test_bad_link_costs_no_hit_and_no_event(duo: Duo, harm: Callable[[ToxicProxy], Awaitable[None]]) -> None:
    async with reading(duo.ledger, duo.hubs):
        await duo.more_hits()
        await harm(duo.to_postgres)
        try:
            if harm is silent:
                await eventually(lambda: spools(duo), what="one says that hits go to the spool")
            await duo.more_hits()
            # Not at once: a session that was cut off inside a transaction keeps the sender's row locked for a moment.
            await eventually(lambda: records(duo), what="the other has no trouble")
        finally:
            mend(duo.to_postgres)
        await duo.ready()
        await duo.more_hits()


async def spools(duo: Duo) -> bool:
    return "spool" in (await duo.checks(duo.one))["recorder"]


async def records(duo: Duo) -> bool:
    return (await duo.checks(duo.two))["recorder"] == "ok"


@pytest.mark.usefixtures("sockets")
async def test_every_call_is_answered_before_the_router_gives_up(duo: Duo) -> None:
    """The database fell silent: connections are open, and nothing comes."""
    async with duo.api(duo.one) as api, reading(duo.ledger, duo.hubs):
        await duo.more_hits()
        duo.to_postgres.go_silent()
        began = time.monotonic()
        try:
            asked = [
                *(api.get("/me") for _ in range(20)),
                *(api.get("/messages?limit=1") for _ in range(10)),
                *(api.post("/messages/mute-all") for _ in range(10)),
            ]
            answers = await asyncio.gather(*asked)
            took = time.monotonic() - began
            health = await api.get(f"{duo.one.base_url}/healthz")
        finally:
            duo.to_postgres.speak()
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
        assert took < ROUTER_SECONDS - 5
        assert health.status_code == 200
