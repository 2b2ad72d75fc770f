"""The main job: a detection, a decision, a cut that is proven, and an undo that gives back exactly what was."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEntry
from containment import exceptions, flow, inventory
from evidence.models import Artefact
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.fault("F12")
def test_a_leaked_credential_is_dead_with_proof_and_comes_back_whole(role, drive):
    make.house()
    make.workflow("ingest", [{"action": "data.read", "resource": "ingest.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    etl = role("etl_reader")
    live = etl.connect("etl-main")
    decision = make.detected("etl_reader")
    assert (decision.verdict, decision.stage) == ("contain", "hard")
    assert float(decision.risk) == 85.5
    run = drive(make.run_of(decision).pk)
    assert run.state == "contained", [(s.measure, s.state, s.said) for s in run.steps.all()]
    assert run.proof_level == "replayed"
    assert not etl.can_log_in()
    assert live.closed or live.broken or not _answers(live)
    assert Artefact.objects.filter(run_ref=str(run.ref)).exists()
    flow.undo_run(run.pk, actor=cast.person("mara"), reason="it was the migration")
    run = drive(run.pk)
    assert run.state == "undone"
    assert etl.can_log_in()
    assert etl.can_read("vault.card_tokens")
    assert AuditEntry.objects.filter(verb="step.intended").exists()


@pytest.mark.fault("I2")
def test_five_hundred_reports_about_one_identity_make_one_run(role):
    make.house()
    make.identity("etl_reader")
    decisions = [make.detected("etl_reader") for _ in range(20)]
    assert [decision.verdict for decision in decisions] == ["contain"] + ["covered"] * 19
    assert len({decision.run_id for decision in decisions}) == 1


def test_a_payment_is_held_goes_on_meanwhile_and_a_rejection_leaves_no_trace(role, drive):
    make.house()
    pay = make.identity("payments_writer", known_networks=[], owner_team="payments-team")
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(pay, "pay-main", workflow="payments")
    make.designation(pay, "pay-main", schemas=["payments"], reconnect=True)
    writer = role("payments_writer", ledger=True)
    mine, foreign = writer.connect("pay-main"), writer.connect("psql")

    decision = make.detected("payments_writer", session=None)
    assert (decision.verdict, decision.stage, make.hold_of(decision).reason_class) == ("hold", "hard", "payment")
    run = drive(make.run_of(decision).pk)
    assert run.state == "waiting", [(s.measure, s.state, s.said) for s in run.steps.all()]
    assert _answers(mine)
    assert not _answers(foreign)
    mine.execute("INSERT INTO payments.ledger VALUES (1)")
    assert writer.can_log_in()
    assert not writer.can_read("vault.card_tokens")

    answered = flow.answer_hold(
        make.hold_of(decision).pk,
        "reject",
        actor=cast.person("omar"),
        seen_digest=make.hold_of(decision).plan_digest,
        reason="it is the monthly batch",
    )
    assert answered.settled
    run = drive(run.pk)
    assert run.state == "undone"
    assert writer.can_read("vault.card_tokens")

    again = make.detected("payments_writer", session=None)
    assert (again.verdict, again.sentence) == ("watch", 4)


def _answers(connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except Exception:
        return False
    return True


def test_silence_does_not_contain_whoever_was_protected_while_people_were_asked(role, drive):
    make.house()
    trainer = make.identity("trainer", known_networks=[])
    make.session(trainer, "train-7")
    make.designation(trainer, "train-7", kind="long_running_job", schemas=["payments"])
    role("trainer")
    decision = make.detected("trainer", session=None)
    assert make.hold_of(decision).on_lapse == "contain"
    drive(make.run_of(decision).pk)
    inventory.protect(trainer.pk, "the last one who can train", actor=cast.person("ada"))
    make.deadline_passed(make.hold_of(decision))
    assert flow.lapse_hold(make.hold_of(decision).pk).lapsed_to == "release"


def test_a_lapse_contains_where_the_page_said_so(role, drive):
    make.house()
    trainer = make.identity("trainer", known_networks=[])
    make.session(trainer, "train-7")
    make.designation(trainer, "train-7", kind="long_running_job", schemas=["payments"])
    job = role("trainer")
    decision = make.detected("trainer", session=None)
    drive(make.run_of(decision).pk)
    make.deadline_passed(make.hold_of(decision))
    flow.lapse_hold(make.hold_of(decision).pk)
    assert drive(make.run_of(decision).pk).state == "contained"
    assert not job.can_log_in()


def test_an_exception_spares_until_its_budget_is_spent(role):
    make.house()
    etl = make.identity("etl_reader")
    asked = exceptions.ask(
        scope={"identity": str(etl.pk)},
        reason="the migration reads everything",
        ticket="OPS-1",
        starts_at=clock.now(),
        ends_at=clock.now() + timedelta(hours=1),
        budget_count=2,
        budget_risk=1000,
        actor=cast.person("ines"),
    )
    exceptions.sign(asked.pk, actor=cast.person("mara"))
    decisions = [make.detected("etl_reader") for _ in range(3)]
    assert [decision.verdict for decision in decisions] == ["exempt", "exempt", "contain"]


def test_what_a_revoked_exception_had_spared_is_judged_again(role):
    make.house()
    etl = make.identity("etl_reader")
    asked = exceptions.ask(
        scope={"identity": str(etl.pk)},
        reason="the migration reads everything",
        ticket="OPS-1",
        starts_at=clock.now(),
        ends_at=clock.now() + timedelta(hours=1),
        budget_count=9,
        budget_risk=1000,
        actor=cast.person("ines"),
    )
    exceptions.sign(asked.pk, actor=cast.person("mara"))
    spared = make.detected("etl_reader")
    flow.revoke_grant(asked.pk, "the migration is over", actor=cast.person("mara"))
    again = flow.decide_due(spared.detection_id)
    assert again is not None
    assert (again.generation, again.verdict) == (1, "contain")
