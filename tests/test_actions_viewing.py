"""The actions that correct the past: a sender views a message of theirs, or a message was sent later than was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest
from msgspec.structs import replace

from hub.model import Message, User, new_id
from hub.spool import Spool
from hub.store.away import DatabaseAway
from hub.store.database import Held
from hub.store.opens import MOST_AT_ONCE
from hub.store.users import Users
from hub.tracking.rules import VIEWING_MS
from tests.factories import (
    BASE_URL,
    CRAWLER,
    T0,
    Store,
    a_hit,
    a_recorder,
    a_visit,
    audit,
    make_recorder,
    seeded,
    together,
)


@pytest.mark.parametrize(
    ("before", "own"),
    [
        *((0, True), (1, True), (VIEWING_MS, True), (VIEWING_MS + 1, False), (60_000, False)),
        # Later than the viewing: by another process's clock, or recorded while the viewing waited for its turn.
        *((-5, True), (-VIEWING_MS, True), (-VIEWING_MS - 1, False)),
    ],
)
async def test_viewing_takes_back_hits_up_to_ten_seconds_before(
    store: Store, message: Message, tmp_path: Path, before: int, own: bool
) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message, at=T0 - before))
        store.bus.items.clear()
        await store.actions.view(message.user_id, message.id)
    [open_] = await store.history(message)
    reloaded = await store.reload(message)
    log = await store.log(await store.user(message.user_id), after=2)
    if own:
        assert (open_.verdict.verdict, open_.verdict.reasons, open_.counted) == ("self", ("viewing",), False)
        assert (reloaded.opens, reloaded.hits, reloaded.first_opened_at) == (0, 1, None)
        assert reloaded.recipients[0].opens == 0
        assert [(event.type, event.was, event.notified, event.at) for event in log] == [
            ("open.reclassified", "human", True, T0)
        ]
        assert log[0].recipient == replace(reloaded.recipients[0], opens=None)
    else:
        assert (open_.verdict.verdict, reloaded.opens) == ("human", 1)
        assert log == []
    assert len(store.bus.notices) == len(log)
    await audit(store.database)


@pytest.mark.parametrize(("after", "verdict"), [(0, "self"), (VIEWING_MS, "self"), (VIEWING_MS + 1, "human")])
async def test_viewing_marks_hits_up_to_ten_seconds_after(
    store: Store, message: Message, tmp_path: Path, after: int, verdict: str
) -> None:
    await store.actions.view(message.user_id, message.id)
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message, at=T0 + after))
    assert [open_.verdict.verdict for open_ in await store.history(message)] == [verdict]
    await audit(store.database)


async def test_viewing_is_of_one_message_only(store: Store, message: Message, tmp_path: Path) -> None:
    other = await store.message(await store.user(message.user_id))
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(other))
        await store.actions.view(message.user_id, message.id)
        await recorder.record(a_visit(other, at=T0 + 60_000))
    assert [open_.verdict.verdict for open_ in await store.history(other)] == ["human"] * 2


async def test_viewing_takes_back_only_notifications_that_were_given(
    store: Store, message: Message, tmp_path: Path
) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message))
        await store.actions.change_message(message.user_id, message.id, {"muted": True}, BASE_URL)
        await recorder.record(a_visit(message))
        crawler = make_recorder(store, Spool(tmp_path / "other"))
        await crawler._commits.record([a_hit(message, evidence=CRAWLER)])
        await store.actions.view(message.user_id, message.id)
    log = await store.log(await store.user(message.user_id))
    back = [(event.was, event.notified) for event in log if event.type == "open.reclassified"]
    assert sorted(back) == [("bot", False), ("human", False), ("human", True)]
    await audit(store.database)


async def test_hit_after_a_viewing_is_no_repeat_of_the_senders_own(
    store: Store, message: Message, tmp_path: Path
) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message, address="198.18.1.1"))
        await store.actions.view(message.user_id, message.id)
        await recorder.record(a_visit(message, address="198.18.1.1", at=T0 + 15_000))
    assert [(open_.verdict.verdict, open_.counted) for open_ in await store.history(message)] == [
        ("self", False),
        ("human", True),
    ]


async def test_hit_after_a_viewing_still_repeats_its_clients_open_on_a_shared_pixel(
    store: Store, tmp_path: Path
) -> None:
    message = await store.message(await store.sender(), recipients=("a@example.com", "b@example.com"))
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message, 0, at=T0 - 11_000, address="198.18.1.1"))
        await recorder.record(a_visit(message, 0, at=T0 - 500, address="198.18.1.2"))
        await store.actions.view(message.user_id, message.id)
        await recorder.record(a_visit(message, 0, at=T0 + 11_000, address="198.18.1.1"))
    assert [open_.counted for open_ in await store.history(message)] == [True, False, False]
    await audit(store.database)


@pytest.mark.parametrize("position", [1, 2])
async def test_hit_after_a_viewing_still_repeats_an_open_that_stands(
    store: Store, tmp_path: Path, position: int
) -> None:
    """The open at position 1 came too early to be taken back, so the next hit of its reader repeats it."""
    message = await store.message(await store.sender(), recipients=("a@example.com", "b@example.com"), shared=False)
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message, 1, at=T0 - 11_000, address="198.18.1.1"))
        await recorder.record(a_visit(message, position, at=T0 - 500, address=f"198.18.1.{position}"))
        await store.actions.view(message.user_id, message.id)
        await recorder.record(a_visit(message, 1, at=T0 + 11_000, address="198.18.1.1"))
    opens = await store.history(message)
    assert [open_.verdict.verdict for open_ in opens] == ["human", "self", "human"]
    assert [open_.counted for open_ in opens] == [True, False, False]
    await audit(store.database)


async def test_hit_after_a_viewing_still_repeats_a_repeat_that_stands(
    store: Store, message: Message, tmp_path: Path
) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        for at in (-40_000, -15_000, -2_000):
            await recorder.record(a_visit(message, at=T0 + at, address="198.18.1.1"))
        await store.actions.view(message.user_id, message.id)
        await recorder.record(a_visit(message, at=T0 + 11_000, address="198.18.1.1"))
    opens = await store.history(message)
    assert [open_.verdict.verdict for open_ in opens] == ["human", "human", "self", "human"]
    assert [open_.counted for open_ in opens] == [True, False, False, False]


async def test_hit_after_a_viewing_is_no_repeat_of_another_clients_open(store: Store, tmp_path: Path) -> None:
    message = await store.message(await store.sender(), recipients=("a@example.com", "b@example.com"))
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message, 0, at=T0 - 12_000, address="198.18.1.2"))
        for at in (-8_000, -3_000):
            await recorder.record(a_visit(message, 0, at=T0 + at, address="198.18.1.1"))
        await store.actions.view(message.user_id, message.id)
        await recorder.record(a_visit(message, 0, at=T0 + 11_000, address="198.18.1.1"))
    assert [open_.counted for open_ in await store.history(message)] == [True, False, False, True]
    await audit(store.database)


async def test_later_sent_at_takes_back_the_opens_before_it(store: Store, message: Message, tmp_path: Path) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        for at in (5_000, 40_000):
            await recorder.record(a_visit(message, at=T0 + at))
        store.bus.items.clear()
        changed, _ = await store.actions.change_message(message.user_id, message.id, {"sent_at": T0 + 30_000}, BASE_URL)
    assert [(open_.verdict.verdict, open_.verdict.reasons) for open_ in await store.history(message)] == [
        ("self", ("before_sent",)),
        ("human", ("mail_program",)),
    ]
    assert (changed.opens, changed.first_opened_at) == (1, T0 + 40_000)
    log = await store.log(await store.user(message.user_id), after=3)
    assert [(event.type, event.was, event.notified) for event in log] == [
        ("message.updated", None, True),
        ("open.reclassified", "human", True),
    ]
    assert [notice.sequence for notice in store.bus.notices] == [4, 5]
    await audit(store.database)


async def many_opens(store: Store, message: Message, spool_dir: Path) -> None:
    """Record hits of people, then repeats of one of them, then machines: of each more than are corrected at once."""
    people = [a_hit(message, at=T0 + n) for n in range(MOST_AT_ONCE + 1)]
    repeats = [replace(people[-1], id=new_id(), at=T0 + 2000 + n) for n in range(MOST_AT_ONCE + 1)]
    machines = [a_hit(message, at=T0 + 4000 + n, evidence=CRAWLER) for n in range(MOST_AT_ONCE + 1)]
    await make_recorder(store, Spool(spool_dir))._commits.record([*people, *repeats, *machines])
    store.bus.items.clear()


async def test_later_sent_at_takes_back_many_opens_a_thousand_at_once(
    store: Store, message: Message, tmp_path: Path
) -> None:
    await many_opens(store, message, tmp_path)
    head = (await store.user(message.user_id)).sequence
    told: list[int] = []
    store.bus.on_publish = lambda items: told.append(len(items))
    changed, _ = await store.actions.change_message(message.user_id, message.id, {"sent_at": T0 + 10_000}, BASE_URL)
    assert told == [1 + MOST_AT_ONCE, MOST_AT_ONCE, 2]
    assert [notice.sequence for notice in store.bus.notices] == list(range(head + 1, head + 1 + sum(told)))
    assert (changed.opens, changed.first_opened_at) == (0, None)
    assert changed == await store.reload(message)
    rows = await store.database.fetch("SELECT verdict, count(*) AS number FROM opens GROUP BY verdict")
    assert {row["verdict"]: row["number"] for row in rows} == {"self": 2 * MOST_AT_ONCE + 2, "bot": MOST_AT_ONCE + 1}
    await audit(store.database)


async def test_later_sent_at_that_was_cut_off_is_completed_when_it_is_set_again(
    store: Store, message: Message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many_opens(store, message, tmp_path)
    later = {"sent_at": T0 + 10_000}

    @asynccontextmanager
    async def write_once(self: Users, user_id: str) -> AsyncIterator[tuple[Held, User]]:
        cut.setattr(Users, "write", Mock(side_effect=DatabaseAway("it was told to be")))
        async with write(self, user_id) as begun:
            yield begun

    write = Users.write
    with monkeypatch.context() as cut:
        cut.setattr(Users, "write", write_once)
        with pytest.raises(DatabaseAway, match="told to be"):
            await store.actions.change_message(message.user_id, message.id, later, BASE_URL)
    assert (await store.reload(message)).opens == 1
    await audit(store.database)
    changed, _ = await store.actions.change_message(message.user_id, message.id, later, BASE_URL)
    assert changed.opens == 0
    await audit(store.database)


async def test_later_sent_at_that_is_changed_meanwhile_takes_back_no_more(
    store: Store, message: Message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once another `sent_at` holds, the former one takes back no further opens."""

    begun: list[str] = []

    @asynccontextmanager
    async def not_sent(self: Users, user_id: str) -> AsyncIterator[tuple[Held, User]]:
        async with write(self, user_id) as (tx, user):
            if begun:
                await tx.fetch("UPDATE messages SET sent_at = NULL")
            begun.append(user_id)
            yield tx, user

    await many_opens(store, message, tmp_path)
    write = Users.write
    monkeypatch.setattr(Users, "write", not_sent)
    later = {"sent_at": T0 + 10_000}
    changed, _ = await store.actions.change_message(message.user_id, message.id, later, BASE_URL)
    assert (changed.sent_at, changed.opens) == (None, 1)
    await audit(store.database)


