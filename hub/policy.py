"""The policy: whether an open is told to its sender, and if not, why.

Promise: pure functions of what was recorded and what the sender decided. Every process, stream and
replay asks here, so a sender's decision cannot hold in one place and not in another.
"""

from __future__ import annotations

from msgspec.structs import replace

from hub.model import Event, MessageState, Settings, Stream, Withheld


def is_muted(message: MessageState, settings: Settings) -> bool:
    """Whether the message is silent now.

    A mute-all silences every message registered before it; the speaker speaks for one message;
    whichever came later in the user's log wins.
    """
    muted_all = settings.muted_all_sequence
    if message.registered_sequence < muted_all and message.muted_set_sequence < muted_all:
        return True
    return bool(message.muted)


def withheld(*, counted: bool, message: MessageState, settings: Settings) -> Withheld | None:
    """Why an open on `message` is withheld from notification, or None if it is told.

    The first that holds: it is not counted (its verdict, or a repeat), real-time is off, the message
    is muted.
    """
    if not counted:
        return "not_counted"
    if not settings.realtime_notifications:
        return "realtime_off"
    if is_muted(message, settings):
        return "muted"
    return None


def as_told_now(event: Event, settings: Settings) -> Event:
    """A logged event as it is to be told now: one that would no longer notify does not.

    An event that was withheld is not announced late. It keeps its reason, unless the open has turned out not to count:
    that reason comes first.
    """
    if event.type != "open.recorded" or event.open is None or event.message is None:
        return event
    reason = withheld(counted=event.open.counted, message=event.message, settings=settings)
    if reason is None or not (event.notified or reason == "not_counted"):
        return event
    return replace(event, notified=False, withheld=reason)


def streamed(notified: bool, stream: Stream) -> bool:
    """Whether a stream carries an event: `history` carries all, `notifications` what notifies."""
    return notified or stream == "history"
