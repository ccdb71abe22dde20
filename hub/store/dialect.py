"""What SQLite and PostgreSQL write in different ways, as pieces of SQL: tables made of JSON, and JSON made of rows.

Promise: pure; each gives a text that means the same on both.
"""

from __future__ import annotations


class Dialect:
    """The SQL of one of the two."""

    def __init__(self, embedded: bool) -> None:
        """`embedded` is SQLite."""
        self._embedded = embedded

    def rows(self, parameter: str, **columns: str) -> str:
        """SQL for a table `r` made of the JSON array of objects in `parameter`.

        `columns` names each field and its type on PostgreSQL.
        """
        if self._embedded:
            fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
            return f"(SELECT {fields} FROM json_each({parameter})) AS r"
        fields = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        return f"json_to_recordset({parameter}::json) AS r({fields})"

    def texts(self, parameter: str) -> str:
        """SQL for the texts in the JSON array in `parameter`, to stand behind IN."""
        if self._embedded:
            return f"(SELECT value FROM json_each({parameter}))"
        return f"(SELECT json_array_elements_text({parameter}::json))"

    def json_rows(self, columns: str, tables: str) -> str:
        """SQL for one text: a JSON array with an array of `columns` for each row of `tables` (what follows FROM).

        Many rows in one text cost a fraction of the same rows fetched one by one, each with its names.
        """
        if self._embedded:
            return f"(SELECT json_group_array(json_array({columns})) FROM {tables})"
        return f"(SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM {tables})"

    def from_json(self, column: str) -> str:
        """SQL that puts a column's text into `json_rows` as the JSON that it is."""
        return f"json({column})" if self._embedded else f"{column}::json"

    def at_keys(self, keys: str, table: str, condition: str) -> str:
        """SQL for the row `s` of `table`, if any, that `condition` finds by its key, for each of `keys` (see `rows`).

        With a plain join, a planner that does not know how many keys there are would look through a small table.
        """
        if self._embedded:
            return f"{keys} CROSS JOIN {table} s ON {condition}"
        return f"{keys} CROSS JOIN LATERAL (SELECT * FROM {table} s WHERE {condition} LIMIT 1) AS s"

    def first_at_keys(self, keys: str, table: str, condition: str, most: int) -> str:
        """As `at_keys`, for the rows with the lowest ids, at most so many for each key. The table's key is `id`."""
        first = f"FROM {table} s WHERE {condition} ORDER BY s.id LIMIT {most:d}"
        if self._embedded:
            return f"{keys} CROSS JOIN {table} s ON s.id IN (SELECT s.id {first})"
        return f"{keys} CROSS JOIN LATERAL (SELECT * {first}) AS s"

    @property
    def for_update(self) -> str:
        """SQL that locks the rows read, in the order read. SQLite's one writer needs none."""
        return "" if self._embedded else "FOR UPDATE"
