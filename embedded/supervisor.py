"""The supervisor: starts everything of a trial, keeps it running, ends all of it. `script/up` becomes this process.

Standard library and the two servers' clients only: it must not fall over what it watches. Ctrl-C reaches it alone, since every child has a
session of its own; it ends them in an order that loses nothing, within ten seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import FrameType

from embedded import places, process
from embedded.kept import Kept
from embedded.places import ROOT
from embedded.postgres import Postgres, free_port, start_log, write_private
from embedded.trouble import Trouble
from embedded.valkey import Valkey

OWNER, APPLICATION = "holdfast_owner", "holdfast_app"
ESTATE_ADMIN, ESTATE_LOOKER = "estate_admin", "holdfast_look"
USUAL_PORT = 8000
PREPARE_PATIENCE, WEB_PATIENCE = 180.0, 120.0
LOOK_EVERY = 0.05
# Seconds to end in peace, one after the other; who takes longer is killed. Ten seconds is the promise for all of it.
TO_END = {"programs": 3.0, "web": 1.5, "valkey": 1.0, "clusters": 2.0}


class Stopped(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal, wherever the supervisor was at that moment."""


class Supervisor:
    def __init__(self, home: Path, *, port: int | None, empty: bool) -> None:
        self.home = home
        self.empty = empty
        self.wished_port = port
        self.began = _began()
        self.stages: list[tuple[str, float]] = []
        self.kept: list[Kept] = []
        self.preparing: subprocess.Popen[bytes] | None = None
        self.ours: Postgres | None = None
        self.estate: Postgres | None = None
        self.valkey: Valkey | None = None

    # --- the story

    def run(self) -> None:
        self.home = places.open_home(self.home)
        lock = places.lock(self.home)
        self._end_stranded()
        self.places = places.settle(self.home)
        self.port = _usable_port(self.wished_port)
        places.sign(lock, f"process {os.getpid()}, {self.origin}")
        try:
            self._bring_up()
            while True:
                self._tend()
                time.sleep(LOOK_EVERY)
        except Stopped:
            asked = time.monotonic()
            say("\nStopping …")
            self._end()
            say(f"Everything ended after {time.monotonic() - asked:.1f} s. The data stays in {self.home}")
        except BaseException:
            self._end()
            raise

    def _bring_up(self) -> None:
        for name, stage in (("servers", self._start_servers), ("prepared", self._prepare), ("web", self._start_programs)):
            began = time.monotonic()
            stage()
            self.stages.append((name, time.monotonic() - began))
        self._greet()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- servers

    def _start_servers(self) -> None:
        servers = list(self._wanted_servers())
        with ThreadPoolExecutor(max_workers=4) as pool:
            compiling = pool.submit(self._compile_for_the_account)
            for outcome in [pool.submit(server.prepare) for _, server in servers]:
                outcome.result()
            for name, server in servers:  # from this thread, which lives on
                server.launch()
                self._keep_server(name, server)
            for _, server in servers:
                server.wait()
            compiling.result()
        self.environment = self._environment()
        write_private(self.home / "environment.json", json.dumps(self._of_the_trial(), indent=1))

    def _wanted_servers(self) -> Iterator[tuple[str, Postgres | Valkey]]:
        folder, account = self.places.servers, self.places.servers_account
        spare = folder / "binaries"
        if "DATABASE_URL" not in os.environ:
            self.ours = Postgres(folder / "ours", account=account, settings={"max_connections": "200"}, spare_binaries=spare)
            yield "database", self.ours
        if not self.empty:
            self.estate = Postgres(folder / "estate", account=account, superuser=ESTATE_ADMIN, spare_binaries=spare)
            yield "estate", self.estate
        if "BROKER_URL" not in os.environ or "CHANNELS_URL" not in os.environ:
            self.valkey = Valkey(folder / "valkey", account=account)
            yield "valkey", self.valkey

    def _keep_server(self, name: str, server: Postgres | Valkey) -> None:
        def again() -> subprocess.Popen[bytes]:
            server.restart()
            assert server.process is not None  # noqa: S101 - launched just now
            return server.process

        assert server.process is not None  # noqa: S101 - launched just now
        kept = Kept(name, again, log=server.log)
        kept.adopt(server.process, time.monotonic())
        self._keep(kept)

    def _compile_for_the_account(self) -> None:
        """The account that runs our code may not write beside it, and would compile all of it at every start."""
        if self.places.python_account:
            rooms = [str(sign.parent) for sign in ROOT.glob("*/__init__.py")]
            subprocess.run([sys.executable, "-m", "compileall", "-q", *rooms], check=False, capture_output=True)

    # --- what the programs are told

    def _of_the_trial(self) -> dict[str, str]:
        """Everything that a program of ours needs to know; manage.py reads the same from `environment.json`."""
        told = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "HOLDFAST_HOME": str(self.home),
            "HOLDFAST_TRIAL": "1",
            "HOLDFAST_ORIGIN": self.origin,
            "HOLDFAST_SECRET_KEY": os.environ.get("HOLDFAST_SECRET_KEY", self.places.keys["secret_key"]),
            "HOLDFAST_SEAL_KEY": os.environ.get("HOLDFAST_SEAL_KEY", self.places.keys["seal_key"]),
            **self._databases(),
            **self._brokers(),
        }
        if self.empty:
            told["HOLDFAST_EMPTY"] = "1"
        if self.estate:
            self.estate.ensure_database("estate", owner=ESTATE_ADMIN)
            told["HOLDFAST_ESTATE_DSN"] = self.estate.dsn("estate")
            told["HOLDFAST_ESTATE_LOOK_DSN"] = self.estate.dsn(
                "estate", user=ESTATE_LOOKER, password=self.estate.ensure_role(ESTATE_LOOKER, "LOGIN")
            )
            told["HOLDFAST_ESTATE_CHECKPOINTS"] = "trainer=models.checkpoint:models.newest_checkpoint"
            told["HOLDFAST_DELIVERIES"] = str(self.home / "deliveries")
            told["HOLDFAST_ESTATE_SOCKET"] = str(self.estate.socket_folder)
        return told

    def _databases(self) -> dict[str, str]:
        if self.ours is None:
            url = os.environ["DATABASE_URL"]
            return {"DATABASE_URL": url, "DATABASE_OWNER_URL": os.environ.get("DATABASE_OWNER_URL", url)}
        owner = self.ours.ensure_role(OWNER, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
        application = self.ours.ensure_role(APPLICATION, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
        self.ours.ensure_database("holdfast", owner=OWNER)
        return {
            "DATABASE_URL": self.ours.dsn("holdfast", user=APPLICATION, password=application),
            "DATABASE_OWNER_URL": self.ours.dsn("holdfast", user=OWNER, password=owner),
        }

    def _brokers(self) -> dict[str, str]:
        told = {name: os.environ[name] for name in ("BROKER_URL", "CHANNELS_URL") if name in os.environ}
        if self.valkey:
            told = {"BROKER_URL": self.valkey.broker_url(2), "CHANNELS_URL": self.valkey.url(1)} | told
        return told

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_EMPTY")}
        environment |= self._of_the_trial() | {"PYTHONUNBUFFERED": "1"}
        if account := self.places.python_account:
            environment |= {"HOME": str(self.home), "USER": account.name, "LOGNAME": account.name}
        return environment

    # --- programs

    def _prepare(self) -> None:
        """Migrations, people, policy, the estate: one program that ends, and says on its last line how to sign in."""
        log, said = self.places.logs / "prepare.log", self.places.logs / "prepare.out"
        log.unlink(missing_ok=True)
        with said.open("wb") as output:
            self.preparing = process.spawn(
                self._preparation(), account=self.places.python_account, cwd=ROOT, env=self.environment, log=log, stdout=output.fileno()
            )
        over = time.monotonic() + PREPARE_PATIENCE
        while self.preparing.poll() is None:
            self._tend()
            if time.monotonic() > over:
                raise Trouble(f"The preparation took longer than {PREPARE_PATIENCE:.0f} s. Its log, {log}, ends with:\n{process.tail(log)}")
            time.sleep(LOOK_EVERY)
        if self.preparing.returncode:
            raise Trouble(f"The preparation failed. Its log, {log}, ends with:\n{process.tail(log)}")
        self.sign_in = _last_line(said).get("sign_in", "")
        said.unlink()  # the link in it signs somebody in
        if self.places.servers_account is None or self.places.python_account is None:
            return
        with contextlib.suppress(FileNotFoundError):
            self.places.access.chmod(0o600)

    def _preparation(self) -> list[str]:
        return self._manage("prepare_trial", "--home", str(self.home), *(["--empty"] if self.empty else []))

    def _start_programs(self) -> None:
        for name, command in self._programs():
            kept = Kept(name, self._starter(name, command), log=self.places.logs / f"{name}.log")
            kept.start(time.monotonic())
            self._keep(kept)
        over = time.monotonic() + WEB_PATIENCE
        while self._ask("/livez") != 200:
            self._tend()
            if time.monotonic() > over:
                log = self.places.logs / "web.log"
                raise Trouble(f"The web server did not answer within {WEB_PATIENCE:.0f} s. Its log, {log}, ends with:\n{process.tail(log)}")
            time.sleep(LOOK_EVERY)

    def _programs(self) -> Iterator[tuple[str, list[str]]]:
        name = f"holdfast-{sha256(os.fsencode(self.home)).hexdigest()[:8]}"
        workers = str(2 if (os.cpu_count() or 1) > 3 else 1)  # every one imports everything once more before the first page
        yield (
            "web",
            [
                *(sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(self.port)),
                *("--workers", workers, "--loop", "uvloop", "--respawn-failed-workers", "--workers-kill-timeout", "2"),
                *("--no-access-log", "config.asgi:application"),
            ],
        )
        yield (
            "worker",
            [
                *(sys.executable, "-m", "celery", "-A", "config.celery:app", "worker", "--pool", "prefork", "--concurrency", "2"),
                *("--hostname", f"{name}@%h", "--without-gossip", "--without-mingle", "--loglevel", "INFO"),
            ],
        )
        for sweeper in ("sweeper-1", "sweeper-2"):
            yield sweeper, self._manage("sweep", "--name", sweeper)
        if not self.empty:
            yield "workloads", [sys.executable, "-m", "trial.workloads"]
            yield "agent", [sys.executable, "-m", "trial.agent"]

    def _manage(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *words]

    def _starter(self, name: str, command: list[str]) -> Callable[[], subprocess.Popen[bytes]]:
        log = self.places.logs / f"{name}.log"

        def start() -> subprocess.Popen[bytes]:
            start_log(log)
            return process.spawn(command, account=self.places.python_account, cwd=ROOT, env=self.environment, log=log)

        return start

    # --- keeping

    def _keep(self, kept: Kept) -> None:
        self.kept.append(kept)
        self._note()

    def _tend(self) -> None:
        told = [sentence for kept in self.kept if (sentence := kept.tend(time.monotonic()))]
        for sentence in told:
            say(sentence)
        if told:
            self._note()

    def _note(self) -> None:
        """Who runs, for the next supervisor, should this one be killed on a system that does not tell its children."""
        alive = [{"name": kept.name, "pid": kept.process.pid, "born": kept.born} for kept in self.kept if kept.process]
        write_private(self.home / "children.json", json.dumps(alive, indent=1))

    def _end_stranded(self) -> None:
        """What a killed supervisor left on this home. Its servers are left to the server's own folder, which knows how to stop them."""
        note = self.home / "children.json"
        if not note.exists():
            return
        try:
            left = json.loads(note.read_text())
        except ValueError:
            left = []
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(lambda child: process.end_stranded(child["pid"], child["born"], patience=3.0), left))
        note.unlink()

    # --- the end

    def _end(self) -> None:
        """Workers first, so that what they do is on record; then the pages; the servers at the end."""
        if self.preparing is not None and self.preparing.poll() is None:
            process.signal_group(self.preparing.pid, signal.SIGKILL)
            self.preparing.wait()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        servers = {"database", "estate", "valkey"}
        programs = [kept for kept in self.kept if kept.name not in servers]
        _end_together([kept for kept in programs if kept.name != "web"], seconds=TO_END["programs"])
        _end_together([kept for kept in programs if kept.name == "web"], seconds=TO_END["web"])
        if self.valkey:
            self.valkey.stop(seconds=TO_END["valkey"])
        clusters = [cluster for cluster in (self.ours, self.estate) if cluster]
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda cluster: cluster.stop(seconds=TO_END["clusters"]), clusters))
        for kept in self.kept:
            with contextlib.suppress(subprocess.TimeoutExpired):
                kept.end_now()
        (self.home / "children.json").unlink(missing_ok=True)

    # --- what it says

    def _greet(self) -> None:
        times = " · ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages)
        say(f"\nHoldfast is at {self.origin}\n")
        if self.sign_in:
            say(f"  Sign in, once:  {self.sign_in}")
        say(f"  For scripts:    {self.places.access}")
        say(f"  By hand:        HOLDFAST_HOME={self.home} {sys.executable} manage.py …")
        say(f"  Logs:           {self.places.logs}")
        say(f"  Servers:        {self._which_servers()}")
        if whom := self._as_whom():
            say(f"  Runs as:        {whom}")
        say(f"  State:          {self._state()}")
        say(f"\n  {times} · ready in {time.time() - self.began:.1f} s\n\nCtrl-C ends everything; the next start keeps all data.")

    def _which_servers(self) -> str:
        given = [name for name in ("DATABASE_URL", "BROKER_URL", "CHANNELS_URL") if name in os.environ]
        embedded = f"embedded, for trial and small teams; their data is in {self.places.servers}"
        return f"{embedded}; from the environment: {', '.join(given)}" if given else embedded

    def _as_whom(self) -> str:
        servers, python = self.places.servers_account, self.places.python_account
        if servers is None:
            return ""
        if python is None:
            out_of_reach = f"{servers.name} does not reach the code, {sys.executable} or home"
            return f"the invoking user, because {out_of_reach}; the servers as {servers.name}"
        return python.name

    def _state(self) -> str:
        """What /readyz says, once it had a few seconds for the first heartbeat."""
        over = time.monotonic() + 5.0
        while (status := self._ask("/readyz")) != 200 and time.monotonic() < over:
            self._tend()
            time.sleep(LOOK_EVERY * 2)
        return "ready" if status == 200 else f"not ready yet ({self.origin}/readyz says {status or 'nothing'})"

    def _ask(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2.0)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


