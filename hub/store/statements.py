"""Many rows, and several changes, as one statement: the texts of such statements on SQLite and PostgreSQL.

Promise: a text depends on what is changed and hardly on how many rows there are, so that few have to be prepared;
values are always parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any, NamedTuple, TypeAlias

import msgspec

Shape: TypeAlias = tuple[str, str]
"""A change without its rows: its text, and the types of its columns."""

_encode = msgspec.json.Encoder().encode

ROWS_BITS = 6
"""On SQLite rows go into a statement by powers of two, up to 2**6."""

ROWS_STEP = 8
"""Where several changes are one statement on SQLite, the rows of each are filled up to a multiple of this, so that few
texts are prepared."""


class Change(NamedTuple):
    """A statement for many rows at once.

    `{rows}` in `sql` stands for a query that gives the rows, with columns named `column1`, `column2` …; `types` are
    these columns' types on PostgreSQL, separated by blanks. The first value of a row is never None.
    """

    sql: str
    types: str
    rows: Sequence[Sequence[Any]]

    @property
    def shape(self) -> Shape:
        """The change without its rows."""
        return self.sql, self.types


def one_by_one(changes: Sequence[Change]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The statements of changes on SQLite, each with its values."""
    for sql, _, rows in changes:
        done = 0
        while done < len(rows):
            some = 1 << min((len(rows) - done).bit_length() - 1, ROWS_BITS)
            yield _with_rows(sql, some, len(rows[0])), tuple(chain.from_iterable(rows[done : done + some]))
            done += some


class View:
    """Changes of these shapes as one statement on SQLite.

    It is an insertion into a view that has the columns of all changes side by side, with a trigger for each change that
    makes it. SQLite then works without Python, and so without Python's lock, until all is on the disk.

    For example, the changes `INSERT INTO t (a, b) {rows}` and `UPDATE u SET n = r.column1 FROM ({rows}) AS r WHERE
    id = r.column2` are the view and triggers

        CREATE TEMP VIEW IF NOT EXISTS v AS SELECT NULL AS c0, NULL AS c1, NULL AS c2, NULL AS c3

        CREATE TEMP TRIGGER IF NOT EXISTS v_0 INSTEAD OF INSERT ON v WHEN NEW.c0 IS NOT NULL BEGIN
            INSERT INTO t (a, b) SELECT NEW.c0 AS column1, NEW.c1 AS column2; END

        CREATE TEMP TRIGGER IF NOT EXISTS v_1 INSTEAD OF INSERT ON v WHEN NEW.c2 IS NOT NULL BEGIN
            UPDATE u SET n = r.column1 FROM (SELECT NEW.c2 AS column1, NEW.c3 AS column2) AS r WHERE id = r.column2; END

    and are made by

        INSERT INTO v SELECT * FROM (VALUES (?, ?, ?, ?), ...) WHERE (SELECT count(*) FROM (unmoved)) = ?
    """

    def __init__(self, name: str, shapes: Sequence[Shape]) -> None:
        self._name = name
        self._width = sum(_width(types) for _, types in shapes)
        names = [f"c{place}" for place in range(self._width)]
        columns = ", ".join(f"NULL AS {each}" for each in names)
        self.definitions = [f"CREATE TEMP VIEW IF NOT EXISTS {name} AS SELECT {columns}"]
        """The statements that make the view and its triggers."""
        for number, (sql, types) in enumerate(shapes):
            own, names = names[: _width(types)], names[_width(types) :]
            row = ", ".join(f"NEW.{each} AS column{place}" for place, each in enumerate(own, 1))
            self.definitions.append(
                f"CREATE TEMP TRIGGER IF NOT EXISTS {name}_{number} INSTEAD OF INSERT ON {name}"
                f" WHEN NEW.{own[0]} IS NOT NULL BEGIN {sql.replace('{rows}', f'SELECT {row}')}; END"
            )

    def insertion(self, unmoved: Change, changes: Sequence[Change]) -> tuple[str, list[Any]]:
        """The statement that makes changes of the view's shapes if the query `unmoved` finds all of its rows; and its
        values. SQLite runs that query once, before the first row is inserted.

        Raises ValueError for a row that begins with None: its trigger would not see it.
        """
        if any(row[0] is None for change in changes for row in change.rows):
            raise ValueError("a row of a change begins with None")
        most = max(len(change.rows) for change in (unmoved, *changes))
        size = -(-most // ROWS_STEP) * ROWS_STEP
        side_by_side = chain.from_iterable(zip(*(_filled_up(change, size) for change in changes), strict=True))
        values = chain.from_iterable((*side_by_side, *_filled_up(unmoved, size), (len(unmoved.rows),)))
        return _insertion(self._name, self._width, unmoved.shape, size), list(values)


@lru_cache(maxsize=128)
def all_in_one(shapes: tuple[Shape, ...], unmoved: Shape | None = None) -> str:
    """One statement for changes of these shapes on PostgreSQL. It has a parameter for each change: the rows, as
    `as_json` gives them. An array for each column would be work for the driver, at three times the cost.

    With `unmoved`, a query whose rows are the first parameter, nothing is changed unless it finds all of them. The
    statement returns how many it has `found`:

        WITH unmoved AS (unmoved, with the rows of $1),
            counted AS (SELECT count(*) AS found FROM unmoved),
            change0 AS (a change, with those rows of $2 WHERE (SELECT found FROM counted) = how many rows $1 has),
            ...
        SELECT found FROM counted
    """
    numbers = count(1)

    def filled(sql: str, types: str, where: str = "") -> str:
        columns = (f"(r ->> {place})::{type_} AS column{place + 1}" for place, type_ in enumerate(types.split()))
        given = f"SELECT {', '.join(columns)} FROM jsonb_array_elements(${next(numbers)}::jsonb) AS r{where}"
        return sql.replace("{rows}", given)

    if unmoved is None:
        *before, last = [filled(sql, types) for sql, types in shapes]
        parts = [f"change{place} AS ({part})" for place, part in enumerate(before)]
    else:
        parts = [f"unmoved AS ({filled(*unmoved)})", "counted AS (SELECT count(*) AS found FROM unmoved)"]
        if_all = " WHERE (SELECT found FROM counted) = jsonb_array_length($1::jsonb)"
        parts += [f"change{place} AS ({filled(*shape, if_all)})" for place, shape in enumerate(shapes)]
        last = "SELECT found FROM counted"
    return f"WITH {', '.join(parts)} {last}" if parts else last


def as_json(change: Change) -> str:
    """The rows of a change, as `all_in_one` takes them."""
    return _encode(change.rows).decode()


@lru_cache(maxsize=128)
def _insertion(view: str, width: int, unmoved: Shape, size: int) -> str:
    sql, types = unmoved
    asked = sql.replace("{rows}", _values(size, _width(types)))
    return f"INSERT INTO {view} SELECT * FROM ({_values(size, width)}) WHERE (SELECT count(*) FROM ({asked})) = ?"


@lru_cache(maxsize=128)
def _with_rows(sql: str, rows: int, columns: int) -> str:
    """`sql` with parameters for so many rows."""
    return sql.replace("{rows}", _values(rows, columns))


def _filled_up(change: Change, size: int) -> list[Sequence[Any]]:
    """The rows of a change, filled up to `size` with rows of nothing but None."""
    return [*change.rows, *[(None,) * _width(change.types)] * (size - len(change.rows))]


def _values(rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"


def _width(types: str) -> int:
    return len(types.split())
