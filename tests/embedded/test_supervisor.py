"""Supervising: what dies comes back, one Ctrl-C ends everything, and a killed supervisor leaves nothing that stops the next one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.account import for_servers
from embedded.places import ROOT
from embedded.postgres import free_port
from embedded.process import birth, wait_until
from embedded.supervisor import TO_END
from tests.servers import temporary_folder

pytestmark = pytest.mark.servers
OWN_WORDS = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "BROKER_URL",
    "CHANNELS_URL",
    "HOLDFAST_APP_ROLE",
    "HOLDFAST_SECRET_KEY",
    "HOLDFAST_SEAL_KEY",
)


class Running:
    def __init__(self, home: Path, *words: str, **more: str) -> None:
        self.home, self.port = home, free_port()
        self.output = home.parent / f"{home.name}.{self.port}.out"
        environment = {name: value for name, value in os.environ.items() if name not in OWN_WORDS} | more
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.embedded.small_trial", "--home", str(home), "--port", str(self.port), *words],
                cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ready(self) -> Running:
        assert wait_until(lambda: "Ctrl-C ends everything" in self.said() or self.process.poll() is not None, seconds=60)
        assert self.process.poll() is None, self.said()
        return self

    def said(self) -> str:
        return self.output.read_text()

    def children(self) -> dict[str, tuple[int, str]]:
        return {child["name"]: (child["pid"], child["born"]) for child in json.loads((self.home / "children.json").read_text())}

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def pages_answer(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=2).status == 200)
        except OSError:
            return False

    def environment(self) -> dict[str, str]:
        return dict(json.loads((self.home / "environment.json").read_text()))

    def database_answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.environment()["DATABASE_URL"], connect_timeout=2).close()
            return True
        return False


def gone(child: tuple[int, str]) -> bool:
    pid, born = child
    return birth(pid) != born


def room() -> Path:
    """A folder that servers' account and invoking user both reach, as a checkout in an ordinary place is."""
    folder = temporary_folder("supervisor")
    folder.chmod(0o755)
    return folder


@pytest.fixture
def trial() -> Iterator[Running]:
    running = Running(room() / "home").ready()
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """For tests that leave it as they found it."""
    running = Running(room() / "home").ready()
    yield running
    running.end(signal.SIGTERM)


def test_it_says_where_it_is_and_how_long_each_stage_took(shared):
    said = shared.said()
    assert f"Holdfast is at http://127.0.0.1:{shared.port}" in said
    assert "Sign in, once:  http://example/once" in said
    assert re.search(r"servers \d+\.\d s · prepared \d+\.\d s · web \d+\.\d s · ready in \d+\.\d s", said)
    assert not (shared.home / "log" / "prepare.out").exists()  # the link in it would sign in whoever reads it


def test_the_application_role_is_not_the_owner(shared):
    told = shared.environment()
    with psycopg.connect(told["DATABASE_URL"]) as application, psycopg.connect(told["DATABASE_OWNER_URL"]) as owner:
        ask = (
            "select current_user, pg_get_userbyid(datdba), rolsuper from pg_database, pg_roles "
            "where datname = current_database() and rolname = current_user"
        )
        assert application.execute(ask).fetchone() == ("holdfast_app", "holdfast_owner", False)
        assert owner.execute(ask).fetchone() == ("holdfast_owner", "holdfast_owner", False)
    with psycopg.connect(told["HOLDFAST_ESTATE_DSN"]) as estate:
        assert estate.execute("select current_user, current_database()").fetchone() == ("estate_admin", "estate")
    with psycopg.connect(told["HOLDFAST_ESTATE_LOOK_DSN"]) as looker:
        assert looker.execute("select current_user, rolsuper from pg_roles where rolname = current_user").fetchone() == (
            "holdfast_look",
            False,
        )
    assert told["BROKER_URL"].startswith("redis+socket://")
    assert told["CHANNELS_URL"].startswith("unix://")
    for private in ("environment.json", "keys.json"):
        assert stat.S_IMODE((shared.home / private).stat().st_mode) == 0o600


def test_a_second_start_on_the_same_home_is_refused(shared):
    second = Running(shared.home)
    assert second.process.wait(30) == 1
    assert f"Holdfast already runs on {shared.home} (process {shared.process.pid}, http://127.0.0.1:{shared.port})" in second.said()
    assert shared.pages_answer()


