"""The schema: what the tables promise by themselves."""

from __future__ import annotations

import re

import pytest

from hub.store.schema import metadata

PERSONAL = re.compile(r"\b(ip|addr|user_?agent|ua)\b")
COLUMNS = [(table.name, column.name) for table in metadata.sorted_tables for column in table.columns]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_there_is_no_column_for_a_client_address_or_user_agent(table: str, column: str) -> None:
    """A recipient's mail address is the sender's own data; a reader's network address must not be kept."""
    assert not PERSONAL.search(column.replace("_", " "))
    assert column != "address" or table == "recipients"


@pytest.mark.parametrize("table", [table.name for table in metadata.sorted_tables if table.name != "secrets"])
def test_rows_go_with_their_owner(table: str) -> None:
    keys = metadata.tables[table].foreign_keys
    assert keys or table == "users"
    assert all(key.ondelete == "CASCADE" for key in keys)


TIMES_AND_COUNTS = re.compile(r"(.*_)?(at|sequence)|opens|hits|views")


@pytest.mark.parametrize(("table", "column"), [each for each in COLUMNS if TIMES_AND_COUNTS.fullmatch(each[1])])
def test_times_and_counts_have_room(table: str, column: str) -> None:
    assert type(metadata.tables[table].columns[column].type).__name__ == "BigInteger"
