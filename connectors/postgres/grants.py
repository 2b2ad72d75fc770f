"""Privileges given to a role by name: reading them, taking them away, giving them back exactly, grant options and grantors included.

A privilege stands in the access list of one object, in one database (`database` is '' for what the whole cluster shares), and was given
by one grantor. PostgreSQL lets only that grantor take it back; the owner's own gifts can also be taken back by a superuser, who acts as
the owner. What a role may do besides, through PUBLIC, membership or ownership, is in reach.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql

from connectors.postgres.client import Call

# What is written between ON and the object's name.
ON: dict[str, str] = {
    "table": "TABLE",
    "sequence": "SEQUENCE",
    "routine": "ROUTINE",
    "schema": "SCHEMA",
    "type": "TYPE",
    "language": "LANGUAGE",
    "wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER",
    "large object": "LARGE OBJECT",
    "database": "DATABASE",
    "tablespace": "TABLESPACE",
    "parameter": "PARAMETER",
}
REFUSALS = (
    psycopg.errors.DependentObjectsStillExist,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidGrantOperation,
    psycopg.errors.InvalidParameterValue,  # SET ROLE to a grantor who is gone
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)
DEFAULTS = "future "  # kinds that begin so are default privileges: `future tables`

CATALOGUES = {
    "table": "pg_class",
    "sequence": "pg_class",
    "routine": "pg_proc",
    "schema": "pg_namespace",
    "type": "pg_type",
    "language": "pg_language",
    "wrapper": "pg_foreign_data_wrapper",
    "server": "pg_foreign_server",
    "large object": "pg_largeobject",
    "database": "pg_database",
    "tablespace": "pg_tablespace",
    "parameter": "pg_parameter_acl",
}

# Every branch yields: kind, class, oid, schema, column, owner, definer, access list. An owner's own entries are left out: owners can
# always give themselves what they own, so taking it away would only look like containment (reach.py tells).
_IN_A_DATABASE = """
    SELECT CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END AS kind, 'pg_class'::regclass AS class, c.oid, n.nspname AS schema,
           NULL::name AS column_name, c.relowner AS owner, false AS definer, c.relacl AS acl
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT 'table', 'pg_class'::regclass, c.oid, n.nspname, a.attname, c.relowner, false, a.attacl
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 'routine', 'pg_proc'::regclass, p.oid, n.nspname, NULL, p.proowner, p.prosecdef, p.proacl
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    UNION ALL SELECT 'schema', 'pg_namespace'::regclass, oid, nspname, NULL, nspowner, false, nspacl FROM pg_namespace
    UNION ALL
    SELECT 'type', 'pg_type'::regclass, t.oid, n.nspname, NULL, t.typowner, false, t.typacl
      FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    UNION ALL SELECT 'language', 'pg_language'::regclass, oid, '', NULL, lanowner, false, lanacl FROM pg_language
    UNION ALL
    SELECT 'wrapper', 'pg_foreign_data_wrapper'::regclass, oid, '', NULL, fdwowner, false, fdwacl FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'server', 'pg_foreign_server'::regclass, oid, '', NULL, srvowner, false, srvacl FROM pg_foreign_server
    UNION ALL
    SELECT 'large object', 'pg_largeobject'::regclass, oid, '', NULL, lomowner, false, lomacl FROM pg_largeobject_metadata
    UNION ALL
    SELECT 'future ' || (CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'routines'
                                              WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END),
           'pg_default_acl'::regclass, 0::oid, coalesce(n.nspname, ''), NULL, d.defaclrole, false, d.defaclacl
      FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
"""
_IN_THE_CLUSTER = """
    SELECT 'database' AS kind, 'pg_database'::regclass AS class, oid, '' AS schema, NULL::name AS column_name, datdba AS owner,
           false AS definer, datacl AS acl
      FROM pg_database
    UNION ALL SELECT 'tablespace', 'pg_tablespace'::regclass, oid, '', NULL, spcowner, false, spcacl FROM pg_tablespace
"""
_PARAMETERS = (  # since PostgreSQL 15
    " UNION ALL SELECT 'parameter', 'pg_parameter_acl'::regclass, oid, '', NULL, 10::oid, false, paracl FROM pg_parameter_acl"
)
_NAMED = """
    SELECT o.kind, o.oid::bigint AS oid, o.schema::text, coalesce(o.column_name, '')::text AS column, o.definer,
           pg_get_userbyid(o.owner)::text AS owner, pg_get_userbyid(a.grantor)::text AS grantor,
           a.privilege_type AS privilege, a.is_grantable AS grantable,
           EXISTS (SELECT FROM aclexplode(o.acl) b WHERE b.grantor = a.grantee AND b.privilege_type = a.privilege_type) AS passed_on,
           CASE WHEN starts_with(o.kind, 'future ')
                THEN format('FOR ROLE %%I', pg_get_userbyid(o.owner))
                     || CASE WHEN o.schema = '' THEN '' ELSE format(' IN SCHEMA %%I', o.schema) END
                ELSE coalesce((pg_identify_object(o.class, o.oid, 0)).identity, '') END AS name
      FROM ({objects}) o CROSS JOIN LATERAL aclexplode(o.acl) a
     WHERE a.grantee = %(role)s::oid AND (o.owner <> a.grantee)
     ORDER BY o.kind, name, "column", grantor, privilege
