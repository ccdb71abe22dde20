"""Commits: hits that were judged before their turn are committed as if they had been judged in their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from hub.batch import Batch
from hub.commits import Commits, Draft, Measures
from hub.live.notices import Notice
from hub.model import Event, Hit, Message
from hub.store.away import DatabaseAway
from hub.store.database import Database, Fetch
from tests.factories import BASE_URL, T0, Store, a_hit, audit, open_store
from tests.processes import PATIENCE_SECONDS, eventually

REPEAT_MS = 30_000


@pytest.fixture
async def message(store: Store) -> Message:
    return await store.message(await store.sender(), recipients=("a@example.com", "b@example.com"), shared=False)


def commits_of(store: Store) -> Commits:
    return Commits(store.database, store.bus, store.renderer, REPEAT_MS, store.clock, Measures())  # type: ignore[arg-type]


async def draft_of(commits: Commits, hits: Sequence[Hit], after: Draft | None = None) -> Draft:
    """A draft of these hits, judged by what is read now; `after` is committed between the reading and the judging."""
    draft = Draft(REPEAT_MS)
    known = await commits.read(hits)
    if after is not None:
        await commits.commit(after)
    draft.add(hits, known)
    if after is not None:
        draft.follow(after)
    return draft


async def opens_told(store: Store, message: Message) -> list[Event]:
    """The events of opens in the log of the message's owner."""
    log = await store.log(await store.user(message.user_id))
    return [event for event in log if event.open is not None]


