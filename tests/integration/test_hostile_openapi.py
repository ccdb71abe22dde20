"""Requests generated from the OpenAPI document, right ones and wrong ones, against real hub processes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from hub.api.openapi import document
from tests.api import LONG_AGO
from tests.processes import PATIENCE_SECONDS
from tests.servers import HubProcess, Postgres

DATABASES = ("sqlite", "postgresql")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ACCOUNT = {"email": "sender@example.com", "password": "correct horse battery"}
MESSAGE = {"subject": "Proposal", "recipients": [{"address": "reader@example.com"}], "sent_at": LONG_AGO}
# A stream does not end, and a socket is no answer to a request.
schema = schemathesis.openapi.from_dict(document()).exclude(path=["/stream", "/ws"])


@dataclass
class Served:
    """The API of a running hub, and a sender's client of it."""

    base_url: str
    sender: httpx.Client
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, case: schemathesis.Case[Any], headers: dict[str, str]) -> None:
        """Send a generated request, and check what is answered to it."""
        # Log-ins are limited for an address, so each request comes from another.
        number = next(self.numbers)
        headers |= {"x-forwarded-for": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"}
        response = case.call(base_url=self.base_url, headers=headers, timeout=PATIENCE_SECONDS)
        case.validate_response(response, checks=CHECKS, headers=headers)

    def name_what_exists(self, case: schemathesis.Case[Any]) -> None:
        """Have about every second right `{id}` be one of the sender's, made anew because it may be deleted."""
        part = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
        # No chance of its own: hypothesis makes a case again, and expects the same.
        chance = crc32(repr((case.path_parameters, case.query, case.body)).encode())
        if part and part.mode.is_positive and chance % 2:
            case.path_parameters["id"] = self._new_id(case.path.split("/")[1])

    def _new_id(self, kind: str) -> str:
        match kind:
            case "messages":
                made = self.sender.post("/messages", json=MESSAGE)
            case "tokens":
                made = self.sender.post("/tokens", json={"name": "plugin"})
            case _:
                httpx.post(
                    f"{self.base_url}/session", json=ACCOUNT, timeout=PATIENCE_SECONDS, verify=False
                ).raise_for_status()
                made = self.sender.get("/sessions")
        body = made.raise_for_status().json()
        id_: str = body["items"][0]["id"] if "items" in body else body["id"]
        return id_


@contextmanager
def served(directory: Path, database_url: str) -> Iterator[Served]:
    hub = HubProcess(directory, database_url)
    try:
        hub.start()
        hub.add_user(ACCOUNT["email"], "Sender", ACCOUNT["password"])
        base_url = f"{hub.base_url}/api/v1"
        headers = {"authorization": f"Bearer {hub.create_token(ACCOUNT['email'])}"}
        with httpx.Client(base_url=base_url, headers=headers, timeout=PATIENCE_SECONDS, verify=False) as sender:
            yield Served(base_url, sender)
        assert "Traceback" not in hub.output()
    finally:
        hub.kill()


@pytest.fixture(scope="module")
def served_on_sqlite(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    """A hub on SQLite."""
    directory = tmp_path_factory.mktemp("served")
    shutil.copy(sqlite_template, directory / "hub.db")
    with served(directory, f"sqlite:///{directory / 'hub.db'}") as hub:
        yield hub


@pytest.fixture(scope="module")
def served_on_postgresql(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, postgresql_template: str
) -> Iterator[Served]:
    """A hub on PostgreSQL."""
    with (
        postgres.database(postgresql_template) as name,
        served(tmp_path_factory.mktemp("served"), postgres.url(name)) as hub,
    ):
        yield hub


# A password is hashed for each log-in, so these are asked for by nobody only.
@schema.exclude(path="/session", method="POST").parametrize()
@pytest.mark.parametrize("database", DATABASES)
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_request_made_from_the_document_is_answered_as_it_says(
    case: schemathesis.Case[Any], database: str, request: pytest.FixtureRequest
) -> None:
    hub: Served = request.getfixturevalue(f"served_on_{database}")
    if "{id}" in case.path:
        hub.name_what_exists(case)
    hub.answer(case, {"authorization": hub.sender.headers["authorization"]})


@schema.parametrize()
@pytest.mark.parametrize("database", DATABASES)
@settings(max_examples=4, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_request_of_nobody_made_from_the_document_is_answered_as_it_says(
    case: schemathesis.Case[Any], database: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"served_on_{database}").answer(case, {})
