"""The product's own web server on the test database, in a process of its own that a test may kill as a power cut would."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from embedded.places import ROOT
from embedded.postgres import free_port
from embedded.process import tail
from tests.servers import temporary_folder


@dataclass
class Web:
    """Always at the same port. `kill` leaves it no instruction more."""

    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    log: Path = field(default_factory=lambda: temporary_folder("guarded-web") / "web.log")
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--loop", "uvloop", "--no-access-log", "config.asgi:application"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        """It and its workers, all at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def _wait(self) -> None:
        over = time.monotonic() + 60
        while time.monotonic() < over and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/livez", timeout=2):  # noqa: S310 - our own server
                return
            time.sleep(0.1)
        raise AssertionError(f"The web server did not answer:\n{tail(self.log)}")


@contextlib.contextmanager
def web() -> Iterator[Web]:
    """Inside a test that has the database."""
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    nowhere = "redis://127.0.0.1:1/0"  # no broker: nothing here waits for one
    said = {"DATABASE_URL": database, "DATABASE_OWNER_URL": database, "CHANNELS_URL": nowhere, "BROKER_URL": nowhere, "HOLDFAST_TRIAL": ""}
    made = Web({**os.environ, **said})
    made.environment["HOLDFAST_ORIGIN"] = made.url
    try:
        made.start()
        yield made
    finally:
        made.kill()
