"""What the PostgreSQL connector offers besides the contract: who would be hit, who could repair it, looking without power, saving first,
and cuts that lie on top of each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from connectors import foresight, optional
from connectors.base import Measure, Rejected, Step, Target
from connectors.postgres import PostgresConnector
from connectors.postgres.passwords import Issued, Stamp
from tests.connectors.contract import KEY, Scene
from tests.connectors.people import PASSWORD, Town

HOSTILE = "x\"; DROP ROLE victim; -- \\ :z ' $$ é"


def step_on(role: str, measure: str) -> Step:
    return Step(Measure(measure), Target("postgres", "service_account", role, "0190a5b0-0000-7000-8000-00000000000a"))


def test_everybody_whom_a_cut_would_hit_is_named_in_every_spelling(town: Town) -> None:
    town.do(f'GRANT "{town.worker}" TO "{town.crew}"', f'GRANT "{town.crew}" TO "{town.friend}" WITH INHERIT FALSE')
    oid = town.ask(f"SELECT oid FROM pg_roles WHERE rolname = '{town.worker}'")[0][0]
    paused = optional.resolves(town.connector, town.step("session.pause"))
    assert paused[0] == town.worker
    assert {f'"{town.worker}"', town.worker.upper(), str(oid), f"oid:{oid}", town.crew, town.friend} <= set(paused)
    revoked = optional.resolves(town.connector, town.step("credential.revoke"))  # takes nothing from its members
    assert town.worker in revoked
    assert not {town.crew, town.friend} & set(revoked)


def test_who_is_proposed_as_protected_and_who_could_still_repair_it(town: Town) -> None:
    assert optional.administrators(town.connector) == []  # we are its only superuser
    town.do(f'ALTER ROLE "{town.crew}" SUPERUSER LOGIN', f'ALTER ROLE "{town.friend}" CREATEROLE', f'ALTER ROLE "{town.deputy}" SUPERUSER')
    try:
        assert {"estate_admin", town.crew, town.friend, town.deputy} <= set(town.connector.whoami())
        assert optional.administrators(town.connector) == [town.crew]
        town.do(f"ALTER ROLE \"{town.crew}\" VALID UNTIL '2020-01-01'")
        assert optional.administrators(town.connector) == []
    finally:
        town.do(f'ALTER ROLE "{town.crew}" NOSUPERUSER', f'ALTER ROLE "{town.deputy}" NOSUPERUSER')


@pytest.fixture
def watched(town: Town) -> Iterator[PostgresConnector]:
    """With a role that may look and nothing else."""
    look = f"{town.name}_look"
    town.do(
        f"CREATE ROLE \"{look}\" LOGIN PASSWORD '{PASSWORD}'",
        f'GRANT pg_monitor TO "{look}"',
        f'GRANT CONNECT ON DATABASE "{town.name}" TO "{look}"',
    )
    town.roles.append(look)
    yield PostgresConnector(dsn=town.dsn, look_dsn=make_conninfo(town.dsn, user=look, password=PASSWORD), deliveries="/nowhere")
    town.do(f'DROP OWNED BY "{look}"')


def test_the_looker_sees_what_we_see_but_the_password_and_can_change_nothing(town: Town, watched: PostgresConnector) -> None:
    looker = optional.looker(watched)
    assert looker is not None
    town.work()
    before = town.access_lists()
    for measure in ("session.pause", "credential.revoke", "credential.rotate", "session.terminate"):
        step = town.step(measure)
        mine, its = watched.look(step), looker.look(step)
        assert (its.account, its.contained, its.live_sessions) == (mine.account, mine.contained, mine.live_sessions)
        own = {name: value for name, value in mine.public["own"].items() if name != "password"}
        assert its.public["own"] == own
        assert not its.secret
        for act in (looker.perform, looker.undo, looker.probe):
            with pytest.raises(Rejected, match="only look"):
                act(step, key=KEY, was=its)
    ready = looker.preflight(town.step("session.pause"))
    assert (ready.can, len(ready.too_much)) == (True, 1)  # about the role that would do it, not about the one that looks
    assert town.access_lists() == before
    unreachable = PostgresConnector(dsn=town.dsn, look_dsn=make_conninfo(town.dsn, port=1)).looker()
    assert unreachable is not None
    with pytest.raises(Rejected, match="only look"):  # before anybody is called
        unreachable.perform(town.step("session.pause"), key=KEY, was=its)


def test_without_credentials_that_only_look_there_is_no_looker(town: Town) -> None:
    assert optional.looker(town.connector) is None


def test_a_cut_that_is_undone_under_one_that_stays_leaves_what_both_took(town: Town) -> None:
    """A staged return: reading comes back, writing later."""
    before, session = town.access_lists(), town.work()
    pause, reading = (
        Scene(town.connector, town.step("session.pause")),
        Scene(town.connector, town.step("session.restrict", mode="read_only")),
    )
    was_paused = pause.look()
    pause.perform(was_paused)
    was_reading = reading.look()
    reading.perform(was_reading)
    was_paused, was_reading = optional.hands_over(town.connector, pause.step, was_paused, reading.step, was_reading)
    assert not was_reading.contained
    pause.undo(was_paused)
    assert not pause.undo(was_paused).changed
    assert reading.proof(was_reading).dead
    assert town.reads_the_vault(session)
    fresh = town.work()
    assert fresh.execute("SHOW transaction_read_only").fetchone() == ("on",)
    fresh.execute("SET default_transaction_read_only = off")  # who asks otherwise meets the privileges that are gone
    for one in (session, fresh):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            town.books(one)
    reading.undo(was_reading)
    assert town.access_lists() == before
    town.books(town.work())


def test_cuts_that_share_nothing_hand_nothing_over(town: Town) -> None:
    revoke, reading = town.step("credential.revoke"), town.step("session.restrict", mode="read_only")
    was, to_was = town.connector.look(revoke), town.connector.look(reading)
    assert optional.hands_over(town.connector, revoke, was, reading, to_was) == (was, to_was)


@pytest.mark.parametrize("measure", ["credential.revoke", "session.pause"])
def test_a_name_that_looks_like_a_statement_is_cut_typed_back_and_nothing_else(town: Town, measure: str) -> None:
    name, home = sql.Identifier(HOSTILE), sql.Identifier(town.name)
    with psycopg.connect(town.dsn, autocommit=True) as admin:
        admin.execute("CREATE ROLE victim")
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 9 PASSWORD {}").format(name, sql.Literal(PASSWORD)))
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(home, name))
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA payments TO {} WITH GRANT OPTION").format(name))
    try:
        town.worker, worker = HOSTILE.replace("'", "''"), town.worker
        before = town.on_record()
        scene = Scene(town.connector, step_on(HOSTILE, measure))
        was = scene.look()
        scene.perform(was)
        assert scene.proof(was).dead
        assert town.on_record() != before
        town.type_in(optional.manual(town.connector, scene.step, was))
        assert town.on_record() == before
        psycopg.connect(town.server.dsn(town.name, user=HOSTILE, password=PASSWORD)).close()
        assert town.ask("SELECT count(*) FROM pg_roles WHERE rolname = 'victim'") == [(1,)]
    finally:
        town.worker = worker
        with psycopg.connect(town.dsn, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(name))
            admin.execute(sql.SQL("DROP ROLE {}, victim").format(name))


CHECKPOINTS = {"call": "payments.save", "newest": "payments.saved"}


def test_a_job_saves_itself_before_anything_else_and_only_what_is_newer_counts(town: Town) -> None:
    town.do(
        "CREATE TABLE payments.saved (at timestamptz)",
        "INSERT INTO payments.saved VALUES (clock_timestamp())",
        "CREATE FUNCTION payments.save() RETURNS void LANGUAGE sql AS 'INSERT INTO payments.saved VALUES (clock_timestamp())'",
    )
    connector = PostgresConnector(dsn=town.dsn, checkpoints={town.worker: CHECKPOINTS})
    step = town.step("job.checkpoint")
    step = Step(step.measure, step.target, {}, deadline_s=2)
    scene = Scene(connector, step)
    assert not connector.abilities[Measure.JOB_CHECKPOINT].disruptive
    was = scene.look()
    with pytest.raises(Rejected, match="SECURITY DEFINER"):  # it would run with our rights
        scene.perform(was)
    town.do("ALTER FUNCTION payments.save() SECURITY DEFINER")
    assert connector.preflight(step).can
    assert not connector.probe(step, key=KEY, was=was).dead  # the one from before does not count
    assert scene.perform(was).changed
    assert scene.proof(was).dead
    assert not scene.perform(was).changed
    assert town.ask("SELECT count(*) FROM payments.saved") == [(2,)]
    assert not scene.undo(was).changed

    town.do("CREATE OR REPLACE FUNCTION payments.save() RETURNS void LANGUAGE sql SECURITY DEFINER AS ''")
    was = scene.look()
    assert "has not done so yet" in scene.perform(was).said
    assert not connector.probe(step, key=KEY, was=was).dead  # a job that says yes and saves nothing

    town.do(f'ALTER FUNCTION payments.save() OWNER TO "{town.worker}"')
    with pytest.raises(Rejected, match="could decide what we do"):
        scene.perform(was)
    assert "could decide" in connector.preflight(step).missing[0]
    assert "not configured" in town.connector.preflight(step).missing[0]
    with pytest.raises(Rejected, match="not configured"):
        town.connector.perform(step, key=KEY, was=was)


SAVES = (
    "CREATE TABLE payments.saves (at timestamptz)",
    "CREATE VIEW payments.saved AS SELECT at FROM payments.saves",
    "CREATE FUNCTION payments.save() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO payments.saves VALUES (clock_timestamp())'",
)


def test_preflight_says_which_statement_lets_us_call_and_see_and_the_one_that_only_looks_says_the_same(
    town: Town, watched: PostgresConnector
) -> None:
    town.do(*SAVES, "REVOKE ALL ON FUNCTION payments.save() FROM PUBLIC")
    us, look = f"{town.name}_us", f"{town.name}_look"
    town.do(f"CREATE ROLE \"{us}\" LOGIN PASSWORD '{PASSWORD}'", f'GRANT pg_read_all_stats TO "{us}"')
    town.do(f'GRANT CONNECT ON DATABASE "{town.name}" TO "{us}"')
    town.roles.append(us)
    try:
        known = {town.worker: CHECKPOINTS}
        dsns = [make_conninfo(town.dsn, user=who, password=PASSWORD) for who in (us, look)]
        connector = PostgresConnector(dsn=dsns[0], look_dsn=dsns[1], checkpoints=known)
        looker, step = connector.looker(), town.step("job.checkpoint")
        assert looker is not None
        found = connector.preflight(step)
        assert (found, found.can) == (looker.preflight(step), False)
        assert found.remedy == [
            f'GRANT USAGE ON SCHEMA "payments" TO "{us}"',
            f'GRANT EXECUTE ON FUNCTION "payments"."save"() TO "{us}"',
            f'GRANT SELECT ON "payments"."saved" TO "{us}"',
        ]
        town.do(*found.remedy)
        assert connector.preflight(step).can
        assert looker.preflight(step).can
        was = connector.look(step)
        assert connector.perform(step, key=KEY, was=was).changed
        assert connector.probe(step, key=KEY, was=was).dead
    finally:
        town.do(f'DROP OWNED BY "{us}"')


THEIR_FUNCTION = (
    "CREATE FUNCTION payments.theirs(timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'",
    'ALTER FUNCTION payments.theirs(timestamptz) OWNER TO "{w}"',
)
VIEW = "CREATE OR REPLACE VIEW payments.saved AS SELECT "


@pytest.mark.parametrize(
    ("laid", "said"),
    [
        ((*THEIR_FUNCTION, VIEW + "payments.theirs(at) AS at FROM payments.saves"), "could decide"),
        (
            (
                *THEIR_FUNCTION,
                "CREATE VIEW payments.deep AS SELECT payments.theirs(at) AS at FROM payments.saves",
                VIEW + "at FROM payments.deep",
            ),
            "could decide",
        ),
        (
            (
                *THEIR_FUNCTION,
                "CREATE OPERATOR payments.!! (RIGHTARG = timestamptz, FUNCTION = payments.theirs)",
                VIEW + "OPERATOR(payments.!!) at AS at FROM payments.saves",
            ),
            "could decide",
        ),
        (('ALTER TABLE payments.saves OWNER TO "{w}"',), "could decide"),
        (("ALTER VIEW payments.saved SET (security_invoker = on)",), "security_invoker"),
        (("ALTER TABLE payments.saves ENABLE ROW LEVEL SECURITY",), "row-level"),
        (("DROP VIEW payments.saved", "CREATE MATERIALIZED VIEW payments.saved AS SELECT at FROM payments.saves"), "plain table"),
    ],
    ids=["a function", "behind another view", "an operator", "their table", "the reader's rights", "row security", "materialized"],
)
def test_a_view_that_could_run_what_others_wrote_is_not_read(town: Town, laid: tuple[str, ...], said: str) -> None:
    town.do(*SAVES, *(one.format(w=town.worker) for one in laid))
    scene = Scene(PostgresConnector(dsn=town.dsn, checkpoints={town.worker: CHECKPOINTS}), town.step("job.checkpoint"))
    was = scene.look()
    assert said in scene.connector.preflight(scene.step).missing[0]
    for act in (scene.connector.perform, scene.connector.probe):
        with pytest.raises(Rejected, match=said):
            act(scene.step, key=KEY, was=was)
    assert town.ask("SELECT count(*) FROM payments.saves") == [(0,)]


def test_the_one_that_only_looks_knows_where_no_password_could_be_laid_down_and_makes_no_folder(
    watched: PostgresConnector, town: Town, tmp_path: Path
) -> None:
    look = make_conninfo(town.dsn, user=f"{town.name}_look", password=PASSWORD)
    folder = tmp_path / "deliveries"
    able = PostgresConnector(dsn=town.dsn, look_dsn=look, deliveries=str(folder)).looker()
    unable = PostgresConnector(dsn=town.dsn, look_dsn=look).looker()
    astray = PostgresConnector(dsn=town.dsn, look_dsn=look, deliveries=str(tmp_path / "not" / "there")).looker()
    assert able is not None
    assert unable is not None
    assert astray is not None
    assert able.preflight(town.step("credential.rotate", deliver_to="shop/worker")).can
    assert not able.preflight(town.step("credential.rotate", deliver_to="/x y")).can
    assert not unable.preflight(town.step("credential.rotate", deliver_to="shop/worker")).can
    assert not astray.preflight(town.step("credential.rotate", deliver_to="shop/worker")).can
    assert not folder.exists()
    with pytest.raises(Rejected, match="only look"):
        able.forget(town.step("credential.rotate", deliver_to="shop/worker"), key=KEY)


def test_what_is_foretold_of_a_password_says_what_takes_its_place(watched: PostgresConnector, town: Town) -> None:
    looker = watched.looker()
    assert looker is not None
    town.work()
    foretold = {
        (measure, connector): [one for one in foresight.changes(town.step(measure), connector.look(town.step(measure))) if one.is_one]
        for measure in ("credential.rotate", "credential.revoke")
        for connector in (watched, looker)
    }
    for connector, former in ((watched, "scram-sha-256"), (looker, "the former one")):
        assert foretold["credential.rotate", connector] == [
            foresight.Change("password", former, "a new one in its place"),
            foresight.Change("sessions from before", "1", "0"),
        ]
        assert foretold["credential.revoke", connector] == [
            foresight.Change("may log in", "yes", "no"),
            foresight.Change("password", former, "none"),
            foresight.Change("live sessions", "1", "0"),
        ]


@pytest.mark.parametrize("name", ["save", "a.b.c", "payments.save(1)", "payments.save; DROP TABLE x", "payments.'save'", ""])
def test_a_checkpoint_names_one_function_and_one_view_with_their_schemas(name: str) -> None:
    with pytest.raises(ValueError, match="with its schema"):
        PostgresConnector(dsn="host=nowhere dbname=x", checkpoints={"trainer": CHECKPOINTS | {"call": name}})


@pytest.mark.parametrize(
    "verifier", ["", "md5abc", "SCRAM-SHA-256$4096:AAAA$x:y", "SCRAM-SHA-256$4096:????$x:y", "SCRAM-SHA-256", "a$b", "a$" + "A" * 24 + "$b"]
)
def test_a_verifier_that_we_did_not_issue_carries_no_moment(verifier: str) -> None:
    assert Issued(b"secret", "worker", KEY).stamp(verifier) is None


@pytest.mark.parametrize("settled", [True, False])
def test_a_verifier_that_we_issued_says_from_when_on_and_whether_that_is_settled(settled: bool) -> None:
    since, issued = datetime(2026, 7, 4, 12, 0, 0, 250001, tzinfo=UTC), Issued(b"secret", "worker", KEY)
    verifier = issued.verifier(since, settled=settled)
    assert issued.stamp(verifier) == Stamp(since, settled)
    assert Issued(b"secret", "worker", "another").stamp(verifier) is None


def test_two_attempts_issue_two_passwords_and_one_attempt_issues_one() -> None:
    one, again, other = Issued(b"secret", "worker", KEY), Issued(b"secret", "worker", KEY), Issued(b"secret", "worker", "another")
    assert one.password == again.password != other.password
