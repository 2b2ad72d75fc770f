"""What each measure means for the people and programs that use the role, and what remains afterwards."""

from __future__ import annotations

import json

import psycopg
import pytest

from connectors.base import Foreign, ProofLevel, Rejected, State
from connectors.postgres import PostgresConnector
from tests.connectors.contract import KEY, Scene, lasting
from tests.connectors.people import PASSWORD, Town


def cut(town: Town, measure: str, **parameters: object) -> tuple[Scene, State]:
    scene = Scene(town.connector, town.step(measure, **parameters))
    was = scene.look()
    scene.perform(was)
    return scene, was


def test_a_restricted_session_goes_on_booking_and_no_longer_reaches_the_vault(town: Town) -> None:
    session = town.work()
    assert town.reads_the_vault(session)
    scene, was = cut(town, "session.restrict", schemas=["payments"], allow_new_sessions=True)
    proof = scene.proof(was)
    assert proof.dead
    assert proof.level is ProofLevel.INTROSPECTED
    assert not proof.left
    again = town.work()
    for one in (session, again):
        town.books(one)
        assert not town.reads_the_vault(one)


def test_reading_may_go_on_where_only_writing_is_taken(town: Town) -> None:
    session = town.work()
    cut(town, "session.restrict", mode="write", allow_new_sessions=True)
    assert session.execute("SELECT count(*) FROM payments.ledger").fetchone()
    assert town.reads_the_vault(session)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        town.books(session)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SELECT nextval('\"The Vault\".numbers')")


def test_a_paused_session_is_stopped_in_the_middle_of_its_statement_and_lives(town: Town) -> None:
    session = town.work()
    session.pgconn.send_query(b"SELECT pg_sleep(600)")
    scene, was = cut(town, "session.pause")
    assert scene.proof(was).dead
    result = None
    while more := session.pgconn.get_result():
        result = more
    assert result is not None
    assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        town.books(session)
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        town.work()


@pytest.mark.fault("F12")
def test_a_revoked_role_is_told_at_the_door_that_it_may_not_log_in(town: Town) -> None:
    session = town.work()
    scene, was = cut(town, "credential.revoke")
    proof = scene.proof(was)
    assert (proof.dead, proof.level) == (True, ProofLevel.REPLAYED)
    assert "is not permitted to log in" in proof.detail["answer"]
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        town.work()
    assert town.ask(f"SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = '{town.worker}'") == [(False, None)]


