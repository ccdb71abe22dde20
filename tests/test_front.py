"""The front: pixels and sockets go straight to who serves them, and everything but a pixel has an id."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from hub.front import Front
from hub.live.websocket import SOCKET_PATH
from hub.logs import REQUEST_ID

PIXEL = "/o/anything.gif"
ROUTER_ID = "0123456789-from-a-router"


class Endpoint:
    """An application that notes which requests it is given, and their ids. It accepts a socket."""

    def __init__(self) -> None:
        self.ids: list[str | None] = []
        self.taken: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.ids.append(REQUEST_ID.get())
        if self.failure:
            raise self.failure
        await send({"type": "websocket.accept", "headers": []})

    def take(self, *given: Any) -> None:
        self.taken.append(given)


class Desk:
    """A front with one page behind its router."""

    def __init__(self) -> None:
        self.pixel, self.socket, self.page = Endpoint(), Endpoint(), Endpoint()

        async def page(_request: Request) -> Response:
            self.page.ids.append(REQUEST_ID.get())
            return PlainTextResponse("a page")

        self.front = Front(routes=[Route("/page", page)])
        self.front.state.pixel, self.front.state.socket = self.pixel, self.socket

    async def ask(self, type_: str, path: str, method: str = "GET", given: str | None = None) -> list[Message]:
        """What the front answers to a request with `given` as its id."""
        said: list[Message] = []

        async def send(message: Message) -> None:
            said.append(message)

        async def receive() -> Message:
            return {"type": "http.request" if type_ == "http" else "websocket.connect"}

        await self.front(a_scope(type_, path, method, given), receive, send)
        return said

    @property
    def served(self) -> str:
        """Who served, or "" for nobody but the front and its router."""
        return " ".join(name for name in ("pixel", "socket", "page") if getattr(self, name).ids)


def a_scope(type_: str, path: str, method: str = "GET", given: str | None = None) -> Scope:
    headers = [] if given is None else [(b"x-request-id", given.encode("latin-1"))]
    scope: Scope = {"type": type_, "path": path, "headers": headers, "query_string": b""}
    if type_ == "http":
        return {**scope, "method": method}
    return {**scope, "extensions": {"websocket.http.response": {}}}


def id_in(said: list[Message]) -> str | None:
    return dict(said[0]["headers"]).get(b"x-request-id", b"").decode() or None


@pytest.mark.parametrize(
    ("type_", "method", "path", "served"),
    [
        ("http", "GET", PIXEL, "pixel"),
        ("http", "HEAD", PIXEL, "pixel"),
        ("http", "GET", "/o/.gif", "pixel"),
        ("http", "POST", PIXEL, ""),
        ("http", "OPTIONS", PIXEL, ""),
        ("http", "GET", "/o/anything.png", ""),
        ("http", "GET", "/O/anything.gif", ""),
        ("http", "GET", "/x/o/anything.gif", ""),
        ("http", "GET", "/page", "page"),
        ("http", "GET", SOCKET_PATH, ""),
        ("websocket", "", SOCKET_PATH, "socket"),
        ("websocket", "", f"{SOCKET_PATH}/", ""),
        ("websocket", "", PIXEL, ""),
        ("websocket", "", "/page", ""),
    ],
)
async def test_front_gives_each_request_to_who_serves_it(type_: str, method: str, path: str, served: str) -> None:
    desk = Desk()
    said = await desk.ask(type_, path, method)
    assert desk.served == served
    if not served:
        assert said[0]["status"] == 404
        assert said[0]["type"] == ("http.response.start" if type_ == "http" else "websocket.http.response.start")


async def test_pixel_has_no_id_and_every_other_request_one_of_its_own() -> None:
    desk = Desk()
    assert id_in(await desk.ask("http", PIXEL, given=ROUTER_ID)) is None
    assert desk.pixel.ids == [REQUEST_ID.get()]
    ids = [
        id_in(await desk.ask(type_, path))
        for type_, path in [("http", "/page"), ("http", "/page"), ("http", "/nothing"), ("websocket", "/nothing")]
    ]
    assert len({*ids} - {None}) == 4
    assert desk.page.ids == ids[:2], "what is logged for it has the id that its answer has"
    before = REQUEST_ID.get()
    assert id_in(await desk.ask("websocket", SOCKET_PATH, given=ROUTER_ID)) == ROUTER_ID
    assert desk.socket.ids == [ROUTER_ID]
    assert REQUEST_ID.get() == before, "and what comes after it has not"


@pytest.mark.parametrize(("type_", "path"), [("http", "/page"), ("http", "/nothing"), ("websocket", "/nothing")])
async def test_answer_is_taken_for_what_its_content_type_says(type_: str, path: str) -> None:
    headers = dict((await Desk().ask(type_, path))[0]["headers"])
    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (ROUTER_ID, True),
        ("a" * 20, True),
        ("A-9" * 66 + "zz", True),
        ("a" * 19, False),
        ("a" * 201, False),
        ("", False),
        ("a" * 20 + "\n", False),
        ("a" * 20 + '"', False),
        ("a" * 20 + "_", False),
        ("é" * 20, False),
        ("٣" * 20, False),
    ],
)
async def test_id_that_a_proxy_gave_is_kept_if_it_is_fit_for_a_log(given: str, kept: bool) -> None:
    desk = Desk()
    found = id_in(await desk.ask("http", "/page", given=given.encode().decode("latin-1")))
    assert found
    assert (found == given) is kept
    assert desk.page.ids == [found]


async def test_id_of_a_request_that_fails_is_let_go() -> None:
    desk, before = Desk(), REQUEST_ID.get()
    desk.socket.failure = RuntimeError("the socket broke")
    with pytest.raises(RuntimeError):
        await desk.ask("websocket", SOCKET_PATH)
    assert desk.socket.ids != [before]
    assert REQUEST_ID.get() == before


@pytest.mark.parametrize(
    ("type_", "method", "path", "is_taken"),
    [
        ("http", "GET", PIXEL, True),
        ("http", "HEAD", PIXEL, False),
        ("http", "POST", PIXEL, False),
        ("http", "GET", "/page", False),
        ("websocket", "GET", PIXEL, False),
    ],
)
def test_take_spares_a_task_to_the_get_of_a_pixel_alone(type_: str, method: str, path: str, is_taken: bool) -> None:
    desk, scope = Desk(), a_scope(type_, path, method)
    write, run = (lambda _head, _body: True), (lambda _app: None)
    assert desk.front.take(scope, write, run) is is_taken
    assert desk.pixel.taken == [(scope, write, run)] * is_taken


async def test_start_and_end_of_the_application_pass_the_front() -> None:
    happened: list[str] = []

    class Lifespan:
        async def __aenter__(self) -> None:
            happened.append("started")

        async def __aexit__(self, *_: object) -> None:
            happened.append("ended")

    def lifespan(_app: Starlette) -> Any:
        return Lifespan()

    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        happened.append(message["type"])

    await Front(lifespan=lifespan)({"type": "lifespan"}, receive, send)
    assert happened == ["started", "lifespan.startup.complete", "ended", "lifespan.shutdown.complete"]
