"""The servers that tests run against: a real PostgreSQL before Django reads its settings, a second one and a Valkey for those who ask.

With DATABASE_URL set, the first one is that server; its user must be a superuser. With HOLDFAST_TEST_BROKER=rabbitmq, all that would wake a
worker is told to a RabbitMQ node of these tests.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from embedded.account import can_enter, for_servers, give
from embedded.postgres import Postgres
from embedded.valkey import Valkey
from tests import rabbitmq

FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "scram_iterations": "1",  # to say a password takes as long as all else about a connection, and nobody guesses these
}
OWNER, APPLICATION = "holdfast_owner", "holdfast_app"

_folders: list[Path] = []
_main: list[Postgres] = []
_broker: list[rabbitmq.Rabbitmq] = []
_counts: Counter[str] = Counter()
_milliseconds: Counter[str] = Counter()


def temporary_folder(name: str) -> Path:
    """A private folder of the account that runs the servers, in the first temporary place that it can enter."""
    account = for_servers()
    where = next(place for place in (tempfile.gettempdir(), "/var/tmp", "/tmp") if can_enter(account, Path(place)))  # noqa: S108 - places to try
    folder = Path(tempfile.mkdtemp(prefix=f"holdfast-{name}-", dir=where))
    give(account, folder)
    _folders.append(folder)
    return folder


def start_before_settings() -> None:
    """Called by conftest.py while no Django setting has been read."""
    os.environ.setdefault("HOLDFAST_SECRET_KEY", secrets.token_urlsafe(32))
    os.environ.setdefault("HOLDFAST_SEAL_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    os.environ.setdefault("HOLDFAST_APP_ROLE", APPLICATION)
    if "DATABASE_URL" not in os.environ:
        server = Postgres(temporary_folder("tests"), account=for_servers(), settings=FAST)
        start(server)
        _main.append(server)
        password = server.ensure_role(OWNER, "LOGIN SUPERUSER")
        server.ensure_role(APPLICATION, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
        server.ensure_database("holdfast", owner=OWNER)
        os.environ["DATABASE_URL"] = server.dsn("holdfast", user=OWNER, password=password)
    if "BROKER_URL" not in os.environ and (broker := rabbitmq.chosen(temporary_folder("broker"))):
        _broker.append(broker)
        os.environ["BROKER_URL"] = broker.broker_url()
    os.environ.setdefault("DATABASE_OWNER_URL", os.environ["DATABASE_URL"])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings

    settings.DATABASES  # noqa: B018 - read now: pytest-django sets up only what is configured already


def start(server: Postgres) -> None:
    """With a superuser whose password is said as quickly as those that are given later."""
    server.start()
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        quick = sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(quick.format(sql.Identifier(server.superuser), sql.Literal(conninfo_to_dict(server.dsn())["password"])))


def stop() -> None:
    running: list[Postgres | rabbitmq.Rabbitmq] = [*_main, *_broker]
    for server in running:
        server.stop()
    _main.clear()
    _broker.clear()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)
    _folders.clear()


@pytest.fixture(scope="session")
def database_server() -> Postgres:
    """The server behind DATABASE_URL, for tests that make it fail. There is none to hand out if it is somebody else's."""
    if not _main:
        pytest.fail(f"DATABASE_URL names {urlsplit(os.environ['DATABASE_URL']).hostname}; this test needs the embedded server.")
    return _main[0]


@pytest.fixture(scope="session")
def estate() -> Iterator[Postgres]:
    """A second cluster with an empty database `estate`, administered by `estate_admin`. Started when the first test asks for it."""
    server = Postgres(temporary_folder("estate"), account=for_servers(), superuser="estate_admin", settings=FAST)
    start(server)
    server.ensure_database("estate", owner="estate_admin")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    server = Valkey(temporary_folder("valkey"), account=for_servers())
    server.start()
    yield server
    server.stop()


class CountsPerFolder:
    """The last lines of a run say how many tests each room has, and how long they took with what they stand on."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        folder = "/".join(Path(report.nodeid.partition("::")[0]).parts[:-1])
        _counts[folder] += report.when == "call"
        _milliseconds[folder] += round(report.duration * 1000)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if _counts:
            terminalreporter.section("tests per folder")
            for folder, count in sorted(_counts.items()):
                terminalreporter.write_line(f"{count:6} {_milliseconds[folder] / 1000:8.1f} s  {folder}")
            terminalreporter.write_line(f"{_counts.total():6} {_milliseconds.total() / 1000:8.1f} s  in all")
