"""How `web/client.js` comes back: ever more slowly while it fails, and never against the user's will."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.clients import FAKE, accept, client_page, say, sockets, state, stop_the_clock
from tests.browser.conftest import Desks
from tests.browser.people import Sender

WAITS = """async () => {
    const { GlimpseClient } = await import("/static/client.js");
    window.waits = [];
    window.client = new GlimpseClient({ url: "https://hub.example.com", WebSocket: FakeSocket, random: () => 1 });
    client.addEventListener("state", ({ detail }) => detail.state === "waiting" && waits.push(detail.retryIn));
    client.start();
    await Promise.resolve();
}"""


@pytest.fixture
def page(desks: Desks, sender: Sender) -> Page:
    return client_page(desks, sender)


def test_only_a_connection_that_lasts_makes_the_wait_short_again(page: Page) -> None:
    stop_the_clock(page)
    page.evaluate(WAITS)
    for number, lasts in enumerate((0, 9_900, 10_100, 0)):
        sockets(page, number + 1)
        accept(page, number, sequence=4)
        page.clock.run_for(lasts)
        page.evaluate("() => FakeSocket.all.at(-1).end(1006)")
        page.evaluate("() => client.retryNow()")
    assert page.evaluate("() => waits") == [500, 1000, 500, 1000]


@pytest.mark.parametrize("left", ["never started", "closed", "refused"])
def test_a_network_that_comes_and_goes_starts_no_client(page: Page, left: str) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    if left == "never started":
        page.evaluate("""async () => {
            const { GlimpseClient } = await import("/static/client.js");
            client.close();
            window.client = new GlimpseClient({ url: "https://hub.example.com", WebSocket: FakeSocket });
        }""")
    elif left == "closed":
        page.evaluate("() => client.close()")
    else:
        page.evaluate("() => FakeSocket.all[0].end(4409)")
    before = page.evaluate("() => client.state")
    page.evaluate("() => { client.networkLost(); client.retryNow(); }")
    assert page.evaluate("() => client.state") == before == ("refused" if left == "refused" else "idle")
    assert page.evaluate("() => FakeSocket.all.length") == 1


def test_a_heartbeat_never_takes_the_client_back(page: Page) -> None:
    page.evaluate(FAKE, {"cursor": 4})
    accept(page, 0, sequence=4)
    page.evaluate("() => FakeSocket.all[0].event(5)")
    say(page, 0, type="heartbeat", sequence=4)
    page.evaluate("() => FakeSocket.all[0].end(1006)")
    sockets(page, 2)
    accept(page, 1, sequence=5)
    assert page.evaluate("() => FakeSocket.all[1].sent[0].after") == 5


def test_a_sequence_that_could_not_be_kept_does_not_keep_the_next_from_it(page: Page) -> None:
    page.evaluate("""async () => {
        const { GlimpseClient } = await import("/static/client.js");
        window.kept = [];
        const set = async (sequence) => {
            kept.push(sequence);
            if (sequence === 5) throw new Error("full");
        };
        const cursor = { get: () => 4, set };
        window.client = new GlimpseClient({ url: "https://hub.example.com", cursor, WebSocket: FakeSocket });
        client.start();
    }""")
    sockets(page, 1)
    accept(page, 0, sequence=4)
    page.evaluate("() => { for (const sequence of [5, 6]) FakeSocket.all[0].event(sequence); }")
    state(page, "live")
    assert page.evaluate("async () => { await new Promise((done) => setTimeout(done)); return kept; }") == [5, 6]


def test_a_viewing_that_the_hub_did_not_take_is_not_said_to_be_sent(page: Page) -> None:
    page.evaluate(FAKE, {"answers": []})
    assert page.evaluate("() => client.viewing('m/1')") is False
    assert page.evaluate("() => asked") == ["https://hub.example.com/api/v1/messages/m%2F1/viewing"]
