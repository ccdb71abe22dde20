"""When pop-ups come: `web/notify/popups.js` by itself, on a clock that stands still unless the test says otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.clients import stop_the_clock
from tests.browser.conftest import Desks
from tests.browser.people import Sender
from tests.browser.test_orders import POPUPS


@pytest.fixture
def page(desks: Desks, sender: Sender) -> Page:
    page = desks.context(sender.hub).new_page()
    page.goto("/docs")
    stop_the_clock(page)
    page.evaluate(POPUPS)
    return page


def lead(page: Page) -> None:
    page.evaluate("() => { desk.parts.leads = true; desk.popups.takeOver(); }")


def opened(page: Page, *sequences: int) -> None:
    page.evaluate("(sequences) => { for (const sequence of sequences) desk.open(sequence); }", list(sequences))


def shown(page: Page) -> list[str]:
    found: list[str] = page.evaluate("() => desk.parts.shown")
    return found


def test_opens_that_keep_coming_are_shown_after_a_second_and_a_half(page: Page) -> None:
    lead(page)
    for sequence in range(1, 6):
        opened(page, sequence)
        page.clock.run_for(300)
    assert shown(page) == ["1,2,3,4,5"]
    opened(page, 6)
    page.clock.run_for(300)
    assert len(shown(page)) == 1, "the next waits anew"
    page.clock.run_for(100)
    assert shown(page)[1:] == ["6"]


def test_the_other_tabs_are_told_of_the_last_open_that_is_shown(page: Page) -> None:
    lead(page)
    opened(page, 7, 8)
    page.clock.run_for(1_000)
    assert shown(page) == ["7,8"]
    said: list[Any] = page.evaluate("() => desk.parts.said")
    assert said == [{"shown": 8}]


@pytest.mark.parametrize(("waited", "expected"), [(14_000, ["1"]), (16_000, [])])
def test_an_open_that_no_tab_could_show_for_long_is_no_news(page: Page, waited: int, expected: list[str]) -> None:
    opened(page, 1)
    page.clock.run_for(waited)
    assert shown(page) == []
    lead(page)
    page.clock.run_for(500)
    assert shown(page) == expected


def test_opens_of_a_hub_that_began_anew_are_shown(page: Page) -> None:
    page.evaluate("""() => {
        desk.channel.dispatchEvent(new MessageEvent("message", { data: { shown: 900 } }));
        desk.heard.reset({});
    }""")
    lead(page)
    opened(page, 3)
    page.clock.run_for(1_000)
    assert shown(page) == ["3"]


ELECTIONS = """async () => {
    const { createElection } = await import("/static/notify/leader.js");
    const elected = [];
    const tabs = [0, 1].map((number) => createElection("a name", () => elected.push(number)));
    const leads = () => tabs.map((tab) => tab.leads());
    const once = async (count) => {
        while (elected.length < count) await navigator.locks.query();
        return leads();
    };
    for (const tab of tabs) tab.join();
    const seen = [await once(1)];
    tabs[0].leave();
    seen.push(leads(), await once(2));
    tabs[0].join();
    tabs[0].join();
    tabs[1].leave();
    seen.push(await once(3));
    tabs[0].leave();
    seen.push(leads());
    return [seen, elected];
}"""


def test_one_tab_leads_until_it_leaves_and_then_the_next(page: Page) -> None:
    seen, elected = page.evaluate(ELECTIONS)
    assert seen == [[True, False], [False, False], [False, True], [True, False], [False, False]]
    assert elected == [0, 1, 0]


def test_somebody_who_uses_another_tab_is_there_for_two_minutes(page: Page) -> None:
    page.evaluate("""async () => {
        const { createAttention } = await import("/static/live/attention.js");
        desk.attention = createAttention(desk.channel);
    }""")

    def there() -> bool:
        return bool(page.evaluate("() => desk.attention.within(120_000)"))

    page.clock.run_for(119_000)
    assert there()
    page.clock.run_for(2_000)
    assert not there()
    page.evaluate("() => desk.channel.dispatchEvent(new MessageEvent('message', { data: { active: true } }))")
    assert there()
    assert page.evaluate("() => desk.parts.said") == [], "what another tab has told is not told again"
    page.clock.run_for(121_000)
    assert not there()
    page.evaluate("() => { for (const _ of [1, 2]) dispatchEvent(new PointerEvent('pointermove')); }")
    assert there()
    assert page.evaluate("() => desk.parts.said") == [{"active": True}]
