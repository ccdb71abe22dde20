"""Output: lines for whoever started the hub, on streams that may not take them.

Promise: a stream that is closed, or whose disk is full or reader gone, stops nothing, neither now nor as Python ends.
"""

from __future__ import annotations

import contextlib
import os
from typing import TextIO


def put(stream: TextIO | None, text: str = "") -> None:
    """Write `text` to `stream` and flush it, if the stream still takes anything."""
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except ValueError:
        return
    except OSError:
        # Otherwise Python would try once more as it ends, complain in its own words, and end with status 120.
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
