"""Output: lines for whoever started the hub, on streams that may take none.

Promise: a stream that is closed, whose disk is full or whose reader is gone hinders nothing, now or as Python ends.
"""

from __future__ import annotations

import contextlib
import os
from typing import TextIO


def put(stream: TextIO | None, text: str = "") -> None:
    """Write what waits in `stream`, and `text` behind it, if that can be."""
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except ValueError:
        return
    except OSError:
        # Else Python would try once more as it ends, say so in its own words, and end with status 120.
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
