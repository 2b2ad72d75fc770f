"""The main job: a detection, a decision, a cut that is proven, and an undo that gives back exactly what was."""

from __future__ import annotations

import pytest

from audit.models import AuditEntry
from containment import flow
from evidence.models import Artefact
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_leaked_credential_is_dead_with_proof_and_comes_back_whole(role, drive):
    make.house()
    make.workflow("ingest", [{"action": "data.read", "resource": "ingest.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    etl = role("etl_reader")
    live = etl.connect("etl-main")
    decision = make.detected("etl_reader")
    assert (decision.verdict, decision.stage) == ("contain", "hard")
    assert float(decision.risk) == 85.5
    run = drive(decision.run.pk)
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
    assert (decision.verdict, decision.stage, decision.hold.reason_class) == ("hold", "hard", "payment")
    run = drive(decision.run.pk)
    assert run.state == "waiting", [(s.measure, s.state, s.said) for s in run.steps.all()]
    assert _answers(mine)
    assert not _answers(foreign)
    mine.execute("INSERT INTO payments.ledger VALUES (1)")
    assert writer.can_log_in()
    assert not writer.can_read("vault.card_tokens")

    answered = flow.answer_hold(
        decision.hold.pk, "reject", actor=cast.person("omar"), seen_digest=decision.hold.plan_digest, reason="it is the monthly batch"
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
