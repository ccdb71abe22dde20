"""A batch: hits judged without I/O, in any order, and all that follows from them, compared with a plain model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.batch import Batch, Known
from hub.model import (
    COUNTABLE,
    Count,
    Event,
    Hit,
    Message,
    MessageState,
    Open,
    Recipient,
    Settings,
    User,
    Verdict,
    new_id,
)
from hub.tracking.rules import VIEWING_MS
from tests.factories import CRAWLER, GMAIL, T0, a_hit
from tests.samples import a_message

REPEAT_MS = 30_000
USER = User("user", "sender@example.com", "A Sender", "user", Settings(), 10, 0)
OTHER = replace(USER, id="other")
MESSAGE = a_message(user_id=USER.id, sent_at=T0 - 3_600_000)
FRESH = a_message(user_id=USER.id, sent_at=T0)
"""`MESSAGE` was sent an hour ago; `FRESH` just now, so that a burst can turn its hits into a scanner's."""


def judge(hits: Sequence[Hit], message: Message = MESSAGE, user: User = USER, **known: object) -> Batch:
    return a_batch(hits, Known({user.id: user}, {message.id: message}, **known))  # type: ignore[arg-type]


def a_batch(hits: Sequence[Hit], known: Known, repeat_ms: int = REPEAT_MS) -> Batch:
    batch = Batch(repeat_ms)
    batch.judge(hits, known)
    return batch


def outcomes(batch: Batch) -> list[tuple[str, bool, bool]]:
    """Of each open its verdict, whether it is counted and whether it is a repeat."""
    return [(open_.verdict.verdict, open_.counted, open_.repeat) for open_, _ in batch.opens]


@pytest.mark.parametrize(
    ("recipients", "position", "expected"),
    [
        (1, 1, [Count(MESSAGE.id, 0, 1, 1, T0, T0)]),
        (3, 2, [Count(MESSAGE.id, 0, 1, 1, T0, T0), Count(MESSAGE.id, 2, 1, 1, T0, T0)]),
        (3, 0, [Count(MESSAGE.id, 0, 1, 1, T0, T0)]),
    ],
)
def test_counts_of_a_recipient_are_kept_only_beside_others(
    recipients: int, position: int, expected: list[Count]
) -> None:
    message = replace(MESSAGE, recipient_count=recipients)
    assert judge([a_hit(MESSAGE, at=T0, position=position)], message).counts() == expected


def test_counts_have_the_first_and_the_last_open_in_whatever_order_they_come() -> None:
    hits = [a_hit(MESSAGE, 0, T0 + at) for at in (0, 90_000, -90_000, 30_000)]
    assert judge(hits).counts() == [Count(MESSAGE.id, 0, 4, 4, T0 - 90_000, T0 + 90_000)]


PERSON, REPEAT = ("human", True, False), ("human", False, True)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0], [PERSON]),
        ([0, 30], [PERSON, REPEAT]),
        ([0, 30.001], [PERSON, PERSON]),
        ([0, 0], [PERSON, REPEAT]),
        ([0, 20, 40, 60, 80], [PERSON, REPEAT, REPEAT, REPEAT, REPEAT]),
        ([0, 20, 40, 71], [PERSON, REPEAT, REPEAT, PERSON]),
        ([10, 0], [PERSON, REPEAT]),
    ],
    ids=str,
)
def test_repeat_is_a_hit_within_a_sliding_window_after_the_last(
    seconds: list[float], expected: list[tuple[str, bool, bool]]
) -> None:
    hits = [a_hit(MESSAGE, at=T0 + int(second * 1000), client="a client") for second in seconds]
    assert outcomes(judge(hits)) == expected
    assert outcomes_one_by_one(hits) == expected


def outcomes_one_by_one(hits: Sequence[Hit]) -> list[tuple[str, bool, bool]]:
    """The outcomes with each hit in a batch of its own; what the store would keep is kept between the batches."""
    found: list[tuple[str, bool, bool]] = []
    last_seen: dict[tuple[str, int, str], int] = {}
    for hit in hits:
        batch = judge([hit], last_seen=dict(last_seen))
        last_seen.update(batch.seen)
        found += outcomes(batch)
    return found


@pytest.mark.parametrize(
    "other",
    [
        a_hit(MESSAGE, client="another client"),
        a_hit(MESSAGE, 2, client="a client"),
    ],
)
def test_another_client_or_pixel_repeats_nothing(other: Hit) -> None:
    assert outcomes(judge([a_hit(MESSAGE, client="a client"), other])) == [PERSON, PERSON]


def test_another_message_repeats_nothing() -> None:
    other = a_message(id=new_id(), user_id=USER.id, sent_at=T0 - 3_600_000)
    hits = [a_hit(MESSAGE, client="a client"), a_hit(other, client="a client")]
    known = Known({USER.id: USER}, {MESSAGE.id: MESSAGE, other.id: other})
    assert outcomes(a_batch(hits, known)) == [PERSON, PERSON]


