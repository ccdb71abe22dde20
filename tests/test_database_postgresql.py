"""The database on PostgreSQL: every way a server can be away, and come back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from hub.store.away import DatabaseAway, RowLocked
from hub.store.database import READERS, Database
from tests.factories import Stopwatch, together
from tests.notes import add, numbers
from tests.processes import PATIENCE_SECONDS, eventually, free_port
from tests.servers import Postgres
from tests.toxic import ToxicProxy


@pytest.fixture
async def remote(postgresql_url: str) -> AsyncIterator[Database]:
    """A PostgreSQL database with the table `note`."""
    database = Database(postgresql_url)
    await database.connect()
    async with database.write() as tx:
        await tx.fetch("CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT)")
    yield database
    await database.disconnect()


def sessions(postgres: Postgres, url: str) -> int:
    name = urlsplit(url).path[1:]
    return int(postgres.run(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"))


@contextmanager
def frozen(postgres: Postgres, url: str) -> Iterator[None]:
    """Stop every process of the server that serves `url` where it is, with its connections left open."""
    backends = postgres.run(f"SELECT pid FROM pg_stat_activity WHERE datname = '{urlsplit(url).path[1:]}'")
    postmaster = (postgres.directory / "data/postmaster.pid").read_text().split()[0]
    processes = [int(pid) for pid in (postmaster, *backends.split())]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


async def test_connect_where_nobody_listens_is_away() -> None:
    with pytest.raises(DatabaseAway):
        await Database(f"postgresql://postgres@127.0.0.1:{free_port()}/hub").connect()


async def test_reserved_reader_waits_for_nobody_else(remote: Database, postgres: Postgres, postgresql_url: str) -> None:
    asked = [asyncio.create_task(remote.fetch("SELECT pg_sleep(60)")) for _ in range(2 * READERS)]
    await eventually(lambda: sessions(postgres, postgresql_url) == 1 + READERS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [row["n"] for row in await remote.fetch_reserved("SELECT 1 AS n")] == [1]
    assert sessions(postgres, postgresql_url) == 2 + READERS, "as many as the documents say"
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_connect_to_a_database_that_is_not_there_is_away(postgres: Postgres) -> None:
    with pytest.raises(DatabaseAway, match="does not exist"):
        await Database(postgres.url("there_is_none")).connect()


async def test_database_that_takes_no_connections_is_away(
    postgres: Postgres, postgresql_url: str, remote: Database
) -> None:
    """The database is away whatever the server's reason for letting nobody in."""
    name = urlsplit(postgresql_url).path[1:]
    await numbers(remote)
    postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres.terminate_sessions(name)
    for ask in (numbers(remote), add(remote, 1)):
        with pytest.raises(DatabaseAway, match="not currently accepting"):
            await ask
    postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await add(remote, 2)
    assert await numbers(remote) == [2]


async def test_connections_to_postgresql_are_five_at_the_most(
    remote: Database, postgres: Postgres, postgresql_url: str
) -> None:
    await together(
        *(remote.fetch("SELECT pg_sleep(0.02)") for _ in range(40)), *(add(remote, number) for number in range(20))
    )
    assert sessions(postgres, postgresql_url) <= 1 + READERS
    postgres.terminate_sessions(urlsplit(postgresql_url).path[1:])
    await together(*(numbers(remote) for _ in range(20)), *(add(remote, number) for number in range(20, 30)))
    # The sessions that were cut may take a moment to be gone.
    await eventually(lambda: sessions(postgres, postgresql_url) <= 1 + READERS)
    await remote.disconnect()
    await eventually(lambda: sessions(postgres, postgresql_url) == 0)
    await remote.connect()


async def test_sessions_cut_while_idle_are_not_noticed(
    remote: Database, postgres: Postgres, postgresql_url: str
) -> None:
    await add(remote, 1)
    await together(*(numbers(remote) for _ in range(READERS)))
    assert postgres.terminate_sessions(urlsplit(postgresql_url).path[1:]) >= 2
    assert await together(*(numbers(remote) for _ in range(READERS))) == [[1]] * READERS
    await add(remote, 2)
    assert await numbers(remote) == [1, 2]


async def test_session_cut_inside_a_write_is_away_and_leaves_nothing(
    remote: Database, postgres: Postgres, postgresql_url: str
) -> None:
    async def cut() -> None:
        async with remote.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES (1)")
            await asyncio.to_thread(postgres.terminate_sessions, urlsplit(postgresql_url).path[1:])
            await tx.fetch("INSERT INTO note (id) VALUES (2)")

    with pytest.raises(DatabaseAway):
        await cut()
    await add(remote, 3)
    assert await numbers(remote) == [3]


