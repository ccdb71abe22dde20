"""Connections whose credential was revoked are closed even if the bus did not say so."""

from __future__ import annotations

from functools import partial

from hub.live.close_codes import CloseCode
from hub.live.notices import Revoked
from tests.processes import eventually
from tests.test_connections import Desk, Log, a_notice


async def test_check_closes_listeners_of_a_revoked_credential_though_no_bus_said_so() -> None:
    desk = Desk(Log(head=3))
    gone, kept = await desk.started(), desk.listener(credential="token:2")
    desk.log.revoked.add("token:1")
    await desk.connections.check()
    assert gone.closing is not None
    assert gone.closing.code == CloseCode.NOT_AUTHENTICATED
    assert kept.closing is None


async def test_what_comes_with_the_end_of_its_credential_is_not_told_a_listener() -> None:
    desk = Desk()
    ended, kept = await desk.started(), desk.listener(credential="token:2")
    kept.caught_up(0)
    written: dict[str, list[bytes]] = {"token:1": [], "token:2": []}

    def write(credential: str, frames: bytes) -> bool:
        written[credential].append(frames)
        return True

    for each in (ended, kept):
        each.write = partial(write, each.credential)
    desk.deliver(a_notice(1), Revoked("token:1"))
    assert written == {"token:1": [], "token:2": [a_notice(1).frame]}


async def test_resync_looks_at_credentials_too() -> None:
    desk = Desk()
    listener = await desk.started()
    desk.log.revoked.add("token:1")
    desk.connections.resync()
    await eventually(lambda: listener.closing is not None)
