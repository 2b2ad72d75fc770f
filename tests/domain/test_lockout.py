"""Whether containing somebody would lock us out: one of ours, a last administrator, the last who could answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from containment.domain.decide import Verdict
from containment.domain.lockout import Asked, Ours, Standing, folded, locks_out, login_of, place_of
from containment.domain.policy import HoldReason
from containment.domain.replay import restore
from core.digest import plain
from tests.domain.facts_of import judged, leaked, sample

pytestmark = pytest.mark.fault("I7")

MARA = Standing(subject="mara", names=[("okta", "mara@acme.test")], people=["mara"])
DATABASE = Ours(user="holdfast_app", without="our database", host="db.acme.test", port=5432)
ADMINS = [("postgres", "dba"), ("postgres", "postgres")]


@pytest.mark.parametrize(
    ("hold", "locked_out"),
    [
        (Asked("payroll", quorum=1, eligible=["mara"]), True),
        (Asked("payroll", quorum=1, eligible=["mara", "mia"]), False),
        (Asked("payroll", quorum=2, eligible=["mara", "mia"]), True),
        (Asked("payroll", quorum=2, eligible=["mara", "mia", "ines"]), False),
        (Asked("payroll", quorum=2, eligible=["mara", "mia"], answered=["mara"]), False),  # her word was given before
        (Asked("payroll", quorum=1, eligible=["mia"]), False),
        (Asked("payroll", quorum=2, eligible=["mara"]), False),  # nobody could answer it with her either: it is not her who is missing
    ],
)
def test_whoever_is_needed_for_an_open_hold_is_the_last_to_lose(hold, locked_out):
    said = locks_out(replace(MARA, holds=[hold]))
    assert bool(said) is locked_out
    assert not said or "nobody could answer the hold about payroll" in said


def test_an_identity_that_is_nobodys_account_takes_no_answer_away():
    assert locks_out(replace(MARA, people=[], holds=[Asked("payroll", quorum=1, eligible=["mara"])])) == ""


@pytest.mark.parametrize(
    ("names", "administrators", "locked_out"),
    [
        ([("postgres", "dba")], ADMINS, False),
        ([("postgres", "dba")], [("postgres", "dba")], True),
        ([("postgres", "DBA")], [("postgres", "dba")], True),
        ([("postgres", "dba"), ("postgres", "postgres")], ADMINS, True),  # one identity under both names
        ([("okta", "dba")], [("postgres", "dba")], False),  # another system
        ([("postgres", "dba")], [], False),  # nobody knows who administers it
    ],
)
def test_a_system_keeps_its_last_administrator(names, administrators, locked_out):
    said = locks_out(Standing(subject="dba", names=names, administrators=administrators))
    assert bool(said) is locked_out
    assert not said or "last administrator of postgres" in said


@pytest.mark.parametrize(
    ("place", "subject", "locked_out"),
    [
        (("db.acme.test", 5432), "holdfast_app", True),
        (("db.acme.test", 5432), "Holdfast_App ", True),
        (("db.acme.test", 5433), "holdfast_app", False),  # another cluster that has a role of the same name
        (("db.acme.test", 5432), "etl_reader", False),
    ],
)
def test_our_own_logins_are_known_by_place_and_name(place, subject, locked_out):
    said = locks_out(Standing(subject=subject, names=[("postgres", subject)], ours=[DATABASE], places=[("postgres", *place)]))
    assert bool(said) is locked_out
    assert not said or said.endswith("without our database")


def test_what_is_ours_anywhere_needs_no_place():
    provider = Ours(user="client-1", without="our sign-in provider", anywhere=True)
    assert "our sign-in provider" in locks_out(Standing(subject="client-1", names=[("entra", "client-1")], ours=[provider]))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://app:x@localhost/holdfast", ("", 5432)),
        ("postgresql://app@127.0.0.1:7000/holdfast", ("", 7000)),
        ("amqp://app:x@Rabbit.acme.test//", ("rabbit.acme.test", 5672)),
        ("redis://127.0.0.1:6379/2", ("", 6379)),
        ("postgresql://app@db:wrong/x", ("db", 5432)),
    ],
)
def test_an_address_is_compared_by_host_and_port(url, place):
    assert place_of(url) == place


def test_who_logs_in_stands_in_the_address():
    assert login_of("amqp://holdfast%40acme:x@rabbit//", "our broker") == Ours("holdfast@acme", "our broker", "rabbit", 5672)
    assert login_of("redis://127.0.0.1:6379/2", "our broker") is None


def test_spellings_of_a_name_are_one_name():
    assert folded(" ＥＴＬ_Reader") == folded("etl_reader")


@pytest.mark.parametrize("facts", [sample(), leaked()], ids=["by risk", "conclusive"])
def test_what_would_lock_us_out_is_held_for_two_and_silence_never_contains_it(facts):
    judgement = judged(replace(facts, locks_out="mara is the last administrator of postgres"))
    assert judgement.verdict is Verdict.HOLD
    assert (judgement.choice.sentence, judgement.choice.hold_reason) == (2, HoldReason.PROTECTED)
    assert judgement.choice.evidence_only
    assert judgement.because.startswith("mara is the last administrator of postgres, and ")


def test_what_is_quiet_stays_quiet():
    assert judged(replace(sample(), locks_out="x", action=None, resource=None, detection=None)).verdict is Verdict.WATCH


def test_facts_recorded_before_this_was_asked_have_the_digest_they_had():
    facts = sample()
    stored = plain(facts)
    del stored["locks_out"]
    assert judged(restore(stored)).digest == judged(facts).digest
    assert judged(replace(facts, locks_out="x")).digest != judged(facts).digest
