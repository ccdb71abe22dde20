"""How `web/client.js` makes up for events that it missed: all of them, once and in order, and then it says so."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.clients import FAKE, accept, client_page, events, say, sockets, start, state, stop_the_clock, told
from tests.browser.conftest import Desks
from tests.browser.people import Sender


@pytest.fixture
def page(desks: Desks, sender: Sender) -> Page:
    return client_page(desks, sender)


def test_events_that_were_missed_are_all_told_before_the_client_has_caught_up(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate(FAKE, {"cursor": 2, "stream": "history"})
    accept(page, 0, sequence=6)
    for sequence in (3, 4, 5):
        page.clock.run_for(3_000)
        page.evaluate("(sequence) => FakeSocket.all[0].event(sequence)", sequence)
    page.clock.run_for(3_000)
    assert (page.evaluate("() => client.state"), told(page, "caughtup")) == ("catching-up", [])
    page.evaluate("() => FakeSocket.all[0].event(6)")
    assert (page.evaluate("() => client.state"), told(page, "caughtup")) == ("live", [{"missed": 4}])
    assert events(page, 4) == [[3, True], [4, True], [5, True], [6, True]]


def test_what_was_told_before_a_replay_broke_off_counts_as_missed(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate(FAKE, {"cursor": 2, "stream": "history"})
    accept(page, 0, sequence=6)
    page.evaluate("() => [3, 4].forEach((sequence) => FakeSocket.all[0].event(sequence))")
    page.evaluate("() => FakeSocket.all[0].end(1006)")
    page.clock.run_for(1_000)
    sockets(page, 2)
    accept(page, 1, sequence=6)
    page.evaluate("() => [5, 6].forEach((sequence) => FakeSocket.all[1].event(sequence))")
    assert told(page, "caughtup") == [{"missed": 4}]
    page.evaluate("() => FakeSocket.all[1].end(1006)")
    page.clock.run_for(1_000)
    sockets(page, 3)
    accept(page, 2, sequence=6)
    assert told(page, "caughtup") == [{"missed": 4}, {"missed": 0}]


def test_a_filtered_replay_is_over_a_moment_after_its_last_event(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate(FAKE, {"cursor": 2})
    accept(page, 0, sequence=9)
    for sequence in (3, 5, 7):
        page.clock.run_for(400)
        page.evaluate("(sequence) => FakeSocket.all[0].event(sequence)", sequence)
    page.clock.run_for(400)
    assert told(page, "caughtup") == []
    page.clock.run_for(200)
    assert told(page, "caughtup") == [{"missed": 3}]
    page.evaluate("() => FakeSocket.all[0].event(10)")
    assert events(page, 4)[3] == [10, False]


def test_a_heartbeat_ends_a_replay_that_has_nothing_to_bring(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 2, "stream": "history"})
    accept(page, 0, sequence=3)
    state(page, "catching-up")
    page.evaluate("() => FakeSocket.all[0].say({ type: 'heartbeat', sequence: 3 })")
    assert told(page, "caughtup") == [{"missed": 0}]


def test_a_heartbeat_tells_how_far_a_filtered_stream_has_come(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 2})
    accept(page, 0, sequence=2)
    say(page, 0, type="heartbeat", sequence=6_000)
    page.evaluate("() => FakeSocket.all[0].end(1012)")
    sockets(page, 2)
    accept(page, 1, sequence=6_000)
    assert page.evaluate("() => FakeSocket.all[1].sent[0].after") == 6_000
    assert told(page, "reset") == []
    page.evaluate("() => FakeSocket.all[1].event(6_001)")
    assert events(page, 1) == [[6_001, False]]


def test_a_listener_may_close_the_client_before_anything_is_dispatched(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 2})
    page.evaluate("""() => {
        window.states = [];
        client.addEventListener("state", ({ detail }) => states.push(detail.state));
        client.addEventListener("connected", () => client.close());
    }""")
    accept(page, 0, sequence=5)
    assert page.evaluate("() => [states, log.events, FakeSocket.all[0].open]") == [["idle"], [], False]


def test_a_listener_may_close_the_client_as_a_live_event_ends_a_replay(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 2})
    page.evaluate("() => client.addEventListener('caughtup', () => client.close())")
    accept(page, 0, sequence=5)
    page.evaluate("() => { for (const sequence of [3, 9]) FakeSocket.all[0].event(sequence); }")
    assert page.evaluate("() => [client.state, client.sequence]") == ["idle", 3]
    assert events(page, 1) == [[3, True]]


@pytest.mark.parametrize("at", [3, 4, 5, 6])
def test_a_listener_may_close_the_client_in_the_middle_of_a_replay(page: Page, at: int) -> None:
    old = {"type": "settings.updated", "data": {}}
    answers = [{"items": [{**old, "sequence": "3"}, {**old, "sequence": "4"}], "sequence": 5}]
    answers += [{"items": [{**old, "sequence": "5"}], "sequence": 5}]
    page.evaluate(FAKE, {"cursor": 2, "stream": "history", "answers": answers})
    page.evaluate(
        """(at) => {
            client.addEventListener("event", ({ detail }) => detail.event.sequence === String(at) && client.close());
            FakeSocket.all[0].accept({ sequence: 5, recovered: false });
            FakeSocket.all[0].event(6);
            FakeSocket.all[0].event(7);
        }""",
        at,
    )
    state(page, "idle")
    page.evaluate("() => client.start()")
    sockets(page, 2)
    assert [sequence for sequence, _ in events(page, at - 2)] == list(range(3, at + 1))
    accept(page, 1, sequence=7)
    for sequence in range(at + 1, 8):
        page.evaluate("(sequence) => FakeSocket.all[1].event(sequence)", sequence)
    state(page, "live")
    assert [sequence for sequence, _ in events(page, 5)] == [3, 4, 5, 6, 7]
    assert page.evaluate("() => FakeSocket.all[1].sent[0].after") == at


def test_more_than_the_socket_replays_is_read_from_the_api(page: Page, sender: Sender) -> None:
    message = sender.register()
    for number in range(1_050):
        sender.patch(f"/messages/{message['id']}", muted=bool(number % 2))
    head = sender.get("/me")["sequence"]
    start(page, sender, stream="history", cursor=1)
    state(page, "live")
    assert told(page, "connected")[0]["recovered"] is False
    assert [sequence for sequence, _ in events(page, head - 1)] == list(range(2, head + 1))
    sender.hit(message)
    assert events(page, head)[-1] == [head + 1, False]


def test_live_events_wait_while_the_api_is_read(page: Page) -> None:
    old = {"type": "open.recorded", "data": {"notify": True, "message": {"muted": False}}}
    answers = [{"items": [{**old, "sequence": "3"}, {**old, "sequence": "4"}], "sequence": 5}]
    answers += [{"items": [{**old, "sequence": "5"}], "sequence": 6}]
    page.evaluate(FAKE, {"cursor": 2, "answers": answers})
    page.evaluate("""() => {
        const [socket] = FakeSocket.all;
        socket.accept({ sequence: 5, recovered: false });
        socket.event(6);
    }""")
    assert events(page, 4) == [[3, True], [4, True], [5, True], [6, False]]
    state(page, "live")


@pytest.mark.parametrize(("stream", "told_of"), [("notifications", [3, 6, 8]), ("history", [3, 4, 5, 6, 7, 8])])
def test_an_open_that_was_told_to_nobody_is_not_taken_back(page: Page, stream: str, told_of: list[int]) -> None:
    def corrected(was: str, *, repeat: bool = False) -> dict[str, Any]:
        return {"type": "open.reclassified", "data": {"notify": False, "was": was, "open": {"repeat": repeat}}}

    log = [corrected("human"), corrected("bot"), corrected("human", repeat=True), corrected("scanner")]
    log += [{"type": "open.recorded", "data": {"notify": notify}} for notify in (False, True)]
    items = [event | {"sequence": str(sequence)} for sequence, event in enumerate(log, 3)]
    page.evaluate(FAKE, {"cursor": 2, "stream": stream, "answers": [{"items": items, "sequence": 8}]})
    accept(page, 0, sequence=8, recovered=False)
    state(page, "live")
    assert [sequence for sequence, _ in events(page, 0)] == told_of
    assert page.evaluate("() => client.sequence") == 8


def test_a_log_that_was_trimmed_is_reported_as_a_reset(page: Page) -> None:
    answers = [{"items": [{"type": "settings.updated", "sequence": "40", "data": {}}], "sequence": 50}]
    page.evaluate(FAKE, {"cursor": 2, "answers": answers})
    accept(page, 0, sequence=50, recovered=False)
    state(page, "live")
    assert told(page, "reset") == [{"sequence": 50}]
    assert events(page, 0) == []
    page.evaluate("() => FakeSocket.all[0].event(51)")
    assert events(page, 1) == [[51, False]]


def test_a_hub_that_began_anew_is_reported_as_a_reset(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 900})
    accept(page, 0, sequence=3, recovered=False)
    state(page, "live")
    assert told(page, "reset") == [{"sequence": 3}]
    page.evaluate("() => FakeSocket.all[0].event(4)")
    assert events(page, 1) == [[4, False]]


def test_an_api_that_fails_while_catching_up_is_tried_again(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 2, "answers": []})
    accept(page, 0, sequence=5, recovered=False)
    sockets(page, 2)
    accept(page, 1, sequence=5, recovered=True)
    page.evaluate("() => { for (const sequence of [3, 4, 5]) FakeSocket.all[1].event(sequence); }")
    assert [sequence for sequence, _ in events(page, 3)] == [3, 4, 5]


def test_an_api_that_does_not_answer_while_catching_up_is_tried_again(page: Page) -> None:
    page.evaluate("""() => {
        const timeout = AbortSignal.timeout.bind(AbortSignal);
        AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 100);
    }""")
    page.evaluate(FAKE, {"cursor": 2, "answers": "none"})
    accept(page, 0, sequence=5, recovered=False, heartbeat=3600)
    sockets(page, 2)
    assert len(page.evaluate("() => asked")) == 1


def test_an_api_that_cannot_be_reached_does_not_hold_up_live_events(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 2, "answers": []})
    for number in range(8):
        sockets(page, number + 1)
        accept(page, number, sequence=5, recovered=False)
        if number == 7:
            page.evaluate("() => FakeSocket.all[7].event(6)")
    state(page, "live")
    assert told(page, "reset") == [{"sequence": 5}], "only after the last try to read the log"
    assert events(page, 1) == [[6, False]]
    assert len(page.evaluate("() => asked")) == 8


@pytest.mark.parametrize("head", [5, 1])
def test_a_listener_may_close_the_client_as_it_begins_to_catch_up(page: Page, head: int) -> None:
    page.evaluate(FAKE, {"cursor": 2, "answers": []})
    page.evaluate("""() => {
        client.addEventListener("state", ({ detail }) => detail.state === "catching-up" && client.close());
    }""")
    accept(page, 0, sequence=head, recovered=False)
    assert page.evaluate("() => [client.state, client.sequence, asked]") == ["idle", 2, []]
    assert told(page, "reset") == []


def test_a_heartbeat_while_the_api_is_read_skips_nothing(page: Page) -> None:
    old = {"type": "settings.updated", "data": {}}
    answers = [{"items": [{**old, "sequence": str(sequence)} for sequence in (3, 4, 5)], "sequence": 5}]
    page.evaluate(FAKE, {"cursor": 2, "stream": "history", "answers": answers})
    page.evaluate("""() => {
        const [socket] = FakeSocket.all;
        socket.accept({ sequence: 5, recovered: false });
        socket.say({ type: "heartbeat", sequence: 5 });
    }""")
    state(page, "live")
    assert events(page, 3) == [[3, True], [4, True], [5, True]]
    assert told(page, "caughtup") == [{"missed": 3}]


@pytest.mark.parametrize(("missed", "asks"), [(5_000, 1), (5_001, 0)])
def test_more_than_is_worth_replaying_is_a_reset_without_a_question(page: Page, missed: int, asks: int) -> None:
    page.evaluate(FAKE, {"cursor": 2, "answers": [{"items": [], "sequence": 2 + missed}]})
    accept(page, 0, sequence=2 + missed, recovered=False)
    state(page, "live")
    assert told(page, "reset") == [{"sequence": 2 + missed}]
    assert len(page.evaluate("() => asked")) == asks


def test_only_failures_in_a_row_put_the_api_out_of_reach(page: Page) -> None:
    """An answer in between shows that it is not; null stands for an answer that cannot be read."""
    old = {"type": "settings.updated", "data": {}, "sequence": "3"}
    page.evaluate(FAKE, {"cursor": 2, "answers": [*[None] * 7, {"items": [old], "sequence": 5}, *[None] * 7]})
    for number in range(15):
        sockets(page, number + 1)
        accept(page, number, sequence=5, recovered=False)
    sockets(page, 15)
    state(page, "live")
    assert events(page, 1) == [[3, True]]
    assert len(page.evaluate("() => asked")) == 16
