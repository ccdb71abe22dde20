"""How much a client may say on its socket.

Promise: a client that keeps to the contract is never refused, unless the hub itself stood still and then takes at once
what piled up meanwhile; a client that does not keep to it is refused after a hundred frames.
"""

from __future__ import annotations

FRAMES_PER_SECOND = 20
FRAMES_AT_ONCE = 100
TOO_MANY_FRAMES_REASON = f"more than {FRAMES_PER_SECOND} frames a second"


class Allowance:
    """The frames a client may still send: `FRAMES_AT_ONCE`, less those it sent, plus `FRAMES_PER_SECOND`."""

    __slots__ = ("_last", "_left")

    def __init__(self, now: float) -> None:
        """`now` is in seconds of a clock that is never set back."""
        self._left = float(FRAMES_AT_ONCE)
        self._last = now

    def take(self, frames: int, now: float) -> bool:
        """Whether so many `frames` more are allowed at `now`. If so, all of them are spent; if not, none."""
        self._left = min(FRAMES_AT_ONCE, self._left + (now - self._last) * FRAMES_PER_SECOND)
        self._last = now
        if frames > self._left:
            return False
        self._left -= frames
        return True
