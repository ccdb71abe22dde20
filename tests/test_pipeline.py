"""The pipeline: however long its steps take, each hit is kept once, and the hits on a message in their order."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import ref

import pytest
from msgspec.structs import replace

from hub.batch import Known
from hub.commits import Draft
from hub.live.notices import Notice
from hub.model import Hit, Message, Settings, User, new_id
from hub.pipeline import BATCH, ENOUGH, Pipeline
from hub.store.away import DatabaseAway
from tests.factories import T0, a_hit
from tests.processes import PATIENCE_SECONDS, eventually
from tests.samples import a_message

USER = User("user", "sender@example.com", "A Sender", "user", Settings(), 10, 0)


def messages(number: int) -> list[Message]:
    return [a_message(id=new_id(), user_id=USER.id, sent_at=T0 - 3_600_000) for _ in range(number)]


@dataclass
class World:
    """What a pipeline reads from and keeps hits in. `sequence` is the last of the user's log."""

    about: Sequence[Message]
    ahead: bool = True
    seed: int = 0
    sequence: int = 10
    kept: list[Draft] = field(default_factory=list)
    told: int = 0
    answered: list[Hit] = field(default_factory=list)
    reads: list[list[Hit]] = field(default_factory=list)
    overlap: set[str] = field(default_factory=set)
    """The messages that were read for while a hit on them was kept."""
    keeping: Draft | None = None
    moved: bool = False
    keep_gate: asyncio.Event = field(default_factory=asyncio.Event)
    read_gate: asyncio.Event = field(default_factory=asyncio.Event)
    read_failure: Exception | None = None

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self.keep_gate.set()
        self.read_gate.set()
        self.pipeline = Pipeline(self.keep, self.tell, self.read if self.ahead else None, 30_000)

    async def read(self, hits: Sequence[Hit]) -> Known | None:
        if self.keeping is not None:
            self.overlap |= {hit.message_id for hit in hits} & {hit.message_id for hit in self.keeping.hits}
        self.reads.append(list(hits))
        known = Known({USER.id: replace(USER, sequence=self.sequence)}, {each.id: each for each in self.about})
        await self.read_gate.wait()
        await self.a_while()
        if self.read_failure is not None:
            raise self.read_failure
        return known

    async def keep(self, draft: Draft) -> Sequence[Notice]:
        assert self.keeping is None, "one is kept at a time"
        assert 0 < len(draft.hits) <= BATCH
        self.keeping = draft
        await self.keep_gate.wait()
        await self.a_while()
        if draft.batch is not None and draft.failure is None:
            assert [user.sequence for user in draft.batch.users.values()] == [self.sequence]
        self.sequence += len(draft.hits)
        if not (draft.batch is None or self.moved):
            draft.sequences = {USER.id: self.sequence}
        self.kept.append(draft)
        self.keeping = None
        return ()

    async def tell(self, _notices: Sequence[Notice]) -> None:
        self.told += 1

    async def a_while(self) -> None:
        for _ in range(self._dice.randrange(4)):
            await asyncio.sleep(0)

    def put(self, *hits: Hit) -> None:
        for hit in hits:
            self.pipeline.put(hit, lambda hit=hit: self.answer(hit))  # type: ignore[misc]

    def answer(self, hit: Hit) -> None:
        assert any(hit in draft.hits for draft in self.kept), "it is safe before it is answered"
        self.answered.append(hit)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.pipeline.run())
        yield
        self.pipeline.stop()
        await running
        await asyncio.sleep(0)
        assert self.told == len(self.kept)
        assert self.overlap == set()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ahead", [True, False])
async def test_every_hit_is_kept_and_answered_once_and_in_order_on_its_message(ahead: bool, seed: int) -> None:
    dice = random.Random(seed)
    world = World(messages(dice.choice((1, 5, 300))), ahead, seed)
    hits = [a_hit(dice.choice(world.about), at=T0 + n) for n in range(600)]
    async with world.running():
        for hit in hits:
            world.put(hit)
            world.moved = dice.random() < 0.2
            for _ in range(dice.choice((0, 0, 0, 0, 1, 9))):
                await asyncio.sleep(0)
    kept = [hit for draft in world.kept for hit in draft.hits]
    assert sorted(kept, key=lambda hit: hit.at) == hits
    assert sorted(world.answered, key=lambda hit: hit.at) == hits
    for message in world.about:
        times = [hit.at for hit in kept if hit.message_id == message.id]
        assert times == sorted(times)


async def test_next_hits_are_read_for_and_judged_while_others_are_kept() -> None:
    world = World(messages(100))
    hits = [a_hit(message) for message in world.about]
    async with world.running():
        world.keep_gate.clear()
        world.put(hits[0])
        await eventually(lambda: world.keeping)
        world.put(*hits[1:ENOUGH])
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(world.reads) == 1, "a few are not worth it"
        world.put(hits[ENOUGH])
        await eventually(lambda: len(world.reads) == 2)
        world.keep_gate.set()
        await eventually(lambda: len(world.kept) == 2)
    assert [len(draft.hits) for draft in world.kept] == [1, ENOUGH]
    assert world.kept[1].batch is not None
    assert world.kept[1].batch.size == ENOUGH


