"""Redis, and the link to it, fail in several ways while mail is read: nothing is lost, doubled or held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from tests.duo import HARMS, Duo, mend, silent
from tests.ledger import ROUTER_SECONDS
from tests.plugins import Plugin, listening, reading
from tests.processes import eventually
from tests.servers import Valkey
from tests.toxic import ToxicProxy

HITS = 30
PROMPT_SECONDS = 6.0
"""The longest that an answer may take: a silent Redis is noticed only after 8 s, but no hit waits for Redis."""

Away: TypeAlias = Callable[[Valkey], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def stopped(valkey: Valkey) -> AsyncIterator[None]:
    await asyncio.to_thread(valkey.stop)
    try:
        yield
    finally:
        await back(valkey)


@asynccontextmanager
async def killed(valkey: Valkey) -> AsyncIterator[None]:
    await asyncio.to_thread(valkey.kill)
    try:
        yield
    finally:
        await back(valkey)


async def back(valkey: Valkey) -> None:
    """Start it again, and let the readers here go on meanwhile: how long they wait is measured."""
    valkey.launch()
    await eventually(lambda: asyncio.to_thread(valkey.answers))


@asynccontextmanager
async def frozen(valkey: Valkey) -> AsyncIterator[None]:
    valkey.freeze()
    try:
        yield
    finally:
        valkey.thaw()


@pytest.fixture
async def sockets(duo: Duo) -> AsyncIterator[list[Plugin]]:
    """Two plugins on each hub, whose sockets stay open all through the test, and hear every event."""
    start = await duo.head()
    plugins = [await duo.plugin(hub) for hub in (duo.one, duo.two) * 2]
    async with listening(*plugins):
        yield plugins
        await duo.ready()
        assert await duo.all_heard(start, plugins) > HITS
    await duo.settled()
    assert [plugin.codes for plugin in plugins] == [[]] * 4
    assert duo.ledger.slowest < PROMPT_SECONDS


async def says_so(duo: Duo, *hubs_away: bool) -> bool:
    """Whether `/readyz` says that the bus is away, and nothing else, on just those hubs whose flag is set."""
    told = [await duo.checks(hub) for hub in duo.hubs]
    all_else = all(checks["database"] == checks["recorder"] == "ok" for checks in told)
    return all_else and [checks["bus"] != "ok" for checks in told] == list(hubs_away)


@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize("away", [stopped, killed, frozen])
async def test_sockets_have_everything_when_redis_is_back(duo: Duo, valkey: Valkey, away: Away) -> None:
    async with reading(duo.ledger, duo.hubs):
        await duo.more_hits()
        async with away(valkey):
            await eventually(lambda: says_so(duo, True, True), what="both say that Redis is away")
            await duo.more_hits()
        await duo.ready()
        await duo.more_hits()


@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize("away", [killed, frozen])
async def test_sockets_have_everything_though_nothing_happens_after_redis_is_back(
    duo: Duo, valkey: Valkey, away: Away
) -> None:
    async with away(valkey), reading(duo.ledger, duo.hubs):
        await duo.more_hits()
        await eventually(lambda: says_so(duo, True, True), what="both say that Redis is away")
        await duo.more_hits()


@pytest.mark.usefixtures("sockets")
async def test_controls_hold_on_the_other_hub_though_redis_was_away_when_they_were_given(
    duo: Duo, valkey: Valkey
) -> None:
    """A mute is read from the database as a hit is recorded; a revoked token's sockets close when the link is back."""
    token, token_id = await duo.new_token()
    pops = await duo.plugin(duo.two, token=token, stream="notifications")
    async with listening(pops), duo.api(duo.one) as api:
        async with killed(valkey):
            await eventually(lambda: says_so(duo, True, True))
            await api.post("/messages/mute-all")
            for _ in range(HITS + 1):
                await duo.hit(duo.two)
            assert (await api.delete(f"/tokens/{token_id}")).status_code == 204
        await eventually(lambda: pops.codes == [4401])
        assert [event["type"] for event in pops.events] in (["messages.muted"], [])


@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize("harm", HARMS)
async def test_sockets_have_everything_over_a_bad_link_to_redis(
    duo: Duo, harm: Callable[[ToxicProxy], Awaitable[None]]
) -> None:
    """The link of one hub is bad; the other hub has no trouble at all."""
    async with reading(duo.ledger, duo.hubs):
        await duo.more_hits()
        await harm(duo.to_valkey)
        try:
            if harm is silent:
                await eventually(lambda: says_so(duo, True, False), what="one says that Redis is away")
            await duo.more_hits()
            assert (await duo.checks(duo.two))["bus"] == "ok"
        finally:
            mend(duo.to_valkey)
        await duo.ready()
        await duo.more_hits()


async def test_log_in_waits_for_no_redis_and_is_limited_without_it(duo: Duo, valkey: Valkey) -> None:
    stranger = await duo.store.sender()
    guess = {"email": stranger.email, "password": "a guess"}
    async with duo.api(duo.one) as api, frozen(valkey):
        async with asyncio.timeout(ROUTER_SECONDS):
            answers = await asyncio.gather(*(api.post("/session", json=guess) for _ in range(14)))
    statuses = [answer.status_code for answer in answers]
    assert 0 < statuses.count(401) <= 10
    assert set(statuses) == {401, 429}
    await duo.ready()
