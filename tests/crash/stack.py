"""The whole product under its supervisor, in a folder of its own, driven from outside as a user would, with every process within reach."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from embedded.places import ROOT
from embedded.postgres import free_port
from embedded.process import wait_until
from tests import rabbitmq
from tests.plain import NO_TLS
from tests.servers import temporary_folder

OWN_WORDS = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "BROKER_URL",
    "CHANNELS_URL",
    "HOLDFAST_APP_ROLE",
    "HOLDFAST_SECRET_KEY",
    "HOLDFAST_SEAL_KEY",
)
ATTACK: dict[str, Any] = {
    "occurred_at": "2026-11-22T10:00:00Z",
    "title": "Secret read outside task scope",
    "severity": "high",
    "confidence": 0.9,
    "claims": ["unexpected_secret_read"],
    "action": {"name": "secret.read", "count": 3},
    "resource": {"kind": "table", "id": "vault.card_tokens"},
    "context": {"environment": "prod", "source_ip": "203.0.113.9"},
}


@dataclass
class Stack:
    home: Path
    port: int
    process: subprocess.Popen[bytes]
    broker: rabbitmq.Rabbitmq | None = None  # where one was chosen: what happens to Valkey happens to it too

    @property
    def access(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "access.json").read_text()))

    # -- from outside

    def post(self, subject: str, external_id: str, *, until_s: float = 60) -> dict[str, Any]:
        """Post as an integration does: again with the same id until it is acknowledged."""
        body = ATTACK | {
            "external_id": external_id,
            "identity": {"kind": "service_account", "provider": "postgres", "subject": subject},
            "credential": {"kind": "db_role", "id": subject},
        }
        ends = time.monotonic() + until_s
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.post(
                    f"{self.access['url']}/api/v1/detections",
                    json=body,
                    headers={"Authorization": f"Bearer {self.access['tokens']['detections']}"},
                    timeout=10,
                    verify=NO_TLS,
                )
                if answer.status_code < 300:
                    return dict(answer.json())
            time.sleep(0.1)
        raise AssertionError(f"{external_id} was never acknowledged")

    def read(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def asked() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                headers = {"Authorization": f"Bearer {self.access['tokens']['read']}"}
                answer = httpx.get(f"{self.access['url']}/api/v1/{path}", headers=headers, timeout=10, verify=NO_TLS)
                if answer.status_code == 200:
                    found.update(answer.json())
            return bool(found)

        assert wait_until(asked, seconds=60), path
        return found

    def comes_to(self, run_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        assert wait_until(lambda: self.read(f"runs/{run_id}")["state"] in states, seconds=seconds), self.read(f"runs/{run_id}")
        return self.read(f"runs/{run_id}")

    # -- the target

    def estate(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.access["estate"]["dsn"], autocommit=True)

    def new_role(self, name: str) -> str:
        with self.estate() as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'given'").format(sql.Identifier(name)))
            admin.execute(sql.SQL("GRANT CONNECT ON DATABASE estate TO {}").format(sql.Identifier(name)))
        return name

    def limit(self, role: str) -> int:
        with self.estate() as admin:
            row = admin.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            assert row is not None
            return int(row[0])

    # -- its processes

    def pids(self, name: str) -> list[int]:
        """Of a child and everything below it."""
        children = json.loads((self.home / "children.json").read_text())
        return [pid for child in children if child["name"] == name for pid in _tree(child["pid"])]

    def names(self) -> list[str]:
        return [child["name"] for child in json.loads((self.home / "children.json").read_text())]

    def signal(self, name: str, number: signal.Signals) -> None:
        for pid in self.pids(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if name == "valkey" and self.broker is not None:
            self.broker.send(number)

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in OWN_WORDS} | {"HOLDFAST_HOME": str(self.home)}
        return subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        url = json.loads((self.home / "environment.json").read_text())["DATABASE_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(query).fetchall()


@contextlib.contextmanager
def running() -> Iterator[Stack]:
    home, port = temporary_folder("stack") / "home", free_port()
    environment = {name: value for name, value in os.environ.items() if name not in OWN_WORDS}
    broker = rabbitmq.chosen(home.parent / "rabbitmq")
    if broker is not None:
        environment["BROKER_URL"] = broker.broker_url()
    log = home.parent / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "embedded.supervisor", "--home", str(home), "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    stack = Stack(home, port, process, broker)
    try:
        assert wait_until(lambda: "ready in" in log.read_text() or process.poll() is not None, seconds=120), log.read_text()
        assert process.poll() is None, log.read_text()
        yield stack
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if broker is not None:
            broker.stop()


def _tree(pid: int) -> list[int]:
    below = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        children = [int(word) for word in below.read_text().split()]
    except OSError:
        return []
    return [pid, *(each for child in children for each in _tree(child))]
