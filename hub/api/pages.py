"""The pages: the dashboard's files, under a policy that lets nothing else in.

Promise: every page works under `default-src 'none'`; nothing is loaded from anywhere but the hub.
"""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
FILE_HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
DOCUMENTS = (".html", ".svg")
"""Files that a browser opens as pages of their own, so they need the policy; sixty modules without it save 20 KB."""
DECLARATIONS_HEADERS = FILE_HEADERS | {"content-type": "text/plain; charset=utf-8"}
"""For `client.d.ts`: going by its ending, it would be served as a video or as a file of translations."""

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
COMPRESSED_FROM = 500
"""A file of fewer bytes gains nothing from being compressed."""
COMPRESSION = Middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM)
UNNEEDED = ("accept-ranges", "last-modified")
"""Headers that the file server adds to each of sixty files, though the ETag is enough: 4 KB on the first visit."""
PAGES = ("/", "/login", "/activity", "/messages", "/messages/{id}", "/settings", "/try")


def web_directory() -> Path:
    """Where the dashboard's files are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_web"
    return installed if installed.is_dir() else package.parent / "web"


class PagesApi:
    """The dashboard's pages and files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def routes(self) -> list[BaseRoute]:
        """The routes of all pages and files."""
        return [
            *(Route(path, self._index, middleware=[COMPRESSION]) for path in PAGES),
            Route("/docs", self._docs, middleware=[COMPRESSION]),
            Route("/favicon.ico", self._icon),
            Route("/sw.js", self._service_worker),
            Mount("/static", GZipMiddleware(_Static(self._directory), minimum_size=COMPRESSED_FROM)),
        ]

    async def _index(self, _request: Request) -> Response:
        return FileResponse(self._directory / "index.html", headers=HEADERS)

    async def _docs(self, _request: Request) -> Response:
        return FileResponse(self._directory / "docs.html", headers=HEADERS)

    async def _service_worker(self, _request: Request) -> Response:
        # A service worker reaches no further than its own folder, so this one is at the root.
        return FileResponse(self._directory / "sw.js", headers=HEADERS)

    async def _icon(self, _request: Request) -> Response:
        return FileResponse(self._directory / "icon.svg", headers=HEADERS)


class _Static:
    """The files, each with the headers it needs."""

    def __init__(self, directory: Path) -> None:
        self._files = StaticFiles(directory=directory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = HEADERS if scope["path"].endswith(DOCUMENTS) else FILE_HEADERS
        if scope["path"].endswith(".d.ts"):
            headers = DECLARATIONS_HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.update(headers)
                for name in UNNEEDED:
                    del answered[name]
            await send(message)

        await self._files(scope, receive, send_with_headers)