async def test_hits_that_came_during_a_read_are_read_for_when_it_ends() -> None:
    world = World(messages(ENOUGH + 1))
    first, *others = [a_hit(message) for message in world.about]
    async with world.running():
        world.keep_gate.clear()
        world.read_gate.clear()
        world.put(first)
        await eventually(lambda: world.reads)
        world.put(*others)
        world.read_gate.set()
        await eventually(lambda: len(world.reads) == 2)
        assert world.keeping is not None
        world.keep_gate.set()


async def test_draft_kept_during_a_read_is_followed_by_the_draft_of_that_read() -> None:
    world = World(messages(1 + 2 * ENOUGH))
    first, *others = [a_hit(message) for message in world.about]
    async with world.running():
        world.keep_gate.clear()
        world.put(first)
        await eventually(lambda: world.keeping)
        world.put(*others[:ENOUGH])
        await eventually(lambda: len(world.reads) == 2)
        world.read_gate.clear()
        world.put(*others[ENOUGH:])
        await eventually(lambda: len(world.reads) == 3)
        world.keep_gate.set()
        await eventually(lambda: len(world.kept) == 2)
        world.read_gate.set()
        await eventually(lambda: len(world.kept) == 3)
    assert all(draft.batch is not None for draft in world.kept)
    assert len(world.reads) == 3, "none is read for again"


async def test_hits_read_for_while_a_draft_was_judged_anew_are_read_for_again() -> None:
    world = World(messages(1 + ENOUGH), moved=True)
    first, *others = [a_hit(message) for message in world.about]
    async with world.running():
        world.keep_gate.clear()
        world.put(first)
        await eventually(lambda: world.keeping)
        world.read_gate.clear()
        world.put(*others)
        await eventually(lambda: len(world.reads) == 2)
        world.keep_gate.set()
        await eventually(lambda: world.told)
        world.read_gate.set()
        await eventually(lambda: len(world.kept) == 2)
    assert world.reads == [[first], others, others]
    assert world.kept[1].failure is None
    assert world.kept[1].batch is not None


async def test_hit_on_a_message_that_is_being_kept_waits_and_others_pass_it() -> None:
    world = World(messages(ENOUGH + 1))
    first, *others = [a_hit(message) for message in world.about]
    again = a_hit(world.about[0], at=T0 + 1)
    async with world.running():
        world.keep_gate.clear()
        world.put(first)
        await eventually(lambda: world.keeping)
        world.put(again, *others)
        await eventually(lambda: len(world.reads) == 2)
        world.keep_gate.set()
        await eventually(lambda: len(world.answered) == ENOUGH + 2)
    assert [draft.hits for draft in world.kept] == [[first], others, [again]]


async def test_hits_read_for_behind_a_draft_judged_anew_are_judged_when_they_are_kept() -> None:
    world = World(messages(100), moved=True)
    first, *others = [a_hit(message) for message in world.about]
    async with world.running():
        world.keep_gate.clear()
        world.put(first)
        await eventually(lambda: world.keeping)
        world.put(*others)
        await eventually(lambda: len(world.reads) == 2)
        world.keep_gate.set()
        await eventually(lambda: len(world.kept) == 2)
    assert [draft.batch is None for draft in world.kept] == [False, True]


async def test_reading_that_fails_is_the_failure_of_its_draft() -> None:
    world = World(messages(3), read_failure=DatabaseAway("it was told to be"))
    async with world.running():
        world.put(*(a_hit(message) for message in world.about))
        await eventually(lambda: world.kept)
    [draft] = world.kept
    assert draft.failure is world.read_failure
    assert len(draft.hits) == 3


@pytest.mark.parametrize("ahead", [True, False])
async def test_draft_that_is_kept_and_answered_is_forgotten(ahead: bool) -> None:
    world = World(messages(40), ahead)
    async with world.running():
        for message in world.about:
            world.put(a_hit(message))
            await eventually(lambda: world.answered)
            world.answered.clear()
        drafts = [ref(draft) for draft in world.kept]
        world.kept.clear()
        world.told = 0
        gc.collect()
        assert len(drafts) == 40
        assert sum(draft() is not None for draft in drafts) <= 3


async def test_stop_ends_the_pipeline_when_nothing_waits_any_more() -> None:
    world = World(messages(500))
    hits = [a_hit(message) for message in world.about]
    async with world.running():
        world.put(*hits)
    assert len(world.answered) == 500


async def test_hit_that_comes_after_the_stop_while_the_last_are_kept_does_not_hold_up_the_end() -> None:
    world = World(messages(2))
    first, late = (a_hit(message) for message in world.about)
    world.keep_gate.clear()
    running = asyncio.create_task(world.pipeline.run())
    world.put(first)
    await eventually(lambda: world.keeping)
    world.pipeline.stop()
    for _ in range(3):
        await asyncio.sleep(0)
    world.put(late)
    world.keep_gate.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running
    assert world.answered == [first, late]
