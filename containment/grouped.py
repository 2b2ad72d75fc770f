"""Grouped: what the containment budget does not cover, asked about as one. Who joins and leaves, and what follows for each when it is over.

The end of a group is one transaction; what it means for hundreds of runs is due work, one story for each, found by the sweepers whatever
died in between. Locks are taken in the order of the house; approvals/groups.py keeps the list.
"""

from __future__ import annotations

import logging
from functools import partial
from uuid import UUID

from django.db.models.functions import Now

from approvals import groups, holds, requests
from approvals.domain import quorum
from approvals.groups import Candidate
from approvals.models import GroupMember, Hold
from approvals.refusals import AlreadyEnded, NotYours
from audit import nudges
from audit.record import story
from containment import inventory, outcomes, reviewers
from containment.domain.judge import Judgement
from containment.domain.policy import HoldReason, RiskPolicy
from containment.models import Decision, Detection
from containment.plans import Plan
from core.actor import SYSTEM, Actor
from core.refs import Ref
from core.refusals import Missing, Refusal
from playbooks import library, runs
from playbooks.models import Run

log = logging.getLogger(__name__)

FOLLOW = "containment.follow"
AT_A_TIME = 50
BECAUSE = "The containment budget is spent: what comes after that is contained only by the word of two people."


def ask(run: Run, detection: Detection, judgement: Judgement, plan: Plan, policy: RiskPolicy) -> Hold | None:
    """The group that asks about this run. None where its people could not answer any more: then it is asked about by itself."""
    identity = detection.identity
    candidate = Candidate(
        run_ref=str(run.ref),
        case_ref=run.case_ref,
        identity_ref=run.identity_ref,
        name=identity.label,
        kind=identity.kind,
        environment=identity.environment,
        team=reviewers.team_for(identity.environment),
        title=detection.title,
        because=f"{judgement.choice.because} {plan.trouble}".strip(),
        risk=judgement.risk,
        plan_digest=plan.digest,
        versions=plan.versions,
        never=reviewers.never_of(detection, plan.binding.version),
        quorum=plan.binding.document.hold_for(str(HoldReason.BUDGET)).quorum,
    )
    asked = partial(reviewers.for_group, identity.environment)
    return groups.join(candidate, reviewers=asked, patience=policy.patience[HoldReason.BUDGET], because=BECAUSE)


def stop_asking(run: Run, because: str) -> None:
    """Nobody needs to answer about this run any more. AlreadyEnded where people were faster: the detection stays due, and is decided under
    what they said."""
    key = Hold.objects.filter(run_ref=str(run.ref), state="open").values_list("pk", flat=True).first()
    if key is not None:
        holds.supersede(key, because, actor=SYSTEM)
    elif groups.leave(str(run.ref), because, actor=SYSTEM) is None:
        raise AlreadyEnded("The hold was answered just now. It is decided in a moment.")
    requests.nobody_answers(str(run.ref), "People are not asked about it any more: it was decided without them.")


def close_list(hold_id: UUID, seen_digest: str) -> None:
    """The list ends with what was read; the decisions of those who came later point at the hold that asks about them now."""
    if closed := groups.close_list(hold_id, seen_digest):
        keys = [UUID(Ref.parse(ref).id) for ref in closed.run_refs]
        Decision.objects.filter(hold_id=hold_id, run__in=keys).update(hold=closed.later)


def ended(hold: Hold) -> None:
    """Its members are due. A nudge that is lost costs a sweep."""
    nudges.wake_worker(FOLLOW, hold.pk)


@story
def ask_alone(member_id: UUID, *, actor: Actor) -> Hold:
    """Take one out of its group: its own plan is read, and answered by as many people, with a deadline of its own."""
    member = _member(member_id)
    identity = inventory.lock(UUID(Ref.parse(member.identity_ref).id))
    run = runs.lock(UUID(Ref.parse(member.run_ref).id))
    verdict = quorum.admits(member.hold.as_terms(), actor)
    if not verdict:
        raise NotYours(verdict.sentence, who_could=list(verdict.who_could))
    left = groups.leave(member.run_ref, "It is asked about by itself.", actor=actor)
    if left is None:
        raise AlreadyEnded("It needs no answer in this group any more.")
    return _alone(left, run, protected=outcomes.protected_by_now(identity, None), actor=actor)


