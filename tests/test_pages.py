"""The pages: the dashboard's files, under a policy that lets nothing else in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.api.pages import PAGES, web_directory
from tests.api import Hub, assert_problem

WEB = web_directory()
ADDRESSES = [page.replace("{id}", "06d80000000000000000000000") for page in PAGES]


@pytest.mark.parametrize("page", [*ADDRESSES, "/docs"])
async def test_page_is_html_under_a_policy_that_lets_nothing_else_in(hub: Hub, page: str) -> None:
    answer = await hub.http.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


async def test_every_page_is_the_dashboard(hub: Hub) -> None:
    assert {(await hub.http.get(page)).content for page in ADDRESSES} == {(WEB / "index.html").read_bytes()}


@pytest.mark.parametrize(
    "path", sorted(str(path.relative_to(WEB)) for path in WEB.rglob("*") if path.is_file()), ids=str
)
async def test_file_is_served_as_what_it_is(hub: Hub, path: str) -> None:
    answer = await hub.http.get(f"/static/{path}")
    assert answer.status_code == 200
    assert answer.content == (WEB / path).read_bytes()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    assert ("content-security-policy" in answer.headers) == path.endswith((".html", ".svg"))
    expected = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    expected |= {".ts": "text/plain"}
    if path.endswith(tuple(expected)):
        assert answer.headers["content-type"].partition(";")[0] == expected[Path(path).suffix]


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
async def test_page_loads_nothing_from_elsewhere_and_nothing_that_is_not_there(hub: Hub, page: str) -> None:
    html = (WEB / page).read_text()
    loaded = re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]*)"', html)
    assert loaded
    for address in loaded:
        assert address.startswith("/"), address
        assert (await hub.http.get(address)).status_code == 200, address
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", html), "a script of its own would be refused by the policy"
    assert not re.search(r"\son[a-z]+=|\sstyle=|<style", html)


@pytest.mark.parametrize("path", ["/activity", "/docs", "/static/client.js"])
async def test_answer_that_is_large_is_compressed(hub: Hub, path: str) -> None:
    answer = await hub.http.get(path, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    plain = await hub.http.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert answer.content == plain.content


async def test_file_is_not_sent_again_while_it_is_the_same(hub: Hub) -> None:
    first = await hub.http.get("/static/client.js")
    again = await hub.http.get("/static/client.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_service_worker_is_at_the_root_and_so_reaches_every_page(hub: Hub) -> None:
    answer = await hub.http.get("/sw.js")
    assert (answer.status_code, answer.content) == (200, (WEB / "sw.js").read_bytes())
    assert answer.headers["content-type"].partition(";")[0] == "text/javascript"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_icon_is_where_browsers_look_for_it(hub: Hub) -> None:
    answer = await hub.http.get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/styles",
        "/static/nothing.js",
        "/static/../pyproject.toml",
        "/static/%2e%2e/pyproject.toml",
        "/static/..%2f..%2fpyproject.toml",
        "/static/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/static/%00",
        "/static/" + "x" * 5000,
        "/messages/a/b",
        "/login/",
    ],
)
async def test_path_of_no_file_is_a_404_problem(hub: Hub, path: str) -> None:
    request = hub.http.build_request("GET", hub.origin)
    request.url = request.url.copy_with(raw_path=path.encode())
    assert_problem(await hub.http.send(request), 404)


async def test_pages_set_no_cookie_and_need_none(hub: Hub) -> None:
    for page in (*ADDRESSES, "/docs", "/static/client.js"):
        assert "set-cookie" not in (await hub.http.get(page)).headers


def test_directory_of_the_checkout_has_the_dashboard() -> None:
    assert (WEB / "client.js").is_file()
