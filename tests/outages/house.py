"""A house whose every part can be taken away: a database on a small disk of its own, a web server, sweepers, and clocks of its own.

The hand (hand.py) is a process that has the product loaded: it starts sweepers and workers by forking them, and does what tests ask for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg

from core.ids import uuid7
from embedded.account import for_servers, give
from embedded.places import ROOT
from embedded.postgres import Postgres, free_port, installed_binaries
from embedded.process import signal_group, spawn, tail, wait_until
from tests.outages.clocks import Clock
from tests.pgbouncer import Pgbouncer
from tests.plain import NO_TLS
from tests.world import house as worldly
from tests.world.target import CUT, MEASURES, Fault, World

DISK_MB, MB = 320, 1024 * 1024
NO_DISK = "a disk is filled that is mounted for it (a tmpfs), which this account or this machine does not permit"
SETTINGS = {"max_connections": "120", "max_wal_size": "48MB", "checkpoint_timeout": "30s", "fsync": "off", "jit": "off"}
ANSWERED_S = 60.0  # no request may take so long, whatever is away


def new(effect: str = "natural") -> str:
    return f"{effect}-{uuid7().hex[-12:]}"


class Hand:
    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log

    def __call__(self, deed: str, **given: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([deed, given]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, tail(self.log, 40)
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["found"]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


class House:
    web: subprocess.Popen[bytes] | None = None
    hand: Hand

    def __init__(self, folder: Path, world: World, *, disk: Path | None, told: dict[str, str]) -> None:
        """`told`: where its world and its broker are."""
        self.folder, self.world, self.disk, self.told = folder, world, disk, told
        self.hosts, self.databases = Clock(folder / "hosts.clock"), Clock(folder / "database.clock")
        self.database = Postgres(
            (disk or folder) / "postgres",
            account=for_servers(),
            settings=SETTINGS,
            spare_binaries=folder / "binaries",
            environment=self.databases.environment,
        )
        self.port, self.token = free_port(), ""
        self.started: list[int] = []

    # -- from outside

    def post(self, subject: str, effect: str = "natural", **changes: Any) -> tuple[int, dict[str, Any], float]:
        """Status, what was said, and how long it took. No status: nobody listens."""
        body, began = worldly.message(subject, effect, external_id=subject, **changes), time.monotonic()
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.post(f"{self.origin}/api/v1/detections", json=body, headers=headers, timeout=ANSWERED_S, verify=NO_TLS)
        except httpx.ConnectError:
            return 0, {}, time.monotonic() - began
        return answer.status_code, answer.json(), time.monotonic() - began

    def acknowledged(self, subject: str, effect: str = "natural", *, seconds: float = 90, **changes: Any) -> dict[str, Any]:
        """As integrations do: again with the same id until it was heard."""
        ends = time.monotonic() + seconds
        while True:
            status, said, _ = self.post(subject, effect, **changes)
            if status and status < 300:
                return said
            assert status in {0, 503}, said
            assert time.monotonic() < ends, f"{subject} was never acknowledged: {said}"
            time.sleep(0.1)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn("holdfast"), autocommit=True, connect_timeout=3) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def comes_to(self, subject: str, *states: str, seconds: float = 90) -> None:
        assert wait_until(lambda: self.state_of_run(subject) in states, seconds=seconds, pause=0.05), self.what_they_do(subject)

    def state_of_run(self, subject: str) -> str:
        with contextlib.suppress(psycopg.Error):
            found = self.sql("SELECT state FROM run WHERE target ->> 'subject' = %s", subject)
            return str(found[0][0]) if found else "none"
        return "nobody answers"

    def leases_pass(self, *, in_s: float = 0) -> None:
        """Of whoever cannot act any more, or will not be able to."""
        self.sql("UPDATE run SET lease_until = clock_timestamp() + %s * interval '1 s' WHERE lease_until IS NOT NULL", in_s)

    def what_they_do(self, subject: str) -> str:
        for pid in self.started:
            os.kill(pid, signal.SIGUSR1)
        time.sleep(0.5)
        return f"{self.history(subject)} {tail(self.hand.log, 150)}"

    def history(self, subject: str) -> list[tuple[Any, ...]]:
        query = """SELECT r.state, r.because, r.fence, r.crash_count, r.next_at, a.kind, a.direction, a.outcome, a.said FROM run r
            LEFT JOIN run_step s ON s.run_id = r.id LEFT JOIN run_attempt a ON a.step_id = s.id
            WHERE r.target ->> 'subject' = %s ORDER BY a.id"""
        return self.sql(query, subject)

    def cuts(self, subject: str) -> int:
        return sum(done.did == CUT for done in self.world.done(subject))

    def wrong(self) -> list[str]:
        """The trail and what must always be true."""
        return list(self.hand("everywhere"))

    def in_the_middle_of(self, subject: str, call: str, *, seconds: float) -> None:
        """Returns while the world takes its time with this call."""
        effect = subject.partition("-")[0]
        self.world.order(Fault.LAG, subject, MEASURES[effect], call=call, seconds=seconds)
        self.acknowledged(subject, effect)
        assert wait_until(lambda: bool(self.world.ordered(subject)[0][4]), seconds=90), self.what_they_do(subject)

    # -- its processes

    def start(self, kind: str, **given: Any) -> int:
        pid = int(self.hand("start", kind=kind, **given))
        self.started.append(pid)
        return pid

    def stop(self, *pids: int, number: int = signal.SIGKILL) -> None:
        for pid in pids:
            self.hand("stop", pid=pid, number=int(number))
            self.started.remove(pid)

    @contextlib.contextmanager
    def sweeping(self, how_many: int = 1) -> Iterator[list[int]]:
        pids = [self.start("sweeper", name=f"sweeper-{number}") for number in range(1, how_many + 1)]
        try:
            yield pids
        finally:
            self.stop(*(pid for pid in pids if pid in self.started))

    def tree_of_the_database(self) -> list[int]:
        assert self.database.process is not None
        pid = self.database.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    @contextlib.contextmanager
    def paused_database(self) -> Iterator[None]:
        """It takes connections, and never answers."""
        tree = self.tree_of_the_database()
        for pid in tree:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def unconfirmed_commits(self) -> Iterator[None]:
        """A commit is kept, and nobody hears so: it waits for a second server that never comes."""
        self._set("synchronous_standby_names", "'nobody'")
        try:
            yield
        finally:
            self._set("synchronous_standby_names", "''")

    def _set(self, name: str, value: str) -> None:
        with psycopg.connect(self.database.dsn("holdfast"), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.1)

    def waiting_for_their_commit(self) -> list[int]:
        return [int(pid) for (pid,) in self.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")]

    def break_lines_at_their_commit(self, sender: threading.Thread) -> None:
        """The line of whoever waits for the word that it is kept, until the sender has its answer."""
        while sender.is_alive():
            for pid in self.waiting_for_their_commit():
                self.sql("SELECT pg_terminate_backend(%s)", pid)
            time.sleep(0.02)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[Callable[[], None]]:
        """Gives what fills it again: a database that tidies up its log makes room for itself."""
        assert self.disk is not None
        ballast = self.disk / "ballast"

        def fill() -> None:
            for size in (MB, 4096):
                with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

        fill()
        try:
            yield fill
        finally:
            ballast.unlink()

    def use_up_its_log(self) -> None:
        """Until the database has no place for another one, and gives up."""
        with contextlib.suppress(psycopg.Error):
            for _ in range(20):
                self.sql("SELECT pg_logical_emit_message(false, 'full', repeat('x', 4000000))")
                self.sql("SELECT pg_switch_wal()")

    def database_is_back(self) -> None:
        """By itself, or because somebody starts it again."""
        if not wait_until(self.database.answers, seconds=2):
            self.database.stop()
            self.database.restart()
        self.database.wait()

    def crash_database(self, number: int = signal.SIGQUIT) -> None:
        assert self.database.process is not None
        self.database.process.send_signal(number)
        self.database.process.wait()

    # -- how it comes to be

    def furnish(self, schema: str) -> None:
        """`schema`: the statements that make an empty house."""
        self.database.start()
        self.database.ensure_database("holdfast", owner=self.database.superuser)
        _done([self.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.database.dsn("holdfast")], schema)
        environment, log = self.environment, self.folder / "hand.log"
        with log.open("wb") as errors:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            process = subprocess.Popen([sys.executable, "-m", "tests.outages.hand"], cwd=ROOT, env=environment, text=True, **pipes)
        self.hand = Hand(process, log)
        self.web = self._web(environment, self.folder / "web.log")
        self.token = self.hand("furnish")
        assert wait_until(self._answers, seconds=120, pause=0.1), tail(self.folder / "web.log", 40)

    def _web(self, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--loop", "uvloop", "--no-access-log", "tests.outages.web:application"),
        ]
        return spawn(command, cwd=ROOT, env=environment, log=log, on_orphaned=signal.SIGKILL)

    @contextlib.contextmanager
    def pooled(self) -> Iterator[None]:
        """A web server that answers instead of the usual one, and a sweeper, both behind a pooler, and with a clock that nobody bends."""
        pooler = Pgbouncer(self.folder / "pooler", self.database.dsn("holdfast"), account=for_servers())
        usual, self.port = self.port, free_port()
        environment = {name: value for name, value in self.environment.items() if name not in self.hosts.environment}
        environment |= {"DATABASE_URL": pooler.dsn, "HOLDFAST_POOLED": "1"}
        started: list[subprocess.Popen[bytes]] = []
        try:
            pooler.start()
            started.append(self._web(environment, self.folder / "pooled-web.log"))
            sweeps = [sys.executable, "manage.py", "sweep", "--name", "pooled"]
            started.append(spawn(sweeps, cwd=ROOT, env=environment, log=self.folder / "pooled-sweep.log", on_orphaned=signal.SIGKILL))
            assert wait_until(self._answers, seconds=120, pause=0.1), tail(self.folder / "pooled-web.log", 40)
            yield
        finally:
            for process in started:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
            pooler.stop()
            self.port = usual

    def close(self) -> None:
        if hasattr(self, "hand"):
            self.hand.end()
        if self.web is not None:
            signal_group(self.web.pid, signal.SIGKILL)
            self.web.wait()
        self.database.stop()

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.origin}/livez", timeout=5, verify=NO_TLS).status_code == 200
        return False

    @property
    def binaries(self) -> Path:
        return installed_binaries()

    @property
    def environment(self) -> dict[str, str]:
        """What each of its processes is told."""
        own = ("HOLDFAST_", "DATABASE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return (
            kept
            | self.hosts.environment
            | self.told
            | {
                "DATABASE_URL": self.database.dsn("holdfast"),
                "DJANGO_SETTINGS_MODULE": "tests.outages.settings",
                "HOLDFAST_HOME": str(self.folder),
                "HOLDFAST_LOG": "WARNING",
                "HOLDFAST_ORIGIN": self.origin,
                "HOLDFAST_POOL": "8",
                "HOLDFAST_SECRET_KEY": "of-this-house-" + "k" * 50,
                "HOLDFAST_SEAL_KEY": base64.b64encode(bytes(range(32))).decode(),
            }
        )


def schema_of(dsn: str) -> str:
    """Everything in a database, as statements that anybody may run."""
    return _done([installed_binaries() / "pg_dump", "--no-owner", "--no-privileges", "-d", dsn])


def _done(command: Sequence[str | Path], given: str = "") -> str:
    done = subprocess.run([str(part) for part in command], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of its own that can be filled, where this machine lets us mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    mounted = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None
    mounted = mounted and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    give(for_servers(), folder)
    folder.chmod(0o700)
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=False)
