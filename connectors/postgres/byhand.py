"""What a person types into psql, as a superuser, to put back what a measure changed when nothing of ours can be asked.

Made of what look saw alone. Typing a line twice does no harm, so a person may start again from the top. Privileges are given as their
grantors, so that the access lists read as before. Names are quoted; a password is asked for, never printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from psycopg import sql
from psycopg.conninfo import make_conninfo

from connectors.base import Measure, State, Step
from connectors.postgres import grants, roles
from connectors.postgres.cuts import Cut
from connectors.postgres.grants import Grant
from connectors.postgres.snapshot import Own

HAD_A_PASSWORD = frozenset({"scram-sha-256", "md5", "unknown"})


def commands(step: Step, cut: Cut, was: State) -> list[str]:
    if step.measure in (Measure.EVIDENCE_PRESERVE, Measure.JOB_CHECKPOINT):
        return []
    if step.parameters.get("keep_new") is True:
        return ["-- Nothing: the new password stays, because the former one is known to others."]
    before, name = Own.kept_in(was), step.target.subject
    lines = [*_attributes(name, before), *_password(name, cut, was), *_privileges(name, before.grants)]
    return [*lines, *(["-- Sessions that were ended stay ended; the role may open new ones."] if cut.ends or cut.renews else [])]


def _attributes(name: str, before: Own) -> Iterator[str]:
    words: list[sql.Composable] = []
    if before.login:
        words.append(sql.SQL("LOGIN"))
    if before.limit not in (None, 0):
        words.append(sql.SQL(f"CONNECTION LIMIT {int(before.limit)}"))
    if words:
        yield _line(sql.SQL("ALTER ROLE {} ").format(sql.Identifier(name)) + sql.SQL(" ").join(words))
    if before.read_only is not None and before.read_only != "on":
        yield _line(roles.reading_only(name, before.read_only))


def _password(name: str, cut: Cut, was: State) -> Iterator[str]:
    if not (cut.locks or cut.renews) or was.public["own"].get("password") not in HAD_A_PASSWORD:
        return
    yield "-- The former password is sealed with the run and not shown. This asks for a new one, which those who use the role must be told:"
    if any(not character.isprintable() for character in name):
        yield "-- (The role's name cannot be typed on one line: set it with ALTER ROLE … PASSWORD.)"
        return
    yield "\\password " + '"' + name.replace('"', '""') + '"'


def _privileges(name: str, given: Sequence[Grant]) -> Iterator[str]:
    """One statement for what one grantor gave on one object, database by database."""
    database = ""
    for _, group in groupby(sorted(given, key=grants.together), key=grants.together):
        gift = list(group)
        first = gift[0]
        if first.database != database:
            database = first.database
            yield "\\connect -reuse-previous=on " + _quoted_for_psql(make_conninfo(dbname=database))
        statement = _line(grants.statement(name, gift, giving=True))
        if first.is_default:
            yield statement
        else:
            yield f"{_line(sql.SQL('SET ROLE {}').format(sql.Identifier(first.grantor)))} {statement} RESET ROLE;"


def _line(statement: sql.Composed) -> str:
    return statement.as_string(None) + ";"


def _quoted_for_psql(text: str) -> str:
    """psql reads single quotes with backslash escapes, on one line."""
    escaped = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"'{escaped}'"
