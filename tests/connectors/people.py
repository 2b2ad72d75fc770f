"""A small town in the estate: a worker with rights of every kind, given by the owner and by a deputy, and its live sessions."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import psycopg

from connectors.base import Measure, Step, Target
from connectors.postgres import PostgresConnector
from embedded.postgres import Postgres, installed_binaries

PASSWORD = "the workers own secret"


class Town:
    def __init__(self, server: Postgres, name: str) -> None:
        self.server = server
        self.name = name
        self.worker, self.deputy, self.crew, self.friend = (f"{name}_{who}" for who in ("worker", "deputy", "crew", "friend"))
        self.roles = [self.worker, self.deputy, self.crew, self.friend]
        self.connector = PostgresConnector(dsn=self.dsn)
        self.sessions: list[psycopg.Connection[Any]] = []

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)

    def do(self, *statements: str) -> None:
        """As the administrator, by another way than the connector's."""
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            return admin.execute(query).fetchall()

    def build(self) -> None:
        w, d = f'"{self.worker}"', f'"{self.deputy}"'
        self.do(
            f"CREATE ROLE {w} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 20",
            *(f'CREATE ROLE "{role}"' for role in self.roles[1:]),
            f'REVOKE ALL ON DATABASE "{self.name}" FROM PUBLIC',
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            f'GRANT CONNECT, TEMPORARY ON DATABASE "{self.name}" TO {w}',
            "CREATE SCHEMA payments",
            'CREATE SCHEMA "The Vault"',
            "CREATE TABLE payments.ledger (id int GENERATED ALWAYS AS IDENTITY, amount int)",
            'CREATE TABLE "The Vault".cards (number text, "holder""s name" text)',
            'CREATE SEQUENCE "The Vault".numbers',
            "CREATE FUNCTION \"The Vault\".open(code int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            'REVOKE ALL ON FUNCTION "The Vault".open(int) FROM PUBLIC',
            f'GRANT USAGE ON SCHEMA payments, "The Vault" TO {w}',
            f'GRANT USAGE ON SCHEMA "The Vault" TO {d}',
            f"GRANT SELECT, INSERT ON payments.ledger TO {w}",
            f'GRANT SELECT ON "The Vault".cards TO {d} WITH GRANT OPTION',
            f'GRANT UPDATE ("holder""s name") ON "The Vault".cards TO {w} WITH GRANT OPTION',
            f'GRANT USAGE, SELECT ON SEQUENCE "The Vault".numbers TO {w}',
            f'GRANT EXECUTE ON FUNCTION "The Vault".open(int) TO {w}',
            f'ALTER DEFAULT PRIVILEGES IN SCHEMA "The Vault" GRANT SELECT, INSERT ON TABLES TO {w}',
            f'SET ROLE {d}; GRANT SELECT ON "The Vault".cards TO {w}; RESET ROLE',
        )

    def tear_down(self) -> None:
        for session in self.sessions:
            session.close()
        self.do(*(f'DROP OWNED BY "{role}" CASCADE' for role in (self.worker, self.deputy, self.crew, self.friend)))

    def work(self, application: str = "work") -> psycopg.Connection[Any]:
        """A live session of the worker."""
        session = psycopg.connect(
            self.server.dsn(self.name, user=self.worker, password=PASSWORD), application_name=application, autocommit=True
        )
        self.sessions.append(session)
        return session

    def step(self, measure: str, **parameters: Any) -> Step:
        target = Target("postgres", "service_account", self.worker, "0190a5b0-0000-7000-8000-00000000000a")
        return Step(Measure(measure), target, parameters)

    def books(self, session: psycopg.Connection[Any]) -> None:
        session.execute("INSERT INTO payments.ledger (amount) VALUES (1)")

    def reads_the_vault(self, session: psycopg.Connection[Any]) -> bool:
        try:
            session.execute('SELECT number FROM "The Vault".cards')
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def access_lists(self) -> Sequence[tuple[Any, ...]]:
        """All that PostgreSQL itself has on record about the worker, as it has it, in an order of our own."""
        lists = {
            "pg_class": ("oid", "relacl"),
            "pg_attribute": ("attrelid || '/' || attnum", "attacl"),
            "pg_proc": ("oid", "proacl"),
            "pg_namespace": ("oid", "nspacl"),
            "pg_type": ("oid", "typacl"),
            "pg_default_acl": ("defaclobjtype", "defaclacl"),
            "pg_database": ("oid", "datacl"),
        }
        sorted_list = "(SELECT array_agg(a::text ORDER BY a::text) FROM unnest({acl}) a)"
        parts = [
            f"SELECT '{table}', ({name})::text, {sorted_list.format(acl=acl)} FROM {table} WHERE {acl} IS NOT NULL"
            for table, (name, acl) in lists.items()
        ]
        role = "SELECT 'role', rolname, ARRAY[rolcanlogin::text, rolconnlimit::text, rolpassword] FROM pg_authid"
        settings = "SELECT 'settings', setdatabase::text, setconfig FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole"
        parts += [f"{one} WHERE rolname = '{self.worker}'" for one in (role, settings)]
        return self.ask(" UNION ALL ".join(parts) + " ORDER BY 1, 2")

    def on_record(self) -> str:
        """The same with passwords by their kind, since nobody can type a verifier that is sealed."""
        return re.sub(r"SCRAM-SHA-256\$[^']*", "a password", str(self.access_lists()))

    def type_in(self, lines: Sequence[str]) -> None:
        """A person with psql, who gives the worker's own password whenever one is asked for."""
        with tempfile.NamedTemporaryFile("w", suffix=".psql") as card:
            card.write("\n".join(lines))
            card.flush()
            typed = subprocess.run(
                [installed_binaries() / "psql", self.dsn, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", card.name],
                input=f"{PASSWORD}\n" * 2,
                text=True,
                capture_output=True,
                check=False,
                start_new_session=True,  # no terminal to ask at, so psql asks where we answer
            )
        assert typed.returncode == 0, typed.stderr
