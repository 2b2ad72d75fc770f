"""Whether connectors can do what plans ask: found hourly and when somebody is about to be asked, with the command that gives what lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from audit import clock
from audit.models import AuditEntry
from connectors import registry
from connectors.base import Ready
from connectors.postgres import PostgresConnector
from containment import protection, ramp, readiness
from containment.domain.facts import Kind
from containment.domain.policy import Ramp
from containment.models import PreflightCheck, ProtectionProposal, Readiness, Source
from core.refusals import Forbidden, Missing
from playbooks import circuit
from playbooks.models import PlaybookVersion
from tests import cast, make
from tests.console.conftest import postgres_plans

__all__ = ["postgres_plans"]
pytestmark = pytest.mark.django_db

LIMITED = "holdfast_limited"
MILD: dict[str, Any] = {"name": "data.read", "count": 1}


@pytest.fixture
def limited(role: Any, estate: Any) -> Iterator[psycopg.Connection[Any]]:
    """The connector of postgres works as a role that may see sessions, and nothing else. Gives a superuser's connection."""
    with psycopg.connect(estate.dsn("estate"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'limited'").format(sql.Identifier(LIMITED)))
        admin.execute(sql.SQL("GRANT pg_read_all_stats TO {}").format(sql.Identifier(LIMITED)))
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE estate TO {}").format(sql.Identifier(LIMITED)))
        registry.register("postgres", PostgresConnector(dsn=estate.dsn("estate", user=LIMITED, password="limited")))
        try:
            yield admin
        finally:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [LIMITED])
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(LIMITED)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(LIMITED)))


def row(measure: str, subject: str = "") -> Readiness:
    return Readiness.objects.get(provider="postgres", measure=measure, subject=subject)


@pytest.mark.fault("F4")
def test_a_changed_password_of_our_own_opens_the_circuit_and_checking_after_it_was_mended_closes_it(limited):
    limited.execute(sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(sql.Identifier(LIMITED)))
    readiness.round_of("postgres")
    (row,) = circuit.open_now()
    assert (row.connector, "does not accept our own credential" in row.said) == ("postgres", True)
    limited.execute(sql.SQL("ALTER ROLE {} PASSWORD 'limited'").format(sql.Identifier(LIMITED)))
    readiness.round_of("postgres")
    assert circuit.open_now() == []


def test_what_is_missing_comes_with_the_command_that_gives_it(role, limited):
    role("etl_reader")
    make.house()
    make.identity("etl_reader")
    readiness.round_of("postgres")
    assert row(readiness.CONTACT).can
    found = row("session.terminate")
    assert not found.can
    assert (found.missing, found.remedy) == (
        ["ending other roles' sessions"],
        [f'GRANT pg_signal_backend TO "{LIMITED}"'],
    )
    limited.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(LIMITED)))
    readiness.round_of("postgres")
    assert row("session.terminate").can
    assert row("evidence.preserve").can
    assert not Readiness.objects.exclude(subject="").exists()  # nobody there had a run, a hold or a designation lately


def test_the_first_contact_proposes_whom_to_protect(role):
    make.house()
    readiness.round_of("postgres")
    assert ProtectionProposal.objects.filter(provider="postgres", because__contains=protection.WORKS_AS).exists()


def test_those_who_are_likely_next_are_looked_at_one_by_one(role, limited):
    role("etl_reader"), role("payments_writer")
    make.house()
    make.identity("etl_reader")
    make.designation(make.identity("payments_writer"), "pay-main")
    make.detected("etl_reader")
    readiness.round_of("postgres")
    assert set(Readiness.objects.filter(provider="postgres").exclude(subject="").values_list("subject", flat=True)) == {
        "etl_reader",
        "payments_writer",
    }
    assert any("etl_reader" in remedy for remedy in row("credential.revoke", "etl_reader").remedy)


def test_a_hold_that_cannot_work_says_so_when_it_opens(role, limited):
    role("etl_reader")
    make.house()
    make.identity("etl_reader")
    readiness.round_of("postgres")
    Source.objects.update(ceiling="hold")
    hold = make.hold_of(make.detected("etl_reader"))
    assert "credential.revoke cannot work now (ending other roles' sessions; " in hold.because
    assert hold.because.endswith("Approving cannot work.")
    readiness.look_at_hold(hold)
    mark = readiness.marks(readiness.asked_for(hold), hold.plan["target"])[0]
    assert (mark.connector, mark.measure, mark.follows) == ("postgres", "credential.revoke", "Approving cannot work.")
    assert f'GRANT pg_signal_backend TO "{LIMITED}"' in mark.remedy