def _end_together(group: list[Kept], *, seconds: float) -> None:
    for kept in group:
        kept.ask_to_end()
    process.wait_until(lambda: not any(kept.running for kept in group), seconds=seconds)
    for kept in group:
        kept.end_now()


def _last_line(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    try:
        said = json.loads(lines[-1]) if lines else {}
    except ValueError:
        said = {}
    return said if isinstance(said, dict) else {}


def _usable_port(wished: int | None) -> int:
    """The wished port or none; without a wish the usual one, else any."""
    if _is_free(wished or USUAL_PORT):
        return wished or USUAL_PORT
    if wished:
        raise Trouble(f"Port {wished} is taken by another program. Choose another one with --port.")
    return free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _began() -> float:
    """When the command was typed: script/up was another process then."""
    try:
        return float(os.environ["HOLDFAST_BEGAN"])
    except (KeyError, ValueError):
        return time.time()


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # a closed terminal must not end the servers in disorder
        print(line, flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; it must be a number from 1 to 65535")
    return int(text)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/up", description="Start Holdfast with everything it needs, and keep it running.")
    parser.add_argument("--home", type=Path, default=ROOT / ".holdfast", help="where state lives (default: .holdfast beside script/)")
    parser.add_argument("--port", type=_port, help=f"the port of the pages on 127.0.0.1 (default: {USUAL_PORT}, or a free one)")
    parser.add_argument("--empty", action="store_true", help="no estate, inventory or detections; the policy observes")
    options = parser.parse_args(words)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        Supervisor(options.home.absolute(), port=options.port, empty=options.empty).run()
    except Trouble as trouble:
        print(f"script/up: {trouble}", file=sys.stderr)
        return 1
    except Stopped:  # before there was anything to end
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
