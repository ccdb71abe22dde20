"""A batch with bursts: which hits a burst turns into a scanner's, in its own batch and before, and which it leaves."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hub.model import Count, Evidence, Settings
from hub.tracking.rules import BURST_CLIENTS, DELIVERY_WINDOW_MS, SHARERS_PER_CLIENT, VIEWING_MS
from tests.factories import T0, a_hit
from tests.test_batch import FRESH, PERSON, USER, judge, outcomes

SCANNER = ("scanner", False, False)


def test_burst_inside_a_batch_turns_its_earlier_hits() -> None:
    batch = judge([a_hit(FRESH, at=T0 + n * 1000) for n in range(4)], FRESH)
    assert outcomes(batch) == [("scanner", False, False)] * 4
    assert batch.corrected == []
    assert [event.type for event in batch.events(T0)] == ["open.recorded"] * 4
    assert batch.counts() == [Count(FRESH.id, 0, 0, 4)]


@pytest.mark.parametrize("told", [True, False])
def test_burst_across_batches_corrects_and_takes_back(told: bool) -> None:
    user = replace(USER, settings=Settings(realtime_notifications=told))
    first = judge([a_hit(FRESH, at=T0 + n) for n in range(2)], FRESH, user)
    assert outcomes(first) == [PERSON] * 2
    message = replace(FRESH, opens=2, hits=2)
    early = {(FRESH.id, 1): [(open_, hash_ or "") for open_, hash_ in first.opens]}
    second = judge([a_hit(FRESH, at=T0 + 5)], message, replace(USER, sequence=12), early=early)
    assert outcomes(second) == [("scanner", False, False)]
    assert [(open_.id, open_.verdict.verdict, open_.counted) for open_ in second.corrected] == [
        (open_.id, "scanner", False) for open_, _ in first.opens
    ]
    events = second.events(T0 + 9)
    assert [(event.type, event.sequence, event.was, event.at) for event in events] == [
        ("open.recorded", 13, None, T0 + 5),
        ("open.reclassified", 14, "human", T0 + 9),
        ("open.reclassified", 15, "human", T0 + 9),
    ]
    assert [event.notified for event in events[1:]] == [told, told], "what was told is taken back, and only that"
    assert {event.message.opens for event in events[1:] if event.message} == {0}


def test_one_client_by_two_hashes_at_midnight_is_no_burst() -> None:
    hits = [
        a_hit(FRESH, client="yesterday"),
        replace(a_hit(FRESH, at=T0 + 1), clients=("today", "yesterday")),
        a_hit(FRESH, at=T0 + 2, client="another"),
    ]
    assert [verdict for verdict, _, _ in outcomes(judge(hits, FRESH))] == ["human"] * 3


def test_client_of_a_burst_who_comes_back_repeats_nobody() -> None:
    burst = [a_hit(FRESH, at=T0 + n, client=f"client {n}") for n in range(3)]
    again = [a_hit(FRESH, at=T0 + DELIVERY_WINDOW_MS + 1 + n, client=f"client {n}") for n in range(3)]
    scanner = ("scanner", False, False)
    assert [(verdict, counted) for verdict, counted, _ in outcomes(judge(burst, FRESH))] == [scanner[:2]] * 3
    assert outcomes(judge([*burst, *again], FRESH))[3:] == [PERSON] * 3
    assert judge(burst, FRESH).mistaken == {(FRESH.id, 1, f"client {n}") for n in range(2)}
    assert judge([*burst, *again], FRESH).mistaken == set()


def test_client_of_a_burst_that_a_scanner_began_repeats_nobody() -> None:
    scanner = a_hit(FRESH, client="scanner", evidence=Evidence("browser", "proofpoint"))
    people = [a_hit(FRESH, at=T0 + n, client=f"client {n}") for n in (1, 2)]
    again = [replace(a_hit(FRESH, at=T0 + DELIVERY_WINDOW_MS + 1), clients=hit.clients) for hit in people]
    assert outcomes(judge([scanner, *people, *again], FRESH)) == [SCANNER] * 3 + [PERSON] * 2
    assert judge([scanner, *people], FRESH).mistaken == {(FRESH.id, 1, "client 1")}


def test_client_of_a_burst_across_midnight_repeats_nobody_by_either_hash() -> None:
    before, after = ("client 0", "client 0, tomorrow"), ("client 0, tomorrow", "client 0")
    burst = [
        replace(a_hit(FRESH, at=T0), clients=before),
        replace(a_hit(FRESH, at=T0 + 1), clients=after),
        *(a_hit(FRESH, at=T0 + 2) for _ in range(2)),
    ]
    again = replace(a_hit(FRESH, at=T0 + DELIVERY_WINDOW_MS + 1), clients=after)
    assert outcomes(judge([*burst, again], FRESH))[-1] == PERSON


def test_hits_after_the_delivery_window_are_no_burst() -> None:
    late = [a_hit(FRESH, at=T0 + DELIVERY_WINDOW_MS + 1 + n) for n in range(9)]
    batch = judge(late, FRESH)
    assert outcomes(batch) == [PERSON] * 9
    assert all(client_hash is None for _, client_hash in batch.opens), "kept only while a burst may turn the hit"


def test_client_hash_is_kept_only_in_the_delivery_window() -> None:
    batch = judge([a_hit(FRESH, at=T0, client="early"), a_hit(FRESH, at=T0 + 60_000, client="late")], FRESH)
    assert [client_hash for _, client_hash in batch.opens] == ["early", None]


@pytest.mark.parametrize(("position", "outcome"), [(1, SCANNER), (0, PERSON)])
def test_burst_takes_more_clients_only_on_a_pixel_that_many_share(
    position: int, outcome: tuple[str, bool, bool]
) -> None:
    message = replace(FRESH, recipient_count=SHARERS_PER_CLIENT)
    hits = [a_hit(FRESH, position, T0 + n) for n in range(BURST_CLIENTS)]
    assert outcomes(judge(hits, message)) == [outcome] * BURST_CLIENTS


def test_hit_that_turns_out_to_be_the_senders_own_is_no_part_of_a_burst() -> None:
    before = judge([a_hit(FRESH, at=T0)], FRESH)
    early = {(FRESH.id, 1): [(open_, hash_ or "") for open_, hash_ in before.opens]}
    later = [a_hit(FRESH, at=T0 + VIEWING_MS + n) for n in (1, 2)]
    batch = judge(later, FRESH, early=early, viewings={FRESH.id: [T0]})
    assert outcomes(batch) == [PERSON] * 2
    assert [open_.verdict.verdict for open_ in batch.corrected] == ["self"]
