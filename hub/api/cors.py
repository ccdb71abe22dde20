"""Calls from pages of other sites (CORS), as Outlook add-ins are: with an API token, never with the session's cookie.

Promise: a page of any site may read the answer to a call with a token. The answer to a call with a cookie lacks the
header that allows this, so a browser keeps it from the page; an unsafe call with a cookie is refused by `Auth`.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.api.problems import Problem


class _WithoutCookies(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        detail = f"{bytes(response.body).decode()}: a page of another site cannot ask for that."
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return Problem(response.status_code, "refused", detail, headers=headers).response()

    async def simple_response(self, scope: Scope, receive: Receive, send: Send, request_headers: Headers) -> None:
        if "cookie" in request_headers:
            await self.app(scope, receive, send)
        else:
            await super().simple_response(scope, receive, send, request_headers)


CALLS_FROM_ELSEWHERE = Middleware(
    _WithoutCookies,
    allow_origins=["*"],
    allow_methods=["GET", "POST", "PATCH", "DELETE"],
    # Any: tracing and error reporting add headers of their own to a page's calls, and it is the token that counts.
    allow_headers=["*"],
    expose_headers=["Date", "Retry-After", "X-Request-ID"],
    max_age=7200,
)
"""For the API only. 7,200 s is the most that Chrome heeds (MDN, Access-Control-Max-Age, 2026-11)."""