def test_machine_is_no_repeat_and_is_repeated_by_nobody() -> None:
    hits = [
        a_hit(MESSAGE, client="a client", evidence=CRAWLER),
        a_hit(MESSAGE, client="a client"),
        a_hit(MESSAGE, client="a client", evidence=CRAWLER),
    ]
    batch = judge(hits)
    assert outcomes(batch) == [("bot", False, False), PERSON, ("bot", False, False)]
    assert set(batch.seen.values()) == {T0}


def test_proxy_counts_and_repeats_as_a_person() -> None:
    hits = [a_hit(MESSAGE, client="a client", evidence=GMAIL) for _ in range(2)]
    assert outcomes(judge(hits)) == [("proxy", True, False), ("proxy", False, True)]


def test_repeat_is_seen_across_midnight_under_yesterdays_key() -> None:
    before = a_hit(MESSAGE, client="a client, yesterday")
    after = replace(a_hit(MESSAGE, at=T0 + 1000), clients=("a client, today", "a client, yesterday"))
    later = replace(a_hit(MESSAGE, at=T0 + 2000), clients=("a client, today",))
    assert outcomes(judge([before, after, later])) == [PERSON, REPEAT, REPEAT]
    known = {(MESSAGE.id, 1, "a client, yesterday"): T0}
    assert outcomes(judge([after], last_seen=known)) == [REPEAT]


def test_nothing_repeats_where_repeats_are_off() -> None:
    hits = [a_hit(MESSAGE, client="a client") for _ in range(3)]
    batch = a_batch(hits, Known({USER.id: USER}, {MESSAGE.id: MESSAGE}), 0)
    assert outcomes(batch) == [PERSON] * 3


def test_spooled_hits_that_come_late_find_their_repeats_and_take_nothing_back() -> None:
    key = (MESSAGE.id, 1, "a client")
    late = [a_hit(MESSAGE, at=T0 + at, client="a client") for at in (-60_000, -50_000)]
    batch = judge([*late, a_hit(MESSAGE, at=T0 + 5000, client="a client")], last_seen={key: T0})
    assert outcomes(batch) == [PERSON, REPEAT, REPEAT]
    assert list(batch.seen.values()) == [T0 + 5000]
    assert list(judge(late, last_seen={key: T0}).seen.values()) == [T0]


def test_hit_before_sending_or_around_a_viewing_is_the_senders_own() -> None:
    draft = a_message(user_id=USER.id, sent_at=None)
    assert outcomes(judge([a_hit(draft)], draft)) == [("self", False, False)]
    viewed = {MESSAGE.id: [T0]}
    near = [a_hit(MESSAGE, at=T0 + offset) for offset in (-VIEWING_MS - 1, -VIEWING_MS, VIEWING_MS, VIEWING_MS + 1)]
    own = ("self", False, False)
    assert outcomes(judge(near, viewings=viewed)) == [PERSON, own, own, PERSON]


# Events


@pytest.mark.parametrize(
    ("settings", "muted", "withheld"),
    [
        (Settings(), None, None),
        (Settings(), True, "muted"),
        (Settings(realtime_notifications=False), None, "realtime_off"),
        (Settings(muted_all_at=T0, muted_all_sequence=9), None, "muted"),
        (Settings(muted_all_at=T0, muted_all_sequence=2), None, None),
    ],
)
def test_event_and_open_say_whether_the_sender_is_told(
    settings: Settings, muted: bool | None, withheld: str | None
) -> None:
    message = replace(MESSAGE, muted=muted, muted_set_sequence=7 if muted else 0)
    batch = judge([a_hit(MESSAGE)], message, replace(USER, settings=settings))
    [event] = batch.events(T0)
    assert (event.notified, event.withheld) == (withheld is None, withheld)
    assert [open_.told for open_, _ in batch.opens] == [withheld is None]


def test_events_tell_each_open_with_its_recipient_and_the_count_so_far() -> None:
    ada = Recipient("ada@example.com", "Ada")
    hits = [a_hit(MESSAGE), a_hit(MESSAGE, evidence=CRAWLER), a_hit(MESSAGE, 0)]
    events = judge(hits, replace(MESSAGE, opens=5), recipients={(MESSAGE.id, 1): ada}).events(T0)
    assert [event.sequence for event in events] == [11, 12, 13]
    assert [event.recipient for event in events] == [ada, ada, None]
    assert [event.message.opens for event in events if event.message] == [6, 6, 7]
    assert [event.open.id for event in events if event.open] == [hit.id for hit in hits]


# Any history


