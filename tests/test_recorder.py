"""The recorder while all is well: a hit is committed when it is answered, with everything that follows from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec.structs import replace

from hub.live.notices import Item
from hub.model import DAY_MS, Message
from hub.spool import Spool
from hub.store.urls import sqlite_path
from tests.absence import times
from tests.factories import (
    T0,
    Store,
    a_hit,
    a_recorder,
    a_visit,
    audit,
    make_recorder,
    together,
)
from tests.processes import eventually
from tests.servers import Postgres

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


async def test_hit_is_committed_when_record_returns(store: Store, message: Message, spool_dir: Path) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        await recorder.record(a_visit(message))
        assert await times(store) == [T0]
        assert recorder.trouble is None
        assert recorder.spool_depth == 0
    await audit(store.database)


def count_opens(store: Store, request: pytest.FixtureRequest) -> int:
    """How many opens another connection sees, asked without a turn of the event loop."""
    if store.database.embedded:
        with closing(sqlite3.connect(sqlite_path(store.url))) as other:
            return int(other.execute("SELECT count(*) FROM opens").fetchone()[0])
    postgres: Postgres = request.getfixturevalue("postgres")
    return int(postgres.run("SELECT count(*) FROM opens", urlsplit(store.url).path[1:]))


async def test_events_are_published_after_the_commit_and_once(
    store: Store, message: Message, spool_dir: Path, request: pytest.FixtureRequest
) -> None:
    seen: list[int] = []

    def look(_: Sequence[Item]) -> None:
        seen.append(count_opens(store, request))

    async with a_recorder(store, spool_dir) as recorder:
        store.bus.items.clear()
        store.bus.on_publish = look
        await recorder.record(a_visit(message))
        await recorder.record(a_visit(message, at=T0 + 1))
        await eventually(lambda: len(store.bus.notices) == 2)
    assert seen == [1, 2]
    logged = [
        store.renderer.event(event, (await store.user(message.user_id)).settings)
        for event in await store.events.after(message.user_id, 1, 10)
    ]
    live = [msgspec.json.decode(notice.event) for notice in store.bus.notices]
    assert [event["sequence"] for event in live] == ["2", "3"]
    assert live[1] == msgspec.json.decode(logged[1])


async def test_hits_that_wait_together_are_one_transaction(store: Store, message: Message, spool_dir: Path) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        batches: list[int] = []
        recorder._commits._measures.committed = lambda hits, _seconds: batches.append(hits)
        await together(*(recorder.record(a_visit(message, at=T0 + n)) for n in range(300)))
    assert sum(batches) == 300
    assert len(batches) < 10
    assert await times(store) == [T0 + n for n in range(300)]
    await audit(store.database)


async def test_hit_on_a_message_that_is_gone_is_answered(
    store: Store, message: Message, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        gone = replace(message, id=a_hit(message).id)
        await together(recorder.record(a_visit(gone)), recorder.record(a_visit(message)))
        assert not recorder.spooling
    assert await times(store) == [T0]
    assert "1 hits are on messages that are gone" in caplog.text


async def test_repeat_is_seen_in_another_batch_by_client_and_not_by_network_address(
    store: Store, message: Message, spool_dir: Path
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        for address, at in (("198.18.1.1", 0), ("198.18.1.1", 29_000), ("198.18.1.2", 29_000), ("198.18.1.1", 60_000)):
            await recorder.record(a_visit(message, address=address, at=T0 + at))
    rows = await store.database.fetch("SELECT repeat FROM opens ORDER BY id")
    assert [bool(row["repeat"]) for row in rows] == [False, True, False, False]
    await audit(store.database)


async def test_client_hash_changes_at_midnight_and_is_bridged_near_it(store: Store, spool_dir: Path) -> None:
    recorder = make_recorder(store, Spool(spool_dir))
    midnight = T0 // DAY_MS * DAY_MS
    message = await store.message(await store.sender())

    def clients(at: int) -> tuple[str, ...]:
        return recorder.hit(a_visit(message, address="198.18.1.1", at=midnight + at)).clients

    [noon] = clients(DAY_MS // 2)
    [noon_before] = clients(-DAY_MS // 2)
    assert noon != noon_before
    assert clients(0) == clients(44_999) == (noon, noon_before)
    assert clients(45_000) == (noon,)
    assert clients(-45_001) == (noon_before,)
    assert clients(-45_000) == clients(-1) == (noon_before, noon)


@pytest.mark.parametrize("moments", [(-1000, 1000), (1000, -1000)])
async def test_repeat_across_midnight_is_seen_in_whatever_order(
    store: Store, message: Message, spool_dir: Path, moments: tuple[int, int]
) -> None:
    midnight = store.clock.at = T0 // DAY_MS * DAY_MS + DAY_MS
    async with a_recorder(store, spool_dir) as recorder:
        for at in moments:
            await recorder.record(a_visit(message, address="198.18.1.1", at=midnight + at))
    rows = await store.database.fetch("SELECT repeat FROM opens ORDER BY id")
    assert [bool(row["repeat"]) for row in rows] == [False, True]


async def test_burst_across_midnight_is_of_different_clients_though_no_repeats_are_looked_for(
    store: Store, spool_dir: Path
) -> None:
    midnight = store.clock.at = T0 // DAY_MS * DAY_MS + DAY_MS
    fresh = await store.message(await store.sender(), sent_at=midnight - 3000)
    async with a_recorder(store, spool_dir, repeat_seconds=0) as recorder:
        for address, at in (("198.18.1.1", -2000), ("198.18.1.2", -1000), ("198.18.1.1", 6000)):
            await recorder.record(a_visit(fresh, address=address, at=midnight + at))
    assert (await store.reload(fresh)).opens == 3


async def test_reader_who_was_one_of_a_burst_across_midnight_repeats_nobody(store: Store, spool_dir: Path) -> None:
    midnight = store.clock.at = T0 // DAY_MS * DAY_MS + DAY_MS
    fresh = await store.message(await store.sender(), sent_at=midnight - 5000)
    hits = (("198.18.1.1", -1000), ("198.18.1.1", 1000), ("198.18.1.2", 2000), ("198.18.1.3", 3000))
    async with a_recorder(store, spool_dir) as recorder:
        for address, at in (*hits, ("198.18.1.1", 20_000)):
            await recorder.record(a_visit(fresh, address=address, at=midnight + at))
    assert [open_.verdict.verdict for open_ in await store.history(fresh)] == ["scanner"] * 4 + ["human"]
    assert (await store.reload(fresh)).opens == 1
    await audit(store.database)


async def test_repeat_of_a_reader_on_both_sides_of_midnight_is_seen(store: Store, spool_dir: Path) -> None:
    """In the delivery window the reader keeps the hash of the day before; later hits have the hash of the new day."""
    midnight = T0 // DAY_MS * DAY_MS + DAY_MS
    fresh = await store.message(await store.sender(), sent_at=midnight - 5000)
    async with a_recorder(store, spool_dir) as recorder:
        for at in (-2000, 9000, 38_000, 67_000):
            store.clock.at = midnight + at
            await recorder.record(a_visit(fresh, address="198.18.1.1", at=store.clock.at))
    assert [open_.repeat for open_ in await store.history(fresh)] == [False, True, True, True]


@pytest.mark.parametrize("shared", [False, True])
async def test_reader_behind_a_providers_proxy_is_known_again_at_another_of_its_addresses(
    store: Store, spool_dir: Path, shared: bool
) -> None:
    """But where a pixel is shared, two readers may be behind the same provider."""
    proxy = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
    message = await store.message(
        await store.sender(), recipients=("a@example.com", "b@example.com"), shared=shared, sent_at=T0 - DAY_MS
    )
    async with a_recorder(store, spool_dir) as recorder:
        for second, last in enumerate((84, 86)):
            visit = a_visit(message, 0 if shared else 1, address=f"66.249.93.{last}", at=T0 + second * 1000)
            await recorder.record(replace(visit, user_agent=proxy))
    assert (await store.reload(message)).opens == (2 if shared else 1)


async def test_reader_from_before_the_clock_was_set_back_is_counted_once_more(
    store: Store, message: Message, spool_dir: Path
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        await recorder.record(a_visit(message, address="198.18.1.1"))
        store.clock.forward(-3_600_000)
        for second in range(3):
            await recorder.record(a_visit(message, address="198.18.1.1", at=store.clock.at + second * 1000))
    rows = await store.database.fetch("SELECT repeat FROM opens ORDER BY id")
    assert [bool(row["repeat"]) for row in rows] == [False, False, True, True]
    await audit(store.database)


async def test_device_of_a_scanner_in_disguise_is_not_recorded(store: Store, spool_dir: Path) -> None:
    message = await store.message(await store.sender(), sent_at=T0)
    async with a_recorder(store, spool_dir) as recorder:
        for after in (1_000, 3_600_000):
            await recorder.record(a_visit(message, at=T0 + after, address="66.249.84.33", user_agent=CHROME))
    log = await store.log(await store.user(message.user_id))
    opens = [event.open for event in log if event.open]
    assert [(open_.verdict.verdict, open_.device.client) for open_ in opens] == [("scanner", None), ("human", "Chrome")]


async def test_burst_over_many_batches_takes_back_what_was_told_on_each_message(store: Store, spool_dir: Path) -> None:
    user, other = await store.sender(), await store.sender()
    fresh = [await store.message(owner, sent_at=T0) for owner in (user, user, other)]
    async with a_recorder(store, spool_dir) as recorder:
        for n in range(2):
            await together(*(recorder.record(a_visit(each, at=T0 + n)) for each in fresh))
        assert [(await store.reload(each)).opens for each in fresh] == [2, 2, 2]
        await together(*(recorder.record(a_visit(each, at=T0 + 5)) for each in fresh))
    for each in fresh:
        now = await store.reload(each)
        assert (now.opens, now.hits, now.first_opened_at) == (0, 3, None)
        assert [recipient.opens for recipient in now.recipients] == [0]
        log = await store.log(await store.user(each.user_id))
        back = [
            event
            for event in log
            if event.type == "open.reclassified" and event.message and event.message.id == each.id
        ]
        assert [(event.was, event.notified) for event in back] == [("human", True)] * 2
    await audit(store.database)
