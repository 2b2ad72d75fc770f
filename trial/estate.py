"""The estate: the database of a small company that the trial protects, in a PostgreSQL cluster of its own.

`build` makes it once and leaves it alone ever after: what a containment took away comes back through Holdfast's undo, not by restarting.
Every right is granted to one role directly, none through PUBLIC, membership or ownership, so that a containment can be whole.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from embedded.postgres import write_private

STRUCTURES = tuple(
    Path(__file__).with_name(name) for name in ("estate.sql", "estate_2.sql", "estate_3.sql", "estate_4.sql", "estate_5.sql")
)  # one per version
PASSWORDS = "estate-roles.json"
VERSION = len(STRUCTURES)
ONE_BUILDER = 0x686F6C6466617374  # the advisory lock under which two starts at once build one estate


@dataclass(frozen=True, slots=True)
class Role:
    """A role that workloads log in with, and all it may do: (rights, table). `since`: the version of the estate that has it first."""

    name: str
    rights: tuple[tuple[str, str], ...]
    since: int = 1

    @property
    def schemas(self) -> list[str]:
        return sorted({table.partition(".")[0] for _, table in self.rights})


ROLES = (
    Role("etl_reader", (("SELECT", "ingest.batches"), ("SELECT", "vault.card_tokens"))),  # vault: for a migration, two years ago
    Role("payments_writer", (("SELECT, INSERT", "payments.ledger"), ("SELECT", "vault.card_tokens"), ("SELECT", "vault.signing_keys"))),
    Role("reports_shared", (("SELECT", "reports.sales"), ("SELECT, UPDATE", "reports.requests"), ("SELECT", "vault.card_tokens"))),
    Role(
        "trainer",
        (
            ("SELECT, UPDATE", "models.jobs"),
            ("SELECT, INSERT, UPDATE", "models.progress"),
            ("SELECT, INSERT", "models.checkpoints"),
            ("INSERT", "models.deploy_tokens"),
        ),
    ),
    Role("invoice_agent", (("SELECT, UPDATE", "agents.inbox"), ("SELECT, INSERT", "agents.calls"))),
    Role("mail_sink", (("INSERT", "mail.arrived"),), since=3),
    # For the scenarios that show one signal each; nobody works with these.
    Role("stock_sync", (("SELECT", "ingest.batches"), ("SELECT", "vault.signing_keys")), since=2),
    Role("partner_export", (("SELECT", "reports.sales"),), since=2),
    Role("night_batch", (("SELECT", "ingest.batches"),), since=2),
    Role("backup_operator", (), since=2),  # the decoy: it opens the door to an empty room, and nobody has business with it
)
FURTHER_RIGHTS = (  # of roles that are older: since, role, rights, table
    (2, "reports_shared", "SELECT", "reports.month_end"),
    (3, "invoice_agent", "SELECT", "agents.secrets"),
    (3, "invoice_agent", "SELECT, INSERT", "agents.bookings"),
    (3, "invoice_agent", "SELECT, INSERT", "agents.diary"),
    (5, "etl_reader", "SELECT", "vault.role_passwords"),
)
KEPT_PASSWORD = "payments_writer"  # whose password stands in vault.role_passwords as well, where a thief finds it


class OutOfStep(Exception):  # noqa: N818 - worded for the person who starts the trial
    """The estate and the file with its passwords do not belong together."""


@dataclass(frozen=True, slots=True)
class Estate:
    """How to reach the estate, as its administrator or as one of its roles."""

    dsn: str = field(repr=False)
    passwords: Mapping[str, str] = field(repr=False)

    @classmethod
    def at_home(cls, dsn: str, home: Path) -> Self:
        """The estate that `build` made earlier."""
        return cls(dsn, json.loads((home / PASSWORDS).read_text()))

    @classmethod
    def of_access(cls, access: Mapping[str, Any]) -> Self:
        """From what access.json says of it."""
        return cls(access["estate"]["dsn"], access["estate"]["roles"])

    def conninfo(self, role: str, application_name: str, **more: str | int) -> str:
        return make_conninfo(
            self.dsn, user=role, password=self.passwords[role], application_name=application_name, connect_timeout=3, **more
        )

    def connect(self, role: str, application_name: str) -> psycopg.Connection:
        return psycopg.connect(self.conninfo(role, application_name), autocommit=True)

    def administer(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True, application_name="trial", connect_timeout=3)


def build(dsn: str, home: Path) -> Estate:
    """The estate behind `dsn` (its administrator's), made now if it is not there. Passwords rest in `home`, readable by its owner alone."""
    with psycopg.connect(dsn, application_name="trial") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_BUILDER])
        built, passwords = _built(connection), _kept_passwords(home)
        if missing := sorted({role.name for role in ROLES if role.since <= built} - passwords.keys()):
            raise OutOfStep(
                f"The estate has the role {missing[0]}, and {home / PASSWORDS} does not know its password. Put the file back, or start "
                f"over with another --home."
            )
        if built < VERSION:
            passwords |= {role.name: secrets.token_urlsafe(24) for role in ROLES if role.name not in passwords}
            keep_private(home / PASSWORDS, passwords)  # before the roles: a kill in between leaves a file that the next start uses
            _bring_up(connection, built, passwords)
    return Estate(dsn, passwords)


