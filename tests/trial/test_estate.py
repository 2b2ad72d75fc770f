"""The estate: who may do what in it, and that a restart gives nobody anything back."""

from __future__ import annotations

import stat
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from embedded.postgres import Postgres
from tests.trial.helpers import ask, do
from trial.estate import PASSWORDS, ROLES, Estate, OutOfStep, build, keep_private


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("etl_reader", "SELECT count(*) FROM ingest.batches"),
        ("etl_reader", "SELECT token FROM vault.card_tokens"),
        ("payments_writer", "INSERT INTO payments.ledger VALUES ('t-1', 'someone', 1, now())"),
        ("payments_writer", "SELECT token FROM vault.card_tokens"),
        ("reports_shared", "SELECT * FROM reports.sales"),
        ("trainer", "INSERT INTO models.deploy_tokens (minted_by, scope, fingerprint) VALUES ('t', 's', 'f')"),
        ("invoice_agent", "INSERT INTO agents.calls (session, tool, writes, about) VALUES ('t', 'test', false, 'a test')"),
        ("invoice_agent", "SELECT value FROM agents.secrets"),
        ("mail_sink", "INSERT INTO mail.arrived (sender, recipients, subject, body) VALUES ('a', '{b}', 'c', 'd')"),
    ],
)
def test_a_role_may_do_its_work_and_what_it_was_given_too_much_of(built: Estate, role: str, statement: str) -> None:
    with built.connect(role, "a-test") as connection, connection.transaction(force_rollback=True):
        assert connection.execute(statement.encode()).rowcount != 0


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("etl_reader", "DELETE FROM ingest.batches"),
        ("etl_reader", "SELECT * FROM vault.signing_keys"),
        ("payments_writer", "UPDATE payments.ledger SET amount_cents = 1"),
        ("reports_shared", "SELECT * FROM payments.ledger"),
        ("trainer", "SELECT * FROM vault.card_tokens"),
        ("invoice_agent", "SELECT * FROM reports.sales"),
        ("invoice_agent", "INSERT INTO mail.arrived (sender, recipients, subject, body) VALUES ('a', '{b}', 'c', 'd')"),
        ("mail_sink", "SELECT * FROM mail.arrived"),
        ("etl_reader", "CREATE TEMPORARY TABLE loot (a int)"),
        ("etl_reader", "CREATE TABLE public.loot (a int)"),
    ],
)
def test_a_role_may_do_nothing_else(built: Estate, role: str, statement: str) -> None:
    with built.connect(role, "a-test") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_every_right_is_the_roles_own_so_that_it_can_be_taken_away(built: Estate) -> None:
    """Once its own grants are revoked, nothing is left through PUBLIC, membership or ownership."""
    names = [role.name for role in ROLES]
    assert (
        ask(built, "SELECT count(*) FROM pg_auth_members WHERE member = ANY (SELECT oid FROM pg_roles WHERE rolname = ANY (%s))", names)
        == 0
    )
    assert ask(built, "SELECT count(*) FROM pg_class WHERE relowner IN (SELECT oid FROM pg_roles WHERE rolname = ANY (%s))", names) == 0
    ours = "relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)')"
    assert ask(built, f"SELECT count(*) FROM pg_class, aclexplode(relacl) AS acl WHERE {ours} AND acl.grantee = 0") == 0
    for database in ("estate", "postgres", "template1"):
        assert not ask(built, "SELECT count(*) FROM pg_database, aclexplode(datacl) AS acl WHERE datname = %s AND grantee = 0", database)


def test_the_role_for_looking_sees_everybody_and_no_table(built: Estate) -> None:
    assert ask(built, "SELECT pg_has_role('holdfast_look', 'pg_read_all_stats', 'USAGE')")
    assert ask(built, "SELECT has_database_privilege('holdfast_look', 'estate', 'CONNECT')")
    tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'v')"
    theirs = "n.nspname IN ('vault', 'payments', 'reports', 'models', 'agents', 'ingest', 'mail', 'ops')"
    assert ask(built, f"{tables} AND {theirs}") > 10
    reached = "has_any_column_privilege('holdfast_look', c.oid, 'SELECT, INSERT, UPDATE')"
    assert ask(built, f"{tables} AND {theirs} AND {reached}") == 0
    assert not ask(built, "SELECT has_function_privilege('trainer', 'models.checkpoint()', 'EXECUTE')")


def test_a_role_reaches_no_other_database_of_the_cluster(built: Estate) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(built.conninfo("etl_reader", "a-test", dbname="postgres"))


def test_a_second_start_changes_no_password_and_undoes_no_containment(built: Estate, cluster: Postgres, home: Path) -> None:
    cut = ["ALTER ROLE trainer NOLOGIN PASSWORD NULL CONNECTION LIMIT 0", "REVOKE ALL ON models.progress FROM trainer"]
    back = ["ALTER ROLE trainer LOGIN CONNECTION LIMIT -1", "GRANT SELECT, INSERT, UPDATE ON models.progress TO trainer"]
    verifier = ask(built, "SELECT rolpassword FROM pg_authid WHERE rolname = 'trainer'")
    do(built, *cut)
    try:
        again = build(cluster.dsn("estate"), home)
        assert again.passwords == built.passwords
        assert (
            ask(built, "SELECT rolcanlogin OR rolpassword IS NOT NULL OR rolconnlimit <> 0 FROM pg_authid WHERE rolname = 'trainer'")
            is False
        )
        assert ask(built, "SELECT has_table_privilege('trainer', 'models.progress', 'INSERT')") is False
    finally:
        do(built, *back, f"ALTER ROLE trainer PASSWORD '{verifier}'")


def test_an_estate_from_before_gets_what_it_lacks_and_keeps_the_rest(built: Estate, cluster: Postgres, home: Path) -> None:
    """As the first version left it: without the later roles, their passwords, and the closed books."""
    later = [role.name for role in ROLES if role.since > 1]
    kept = {name: password for name, password in built.passwords.items() if name not in later}
    drops = [statement for name in later for statement in (f"DROP OWNED BY {name}", f"DROP ROLE {name}")]
    do(built, *drops, "DROP TABLE reports.month_end, agents.secrets, agents.bookings, agents.diary", "DROP SCHEMA mail CASCADE")
    do(built, "UPDATE ops.built SET version = 1")
    keep_private(home / PASSWORDS, kept)
    again = build(cluster.dsn("estate"), home)
    assert {name: again.passwords[name] for name in kept} == kept
    with again.connect("stock_sync", "a-test") as connection:
        assert connection.execute("SELECT count(*) FROM vault.signing_keys").fetchone() == (2,)
    assert ask(again, "SELECT has_table_privilege('reports_shared', 'reports.month_end', 'SELECT')")
    assert build(cluster.dsn("estate"), home).passwords == again.passwords
    built.passwords.update(again.passwords)  # type: ignore[attr-defined]


def test_the_passwords_are_for_their_owner_alone(built: Estate, home: Path) -> None:
    assert stat.S_IMODE((home / PASSWORDS).stat().st_mode) == 0o600
    assert not any(secret in repr(built) for secret in (built.dsn, *built.passwords.values()))


def test_an_estate_whose_passwords_are_lost_is_refused_with_the_way_out(built: Estate, cluster: Postgres, tmp_path: Path) -> None:
    with pytest.raises(OutOfStep, match=r"Put the file back"):
        build(cluster.dsn("estate"), tmp_path)
