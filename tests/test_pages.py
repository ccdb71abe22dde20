"""The pages: the dashboard's files, under a policy that lets nothing else in."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from hub.api.pages import PAGES, PagesApi, web_directory
from hub.api.problems import Problem, on_problem
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
    expected |= {".ts": "text/plain", ".png": "image/png", ".webmanifest": "application/manifest+json"}
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


@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        *(("gzip", "gzip"), ("br, GZip;q=0.5", "gzip"), ("gzip; q=1.0, *;q=0", "gzip"), ("gzip;q=0.001", "gzip")),
        *(("gzip;q=0", None), ("deflate, gzip ; Q=0.000", None), ("gzippy", None), ("", None)),
    ],
)
async def test_file_is_compressed_only_for_a_client_that_takes_that(hub: Hub, said: str, encoding: str | None) -> None:
    answer = await hub.http.get("/static/client.js", headers={"accept-encoding": said})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"


async def test_file_that_is_known_by_any_tag_or_by_one_in_a_second_line_is_not_sent(hub: Hub) -> None:
    tag = (await hub.http.get("/static/client.js")).headers["etag"]
    anything = await hub.http.get("/static/client.js", headers={"if-none-match": "*"})
    second = await hub.http.get("/static/client.js", headers=[("if-none-match", '"another"'), ("if-none-match", tag)])
    assert (anything.status_code, second.status_code) == (304, 304)


@pytest.mark.parametrize("path", ["/activity", "/docs", "/sw.js", "/favicon.ico", "/static/client.js"])
@pytest.mark.parametrize("form", ["{}", '"another", {}', "W/{}"])
async def test_file_is_not_sent_again_while_it_is_the_same(hub: Hub, path: str, form: str) -> None:
    first = await hub.http.get(path)
    asked = form.format(first.headers["etag"].removeprefix("W/"))
    again = await hub.http.get(path, headers={"if-none-match": asked})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "content-security-policy", "vary"):
        assert again.headers.get(name) == first.headers.get(name)
    other = await hub.http.get(path, headers={"if-none-match": '"another"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_file_that_was_changed_is_sent_as_it_is_now(tmp_path: Path) -> None:
    """Whoever works on the dashboard need not start the hub anew."""
    file = tmp_path / "client.js"
    file.write_text("old")
    app = Starlette(routes=PagesApi(tmp_path).routes(), exception_handlers={Problem: on_problem})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        old = await http.get("/static/client.js")
        file.write_text("new")
        os.utime(file, (1, 1))
        new = await http.get("/static/client.js", headers={"if-none-match": old.headers["etag"]})
        assert (old.text, new.text) == ("old", "new")
        file.unlink()
        assert (await http.get("/static/client.js")).status_code == 404


@pytest.mark.parametrize("path", ["/activity", "/static/client.js"])
async def test_head_of_a_file_says_how_long_it_is_and_sends_nothing(hub: Hub, path: str) -> None:
    there = await hub.http.get(path)
    answer = await hub.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "cache-control", "vary"):
        assert answer.headers[name] == there.headers[name]


@pytest.mark.parametrize("path", ["/activity", "/static/client.js"])
async def test_file_takes_nothing(hub: Hub, path: str) -> None:
    assert_problem(await hub.http.post(path, content=b"x"), 405)


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