async def test_error_inside_a_write_is_raised_though_the_session_is_cut_too(
    remote: Database, postgres: Postgres, postgresql_url: str
) -> None:
    """The roll-back fails then, but the server rolls back by itself as the connection is thrown away."""

    async def fail() -> None:
        async with remote.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES (1)")
            await asyncio.to_thread(postgres.terminate_sessions, urlsplit(postgresql_url).path[1:])
            raise ValueError("the caller's own reason")

    with pytest.raises(ValueError, match="the caller's own reason"):
        await fail()
    await add(remote, 2)
    assert await numbers(remote) == [2]


async def test_sessions_cut_again_and_again_lose_no_answered_write_and_double_none(
    remote: Database, postgres: Postgres, postgresql_url: str
) -> None:
    name = urlsplit(postgresql_url).path[1:]
    answered: list[int] = []
    uncertain: list[int] = []
    ended = asyncio.Event()

    async def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            try:
                await add(remote, number)
                answered.append(number)
            except DatabaseAway:
                uncertain.append(number)

    writing = asyncio.create_task(write())
    for target in range(1, 6):
        await eventually(lambda target=target: len(answered) >= 20 * target)  # type: ignore[misc]
        await asyncio.to_thread(postgres.terminate_sessions, name)
    ended.set()
    await writing
    found = await numbers(remote)
    assert set(answered) <= set(found) <= {*answered, *uncertain}


async def test_restarted_server_is_used_again(postgres: Postgres, remote: Database) -> None:
    await add(remote, 1)
    await numbers(remote)
    postgres.stop()
    try:
        with pytest.raises(DatabaseAway):
            await add(remote, 2)
        with pytest.raises(DatabaseAway):
            await numbers(remote)
    finally:
        postgres.start()
    await add(remote, 3)
    assert await numbers(remote) == [1, 3]


@pytest.mark.alone
async def test_silent_server_lets_a_write_and_a_read_be_cancelled(postgres: Postgres, postgresql_url: str) -> None:
    """The network swallows everything, which looks like a server that hangs."""
    parts = urlsplit(postgresql_url)
    async with ToxicProxy("127.0.0.1", postgres.port) as proxy:
        database = Database(f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}")
        await database.connect()
        async with database.write() as tx:
            await tx.fetch("CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT)")
        await numbers(database)
        proxy.go_silent()
        for work in (add(database, 1), numbers(database), add(database, 2), numbers(database)):
            with Stopwatch() as watch, pytest.raises((TimeoutError, DatabaseAway)):
                await asyncio.wait_for(work, 0.3)
            assert watch.seconds < 5, "a statement is given up after 10 s"
        proxy.speak()
        await add(database, 3)
        assert 3 in await numbers(database)
        await database.disconnect()


