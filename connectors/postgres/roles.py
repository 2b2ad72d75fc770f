"""One role as the catalogue has it: what it is, and the attributes that our measures change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from connectors.base import Rejected
from connectors.postgres.client import Call

NO_LIMIT = -1


@dataclass(frozen=True, slots=True)
class Role:
    oid: int
    name: str
    login: bool
    limit: int
    superuser: bool
    replication: bool
    createrole: bool
    createdb: bool

    def identity(self) -> dict[str, Any]:
        """What tells it from another role of the same name, and what an approver should know."""
        return {"oid": self.oid, "superuser": self.superuser, "replication": self.replication, "createrole": self.createrole}


def named(call: Call, name: str) -> Role:
    rows = call.rows(
        """
        SELECT oid::bigint, rolname::text AS name, rolcanlogin AS login, rolconnlimit AS limit, rolsuper AS superuser,
               rolreplication AS replication, rolcreaterole AS createrole, rolcreatedb AS createdb
          FROM pg_roles WHERE rolname = %s
        """,
        [name],
    )
    if not rows:
        raise Rejected(f"There is no role {name} here.")
    return Role(**rows[0])


def verifier(call: Call, role: Role) -> str:
    """'' if it has no password. Needs the right to read pg_authid."""
    rows = call.rows("SELECT coalesce(rolpassword, '') AS verifier FROM pg_authid WHERE oid = %s::oid", [role.oid])
    return str(rows[0]["verifier"]) if rows else ""


def alter(call: Call, role: Role, *, login: bool | None = None, limit: int | None = None, verifier: str | None = None) -> None:
    """Only what is named. Verifiers stay out of the server's log as far as we may ask for that."""
    words: list[sql.Composable] = []
    if login is not None:
        words.append(sql.SQL("LOGIN" if login else "NOLOGIN"))
    if limit is not None:
        words.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(limit)))
    if verifier is not None:
        words.append(sql.SQL("PASSWORD {}").format(sql.Literal(verifier or None)))
        _keep_out_of_the_log(call)
    if words:
        call.do(sql.SQL("ALTER ROLE {} ").format(sql.Identifier(role.name)) + sql.SQL(" ").join(words))


def account(call: Call) -> str:
    """Which cluster and database answer. Two clusters never share a system identifier, unless one is a copy of the other's files."""
    rows = call.rows("SELECT current_database()::text AS database, has_function_privilege('pg_control_system()', 'EXECUTE') AS may")
    if rows[0]["may"]:
        cluster = call.rows("SELECT system_identifier::text AS name FROM pg_control_system()")[0]["name"]
    else:
        cluster = call.rows("SELECT current_setting('cluster_name') AS name")[0]["name"]
    return f"{cluster}/{rows[0]['database']}"


def ourselves(call: Call) -> Mapping[str, Any]:
    return call.rows(
        "SELECT current_user::text AS name, rolsuper AS superuser, rolcreaterole AS createrole FROM pg_roles WHERE rolname = current_user"
    )[0]


def protected(call: Call) -> list[str]:
    """Ourselves, superusers and those who replicate."""
    rows = call.rows(
        """
        SELECT rolname::text AS name FROM pg_roles WHERE (rolsuper OR rolreplication OR rolname IN (current_user, session_user))
           AND rolname !~ '^pg_' ORDER BY 1
        """
    )
    return [row["name"] for row in rows]


def _keep_out_of_the_log(call: Call) -> None:
    if ourselves(call)["superuser"]:
        call.do("SET LOCAL log_statement = 'none'")
        call.do("SET LOCAL log_min_duration_statement = -1")
        call.do("SET LOCAL log_min_error_statement = 'panic'")
