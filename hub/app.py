"""The application: the parts built, joined and routed. No rule lives here.

Promise: everything shared is made when the server starts and handed down as arguments; when the server
stops, it is undone in the opposite order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute
from starlette.types import ExceptionHandler

from hub.actions import Actions
from hub.api import asyncapi, openapi
from hub.api.asked import refuse_too_much
from hub.api.attempts import Attempts, LocalAttempts
from hub.api.auth import Auth
from hub.api.cors import CALLS_FROM_ELSEWHERE
from hub.api.documents import Document
from hub.api.health import HealthApi, Metrics
from hub.api.messages import MessagesApi
from hub.api.opens import OpensApi
from hub.api.pages import PagesApi, web_directory
from hub.api.passwords import Passwords
from hub.api.problems import Problem, on_database_away, on_exception, on_http_exception, on_problem
from hub.api.session import SessionApi
from hub.api.settings import AccountApi
from hub.config import Config
from hub.front import Front
from hub.live.bus import Bus
from hub.live.connections import Connections
from hub.live.log_pages import LogPages
from hub.live.sse import Streams
from hub.live.websocket import Sockets, refuse_without_upgrade
from hub.model import now
from hub.preparation import Preparation
from hub.recorder import Recorder
from hub.spool import Spool
from hub.store.away import DatabaseAway
from hub.store.credentials import Credentials
from hub.store.database import Database
from hub.store.events import Events
from hub.store.messages import Messages
from hub.store.opens import Opens
from hub.store.retention import Retention
from hub.store.users import Users
from hub.tracking import device
from hub.tracking.datasets import Datasets
from hub.tracking.pixel import Pixel
from hub.tracking.snippet import PREFIX, SUFFIX
from hub.tracking.token import Keys
from hub.tracking.visit import TrustedProxies
from hub.upkeep import Upkeep
from hub.wire import Renderer

if TYPE_CHECKING:
    from hub.live.redis_bus import RedisBackend

Endpoint = Callable[[Request], Awaitable[Response]]

HANDLERS: Mapping[Any, ExceptionHandler] = {
    Problem: on_problem,
    DatabaseAway: on_database_away,
    HTTPException: on_http_exception,
}
"""What answers an error that is no defect of ours."""


def create_app(config: Config) -> Starlette:
    """The application for a configuration; nothing is opened before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            parts = await _open(config, stack)
            _join(app, config, parts, stack)
            yield

    app = Front(
        lifespan=lifespan,
        exception_handlers={**HANDLERS, Exception: on_exception},
    )
    # Behind a proxy that ends the https, a redirect that adds or drops a slash would lead to http.
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts that stay open, and work by themselves, for as long as the application lives."""

    database: Database
    credentials: Credentials
    keys: Keys
    renderer: Renderer
    metrics: Metrics
    connections: Connections
    bus: Bus
    recorder: Recorder
    failed: asyncio.Future[str]


async def _open(config: Config, stack: AsyncExitStack) -> _Parts:
    device.prepare()
    datasets = Datasets.load(config.data_dir, config.geoip_db)
    database = Database(config.database_url)
    stack.push_async_callback(database.disconnect)
    preparation = Preparation(database, config)
    stack.push_async_callback(preparation.stop)
    keys = await preparation.keys()

    credentials = Credentials(database)
    renderer = Renderer(keys, config.public_url or f"http://127.0.0.1:{config.port}")
    metrics = Metrics(of_several=config.workers > 1)
    connections = Connections(
        Users(database),
        credentials,
        LogPages(Events(database), renderer),
        max_per_user=config.max_sockets_per_user,
        max_bytes=config.max_queue_bytes,
        clock=now,
        on_delivered=metrics.delivery.observe,
    )
    bus = Bus(_redis(config))
    await bus.start(connections.deliver, connections.resync, connections.wants)
    stack.push_async_callback(bus.stop)

    spool = Spool(config.spool_dir)
    recorder = Recorder(database, bus, renderer, keys, datasets, spool, config, clock=now, measures=metrics.measures())
    await recorder.start()
    stack.push_async_callback(recorder.stop)
    upkeep = Upkeep(
        connections,
        bus,
        recorder,
        Retention(database, config.log_days),
        datasets,
        credentials,
        log_check_seconds=config.log_check_seconds,
        sweep_seconds=config.sweep_seconds,
        clock=now,
    )
    await stack.enter_async_context(upkeep)
    return _Parts(
        database=database,
        credentials=credentials,
        keys=keys,
        renderer=renderer,
        metrics=metrics,
        connections=connections,
        bus=bus,
        recorder=recorder,
        failed=preparation.failed,
    )


def _join(app: Starlette, config: Config, parts: _Parts, stack: AsyncExitStack) -> None:
    """Build what answers requests, on these parts, and give it to the application: in `state` what the server and the
    front call by themselves, and routes to all else.
    """
    database, connections, metrics = parts.database, parts.connections, parts.metrics
    users, messages, opens, events = Users(database), Messages(database), Opens(database), Events(database)
    passwords = Passwords()
    stack.callback(passwords.close)
    attempts = _attempts(config, parts.keys, stack)

    actions = Actions(database, parts.bus, parts.renderer, clock=now)
    trusted = TrustedProxies(config.trusted_proxies)
    auth = Auth(parts.credentials, public_url=config.public_url, trusted_proxies=trusted, clock=now)
    health = HealthApi(auth, database, parts.recorder, parts.bus, connections, metrics, trusted_proxies=trusted)
    account = AccountApi(auth, users, parts.credentials, events, actions, passwords, attempts, now)
    session = SessionApi(
        auth,
        users,
        parts.credentials,
        events,
        actions,
        passwords,
        attempts,
        trusted_proxies=trusted,
        clock=now,
    )
    sockets = Sockets(auth, actions, connections, config, on_close=metrics.closed)

    async def drain(seconds: float) -> None:
        sockets.go_down()
        await connections.drain(seconds)

    app.state.drain = drain
    app.state.failed = parts.failed
    app.state.socket = sockets
    app.state.pixel = Pixel(parts.keys, parts.recorder, trusted, now, metrics.hit)
    app.router.routes += [
        # The front serves pixels and sockets; these routes let the router refuse all else at their addresses.
        Route(f"{PREFIX}{{name:path}}{SUFFIX}", app.state.pixel, methods=["GET"]),
        Mount(
            "/api/v1",
            Router(
                [
                    *_resources(
                        MessagesApi(auth, messages, actions, parts.keys),
                        OpensApi(auth, messages, opens, events, parts.renderer),
                        account,
                        session,
                    ),
                    Route("/stream", Streams(auth, connections, config).stream),
                    WebSocketRoute("/ws", sockets),
                    Route("/ws", refuse_without_upgrade),
                    Route("/openapi.json", Document(openapi.document()).get),
                    Route("/asyncapi.json", Document(asyncapi.document()).get),
                ],
                redirect_slashes=False,
            ),
            # Errors are answered within, or their answers would lack the header that shows them to a page.
            middleware=[
                CALLS_FROM_ELSEWHERE,
                Middleware(ServerErrorMiddleware, handler=on_exception),
                Middleware(ExceptionMiddleware, handlers=HANDLERS),
            ],
        ),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", health.metrics),
        *PagesApi(web_directory()).routes(),
    ]


def _resources(messages: MessagesApi, opens: OpensApi, account: AccountApi, session: SessionApi) -> list[BaseRoute]:
    return [
        _resource("/me", GET=account.me, PATCH=account.change_me),
        _resource("/settings", PATCH=account.change_settings),
        _resource("/seen", POST=account.seen),
        _resource("/tokens", GET=account.tokens, POST=account.add_token),
        _resource("/tokens/{id}", DELETE=account.remove_token),
        _resource("/sessions", GET=account.sessions),
        _resource("/sessions/{id}", DELETE=account.remove_session),
        _resource("/session", POST=session.log_in, DELETE=session.log_out),
        _resource("/messages", GET=messages.page, POST=messages.register),
        _resource("/messages/mute-all", POST=messages.mute_all),
        _resource("/messages/{id}", GET=messages.get, PATCH=messages.change),
        _resource("/messages/{id}/viewing", POST=messages.viewing),
        _resource("/messages/{id}/opens", GET=opens.of_message),
        _resource("/opens", GET=opens.of_all),
        _resource("/events", GET=opens.events),
    ]


def _resource(path: str, **methods: Endpoint) -> Route:
    """One address with all its methods, so that a 405 names them all."""

    async def endpoint(request: Request) -> Response:
        await refuse_too_much(request)
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return Route(path, endpoint, methods=list(methods))


def _redis(config: Config) -> RedisBackend | None:
    if config.redis_url is None:
        return None
    # Imported here, because what speaks to Redis takes a tenth of the time of all imports.
    from hub.live.redis_bus import RedisBackend

    return RedisBackend(config.redis_url, insecure_tls=config.redis_insecure_tls)


def _attempts(config: Config, keys: Keys, stack: AsyncExitStack) -> Attempts:
    local = LocalAttempts(now)
    if config.redis_url is None:
        return local
    from hub.api.shared_attempts import SharedAttempts

    shared = SharedAttempts(config.redis_url, config.redis_insecure_tls, local, keys.pseudonym)
    stack.push_async_callback(shared.close)
    return shared
