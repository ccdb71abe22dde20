"""Messages over REST: register, find, change, mute, look at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from hub.actions import Actions, Claim, NewMessage, NotFound
from hub.api.asked import (
    MOST_ADDRESS,
    MOST_NAME,
    Checks,
    Query,
    answer,
    in_turns,
    is_mail_address,
    length,
    path_id,
    read_body,
    read_nothing,
)
from hub.api.auth import Auth
from hub.api.problems import invalid, not_found
from hub.model import MOST_GIVEN, Crm, Message, Provider, Recipient, Settings
from hub.store.idempotency import KeyReused
from hub.store.messages import Messages
from hub.tracking.token import Keys
from hub.wire import MessageView, MutedData, Time, from_rfc3339, message_view, rfc3339

MOST_RECIPIENTS = 500
MOST_SUBJECT = 1000
MOST_KEY = 255


class RecipientBody(Struct, forbid_unknown_fields=True):
    """Somebody a message goes to."""

    address: Annotated[str, length(MOST_ADDRESS, 3)]
    name: Annotated[str, length(MOST_NAME)] | None = None


class MessageBody(Struct, forbid_unknown_fields=True):
    """A message to register. `sent_at` absent means now, null not yet."""

    subject: Annotated[str, length(MOST_SUBJECT)]
    recipients: Annotated[list[RecipientBody], Meta(extra_json_schema={"minItems": 1, "maxItems": MOST_RECIPIENTS})]
    template: Annotated[str, length(MOST_NAME, 1)] | None = None
    format: Literal["html", "plain"] = "html"
    pixels: Literal["auto", "shared", "per_recipient"] = "auto"
    sent_at: Time | UnsetType | None = UNSET
    provider: Provider | None = None
    crm: Crm | None = None


class MessagePatch(Struct, forbid_unknown_fields=True):
    """The fields of a message that can be changed."""

    muted: bool | UnsetType = UNSET
    sent_at: Time | UnsetType | None = UNSET
    provider: Provider | UnsetType | None = UNSET
    crm: Crm | UnsetType | None = UNSET


class MessagePage(Struct):
    """A page of messages."""

    items: list[MessageView]
    next: str | None


class MessagesApi:
    """The endpoints under `/messages`."""

    def __init__(self, auth: Auth, messages: Messages, actions: Actions, keys: Keys) -> None:
        self._auth = auth
        self._messages = messages
        self._actions = actions
        self._keys = keys

    async def register(self, request: Request) -> Response:
        """`POST /messages`."""
        user = await self._auth.require_user(request)
        body = await read_body(request, MessageBody)
        header = request.headers.get("idempotency-key")
        key = None if header is None else header.encode("latin-1")
        if key is not None and not 1 <= len(key.decode(errors="replace")) <= MOST_KEY:
            raise invalid("Idempotency-Key", f"may have 1 to {MOST_KEY} characters")
        base_url = self._auth.base_url(request)

        def rendered(message: Message, settings: Settings) -> str:
            return msgspec.json.encode(message_view(message, settings, self._keys, base_url)).decode()

        claim = None
        if key is not None:
            body_hash = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
            claim = Claim(key.decode(errors="backslashreplace"), body_hash, rendered)
        try:
            result = await self._actions.register(user.id, new_message(body), base_url, claim)
        except KeyReused:
            raise invalid("Idempotency-Key", "came before with another body; use a new key") from None
        text = result if isinstance(result, str) else rendered(*result)
        return Response(text, 201, {"cache-control": "no-store"}, "application/json")

    async def page(self, request: Request) -> Response:
        """`GET /messages`."""
        user = await self._auth.require_user(request)
        query = Query(request, "limit", "cursor", "q", "opened", "template")
        limit = query.limit()
        messages = await self._messages.page(
            user.id,
            limit=limit + 1,
            before=query.cursor(),
            search=query.text("q"),
            opened=query.flag("opened"),
            template=query.text("template"),
        )
        items, more = messages[:limit], len(messages) > limit
        views = await in_turns(lambda message: self._view(message, user.settings, request), items)
        return answer(MessagePage(views, items[-1].id if more else None))

    async def get(self, request: Request) -> Response:
        """`GET /messages/{id}`."""
        user = await self._auth.require_user(request)
        Query(request)
        message = await self._messages.get(user.id, path_id(request, "message"))
        if message is None:
            raise not_found("message")
        return answer(self._view(message, user.settings, request))

    async def change(self, request: Request) -> Response:
        """`PATCH /messages/{id}`."""
        user = await self._auth.require_user(request)
        message_id = path_id(request, "message")
        values = _changes(await read_body(request, MessagePatch))
        if not values:
            return await self.get(request)
        try:
            message, settings = await self._actions.change_message(
                user.id, message_id, values, self._auth.base_url(request)
            )
        except NotFound:
            raise not_found("message") from None
        return answer(self._view(message, settings, request))

    async def mute_all(self, request: Request) -> Response:
        """`POST /messages/mute-all`."""
        user = await self._auth.require_user(request)
        await read_nothing(request)
        settings = await self._actions.mute_all(user.id)
        return answer(MutedData(rfc3339(settings.muted_all_at or 0)))

    async def viewing(self, request: Request) -> Response:
        """`POST /messages/{id}/viewing`."""
        user = await self._auth.require_user(request)
        message_id = path_id(request, "message")
        await read_nothing(request)
        try:
            await self._actions.view(user.id, message_id)
        except NotFound:
            raise not_found("message") from None
        return Response(status_code=204)

    def _view(self, message: Message, settings: Settings, request: Request) -> MessageView:
        return message_view(message, settings, self._keys, self._auth.base_url(request))


def new_message(body: MessageBody) -> NewMessage:
    """The message that a body asks to register. Raises a 422 `Problem` that names every wrong field."""
    checks = Checks()
    checks.text("subject", body.subject, MOST_SUBJECT)
    checks.text("template", body.template, MOST_NAME, 1)
    if not 1 <= len(body.recipients) <= MOST_RECIPIENTS:
        checks.wrong("recipients", f"has {len(body.recipients)}; it may have 1 to {MOST_RECIPIENTS}")
    for place, recipient in enumerate(body.recipients[:MOST_RECIPIENTS]):
        if is_mail_address(recipient.address):
            checks.text(f"recipients[{place}].address", recipient.address, MOST_ADDRESS)
        else:
            checks.wrong(f"recipients[{place}].address", "is not a mail address like name@example.com")
        checks.text(f"recipients[{place}].name", recipient.name, MOST_NAME)
    _check_names(checks, body.provider, body.crm)
    sent_at = UNSET if body.sent_at is UNSET else _time(checks, body.sent_at)
    checks.done()
    return NewMessage(
        subject=body.subject,
        recipients=tuple(Recipient(recipient.address, recipient.name) for recipient in body.recipients),
        template=body.template,
        format=body.format,
        shared=body.pixels == "shared" or (body.pixels == "auto" and len(body.recipients) > 1),
        sent_at=sent_at,
        provider=body.provider,
        crm=body.crm,
    )


def _changes(body: MessagePatch) -> Mapping[str, Any]:
    checks = Checks()
    values: dict[str, Any] = {}
    for name in ("muted", "provider", "crm"):
        if (value := getattr(body, name)) is not UNSET:
            values[name] = value
    if body.sent_at is not UNSET:
        values["sent_at"] = _time(checks, body.sent_at)
    _check_names(checks, values.get("provider"), values.get("crm"))
    checks.done()
    return values


def _time(checks: Checks, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError as error:
        checks.wrong("sent_at", str(error))
        return None


def _check_names(checks: Checks, provider: Provider | None, crm: Crm | None) -> None:
    for where, names in (("provider", provider), ("crm", crm)):
        for field, value in (msgspec.structs.asdict(names) if names else {}).items():
            checks.text(f"{where}.{field}", value, MOST_GIVEN, 1)
    if crm is not None and crm.url is not None and not _is_web_address(crm.url):
        checks.wrong("crm.url", "must be an http or https address")


def _is_web_address(text: str) -> bool:
    # urlsplit passes over line breaks anywhere, and blanks at the beginning.
    if not text.isprintable() or text.startswith(" "):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
