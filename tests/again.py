"""Making the same scene again, quickly: rows that were made once are kept and put back, and a database is emptied of what it has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection, transaction

STAYS = ("django_migrations", "django_content_type", "auth_permission")

_kept: dict[Hashable, Kept] = {}


@dataclass(frozen=True, slots=True)
class Kept:
    """`rows`: of each table, as JSON. `numbers`: what lets the numbers that the database gives out go on after those rows."""

    rows: dict[str, str]
    numbers: list[str]


def scene(name: Hashable, make: Callable[[], object]) -> bool:
    """What `make` puts into an empty database. The first time it is really made (True); after that its rows come back as they were, ids and
    times and audit chain included. In a database that has rows already it is made."""
    if name in _kept and not _filled():
        _put_back(_kept[name])
        return False
    keeps = name not in _kept and not _filled()
    make()
    if keeps:
        _kept[name] = _what_is_there()
    return True


def empty() -> None:
    """As Django's flush leaves it, without building each table and every permission anew."""
    if found := _filled():
        _without_triggers([(f"DELETE FROM {_name(table)}", []) for table in found])


@lru_cache(maxsize=1)
def _tables() -> list[str]:
    return sorted(table for table in connection.introspection.django_table_names(include_views=False) if table not in STAYS)


def _name(table: str) -> str:
    return connection.ops.quote_name(table)


def _filled() -> list[str]:
    asked = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {_name(table)})" for table in _tables())
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return [row[0] for row in cursor.fetchall()]


def _what_is_there() -> Kept:
    rows, numbers = {}, []
    with connection.cursor() as cursor:
        for table in _filled():
            cursor.execute(f"SELECT jsonb_agg(to_jsonb(t))::text FROM {_name(table)} t")
            rows[table] = cursor.fetchone()[0]
            cursor.execute(_NUMBERED, [table])
            for column, sequence in cursor.fetchall():
                numbers.append(f"SELECT setval('{sequence}', (SELECT max({_name(column)}) FROM {_name(table)}))")
    return Kept(rows, numbers)


def _put_back(kept: Kept) -> None:
    inserts: list[tuple[str, list[Any]]] = [
        (f"INSERT INTO {_name(table)} SELECT * FROM jsonb_populate_recordset(NULL::{_name(table)}, %s::jsonb)", [rows])
        for table, rows in kept.rows.items()
    ]
    _without_triggers([*inserts, *((number, []) for number in kept.numbers)])


def _without_triggers(statements: Sequence[tuple[str, list[Any]]]) -> None:
    """All of them or none: rows that are final by trigger, and keys that point to rows which come later, are no concern here."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement, values in statements:
            cursor.execute(statement, values)
        cursor.execute("SET LOCAL session_replication_role = origin")


_NUMBERED = """
    SELECT attname, pg_get_serial_sequence(quote_ident(relname), attname) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relname = %s AND attnum > 0 AND NOT attisdropped AND pg_get_serial_sequence(quote_ident(relname), attname) IS NOT NULL
"""
