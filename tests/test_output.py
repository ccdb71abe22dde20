"""Output: a line is written where that is possible, and a stream that takes none stops nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

from hub.output import put


def test_text_is_written_at_once_behind_what_waits() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(io.BufferedWriter(raw))
    stream.write("before, ")
    put(stream, "then\n")
    assert raw.getvalue() == b"before, then\n"


def test_stream_that_is_not_there_or_closed_takes_nothing(tmp_path: Path) -> None:
    put(None, "a line\n")
    stream = (tmp_path / "closed").open("w")
    stream.close()
    put(stream, "a line\n")


def test_stream_on_a_full_disk_leads_nowhere_from_then_on() -> None:
    with Path("/dev/full").open("w") as stream:
        put(stream, "a line\n")
        put(stream, "another\n")


def test_stream_whose_reader_is_gone_leads_nowhere_from_then_on() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        put(stream, "a line\n")
