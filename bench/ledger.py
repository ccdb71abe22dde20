# ruff: noqa: T201 - a bench prints
"""The ledger, long: `python -m bench.ledger --kills 200 --database sqlite --seed 7`.

Hits are answered and events followed while the hub is killed (-9) again and again: in batches, while it spools,
while it replays, while it starts, in migrations, and at each named point of `tests.faulty`. Then every answered
hit must be there exactly once, every sequence be gapless, every client that resumed have each event exactly once, and
every counter equal a recount; otherwise the exit status is 1, and the files are kept. It is 1, too, if a long run
missed a scene or a point.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from hub.store.migrate import head
from tests.absence import Lock
from tests.factories import Store, open_store
from tests.faults import FaultyHub
from tests.faulty import COMMITTING, ONCE, REPLAYING, SPOOLING
from tests.follower import Follower, a_follower
from tests.ledger import CUT_OFF, SECRET, Ledger, a_ledger, asking
from tests.plugins import listening
from tests.processes import eventually
from tests.servers import Postgres

CHECK_EVERY = 25
START_SECONDS = 1.0
BETWEEN_SEGMENTS = 0.5
"""How often a replay is cut off once a segment is done, and not near its beginning."""
NTH = 12
MIGRATION = '''
"""A migration that goes through wrong states on its way."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"


def upgrade() -> None:
    op.create_table("mark_{revision}", sa.Column("id", sa.Text(), primary_key=True))
    op.execute("INSERT INTO mark_{revision} SELECT id FROM opens")
    op.execute("UPDATE messages SET hits = hits + 1000")
    op.execute("UPDATE users SET sequence = sequence + 1")
    op.execute("UPDATE users SET sequence = sequence - 1")
    op.execute("UPDATE messages SET hits = hits - 1000")
    op.drop_table("mark_{revision}")