"""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    database: str
    kind: str
    oid: int
    name: str
    schema: str
    column: str
    privilege: str
    grantor: str
    owner: str
    grantable: bool
    definer: bool = False
    passed_on: bool = field(default=False, compare=False)  # the role gave it to others, who would lose it as well: PostgreSQL refuses

    @property
    def place(self) -> tuple[str, str, int | str, str, str, str]:
        """Where it stands: two grants of one place differ in their grant option alone. Rows of default privileges come and go with
        what they say, so those are told apart by name."""
        return (self.database, self.kind, self.name if self.is_default else self.oid, self.column, self.privilege, self.grantor)

    @property
    def is_default(self) -> bool:
        return self.kind.startswith(DEFAULTS)

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        return f"{self.privilege}{column} on {self.kind} {self.name}" + (f" in {self.database}" if self.database else "")

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parsed(cls, entry: Mapping[str, Any]) -> Grant:
        return cls(**entry)


Taken = Callable[[Grant], bool]


def of(call: Call, role: int) -> list[Grant]:
    """Everything given to the role by name, in every database that knows of it."""
    found: list[Grant] = []
    shared = _IN_THE_CLUSTER + (_PARAMETERS if call.home.info.server_version >= 150000 else "")
    for database in ["", *databases(call, role)]:
        query = sql.SQL(_NAMED).format(objects=sql.SQL(_IN_A_DATABASE if database else shared))
        found += [Grant(database=database, **row) for row in call.rows(query, {"role": role}, database=database)]
    return sorted(found)


def databases(call: Call, role: int) -> list[str]:
    """Databases with objects that name the role in an access list, plus home. Those closed to everybody are closed to the role."""
    rows = call.rows(
        """
        SELECT datname::text AS name FROM pg_database d
         WHERE datallowconn AND (datname = current_database()
            OR EXISTS (SELECT FROM pg_shdepend s
                        WHERE s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s::oid AND s.deptype IN ('a', 'o')))
         ORDER BY 1
        """,
        [role],
    )
    return sorted({*call.opened, *(row["name"] for row in rows)})


def as_named_now(call: Call, grants: Iterable[Grant]) -> tuple[list[Grant], list[Grant]]:
    """The same grants under their objects' present names; and those whose object is gone."""
    there: list[Grant] = []
    gone: list[Grant] = []
    for grant in grants:
        if grant.is_default:
            there.append(grant)
            continue
        query = "SELECT (pg_identify_object(%s::regclass, %s::oid, 0)).identity AS name"
        name = call.rows(query, [CATALOGUES[grant.kind], grant.oid], database=grant.database)[0]["name"]
        (there if name else gone).append(replace(grant, name=name or grant.name))
    return there, gone


def take(call: Call, role: str, grants: Iterable[Grant]) -> list[str]:
    """Revoke them. Returns what could not be revoked, and why."""
    return _each(call, grants, lambda gift: statement(role, gift, giving=False))


def give(call: Call, role: str, grants: Iterable[Grant]) -> list[str]:
    """Grant them again, as the same grantors, with the same options."""
    return _each(call, grants, lambda gift: statement(role, gift, giving=True))


def _each(call: Call, grants: Iterable[Grant], statement: Callable[[Sequence[Grant]], sql.Composed]) -> list[str]:
    refused: list[str] = []
    myself = call.rows("SELECT current_user::text AS name, rolsuper FROM pg_roles WHERE rolname = current_user")[0]
    for (database, *_), group in groupby(sorted(grants, key=together), key=together):
        gift = list(group)
        connection = call.database(database or call.home_name)
        wanted = _who_acts(gift[0], myself["name"], superuser=myself["rolsuper"])
        try:
            with connection.transaction():
                if wanted != myself["name"]:
                    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(wanted)))
                connection.execute(statement(gift))
        except REFUSALS as error:
            refused += [f"{one}: {error.diag.message_primary}" for one in gift]
        finally:
            connection.execute("RESET ROLE")
    return refused


def together(grant: Grant) -> tuple[str, str, str, str, str, bool]:
    """One statement for all privileges that one grantor gave on one object in one way."""
    return (grant.database, grant.kind, grant.name, grant.column, grant.grantor, grant.grantable)


def _who_acts(grant: Grant, myself: str, *, superuser: bool) -> str:
    """A superuser is always taken for the owner. Anybody else, and every other grantor, has to be impersonated."""
    if grant.is_default or (superuser and grant.grantor == grant.owner):
        return myself
    return grant.grantor


def statement(role: str, gift: Sequence[Grant], *, giving: bool) -> sql.Composed:
    first = gift[0]
    column = sql.SQL(" ({})").format(sql.Identifier(first.column)) if first.column else sql.SQL("")
    privileges = sql.SQL(", ").join(sql.SQL(one.privilege) + column for one in gift)
    word = sql.SQL("GRANT {} ON ") if giving else sql.SQL("REVOKE {} ON ")
    whom = sql.SQL(" TO {}") if giving else sql.SQL(" FROM {}")
    option = sql.SQL(" WITH GRANT OPTION" if giving and first.grantable else "")
    end = whom.format(sql.Identifier(role)) + option
    if first.is_default:
        what = first.kind.removeprefix(DEFAULTS).upper()
        return sql.SQL("ALTER DEFAULT PRIVILEGES ") + sql.SQL(first.name) + sql.SQL(" ") + word.format(privileges) + sql.SQL(what) + end
    return word.format(privileges) + sql.SQL(ON[first.kind]) + sql.SQL(" ") + sql.SQL(first.name) + end
