"""Messages in the store: registered, found, searched, paged, changed and counted, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hub.model import Count, Crm, Message, Provider, Recipient, new_id
from tests.factories import BASE_URL, T0, Store, a_draft
from tests.samples import an_open

PROVIDER = Provider("gmail", "<1@example.com>", "thread'1\"")
CRM = Crm("salesforce", "006", "https://crm.example.com/006?a=1&b=%20")


async def count(store: Store, *counts: Count) -> None:
    async with store.database.write() as tx:
        await tx.change(*store.messages.counted(counts))


def figures(message: Message) -> tuple[int, int, int | None, int | None]:
    return message.opens, message.hits, message.first_opened_at, message.last_opened_at


async def test_message_is_read_back_as_it_was_registered(store: Store) -> None:
    user = await store.sender()
    message = await store.message(
        user,
        recipients=("first@example.com", "second@example.com"),
        subject='Zażółć "it\'s" 100% \\ 🙂',
        template="t'1",
        shared=False,
        sent_at=None,
        provider=PROVIDER,
        crm=CRM,
    )
    assert (message.provider, message.crm, message.recipient_count) == (PROVIDER, CRM, 2)
    assert await store.messages.get(user.id, message.id) == message
    async with store.database.write() as tx:
        assert await store.messages.read(tx, message.id) == message


async def test_message_is_read_in_a_transaction_after_a_newer_release_added_columns(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, recipients=("first@example.com", "second@example.com"))
    for table in ("messages", "recipients"):
        async with store.database.write() as tx:
            assert await store.messages.read(tx, message.id) == message
        async with store.database.write() as tx:
            await tx.fetch(f"ALTER TABLE {table} ADD COLUMN newer text")
        async with store.database.write() as tx:
            assert await store.messages.read(tx, message.id) == message


async def test_message_of_five_hundred_recipients_keeps_their_order(store: Store) -> None:
    user = await store.sender()
    recipients = [Recipient(f"r{n}@example.com", f"Reader {n}" if n % 2 else None) for n in range(500)]
    draft = replace(a_draft(shared=True), recipients=tuple(recipients))
    registered = await store.actions.register(user.id, draft, BASE_URL)
    assert not isinstance(registered, str)
    message = await store.reload(registered[0])
    assert [Recipient(each.address, each.name) for each in message.recipients] == recipients


async def test_message_of_somebody_else_is_neither_found_nor_changed(store: Store) -> None:
    user, stranger = await store.sender(), await store.sender()
    message = await store.message(user)
    assert await store.messages.owned(user.id, message.id)
    assert not await store.messages.owned(stranger.id, message.id)
    assert not await store.messages.owned(user.id, "none")
    assert await store.messages.get(stranger.id, message.id) is None
    assert await store.messages.page(stranger.id, limit=10) == []
    async with store.database.write() as tx:
        assert not await store.messages.change(tx, stranger.id, message.id, {"muted": True})
    assert (await store.reload(message)).muted is None


async def test_read_of_an_unknown_message_raises(store: Store) -> None:
    async with store.database.write() as tx:
        with pytest.raises(LookupError):
            await store.messages.read(tx, "none")


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
async def test_pages_are_complete_and_without_doubles_while_messages_come(store: Store, limit: int) -> None:
    user, other = await store.sender(), await store.sender()
    ids = []
    for _ in range(7):
        ids.append((await store.message(user)).id)
        await store.message(other)
    found: list[str] = []
    before: str | None = None
    while page := await store.messages.page(user.id, limit=limit, before=before):
        assert len(page) <= limit
        found += [message.id for message in page]
        before = found[-1]
        await store.message(user)
    assert found == ids[::-1]


SUBJECTS = ("100% sure", "snake_case", "back\\slash", "ŻÓŁĆ i STRASSE", "Straße", "it's 'quoted'", "🙂", "ΑΣ")


SEARCHES: list[tuple[str, list[str]]] = [
    ("100%", ["100% sure"]),
    ("%", ["100% sure"]),
    ("_", ["snake_case"]),
    ("E_C", ["snake_case"]),
    ("eXc", []),
    ("\\", ["back\\slash"]),
    ("\\s", ["back\\slash"]),
    ("żółć", ["ŻÓŁĆ i STRASSE"]),
    ("strasse", ["ŻÓŁĆ i STRASSE", "Straße"]),
    ("STRAẞE", ["ŻÓŁĆ i STRASSE", "Straße"]),
    ("ας", ["ΑΣ"]),
    ("'", ["it's 'quoted'"]),
    ("🙂", ["🙂"]),
    ("Reader@Example", list(SUBJECTS)),
    ("%%", []),
    ("", list(SUBJECTS)),
]


async def test_search_takes_every_character_literally_and_ignores_case_in_any_script(store: Store) -> None:
    user = await store.sender()
    for subject in SUBJECTS:
        await store.message(user, subject=subject)
    for search, found in SEARCHES:
        page = await store.messages.page(user.id, limit=50, search=search)
        assert [message.subject for message in page] == found[::-1], search


async def test_search_looks_through_recipients_and_not_across_fields(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, recipients=("ada@example.com", "bob@example.org"), subject="Offer")
    for search, count_ in [("ADA@", 1), ("example.org", 1), ("offer", 1), ("Offerada", 0), ("com bob", 0)]:
        assert len(await store.messages.page(user.id, limit=5, search=search)) == count_, search
    assert message.recipient_count == 2


async def test_filters_hold_together(store: Store) -> None:
    user = await store.sender()
    plain = await store.message(user)
    opened = await store.message(user, template="t1")
    await store.message(user, template="t1")
    await count(store, Count(opened.id, 0, 1, 1, T0, T0))

    async def found(**filters: Any) -> list[str]:
        return [message.id for message in await store.messages.page(user.id, limit=10, **filters)]

    assert await found(opened=True) == [opened.id]
    assert len(await found(opened=False)) == 2
    assert len(await found(template="t1")) == 2
    assert await found(template="t1", opened=True, search="proposal") == [opened.id]
    assert await found(template="t%") == []
    assert await found(opened=False, before=opened.id) == [plain.id]


async def test_count_adds_and_widens_the_time_of_opens(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user)
    await count(store, Count(message.id, 0, opens=0, hits=2))
    assert figures(await store.reload(message)) == (0, 2, None, None)
    await count(store, Count(message.id, 0, 2, 3, T0, T0 + 10))
    assert figures(await store.reload(message)) == (2, 5, T0, T0 + 10)
    await count(store, Count(message.id, 0, 1, 1, T0 - 5, T0 - 5))
    assert figures(await store.reload(message)) == (3, 6, T0 - 5, T0 + 10)
    await count(store, Count(message.id, 0, 0, 1))
    assert figures(await store.reload(message)) == (3, 7, T0 - 5, T0 + 10)


async def test_recipients_have_figures_only_where_a_pixel_is_theirs_alone(store: Store) -> None:
    user = await store.sender()
    readers = ("first@example.com", "second@example.com")
    own = await store.message(user, recipients=readers, shared=False)
    shared = await store.message(user, recipients=readers, shared=True)
    plain = await store.message(user, recipients=readers, shared=False, format="plain")
    await count(
        store, Count(own.id, 0, 1, 1, T0, T0), Count(own.id, 2, 1, 1, T0, T0), Count(shared.id, 0, 1, 1, T0, T0)
    )
    assert [(r.opens, r.first_opened_at, r.last_opened_at) for r in (await store.reload(own)).recipients] == [
        (0, None, None),
        (1, T0, T0),
    ]
    for message in (shared, plain):
        recipients = (await store.reload(message)).recipients
        assert [(r.opens, r.first_opened_at) for r in recipients] == [(None, None)] * 2


async def test_figures_of_an_only_recipient_are_the_messages(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, recipients=("reader@example.com",), shared=False)
    await count(store, Count(message.id, 0, 2, 3, T0, T0 + 10))
    [reader] = (await store.reload(message)).recipients
    assert (reader.opens, reader.first_opened_at, reader.last_opened_at) == (2, T0, T0 + 10)


async def test_recount_is_of_what_counts_on_these_pixels_and_their_messages(store: Store) -> None:
    user = await store.sender()
    message, other = [
        await store.message(user, recipients=("first@example.com", "second@example.com"), shared=False)
        for _ in range(2)
    ]
    of_both = [(message, 1, 10), (message, 1, 0), (message, 2, 20), (other, 1, 30)]
    opens = [
        an_open(id=new_id(), user_id=user.id, message_id=of.id, position=position, at=T0 + at, counted=counted)
        for counted, which in ((True, of_both), (False, [(message, 1, -5), (message, 1, 99)]))
        for of, position, at in which
    ]
    async with store.database.write() as tx:
        await tx.change(store.opens.added([(open_, None) for open_ in opens]))
        await store.messages.recount(tx, [(message.id, 1)])
    recounted = await store.reload(message)
    assert figures(recounted) == (3, 0, T0, T0 + 20)
    assert [(r.opens, r.first_opened_at, r.last_opened_at) for r in recounted.recipients] == [
        (2, T0, T0 + 10),
        (0, None, None),
    ]
    assert figures(await store.reload(other)) == (0, 0, None, None)


async def test_change_sets_what_it_is_given_and_nothing_else(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, provider=PROVIDER)
    async with store.database.write() as tx:
        assert await store.messages.change(tx, user.id, message.id, {"sent_at": None, "muted": False})
    changed = await store.reload(message)
    assert (changed.sent_at, changed.muted, changed.provider) == (None, False, PROVIDER)


async def test_viewings_are_kept_once_each_and_the_last_is_on_the_message(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user)
    async with store.database.write() as tx:
        for at in (T0, T0 + 5, T0):
            await store.messages.add_viewing(tx, message.id, at)
        for span, expected in (
            ((T0 - 1, T0 + 5), [T0, T0 + 5]),
            ((T0, T0), [T0]),
            ((T0 + 1, T0 + 4), []),
        ):
            assert await store.messages.viewings(tx.fetch, {message.id: span}) == {message.id: expected}
    assert (await store.reload(message)).viewed_at == T0 + 5


async def test_viewings_of_several_messages_are_found_each_in_its_own_span(store: Store) -> None:
    user = await store.sender()
    first, second, unseen = [await store.message(user) for _ in range(3)]
    async with store.database.write() as tx:
        for message, at in ((first, T0), (second, T0), (first, T0 + 9), (second, T0 + 5)):
            await store.messages.add_viewing(tx, message.id, at)
    spans = {first.id: (T0 + 1, T0 + 9), second.id: (T0, T0 + 8), unseen.id: (T0, T0 + 9)}
    found = await store.messages.viewings(store.database.fetch, spans)
    assert found == {first.id: [T0 + 9], second.id: [T0, T0 + 5], unseen.id: []}