@dataclass
class Ledger:
    """What the store would hold after some batches, in the plainest form."""

    users: dict[str, User] = field(default_factory=lambda: {USER.id: USER, OTHER.id: OTHER})
    messages: dict[str, Message] = field(default_factory=dict)
    opens: dict[str, tuple[Open, str | None]] = field(default_factory=dict)
    counts: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    last_seen: dict[tuple[str, int, str], int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    viewings: dict[str, list[int]] = field(default_factory=dict)

    def take(self, hits: Sequence[Hit]) -> None:
        """Judge a batch, and keep its results."""
        early: dict[tuple[str, int], Sequence[tuple[Open, str]]] = {}
        for open_, client in self.opens.values():
            if client is not None:
                pixel = (open_.message_id, open_.position)
                early[pixel] = [*early.get(pixel, ()), (open_, client)]
        messages: dict[str, MessageState] = {
            key: replace(message, opens=self.counts[key, 0, "opens"]) for key, message in self.messages.items()
        }
        known = Known(self.users, messages, {}, self.last_seen, early, dict(self.viewings))
        batch = a_batch(hits, known)
        events = batch.events(T0)
        for open_, client in batch.opens:
            assert open_.id not in self.opens
            self.opens[open_.id] = (open_, client)
        for count in batch.counts():
            self.counts[count.message_id, count.position, "opens"] += count.opens
            self.counts[count.message_id, count.position, "hits"] += count.hits
        for open_ in batch.corrected:
            before, client = self.opens[open_.id]
            self.opens[open_.id] = (open_, client)
            for position in {0, open_.position}:
                self.counts[open_.message_id, position, "opens"] += open_.counted - before.counted
        for key in batch.mistaken:
            self.last_seen.pop(key, None)
        self.last_seen.update(batch.seen)
        self.events += events
        for event in events:
            self.users[event.user_id] = replace(self.users[event.user_id], sequence=event.sequence)


SENT = {"old": T0 - 3_600_000, "fresh": T0, "shared": T0, "draft": None, "other": T0 - 1000}
MESSAGES = {
    name: a_message(id=new_id(), user_id="other" if name == "other" else "user", sent_at=at, recipient_count=2)
    for name, at in SENT.items()
}
ANY_HITS = st.builds(
    lambda name, position, at, client, evidence: a_hit(
        MESSAGES[name], 0 if name == "shared" else position, T0 + at, client, evidence=evidence
    ),
    st.sampled_from(sorted(MESSAGES)),
    st.integers(1, 2),
    st.integers(-5_000, 60_000),
    st.sampled_from("abcde"),
    st.sampled_from([a_hit(MESSAGE).evidence, GMAIL, CRAWLER]),
)
EARLY_HITS = st.builds(
    lambda name, at, client: a_hit(MESSAGES[name], 1, SENT[name] + at, client),
    st.sampled_from(["fresh", "other"]),
    st.integers(0, 10_000),
    st.sampled_from("abcde"),
)
"""People's, while a burst may still turn out to be one: those of `ANY_HITS` hardly ever meet there."""
HITS = ANY_HITS | EARLY_HITS
VIEWED = st.tuples(st.sampled_from(sorted(MESSAGES)), st.integers(-5_000, 60_000))


@given(st.lists(st.lists(HITS, min_size=1, max_size=12), max_size=5), st.lists(VIEWED, max_size=2))
def test_any_history_adds_up(batches: list[list[Hit]], viewed: list[tuple[str, int]]) -> None:
    ledger = Ledger(messages={message.id: message for message in MESSAGES.values()})
    for name, at in viewed:
        ledger.viewings.setdefault(MESSAGES[name].id, []).append(T0 + at)
    for hits in batches:
        ledger.take(hits)
    opens = [open_ for open_, _ in ledger.opens.values()]
    assert len(opens) == sum(map(len, batches)), "every hit is an open, whatever it was"
    for open_ in opens:
        assert open_.counted == (open_.verdict.verdict in COUNTABLE and not open_.repeat)
    recount: Counter[tuple[str, int, str]] = Counter()
    for open_ in opens:
        for position in {0, open_.position}:
            recount[open_.message_id, position, "hits"] += 1
            recount[open_.message_id, position, "opens"] += open_.counted
    assert +ledger.counts == +recount
    for user in ledger.users.values():
        numbers = [event.sequence for event in ledger.events if event.user_id == user.id]
        assert numbers == list(range(11, user.sequence + 1)), "gapless, in order, from where the log stood"
    recorded = [event.open.id for event in ledger.events if event.type == "open.recorded" and event.open]
    assert sorted(recorded) == sorted(ledger.opens)
    for event in ledger.events:
        if event.type == "open.reclassified":
            assert event.open
            assert event.open.verdict.verdict != event.was


@given(st.lists(HITS, max_size=12), st.integers(0, 12))
def test_batches_can_be_cut_anywhere(hits: list[Hit], cut: int) -> None:
    """What is known in the end does not depend on which hits happened to be judged together."""
    whole = Ledger(messages={message.id: message for message in MESSAGES.values()})
    parts = Ledger(messages=dict(whole.messages))
    whole.take(hits)
    for part in (hits[:cut], hits[cut:]):
        parts.take(part)

    def told_apart(ledger: Ledger) -> dict[str, tuple[Verdict, bool, bool]]:
        return {key: (open_.verdict, open_.counted, open_.repeat) for key, (open_, _) in ledger.opens.items()}

    assert told_apart(parts) == told_apart(whole)
    assert +parts.counts == +whole.counts
