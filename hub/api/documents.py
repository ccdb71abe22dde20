"""The documents that describe the API to programs, as they are served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.api.asked import Query

VERSION = "1.0.0"
"""Of the contract, in each of its documents."""


class Document:
    """A document, encoded once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._encoded = msgspec.json.encode(document)

    async def get(self, request: Request) -> Response:
        """A GET of the document. Raises a 422 `Problem` for a parameter."""
        Query(request)
        return Response(self._encoded, media_type="application/json", headers={"cache-control": "no-cache"})