@pytest.mark.parametrize("name", ["web", "worker", "database", "valkey"])
def test_what_is_killed_comes_back_in_the_same_place(shared, name):
    told = shared.environment()
    old = shared.children()[name]
    os.kill(old[0], signal.SIGKILL)
    assert wait_until(lambda: shared.children().get(name, old) != old, seconds=20)
    assert wait_until(lambda: shared.pages_answer() and shared.database_answers(), seconds=20)
    assert shared.environment() == told
    assert f"{name} ended (signal SIGKILL); it starts again in 0.2 s" in shared.said()


def test_ctrl_c_ends_every_process_even_one_that_refuses():
    running = Running(room() / "home", SMALL_TRIAL_STUBBORN="1").ready()
    children = running.children()
    assert set(children) == {"web", "worker", "stubborn", "database", "estate", "valkey"}
    assert running.end(signal.SIGINT) == 0
    assert "Everything ended after" in running.said()
    assert sum(TO_END.values()) < 10
    assert all(gone(child) for child in children.values())


def test_all_data_is_there_at_the_next_start(trial):
    with psycopg.connect(trial.environment()["DATABASE_OWNER_URL"]) as connection:
        connection.execute("create table kept as select 'still here' as word")
    keys = (trial.home / "keys.json").read_text()
    trial.end(signal.SIGTERM)
    again = Running(trial.home).ready()
    try:
        with psycopg.connect(again.environment()["DATABASE_OWNER_URL"]) as connection:
            assert connection.execute("select word from kept").fetchone() == ("still here",)
        assert (trial.home / "keys.json").read_text() == keys
    finally:
        again.end()


def test_a_killed_supervisor_leaves_nothing_that_stops_the_next_one(trial):
    children = trial.children()
    trial.end(signal.SIGKILL)
    again = Running(trial.home).ready()
    try:
        assert all(gone(child) for child in children.values())
        assert again.database_answers()
    finally:
        again.end()


def test_without_an_estate_there_is_none():
    running = Running(room() / "home", "--empty").ready()
    try:
        assert "estate" not in running.children()
        told = json.loads((running.home / "told.json").read_text())
        assert told["HOLDFAST_EMPTY"] == "1"
        assert "HOLDFAST_ESTATE_DSN" not in told
    finally:
        running.end()


def test_servers_named_in_the_environment_are_used_instead(database_server, valkey):
    given = {
        "DATABASE_URL": database_server.dsn("holdfast"),
        "BROKER_URL": valkey.broker_url(2),
        "CHANNELS_URL": valkey.url(1),
    }
    running = Running(room() / "home", "--empty", **given).ready()
    try:
        assert set(running.children()) == {"web", "worker"}
        assert running.environment().items() >= given.items()
        assert "from the environment: DATABASE_URL, BROKER_URL, CHANNELS_URL" in running.said()
    finally:
        running.end()


def test_a_taken_port_is_refused_with_a_sentence(shared):
    home = room() / "home"
    second = subprocess.run(
        [sys.executable, "-m", "tests.embedded.small_trial", "--home", str(home), "--port", str(shared.port)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert second.stderr == f"script/up: Port {shared.port} is taken by another program. Choose another one with --port.\n"


@pytest.mark.skipif(for_servers() is None, reason="only root hands its servers to another account")
def test_a_home_behind_a_closed_folder_stays_closed_and_points_elsewhere():
    closed = temporary_folder("closed")
    os.chown(closed, 0, 0)
    running = Running(closed / "home").ready()
    try:
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        elsewhere = Path((running.home / "servers-are-in").read_text().strip())
        assert closed not in elsewhere.parents
        assert (elsewhere / "ours" / "data" / "PG_VERSION").exists()
        assert running.database_answers()
        running.end()
        again = Running(running.home).ready()
        assert (running.home / "servers-are-in").read_text().strip() == str(elsewhere)
        again.end()
    finally:
        running.end(signal.SIGTERM)
        subprocess.run(["rm", "-rf", str(elsewhere)], check=True)


@pytest.mark.skipif(for_servers() is None, reason="only root hands its servers to another account")
def test_a_pointer_to_a_folder_that_is_gone_is_not_a_fresh_start():
    home = room() / "home"
    home.mkdir()
    (home / "servers-are-in").write_text("/nowhere/at/all\n")
    running = Running(home)
    assert running.process.wait(30) == 1
    assert "that folder is gone. Bring it back, or choose another --home" in running.said()
