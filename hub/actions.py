"""The actions: everything a sender can do that others have to be told of.

Promise: a change and its event commit together, in one transaction, and the bus hears of them only after the commit.
Events leave the hub from here and from the recorder only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from hub.batch import corrected, open_event, taken_back
from hub.live.bus import Bus
from hub.live.notices import Notice, Revoked
from hub.model import (
    Clock,
    Crm,
    Event,
    EventType,
    Message,
    Open,
    Provider,
    Recipient,
    Settings,
    User,
    new_id,
)
from hub.store.database import Database, Held
from hub.store.events import Events
from hub.store.idempotency import IdempotencyKeys
from hub.store.messages import Messages, encode_or_none
from hub.store.opens import MOST_AT_ONCE, Opens
from hub.store.users import Users
from hub.tracking.classify import Context, Sighting, reconsider
from hub.tracking.rules import VIEWING_MS
from hub.wire import Renderer


class NotFound(LookupError):
    """There is no such thing, or it is somebody else's."""


class BeyondTheLog(ValueError):
    """A sequence that the user's log has not reached."""


class NewMessage(Struct, frozen=True):
    """A message to register. `sent_at` is None while it is being written; UNSET stands for the time of registration."""

    subject: str
    recipients: tuple[Recipient, ...]
    template: str | None
    format: Literal["html", "plain"]
    shared: bool
    sent_at: int | UnsetType | None
    provider: Provider | None
    crm: Crm | None


class Claim(Struct, frozen=True):
    """An idempotency key, the hash of the body it came with, and a function that makes the first answer."""

    key: str
    body_hash: str
    answer: Callable[[Message, Settings], str]


