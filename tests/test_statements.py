"""Statements: they make the same changes, however many rows there are and however they are put together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.store.statements import ROWS_STEP, Change, View, all_in_one, one_by_one

INSERT = "INSERT INTO note (id, text) {rows}"
UPDATE = "UPDATE note SET text = r.column1 FROM ({rows}) AS r WHERE id = r.column2"
UPSERT = "INSERT INTO seen (who, at) {rows} ON CONFLICT (who) DO UPDATE SET at = excluded.at"
ASKED = "SELECT n.id FROM ({rows}) AS r JOIN note n ON n.id = r.column1 AND n.text = r.column2"
SHAPES = ((INSERT, "bigint text"), (UPDATE, "text bigint"), (UPSERT, "text bigint"))


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(connected()) as database:
        yield database


def connected() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(
        "CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT); CREATE TABLE seen (who TEXT PRIMARY KEY, at BIGINT)"
    )
    return database


def change(database: sqlite3.Connection, view: View, unmoved: Change, *changes: Change) -> None:
    sql, values = view.insertion(unmoved, changes)
    database.execute(sql, values)


def a_view(database: sqlite3.Connection) -> View:
    view = View("changes", SHAPES)
    for definition in view.definitions:
        database.execute(definition)
    return view


def changes(
    new: Sequence[tuple[int, str | None]] = (),
    set_: Sequence[tuple[str, int]] = (),
    seen: Sequence[tuple[str, int | None]] = (),
) -> list[Change]:
    return [Change(*shape, rows) for shape, rows in zip(SHAPES, (new, set_, seen), strict=True)]


def asked(*rows: tuple[int, str]) -> Change:
    return Change(ASKED, "bigint text", rows)


def notes(database: sqlite3.Connection) -> list[tuple[int, str | None]]:
    return database.execute("SELECT id, text FROM note ORDER BY id").fetchall()


texts = st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
some_notes = st.dictionaries(st.integers(0, 2**62), texts, max_size=3 * ROWS_STEP)


@given(some_notes, some_notes, st.dictionaries(st.text("abc", min_size=1), st.none() | st.integers(0, 2**62)))
def test_view_does_what_the_changes_do_one_by_one(
    before: dict[int, str | None], new: dict[int, str | None], seen: dict[str, int | None]
) -> None:
    results = []
    made = changes(
        [(-1, "at least one"), *((id_, text) for id_, text in new.items() if id_ not in before)],
        [(f"{text} again", id_) for id_, text in before.items()],
        list(seen.items()),
    )
    for at_once in (True, False):
        with closing(connected()) as database:
            database.executemany("INSERT INTO note VALUES (?, ?)", before.items())
            if at_once:
                change(database, a_view(database), asked(), *made)
            else:
                for sql, values in one_by_one(made):
                    database.execute(sql, values)
            results.append((notes(database), database.execute("SELECT * FROM seen ORDER BY who").fetchall()))
    assert results[0] == results[1]


def test_view_changes_nothing_unless_all_that_is_asked_for_is_found(database: sqlite3.Connection) -> None:
    view = a_view(database)
    change(database, view, asked(), *changes([(1, "one"), (2, "two")]))
    change(database, view, asked((1, "one"), (2, "three")), *changes([(3, "x")], [("x", 1)], [("x", 1)]))
    assert notes(database) == [(1, "one"), (2, "two")]
    assert database.execute("SELECT * FROM seen").fetchall() == []
    change(database, view, asked((1, "one"), (2, "two")), *changes([(3, "x")], [("x", 1)]))
    assert notes(database) == [(1, "x"), (2, "two"), (3, "x")]


def test_view_asks_before_anything_is_changed(database: sqlite3.Connection) -> None:
    """Whatever the order of the rows that are asked for, and of the rows that change these."""
    view = a_view(database)
    ids = range(3 * ROWS_STEP)
    change(database, view, asked(), *changes([(id_, "old") for id_ in ids]))
    change(database, view, asked(*((id_, "old") for id_ in ids)), *changes((), [("new", id_) for id_ in reversed(ids)]))
    assert notes(database) == [(id_, "new") for id_ in ids]


def test_view_asks_for_more_rows_than_it_changes(database: sqlite3.Connection) -> None:
    view = a_view(database)
    ids = range(ROWS_STEP + 1)
    change(database, view, asked(), *changes([(id_, "old") for id_ in ids]))
    change(database, view, asked(*((id_, "old") for id_ in ids)), *changes((), [("new", 0)]))
    assert notes(database)[:2] == [(0, "new"), (1, "old")]


def test_view_refuses_a_row_that_its_triggers_would_not_see(database: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="begins with None"):
        change(database, a_view(database), asked(), *changes([(1, "one")], [(None, 1)]))  # type: ignore[list-item]


def test_view_makes_all_changes_or_none(database: sqlite3.Connection) -> None:
    view = a_view(database)
    change(database, view, asked(), *changes([(1, "one")]))
    with pytest.raises(sqlite3.IntegrityError):
        change(database, view, asked(), *changes([(2, "two"), (1, "again")], [("x", 1)]))
    assert notes(database) == [(1, "one")]


@pytest.mark.parametrize("most", [1, ROWS_STEP, ROWS_STEP + 1, 128])
def test_texts_are_the_same_for_nearly_any_number_of_rows(most: int) -> None:
    view = View("changes", SHAPES)
    insertions = {
        view.insertion(asked(), changes([(id_, "") for id_ in range(rows)]))[0] for rows in range(1, most + 1)
    }
    assert len(insertions) == -(-most // ROWS_STEP)
    singles = {sql for rows in range(most) for sql, _ in one_by_one(changes([(id_, "") for id_ in range(rows)]))}
    assert len(singles) <= 7


def test_all_in_one_numbers_its_parameters_in_the_order_of_the_changes() -> None:
    sql = all_in_one(SHAPES[:2], (ASKED, "bigint text"))
    places = [sql.index(f"jsonb_array_elements(${number}::jsonb)") for number in range(1, 4)]
    assert places == sorted(places)
    assert "$4" not in sql


def test_view_is_what_its_docstring_shows() -> None:
    update = "UPDATE u SET n = r.column1 FROM ({rows}) AS r WHERE id = r.column2"
    view = View("v", [("INSERT INTO t (a, b) {rows}", "text bigint"), (update, "bigint text")])
    shown = " ".join((View.__doc__ or "").split())
    assert len(view.definitions) == 3
    for definition in view.definitions:
        assert definition in shown
