"""The ladder: what follows a soft stage that did not hold, at once or after people were asked; and what is offered where it holds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals import holds
from approvals.models import Hold
from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import Mood
from containment import cases, cooling, flow, ladder
from containment.models import Case, Identity
from core.actor import SYSTEM
from playbooks import engine
from playbooks.domain.ladder import after_soft
from playbooks.models import PlaybookVersion, Run
from playbooks.refusals import NotRaised
from tests import cast, make, raising

pytestmark = pytest.mark.django_db

CUTS = {"soft": [{"disruptive": True}], "hard": [{"disruptive": True}]}


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
    return raising.asked_since_it_did_not_hold()


@pytest.fixture
def offered():
    """A hold that offers the hard stage of an agent's run, whose soft stage holds."""
    return raising.offered_although_it_holds()


def run_of(hold):
    return Run.objects.get(pk=hold.run_ref.partition(":")[2])


def answered(hold, word):
    return flow.answer_hold(hold.pk, word, actor=cast.person("mara"), seen_digest=hold.plan_digest, reason="said so")


def ended(hold, ending):
    if ending == "reject":
        answered(hold, "reject")
    else:
        make.deadline_passed(hold)
        flow.lapse_hold(hold.pk)


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
    ended(asked, ending)
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


# -- offered although it holds -----------------------------------------------------------------------------------------------------------


def test_a_soft_stage_that_holds_stays_contained_while_people_are_asked_for_more(offered):
    assert (offered.reason_class, offered.on_lapse, offered.plan["raises"]) == ("hard_stage_offered", "release", "hard")
    assert "holds" in offered.because
    assert (run_of(offered).state, run_of(offered).wants) == ("contained", "hard")
    assert ladder.ask_due() == 0
    answered(offered, "approve")
    assert (run_of(offered).state, run_of(offered).stage, run_of(offered).wants) == ("pending", "hard", "")


@pytest.mark.parametrize("ending", ["reject", "lapse"])
def test_a_no_and_silence_leave_what_holds_as_it_is(offered, ending):
    ended(offered, ending)
    run = run_of(offered)
    assert (run.state, run.stage, run.wants) == ("contained", "soft", "")
    assert ladder.ask_due() == 0


def test_what_is_undone_meanwhile_is_not_offered_any_more(offered):
    flow.undo_run(run_of(offered).pk, actor=cast.person("mara"), reason="enough")
    assert ladder.ask_due() == 1
    offered.refresh_from_db()
    assert (offered.state, run_of(offered).wants) == ("withdrawn", "")


def test_nothing_is_offered_where_the_judgement_called_for_the_hard_stage():
    raising.offers()
    decision = make.detected(
        "invoice-agent", identity=raising.AGENT, resource=None, credential=None, session={"id": "inv-1"}, confidence=1.0
    )
    assert (decision.verdict, decision.stage) == ("contain", "hard")
    assert "proven" not in make.run_of(decision).terms


def test_one_that_was_raised_and_holds_again_before_anybody_looked_asks_no_more(offered):
    """The hold about the former stage would else stand beside the hard one until its deadline."""
    Run.objects.filter(pk=run_of(offered).pk).update(stage="hard")
    assert ladder.ask_due() == 1
    offered.refresh_from_db()
    assert (offered.state, run_of(offered).wants) == ("withdrawn", "")


def test_what_a_run_wanted_before_it_held_does_not_stand_for_ever(asked):
    holds.withdraw(asked.pk, "for this test", actor=SYSTEM)
    Run.objects.filter(pk=run_of(asked).pk).update(state="contained", terms={"unproven": "hold"})
    assert ladder.ask_due() == 1
    assert run_of(asked).wants == ""


def test_what_people_refused_is_not_offered_again_when_it_holds_anew(offered):
    answered(offered, "reject")
    Run.objects.filter(pk=run_of(offered).pk).update(wants="hard")
    assert ladder.ask_due() == 1
    assert (run_of(offered).wants, Hold.objects.filter(run_ref=offered.run_ref, state="open").count()) == ("", 0)


def test_under_a_playbook_that_was_withdrawn_nothing_more_is_offered(offered):
    run = run_of(offered)
    PlaybookVersion.objects.filter(pk=run.playbook_id).update(state="revoked", ended_at=clock.now(), ended_because="it cuts too much")
    with pytest.raises(NotRaised, match="it cuts too much"):
        answered(offered, "approve")
    assert ladder.ask_due() == 1
    offered.refresh_from_db()
    assert (offered.state, run_of(offered).state, run_of(offered).wants) == ("withdrawn", "contained", "")


def test_a_no_to_the_hard_stage_is_no_word_for_the_identity(offered):
    answered(offered, "reject")
    identity = Identity.objects.get(pk=offered.identity_ref.partition(":")[2])
    assert cooling.cool_off(identity, clock.now(), timedelta(hours=1)) is None


def test_a_case_stays_open_as_long_as_people_are_to_be_asked(offered):
    run = run_of(offered)
    holds.withdraw(offered.pk, "for this test", actor=SYSTEM)
    assert "people are to be asked for the hard stage" in cases.open_items(Case.objects.get(pk=run.case_ref.partition(":")[2]))
