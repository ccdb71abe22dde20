"""Opens and events over REST: what happened, for a page that shows it and a client that catches up."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from hub import policy
from hub.api.asked import Query, answer, in_turns, path_id
from hub.api.auth import Auth
from hub.api.problems import not_found
from hub.model import Event, User
from hub.store.events import Events
from hub.store.messages import Messages
from hub.store.opens import Opens
from hub.wire import EventView, OpenView, Renderer, open_view

EVENTS_LIMIT = 200


class OpenPage(Struct):
    """A page of opens."""

    items: list[OpenView]
    next: str | None


class EventPage(Struct):
    """A page of the log; `sequence` is where the log stands."""

    items: list[EventView]
    sequence: int


class OpensApi:
    """The endpoints that list opens and events."""

    def __init__(self, auth: Auth, messages: Messages, opens: Opens, events: Events, renderer: Renderer) -> None:
        self._auth = auth
        self._messages = messages
        self._opens = opens
        self._events = events
        self._renderer = renderer

    async def of_message(self, request: Request) -> Response:
        """`GET /messages/{id}/opens`."""
        user = await self._auth.require_user(request)
        message_id = path_id(request, "message")
        if not await self._messages.owned(user.id, message_id):
            raise not_found("message")
        return await self._page(request, user, message_id)

    async def of_all(self, request: Request) -> Response:
        """`GET /opens`."""
        user = await self._auth.require_user(request)
        return await self._page(request, user, None)

    async def events(self, request: Request) -> Response:
        """`GET /events`."""
        user = await self._auth.require_user(request)
        query = Query(request, "after", "limit")
        events = await self._events.after(user.id, query.whole("after", 0), query.limit(EVENTS_LIMIT))
        # The user was read before the log, which may have grown meanwhile.
        head = max(user.sequence, events[-1].sequence if events else 0)
        # Read anew, for the sender may have decided meanwhile what is told.
        settings = (await self._auth.require_user(request)).settings
        base_url = self._auth.base_url(request)

        def view(event: Event) -> EventView:
            return self._renderer.view(policy.as_told_now(event, settings), settings, base_url)

        return answer(EventPage(await in_turns(view, events), head))

    async def _page(self, request: Request, user: User, message_id: str | None) -> Response:
        query = Query(request, "limit", "cursor", "all")
        limit = query.limit()
        found = await self._opens.page(
            user.id,
            limit=limit + 1,
            message_id=message_id,
            before=query.cursor(),
            uncounted=query.flag("all") or False,
        )
        items, more = found[:limit], len(found) > limit
        views = await in_turns(lambda item: open_view(*item), items)
        return answer(OpenPage(views, items[-1][0].id if more else None))
