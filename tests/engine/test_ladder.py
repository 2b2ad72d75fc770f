"""The ladder: what follows a soft stage that did not hold, at once or after people were asked."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import holds
from approvals.models import Hold
from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import Mood
from containment import flow, ladder
from containment.models import Identity
from core.actor import SYSTEM
from playbooks import engine, runs
from playbooks.domain.ladder import after_soft
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db

CUTS = {"soft": [{"disruptive": True}], "hard": [{"disruptive": True}]}
AGENT: dict[str, Any] = {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}
MILD: dict[str, Any] = {
    "resource": None,
    "credential": None,
    "confidence": 0.6,
    "session": {"id": "inv-1"},
    "context": {"environment": "prod"},
}


@pytest.mark.parametrize(
    ("stage", "plan", "unproven", "follows"),
    [
        ("soft", CUTS, "hard", "hard"),
        ("soft", CUTS, "hold", "hold"),
        ("soft", CUTS, "stop", "stop"),
        ("soft", CUTS, None, "stop"),
        ("soft", CUTS, "sideways", "stop"),
        ("hard", CUTS, "hard", "stop"),  # there is nothing above it
        ("soft", {"soft": [], "hard": []}, "hard", "stop"),
        ("soft", {"soft": [], "hard": [{"disruptive": False}]}, "hold", "stop"),
    ],
)
def test_what_follows_a_soft_stage_stands_in_the_terms(stage, plan, unproven, follows):
    assert after_soft(stage, plan, {"unproven": unproven} if unproven else {}) == follows


def saboteur(run, sandbox, times=1):
    sandbox.set_mood(run.target["subject"], Mood.SABOTAGES, times=times)
    run.steps.update(settle_s=0)


@pytest.mark.parametrize("mood", [Mood.SABOTAGES, Mood.PERMISSION_LOST])
def test_a_soft_stage_that_does_not_hold_climbs_to_the_hard_one_in_one_go(started, sandbox, mood):
    run = started("session.pause", hard=["workload.isolate"], terms={"unproven": "hard"})
    sandbox.set_mood(run.target["subject"], mood)
    run.steps.update(settle_s=0)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, run.stage, run.wants) == ("contained", "hard", ""), run.because
    assert sandbox.done(run.target["subject"]) == 1
    raised = AuditEntry.objects.get(verb="run.raised", subject=str(run.ref))
    assert "did not hold" in raised.body


def test_a_hard_stage_that_does_not_hold_either_is_partial(started, sandbox):
    run = started("session.pause", hard=["workload.isolate"], terms={"unproven": "hard"})
    saboteur(run, sandbox, times=1000)
    engine.drive(run.pk, executor="command", turn_s=2)
    run.steps.update(verify_until=run.created_at, next_at=None)
    Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, run.stage) == ("partial", "hard")
    assert sandbox.done(run.target["subject"]) == 0


@pytest.mark.parametrize("unproven", ["hold", "stop"])
def test_without_that_word_the_hard_stage_does_not_follow_by_itself(started, sandbox, unproven):
    run = started("session.pause", hard=["workload.isolate"], terms={"unproven": unproven})
    saboteur(run, sandbox)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, run.stage, run.next_at) == ("partial", "soft", None)
    assert run.wants == ("hard" if unproven == "hold" else "")


# -- with people -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked():
    """A hold that asks for the hard stage of an agent's run, whose soft stage came to nothing that is proven."""
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")
    decision = make.detected("invoice-agent", identity=AGENT, **MILD)
    assert (decision.verdict, decision.stage) == ("contain", "soft")
    run = make.run_of(decision)
    Run.objects.filter(pk=run.pk).update(terms={"unproven": "hold"})
    ticket = runs.claim(run.pk, executor="command")
    assert ticket is not None
    runs.begin(ticket, seen=Run.objects.get(pk=run.pk))
    assert run.steps.filter(disruptive=True).update(state="partial")
    runs.finish(ticket, "leave_partial", because="1 of 1 measures are not whole", seen=Run.objects.get(pk=run.pk))
    assert ladder.ask_due() == 1
    return Hold.objects.get(run_ref=str(run.ref))


def run_of(hold):
    return Run.objects.get(pk=hold.run_ref.partition(":")[2])


def answered(hold, word):
    return flow.answer_hold(hold.pk, word, actor=cast.person("mara"), seen_digest=hold.plan_digest, reason="said so")


def test_people_are_asked_once_and_shown_what_would_follow(asked):
    assert ladder.ask_due() == 0
    assert (asked.state, asked.on_lapse, asked.in_the_end, asked.reason_class) == ("open", "release", "release", "not_proven")
    assert (asked.plan["raises"], asked.plan["versions"]["stage"]) == ("hard", "hard")
    assert asked.plan["plan"] == run_of(asked).plan


def test_contain_now_raises_the_run(asked):
    answered(asked, "approve")
    run = run_of(asked)
    assert (run.state, run.stage, run.wants) == ("pending", "hard", "")
    assert ladder.ask_due() == 0


@pytest.mark.parametrize("ending", ["reject", "lapse"])
def test_a_no_and_silence_leave_it_at_the_stage_it_has(asked, ending):
    if ending == "reject":
        answered(asked, "reject")
    else:
        make.deadline_passed(asked)
        flow.lapse_hold(asked.pk)
    run = run_of(asked)
    assert (run.state, run.stage, run.wants) == ("partial", "soft", "")
    assert not run.steps.filter(state__in=["undoing", "undone"]).exists()
    assert ladder.ask_due() == 0


def test_a_run_of_which_nothing_took_effect_is_over_with_a_no_and_leaves_the_identity_free(asked):
    run_of(asked).steps.filter(disruptive=True).update(state="failed")
    answered(asked, "reject")
    assert (run_of(asked).state, run_of(asked).wants) == ("failed", "")


def test_one_that_cannot_be_asked_about_keeps_nobody_waiting(asked):
    run = run_of(asked)
    Hold.objects.filter(pk=asked.pk).update(state="withdrawn", closed_at=clock.now())
    Run.objects.filter(pk=run.pk).update(decision_ref="decision:00000000-0000-7000-8000-000000000000")
    assert ladder.ask_due() == 0


def test_a_run_that_is_undone_meanwhile_asks_nobody_any_more(asked):
    flow.undo_run(run_of(asked).pk, actor=cast.person("mara"), reason="enough")
    assert ladder.ask_due() == 1
    asked.refresh_from_db()
    assert (asked.state, run_of(asked).wants) == ("withdrawn", "")


def test_what_is_protected_by_then_takes_two(asked):
    run = run_of(asked)
    holds.withdraw(asked.pk, "for this test", actor=SYSTEM)
    Identity.objects.filter(pk=run.identity_ref.partition(":")[2]).update(protected=True)
    assert ladder.ask_due() == 1
    hold = Hold.objects.get(run_ref=str(run.ref), state="open")
    assert (hold.reason_class, hold.as_terms().quorum) == ("protected", 2)