async def test_silent_server_is_away_to_those_who_wait(
    postgres: Postgres, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody cancels these statements, and TCP would say nothing for hours."""
    monkeypatch.setattr("hub.store.urls.COMMAND_SECONDS", 1.0)
    monkeypatch.setattr("hub.store.urls.CONNECT_SECONDS", 1.0)
    async with ToxicProxy("127.0.0.1", postgres.port) as proxy:
        database = Database(f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(postgresql_url).path}")
        await database.connect()
        await database.fetch("SELECT 1")
        proxy.go_silent()
        for ask in (database.fetch("SELECT 1"), add(database, 1)):
            with pytest.raises(DatabaseAway):
                await asyncio.wait_for(ask, PATIENCE_SECONDS)
        proxy.speak()
        await database.disconnect()


async def test_process_that_falls_silent_holds_its_locks_for_a_moment_only(
    postgresql_url: str, postgres: Postgres, remote: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.held.LOCKED_SECONDS", 0.5)
    await add(remote, 1)
    async with ToxicProxy("127.0.0.1", postgres.port) as link:
        cut_off = Database(postgresql_url.replace(str(postgres.port), str(link.port)))
        await cut_off.connect()

        async def is_kept() -> bool:
            try:
                async with remote.write() as other:
                    await other.fetch("UPDATE note SET text = 'kept' WHERE id = 1")
            except RowLocked:
                return False
            return True

        async def write_and_fall_silent() -> None:
            async with cut_off.write() as tx:
                await tx.fetch("UPDATE note SET text = 'lost' WHERE id = 1")
                link.go_silent()
                await eventually(is_kept)
                link.speak()

        with pytest.raises(DatabaseAway):
            await write_and_fall_silent()
        await add(cut_off, 2)
        await cut_off.disconnect()
    assert [row["text"] for row in await remote.fetch("SELECT text FROM note WHERE id = 1")] == ["kept"]


@pytest.mark.alone
async def test_statements_that_wait_for_a_silent_server_are_all_given_up_at_the_same_time(
    postgres: Postgres, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are few connections; the last in the queue waits no longer than the first."""
    monkeypatch.setattr("hub.store.database.TURN_SECONDS", 1.0)
    async with ToxicProxy("127.0.0.1", postgres.port) as proxy:
        database = Database(f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(postgresql_url).path}")
        await database.connect()
        await database.fetch("SELECT 1")
        proxy.go_silent()
        with Stopwatch() as watch:
            asked = (database.fetch("SELECT 1") if number % 2 else add(database, number) for number in range(40))
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {DatabaseAway}
        assert watch.seconds < 5, "one after another, it would be 10 s"
        proxy.speak()
        await database.disconnect()


async def test_frozen_server_is_used_again_when_it_thaws(
    postgres: Postgres, postgresql_url: str, remote: Database
) -> None:
    await add(remote, 1)
    await numbers(remote)
    with frozen(postgres, postgresql_url):
        for work in (add(remote, 2), numbers(remote), add(remote, 3)):
            with pytest.raises((TimeoutError, DatabaseAway)):
                await asyncio.wait_for(work, 0.3)
    await add(remote, 4)
    found = await numbers(remote)
    assert {1, 4} <= set(found)


async def test_transactions_see_what_others_commit_whatever_the_servers_default(
    postgres: Postgres, postgresql_url: str
) -> None:
    """If they did not, one that waited for a lock would fail."""
    name = urlsplit(postgresql_url).path[1:]
    await asyncio.to_thread(
        postgres.run, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
    )
    database = Database(postgresql_url)
    await database.connect()
    async with database.write() as tx:
        [row] = await tx.fetch("SHOW transaction_isolation")
    await database.disconnect()
    assert row["transaction_isolation"] == "read committed"


@pytest.mark.parametrize(
    ("of_the_server", "in_force"), [("off", "on"), ("on", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
)
async def test_commit_is_on_the_disk_before_it_is_confirmed_whatever_the_server_thinks_enough(
    postgresql_url: str, postgres: Postgres, of_the_server: str, in_force: str
) -> None:
    """A server that crashes forgets what it did not wait for. Where it waits for a standby as well is its owner's."""
    name = urlsplit(postgresql_url).path[1:]
    await asyncio.to_thread(postgres.run, f"ALTER DATABASE {name} SET synchronous_commit = {of_the_server}")
    database = Database(postgresql_url)
    await database.connect()
    async with database.write() as tx:
        [row] = await tx.fetch("SHOW synchronous_commit")
    await database.disconnect()
    assert row["synchronous_commit"] == in_force


@pytest.mark.parametrize("error", [asyncpg.SerializationError, asyncpg.DeadlockDetectedError])
async def test_transaction_that_lost_to_another_is_away(remote: Database, error: type[Exception]) -> None:
    """The transaction may be tried again. If the error counted as about what was asked, its hits would be put aside."""

    async def lost() -> None:
        async with remote.write():
            raise error("could not serialize access due to concurrent update")

    with pytest.raises(DatabaseAway):
        await lost()


async def test_statement_prepared_before_its_table_changed_is_away_and_then_works(remote: Database) -> None:
    other = Database(remote._url)
    await other.connect()
    for _ in range(2):
        async with remote.write() as tx:
            await tx.fetch("SELECT * FROM note")
    async with other.write() as tx:
        await tx.fetch("ALTER TABLE note ADD COLUMN more TEXT")

    async def read() -> None:
        async with remote.write() as tx:
            await tx.fetch("SELECT * FROM note")

    with pytest.raises(DatabaseAway):
        await read()
    await read()
    await other.disconnect()


async def test_statement_that_a_pooler_lost_is_away_and_then_works(remote: Database) -> None:
    async def read(lose: bool) -> None:
        async with remote.write() as tx:
            if lose:
                await tx.fetch("DEALLOCATE ALL")
            await tx.fetch("SELECT id FROM note")

    await read(lose=False)
    with pytest.raises(DatabaseAway):
        await read(lose=True)
    await read(lose=False)
