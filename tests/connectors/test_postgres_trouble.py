"""What goes wrong between us and PostgreSQL, said so that the engine does the right thing next."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.base import Ambiguous, LockedOut, Rejected, Step, Unavailable
from connectors.postgres import PostgresConnector
from connectors.postgres.evidence import redacted
from embedded.process import wait_until
from tests.connectors.contract import KEY, Scene
from tests.connectors.people import PASSWORD, Town


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def cut_after(town: Town, *words: bytes) -> Iterator[str]:
    """A line to the server that carries `words` through, in this order, and then breaks without an answer. Yields its DSN."""
    listener = socket.create_server(("127.0.0.1", 0))
    lines: list[socket.socket] = []
    carriers: list[threading.Thread] = []

    def carry(source: socket.socket, target: socket.socket, *, watched: bool) -> None:
        waiting = list(words)
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                last = watched and len(waiting) == 1 and waiting[0] in chunk
                if last:
                    source.shutdown(socket.SHUT_RDWR)
                elif watched and waiting[0] in chunk:
                    waiting.pop(0)
                target.sendall(chunk)
                if last:
                    break
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", int(conninfo_to_dict(town.dsn)["port"] or 0)))
                lines.extend((client, server))
                for source, target, watched in ((client, server, True), (server, client, False)):
                    carriers.append(threading.Thread(target=carry, args=(source, target), kwargs={"watched": watched}))
                    carriers[-1].start()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield make_conninfo(town.dsn, host="127.0.0.1", port=listener.getsockname()[1])
    finally:
        for line in (listener, *lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in (serving, *carriers):
            thread.join()
        for line in (listener, *lines):
            line.close()


def shortly(step: Step) -> Step:
    return Step(step.measure, step.target, step.parameters, deadline_s=2)


def test_a_closed_port_is_unavailable(town: Town) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    connector = PostgresConnector(dsn=make_conninfo(town.dsn, host="127.0.0.1", port=closed))
    with pytest.raises(Unavailable):
        connector.look(town.step("credential.revoke"))


def test_a_server_that_takes_the_call_and_says_nothing_is_unavailable(town: Town, silent: int) -> None:
    connector = PostgresConnector(dsn=make_conninfo(town.dsn, host="127.0.0.1", port=silent))
    with pytest.raises(Unavailable):
        connector.look(shortly(town.step("credential.revoke")))


@pytest.mark.fault("C8")
def test_a_lock_that_somebody_keeps_is_unavailable_and_nothing_was_done(town: Town) -> None:
    scene = Scene(town.connector, shortly(town.step("workload.isolate")))
    was = scene.look()
    with psycopg.connect(town.dsn) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [0x686F6C6466617374])
        with pytest.raises(Unavailable):
            scene.perform(was)
    assert not scene.look().contained


@pytest.mark.fault("F1")
@pytest.mark.fault("F1")
def test_a_line_that_breaks_at_the_commit_is_ambiguous_and_looking_tells(town: Town) -> None:
    scene = Scene(town.connector, town.step("workload.isolate"))
    was = scene.look()
    with cut_after(town, b"ALTER ROLE", b"COMMIT") as dsn, pytest.raises(Ambiguous):
        PostgresConnector(dsn=dsn, secret="as before").perform(scene.step, key=KEY, was=was)
    assert wait_until(lambda: scene.proof(was).dead, seconds=20), "the server may still be committing"
    scene.undo(was)
    town.books(town.work())


def test_a_line_that_breaks_before_the_commit_is_unavailable_and_nothing_was_done(town: Town) -> None:
    scene = Scene(town.connector, town.step("workload.isolate"))
    was = scene.look()
    with cut_after(town, b"ALTER ROLE") as dsn, pytest.raises(Unavailable):
        PostgresConnector(dsn=dsn).perform(scene.step, key=KEY, was=was)
    assert not scene.look().contained


def test_a_second_worker_proves_what_the_first_one_did(town: Town) -> None:
    step = town.step("credential.revoke")
    first, second = (PostgresConnector(dsn=town.dsn, secret="shared") for _ in range(2))
    was = first.look(step)
    first.perform(step, key=KEY, was=was)
    assert second.probe(step, key=KEY, was=was).level == "replayed"


@pytest.mark.parametrize("measure", ["credential.revoke", "session.pause", "evidence.preserve"])
def test_a_role_that_is_not_there_is_rejected(town: Town, measure: str) -> None:
    town.worker = "nobody_of_that_name"
    with pytest.raises(Rejected, match="no role"):
        town.connector.look(town.step(measure))
    town.worker = town.roles[0]


@pytest.mark.parametrize("parameters", [{"schemas": "payments"}, {"mode": "sideways"}, {"schemas": [1]}])
def test_parameters_that_mean_nothing_are_rejected(town: Town, parameters: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        town.connector.look(town.step("session.restrict", **parameters))


@pytest.mark.fault("F4")
def test_a_wrong_password_of_our_own_is_rejected_without_saying_it(town: Town) -> None:
    connector = PostgresConnector(dsn=make_conninfo(town.dsn, password="our own secret"))
    with pytest.raises(LockedOut, match="our own credential") as refused:
        connector.look(town.step("session.pause"))
    assert "our own secret" not in refused.value.said


def test_without_the_rights_preflight_names_the_statement_that_gives_them(town: Town) -> None:
    town.do(f"CREATE ROLE \"{town.name}_us\" LOGIN PASSWORD '{PASSWORD}'", f'GRANT CONNECT ON DATABASE "{town.name}" TO "{town.name}_us"')
    town.roles.append(f"{town.name}_us")
    connector = PostgresConnector(dsn=make_conninfo(town.dsn, user=f"{town.name}_us", password=PASSWORD))
    for measure in ("credential.revoke", "session.pause"):
        step = town.step(measure)
        lacking = connector.preflight(step)
        assert not lacking.can
        town.do(*lacking.remedy)
        while (lacking := connector.preflight(step)).remedy:  # a grantor may be named once the first right is there
            town.do(*lacking.remedy)
        assert connector.preflight(step).can
        scene = Scene(connector, step)
        before = town.access_lists()
        was = scene.look()
        scene.perform(was)
        assert scene.proof(was).dead
        scene.undo(was)
        assert town.access_lists() == before
    town.do(f'DROP OWNED BY "{town.name}_us"')


def test_somebody_who_keeps_granting_on_the_same_tables_only_delays_us(town: Town) -> None:
    stop = threading.Event()

    def keep_granting() -> None:
        with psycopg.connect(town.dsn, autocommit=True) as other:
            while not stop.is_set():
                for word, joint in (("GRANT", "TO"), ("REVOKE", "FROM")):
                    try:
                        other.execute(f'{word} SELECT ON payments.ledger, "The Vault".cards {joint} "{town.friend}"')
                    except (psycopg.errors.InternalError_, psycopg.errors.DeadlockDetected):
                        continue

    granting = threading.Thread(target=keep_granting)
    granting.start()
    try:
        scene = Scene(town.connector, Step(town.step("session.pause").measure, town.step("session.pause").target, {}, deadline_s=20))
        was = scene.look()
        for act in (scene.perform, scene.undo):
            for _ in range(20):  # as the engine would
                with contextlib.suppress(Unavailable):
                    act(was)
                    break
            else:
                pytest.fail("it was kept from acting for ever")
    finally:
        stop.set()
        granting.join()
    town.books(town.work())


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'it''s' AND b = 42", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("ALTER ROLE x PASSWORD 'secret'", "ALTER ROLE x PASSWORD ?"),
        (r"SELECT E'a\'b secret', 1", "SELECT ?, ?"),
        ("SELECT $tag$ it's secret $tag$, $$secret$$", "SELECT ?, ?"),
        ("SELECT $1, t2.c3 FROM t2", "SELECT $1, t2.c3 FROM t2"),
        ('SELECT "a name" FROM "t-1"', 'SELECT "a name" FROM "t-1"'),
        ("SELECT 1 -- secret\nFROM t /* secret */", "SELECT ? ?\nFROM t ?"),
        ("SELECT 0xDEADBEEF, 1.5e-3, U&'d\\0061t', B'101'", "SELECT ?, ?, ?, ?"),
        ("INSERT INTO t VALUES ('cut off by the serv", "INSERT INTO t VALUES (?"),
        ("SELECT $x$ cut off", "SELECT ?"),
        ("COPY t FROM STDIN /* cut off", "COPY t FROM STDIN ?"),
    ],
)
def test_statements_are_kept_without_their_values(statement: str, shown: str) -> None:
    assert redacted(statement) == shown