class Actions:
    """The verbs. `base_url` is the hub's address as the caller sees it: pixel addresses in the events begin with it.

    All but `revoke` raise `DatabaseAway`.
    """

    def __init__(self, database: Database, bus: Bus, renderer: Renderer, *, clock: Clock) -> None:
        self._users = Users(database)
        self._messages = Messages(database)
        self._opens = Opens(database)
        self._events = Events(database)
        self._keys = IdempotencyKeys(database)
        self._bus = bus
        self._renderer = renderer
        self._clock = clock

    async def register(
        self, user_id: str, new: NewMessage, base_url: str, claim: Claim | None = None
    ) -> tuple[Message, Settings] | str:
        """Register a message. If the claim came before, register nothing and return the answer given then.

        Raises `KeyReused` if the key came before with another body.
        """
        async with self._users.write(user_id) as (tx, _):
            if claim is not None:
                earlier = await self._keys.claim(tx, user_id, claim.key, claim.body_hash, self._clock())
                if earlier is not None:
                    return earlier
            user, now = await self._begin(tx, user_id)
            message = _registered(new, user, now)
            await self._messages.add(tx, message)
            event = self._event(user, "message.registered", now, message=message)
            await tx.change(self._events.added([event]))
            if claim is not None:
                await self._keys.keep(tx, user_id, claim.key, claim.answer(message, user.settings))
        await self._publish([event], user, base_url)
        return message, user.settings

    async def change_message(
        self, user_id: str, message_id: str, values: Mapping[str, Any], base_url: str
    ) -> tuple[Message, Settings]:
        """Set any of `muted`, `sent_at` (ms or None), `provider` and `crm`. Raises `NotFound`.

        A `sent_at` may take back too many opens for one transaction. If the call ends between two transactions, for
        example because the database is away, the message is changed already; the same call again takes back the rest.
        """
        async with self._users.write(user_id) as (tx, _):
            user, now = await self._begin(tx, user_id)
            columns = {
                name: encode_or_none(value) if name in ("provider", "crm") else value for name, value in values.items()
            }
            if "muted" in columns:
                columns["muted_set_sequence"] = user.sequence
            if not await self._messages.change(tx, user_id, message_id, columns):
                raise NotFound(message_id)
            corrections = await self._correct_unsent(tx, user, message_id, now) if "sent_at" in values else []
            message = await self._messages.read(tx, message_id)
            event = self._event(user, "message.updated", now, message=message)
            await tx.change(self._events.added([event]))
        await self._publish([event, *corrections], user, base_url, decides="muted" in values)
        while len(corrections) == MOST_AT_ONCE:
            async with self._users.write(user_id) as (tx, user):
                corrections = await self._correct_unsent(tx, user, message_id, self._clock())
                message = await self._messages.read(tx, message_id)
            await self._publish(corrections, user, base_url)
        return message, user.settings

    async def mute_all(self, user_id: str) -> Settings:
        """Silence every message registered so far, whatever its speaker said until now."""

        async def change(tx: Held, user: User, now: int) -> User:
            return await self._users.set(tx, user_id, muted_all_at=now, muted_all_sequence=user.sequence)

        return await self._change_settings(user_id, "messages.muted", change)

    async def set_realtime(self, user_id: str, on: bool) -> Settings:
        """Turn real-time notifications on or off."""

        async def change(tx: Held, _user: User, _now: int) -> User:
            return await self._users.set(tx, user_id, realtime_notifications=on)

        return await self._change_settings(user_id, "settings.updated", change)

    async def mark_seen(self, user_id: str, sequence: int) -> None:
        """Mark the notifications up to `sequence` as read, on every device. Raises `BeyondTheLog`."""
        before = await self._users.get(user_id)
        if before is not None and sequence <= before.seen_sequence:
            return
        async with self._users.write(user_id) as (tx, user):
            if sequence > user.sequence:
                raise BeyondTheLog(sequence)
            if sequence <= user.seen_sequence:
                return
            user, now = await self._begin(tx, user_id)
            await self._users.set(tx, user_id, seen_sequence=sequence)
            event = self._event(user, "notifications.seen", now, seen=sequence)
            await tx.change(self._events.added([event]))
        await self._publish([event], user)

    async def view(self, user_id: str, message_id: str) -> None:
        """Note that the sender looks at this message now: hits close in time are the sender's. Raises `NotFound`.

        There may be too many for one transaction. If the call ends between two, the same call again takes back the rest
        that is still close in time.
        """
        if not await self._messages.owned(user_id, message_id):
            raise NotFound(message_id)
        now = self._clock()
        async with self._users.write(user_id) as (tx, user):
            await self._messages.add_viewing(tx, message_id, now)
            corrections = await self._correct_viewed(tx, user, message_id, now)
        await self._publish(corrections, user)
        while len(corrections) == MOST_AT_ONCE:
            async with self._users.write(user_id) as (tx, user):
                corrections = await self._correct_viewed(tx, user, message_id, now)
            await self._publish(corrections, user)

    async def revoke(self, credentials: Sequence[str]) -> None:
        """Close the sockets and streams that were opened with these credentials, in every process."""
        await self._bus.publish([Revoked(key) for key in credentials])

    async def _begin(self, tx: Held, user_id: str) -> tuple[User, int]:
        """Take the next sequence in the user's log, and the time. As the user is locked, both have the same order."""
        return await self._users.bump(tx, user_id), self._clock()

    async def _correct_viewed(self, tx: Held, user: User, message_id: str, now: int) -> list[Event]:
        """Correct the opens close to a look at the message, at most `MOST_AT_ONCE`."""
        # A hit with a later time may be recorded already: another clock is ahead, or the lock took long.
        near = await self._opens.between(tx, message_id, now - VIEWING_MS, now + VIEWING_MS)
        return await self._correct(tx, user, near, Context(sent_at=None, viewings=(now,)), now)

    async def _correct_unsent(self, tx: Held, user: User, message_id: str, now: int) -> list[Event]:
        """Correct the opens from before the message was sent that were taken for people, at most `MOST_AT_ONCE`."""
        sent_at = (await self._messages.read(tx, message_id)).sent_at
        if sent_at is None:
            return []
        early = await self._opens.between(tx, message_id, 0, sent_at - 1, people=True)
        return await self._correct(tx, user, early, Context(sent_at=sent_at), now)

    async def _correct(self, tx: Held, user: User, opens: Sequence[Open], context: Context, now: int) -> list[Event]:
        """Of these opens, all of one message, correct those whose verdict `context` changes. Returns the events."""
        before = {open_.id: open_ for open_ in opens}
        sightings = [Sighting(open_.id, open_.at, "", open_.verdict) for open_ in opens]
        changed = [corrected(before[open_id], verdict) for open_id, verdict in reconsider(sightings, context)]
        if not changed:
            return []
        await tx.change(self._opens.corrected(changed))
        await self._messages.recount(tx, {(open_.message_id, open_.position) for open_ in changed})
        await self._opens.unsee(tx, [before[open_.id] for open_ in changed])
        message = await self._messages.read(tx, changed[0].message_id)
        events = [
            self._reclassified(user, number, before[open_.id], open_, message, now)
            for number, open_ in enumerate(changed, 1)
        ]
        await tx.change(self._events.added(events), self._users.advanced({user.id: user.sequence + len(events)}))
        return events

    def _reclassified(self, user: User, number: int, before: Open, after: Open, message: Message, now: int) -> Event:
        own = message.recipients[after.position - 1] if after.position else None
        event = open_event("open.reclassified", after, message, own, user, user.sequence + number)
        return taken_back(event, before, now)

    async def _change_settings(
        self,
        user_id: str,
        type_: EventType,
        change: Callable[[Held, User, int], Awaitable[User]],
    ) -> Settings:
        async with self._users.write(user_id) as (tx, _):
            user, now = await self._begin(tx, user_id)
            user = await change(tx, user, now)
            event = self._event(user, type_, now, settings=user.settings)
            await tx.change(self._events.added([event]))
        await self._publish([event], user, decides=True)
        return user.settings

    def _event(self, user: User, type_: EventType, now: int, **facts: Any) -> Event:
        return Event(user_id=user.id, sequence=user.sequence, type=type_, at=now, **facts)

    async def _publish(
        self, events: Sequence[Event], user: User, base_url: str | None = None, *, decides: bool = False
    ) -> None:
        committed_at = self._clock()
        notices = [
            Notice.of(event, self._renderer.event(event, user.settings, base_url), committed_at, decides=decides)
            for event in events
        ]
        await self._bus.publish(notices)


def _registered(new: NewMessage, user: User, now: int) -> Message:
    recipients = new.recipients
    if new.format == "html" and not new.shared:
        recipients = tuple(replace(recipient, opens=0) for recipient in recipients)
    return Message(
        id=new_id(),
        user_id=user.id,
        created_at=now,
        registered_sequence=user.sequence,
        subject=new.subject,
        template=new.template,
        format=new.format,
        shared=new.shared,
        sent_at=now if new.sent_at is UNSET else new.sent_at,
        provider=new.provider,
        crm=new.crm,
        muted=None,
        muted_set_sequence=0,
        opens=0,
        hits=0,
        first_opened_at=None,
        last_opened_at=None,
        recipient_count=len(recipients),
        viewed_at=None,
        recipients=recipients,
    )
