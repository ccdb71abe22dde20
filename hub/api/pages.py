"""The pages: the dashboard's files, under a policy that lets nothing else in.

Promise: every page works under `default-src 'none'`; nothing is loaded from anywhere but the hub. A first visit asks
for seventy files, so they are read and compressed once, and answered from memory.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hub.api.problems import nowhere
from hub.tracking.visit import listed

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
FILE_HEADERS = {"cache-control": "no-cache"}
HEADERS = FILE_HEADERS | {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
DOCUMENTS = (".html", ".svg")
"""Files that a browser opens as pages of their own, so they need the policy; sixty modules without it save 20 KB."""

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
"""By a file's ending. Going by what systems say, `client.d.ts` would be a video, or a file of translations."""

GZIP = re.compile(r"gzip(\s*;\s*q=(?!0(\.0*)?$).*)?", re.IGNORECASE)
"""What says in `Accept-Encoding` that a client takes gzip; with `q=0` it says that it does not."""

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
        self._files = {
            path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.suffix in TYPES
        }

    def routes(self) -> list[BaseRoute]:
        """The routes of all pages and files."""
        return [
            *(Route(path, self._page("index.html")) for path in PAGES),
            Route("/docs", self._page("docs.html")),
            Route("/favicon.ico", self._page("icon.svg")),
            # A service worker reaches no further than its own folder, so this one is at the root.
            Route("/sw.js", self._page("sw.js")),
            Route("/static/{path:path}", self._static),
        ]

    def _page(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return _answer(request, self._directory / name, HEADERS)

        return endpoint

    async def _static(self, request: Request) -> Response:
        path = self._files.get(request.path_params["path"])
        if path is None:
            raise nowhere()
        return _answer(request, path, HEADERS if path.suffix in DOCUMENTS else FILE_HEADERS)


class _Content(msgspec.Struct, frozen=True):
    """What is in a file. `compressed` is None if that would not be shorter."""

    plain: bytes
    compressed: bytes | None
    etag: str


@lru_cache(maxsize=256)
def _read(path: Path, _changed_at: int) -> _Content:
    """The content of a file as it has been since `_changed_at`: whoever works on the dashboard sees each change.

    Only a new file needs a new start.
    """
    plain = path.read_bytes()
    compressed = gzip.compress(plain, mtime=0)
    # Weak, because it stands for both.
    etag = f'W/"{hashlib.blake2b(plain, digest_size=12).hexdigest()}"'
    return _Content(plain, compressed if len(compressed) < len(plain) else None, etag)


def _answer(request: Request, path: Path, headers: Mapping[str, str]) -> Response:
    try:
        content = _read(path, path.stat().st_mtime_ns)
    except OSError:
        raise nowhere() from None
    headers = {**headers, "etag": content.etag}
    if content.compressed is not None:
        headers["vary"] = "Accept-Encoding"
    known = [tag.removeprefix("W/") for tag in listed(request.scope["headers"], b"if-none-match")]
    if known == ["*"] or content.etag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    body = content.plain
    accepted = listed(request.scope["headers"], b"accept-encoding")
    if content.compressed is not None and any(map(GZIP.fullmatch, accepted)):
        body, headers["content-encoding"] = content.compressed, "gzip"
    # Not `media_type`, to which Starlette would add a character set, for the manifest and the icon as well.
    return Response(body, headers=headers | {"content-type": TYPES[path.suffix]})
