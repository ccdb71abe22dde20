"""`web/client.js` by itself, in a real browser: on a real hub, and on sockets that behave badly on purpose."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.clients import (
    FAKE,
    START,
    accept,
    client_page,
    events,
    say,
    sockets,
    start,
    state,
    stop_the_clock,
    told,
)
from tests.browser.conftest import Desks
from tests.browser.people import Sender
from tests.processes import wait_until


@pytest.fixture
def page(desks: Desks, sender: Sender) -> Page:
    return client_page(desks, sender)


def test_events_come_once_and_in_order_and_the_cursor_outlives_the_page(page: Page, sender: Sender) -> None:
    message = sender.register()
    start(page, sender, stream="history")
    state(page, "live")
    assert events(page, 0) == [], "without a cursor it begins from now on"
    for _ in range(5):
        sender.hit(message)
    seen = [sequence for sequence, missed in events(page, 5) if not missed]
    assert seen == list(range(seen[0], seen[0] + 5))
    wait_until(lambda: page.evaluate("() => localStorage.getItem('cursor')") == str(seen[-1]))

    page.goto("/docs")
    for _ in range(3):
        sender.hit(message)
    start(page, sender, stream="history")
    assert events(page, 3) == [[seen[-1] + 1, True], [seen[-1] + 2, True], [seen[-1] + 3, True]]
    state(page, "live")
    assert told(page, "caughtup") == [{"missed": 3}]
    sender.hit(message)
    assert events(page, 4)[3] == [seen[-1] + 4, False]


def test_the_stream_of_notifications_leaves_out_what_is_muted(page: Page, sender: Sender) -> None:
    quiet, loud = sender.register(), sender.register()
    sender.patch(f"/messages/{quiet['id']}", muted=True)
    start(page, sender)
    state(page, "live")
    head = sender.get("/me")["sequence"]
    sender.hit(quiet)
    sender.hit(loud)
    assert events(page, 1) == [[head + 2, False]]


def test_an_event_that_comes_twice_is_told_once(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    accept(page, 0, sequence=4)
    page.evaluate("() => { for (const sequence of [5, 5, 4, 6]) FakeSocket.all[0].event(sequence); }")
    assert events(page, 2) == [[5, False], [6, False]]


@pytest.mark.parametrize("code", [1006, 1011, 1012, 1013, 4001, 4008])
def test_the_client_comes_back_after_a_code_below_4400(page: Page, code: int) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    accept(page, 0, sequence=4)
    page.evaluate("(code) => FakeSocket.all[0].end(code)", code)
    sockets(page, 2)
    page.evaluate("() => FakeSocket.all[1].accept({ sequence: 4 })")
    assert page.evaluate("() => FakeSocket.all[1].sent[0]") == {
        "type": "connect",
        "stream": "notifications",
        "after": 4,
    }


def test_the_client_comes_back_after_a_socket_that_failed_to_open_and_told_no_close(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate(FAKE, {"cursor": 4})
    page.evaluate("() => FakeSocket.all[0].onerror?.({})")
    page.clock.run_for(1)
    assert page.evaluate("() => FakeSocket.all.length") == 2
    accept(page, 1, sequence=4)
    page.evaluate("() => FakeSocket.all[1].onerror?.({})")
    assert page.evaluate("() => client.state") == "live", "an open socket tells its close code next"


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4408, 4409, 4429])
def test_the_client_stays_away_after_a_code_from_4400_on_until_it_is_started_again(page: Page, code: int) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    page.evaluate("(code) => { FakeSocket.all[0].onopen(); FakeSocket.all[0].end(code); }", code)
    state(page, "refused")
    assert told(page, "refused") == [{"code": code, "reason": ""}]
    page.evaluate("() => client.retryNow()")
    assert page.evaluate("() => FakeSocket.all.length") == 1
    page.evaluate("() => client.start()")
    sockets(page, 2)


def test_a_revoked_token_is_refused_by_the_hub(page: Page, sender: Sender) -> None:
    page.evaluate(START, {"url": sender.hub.base_url, "token": "no-such-token"})
    state(page, "refused")
    assert told(page, "refused")[0]["code"] == 4401


def test_the_wait_grows_to_half_a_minute_and_is_a_random_part_of_that(page: Page) -> None:
    ceilings = page.evaluate("""async () => {
        const { backoffCeiling } = await import("/static/client.js");
        return [0, 1, 2, 3, 4, 5, 6, 7, 1000].map(backoffCeiling);
    }""")
    assert ceilings == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    page.evaluate(FAKE, {"cursor": 4})
    waits = page.evaluate("""async () => {
        const { GlimpseClient } = await import("/static/client.js");
        const parts = [0.5, 0.25, 1];
        const random = () => parts.shift();
        const client = new GlimpseClient({ url: "https://hub.example.com", WebSocket: FakeSocket, random });
        const waits = [];
        client.addEventListener("state", ({ detail }) => detail.state === "waiting" && waits.push(detail.retryIn));
        client.start();
        for (let turn = 0; turn < 3; turn += 1) {
            await new Promise((done) => setTimeout(done));
            FakeSocket.all.at(-1).end(1006);
            client.retryNow();
        }
        client.close();
        return waits;
    }""")
    assert waits == [250, 250, 2000]


def test_silence_for_two_heartbeats_is_taken_for_a_lost_connection(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    accept(page, 0, sequence=4, heartbeat=0.05)
    sockets(page, 2)
    assert page.evaluate("() => FakeSocket.all[0].open") is False
    accept(page, 1, sequence=4, heartbeat=20)
    state(page, "live")


def test_a_socket_that_was_silent_while_the_machine_slept_is_given_up_at_once(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    accept(page, 0, sequence=4)
    page.evaluate("() => client.retryNow()")
    sockets(page, 1)
    page.evaluate("() => { const now = Date.now(); Date.now = () => now + 31_000; client.retryNow(); }")
    sockets(page, 2)
    accept(page, 1, sequence=4)
    page.evaluate("() => client.retryNow()")
    sockets(page, 2)
    state(page, "live")


def test_a_store_that_cannot_be_read_is_tried_again(page: Page) -> None:
    page.evaluate("""async () => {
        const { GlimpseClient } = await import("/static/client.js");
        const shut = new Error("shut");
        const gets = [() => { throw shut; }, () => Promise.reject(shut), () => 4];
        const cursor = { get: () => gets.shift()(), set: () => undefined };
        const url = "https://hub.example.com";
        window.client = new GlimpseClient({ url, cursor, WebSocket: FakeSocket, random: () => 0 });
        client.start();
    }""")
    sockets(page, 1)
    page.evaluate("() => FakeSocket.all[0].accept({ sequence: 4 })")
    assert page.evaluate("() => [FakeSocket.all[0].sent[0].after, client.state]") == [4, "live"]


def test_a_store_that_does_not_answer_is_tried_again(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate("""async () => {
        const { GlimpseClient } = await import("/static/client.js");
        const gets = [() => new Promise(() => undefined), () => 4];
        const cursor = { get: () => gets.shift()(), set: () => undefined };
        const url = "https://hub.example.com";
        window.client = new GlimpseClient({ url, cursor, WebSocket: FakeSocket, random: () => 1 });
        client.start();
    }""")
    page.clock.run_for(15_000)
    assert page.evaluate("() => [client.state, FakeSocket.all.length]") == ["waiting", 0]
    page.evaluate("() => client.retryNow()")
    sockets(page, 1)
    accept(page, 0, sequence=4)
    assert page.evaluate("() => [FakeSocket.all[0].sent[0].after, client.state]") == [4, "live"]


@pytest.mark.parametrize(("kept", "after"), [("12", 12), ("", None), ("none", None), (float("nan"), None)])
def test_a_sequence_that_was_kept_as_text_is_taken_as_its_number(page: Page, kept: object, after: int | None) -> None:
    page.evaluate(FAKE, {"cursor": kept})
    accept(page, 0, sequence=12)
    state(page, "live")
    assert page.evaluate("() => [FakeSocket.all[0].sent[0].after, client.sequence]") == [after, 12]
    page.evaluate("() => FakeSocket.all[0].event(13)")
    assert events(page, 1) == [[13, False]]


def test_an_option_that_is_undefined_has_its_default(page: Page) -> None:
    page.evaluate("""async () => {
        const { GlimpseClient } = await import("/static/client.js");
        const none = { cursor: undefined, stream: undefined, random: undefined, fetch: undefined, token: undefined };
        window.client = new GlimpseClient({ url: "https://hub.example.com", WebSocket: FakeSocket, ...none });
        client.start();
    }""")
    sockets(page, 1)
    accept(page, 0, sequence=4)
    state(page, "live")
    assert page.evaluate("() => FakeSocket.all[0].sent[0]") == {
        "type": "connect",
        "stream": "notifications",
        "after": None,
    }


def test_close_ends_the_client_for_good(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    accept(page, 0, sequence=4)
    page.evaluate("() => client.close()")
    state(page, "idle")
    assert page.evaluate("() => FakeSocket.all[0].code") == 1000
    assert page.evaluate("() => FakeSocket.all.length") == 1


def test_seen_is_told_at_once_or_when_it_is_connected(page: Page, sender: Sender) -> None:
    sender.hit(sender.register())
    head = sender.get("/me")["sequence"]
    start(page, sender)
    page.evaluate("(head) => client.seen(head)", head)
    wait_until(lambda: sender.get("/me")["unseen"] == 0)


def seen(page: Page) -> list[list[int]]:
    """For each socket, the sequences that were said to be seen on it."""
    found: list[list[int]] = page.evaluate("""() => FakeSocket.all.map(({ sent }) =>
        sent.filter(({ type }) => type === "seen").map(({ sequence }) => sequence))""")
    return found


@pytest.mark.parametrize(("seen_sequence", "again"), [(0, [7]), (6, [7]), (7, []), (8, [])])
def test_seen_is_said_again_on_the_next_socket_unless_the_hub_has_it(
    page: Page, seen_sequence: int, again: list[int]
) -> None:
    page.evaluate(FAKE, {"cursor": 9})
    accept(page, 0, sequence=9)
    page.evaluate("() => { for (const sequence of [6, 7, 5, 7]) client.seen(sequence); }")
    page.evaluate("() => FakeSocket.all[0].end(1006)")
    sockets(page, 2)
    accept(page, 1, sequence=9, seen_sequence=seen_sequence)
    assert seen(page) == [[6], again]


def test_seen_is_said_again_at_the_heartbeat_after_the_hub_could_not_take_it(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 9})
    accept(page, 0, sequence=9)
    page.evaluate("() => client.seen(7)")
    say(page, 0, type="heartbeat", sequence=9)
    assert seen(page) == [[7]]
    say(page, 0, type="error", code="unavailable", detail="the database is away")
    assert seen(page) == [[7]], "not at once: that would go on for as long as the database is away"
    for _ in range(2):
        say(page, 0, type="heartbeat", sequence=9)
        assert seen(page) == [[7, 7]]
    taken = {"type": "notifications.seen", "sequence": "10", "data": {"sequence": 7}}
    say(page, 0, type="event", event=taken)
    say(page, 0, type="error", code="unavailable", detail="what was refused now is a viewing")
    say(page, 0, type="heartbeat", sequence=10)
    page.evaluate("() => client.seen(7)")
    assert seen(page) == [[7, 7]]


SEEN_AT_EVERY_EVENT = """() => {
    client.addEventListener("event", ({ detail: { event } }) => client.seen(event.sequence));
    for (let sequence = 1; sequence <= 300; sequence += 1) FakeSocket.all[0].event(sequence);
}"""


def test_seen_at_every_event_is_said_once_a_second_with_the_last_sequence(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate(FAKE, {"cursor": 0})
    accept(page, 0, sequence=300)
    page.evaluate(SEEN_AT_EVERY_EVENT)
    assert seen(page) == [[1]]
    page.clock.run_for(900)
    assert seen(page) == [[1]]
    page.clock.run_for(100)
    assert seen(page) == [[1, 300]]
    page.evaluate("() => FakeSocket.all[0].event(301)")
    assert seen(page) == [[1, 300]]
    page.clock.run_for(5_000)
    assert seen(page) == [[1, 300, 301]]


def test_what_was_seen_last_is_said_before_the_client_closes(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 0})
    accept(page, 0, sequence=300)
    page.evaluate(SEEN_AT_EVERY_EVENT)
    page.evaluate("() => client.close()")
    assert seen(page) == [[1, 300]]


def test_seen_is_not_said_again_if_a_listener_closes_the_client_as_it_connects(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 9})
    accept(page, 0, sequence=9)
    page.evaluate("() => client.seen(7)")
    page.evaluate("() => FakeSocket.all[0].end(1006)")
    sockets(page, 2)
    page.evaluate("() => client.addEventListener('connected', () => client.close())")
    accept(page, 1, sequence=9)
    assert seen(page) == [[7], []]


def test_seen_beyond_the_log_is_forgotten(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 9})
    accept(page, 0, sequence=9)
    page.evaluate("() => client.seen(12)")
    say(page, 0, type="error", code="beyond_the_log", detail="the log has not come to that sequence")
    say(page, 0, type="heartbeat", sequence=9)
    page.evaluate("() => client.seen(8)")
    wait_until(lambda: seen(page) == [[12, 8]])
    page.evaluate("() => FakeSocket.all[0].end(1006)")
    sockets(page, 2)
    accept(page, 1, sequence=3)
    assert seen(page) == [[12, 8], []], "nor is it said to a hub whose log is shorter"


@pytest.mark.parametrize("connected", [True, False], ids=["by-socket", "by-rest"])
def test_viewing_makes_a_hit_the_senders_own(page: Page, sender: Sender, connected: bool) -> None:
    message = sender.register()
    start(page, sender)
    state(page, "live")
    if not connected:
        page.evaluate("() => client.close()")
    assert page.evaluate("(id) => client.viewing(id)", message["id"]) is True
    wait_until(lambda: not sender.get(f"/messages/{message['id']}/opens", all=True)["items"])
    sender.hit(message)
    wait_until(lambda: sender.get(f"/messages/{message['id']}/opens", all=True)["items"][0]["verdict"] == "self")
    assert sender.get(f"/messages/{message['id']}")["opens"] == 0


def test_viewing_goes_by_rest_where_the_socket_is_closing(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 4, "answers": [{}]})
    accept(page, 0, sequence=4)
    page.evaluate("() => { FakeSocket.all[0].readyState = 2; }")
    assert page.evaluate("() => client.viewing('m1')") is True
    assert page.evaluate("() => [FakeSocket.all[0].sent.length, asked]") == [
        1,
        ["https://hub.example.com/api/v1/messages/m1/viewing"],
    ]


def test_a_frame_the_hub_cannot_use_is_told(page: Page, sender: Sender) -> None:
    start(page, sender)
    state(page, "live")
    page.evaluate("() => client.viewing('no-such-message')")
    wait_until(lambda: told(page, "problem"))


def test_the_client_works_in_a_worker_where_there_is_no_document(desks: Desks, sender: Sender) -> None:
    # The test makes the worker's script on the spot, which the hub's Content Security Policy rightly forbids.
    page = desks.context(sender.hub, bypass_csp=True).new_page()
    page.goto("/docs")
    page.evaluate(
        """(options) => {
            const source = `
                import { GlimpseClient } from "${options.url}/static/client.js";
                const client = new GlimpseClient(${JSON.stringify(options)});
                client.addEventListener("event", ({ detail }) => postMessage(detail.event.type));
                client.addEventListener("caughtup", () => postMessage("ready"));
                client.start();
            `;
            window.said = [];
            const script = new Blob([source], { type: "text/javascript" });
            const worker = new Worker(URL.createObjectURL(script), { type: "module" });
            worker.onmessage = ({ data }) => window.said.push(data);
        }""",
        {"url": sender.hub.base_url, "token": sender.token},
    )
    wait_until(lambda: page.evaluate("() => said") == ["ready"])
    sender.hit(sender.register())
    wait_until(lambda: page.evaluate("() => said") == ["ready", "message.registered", "open.recorded"])
