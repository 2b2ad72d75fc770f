"""The embedded cluster keeps its data, its port and its doors."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from embedded import process
from embedded.account import for_servers
from embedded.postgres import LONGEST_SOCKET_FOLDER, Postgres, copied_binaries
from embedded.trouble import Trouble
from tests.servers import temporary_folder


@pytest.fixture
def server():
    made = Postgres(temporary_folder("postgres"), account=for_servers())
    made.start()
    yield made
    made.stop()


def test_what_was_committed_is_there_after_a_power_cut(server):
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("create table kept (word text)")
        connection.execute("insert into kept values ('still here')")
    port = server.port
    server.kill()
    server.start()
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("select word from kept").fetchone() == ("still here",)
    assert server.port == port


def test_nobody_enters_without_the_password(server):
    for address in (server.dsn(password="wrong"), server.socket_dsn(password="wrong")):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address)
    assert stat.S_IMODE((server.folder / "server.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(server.socket_folder.stat().st_mode) == 0o700
    assert server.dsn().split(":")[2].split("@")[0] not in process.command_of(server.process.pid)


def test_both_doors_lead_to_the_same_server(server):
    with psycopg.connect(server.dsn()) as by_network, psycopg.connect(server.socket_dsn()) as by_socket:
        ask = "select inet_client_addr()::text, (select system_identifier from pg_control_system())"
        (outer,), (inner,) = by_network.execute(ask).fetchall(), by_socket.execute(ask).fetchall()
    assert outer[0] == "127.0.0.1/32"
    assert inner[0] is None
    assert outer[1] == inner[1]


def test_an_application_role_cannot_do_what_its_owner_can(server):
    owner = server.ensure_role("holdfast_owner")
    application = server.ensure_role("holdfast_app", "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
    server.ensure_database("holdfast", owner="holdfast_owner")
    with psycopg.connect(server.dsn("holdfast", user="holdfast_owner", password=owner)) as connection:
        connection.execute("create table things (word text)")
    with (
        psycopg.connect(server.dsn("holdfast", user="holdfast_app", password=application)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("drop table things")
    assert server.ensure_role("holdfast_app", "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE") == application


def test_data_of_another_major_version_is_refused_with_the_way_out(server):
    server.stop()
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(Trouble, match=r"belongs to PostgreSQL 17, and .* brings PostgreSQL 18\. The way out: .*pg_dumpall"):
        server.start()
    assert server.process is None


def test_a_lock_file_that_names_a_stranger_does_not_stop_the_start(server):
    server.kill()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lock = server.data / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        server.start()
        assert server.answers()
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_server_left_on_the_data_is_stopped_before_a_new_one_starts(server):
    left = server.process
    again = Postgres(server.folder, account=server.account)
    again.start()
    try:
        assert left.wait(5) == 0
        assert again.answers()
    finally:
        again.stop()


def test_a_copy_of_the_binaries_makes_and_runs_a_cluster(monkeypatch):
    folder = temporary_folder("copied")
    copied = copied_binaries(for_servers(), folder / "binaries")
    assert copied == copied_binaries(for_servers(), folder / "binaries")
    monkeypatch.setattr("embedded.postgres.installed_binaries", lambda: copied)
    server = Postgres(folder / "cluster", account=for_servers())
    server.start()
    try:
        assert server.process is not None
        assert str(copied) in process.command_of(server.process.pid)
    finally:
        server.stop()


def test_an_unfinished_cluster_is_made_anew():
    folder = temporary_folder("unfinished")
    (folder / "data.part" / "base").mkdir(parents=True)
    server = Postgres(folder, account=for_servers())
    server.start()
    try:
        assert server.answers()
    finally:
        server.stop()


def test_a_long_path_gets_its_sockets_in_a_short_one_and_keeps_them():
    folder = temporary_folder("long") / ("x" * LONGEST_SOCKET_FOLDER)
    server = Postgres(folder, account=for_servers())
    server.start()
    first = server.socket_folder
    try:
        psycopg.connect(server.socket_dsn()).close()
        assert len(str(first)) <= LONGEST_SOCKET_FOLDER
    finally:
        server.stop()
    server.start()
    server.stop()
    assert server.socket_folder == first
    first.rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died; elsewhere the next start ends it")
def test_the_server_ends_when_its_parent_is_killed():
    folder = temporary_folder("orphaned")
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            from pathlib import Path
            from embedded.account import for_servers
            from embedded.postgres import Postgres
            server = Postgres(Path({str(folder)!r}), account=for_servers())
            server.start()
            print(server.process.pid, flush=True)
            input()
        """)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    born = process.birth(pid)
    assert born
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert process.wait_until(lambda: process.birth(pid) != born, seconds=10)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_the_state_file_holds_what_the_next_start_needs(server):
    state = json.loads((server.folder / "server.json").read_text())
    assert state["port"] == str(server.port)
    assert state["socket_folder"] == str(server.socket_folder)
