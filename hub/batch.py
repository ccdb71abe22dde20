"""A batch: hits judged together, and everything that their transaction has to write.

Promise: pure. What was read for the hits goes in; what to insert, count, remember, correct and tell comes out. Each hit
is judged with the earlier hits of its batch in view, as if each had come in a batch of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from hub import policy
from hub.model import (
    COUNTABLE,
    ClientKey,
    Count,
    Event,
    EventType,
    Hit,
    MessageState,
    Open,
    PixelKey,
    Recipient,
    User,
    Verdict,
    Withheld,
)
from hub.tracking.classify import Context, Sighting, classify, device_of, is_early, reconsider


@dataclass(slots=True)
class Known:
    """What was read for hits that are to be judged.

    `early` holds each pixel's opens in the delivery window with their client hashes. `last_seen` says when each client
    was last taken for a person, and `viewings` when the sender looked at each message. Each has only what bears on the
    hits.
    """

    users: dict[str, User]
    messages: dict[str, MessageState]
    recipients: dict[PixelKey, Recipient] = field(default_factory=dict)
    last_seen: dict[ClientKey, int] = field(default_factory=dict)
    early: dict[PixelKey, Sequence[tuple[Open, str]]] = field(default_factory=dict)
    viewings: dict[str, Sequence[int]] = field(default_factory=dict)

    def add(self, more: Known) -> None:
        """Add what was read for other hits, on other messages. If a user was read twice the first reading is kept: the
        commit checks whether it still holds.
        """
        self.users = more.users | self.users
        self.messages |= more.messages
        self.recipients |= more.recipients
        self.last_seen |= more.last_seen
        self.early |= more.early
        self.viewings |= more.viewings

    def follow(self, sequences: Mapping[str, int]) -> None:
        """Take over the sequences at which a batch committed meanwhile has left these users' logs."""
        for user_id in self.users.keys() & sequences.keys():
            self.users[user_id] = replace(self.users[user_id], sequence=sequences[user_id])


