"""PgBouncer before one PostgreSQL of the tests, in transaction mode: each transaction may get another session, and few are shared by all.

Debian's package (`apt-get install pgbouncer`) brings the program; a service that it may run is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from embedded.account import Account, give, private_folder
from embedded.postgres import free_port, write_private
from embedded.process import spawn, tail
from embedded.trouble import Trouble

LACKING = "PgBouncer is not installed here. On Debian: sudo apt-get install -y pgbouncer"
CHOSEN = os.environ.get("HOLDFAST_TEST_POOLER") == "pgbouncer"  # by who starts the tests: what they say then goes through one
SESSIONS = 6  # of each database and user, shared by all who come


def program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Pgbouncer:
    """`behind`: the address of a PostgreSQL, whose user and password are asked for here too."""

    def __init__(self, folder: Path, behind: str, *, account: Account | None = None) -> None:
        self.folder, self.account, self.log = folder, account, folder / "pgbouncer.log"
        self.behind, self.port = behind, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """The same address, through here."""
        found = urlsplit(self.behind)
        who = found.netloc.rpartition("@")[0]
        return found._replace(netloc=f"{who}@127.0.0.1:{self.port}", query="").geturl()

    def start(self) -> None:
        found = program()
        if found is None:
            raise Trouble(LACKING)
        private_folder(self.folder, self.account)
        facts = conninfo_to_dict(self.behind)
        users = self.folder / "users.txt"
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "pool_mode": "transaction",
            "default_pool_size": SESSIONS,
            "max_client_conn": 500,
        }
        lines = [
            f"[databases]\n* = host=127.0.0.1 port={facts['port']}\n[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        write_private(users, f'"{facts["user"]}" "{facts["password"]}"\n')
        write_private(self.folder / "pgbouncer.ini", "\n".join([*lines, ""]))
        for file in (users, self.folder / "pgbouncer.ini"):
            give(self.account, file)
        command = [found, str(self.folder / "pgbouncer.ini")]
        self.process = spawn(command, account=self.account, cwd=self.folder, env={"PATH": os.defpath}, log=self.log)
        ends = time.monotonic() + 20
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > ends:
                raise Trouble(f"PgBouncer in {self.folder} did not start:\n{tail(self.log)}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.dsn, connect_timeout=2).close()
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