async def test_viewing_takes_back_many_opens_a_thousand_at_once(store: Store, message: Message, tmp_path: Path) -> None:
    await many_opens(store, message, tmp_path)
    head = (await store.user(message.user_id)).sequence
    told: list[int] = []
    store.bus.on_publish = lambda items: told.append(len(items))
    store.clock.forward(5000)
    await store.actions.view(message.user_id, message.id)
    assert told == [MOST_AT_ONCE, MOST_AT_ONCE, MOST_AT_ONCE, 3]
    assert [notice.sequence for notice in store.bus.notices] == list(range(head + 1, head + 1 + sum(told)))
    assert (await store.reload(message)).opens == 0
    rows = await store.database.fetch("SELECT verdict, count(*) AS number FROM opens GROUP BY verdict")
    assert {row["verdict"]: row["number"] for row in rows} == {"self": 3 * MOST_AT_ONCE + 3}
    await audit(store.database)


async def test_viewing_again_changes_nothing_more(store: Store, message: Message, tmp_path: Path) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message))
    for _ in range(3):
        await store.actions.view(message.user_id, message.id)
        store.clock.forward(1000)
    assert (await store.user(message.user_id)).sequence == 3
    await audit(store.database)


async def test_viewings_and_hits_at_once_leave_every_hit_the_senders_own(
    store: Store, message: Message, tmp_path: Path
) -> None:
    """Whichever comes first in the log, a hit this close to a viewing never stays a person's."""
    chance = seeded()

    async def hits() -> None:
        for _ in range(10):
            await asyncio.sleep(chance.random() / 100)
            await recorder.record(a_visit(message))

    async def views() -> None:
        for _ in range(5):
            await asyncio.sleep(chance.random() / 50)
            await store.actions.view(message.user_id, message.id)

    async with a_recorder(store, tmp_path) as recorder:
        await together(*(hits() for _ in range(4)), *(views() for _ in range(2)))
    assert {open_.verdict.verdict for open_ in await store.history(message)} == {"self"}
    assert (await store.reload(message)).opens == 0
    await audit(store.database)