async def test_hits_on_many_messages_just_sent_and_looked_at_are_read_for_in_three_statements(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each pixel would take longer than a commit may, on a server that is some milliseconds away."""
    user = await store.sender()
    messages = [await store.message(user) for _ in range(5)]
    async with store.database.write() as tx:
        for message in messages:
            await store.messages.add_viewing(tx, message.id, message.sent_at or 0)
    asked: list[str] = []
    fetch = store.database.fetch_reserved

    async def noted(sql: str, *args: Any) -> Any:
        asked.append(sql)
        return await fetch(sql, *args)

    monkeypatch.setattr(store.database, "fetch_reserved", noted)
    known = await commits_of(store).read([replace(a_hit(each, 1), at=each.sent_at or 0) for each in messages])
    assert known.early == {(each.id, 1): [] for each in messages}
    assert known.viewings == {each.id: [each.sent_at] for each in messages}
    assert len(asked) == 3


async def test_draft_is_committed_as_it_was_judged_with_one_statement(
    store: Store, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = commits_of(store)
    draft = await draft_of(commits, [a_hit(message, position) for position in (1, 2)])
    monkeypatch.setattr(Database, "write", None)
    monkeypatch.setattr(Database, "fetch", None)
    notices = await commits.commit(draft)
    monkeypatch.undo()
    assert [notice.sequence for notice in notices] == [2, 3]
    assert draft.sequences == {message.user_id: 3}
    assert [event.sequence for event in await opens_told(store, message)] == [2, 3]
    await audit(store.database)


async def test_draft_that_is_not_judged_is_committed_with_one_statement_on_sqlite(
    store: Store, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, draft, locked = commits_of(store), Draft(REPEAT_MS), 0
    draft.add([a_hit(message, position) for position in (1, 2)], None)
    record = Commits.record

    async def noted(*args: Any, **options: Any) -> list[Notice]:
        nonlocal locked
        locked += 1
        return await record(*args, **options)

    monkeypatch.setattr(Commits, "record", noted)
    notices = await commits.commit(draft)
    assert [notice.sequence for notice in notices] == [2, 3]
    assert locked == (0 if store.database.embedded else 1)
    await audit(store.database)


async def test_draft_judged_while_another_was_committed_goes_on_where_that_ended(
    store: Store, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, other = commits_of(store), await store.message(await store.user(message.user_id))
    stranger = await store.message(await store.sender())
    first = await draft_of(commits, [a_hit(message, at=T0 + n) for n in range(3)])
    second = await draft_of(commits, [a_hit(other), a_hit(stranger)], after=first)
    monkeypatch.setattr(Database, "write", None)
    await commits.commit(second)
    monkeypatch.undo()
    assert second.sequences == {message.user_id: 6, stranger.user_id: 2}
    await audit(store.database)


async def mute(store: Store, message: Message) -> None:
    await store.actions.change_message(message.user_id, message.id, {"muted": True}, BASE_URL)


async def mute_all(store: Store, message: Message) -> None:
    await store.actions.mute_all(message.user_id)


async def realtime_off(store: Store, message: Message) -> None:
    await store.actions.set_realtime(message.user_id, False)


async def not_sent(store: Store, message: Message) -> None:
    await store.actions.change_message(message.user_id, message.id, {"sent_at": None}, BASE_URL)


async def look(store: Store, message: Message) -> None:
    await store.actions.view(message.user_id, message.id)


async def hit_again(store: Store, message: Message) -> None:
    """Record a hit of the same reader, a moment earlier, through another process."""
    await commits_of(store).record([a_hit(message, at=T0 - 1, client="a client")])


@pytest.mark.parametrize(
    ("move", "withheld", "verdict", "repeat"),
    [
        (mute, "muted", "human", False),
        (mute_all, "muted", "human", False),
        (realtime_off, "realtime_off", "human", False),
        (not_sent, "not_counted", "self", False),
        (look, "not_counted", "self", False),
        (hit_again, "not_counted", "human", True),
    ],
)
@pytest.mark.parametrize("others", [0, 3])
async def test_change_between_judging_and_committing_is_heeded(
    store: Store,
    message: Message,
    others: int,
    move: Callable[[Store, Message], Awaitable[None]],
    withheld: str,
    verdict: str,
    repeat: bool,
) -> None:
    commits = commits_of(store)
    strangers = [await store.message(await store.sender()) for _ in range(others)]
    draft = await draft_of(commits, [a_hit(message, client="a client"), *map(a_hit, strangers)])
    await move(store, message)
    await commits.commit(draft)
    assert draft.sequences is None, "what was judged behind it has to be judged anew"
    last = (await opens_told(store, message))[-1]
    assert last.open is not None
    assert (last.withheld, last.open.verdict.verdict, last.open.repeat) == (withheld, verdict, repeat)
    assert [len(await opens_told(store, stranger)) for stranger in strangers] == [1] * others
    await audit(store.database)


async def test_draft_that_waits_for_its_users_row_heeds_what_changed_there_meanwhile(
    migrated_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.held.BUSY_SECONDS", PATIENCE_SECONDS)
    async with open_store(migrated_postgresql_url) as store:
        message, commits = await store.message(await store.sender()), commits_of(store)
        draft = await draft_of(commits, [a_hit(message)])
        other = await asyncpg.connect(migrated_postgresql_url)
        try:
            async with other.transaction():
                await other.execute("UPDATE users SET views = views + 1")
                committing = asyncio.create_task(commits.commit(draft))
                await eventually(lambda: other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            assert [notice.sequence for notice in await committing] == [2]
        finally:
            await other.close()
        assert draft.sequences is None, "it was judged anew"
        await audit(store.database)


async def test_users_row_is_locked_while_hits_are_judged_anew(
    migrated_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, tried = Commits._judged, 0

    async def watched(self: Commits, fetch: Fetch, hits: Sequence[Hit]) -> Batch:
        nonlocal tried
        tried += 1
        other = await asyncpg.connect(migrated_postgresql_url)
        try:
            with pytest.raises(asyncpg.LockNotAvailableError):
                await other.execute("SELECT 1 FROM users FOR UPDATE NOWAIT")
        finally:
            await other.close()
        return await judged(self, fetch, hits)

    async with open_store(migrated_postgresql_url) as store:
        message = await store.message(await store.sender())
        monkeypatch.setattr(Commits, "_judged", watched)
        await commits_of(store).record([a_hit(message)])
        assert tried == 1
        await audit(store.database)


async def test_burst_judged_before_its_commit_takes_back_what_was_told(store: Store) -> None:
    commits = commits_of(store)
    fresh = await store.message(await store.sender(), sent_at=T0)
    hits = [a_hit(fresh, at=T0 + n, client=f"client {n}") for n in range(3)]
    await commits.commit(await draft_of(commits, hits[:2]))
    await commits.commit(await draft_of(commits, hits[2:]))
    assert [event.type for event in await opens_told(store, fresh)] == ["open.recorded"] * 3 + ["open.reclassified"] * 2
    assert (await store.reload(fresh)).opens == 0
    again = [a_hit(fresh, at=T0 + 20_000, client=f"client {n}") for n in range(3)]
    await commits.commit(await draft_of(commits, again))
    assert (await store.reload(fresh)).opens == 3, "nobody was a person before, and so none is a repeat"
    await audit(store.database)


async def test_hits_on_messages_that_are_gone_are_no_failure(store: Store, message: Message) -> None:
    commits = commits_of(store)
    draft = await draft_of(commits, [a_hit(message)])
    async with store.database.write() as tx:
        await tx.fetch("DELETE FROM messages WHERE id = $1", message.id)
        await tx.fetch("UPDATE users SET sequence = sequence + 1 WHERE id = $1", message.user_id)
    assert await commits.commit(draft) == []
    gone = await draft_of(commits, [a_hit(message)])
    assert await commits.commit(gone) == []
    assert gone.sequences == {}


async def test_failure_of_a_draft_is_raised_when_it_is_committed(store: Store, message: Message) -> None:
    draft = Draft(REPEAT_MS)
    draft.add([a_hit(message)], DatabaseAway("it was told to be"))
    with pytest.raises(DatabaseAway, match="told to be"):
        await commits_of(store).commit(draft)
    assert await opens_told(store, message) == []


async def test_replay_leaves_out_what_is_recorded(store: Store, message: Message) -> None:
    commits = commits_of(store)
    hits = [a_hit(message, at=T0 + n) for n in range(3)]
    await commits.replay(hits[:2])
    notices, _ = await commits.replay(hits)
    assert [notice.sequence for notice in notices] == [4]
    await audit(store.database)


async def test_hit_that_is_in_a_replay_twice_counts_once(store: Store, message: Message) -> None:
    hit = a_hit(message)
    notices, _ = await commits_of(store).replay([hit, hit])
    assert [notice.sequence for notice in notices] == [2]
    [recorded] = await opens_told(store, message)
    assert recorded.type == "open.recorded"
    assert recorded.open is not None
    assert recorded.open.counted
    await audit(store.database)