class Batch:
    """The judgement of a batch: call `judge` with hits in the order they came, then read the results."""

    def __init__(self, repeat_ms: int) -> None:
        """A hit is a repeat if its client was taken for a person within `repeat_ms` milliseconds of it."""
        self._repeat_ms = repeat_ms
        self._known = Known({}, {})
        self._opens: dict[str, Open] = {}
        """The new opens by id, in the order of their hits. A later hit may correct one."""
        self._sightings: dict[PixelKey, list[Sighting]] = {}
        """What a burst on each pixel may be made of: its early hits, those of earlier batches first."""
        self._client_hashes: dict[str, str] = {}
        """For each new open that is a sighting, the client's hash, which is kept for later batches."""
        self._before: dict[str, Open] = {}
        self._corrected: dict[str, Open] = {}
        """Opens of earlier batches by id: as they were read, and those that this batch corrects."""
        self._last_seen: dict[ClientKey, tuple[int, ...]] = {}
        """When each client was taken for a person: at the latest and, in this batch, at its last hit."""
        self.seen: dict[ClientKey, int] = {}
        """The latest of these times, where this batch changes it."""
        self._mistaken: set[ClientKey] = set()

    def judge(self, hits: Iterable[Hit], known: Known) -> None:
        """Judge hits by what is `known`. None may be on a message that hits of an earlier call were on."""
        self._known.add(known)
        self._last_seen |= {key: (at,) for key, at in known.last_seen.items()}
        for pixel, opens in known.early.items():
            self._sightings[pixel] = [_sighting(open_, client) for open_, client in opens]
            self._before |= {open_.id: open_ for open_, _ in opens}
        for hit in hits:
            self._judge(hit)

    def follow(self, sequences: Mapping[str, int]) -> None:
        """As `Known.follow`."""
        self._known.follow(sequences)

    def __contains__(self, hit_id: str) -> bool:
        """Whether the hit with this id was judged."""
        return hit_id in self._opens

    @property
    def size(self) -> int:
        """How many hits were judged."""
        return len(self._opens)

    @property
    def users(self) -> Mapping[str, User]:
        """The owners of the batch's messages by id, as they were read."""
        return self._known.users

    @property
    def opens(self) -> list[tuple[Open, str | None]]:
        """The opens to insert, each with the client hash to keep, if any."""
        return [
            (open_ if self._withheld(open_) else replace(open_, told=True), self._client_hashes.get(open_.id))
            for open_ in self._opens.values()
        ]

    @property
    def corrected(self) -> list[Open]:
        """Opens of earlier batches, with the corrections made."""
        return list(self._corrected.values())

    @property
    def mistaken(self) -> set[ClientKey]:
        """The clients that were taken for people, in this batch or before, and turn out not to be."""
        return self._mistaken - self.seen.keys()

    def verdicts(self) -> Mapping[str, int]:
        """How many of the new opens have each verdict."""
        return Counter(open_.verdict.verdict for open_ in self._opens.values())

    def counts(self) -> list[Count]:
        """What the new opens add to messages (position 0) and, where a message has several recipients, to these."""
        counts: dict[PixelKey, Count] = {}
        for open_ in self._opens.values():
            alone = self._known.messages[open_.message_id].recipient_count == 1
            for position in (0,) if alone or not open_.position else (0, open_.position):
                count = counts.setdefault((open_.message_id, position), Count(open_.message_id, position))
                count.hits += 1
                if open_.counted:
                    count.opens += 1
                    count.first = open_.at if count.first is None else min(count.first, open_.at)
                    count.last = open_.at if count.last is None else max(count.last, open_.at)
        return list(counts.values())

    def events(self, now: int) -> list[Event]:
        """The events, numbered from the end of each user's log; `now` dates the corrections."""
        sequences = {user_id: user.sequence for user_id, user in self._known.users.items()}
        opens = {message_id: message.opens for message_id, message in self._known.messages.items()}
        events = []
        for open_ in self._opens.values():
            opens[open_.message_id] += open_.counted
            events.append(self._event("open.recorded", open_, sequences, opens))
        for open_ in self._corrected.values():
            opens[open_.message_id] += open_.counted - self._before[open_.id].counted
        for open_ in self._corrected.values():
            event = self._event("open.reclassified", open_, sequences, opens)
            events.append(taken_back(event, self._before[open_.id], now))
        return events

    def _judge(self, hit: Hit) -> None:
        message = self._known.messages[hit.message_id]
        pixel = (hit.message_id, hit.position)
        sightings = self._sightings.setdefault(pixel, [])
        context = Context(
            sent_at=message.sent_at,
            viewings=self._known.viewings.get(message.id, ()),
            others=sightings,
            clients=hit.clients,
            sharers=1 if hit.position else message.recipient_count,
        )
        verdict = classify(hit.evidence, hit.at, context)
        repeat = self._is_repeat(hit, verdict)
        open_ = Open(
            id=hit.id,
            user_id=message.user_id,
            message_id=message.id,
            position=hit.position,
            at=hit.at,
            verdict=verdict,
            counted=_counts(verdict, repeat),
            repeat=repeat,
            told=False,
            place=hit.evidence.place,
            device=device_of(hit.evidence, verdict),
        )
        self._opens[hit.id] = open_
        early = is_early(hit.at, message.sent_at)
        client = _client_among(sightings, hit) if early else hit.clients[0]
        if verdict.verdict in COUNTABLE:
            key = (*pixel, client)
            # A hit from the spool may be older than the last one seen. Either can be repeated; the later time is kept.
            latest = max((*self._last_seen.get(key, ()), hit.at))
            self._last_seen[key] = (latest, hit.at)
            self.seen[key] = latest
        if early:
            self._client_hashes[hit.id] = client
            sightings.append(_sighting(open_, client))
            self._reconsider(pixel, context)

    def _withheld(self, open_: Open) -> Withheld | None:
        message, user = self._known.messages[open_.message_id], self._known.users[open_.user_id]
        return policy.withheld(counted=open_.counted, message=message, settings=user.settings)

    def _is_repeat(self, hit: Hit, verdict: Verdict) -> bool:
        if verdict.verdict not in COUNTABLE or not self._repeat_ms:
            return False
        pixel = (hit.message_id, hit.position)
        before = [at for client in hit.clients for at in self._last_seen.get((*pixel, client), ())]
        # Before or after: the spool is replayed after hits that came later.
        return any(abs(hit.at - at) <= self._repeat_ms for at in before)

    def _reconsider(self, pixel: PixelKey, context: Context) -> None:
        sightings = self._sightings[pixel]
        for open_id, verdict in reconsider(sightings, context):
            if open_id in self._opens:
                self._opens[open_id] = corrected(self._opens[open_id], verdict)
            else:
                self._corrected[open_id] = corrected(self._before[open_id], verdict)
            place = next(place for place, sighting in enumerate(sightings) if sighting.id == open_id)
            sightings[place] = replace(sightings[place], verdict=verdict)
            # A client that was no person cannot be repeated.
            key = (*pixel, sightings[place].client)
            self._last_seen.pop(key, None)
            self.seen.pop(key, None)
            self._mistaken.add(key)

    def _event(self, type_: EventType, open_: Open, sequences: dict[str, int], opens: Mapping[str, int]) -> Event:
        user = self._known.users[open_.user_id]
        message = replace(self._known.messages[open_.message_id], opens=opens[open_.message_id])
        sequences[user.id] += 1
        return open_event(
            type_, open_, message, self._known.recipients.get((message.id, open_.position)), user, sequences[user.id]
        )


def open_event(
    type_: EventType, open_: Open, message: MessageState, recipient: Recipient | None, user: User, sequence: int
) -> Event:
    """The `open.recorded` or `open.reclassified` event for an open; the policy says whether it is withheld."""
    reason = policy.withheld(counted=open_.counted, message=message, settings=user.settings)
    return Event(
        user_id=user.id,
        sequence=sequence,
        type=type_,
        at=open_.at,
        notified=reason is None,
        withheld=reason,
        open=open_,
        message=message,
        recipient=recipient,
    )


def taken_back(event: Event, before: Open, now: int) -> Event:
    """The `open.reclassified` event, dated `now`, with the verdict of `before`; it notifies if `before` was told."""
    return replace(event, at=now, notified=before.told, was=before.verdict.verdict)


def corrected(open_: Open, verdict: Verdict) -> Open:
    """The open with another verdict, and `counted` to match."""
    return replace(open_, verdict=verdict, counted=_counts(verdict, open_.repeat))


def _counts(verdict: Verdict, repeat: bool) -> bool:
    return verdict.verdict in COUNTABLE and not repeat


def _client_among(sightings: Iterable[Sighting], hit: Hit) -> str:
    """The one hash by which a hit's client goes among these sightings. Near midnight the client has two; one that an
    earlier sighting has is kept. Otherwise the client would be two of a burst, and once that burst is taken back one of
    the two could still be repeated.
    """
    known = {sighting.client for sighting in sightings}.intersection(hit.clients)
    return min(known, default=hit.clients[0])


def _sighting(open_: Open, client: str) -> Sighting:
    return Sighting(open_.id, open_.at, client, open_.verdict)
