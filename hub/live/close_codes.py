"""Why a socket is closed: every code that a client may be given.

Promise: after a code below 4400 a client comes back by itself; after one from 4400 on, not without a change (protocol,
WebSocket). The codes up to 1015 are those of RFC 6455, 7.4.1, and of IANA's registry; uvicorn and websockets give 1002,
1009 and 1012.
"""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """A close code, and what it means."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> CloseCode:
        """The code with its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    NOT_A_FRAME = 1002, "a frame that breaks RFC 6455"
    NOT_UTF_8 = 1007, "a text frame that is not UTF-8"
    TOO_LONG = 1009, "a frame over 64 KiB"
    RESTARTING = 1012, "the service restarts"
    TRY_AGAIN_LATER = 1013, "the database is away"
    GOING_DOWN = 4001, "the server is going down"
    TOO_SLOW = 4008, "too slow"
    NOT_THE_PROTOCOL = 4400, "not the protocol"
    NOT_AUTHENTICATED = 4401, "no token, or a bad or a revoked one"
    WRONG_ORIGIN = 4403, "a page that is not the hub's own; it is refused with 403 before the upgrade"
    NO_CONNECT = 4408, "no connect frame in 10 s"
    TOO_MANY_SOCKETS = 4409, "too many sockets for this user"
    TOO_MANY_FRAMES = 4429, "too many frames"
