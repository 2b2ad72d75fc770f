"""A new password is one that works, lies where it should, and is the only one left; whatever dies in between."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from connectors import optional
from connectors.base import Ambiguous, Foreign, ProofLevel, Rejected, State, Step, Unavailable
from connectors.postgres import PostgresConnector, rotation
from connectors.postgres.client import Client
from connectors.postgres.deliveries import Folder, Parcel
from tests.connectors.contract import KEY, Scene, lasting
from tests.connectors.people import PASSWORD, Town
from tests.connectors.test_postgres_trouble import cut_after

TO = "shop/worker"
PARCEL = Parcel("worker", KEY, "the new one")
LATER = Parcel("worker", "another attempt", "a newer one")


def rotating(town: Town, folder: Path, dsn: str = "") -> Scene:
    connector = PostgresConnector(dsn=dsn or town.dsn, secret="shared", deliveries=str(folder / "deliveries"))
    return Scene(connector, town.step("credential.rotate", deliver_to=TO))


def logs_in(town: Town, password: str) -> bool:
    try:
        psycopg.connect(town.server.dsn(town.name, user=town.worker, password=password)).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.fault("F13")
def test_a_rotation_from_the_first_look_to_the_way_back(town: Town, tmp_path: Path) -> None:
    scene = rotating(town, tmp_path)
    before, session = town.on_record(), town.work()
    exactly = town.access_lists()
    assert scene.connector.preflight(scene.step).can
    was = scene.look()
    assert not any(scene.connector.probe(scene.step, key=KEY, was=was).dead for _ in range(2))  # whoever says OK and does nothing
    effect = scene.perform(was)
    delivered = (tmp_path / "deliveries" / TO).read_text().strip()
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    assert (logs_in(town, PASSWORD), logs_in(town, delivered)) == (False, True)

    working = psycopg.connect(town.server.dsn(town.name, user=town.worker, password=delivered), autocommit=True)
    proof = scene.proof(was)
    assert (proof.dead, proof.level) == (True, ProofLevel.INTROSPECTED)
    once = town.access_lists()
    assert not scene.perform(was).changed  # the same attempt again: the same password, and nobody is cut who came since
    working.execute("SELECT 1")
    assert town.access_lists() == once
    assert town.on_record() == before  # nothing but the password is another one

    shown = json.dumps(
        [was.public, effect.said, effect.detail, list(effect.left), proof.said, proof.detail, scene.look().public], default=str
    )
    verifier = town.ask(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{town.worker}'")[0][0]
    assert not [secret for secret in (delivered, PASSWORD, verifier, was.secret["verifier"]) if secret in shown]

    kept = Step(scene.step.measure, scene.step.target, {"deliver_to": TO, "keep_new": True})
    assert not scene.connector.undo(kept, key=KEY, was=was).changed
    assert town.access_lists() == once
    assert scene.undo(was).changed
    assert not scene.undo(was).changed
    assert town.access_lists() == exactly
    assert logs_in(town, PASSWORD)
    assert not (tmp_path / "deliveries" / TO).exists()
    working.close()


@pytest.mark.fault("F1")
def test_a_rotation_that_broke_at_the_commit_is_finished_with_the_password_that_was_laid_down(town: Town, tmp_path: Path) -> None:
    was = rotating(town, tmp_path).look()
    with cut_after(town, b"ALTER ROLE", b"COMMIT") as dsn, pytest.raises(Ambiguous):
        rotating(town, tmp_path, dsn).perform(was)
    laid_down = (tmp_path / "deliveries" / TO).read_text()
    second = rotating(town, tmp_path)
    second.perform(was)
    assert second.proof(was).dead
    assert (tmp_path / "deliveries" / TO).read_text() == laid_down
    assert logs_in(town, laid_down.strip())


def test_a_password_that_somebody_else_set_is_left_alone_before_and_after(town: Town, tmp_path: Path) -> None:
    scene = rotating(town, tmp_path)
    was = scene.look()
    town.do(f"ALTER ROLE \"{town.worker}\" PASSWORD 'somebody elses'")
    for act in (scene.perform, scene.undo):
        with pytest.raises(Foreign) as refused:
            act(was)
        assert refused.value.diff["password"]["now"] == "another scram-sha-256"
    assert not (tmp_path / "deliveries" / TO).exists()
    assert logs_in(town, "somebody elses")
    now = scene.look()
    scene.perform(now)
    with pytest.raises(Rejected, match="missing"):
        scene.undo(State(now.contained, now.public, {}, now.live_sessions, now.account))
    scene.undo(now)
    assert lasting(scene.look()) == lasting(now)
    town.do(f'ALTER ROLE "{town.worker}" NOLOGIN')
    with pytest.raises(Rejected, match="may not log in"):
        scene.perform(scene.look())


def test_without_a_place_for_the_password_preflight_says_so_and_nothing_is_done(town: Town, tmp_path: Path) -> None:
    nowhere = Scene(town.connector, town.step("credential.rotate", deliver_to=TO))
    lacking = town.connector.preflight(nowhere.step)
    assert (lacking.can, len(lacking.missing)) == (False, 1)
    before = town.access_lists()
    with pytest.raises(Rejected):
        nowhere.perform(nowhere.look())
    open_folder = tmp_path / "deliveries"
    open_folder.mkdir(mode=0o755)
    open_to_all = rotating(town, tmp_path)
    assert "chmod 700" in open_to_all.connector.preflight(open_to_all.step).missing[0]
    with pytest.raises(Rejected):
        open_to_all.perform(open_to_all.look())
    assert town.access_lists() == before


def test_what_lay_there_before_waits_beside_and_comes_back(tmp_path: Path) -> None:
    deliver = Folder(str(tmp_path / "deliveries"))
    there = tmp_path / "deliveries" / "shop" / "worker"
    for parcel in (PARCEL, PARCEL, LATER, LATER):
        assert deliver(TO, parcel) == ""
    assert there.read_text() == "a newer one\n"
    assert (stat.S_IMODE(there.stat().st_mode), stat.S_IMODE(there.parent.stat().st_mode)) == (0o600, 0o700)
    for _ in range(2):
        assert deliver(TO, LATER, back=True) == ""
        assert there.read_text() == "the new one\n"
    for _ in range(2):
        assert deliver(TO, PARCEL, back=True) == ""
        assert not os.listdir(there.parent)


def test_what_somebody_else_laid_down_since_is_left_alone(tmp_path: Path) -> None:
    deliver = Folder(str(tmp_path / "deliveries"))
    there = tmp_path / "deliveries" / "shop" / "worker"
    deliver(TO, PARCEL)
    deliver(TO, LATER)
    there.write_text("theirs\n")
    assert "left as it is" in deliver(TO, LATER, back=True)
    assert there.read_text() == "theirs\n"


@pytest.mark.parametrize(
    "to", ["", "/etc/passwd", "../out", "a/../../out", ".hidden", "a//b", "a/", "a b", "a\n", "a" * 200, "a/b/c/d/e/f", None, 7]
)
def test_a_place_outside_the_folder_is_refused(tmp_path: Path, to: object) -> None:
    with pytest.raises(Rejected):
        Folder(str(tmp_path / "deliveries"))(to, PARCEL)  # type: ignore[arg-type]


@pytest.mark.parametrize("trap", ["link for the folder", "link on the way", "link for the file", "folder for the file"])
def test_no_link_leads_a_password_out_of_the_folder(tmp_path: Path, trap: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "worker").write_text("not ours")
    folder = tmp_path / "deliveries"
    if trap == "link for the folder":
        folder.symlink_to(outside)
    else:
        (folder / "shop").mkdir(parents=True, mode=0o700)
        folder.chmod(0o700)
    if trap == "link on the way":
        (folder / "shop").rmdir()
        (folder / "shop").symlink_to(outside)
    elif trap == "link for the file":
        (folder / TO).symlink_to(outside / "worker")
    elif trap == "folder for the file":
        (folder / TO).mkdir()
    with pytest.raises(Rejected):
        Folder(str(folder))(TO, PARCEL)
    assert [path.name for path in outside.rglob("*")] == ["worker"]
    assert (outside / "worker").read_text() == "not ours"


@pytest.mark.fault("F1")
def test_who_came_with_the_former_password_before_a_late_commit_is_ended_by_whoever_finishes(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = rotating(town, tmp_path).look()
    monkeypatch.setattr(rotation, "AHEAD", timedelta(seconds=-60))  # as if the commit had taken a minute
    session = town.work()
    with cut_after(town, b"ALTER ROLE", b"COMMIT") as dsn, pytest.raises(Ambiguous):
        rotating(town, tmp_path, dsn).perform(was)
    second = rotating(town, tmp_path)
    assert not second.connector.probe(second.step, key=KEY, was=was).dead
    session.execute("SELECT 1")
    monkeypatch.undo()
    second.perform(was)
    assert second.proof(was).dead
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    once = town.access_lists()
    assert not second.perform(was).changed
    assert town.access_lists() == once


@pytest.mark.parametrize("former", ["", "the former one\n"])
def test_where_the_role_refuses_the_new_password_what_lay_there_before_is_back(town: Town, tmp_path: Path, former: str) -> None:
    there = tmp_path / "deliveries" / TO
    if former:
        there.parent.mkdir(parents=True, mode=0o700)
        there.parent.parent.chmod(0o700)
        there.write_text(former)
    us = f"{town.name}_us"
    town.roles.append(us)
    town.do(
        f"CREATE ROLE \"{us}\" LOGIN PASSWORD '{PASSWORD}'", f'GRANT pg_read_all_stats TO "{us}"', f'GRANT SELECT ON pg_authid TO "{us}"'
    )
    town.do(f'GRANT CONNECT ON DATABASE "{town.name}" TO "{us}"')
    try:
        scene = rotating(town, tmp_path, psycopg.conninfo.make_conninfo(town.dsn, user=us, password=PASSWORD))
        with pytest.raises(Rejected):
            scene.perform(scene.look())
        assert logs_in(town, PASSWORD)
        assert [path.read_text() for path in there.parent.iterdir()] == ([former] if former else [])
    finally:
        town.do(f'DROP OWNED BY "{us}"')


def test_a_password_that_lost_a_race_is_not_left_lying_there(town: Town, tmp_path: Path) -> None:
    scene = rotating(town, tmp_path)
    was = scene.look()
    with cut_after(town, b"ALTER ROLE") as dsn, pytest.raises(Unavailable):
        rotating(town, tmp_path, dsn).perform(was)
    scene.perform(was)
    town.do(f"ALTER ROLE \"{town.worker}\" PASSWORD 'somebody elses'")
    with pytest.raises(Foreign, match="after us"):
        scene.undo(was)
    assert not (tmp_path / "deliveries" / TO).exists()
    assert logs_in(town, "somebody elses")


def test_making_it_again_does_not_take_what_somebody_else_set_meanwhile(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = rotating(town, tmp_path)
    was, change, calls = scene.look(), Client.change, []

    def somebody_comes_between(client: Client, work: object, *, seconds: float) -> object:
        calls.append(work)
        if len(calls) == 2:
            town.do(f"ALTER ROLE \"{town.worker}\" PASSWORD 'somebody elses'")
        return change(client, work, seconds=seconds)  # type: ignore[arg-type]

    monkeypatch.setattr(Client, "change", somebody_comes_between)
    with pytest.raises(Foreign, match="after us"):
        scene.perform(was)
    assert logs_in(town, "somebody elses")
    assert not (tmp_path / "deliveries" / TO).exists()


@pytest.mark.parametrize("keep_new", [True, False])
def test_a_copy_of_the_former_password_is_kept_no_longer_than_it_can_be_needed(town: Town, tmp_path: Path, keep_new: bool) -> None:
    there = tmp_path / "deliveries" / TO
    there.parent.mkdir(parents=True, mode=0o700)
    there.parent.parent.chmod(0o700)
    there.write_text("the leaked one\n")
    scene = rotating(town, tmp_path)
    step = Step(scene.step.measure, scene.step.target, {"deliver_to": TO, "keep_new": keep_new})
    was = scene.connector.look(step)
    optional.forget(scene.connector, step, key=KEY)  # nothing is issued yet
    scene.connector.perform(step, key=KEY, was=was)
    delivered = there.read_text()
    assert len(list(there.parent.iterdir())) == (1 if keep_new else 2)
    for _ in range(2):
        optional.forget(scene.connector, step, key=KEY)
    assert [path.read_text() for path in there.parent.iterdir()] == [delivered]
    assert logs_in(town, delivered.strip())


@pytest.mark.fault("F1")
def test_a_copy_of_a_leaked_password_goes_with_the_undo_where_the_worker_died_before_it_could_remove_it(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, scene = tmp_path / "deliveries" / TO, rotating(town, tmp_path)
    step = Step(scene.step.measure, scene.step.target, {"deliver_to": TO, "keep_new": True})
    Folder(str(tmp_path / "deliveries"))(TO, PARCEL)
    was = scene.connector.look(step)
    monkeypatch.setattr(rotation, "TRIES", 0)
    with pytest.raises(Ambiguous, match="may live on"):  # the role was changed: it is looked at before anything else
        scene.connector.perform(step, key=KEY, was=was)
    assert len(list(there.parent.iterdir())) == 2
    assert not scene.connector.probe(step, key=KEY, was=was).dead
    scene.connector.undo(step, key=KEY, was=was)
    assert logs_in(town, there.read_text().strip())
    assert len(list(there.parent.iterdir())) == 1


def test_what_may_be_all_that_anybody_has_is_not_forgotten(town: Town, tmp_path: Path) -> None:
    """The parcel lies there, and the role has its former password still."""
    there, deliver = tmp_path / "deliveries" / TO, Folder(str(tmp_path / "deliveries"))
    deliver(TO, PARCEL)
    scene = rotating(town, tmp_path)
    deliver(TO, Parcel(town.worker, KEY, "laid down and never made the role's"))
    optional.forget(scene.connector, scene.step, key=KEY)
    assert sorted(path.read_text() for path in there.parent.iterdir()) == ["laid down and never made the role's\n", "the new one\n"]


def test_asking_whether_it_could_be_done_makes_no_folder(tmp_path: Path) -> None:
    assert Folder(str(tmp_path / "deliveries"))(TO, None) == ""
    assert not list(tmp_path.iterdir())
    with pytest.raises(Rejected, match="make the folder"):
        Folder(str(tmp_path / "not" / "there"))(TO, None)


@contextmanager
def trusting(town: Town) -> Iterator[None]:
    """The server asks the worker for no password."""
    rules = town.server.data / "pg_hba.conf"
    former = rules.read_text()
    line = f'host all "{town.worker}" 127.0.0.0/8 trust\n'
    try:
        rules.write_text(line + former)
        _reload(town, trusts=True)
        yield
    finally:
        rules.write_text(former)
        _reload(town, trusts=False)


def _reload(town: Town, *, trusts: bool) -> None:
    town.do("SELECT pg_reload_conf()")
    ends = time.monotonic() + 10
    while logs_in(town, "any at all") is not trusts:
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.fault("F5")
def test_where_the_server_asks_for_no_password_a_rotation_is_never_proven(town: Town, tmp_path: Path) -> None:
    with trusting(town):
        scene = rotating(town, tmp_path)
        was = scene.look()
        scene.perform(was)
        proofs = [scene.connector.probe(scene.step, key=KEY, was=was) for _ in range(2)]
        assert not any(proof.dead for proof in proofs)
        assert "any password" in proofs[0].said
