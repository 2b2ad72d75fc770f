"""What a role can really reach, whatever the way: by name, through PUBLIC, through membership, as an owner, as a superuser.

Asked of the server itself (`has_table_privilege` and its sisters) and only then explained, so that a way we have not thought of is still
found. Where a right comes in several ways, the one that a revocation from the role itself would not cut is named: `by name` means in no
other way.
Objects of the system's own schemas are left out, and so is whatever lies in a schema that the role cannot use. Of routines, only those
count that run with their owner's rights; the others give a role nothing it does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from connectors.postgres import grants
from connectors.postgres.client import Call

WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN", "USAGE", "CREATE", "EXECUTE"})
MOST_SHOWN = 200

_REACH = """
    WITH objects AS (
        SELECT CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END AS kind, n.nspname AS schema,
               format('%%I.%%I', n.nspname, c.relname) AS name, c.relowner AS owner, p.privilege,
               nullif(coalesce(c.relacl, '{{}}')
                      || ARRAY(SELECT unnest(attacl) FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL), '{{}}') AS acl
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          CROSS JOIN LATERAL unnest(CASE WHEN c.relkind = 'S' THEN ARRAY['USAGE', 'SELECT', 'UPDATE']
                                         ELSE %(table_privileges)s::text[] END) p(privilege)
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {ours}
           AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(%(role)s::oid, c.oid, p.privilege)
                    WHEN p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                    THEN has_any_column_privilege(%(role)s::oid, c.oid, p.privilege)
                    ELSE has_table_privilege(%(role)s::oid, c.oid, p.privilege) END
        UNION ALL
        SELECT 'routine', n.nspname, (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity, p.proowner, 'EXECUTE',
               coalesce(p.proacl, acldefault('f', p.proowner))
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prosecdef AND {ours} AND has_function_privilege(%(role)s::oid, p.oid, 'EXECUTE')
        UNION ALL
        SELECT 'schema', n.nspname, quote_ident(n.nspname), n.nspowner, 'CREATE', n.nspacl
          FROM pg_namespace n WHERE {ours} AND has_schema_privilege(%(role)s::oid, n.oid, 'CREATE')
        UNION ALL
        SELECT 'database', '', quote_ident(d.datname), d.datdba, 'CREATE', d.datacl
          FROM pg_database d WHERE d.datname = current_database() AND has_database_privilege(%(role)s::oid, d.oid, 'CREATE')
    )
    SELECT kind, schema::text, name::text, string_agg(privilege, ', ' ORDER BY privilege) AS privileges, through
      FROM (SELECT o.*, CASE
               WHEN o.owner = %(role)s::oid THEN 'as its owner'
               WHEN EXISTS (SELECT FROM aclexplode(o.acl) a WHERE a.grantee = 0 AND a.privilege_type = o.privilege) THEN 'through PUBLIC'
               WHEN pg_has_role(%(role)s::oid, o.owner, 'USAGE') THEN 'through membership in its owner ' || pg_get_userbyid(o.owner)
               WHEN m.names IS NOT NULL THEN 'through membership in ' || m.names
               WHEN o.privilege = 'SELECT' AND pg_has_role(%(role)s::oid, 'pg_read_all_data', 'USAGE') THEN 'through pg_read_all_data'
               WHEN o.privilege IN ('INSERT', 'UPDATE', 'DELETE') AND pg_has_role(%(role)s::oid, 'pg_write_all_data', 'USAGE')
               THEN 'through pg_write_all_data'
               WHEN EXISTS (SELECT FROM aclexplode(o.acl) a WHERE a.grantee = %(role)s::oid AND a.privilege_type = o.privilege)
               THEN 'by name'
               ELSE 'through a predefined role' END AS through
              FROM objects o
              CROSS JOIN LATERAL (SELECT string_agg(DISTINCT pg_get_userbyid(a.grantee)::text, ', ') AS names FROM aclexplode(o.acl) a
                                   WHERE a.grantee NOT IN (0, %(role)s::oid) AND a.privilege_type = o.privilege
                                     AND pg_has_role(%(role)s::oid, a.grantee, 'USAGE')) m) explained
     GROUP BY kind, schema, name, through ORDER BY name, through
"""
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND has_schema_privilege(%(role)s::oid, n.oid, 'USAGE')"


@dataclass(frozen=True, slots=True)
class Reach:
    database: str
    kind: str
    schema: str
    name: str
    privileges: str
    through: str

    def __str__(self) -> str:
        return f"{self.privileges} on {self.kind} {self.name} in {self.database} {self.through}"

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def writes(self) -> bool:
        """`UPDATE` on a sequence or a table, but `SELECT` nowhere."""
        return bool(WRITES & {privilege.strip() for privilege in self.privileges.split(",")})


def of(call: Call, role: int) -> list[Reach]:
    table_privileges = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    if call.home.info.server_version >= 170000:
        table_privileges.append("MAINTAIN")
    found: list[Reach] = []
    for database in _open_to(call, role):
        rows = call.rows(_query(), {"role": role, "table_privileges": table_privileges}, database=database)
        found += [Reach(database=database, **row) for row in rows]
    return found


def shown(lines: Iterable[Any]) -> list[str]:
    """As sentences, at most so many."""
    all_of_them = [str(line) for line in lines]
    more = len(all_of_them) - MOST_SHOWN
    return all_of_them[:MOST_SHOWN] + ([f"… and {more} more"] if more > 0 else [])


def summary(found: Iterable[Reach]) -> Mapping[str, Any]:
    """For the inventory: how much it could touch."""
    everything = list(found)
    return {
        "objects": len({(one.database, one.kind, one.name) for one in everything}),
        "schemas": sorted({one.schema for one in everything if one.schema}),
        "databases": sorted({one.database for one in everything}),
        "writes": any(one.writes() for one in everything),
        "list": [one.plain() for one in everything[:MOST_SHOWN]],
    }


def _open_to(call: Call, role: int) -> list[str]:
    """Databases that name the role, and those that any of its other rights open to it."""
    rows = call.rows(
        "SELECT datname::text AS name FROM pg_database"
        " WHERE datallowconn AND NOT datistemplate AND has_database_privilege(%s::oid, oid, 'CONNECT')",
        [role],
    )
    return sorted({*grants.databases(call, role), *(row["name"] for row in rows)})


def _query() -> sql.Composed:
    return sql.SQL(_REACH).format(ours=sql.SQL(_OURS))
