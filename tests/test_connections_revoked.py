"""Connections whose credential was revoked are closed even if the bus did not say so."""

from __future__ import annotations

from hub.live.close_codes import CloseCode
from tests.processes import eventually
from tests.test_connections import Desk, Log


async def test_check_closes_listeners_of_a_revoked_credential_though_no_bus_said_so() -> None:
    desk = Desk(Log(head=3))
    gone, kept = await desk.started(), desk.listener(credential="token:2")
    desk.log.revoked.add("token:1")
    await desk.connections.check()
    assert gone.closing is not None
    assert gone.closing.code == CloseCode.NOT_AUTHENTICATED
    assert kept.closing is None


async def test_resync_looks_at_credentials_too() -> None:
    desk = Desk()
    listener = await desk.started()
    desk.log.revoked.add("token:1")
    desk.connections.resync()
    await eventually(lambda: listener.closing is not None)
