"""One RabbitMQ node for tests, of the same shape as embedded/valkey.py: made, started, killed, started again, stopped.

Debian's package (`apt-get install rabbitmq-server`) or another one brings the programs; a service that it may run is left alone. The node
listens on the loopback address alone, with a name server (epmd) of its own, which is a child of ours like the node itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from embedded.account import Account, for_servers, give, private_folder
from embedded.postgres import free_port, write_private
from embedded.process import spawn, tail
from embedded.trouble import Trouble

DEBIANS = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # what stands in PATH there insists on an account and folders of its own
LACKING = "RabbitMQ is not installed here. On Debian: sudo apt-get install -y rabbitmq-server"
CHOSEN = os.environ.get("HOLDFAST_TEST_BROKER") == "rabbitmq"  # by who starts the tests: the whole suite then speaks to a node of its own
PATIENCE_S = 120.0
NODE = "holdfast@localhost"


def program() -> str | None:
    return str(DEBIANS) if DEBIANS.exists() else shutil.which("rabbitmq-server")


def chosen(folder: Path) -> Rabbitmq | None:
    """A node of one's own, ready, where the tests are to run on RabbitMQ."""
    if not CHOSEN:
        return None
    node = Rabbitmq(folder, account=for_servers())
    node.start()
    return node


class Rabbitmq:
    """A node whose data lies in `folder`."""

    def __init__(self, folder: Path, *, account: Account | None = None) -> None:
        self.folder = folder
        self.account = account
        self.log = folder / "rabbitmq.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.names: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_urlsafe(24)
        self.port, self.names_port, self._peers_port = free_port(), free_port(), free_port()

    # --- its life

    def start(self) -> None:
        self.prepare()
        self.launch()
        self.wait()

    def prepare(self) -> None:
        private_folder(self.folder, self.account)
        for name, content in (("rabbitmq.conf", self._configuration()), ("plugins", "[].\n")):
            write_private(self.folder / name, content)
            give(self.account, self.folder / name)

    def launch(self) -> None:
        """Like a service manager it is told that it need not stay behind a shell, so that it is this process that is signalled."""
        found = program()
        if found is None:
            raise Trouble(LACKING)
        if self.names is None:
            names = ["epmd", "-port", str(self.names_port), "-address", "127.0.0.1"]
            self.names = spawn(names, account=self.account, cwd=self.folder, env={"PATH": os.defpath}, log=self.log)
        self.process = spawn([found], account=self.account, cwd=self.folder, env=self._environment(), log=self.log)

    def wait(self, seconds: float = PATIENCE_S) -> None:
        over = time.monotonic() + seconds
        while not self.answers():
            if not self.running or time.monotonic() >= over:
                raise Trouble(f"RabbitMQ in {self.folder} did not start. Its log, {self.log}, ends with:\n{tail(self.log)}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """It speaks first once it heard what is spoken here."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as line:
                line.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(line.recv(1))
        except OSError:
            return False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """What a power cut does to it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """It takes connections, and never answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def send(self, number: signal.Signals) -> None:
        """As to a program that somebody keeps running: one that was killed comes again."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()
            self.launch()

    def stop(self, seconds: float = 5.0) -> None:
        for process in (self.process, self.names):
            if process is None:
                continue
            for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 2.0)):
                if process.poll() is None:
                    process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(patience)
        self.process = self.names = None

    # --- how to reach it

    def broker_url(self) -> str:
        return f"amqp://holdfast:{self.password}@127.0.0.1:{self.port}//"

    def _configuration(self) -> str:
        lines = {
            "listeners.tcp.default": f"127.0.0.1:{self.port}",
            "default_user": "holdfast",
            "default_pass": self.password,
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            "raft.wal_max_size_bytes": "8000000",
            "disk_free_limit.absolute": "50MB",
        }
        return "".join(f"{name} = {value}\n" for name, value in lines.items())

    def _environment(self) -> dict[str, str]:
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.names_port),
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._peers_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "nothing"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none {local}",
        }
