"""Load generators as processes of their own: they share no interpreter with what is measured, so they do not slow
it, and what they take of the machine can be told apart."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeAlias

from bench.figures import BenchError

Work: TypeAlias = Callable[[Any, Connection], None]
END_SECONDS = 5.0


class Child:
    """A process that runs `work(spec, link)`, `work` and `spec` picklable; it ends with this one.

    `hear` returns what it sends down its link, and `tell` sends it something. If it fails, `hear` raises.
    """

    def __init__(self, work: Work, spec: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._link, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(work, spec, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, message: object) -> None:
        """Send it something."""
        self._link.send(message)

    def hear(self, seconds: float) -> Any:
        """What it says next. Raises `BenchError` if it says nothing in time or has failed."""
        if not self._link.poll(seconds):
            raise BenchError(f"a load generator said nothing for {seconds:g} s")
        try:
            said = self._link.recv()
        except EOFError:
            raise BenchError("a load generator ended by itself") from None
        if isinstance(said, _Failure):
            raise BenchError(f"a load generator failed: {said.text}")
        return said

    def close(self) -> None:
        """End it, if it has not ended."""
        self._link.close()
        self._process.join(0.2)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Failure:
    def __init__(self, text: str) -> None:
        self.text = text


def _run(work: Work, spec: object, link: Connection) -> None:
    try:
        work(spec, link)
    except (BrokenPipeError, EOFError, KeyboardInterrupt):
        os._exit(1)
    except BaseException:
        with contextlib.suppress(OSError):
            link.send(_Failure(traceback.format_exc()))
