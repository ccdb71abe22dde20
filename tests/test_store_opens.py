"""Opens in the store: inserted by the hundred, paged, corrected; and when each client was last seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from hub.model import Device, Message, Open, Place, Recipient, Verdict, id_text, new_id
from hub.store.database import Database, Held
from hub.store.opens import CLOCK_MS
from hub.store.standing import Standings
from tests.factories import T0, Store, open_store, seeded
from tests.samples import an_open

SCANNER = Verdict("scanner", "high", ("burst", "named:it's a 100% \\ 🙂"), "test")


def opens_of(message: Message, number: int, **changes: object) -> list[Open]:
    return [
        an_open(id=new_id(), user_id=message.user_id, message_id=message.id, **{"at": T0 + n, **changes})
        for n in range(number)
    ]


async def add(store: Store, opens: list[Open], client_hash: str | None = None) -> None:
    async with store.database.write() as tx:
        await tx.change(store.opens.added([(open_, client_hash) for open_ in opens]))


async def test_open_is_read_back_as_it_was_inserted(store: Store) -> None:
    message = await store.message(await store.sender())
    odd = opens_of(
        message,
        1,
        verdict=SCANNER,
        counted=False,
        repeat=True,
        told=True,
        place=Place("Łódź", "łódzkie", "Polska", "PL", None),
        device=Device("mobile", "iOS 19", 'it\'s \\ "Mail"'),
    )
    bare = opens_of(message, 1, verdict=Verdict("human", "low", (), "test"), position=0)
    await add(store, odd + bare)
    page = await store.opens.page(message.user_id, limit=5, message_id=message.id, before=None, uncounted=True)
    assert page == [(bare[0], None), (odd[0], Recipient("reader@example.com"))]


async def test_many_opens_go_in_at_once(store: Store) -> None:
    message = await store.message(await store.sender())
    opens = opens_of(message, 512)
    await add(store, opens)
    async with store.database.write() as tx:
        assert await store.opens.recorded(tx, [open_.id for open_ in opens] + ["none"]) == {open_.id for open_ in opens}
        assert await store.opens.recorded(tx, []) == set()


@pytest.mark.parametrize("limit", [1, 4, 10, 11])
async def test_pages_are_complete_and_without_doubles_while_opens_come(store: Store, limit: int) -> None:
    user = await store.sender()
    message, other = await store.message(user), await store.message(user)
    await add(store, opens_of(await store.message(await store.sender()), 3))
    opens = [each for n in range(10) for each in opens_of(message if n % 2 else other, 1, counted=n % 3 > 0)]
    await add(store, opens)

    async def pages(message_id: str | None, uncounted: bool) -> list[str]:
        found: list[str] = []
        while page := await store.opens.page(
            user.id,
            limit=limit,
            message_id=message_id,
            before=found[-1] if found else None,
            uncounted=uncounted,
        ):
            found += [open_.id for open_, _ in page]
            await add(store, opens_of(message, 1))
        return found

    assert await pages(None, True) == [open_.id for open_ in opens[::-1]]
    assert await pages(other.id, True) == [open_.id for open_ in opens[::-1] if open_.message_id == other.id]
    expected = [open_.id for open_ in opens[::-1] if open_.message_id == other.id and open_.counted]
    assert await pages(other.id, False) == expected


async def test_opens_of_somebody_else_are_not_found(store: Store) -> None:
    message = await store.message(await store.sender())
    await add(store, opens_of(message, 3))
    stranger = await store.sender()
    assert await store.opens.page(stranger.id, limit=5, message_id=message.id, before=None, uncounted=True) == []


@pytest.mark.parametrize(
    ("message_id", "uncounted", "searches"),
    [
        ("message", False, ["history_of_message (message_id=? AND counted=? AND id<?)"]),
        ("message", True, ["history_of_message (message_id=? AND counted=? AND id<?)"] * 2),
        (None, False, ["history_of_user (user_id=? AND counted=? AND id<?)"]),
        (None, True, ["history_of_user (user_id=? AND counted=? AND id<?)"] * 2),
    ],
)
async def test_history_looks_through_nothing_but_what_it_shows(
    migrated_sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    message_id: str | None,
    uncounted: bool,
    searches: list[str],
) -> None:
    """SQLite has no statistics to choose an index by, and once chose the user's index for a message. Between two
    opens that count there may also be a million that do not."""
    asked: list[tuple[str, Any]] = []

    async def fetch(_self: Database, sql: str, *args: Any) -> list[Any]:
        asked.append((sql, args))
        return []

    async with open_store(migrated_sqlite_url) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "fetch", fetch)
            await store.opens.page("user", limit=5, message_id=message_id, before="open", uncounted=uncounted)
        [(sql, args)] = asked
        plan = [str(row["detail"]) for row in await store.database.fetch(f"EXPLAIN QUERY PLAN {sql}", *args)]
    assert [step for step in plan if "opens" in step] == [f"SEARCH opens USING INDEX {search}" for search in searches]


async def test_correction_changes_the_verdict_and_nothing_else(store: Store) -> None:
    message = await store.message(await store.sender())
    first, second = opens_of(message, 2, told=True)
    await add(store, [first, second])
    async with store.database.write() as tx:
        await tx.change(store.opens.corrected([replace(first, verdict=SCANNER, counted=False)]))
    page = await store.opens.page(message.user_id, limit=5, message_id=None, before=None, uncounted=True)
    assert [open_ for open_, _ in page] == [second, replace(first, verdict=SCANNER, counted=False)]


async def test_early_opens_are_those_with_a_client_hash_on_that_pixel(store: Store) -> None:
    message = await store.message(await store.sender(), recipients=("a@example.com", "b@example.com"), shared=False)
    early = opens_of(message, 3)
    await add(store, early, "a client")
    await add(store, opens_of(message, 3))
    await add(store, opens_of(message, 3, position=2), "a client")
    async with store.database.write() as tx:
        found = await store.opens.early(tx.fetch, [(message.id, 1), (message.id, 3)])
        assert found == {(message.id, 1): [(open_, "a client") for open_ in early], (message.id, 3): []}


async def test_opens_that_may_turn_are_not_hidden_behind_a_thousand_others(store: Store) -> None:
    message = await store.message(await store.sender())
    machines = opens_of(message, 1001, verdict=replace(SCANNER, verdict="bot"), counted=False)
    [person] = opens_of(message, 1)
    await add(store, [*machines, person], "a client")
    async with store.database.write() as tx:
        assert await store.opens.early(tx.fetch, [(message.id, 1)]) == {(message.id, 1): [(person, "a client")]}
        found = await store.opens.between(tx, message.id, T0, T0 + 2000)
    assert len(found) == 1000
    assert found[-1] == person
    assert found == sorted(found, key=lambda open_: open_.id)


async def plans(url: str, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Store, Held], Awaitable[Any]]) -> list[str]:
    """How SQLite finds what `ask` asks for in a transaction: the steps of all its statements."""
    async with open_store(url) as store, store.database.write() as tx:
        asked: list[tuple[str, Any]] = []
        fetch = tx.fetch

        async def noted(sql: str, *args: Any) -> Any:
            asked.append((sql, args))
            return await fetch(sql, *args)

        monkeypatch.setattr(tx, "fetch", noted)
        await ask(store, tx)
        return [str(row["detail"]) for sql, args in asked for row in await fetch(f"EXPLAIN QUERY PLAN {sql}", *args)]


async def test_early_opens_are_found_without_looking_through_the_rest(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This query runs in every batch of a pixel's first seconds, however often that pixel was fetched."""
    plan = await plans(
        migrated_sqlite_url, monkeypatch, lambda store, tx: store.opens.early(tx.fetch, [("message", 1)])
    )
    assert plan == [
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH s USING PRIMARY KEY (id=?)",
        "CORRELATED LIST SUBQUERY 2",
        "SEARCH s USING INDEX opens_early_on_pixel (message_id=? AND position=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ]


@pytest.mark.parametrize("people", [False, True])
async def test_opens_between_two_times_are_found_without_looking_through_the_earlier(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch, people: bool
) -> None:
    """This query runs at every viewing while hits wait, and the message may have a million opens."""
    plan = await plans(
        migrated_sqlite_url,
        monkeypatch,
        lambda store, tx: store.opens.between(tx, "message", T0, T0 + 1, people=people),
    )
    assert plan == ["SEARCH o USING INDEX history_of_message (message_id=? AND counted=? AND id>?)"] * 2


@pytest.mark.parametrize("people", [False, True])
@pytest.mark.parametrize("most", [20, 1000])
async def test_opens_between_two_times_are_all_there_whatever_the_clock_did(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int, people: bool
) -> None:
    monkeypatch.setattr("hub.store.opens.MOST_AT_ONCE", most)
    chance, user = seeded(), await store.sender()
    message, other = await store.message(user), await store.message(user)
    opens = []
    for _ in range(300):
        at = T0 + chance.randrange(120_000)
        made = at + chance.choice((0, 1, 3_600_000, -CLOCK_MS))
        opens.append(
            an_open(
                id=id_text((made << 80 | chance.getrandbits(80)).to_bytes(16, "big")),
                user_id=message.user_id,
                message_id=chance.choice((message, message, other)).id,
                at=at,
                verdict=Verdict(chance.choice(("human", "proxy", "bot", "self")), "high", (), "test"),
                counted=chance.random() < 0.5,
            )
        )
    await add(store, opens)
    wanted = ("human", "proxy") if people else ("human", "proxy", "bot")
    for _ in range(20):
        earliest, latest = sorted(T0 + chance.randrange(120_000) for _ in range(2))
        within = [
            open_
            for open_ in opens
            if open_.message_id == message.id and earliest <= open_.at <= latest and open_.verdict.verdict in wanted
        ]
        first = sorted(within, key=lambda open_: (open_.counted, open_.id), reverse=True)[:most]
        async with store.database.write() as tx:
            found = await store.opens.between(tx, message.id, earliest, latest, people=people)
        assert found == sorted(first, key=lambda open_: open_.id)


async def test_opens_between_two_times_include_both(store: Store) -> None:
    message = await store.message(await store.sender())
    opens = opens_of(message, 5)
    await add(store, opens)
    async with store.database.write() as tx:
        assert await store.opens.between(tx, message.id, T0 + 1, T0 + 3) == opens[1:4]
        assert await store.opens.between(tx, "none", T0, T0 + 9) == []


async def test_last_seen_is_what_was_seen_last_and_can_be_taken_back(store: Store) -> None:
    user = await store.sender()
    message, other = await store.message(user), await store.message(user)

    def then(at: int, *, repeat: bool = False) -> Open:
        return an_open(
            id=new_id(), user_id=user.id, message_id=message.id, position=1, at=at, repeat=repeat, counted=not repeat
        )

    key, second, elsewhere = (message.id, 1, "a client"), (message.id, 2, "it's \\ 🙂"), (other.id, 1, "a client")
    async with store.database.write() as tx:
        await tx.change(store.opens.seen({key: T0, second: T0, elsewhere: T0}))
        await tx.change(store.opens.seen({key: T0 + 5}))
        asked = [key, second, elsewhere, (message.id, 1, "another")]
        standings = Standings(store.database)
        assert (await standings.read(tx.fetch, [], [], asked)).last_seen == {key: T0 + 5, second: T0, elsewhere: T0}
        await store.opens.unsee(tx, [then(T0)])
        seen = (await standings.read(tx.fetch, [], [], asked)).last_seen
        assert seen == {key: T0 + 5, second: T0, elsewhere: T0}, "nobody was last seen on that pixel at that time"
        first, earlier, machine = then(T0 - 9), then(T0 + 1), replace(then(T0 + 2), verdict=SCANNER, counted=False)
        await tx.change(store.opens.added([(first, None), (earlier, None), (machine, None)]))
        await store.opens.unsee(tx, [then(T0 + 5, repeat=True)])
        seen = (await standings.read(tx.fetch, [], [], asked)).last_seen
        assert seen == {key: T0 + 1, second: T0, elsewhere: T0}
        await store.opens.unsee(tx, [earlier])
        assert (await standings.read(tx.fetch, [], [], asked)).last_seen == {second: T0, elsewhere: T0}


async def test_client_first_seen_with_an_open_that_is_taken_back_is_forgotten(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user)
    same = an_open(user_id=user.id, message_id=message.id, position=0, counted=True)
    first, again, between, new = (
        replace(same, id=new_id(), at=T0 + at, counted=counted, repeat=not counted)
        for at, counted in ((0, True), (10, False), (11, True), (12, True))
    )
    machine = replace(new, id=new_id(), verdict=SCANNER, counted=False)
    earlier, newcomer = (message.id, 0, "who came first"), (message.id, 0, "who came then")
    async with store.database.write() as tx:
        await tx.change(store.opens.added([(first, None), (between, None)]))
        await tx.change(store.opens.seen({earlier: again.at, newcomer: new.at}))
        await store.opens.unsee(tx, [again, new, machine])
        seen = (await Standings(store.database).read(tx.fetch, [], [], [earlier, newcomer])).last_seen
    assert seen == {earlier: first.at}


async def test_one_client_on_one_pixel_is_forgotten_and_no_other(store: Store) -> None:
    user = await store.sender()
    message, other = await store.message(user), await store.message(user)
    forgotten = (message.id, 1, "a client")
    kept = [(message.id, 1, "another"), (message.id, 2, "a client"), (other.id, 1, "a client")]
    async with store.database.write() as tx:
        await tx.change(store.opens.seen(dict.fromkeys([forgotten, *kept], T0)))
        await store.opens.forget_seen(tx, [forgotten])
        seen = (await Standings(store.database).read(tx.fetch, [], [], [forgotten, *kept])).last_seen
    assert seen == dict.fromkeys(kept, T0)
