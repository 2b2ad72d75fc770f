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


def read_only(call: Call, role: Role) -> str:
    """What the role's own default for transactions says: on, off, or '' if it has none."""
    rows = call.rows(
        """
        SELECT split_part(setting, '=', 2) AS value FROM pg_db_role_setting CROSS JOIN LATERAL unnest(setconfig) setting
         WHERE setdatabase = 0 AND setrole = %s::oid AND split_part(setting, '=', 1) = 'default_transaction_read_only'
        """,
        [role.oid],
    )
    return str(rows[0]["value"]) if rows else ""


def alter(
    call: Call,
    role: Role,
    *,
    login: bool | None = None,
    limit: int | None = None,
    verifier: str | None = None,
    reads_only: str | None = None,
) -> None:
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
    if reads_only is not None:
        call.do(reading_only(role.name, reads_only))


def reading_only(name: str, value: str) -> sql.Composed:
    """'' takes the role's own default away."""
    if not value:
        return sql.SQL("ALTER ROLE {} RESET default_transaction_read_only").format(sql.Identifier(name))
    return sql.SQL("ALTER ROLE {} SET default_transaction_read_only = {}").format(sql.Identifier(name), sql.Literal(value))


def account(call: Call) -> str:
    """Which cluster and database answer. Two clusters never share a system identifier, unless one is a copy of the other's files."""
    rows = call.rows("SELECT current_database()::text AS database, has_function_privilege('pg_control_system()', 'EXECUTE') AS may")
    if rows[0]["may"]:
        cluster = call.rows("SELECT system_identifier::text AS name FROM pg_control_system()")[0]["name"]
    else:
        cluster = call.rows("SELECT current_setting('cluster_name') AS name")[0]["name"]
    return f"{cluster}/{rows[0]['database']}"


def ourselves(call: Call) -> Mapping[str, Any]:
    return acting(call, str(call.rows("SELECT current_user::text AS name")[0]["name"]))


def acting(call: Call, name: str) -> Mapping[str, Any]:
    """What another connection of ours may do, as the catalogue has it."""
    role = named(call, name)
    return {"name": role.name, "superuser": role.superuser, "createrole": role.createrole}


def protected(call: Call) -> list[str]:
    """Ourselves, superusers, those who replicate and those who may make roles."""
    rows = call.rows(
        """
        SELECT rolname::text AS name FROM pg_roles
         WHERE (rolsuper OR rolreplication OR rolcreaterole OR rolname IN (current_user, session_user)) AND rolname !~ '^pg_' ORDER BY 1
        """
    )
    return [row["name"] for row in rows]


def administrators(call: Call) -> list[str]:
    """Superusers that can log in now, without us."""
    rows = call.rows(
        """
        SELECT rolname::text AS name FROM pg_roles
         WHERE rolsuper AND rolcanlogin AND coalesce(rolvaliduntil > clock_timestamp(), true)
           AND rolname NOT IN (current_user, session_user)
         ORDER BY 1
        """
    )
    return [row["name"] for row in rows]


def spellings(call: Call, role: Role) -> list[str]:
    """The ways in which a list may name it: as it is, quoted, in one case (an unquoted name in a statement is folded), by its number."""
    quoted = '"' + role.name.replace('"', '""') + '"'
    return list(dict.fromkeys([role.name, quoted, role.name.lower(), role.name.upper(), str(role.oid), f"oid:{role.oid}"]))


def members(call: Call, role: Role) -> list[str]:
    """Roles that have what it has, directly or through others."""
    rows = call.rows(
        """
        WITH RECURSIVE members(oid) AS (
            SELECT member FROM pg_auth_members WHERE roleid = %(role)s::oid
            UNION SELECT m.member FROM pg_auth_members m JOIN members ON m.roleid = members.oid)
        SELECT rolname::text AS name FROM pg_roles JOIN members USING (oid) ORDER BY 1
        """,
        {"role": role.oid},
    )
    return [row["name"] for row in rows]


def _keep_out_of_the_log(call: Call) -> None:
    if ourselves(call)["superuser"]:
        call.do("SET LOCAL log_statement = 'none'")
        call.do("SET LOCAL log_min_duration_statement = -1")
        call.do("SET LOCAL log_min_error_statement = 'panic'")
