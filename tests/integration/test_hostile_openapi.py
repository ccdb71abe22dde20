"""Requests generated from the OpenAPI document, right ones and wrong ones, against a real hub process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hub.api.openapi import document
from tests.processes import PATIENCE_SECONDS
from tests.servers import HubProcess

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# A stream does not end, a socket is no answer to a request, and log-ins are limited.
schema = schemathesis.openapi.from_dict(document()).exclude(path=["/stream", "/ws", "/session"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of the API of a running hub, and the headers of a sender's request to it."""
    directory = tmp_path_factory.mktemp("served")
    hub = HubProcess(directory, f"sqlite:///{directory / 'hub.db'}")
    try:
        hub.start()
        hub.add_user("sender@example.com", "Sender", "correct horse battery")
        yield f"{hub.base_url}/api/v1", {"authorization": f"Bearer {hub.create_token('sender@example.com')}"}
        assert "Traceback" not in hub.output()
    finally:
        hub.kill()


@schema.parametrize()
@pytest.mark.parametrize("who", ["sender", "nobody"])
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_request_made_from_the_document_is_answered_as_it_says(
    case: schemathesis.Case[Any], who: str, served: tuple[str, dict[str, str]]
) -> None:
    base_url, headers = served
    response = case.call(base_url=base_url, headers=headers if who == "sender" else {}, timeout=PATIENCE_SECONDS)
    case.validate_response(response, checks=CHECKS)
