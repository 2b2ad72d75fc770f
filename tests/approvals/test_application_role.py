"""Everything here works with the rights of the application's database role, and that role cannot rewrite what is final."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import ProgrammingError, connection, transaction

from approvals import grants, holds
from audit import clock
from core.actor import CLOCK, SYSTEM
from evidence import vault
from tests.approvals.rows import DIGEST, MANAGERS, PAYROLL, opened, past_deadline, person, terms

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(db):
    return {name: person(name, roles=("manager",)) for name in ("omar", "olga")}


@pytest.fixture
def application(people):
    """From here on, until the test is rolled back, the session is the application's."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {connection.ops.quote_name(settings.DATABASE_APP_ROLE)}")
        cursor.execute("SELECT current_user, usesuper FROM pg_user WHERE usename = current_user")
        assert cursor.fetchone() == (settings.DATABASE_APP_ROLE, False)
    return people


def test_the_life_of_a_hold(application):
    holds.answer(opened().pk, "approve", actor=application["omar"], seen_digest=DIGEST)
    holds.extend(opened().pk, actor=application["omar"])
    holds.supersede(opened().pk, "changed", actor=SYSTEM)
    hold = opened(terms=terms(PAYROLL, MANAGERS), on_lapse="escalate")
    for _ in range(2):
        past_deadline(hold.pk)
        hold = holds.lapse(hold.pk)
    assert hold.state == "lapsed"


def test_the_life_of_an_exception(application):
    now = clock.now()
    grant = grants.ask(
        scope={"identity": "i-1"},
        reason="month-end close",
        ticket="",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        budget_count=1,
        budget_risk=100,
        actor=application["omar"],
        longest=timedelta(days=14),
    )
    grants.grant(grant.pk, actor=application["olga"])
    assert grants.covering(identity="i-1", at=clock.now())
    assert grants.spend(grant.pk, 40)
    assert grants.remind_due() == [grant]
    grants.revoke(grant.pk, "done", actor=application["olga"])
    assert grants.end_due() == []


def test_the_life_of_an_artefact(application):
    artefact = vault.seal("a.txt", "text/plain", b"seen", run_ref="run:1", case_ref="case:1", identity_ref="identity:1", actor=CLOCK)
    assert vault.open_(artefact.pk, application["omar"]) == b"seen"


@pytest.mark.parametrize("table", ["hold_answer", "artefact", "artefact_sealed", "custody"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {}", "ALTER TABLE {} DISABLE TRIGGER ALL", "SELECT FROM {} FOR UPDATE"])
def test_the_application_has_no_right_to_what_is_final(application, table, statement):
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


@pytest.mark.parametrize("table", ["hold", "exception_grant"])
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "ALTER TABLE {} DISABLE TRIGGER ALL"])
def test_the_application_cannot_lift_what_keeps_a_hold(application, table, statement):
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))
