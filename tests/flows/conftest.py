"""Flows run against the real estate: roles that really log in, on a second PostgreSQL. (Django is imported late: settings come first.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres

if TYPE_CHECKING:
    from playbooks.models import Run


@dataclass(frozen=True)
class Role:
    """A role in the estate, and ways to try it."""

    name: str
    password: str
    server: Postgres
    opened: list[psycopg.Connection]

    def connect(self, application: str = "test") -> psycopg.Connection:
        dsn = self.server.dsn("estate", user=self.name, password=self.password)
        self.opened.append(psycopg.connect(dsn, application_name=application, autocommit=True))
        return self.opened[-1]

    def as_owner(self, statement: LiteralString) -> None:
        """What an administrator of the estate does behind Holdfast's back."""
        with psycopg.connect(self.server.dsn("estate"), autocommit=True) as admin:
            admin.execute(statement)

    def can_log_in(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def can_read(self, table: str) -> bool:
        with self.connect() as connection:
            try:
                connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(*table.split("."))))
            except psycopg.errors.InsufficientPrivilege:
                return False
            return True


@pytest.fixture
def role(estate: Postgres) -> Iterator[Callable[..., Role]]:
    """Makes a role that may read vault.card_tokens and, with `ledger`, book payments; gone afterwards."""
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate

    made: list[str] = []
    opened: list[psycopg.Connection] = []
    with psycopg.connect(estate.dsn("estate"), autocommit=True) as admin:
        admin.execute("CREATE SCHEMA IF NOT EXISTS vault")
        admin.execute("CREATE SCHEMA IF NOT EXISTS payments")
        admin.execute("CREATE TABLE IF NOT EXISTS vault.card_tokens (id int)")
        admin.execute("CREATE TABLE IF NOT EXISTS payments.ledger (id int)")
        admin.execute("REVOKE CONNECT ON DATABASE estate FROM PUBLIC")
        registry.configure(settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": estate.dsn("estate")}}, gate=Gate())

        def make(name: str, *, ledger: bool = False) -> Role:
            password = f"{name}-pw"
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
            made.append(name)
            grants = ("CONNECT ON DATABASE estate", "USAGE ON SCHEMA vault", "SELECT ON vault.card_tokens")
            more = ("USAGE ON SCHEMA payments", "SELECT, INSERT ON payments.ledger") if ledger else ()
            for right in (*grants, *more):
                admin.execute(sql.SQL(f"GRANT {right} TO {{}}").format(sql.Identifier(name)))
            return Role(name, password, estate, opened)

        yield make
        for connection in opened:
            connection.close()
        for name in made:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    registry.configure(settings.CONNECTORS, gate=Gate())


@pytest.fixture
def drive() -> Callable[[UUID], Run]:
    """Drive a run as a worker would, until it rests."""
    from playbooks import engine
    from playbooks.models import Run

    def until_rest(run_id: UUID) -> Run:
        for _ in range(40):
            engine.drive(run_id, executor="command")
            run = Run.objects.get(pk=run_id)
            if run.next_at is None or run.state == "undoing":
                return run
        return run

    return until_rest
