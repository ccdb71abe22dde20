"""The machine: what goes wrong with it is said once, and once more when it is over."""

from __future__ import annotations

import logging
import os
import resource

import pytest

from hub.machine import Machine, out_of_descriptors
from tests.factories import ManualClock


def test_descriptors_that_are_used_up_are_told_once_and_so_is_their_return(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(ManualClock())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with caplog.at_level(logging.WARNING):
        machine.look()
        last = os.dup(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (last, hard))
        try:
            assert out_of_descriptors()
            machine.look()
            machine.look()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(last)
        machine.look()
        machine.look()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "no file descriptors are left" in caplog.text
    assert not out_of_descriptors()


@pytest.mark.parametrize(("by", "told"), [(-3_600_000, True), (-1000, False), (0, False), (3_600_000, False)])
def test_clock_set_back_is_told_once(caplog: pytest.LogCaptureFixture, by: int, told: bool) -> None:
    clock = ManualClock()
    machine = Machine(clock)
    clock.forward(by)
    machine.look()
    machine.look()
    assert [record.message[:38] for record in caplog.records] == ["the clock was set back by 3600 s: what"] * told