def follow_due(member_id: UUID) -> bool:
    """One member of a group that has ended. The attempt is counted first; what cannot be done now is tried again, after the others."""
    if not groups.begin(member_id):
        return False
    try:
        return _follow(member_id)
    except Refusal as refusal:
        log.warning("the member %s waits: %s", member_id, refusal.sentence)
        groups.postpone(member_id)
        return False


def follow_some(hold_id: UUID) -> None:
    """A worker's share, and another nudge where more is left."""
    keys = GroupMember.objects.filter(hold_id=hold_id, next_at__lte=Now()).order_by("next_at", "id").values_list("pk", flat=True)
    found = list(keys[: AT_A_TIME + 1])
    for key in found[:AT_A_TIME]:
        follow_due(key)
    if len(found) > AT_A_TIME:
        nudges.wake_worker(FOLLOW, hold_id)


@story
def _follow(member_id: UUID) -> bool:
    """Do for its run what people said, or what silence means. False where another worker was faster."""
    member = _member(member_id)
    identity = inventory.lock(UUID(Ref.parse(member.identity_ref).id))
    run = runs.lock(UUID(Ref.parse(member.run_ref).id))
    due = groups.lock_due(member_id)
    if due is None:
        return False
    contains = due.hold.state == "approved"
    if run.state != "waiting":
        groups.settle(due, "leave", because=f"Its run is {run.state.replace('_', ' ')} already.", actor=SYSTEM)
    elif contains and outcomes.protected_by_now(identity, run):
        groups.settle(due, "leave", because="It has become protected since, which nobody who answered could see.", actor=SYSTEM)
        _alone(due, run, protected=True, actor=SYSTEM)
    else:
        because = _said(due.hold)
        if due.hold.state == "lapsed" and (observed := _observed(run)):
            because = f"{because}; {observed}"
        (outcomes.contain if contains else outcomes.leave_running)(run.pk, actor=SYSTEM, because=because)
        groups.settle(due, "follow", because=because, actor=SYSTEM)
    return True


def _alone(member: GroupMember, run: Run, *, protected: bool, actor: Actor) -> Hold:
    """A hold of its own for what was asked about in a group: the same plan, the same number of people at least."""
    decision = run.decisions.filter(hold=member.hold).select_related("detection__identity").order_by("decided_at").first()
    if decision is None:
        raise Missing("No decision asks about this run.")
    reason = HoldReason.PROTECTED if protected else HoldReason.BUDGET
    terms = library.document(run.playbook.text).hold_for(str(reason))
    hold = holds.open(
        run_ref=member.run_ref,
        case_ref=member.case_ref,
        identity_ref=member.identity_ref,
        title=member.title,
        because=member.because,
        reason_class=str(reason),
        plan={"plan": run.plan, "target": run.target, "versions": member.asks["versions"]} | ({"terms": run.terms} if run.terms else {}),
        plan_digest=member.plan_digest,
        terms=reviewers.terms_for(decision.detection, (), run.playbook, quorum=max(groups.QUORUM, terms.quorum)),
        patience=member.hold.patience,
        on_lapse="release" if protected else "escalate",
        in_the_end="release",
        actor=actor,
    )
    Decision.objects.filter(run=run, hold=member.hold).update(hold=hold)
    return hold


def _observed(run: Run) -> str:
    decision = run.decisions.select_related("detection__identity").order_by("decided_at").first()
    return outcomes.observed_by_now(decision.detection, decision.detection.identity) if decision else ""


def _said(hold: Hold) -> str:
    match hold.state:
        case "approved":
            people = sorted({str(answer.person) for answer in hold.answers.filter(word="approve").select_related("person")})
            return f"{' and '.join(people)} said “contain now” about the whole group."
        case "rejected":
            return f"{hold.closed_by} said “leave it running” about the whole group: {hold.closed_because}"
    return hold.closed_because or "Nobody answered about the group in time."


def _member(member_id: UUID) -> GroupMember:
    member = GroupMember.objects.select_related("hold").filter(pk=member_id).first()
    if member is None:
        raise Missing("There is no such member of a group.")
    return member
