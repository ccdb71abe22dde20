"""Pages of the log: each is read once for all who need the same page, and shared with nobody who needs another."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hub.live.log_pages import LogPages
from hub.model import Event, Settings, User
from hub.store.away import DatabaseAway
from tests.processes import eventually

ME = "06d80000000000000000000004"
USER = User(ME, "sender@example.com", "A Sender", "user", Settings(), 12, 0)


@dataclass
class Log:
    """The store and the renderer. It answers when `answers` is set."""

    size: int = 10
    away: bool = False
    reads: list[tuple[str, int]] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    async def after(self, user_id: str, sequence: int, limit: int) -> list[Event]:
        self.reads.append((user_id, sequence))
        await self.answers.wait()
        if self.away:
            raise DatabaseAway("gone")
        return [Event(user_id, sequence + n, "open.recorded", 0, notified=True) for n in range(1, limit + 1)]

    def event(self, _event: Event, _settings: Settings, base_url: str | None) -> bytes:
        return (base_url or "").encode().ljust(self.size)


def pages_of(log: Log) -> LogPages:
    return LogPages(cast(Any, log), cast(Any, log))


async def test_page_is_read_once_for_all_at_the_same_place() -> None:
    log = Log()
    pages = pages_of(log)
    first, *others = await asyncio.gather(*(pages.after(USER, 2, "https://hub.example") for _ in range(5)))
    assert [notice.sequence for notice in first[:3]] == [3, 4, 5]
    assert all(other is first for other in others)
    assert await pages.after(USER, 2, "https://hub.example") is first
    assert log.reads == [(ME, 2)]


@pytest.mark.parametrize(
    ("user", "after", "base_url"),
    [
        (replace(USER, id="06d80000000000000000000005"), 2, "https://hub.example"),
        (replace(USER, sequence=13), 2, "https://hub.example"),
        (replace(USER, settings=Settings(realtime_notifications=False)), 2, "https://hub.example"),
        (USER, 3, "https://hub.example"),
        (USER, 2, "https://other.example"),
        (USER, 2, None),
    ],
    ids=["user", "moved", "settings", "place", "address", "no-address"],
)
async def test_page_is_read_anew_where_it_would_be_another(user: User, after: int, base_url: str | None) -> None:
    log = Log()
    pages = pages_of(log)
    await pages.after(USER, 2, "https://hub.example")
    notices = await pages.after(user, after, base_url)
    assert log.reads == [(ME, 2), (user.id, after)]
    assert (notices[0].user_id, notices[0].sequence) == (user.id, after + 1)
    assert notices[0].event.decode().strip() == (base_url or "")


async def test_page_that_cannot_be_read_fails_for_all_and_is_read_for_the_next() -> None:
    log = Log(away=True)
    pages = pages_of(log)
    failed = await asyncio.gather(*(pages.after(USER, 2, None) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [DatabaseAway] * 3
    log.away = False
    assert len(await pages.after(USER, 2, None)) > 0
    assert len(log.reads) == 2


async def test_page_is_read_for_the_others_when_the_first_leaves() -> None:
    log = Log()
    log.answers.clear()
    pages = pages_of(log)
    first, second = (asyncio.create_task(pages.after(USER, 2, None)) for _ in range(2))
    await eventually(lambda: len(log.reads) == 1)
    first.cancel()
    await asyncio.wait([first])
    log.answers.set()
    assert len(await second) > 0
    assert first.cancelled()
    assert len(log.reads) == 1


async def test_failure_that_nobody_waits_for_any_more_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(away=True)
    log.answers.clear()
    pages = pages_of(log)
    only = asyncio.create_task(pages.after(USER, 2, None))
    await eventually(lambda: len(log.reads) == 1)
    only.cancel()
    await asyncio.wait([only])
    log.answers.set()
    log.away = False
    assert len(await pages.after(USER, 2, None)) > 0
    assert caplog.records == []


async def test_page_whose_reading_is_cancelled_is_read_for_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """The end of the event loop cancels every task."""
    log, before = Log(), asyncio.all_tasks()
    log.answers.clear()
    pages = pages_of(log)
    only = asyncio.create_task(pages.after(USER, 2, None))
    await eventually(lambda: len(log.reads) == 1)
    for each in asyncio.all_tasks() - before - {only}:
        each.cancel()
    await asyncio.wait([only])
    log.answers.set()
    assert len(await pages.after(USER, 2, None)) > 0
    assert only.cancelled()
    assert caplog.records == []


async def test_page_is_kept_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.log_pages.SHARED_SECONDS", 0.01)
    log = Log()
    pages = pages_of(log)
    await pages.after(USER, 2, None)
    assert pages.kept_bytes > 0
    await eventually(lambda: pages.kept_bytes == 0, what="the page is forgotten")
    await pages.after(USER, 2, None)
    assert len(log.reads) == 2


async def test_pages_kept_are_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(size=1000)
    pages = pages_of(log)
    await pages.after(USER, 0, None)
    monkeypatch.setattr("hub.live.log_pages.SHARED_BYTES", 3 * pages.kept_bytes)
    for after in (1, 2, 3, 4):
        await pages.after(USER, after, None)
    assert pages.kept_bytes == 3 * 2 * 50 * 1000
    log.reads.clear()
    for after in (4, 3, 2, 1, 0):
        await pages.after(USER, after, None)
    assert [after for _, after in log.reads] == [1, 0]
    log.size = 10_000
    assert len(await pages.after(USER, 9, None)) == 50
    assert pages.kept_bytes == 0


async def test_page_dropped_to_make_room_takes_no_memory_until_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.live.log_pages.SHARED_BYTES", 0)
    log, readings = Log(), weakref.WeakSet[asyncio.Task[Any]]()
    read = log.after

    async def noted(user_id: str, sequence: int, limit: int) -> list[Event]:
        task = asyncio.current_task()
        assert task is not None
        readings.add(task)
        return await read(user_id, sequence, limit)

    monkeypatch.setattr(log, "after", noted)
    pages = pages_of(log)
    for after in range(5):
        await pages.after(USER, after, None)
    await asyncio.sleep(0)
    gc.collect()
    assert len(log.reads) == 5
    assert list(readings) == []


async def test_page_that_is_being_read_is_not_dropped_to_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.log_pages.SHARED_BYTES", 0)
    log = Log()
    pages, slow = pages_of(log), log.answers
    slow.clear()
    first = asyncio.create_task(pages.after(USER, 0, None))
    await eventually(lambda: len(log.reads) == 1)
    log.answers = asyncio.Event()
    log.answers.set()
    assert len(await pages.after(USER, 1, None)) == 50
    assert pages.kept_bytes == 0
    slow.set()
    assert len(await first) == 50
    assert pages.kept_bytes == 0


async def test_page_dropped_to_make_room_is_not_dropped_again_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hub.live.log_pages.SHARED_BYTES", 0)
    monkeypatch.setattr("hub.live.log_pages.SHARED_SECONDS", 0)
    pages = pages_of(Log())
    await pages.after(USER, 2, None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert pages.kept_bytes == 0
    assert caplog.records == []


async def test_page_that_failed_just_now_makes_no_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.log_pages.SHARED_BYTES", 0)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    log, fails, answers = Log(), asyncio.Event(), asyncio.Event()
    pages = pages_of(log)

    async def fail(user_id: str, sequence: int, _limit: int) -> list[Event]:
        log.reads.append((user_id, sequence))
        await fails.wait()
        raise DatabaseAway("gone")

    with monkeypatch.context() as failing:
        failing.setattr(log, "after", fail)
        first = asyncio.create_task(pages.after(USER, 0, None))
        await eventually(lambda: len(log.reads) == 1)
    log.answers = answers
    second = asyncio.create_task(pages.after(USER, 1, None))
    await eventually(lambda: len(log.reads) == 2)
    # In one turn of the loop: the second page is there, and the first has failed when room is made.
    answers.set()
    fails.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(outcomes[0], DatabaseAway)
    assert len(cast(Any, outcomes[1])) == 50
    assert pages.kept_bytes == 0
    assert complaints == []