'''
STATEMENTS = MIGRATION.count("op.")
LEAVING_A_SPOOL = "leaving hits in the spool"
RESUMED_OVER_REST = "missed so much that a follower resumed over REST"
LONG_RUN = 100
"""After this many kills everything has to have happened that the ledger is there to see through."""

T = TypeVar("T")


class Size(NamedTuple):
    """How much is asked for between two kills."""

    crowds: Sequence[tuple[int, int]]
    """How many connections ask for pixels, and the most hits that a scene then waits for. Only while more than
    `hub.pipeline.ENOUGH` ask at once does PostgreSQL's hub judge a batch while it keeps another."""
    pixels_a_kill: int
    long_away_seconds: float
    """How long one of the followers may stay away: in a long run, until it has missed more than is replayed."""


LONG = Size(((1, 50), (8, 300), (64, 3000)), pixels_a_kill=1500, long_away_seconds=20.0)
SHORT = Size(((1, 20), (8, 100), (64, 300)), pixels_a_kill=500, long_away_seconds=0.5)


@dataclass
class World:
    """The hub that is killed, what is asked of it and heard from it, and what became of both."""

    hub: FaultyHub
    store: Store
    ledger: Ledger
    followers: Sequence[Follower]
    away: Lock
    chance: random.Random
    migrations: Path
    size: Size
    revision: str = field(default_factory=head)
    connections: int = 0
    most_hits: int = 0
    most_cut_off: int = 0
    """How many hits all kills together can have cut off."""
    kills: Counter[str] = field(default_factory=Counter)
    """How often each scene was played, the hub died at each point, and it left hits in its spool as it was killed."""

    def __post_init__(self) -> None:
        self.scenes = rounds(SCENES, self.chance)
        self.points = rounds(POINTS, self.chance)

    async def play(self) -> None:
        """Play a scene while a few ask for pixels, or many."""
        scene = next(self.scenes)
        self.connections, self.most_hits = self.chance.choice(self.size.crowds)
        await self.ledger.send(self.store)
        async with asking(self.ledger, [self.hub], self.connections):
            await scene(self)
        self.kills[scene.__name__] += 1

    async def some_hits(self) -> None:
        """Wait until some more hits are answered."""
        goal = len(self.ledger.answered) + self.chance.randrange(1, self.most_hits)
        await eventually(lambda: len(self.ledger.answered) >= goal, 30, "hits are answered")

    async def moment(self, most: float = 0.02) -> None:
        """Wait a little while, so that the kill may come anywhere."""
        await asyncio.sleep(self.chance.random() * most)

    def kill(self) -> None:
        """Kill the hub, unless it was killed at a point, and count what it leaves and what it can have cut off.

        All that end it call this.
        """
        self.hub.kill()
        self.most_cut_off += CUT_OFF * self.connections
        self.kills[LEAVING_A_SPOOL] += bool(self.hub.segments())

    async def restart(self) -> None:
        """Kill the hub, and start it without faults."""
        self.kill()
        await self.start()

    async def start(self, **spec: object) -> None:
        """Start the hub, with `spec` for `tests.faulty`."""
        self.hub.clear()
        self.hub.be(migrations=str(self.migrations), **spec)
        await asyncio.to_thread(self.hub.start)

    def never(self) -> list[str]:
        """What should have happened at least once in a long run, and did not."""
        happened = self.kills + Counter({RESUMED_OVER_REST: sum(follower.not_recovered for follower in self.followers)})
        names = (*(scene.__name__ for scene in SCENES), *POINTS, LEAVING_A_SPOOL, RESUMED_OVER_REST)
        return [name.replace("_", " ") for name in dict.fromkeys(names) if not happened[name]]

    async def check(self) -> None:
        """Compare everything. Raises AssertionError."""
        await eventually(lambda: asyncio.to_thread(self.hub.ready), 60, "the hub is ready")
        assert not self.hub.segments(), "something is left in the spool"
        for follower in self.followers:
            await follower.check(self.store)
        await self.ledger.check(self.store.database)
        cut_off = self.ledger.uncertain.total()
        assert cut_off <= self.most_cut_off, f"{cut_off} hits were cut off, and by kills {self.most_cut_off} at most"
        assert not self.hub.complaints(), self.hub.complaints()[0]


async def in_a_batch(world: World) -> None:
    await world.some_hits()
    await world.moment()
    await world.restart()


async def while_spooling(world: World) -> None:
    async with world.away.held():
        await world.some_hits()
        await world.moment()
        world.kill()
    await world.start()


async def while_replaying(world: World) -> None:
    async with world.away.held():
        await world.some_hits()
        spooled = world.hub.segments()
    if world.chance.random() < BETWEEN_SEGMENTS:
        # A replay is done with one of them; what came meanwhile is in another.
        await eventually(lambda: world.hub.segments() != spooled, 30, "a segment is replayed")
    await world.moment()
    await world.restart()


async def while_starting(world: World) -> None:
    await world.some_hits()
    world.kill()
    world.hub.launch()
    await world.moment(START_SECONDS)
    await world.restart()


async def at_a_point(world: World) -> None:
    point = next(world.points)
    world.kill()
    await world.start(crash=point, nth=1 if point in ONCE else world.chance.randrange(1, NTH))
    # Only a burst leads to corrections.
    await world.ledger.send(world.store)
    if point in REPLAYING:
        with world.hub.fault("away"):
            await world.some_hits()
            # Not before: the changes of a correction pass one of these points, too.
            world.hub.set("armed")
    else:
        world.hub.set("armed")
        if point in SPOOLING:
            world.hub.set("away")
    await eventually(world.hub.crashed, 60, f"killed {point}")
    world.kills[point] += 1
    await world.restart()


async def in_a_migration(world: World) -> None:
    await world.some_hits()
    world.kill()
    number = sum(1 for _ in world.migrations.glob("9*.py")) + 9000
    migration = MIGRATION.format(revision=number, before=world.revision)
    (world.migrations / f"{number}_marks.py").write_text(migration)
    world.revision = str(number)
    crash = {"crash": "in the middle of a migration", "nth": world.chance.randrange(1, STATEMENTS + 1)}
    world.hub.be(migrations=str(world.migrations), **crash)
    with world.hub.fault("armed"):
        assert (await asyncio.to_thread(world.hub.command, "migrate")).returncode < 0
    await world.ledger.check(world.store.database)
    world.hub.be(migrations=str(world.migrations))
    done = await asyncio.to_thread(world.hub.command, "migrate")
    assert done.returncode == 0, done.stderr
    await world.start()


POINTS = (*COMMITTING, *SPOOLING, *REPLAYING)
Scene = Callable[[World], Awaitable[None]]
SCENES: tuple[Scene, ...] = (
    *(in_a_batch, while_spooling, while_replaying, while_starting, at_a_point, at_a_point, in_a_migration),
)
"""Each is played once in every round."""


def rounds(things: Sequence[T], chance: random.Random) -> Iterator[T]:
    """All of `things` in any order, then all of them in another, and so on: none is left out for long."""
    while True:
        yield from chance.sample(things, len(things))


async def kill_again_and_again(world: World, kills: int) -> None:
    """Kill the hub `kills` times; compare everything after every CHECK_EVERY kills and at the end."""
    await world.start()
    async with listening(*world.followers):
        for number in range(1, kills + 1):
            await world.play()
            if number % CHECK_EVERY == 0 or number == kills:
                await world.check()
                print(f"  {number} kills, {world.ledger.answered.total():,} answered hits: all there, once", flush=True)
    assert world.hub.terminate() == 0


@asynccontextmanager
async def a_world(
    directory: Path, kills: int, seed: int, postgres: Postgres | None, size: Size
) -> AsyncIterator[World]:
    """A hub on a new database, with two senders whose mail is read and whose events are followed."""
    with postgres.database() if postgres else nullcontext() as name:
        url = postgres.url(str(name)) if postgres else f"sqlite:///{directory / 'hub.db'}"
        hub = FaultyHub(directory, url, {"HUB_SECRET_KEY": SECRET})
        migrated = hub.command("migrate")
        assert migrated.returncode == 0, migrated.stderr
        (migrations := directory / "migrations").mkdir()
        async with open_store(url) as store:
            users = [await store.sender(), await store.sender()]
            # Its chance is its own: how many hits come is a matter of time, and what is done to the hub is not.
            ledger = await a_ledger(store, *users, pixels=kills * size.pixels_a_kill, chance=random.Random(seed))
            followers = [await a_follower(store, user, [hub]) for user in users]
            # One of them stays away long enough to miss more than is replayed.
            followers[0].come_back_seconds = size.long_away_seconds
            away, chance = Lock(store, postgres), random.Random(seed)
            try:
                yield World(hub, store, ledger, followers, away, chance, migrations, size)
            finally:
                hub.kill()


async def run(directory: Path, kills: int, seed: int, postgres: Postgres | None, size: Size = LONG) -> World:
    """Keep the ledger on this PostgreSQL, or on SQLite. Raises AssertionError with what does not add up."""
    async with a_world(directory, kills, seed, postgres, size) as world:
        await kill_again_and_again(world, kills)
        return world


def report(world: World, seconds: float) -> None:
    """Print what was done."""
    for what, times in sorted(world.kills.items()):
        print(f"  {times:4} × {what.replace('_', ' ')}")
    resumed = sum(follower.connected for follower in world.followers)
    over_rest = sum(follower.not_recovered for follower in world.followers)
    events = sum(len(follower.heard) for follower in world.followers)
    print(f"  {world.ledger.answered.total():,} hits answered, {world.ledger.uncertain.total():,} cut off by a kill")
    print(f"  {events:,} events followed over {resumed} connections, {over_rest} of them by way of REST")
    print(f"  {seconds:.0f} s")


def main(argv: Sequence[str] | None = None) -> int:
    """Keep the ledger; the exit status is 1 if something does not add up."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description="Kill the hub, and count.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args(argv)
    print(f"{asked.kills} kills on {asked.database}, seed {asked.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="glimpse-ledger-"))
    began = time.monotonic()
    try:
        with Postgres() if asked.database == "postgresql" else nullcontext() as postgres:
            world = asyncio.run(run(directory, asked.kills, asked.seed, postgres))
    except AssertionError as wrong:
        print(f"DOES NOT ADD UP: {wrong}\n  seed {asked.seed}; the files are in {directory}")
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    report(world, time.monotonic() - began)
    shutil.rmtree(directory)
    never = world.never() if asked.kills >= LONG_RUN else []
    if never:
        print(f"ADDS UP, BUT SOME OF IT NEVER HAPPENED: {'; '.join(never)}")
    return 1 if never else 0


if __name__ == "__main__":
    sys.exit(main())
