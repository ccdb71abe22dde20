"""What is wrong with what a page shows: to who cannot see or read it well, and on its screen."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import SCREENSHOTS

AXE = files("axe_playwright_python") / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def settled(page: Page) -> None:
    """Wait until nothing moves any more: a colour that is still changing has no contrast to be judged."""
    page.evaluate("() => Promise.all(document.getAnimations().map((moving) => moving.finished.catch(() => {})))")


def axe_violations(page: Page) -> list[Any]:
    """What axe finds, as (rule, what is wrong, where)."""
    page.evaluate(AXE.read_text())
    found: list[Any] = page.evaluate(
        """async (runOnly) => (await axe.run(document, { runOnly })).violations
            .map(({ id, help, nodes }) => [id, help, nodes.map((node) => [node.target, node.failureSummary])])""",
        RULES,
    )
    return found


def wider_than_the_screen(page: Page) -> list[str]:
    found: list[str] = page.evaluate("""() => {
        const wide = (root) => root.scrollWidth > root.clientWidth + 1;
        return [document.documentElement, ...document.querySelectorAll("dialog[open], .history-content")]
            .filter(wide).map((element) => element.className || element.tagName);
    }""")
    return found


def faults(page: Page, name: str) -> list[Any]:
    """What is wrong with what the page shows, of which a screenshot is kept."""
    settled(page)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    return axe_violations(page) + [("sideways", wide) for wide in wider_than_the_screen(page)]
