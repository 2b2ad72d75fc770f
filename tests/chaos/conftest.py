"""A driver process over a database of its own, and a world beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from embedded.places import ROOT
from embedded.postgres import Postgres
from embedded.process import tail
from tests.servers import temporary_folder


class Driver:
    def __init__(self, process: subprocess.Popen[str], log: Any) -> None:
        self.process, self.log = process, log

    def ask(self, **asked: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, tail(self.log, 40)
        return json.loads(line)


@pytest.fixture(scope="module")
def driver(estate: Postgres, django_db_setup: Any, django_db_blocker: Any) -> Iterator[Driver]:
    estate.ensure_database("world", owner="estate_admin")
    world = estate.dsn("world")
    folder = temporary_folder("chaos")
    url = _copy_of_the_test_database(django_db_blocker, "chaos")
    server = subprocess.Popen([sys.executable, "-m", "tests.world.server", "--dsn", world], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        environment = os.environ | {
            "DATABASE_URL": url,
            "DATABASE_OWNER_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.world.settings",
            "WORLD_URL": f"http://127.0.0.1:{port}",
            "WORLD_DSN": world,
            "HOLDFAST_LOG": "ERROR",
        }
        log = folder / "driver.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.driver"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        with process:
            yield Driver(process, log)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
    finally:
        server.terminate()
        server.communicate(timeout=10)


def _copy_of_the_test_database(blocker: Any, name: str) -> str:
    """Migrated already, and empty. Nobody may be connected to what is copied."""
    from django.db import connections

    connections.close_all()
    parts = urlsplit(os.environ["DATABASE_URL"])
    with blocker.unblock():
        tested = str(connections["default"].settings_dict["NAME"])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [tested])
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(tested)))
    return urlunsplit(parts._replace(path=f"/{name}"))