@pytest.mark.parametrize(
    ("on_failure", "follows"),
    [
        ("continue", "The playbook leaves it out then, and the rest goes on."),
        ("stop", "Approving cannot work."),
        ("undo", "Approving cannot work: the playbook undoes the rest then."),
    ],
)
def test_what_follows_is_what_the_playbook_says(on_failure, follows):
    readiness.keep("postgres", "session.terminate", "etl", Ready(False, missing=["a right"], remedy=["GRANT it"]))
    step = {"connector": "postgres", "measure": "session.terminate", "on_failure": on_failure}
    assert [mark.follows for mark in readiness.marks([step], {"provider": "postgres", "subject": "etl"})] == [follows]
    assert readiness.marks([step], {"provider": "postgres", "subject": "another"}) == []


def test_what_was_found_long_ago_marks_nothing():
    readiness.keep("postgres", "session.terminate", "", Ready(False, missing=["a right"]))
    step = {"connector": "postgres", "measure": "session.terminate", "on_failure": "stop"}
    target = {"provider": "postgres", "subject": "etl"}
    assert readiness.warning([step], target)
    Readiness.objects.update(checked_at=clock.now() - timedelta(hours=3))
    assert readiness.warning([step], target) == ""


def test_only_a_turn_is_on_record():
    for can in (True, True, False, False, True):
        readiness.keep("postgres", "session.terminate", "etl", Ready(can, missing=[] if can else ["a right"]))
    entries = AuditEntry.objects.filter(verb="readiness.changed").order_by("seq")
    assert [json.loads(entry.body)["word"] for entry in entries] == ["cannot", "can"]


def test_a_connector_that_is_away_is_said_to_be_and_costs_one_call(postgres_plans):
    make.house()
    make.identity("etl_reader")
    readiness.round_of("postgres")
    assert list(Readiness.objects.values_list("measure", "can")) == [(readiness.CONTACT, False)]
    assert "127.0.0.1:1" in row(readiness.CONTACT).missing[0]


def test_each_is_asked_hourly_sooner_where_it_was_silent_and_after_a_new_playbook(postgres_plans):
    make.house()
    PlaybookVersion.objects.update(in_force_at=clock.now() - timedelta(days=1))
    everybody = set(registry.providers())
    assert set(readiness.due()) == everybody

    def asked(ago: timedelta, *, can: bool) -> None:
        for provider in everybody:
            readiness.keep(provider, readiness.CONTACT, "", Ready(can))
        Readiness.objects.update(checked_at=clock.now() - ago)

    asked(timedelta(minutes=10), can=True)
    assert readiness.due() == []
    asked(timedelta(minutes=10), can=False)
    assert set(readiness.due()) == everybody
    asked(timedelta(minutes=61), can=True)
    assert set(readiness.due()) == everybody
    assert readiness._claimed("postgres")
    assert not readiness._claimed("postgres")
    asked(timedelta(minutes=10), can=True)
    PlaybookVersion.objects.update(in_force_at=clock.now())
    assert set(readiness.due()) == everybody


def test_what_lies_ahead_since_the_clock_was_set_back_keeps_nobody_from_asking_and_has_nobody_ask_for_ever(postgres_plans):
    make.house()
    for provider in registry.providers():
        readiness.keep(provider, readiness.CONTACT, "", Ready(True))
    PlaybookVersion.objects.update(in_force_at=clock.now() + timedelta(days=1))
    assert readiness.due() == []
    Readiness.objects.update(checked_at=clock.now() + timedelta(days=1))
    assert set(readiness.due()) == set(registry.providers())


def test_a_playbook_is_marked_by_what_its_measures_lack(postgres_plans):
    make.house()
    make.identity("etl_reader")
    version = PlaybookVersion.objects.get(name="service-account")
    assert readiness.of_playbook(version) == []
    readiness.keep("postgres", "credential.revoke", "", Ready(False, missing=["a right"]))
    readiness.keep("elsewhere", "credential.revoke", "", Ready(False, missing=["a right"]))
    assert [one.provider for one in readiness.of_playbook(version)] == ["postgres"]


def test_the_ramp_turns_red_again_where_the_hourly_look_finds_something_gone(postgres_plans):
    make.house()
    make.identity("etl_reader")
    cell = ramp.Cell(kind=Kind.SERVICE_ACCOUNT, environment="prod", budget=None, bar=Ramp(), named=())
    PreflightCheck.objects.create(
        kind="service_account", environment="prod", provider="postgres", green=True, lacks=[], looked_at=1, at=clock.now(),
        person_id=cast.person("mara").principal,
    )  # fmt: skip
    assert ramp._preflight(cell, clock.now()).green
    readiness.keep("postgres", "credential.revoke", "somebody_else", Ready(False, missing=["a right"]))
    assert ramp._preflight(cell, clock.now()).green
    readiness.keep("postgres", "credential.revoke", "etl_reader", Ready(False, missing=["the right to change it"]))
    light = ramp._preflight(cell, clock.now())
    assert (light.green, light.said) == (False, "The connector of postgres can do it no more: the right to change it.")


def test_only_who_sets_connectors_up_has_one_asked_now():
    with pytest.raises(Forbidden):
        readiness.check_now("holdfast", actor=cast.person("ines"))
    with pytest.raises(Missing):
        readiness.check_now("nowhere", actor=cast.person("enzo"))
