"""Standings: what a batch is judged by, read as one row, is what the tables have."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from hub.model import Crm, Message, MessageState, Recipient
from hub.store.standing import Standings
from tests.factories import T0, Store


def state_of(message: Message) -> dict[str, object]:
    return {name: getattr(message, name) for name in MessageState.__struct_fields__}


async def test_messages_stand_as_they_are(store: Store) -> None:
    user = await store.sender()
    odd = await store.message(user, subject='it\'s "odd" \\ 🙂 null', crm=Crm("sf", "it's \\ 1", None), sent_at=None)
    plain = await store.message(user, recipients=("a@example.com", "b@example.com"))
    async with store.database.write() as tx:
        await store.messages.change(tx, user.id, plain.id, {"muted": True, "muted_set_sequence": 7})
        await store.messages.add_viewing(tx, plain.id, T0)
        found = (await Standings(store.database).read(tx.fetch, [odd.id, plain.id, "none"], [], [])).messages
    expected = replace(plain, muted=True, muted_set_sequence=7, viewed_at=T0)
    assert {id_: msgspec.structs.asdict(message) for id_, message in found.items()} == {
        odd.id: state_of(odd),
        plain.id: state_of(expected),
    }
    assert found[plain.id].muted is True, "not the 1 that SQLite has for it"


async def test_recipients_stand_at_their_positions(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, recipients=("first@example.com", "it's@example.com"), shared=False)
    async with store.database.write() as tx:
        standings = Standings(store.database)
        assert (await standings.read(tx.fetch, [], [], [])).recipients == {}
        pixels = [(message.id, 2), (message.id, 3), ("none", 1)]
        assert (await standings.read(tx.fetch, [], pixels, [])).recipients == {
            (message.id, 2): Recipient("it's@example.com", None)
        }


async def test_clients_stand_as_they_were_last_seen_on_each_pixel(store: Store) -> None:
    message = await store.message(await store.sender())
    key, second = (message.id, 1, "a client"), (message.id, 2, "it's \\ 🙂")
    async with store.database.write() as tx:
        await tx.change(store.opens.seen({key: T0, second: T0 + 1}))
        asked = [key, second, (message.id, 1, "another"), (message.id, 3, "a client")]
        assert (await Standings(store.database).read(tx.fetch, [], [], asked)).last_seen == {key: T0, second: T0 + 1}
