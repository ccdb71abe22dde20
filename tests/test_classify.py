"""Classifying: the rules at their moments, and later evidence that corrects earlier verdicts."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Device, Evidence, Place, Verdict, VerdictName, Visit
from hub.tracking.classify import (
    Context,
    Sighting,
    classify,
    device_of,
    examine,
    explain_reason,
    is_early,
    reconsider,
)
from hub.tracking.datasets import RELAY_FILE, Datasets
from hub.tracking.rules import (
    BURST_CLIENTS,
    DELIVERY_WINDOW_MS,
    RULESET,
    SHARERS_PER_CLIENT,
    VIEWING_MS,
)
from tests.mmdb import city, write_mmdb

SENT = 1_790_000_000_000
LATER = SENT + 3_600_000
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
BARE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
READER, GOOGLE, MICROSOFT, RELAY = "81.2.69.160", "66.249.93.84", "40.94.29.3", "172.224.226.5"
FILTER = "40.107.1.1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    folder = tmp_path_factory.mktemp("data")
    (folder / RELAY_FILE).write_text("172.224.226.0/26,US,US-WA,Seattle,\n", encoding="utf-8")
    london = city("London", "England", "United Kingdom", "GB")
    somewhere = city("Nowhere", "None", "United States", "US")
    records = {f"{address}/32": somewhere for address in (GOOGLE, MICROSOFT, RELAY)} | {"81.2.69.0/24": london}
    return Datasets.load(folder, write_mmdb(folder / "city.mmdb", records))


def visit(user_agent: str, address: str = READER, *, prefetch: bool = False) -> Visit:
    return Visit("m", 1, LATER, address, user_agent, prefetch)


def sighting(id_: str, client: str, at: int, verdict: VerdictName = "human") -> Sighting:
    return Sighting(id_, at, client, Verdict(verdict, "high", ("browser",), RULESET))


# Evidence.


def test_evidence_holds_neither_address_nor_user_agent(data: Datasets) -> None:
    evidence = examine(visit(CHROME + " Marker/7.77"), data)
    raw = msgspec.json.encode(evidence).decode()
    assert READER not in raw
    assert "Marker" not in raw
    assert msgspec.json.decode(raw, type=Evidence) == evidence


@pytest.mark.parametrize(
    ("user_agent", "address", "place", "device"),
    [
        (CHROME, READER, Place("London", "England", "United Kingdom", "GB"), Device("desktop", "Windows", "Chrome")),
        (GMAIL, GOOGLE, Place(hidden_by="gmail"), Device(client="Gmail")),
        (GMAIL, READER, Place(hidden_by="gmail"), Device(client="Gmail")),
        (BARE, MICROSOFT, Place(hidden_by="outlook"), Device(client="Outlook")),
        ("YahooMailProxy; x", READER, Place(hidden_by="yahoo"), Device(client="Yahoo Mail")),
        ("Mozilla/5.0", RELAY, Place(hidden_by="apple"), Device(client="Apple Mail")),
        (SAFARI, RELAY, Place(hidden_by="apple"), Device("mobile", "iOS", "Safari")),
        ("FastmailUA/1.0", READER, Place(), Device(client="Fastmail")),
        ("Example Image Proxy", READER, Place(), Device()),
        (CHROME, GOOGLE, Place(), Device("desktop", "Windows", "Chrome")),
        (CHROME, MICROSOFT, Place(), Device("desktop", "Windows", "Chrome")),
        ("Mozilla/5.0", "148.163.139.74", Place(), Device()),
        (GMAIL, "148.163.139.74", Place(), Device()),
        ("curl/8.4.0", READER, Place("London", "England", "United Kingdom", "GB"), Device()),
        (CHROME, "148.163.139.74", Place(), Device()),
        (CHROME, FILTER, Place(), Device()),
        (SAFARI, FILTER, Place(), Device()),
        (BARE, FILTER, Place(hidden_by="outlook"), Device(client="Outlook")),
        (GMAIL, FILTER, Place(hidden_by="gmail"), Device(client="Gmail")),
    ],
)
def test_evidence_says_of_place_and_device_what_is_known(
    data: Datasets, user_agent: str, address: str, place: Place, device: Device
) -> None:
    evidence = examine(visit(user_agent, address), data)
    assert (evidence.place, evidence.device) == (place, device)


@given(st.text(max_size=600), st.sampled_from([READER, GOOGLE, MICROSOFT, RELAY, "", "garbage"]), st.booleans())
def test_any_hit_gets_a_verdict_with_reasons_in_words(user_agent: str, address: str, prefetch: bool) -> None:
    bare = Datasets.load(Path("there-is-no-such-folder"), None)
    evidence = examine(visit(user_agent, address, prefetch=prefetch), bare)
    verdict = classify(evidence, LATER, Context(sent_at=SENT))
    assert verdict.verdict in get_args(VerdictName)
    assert verdict.ruleset == RULESET
    assert verdict.reasons
    assert all(explain_reason(code) != code for code in verdict.reasons)


def test_machine_that_names_itself_has_its_name_among_the_reasons(data: Datasets) -> None:
    verdict = classify(examine(visit("curl/8.5.0"), data), LATER, Context(SENT))
    assert verdict.reasons == ("names_machine", "named:curl")


def test_reason_that_is_not_known_is_given_as_it_is() -> None:
    assert explain_reason("of-an-older-ruleset") == "of-an-older-ruleset"
    assert explain_reason("named:curl") == "It names itself curl"


@pytest.mark.parametrize(
    ("user_agent", "address", "early", "later"),
    [
        (CHROME, GOOGLE, Device(), Device("desktop", "Windows", "Chrome")),
        (CHROME, MICROSOFT, Device(), Device("desktop", "Windows", "Chrome")),
        (CHROME, FILTER, Device(), Device()),
        (CHROME, READER, Device("desktop", "Windows", "Chrome"), Device("desktop", "Windows", "Chrome")),
        (BARE, MICROSOFT, Device(client="Outlook"), Device(client="Outlook")),
    ],
)
def test_device_of_a_scanner_in_disguise_is_none(
    data: Datasets, user_agent: str, address: str, early: Device, later: Device
) -> None:
    evidence = examine(visit(user_agent, address), data)
    for at, device in ((SENT + 1_000, early), (LATER, later)):
        assert device_of(evidence, classify(evidence, at, Context(SENT))) == device


# Moments.


@pytest.mark.parametrize(
    ("user_agent", "address", "after", "verdict"),
    [
        (BARE, MICROSOFT, 0, "scanner"),
        (BARE, MICROSOFT, DELIVERY_WINDOW_MS, "scanner"),
        (BARE, MICROSOFT, DELIVERY_WINDOW_MS + 1, "proxy"),
        (BARE, MICROSOFT, -1, "self"),
        (CHROME, READER, 0, "human"),
        (CHROME, READER, 240_000, "human"),
        (GMAIL, GOOGLE, 1_000, "proxy"),
        ("Mozilla/5.0", RELAY, 1_000, "prefetch"),
        ("curl/8.4.0", READER, -1, "self"),
    ],
)
def test_verdict_by_the_time_since_sending(
    data: Datasets, user_agent: str, address: str, after: int, verdict: str
) -> None:
    assert classify(examine(visit(user_agent, address), data), SENT + after, Context(SENT)).verdict == verdict


@pytest.mark.parametrize(
    ("after", "early"), [(-1, False), (0, True), (DELIVERY_WINDOW_MS, True), (DELIVERY_WINDOW_MS + 1, False)]
)
def test_early_is_within_the_delivery_window(after: int, early: bool) -> None:
    assert is_early(SENT + after, SENT) is early
    assert not is_early(SENT + after, None)


def test_every_hit_on_a_message_not_sent_yet_is_the_senders(data: Datasets) -> None:
    for user_agent in (CHROME, GMAIL, "Mozilla/5.0", "", "curl/8.4.0"):
        assert classify(examine(visit(user_agent), data), LATER, Context(sent_at=None)).verdict == "self"


@pytest.mark.parametrize(
    ("distance", "own"),
    [(0, True), (VIEWING_MS, True), (-VIEWING_MS, True), (VIEWING_MS + 1, False), (-VIEWING_MS - 1, False)],
)
def test_hit_near_a_viewing_is_the_senders(data: Datasets, distance: int, own: bool) -> None:
    context = Context(SENT, viewings=[LATER - 500_000, LATER + distance])
    assert (classify(examine(visit(GMAIL, GOOGLE), data), LATER, context).verdict == "self") is own


@pytest.mark.parametrize(
    ("loaded", "address", "confidence"),
    [(True, RELAY, "high"), (True, READER, "medium"), (False, RELAY, "medium"), (False, READER, "medium")],
)
def test_apple_prefetch_is_less_sure_without_the_list_and_says_why(
    data: Datasets, tmp_path: Path, loaded: bool, address: str, confidence: str
) -> None:
    used = data if loaded else Datasets.load(tmp_path, None)
    verdict = classify(examine(visit("Mozilla/5.0", address), used), LATER, Context(SENT))
    assert (verdict.verdict, verdict.confidence) == ("prefetch", confidence)
    assert ("no_relay_list" in verdict.reasons) is not loaded


def test_apple_prefetch_without_the_list_says_nothing_of_whose_network_it_is(tmp_path: Path) -> None:
    evidence = examine(visit("Mozilla/5.0", READER), Datasets.load(tmp_path, None))
    told = [explain_reason(code) for code in classify(evidence, LATER, Context(SENT)).reasons]
    assert told[0] == "It looks like Apple Mail Privacy Protection"
    assert "is not loaded" in told[1]
    # The missing list is no reason where the verdict is certain without it.
    assert classify(evidence, LATER, Context(None)).reasons == ("before_sent",)
    assert classify(evidence, LATER, Context(SENT, viewings=[LATER])).reasons == ("viewing",)


# Bursts.


def burst_context(*others: Sighting, clients: tuple[str, ...] = ("me",), sharers: int = 1) -> Context:
    return Context(SENT, others=others, clients=clients, sharers=sharers)


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([], "human"),
        ([("a", 1_000, "human")], "human"),
        ([("a", 1_000, "human"), ("b", 2_000, "human")], "scanner"),
        ([("a", 1_000, "human"), ("b", 2_000, "scanner")], "scanner"),
        ([("a", 1_000, "human"), ("a", 2_000, "human")], "human"),
        ([("a", 1_000, "human"), ("me", 2_000, "human")], "human"),
        ([("a", 1_000, "human"), ("b", 2_000, "proxy")], "human"),
        ([("a", 1_000, "human"), ("b", 2_000, "prefetch")], "human"),
        ([("a", 1_000, "human"), ("b", 2_000, "bot")], "human"),
        ([("a", 1_000, "human"), ("b", 2_000, "self")], "human"),
        ([("a", 1_000, "human"), ("b", DELIVERY_WINDOW_MS + 1, "human")], "human"),
        ([("a", -1, "human"), ("b", 2_000, "human")], "human"),
    ],
)
def test_burst_is_of_different_clients_in_the_delivery_window(
    data: Datasets, others: list[tuple[str, int, VerdictName]], verdict: str
) -> None:
    seen = [sighting(str(number), client, SENT + at, said) for number, (client, at, said) in enumerate(others)]
    assert classify(examine(visit(CHROME), data), SENT + 3_000, burst_context(*seen)).verdict == verdict


def test_burst_does_not_turn_a_mail_providers_proxy_nor_a_later_reader(data: Datasets) -> None:
    seen = [sighting(name, name, SENT + 1_000, "scanner") for name in "abcd"]
    assert classify(examine(visit(GMAIL, GOOGLE), data), SENT + 3_000, burst_context(*seen)).verdict == "proxy"
    assert classify(examine(visit(CHROME), data), LATER, burst_context(*seen)).verdict == "human"


def test_burst_on_a_pixel_many_share_takes_more_clients(data: Datasets) -> None:
    seen = [sighting(str(number), str(number), SENT + 1_000) for number in range(BURST_CLIENTS - 1)]
    hit = examine(visit(CHROME), data)
    assert classify(hit, SENT + 2_000, burst_context(*seen, sharers=SHARERS_PER_CLIENT - 1)).verdict == "scanner"
    assert classify(hit, SENT + 2_000, burst_context(*seen, sharers=SHARERS_PER_CLIENT)).verdict == "human"


def test_reconsider_turns_the_people_of_a_burst() -> None:
    seen = [
        sighting("1", "a", SENT + 1_000),
        sighting("2", "b", SENT + 2_000, "proxy"),
        sighting("3", "c", SENT + 3_000),
        sighting("4", "a", SENT + 4_000),
        sighting("5", "d", SENT + 5_000, "scanner"),
        sighting("6", "e", SENT + DELIVERY_WINDOW_MS + 1),
    ]
    changed = dict(reconsider(seen, Context(SENT)))
    assert {id_: verdict.verdict for id_, verdict in changed.items()} == dict.fromkeys("134", "scanner")
    assert [explain_reason(code) for code in changed["1"].reasons] == [
        "Several clients, each by address and program, fetched it within seconds of sending"
    ]
    assert reconsider(seen[:3], Context(SENT)) == []
    assert reconsider(seen, Context(sent_at=None)) == []


def test_reconsider_makes_hits_near_a_viewing_the_senders() -> None:
    seen = [
        sighting("1", "a", LATER - VIEWING_MS),
        sighting("2", "b", LATER + VIEWING_MS, "proxy"),
        sighting("3", "c", LATER, "self"),
        sighting("4", "d", LATER + VIEWING_MS + 1),
    ]
    changed = reconsider(seen, Context(SENT, viewings=[LATER]))
    assert [(id_, verdict.verdict) for id_, verdict in changed] == [("1", "self"), ("2", "self")]


steps = st.tuples(
    st.sampled_from([CHROME, SAFARI, GMAIL, "curl/8.4.0", "Mozilla/5.0"]),
    st.integers(0, DELIVERY_WINDOW_MS),
    st.sampled_from("abcde"),
)


@given(st.lists(steps, max_size=5))
def test_verdicts_do_not_depend_on_the_order_of_arrival(hits: list[tuple[str, int, str]]) -> None:
    """Judging each hit as it comes, and reconsidering after each, ends with the same verdicts in any order."""
    bare = Datasets.load(Path("there-is-no-such-folder"), None)
    evidence = {number: examine(visit(user_agent), bare) for number, (user_agent, _, _) in enumerate(hits)}
    ends = set()
    for order in permutations(range(len(hits))):
        seen: dict[str, Sighting] = {}
        for number in order:
            _, after, client = hits[number]
            context = Context(SENT, others=list(seen.values()), clients=(client,))
            seen[str(number)] = Sighting(
                str(number), SENT + after, client, classify(evidence[number], SENT + after, context)
            )
            for id_, verdict in reconsider(list(seen.values()), context):
                seen[id_] = msgspec.structs.replace(seen[id_], verdict=verdict)
            assert reconsider(list(seen.values()), context) == []
        ends.add(tuple(seen[str(number)].verdict.verdict for number in range(len(hits))))
    assert len(ends) == 1