def _built(connection: psycopg.Connection) -> int:
    """The version of the estate that stands there; 0 for none."""
    row = connection.execute("SELECT to_regclass('ops.built') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return 0
    newest = connection.execute("SELECT max(version) FROM ops.built").fetchone()
    return int(newest[0]) if newest else 0


def _bring_up(connection: psycopg.Connection, built: int, passwords: Mapping[str, str]) -> None:
    """All of it, or what an older estate lacks, in the caller's transaction, so that a half-built estate never exists."""
    for structure in STRUCTURES[built:]:
        connection.execute(structure.read_bytes())
    if not built:
        _close_to_the_public(connection)
        connection.execute("CREATE SCHEMA ops")
        connection.execute("CREATE TABLE ops.built (version integer NOT NULL, at timestamptz NOT NULL DEFAULT now())")
    _make_roles(connection, [role for role in ROLES if role.since > built], passwords)
    for since, name, rights, table in FURTHER_RIGHTS:
        if since > built:
            _grant(connection, name, rights, table)
    if built < 5:
        kept = "INSERT INTO vault.role_passwords VALUES (%s, %s) ON CONFLICT (role) DO UPDATE SET password = excluded.password"
        connection.execute(kept, [KEPT_PASSWORD, passwords[KEPT_PASSWORD]])
    connection.execute("INSERT INTO ops.built (version) VALUES (%s)", [VERSION])


def _make_roles(connection: psycopg.Connection, roles: Sequence[Role], passwords: Mapping[str, str]) -> None:
    database = sql.Identifier(connection.info.dbname)
    for role in roles:
        name = sql.Identifier(role.name)
        verifier = connection.pgconn.encrypt_password(passwords[role.name].encode(), role.name.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(verifier)))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name))
        for schema in role.schemas:
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), name))
        for rights, table in role.rights:
            _grant(connection, role.name, rights, table)


def _grant(connection: psycopg.Connection, role: str, rights: str, table: str) -> None:
    where = sql.Identifier(*table.split("."))
    connection.execute(sql.SQL("GRANT {} ON TABLE {} TO {}").format(sql.SQL(rights), where, sql.Identifier(role)))


def _close_to_the_public(connection: psycopg.Connection) -> None:
    """PostgreSQL lets everybody connect to every database, make temporary tables there and look into `public`. Not here."""
    for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall():
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")


def _kept_passwords(home: Path) -> dict[str, str]:
    try:
        kept: dict[str, str] = json.loads((home / PASSWORDS).read_text())
    except FileNotFoundError:
        return {}
    return kept


def keep_private(path: Path, content: object) -> None:
    """`content` as JSON in a 0600 file that belongs to whoever the folder belongs to."""
    write_private(path, json.dumps(content, indent=1))
    own_as_the_folder(path)


def own_as_the_folder(path: Path) -> None:
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
