"""What is worth keeping of a role before it is cut: the role itself, its privileges, what it is doing, what it locks.

Statements are kept without the values in them, because values are where the secrets are; a verifier is never read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from connectors.base import Artefact
from connectors.postgres import grants, reach, roles
from connectors.postgres.client import Call

# In the order in which PostgreSQL reads them. Where an end is missing (the server cuts long statements short), the rest is one value.
_VALUES = re.compile(
    r"""
      (?P<name>"(?:[^"]|"")*(?:"|\Z))                                    # "a name", which stays
    | --[^\n]*  |  /\*.*?(?:\*/|\Z)                                      # comments
    | [eE]'(?:\\.|''|[^'\\])*(?:'|\Z)                                    # E'it\'s'
    | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|\Z)                           # 'it''s'
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)                 # $tag$ … $tag$
    | (?P<parameter>\$\d+)                                               # $1, which stays
    | (?<![\w$])(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?\w*     # numbers of any base
    """,
    re.VERBOSE | re.DOTALL,
)


def redacted(statement: str) -> str:
    return _VALUES.sub(lambda found: found[0] if found["name"] or found["parameter"] else "?", statement)


def collect(call: Call, name: str) -> Sequence[Artefact]:
    role = roles.named(call, name)
    at = call.rows("SELECT clock_timestamp() AS at")[0]["at"].isoformat()
    head = {"role": name, "oid": role.oid, "account": roles.account(call), "at": at}
    return [
        _artefact("activity", head | {"sessions": _activity(call, role.oid)}),
        _artefact("locks", head | {"locks": _locks(call, role.oid), "prepared": _prepared(call, name)}),
        _artefact("roles", head | _about(call, role.oid)),
        _artefact(
            "grants",
            head
            | {
                "by_name": [grant.plain() for grant in grants.of(call, role.oid)],
                "reach": [one.plain() for one in reach.of(call, role.oid)],
            },
        ),
    ]


def _artefact(name: str, content: dict[str, Any]) -> Artefact:
    return Artefact(f"postgres-{name}.json", "application/json", json.dumps(content, indent=1, sort_keys=True, default=str).encode())


def _activity(call: Call, role: int) -> list[dict[str, Any]]:
    rows = call.rows(
        """
        SELECT pid, datname AS database, coalesce(host(client_addr), 'local') AS address, client_port, application_name, backend_type,
               backend_start, xact_start, query_start, state_change, state, wait_event_type, wait_event, query
          FROM pg_stat_activity WHERE usesysid = %s ORDER BY backend_start
        """,
        [role],
    )
    return [row | {"query": redacted(row["query"] or "")} for row in rows]


def _locks(call: Call, role: int) -> list[dict[str, Any]]:
    return call.rows(
        """
        SELECT l.pid, l.locktype, l.mode, l.granted, d.datname AS database, pg_blocking_pids(l.pid) AS blocked_by,
               CASE WHEN l.database IN (0, here.oid) THEN l.relation::regclass::text ELSE l.relation::text END AS relation
          FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN pg_database d ON d.oid = l.database
          CROSS JOIN (SELECT oid FROM pg_database WHERE datname = current_database()) here
         WHERE a.usesysid = %s ORDER BY l.pid, l.locktype
        """,
        [role],
    )


def _prepared(call: Call, name: str) -> list[dict[str, Any]]:
    """Transactions prepared for two-phase commit outlive the sessions that began them."""
    return call.rows("SELECT gid, prepared, database::text FROM pg_prepared_xacts WHERE owner = %s ORDER BY prepared", [name])


def _about(call: Call, role: int) -> dict[str, Any]:
    attributes = call.rows(
        """
        SELECT rolname::text, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
               rolvaliduntil, shobj_description(oid, 'pg_authid') AS comment
          FROM pg_roles WHERE oid = %s::oid
        """,
        [role],
    )[0]
    memberships = """
        SELECT pg_get_userbyid(roleid)::text AS role, pg_get_userbyid(member)::text AS member, pg_get_userbyid(grantor)::text AS grantor,
               admin_option
          FROM pg_auth_members WHERE %s::oid IN (roleid, member) ORDER BY 1, 2
        """
    settings = """
        SELECT coalesce(d.datname, '')::text AS database, split_part(one, '=', 1) AS name FROM pg_db_role_setting s
          CROSS JOIN LATERAL unnest(setconfig) one LEFT JOIN pg_database d ON d.oid = s.setdatabase WHERE setrole = %s::oid ORDER BY 1, 2
        """
    return {"attributes": attributes, "memberships": call.rows(memberships, [role]), "settings": call.rows(settings, [role])}
