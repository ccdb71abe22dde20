"""Calls from pages of other sites: with a token, and never with the cookie."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from hub.store.events import Events
from tests.api import assert_problem, running_hub

ELSEWHERE = {"origin": "https://add-in.example.net"}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_page_on_another_site_may_ask_for_any_call_with_a_token(
    tmp_path: Path, migrated_sqlite_url: str, method: str
) -> None:
    named = "authorization,content-type,idempotency-key,last-event-id,traceparent,x-request-id,x-requested-with"
    asked = {"access-control-request-method": method, "access-control-request-headers": named}
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        answer = await hub.http.options("/api/v1/messages", headers=ELSEWHERE | asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    # Not by a star: it would leave out Authorization (Fetch standard, "CORS non-wildcard request-header name").
    assert answer.headers["access-control-allow-headers"] == named
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "patch", "QUERY"])
async def test_preflight_for_a_method_that_the_api_has_not_is_a_problem(
    tmp_path: Path, migrated_sqlite_url: str, method: str
) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        asked = {"access-control-request-method": method}
        answer = await hub.http.options("/api/v1/messages", headers=ELSEWHERE | asked)
    assert_problem(answer, 400)
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PATCH, DELETE"


async def test_page_on_another_site_reads_answers_to_a_token_and_nothing_else(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        sender = await hub.add_sender()
        mine = await sender.http.get("/me", headers=ELSEWHERE)
        assert (mine.status_code, mine.headers["access-control-allow-origin"]) == (200, "*")
        nobody = await hub.http.get("/api/v1/me", headers=ELSEWHERE)
        assert (nobody.status_code, nobody.headers["access-control-allow-origin"]) == (401, "*")
        for method, path, status in (("GET", "/nothing", 404), ("PUT", "/me", 405)):
            # Without the header the page would hear of a failed network only, and not what is wrong.
            refused = await sender.http.request(method, path, headers=ELSEWHERE)
            assert_problem(refused, status)
            assert refused.headers["access-control-allow-origin"] == "*", path
        for path in ("/metrics", "/readyz", "/healthz", "/"):
            answer = await hub.http.get(path, headers=ELSEWHERE)
            assert "access-control-allow-origin" not in answer.headers, path


async def test_page_on_another_site_is_told_of_a_defect_of_ours(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_events: Events, *_: object) -> None:
        raise RuntimeError("as if")

    monkeypatch.setattr(Events, "unseen", broken)
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        sender = await hub.add_sender()
        # A client of its own: the hub's checks that no answer is a 500.
        async with httpx.AsyncClient(headers={**sender.http.headers, **ELSEWHERE}) as page:
            answer = await page.get(f"{sender.http.base_url}me")
    assert_problem(answer, 500)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["as if"]


async def test_page_on_another_site_reads_no_answer_to_the_cookie(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        browser = await (await hub.add_sender()).log_in()
        answer = await browser.get("/me", headers=ELSEWHERE)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