def test_a_proof_that_got_lost_can_be_had_again_at_the_same_level(town: Town) -> None:
    scene, was = cut(town, "credential.revoke")
    assert [scene.proof(was).level for _ in range(2)] == [ProofLevel.REPLAYED] * 2
    assert town.ask(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{town.worker}'") == [(None,)]


def test_the_old_password_lets_in_again_after_undo_and_all_is_as_postgresql_had_it(town: Town) -> None:
    before = town.access_lists()
    scene, was = cut(town, "credential.revoke")
    assert scene.proof(was).dead
    scene.undo(was)
    assert town.access_lists() == before
    town.books(town.work())


def test_an_isolated_role_keeps_its_password_and_finds_the_door_closed(town: Town) -> None:
    town.work()
    scene, was = cut(town, "workload.isolate")
    assert scene.proof(was).dead
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        town.work()
    scene.undo(was)
    town.books(town.work())


def test_spared_origins_live_on_and_all_the_others_end(town: Town) -> None:
    spared, other = town.work("pay-main"), town.work("somebody")
    scene, was = cut(town, "session.terminate", spare=[{"address": "127.0.0.1", "application": "pay-main"}])
    assert scene.proof(was).dead
    town.books(spared)
    with pytest.raises(psycopg.OperationalError):
        town.books(other)


def test_an_origin_is_an_address_and_an_application(town: Town) -> None:
    session = town.work("pay-main")
    scene, was = cut(town, "session.terminate", spare=[{"address": "203.0.113.9", "application": "pay-main"}])
    assert scene.proof(was).dead
    with pytest.raises(psycopg.OperationalError):
        town.books(session)
    with pytest.raises(Rejected):
        cut(town, "session.terminate", spare=[{"application": "pay-main"}])


def test_ending_sessions_again_later_cuts_nobody_who_came_since(town: Town) -> None:
    town.work()
    scene, was = cut(town, "session.terminate")
    assert scene.proof(was).dead
    newer = town.work()
    assert not scene.perform(was).changed
    assert scene.proof(was).dead
    town.books(newer)


@pytest.mark.parametrize(
    ("way", "statement", "expected"),
    [
        ("through PUBLIC", 'GRANT SELECT ON "The Vault".cards TO PUBLIC', 'SELECT on table "The Vault".cards'),
        (
            "through membership in {crew}",
            'GRANT SELECT ON "The Vault".cards TO "{crew}"; GRANT "{crew}" TO "{worker}"',
            '"The Vault".cards',
        ),
        ("as its owner", 'CREATE TABLE "The Vault".mine (); ALTER TABLE "The Vault".mine OWNER TO "{worker}"', '"The Vault".mine'),
        ("through pg_read_all_data", 'GRANT pg_read_all_data TO "{worker}"', '"The Vault".cards'),
    ],
)
def test_rights_that_come_another_way_are_listed_as_left(town: Town, way: str, statement: str, expected: str) -> None:
    names = {"crew": town.crew, "worker": town.worker}
    town.do('GRANT USAGE ON SCHEMA "The Vault" TO PUBLIC', *statement.format(**names).split("; "))
    foreseen = [line for line in town.connector.look(town.step("session.pause")).public["left"] if way.format(**names) in line]
    scene = Scene(town.connector, town.step("session.pause"))
    was = scene.look()
    effect = scene.perform(was)
    proof = scene.proof(was)
    for left in (foreseen, effect.left, proof.left):
        assert [line for line in left if expected in line and way.format(**names) in line]


def test_a_superuser_is_never_contained_by_a_limit(town: Town) -> None:
    town.do(f'ALTER ROLE "{town.worker}" SUPERUSER')
    scene, was = cut(town, "workload.isolate")
    assert any("is a superuser" in line for line in scene.proof(was).left)
    town.work()
    town.do(f'ALTER ROLE "{town.worker}" NOSUPERUSER')


def test_what_the_role_passed_on_stays_with_the_others_and_is_listed(town: Town) -> None:
    w, f = town.worker, town.friend
    town.do(f'SET ROLE "{w}"; GRANT UPDATE ("holder""s name") ON "The Vault".cards TO "{f}"; RESET ROLE')
    scene, was = cut(town, "session.pause")
    proof = scene.proof(was)
    assert proof.dead
    assert [line for line in proof.left if "passed on" in line]
    held = f"SELECT has_column_privilege('{f}', '\"The Vault\".cards', 'holder\"s name', 'UPDATE')"
    assert town.ask(held) == [(True,)]


def test_measures_stack_and_come_off_in_reverse(town: Town) -> None:
    town.work()
    before = town.access_lists()
    interim, first = cut(town, "session.restrict", schemas=["payments"], allow_new_sessions=True)
    pause, second = cut(town, "session.pause")
    hard, third = cut(town, "credential.revoke")
    soft, fourth = cut(town, "workload.isolate")
    for scene, was in ((soft, fourth), (hard, third), (pause, second), (interim, first)):
        scene.undo(was)
        assert lasting(scene.look()) == lasting(was)
    assert town.access_lists() == before


def test_undo_of_one_measure_leaves_the_other_in_force(town: Town) -> None:
    interim, first = cut(town, "session.restrict", schemas=["payments"], allow_new_sessions=True)
    hard, second = cut(town, "credential.revoke")
    interim.undo(first)
    assert hard.look().contained
    assert hard.proof(second).dead
    hard.undo(second)
    assert town.reads_the_vault(town.work())


def test_a_grant_that_somebody_gave_meanwhile_is_neither_taken_nor_hidden(town: Town) -> None:
    scene = Scene(town.connector, town.step("session.restrict", schemas=["payments"]))
    was = scene.look()
    town.do(f'GRANT DELETE ON "The Vault".cards TO "{town.worker}"')
    scene.perform(was)
    assert [line for line in scene.proof(was).left if "granted since" in line]
    scene.undo(was)
    assert town.ask(f"SELECT has_table_privilege('{town.worker}', '\"The Vault\".cards', 'DELETE')") == [(True,)]


def test_a_changed_limit_is_foreign_before_the_cut_too(town: Town) -> None:
    scene = Scene(town.connector, town.step("workload.isolate"))
    was = scene.look()
    town.do(f'ALTER ROLE "{town.worker}" CONNECTION LIMIT 5')
    with pytest.raises(Foreign) as refused:
        scene.perform(was)
    assert refused.value.diff["limit"] == {"before": 20, "ours": 0, "now": 5}
    assert town.ask(f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{town.worker}'") == [(5,)]


def test_a_renamed_table_gets_its_privileges_back_and_a_dropped_one_is_named(town: Town) -> None:
    scene, was = cut(town, "session.pause")
    town.do('ALTER TABLE payments.ledger RENAME TO "the book"', 'DROP TABLE "The Vault".cards')
    effect = scene.undo(was)
    assert town.ask(f"SELECT has_table_privilege('{town.worker}', 'payments.\"the book\"', 'INSERT')") == [(True,)]
    assert len([line for line in effect.left if '"The Vault".cards' in line and "does not exist any more" in line]) == 2


def test_a_grantor_who_may_not_grant_any_more_makes_undo_foreign_and_touches_nothing(town: Town) -> None:
    scene, was = cut(town, "session.pause")
    town.do(f'REVOKE SELECT ON "The Vault".cards FROM "{town.deputy}"')
    after = town.access_lists()
    with pytest.raises(Foreign) as refused:
        scene.undo(was)
    assert any("SELECT on table" in line for line in refused.value.diff["grants"]["before"])
    assert town.access_lists() == after


def test_without_the_sealed_verifier_undo_refuses(town: Town) -> None:
    scene, was = cut(town, "credential.revoke")
    unsealed = State(was.contained, was.public, {}, was.live_sessions, was.account)
    with pytest.raises(Rejected, match="sealed"):
        scene.undo(unsealed)
    assert scene.look().contained


def test_a_role_without_a_password_has_none_again(town: Town) -> None:
    town.do(f'ALTER ROLE "{town.worker}" PASSWORD NULL')
    before = town.access_lists()
    scene, was = cut(town, "credential.revoke")
    assert scene.proof(was).level is ProofLevel.REPLAYED
    scene.undo(was)
    assert town.access_lists() == before


def test_a_role_made_again_under_the_same_name_is_somebody_else(town: Town) -> None:
    scene = Scene(town.connector, town.step("workload.isolate"))
    was = scene.look()
    town.do(f'DROP OWNED BY "{town.worker}", "{town.deputy}" CASCADE', f'DROP ROLE "{town.worker}"')
    town.do(f"CREATE ROLE \"{town.worker}\" LOGIN PASSWORD '{PASSWORD}'")
    for act in (scene.perform, scene.undo):
        with pytest.raises(Rejected, match="made again"):
            act(was)


def test_another_cluster_is_not_touched(town: Town) -> None:
    scene = Scene(town.connector, town.step("workload.isolate"))
    seen = scene.look()
    elsewhere = State(seen.contained, seen.public, seen.secret, seen.live_sessions, "1234567890/elsewhere")
    with pytest.raises(Rejected, match="Another database"):
        scene.perform(elsewhere)
    assert not scene.look().contained


def test_rights_in_other_databases_are_taken_and_given_back(town: Town) -> None:
    before = town.access_lists()
    elsewhere = PostgresConnector(dsn=town.server.dsn("estate"))
    scene = Scene(elsewhere, town.step("session.pause"))
    session = town.work()
    was = scene.look()
    scene.perform(was)
    assert scene.proof(was).dead
    assert not town.reads_the_vault(session)
    scene.undo(was)
    assert town.access_lists() == before


def test_our_own_role_is_never_cut(town: Town) -> None:
    ourselves = town.ask("SELECT current_user::text")[0][0]
    assert ourselves in town.connector.whoami()
    step = town.step("credential.revoke")
    ours = type(step)(step.measure, type(step.target)(step.target.provider, step.target.kind, ourselves, step.target.identity))
    assert not town.connector.preflight(ours).can
    was = town.connector.look(ours)
    with pytest.raises(Rejected):
        town.connector.perform(ours, key=KEY, was=was)


def test_evidence_names_what_is_going_on_without_the_values(town: Town) -> None:
    session = town.work("evidence")
    session.execute("SELECT 'the card 4111111111111111'")
    artefacts = {one.name: json.loads(one.content) for one in town.connector.collect(town.step("evidence.preserve"))}
    assert set(artefacts) == {"postgres-activity.json", "postgres-locks.json", "postgres-roles.json", "postgres-grants.json"}
    [seen] = [one for one in artefacts["postgres-activity.json"]["sessions"] if one["application_name"] == "evidence"]
    assert seen["query"] == "SELECT ?"
    assert "SCRAM" not in json.dumps(artefacts)
    assert any(one["grantor"] == town.deputy for one in artefacts["postgres-grants.json"]["by_name"])
