"""The story from end to end: a detection is judged; a run starts or waits; people answer or time passes; what was done is undone.

Each function is one story: one transaction, its audit entries, and nudges after commit. Locks are taken in the order Identity, Budget,
Case, Run, Step, Hold, audit head. This file alone sees judgement, playbooks and approvals together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db import OperationalError

from approvals import grants, groups, holds
from approvals.domain.moves import Word
from approvals.domain.quorum import Terms
from approvals.holds import Answered
from approvals.models import ExceptionGrant, Hold
from approvals.refusals import PlanChanged
from audit import clock, nudges
from audit.record import record, story
from containment import (
    baselines,
    budget,
    gather,
    gists,
    grouped,
    inventory,
    limits,
    outcomes,
    plans,
    policies,
    protection,
    readiness,
    reviewers,
    shadow,
    targets,
)
from containment.domain.decide import Cap, Verdict
from containment.domain.facts import Facts
from containment.domain.families import Pattern
from containment.domain.judge import Judgement, judge
from containment.domain.policy import RiskPolicy
from containment.intake import Received
from containment.models import Case, Decision, Detection, Identity, RiskPolicyVersion
from containment.refusals import BeingUndone, NoSuchDetection
from core.actor import CLOCK, SYSTEM, Actor
from core.digest import plain
from core.refs import Ref
from core.refusals import Missing, Refusal
from playbooks import returning, runs, switch
from playbooks.domain.moves import LIVE
from playbooks.library import Binding
from playbooks.models import Run

log = logging.getLogger(__name__)

DECIDE = "containment.decide"
KEPT = timedelta(minutes=5)  # what the kill switch holds back looks again that often; switching it off wakes it at once
SWITCHED_OFF = "the kill switch that held it back is off"


# -- deciding ----------------------------------------------------------------------------------------------------------------------------


def take_in(receive: Callable[[], Received]) -> tuple[Received, Decision | None]:
    """Store a detection and decide it, in one story. Where it cannot be decided now, for whatever reason, it is stored alone and due: a
    sweeper decides it. A duplicate is not decided again.
    """
    try:
        return _stored_and_decided(receive)
    except _DecidingError as trouble:
        if isinstance(trouble.__cause__, Refusal):
            log.warning("A detection waits: %s", trouble.__cause__.sentence)
        else:
            log.error("A detection waits: deciding it failed", exc_info=trouble.__cause__)
    except OperationalError as reason:
        log.warning("A detection waits: %s", reason)
    return receive(), None


def decide_here(detection: Detection) -> Decision:
    """Judge a detection that was stored in this very story, by whoever holds the lock of its identity."""
    return _decide(detection, generation=0, cause="")


def keep_open(decision: Decision) -> Case:
    """A case about what judgement only watches, where somebody else had to stop it. The identity is locked, and this is still its story."""
    if decision.case is None:
        decision.case = _case(decision.detection, float(decision.risk), clock.now())
        decision.save(update_fields=["case"])
    return decision.case


class _DecidingError(Exception):
    """Deciding failed, not storing."""


@story
def _stored_and_decided(receive: Callable[[], Received]) -> tuple[Received, Decision | None]:
    received = receive()
    if received.duplicate:
        return received, None
    detection = received.detection
    detection.identity = inventory.lock(detection.identity_id)
    try:
        return received, _decide(detection, generation=0, cause="")
    except OperationalError:
        raise
    except Exception as trouble:
        raise _DecidingError from trouble


@story
def decide(detection_id: UUID) -> Decision:
    """Judge a detection once and set in motion what the judgement says. A second call finds the first decision."""
    detection = Detection.objects.filter(pk=detection_id).first()
    if detection is None:
        raise NoSuchDetection("There is no such detection.")
    identity = inventory.lock(detection.identity_id)
    detection = (
        Detection.objects.select_for_update(of=("self",)).select_related("source", "session", "credential", "resource").get(pk=detection_id)
    )
    detection.identity = identity
    if (earlier := detection.decisions.order_by("generation").first()) is not None:
        return earlier
    return _decide(detection, generation=0, cause="")


@story
def decide_again(detection_id: UUID, *, cause: str) -> Decision:
    """A new generation of a decision, because of something named: an exception that spared it was revoked."""
    detection = Detection.objects.get(pk=detection_id)
    identity = inventory.lock(detection.identity_id)
    detection = (
        Detection.objects.select_for_update(of=("self",)).select_related("source", "session", "credential", "resource").get(pk=detection_id)
    )
    detection.identity = identity
    last = detection.decisions.order_by("-generation").first()
    if last is not None and detection.state != "received":
        return last  # another worker was faster
    if last is None:
        return _decide(detection, generation=0, cause=cause)
    return _decide(detection, generation=last.generation + 1, cause=cause, kept=last if _was_held_back(last) else None)


def _decide(detection: Detection, *, generation: int, cause: str, kept: Decision | None = None) -> Decision:
    """`kept`: the decision that the kill switch held back, and that this one takes the place of: judged as the same generation, because a
    cool-off ends with a new cause, and not with the switch; and counted once in its case."""
    version = policies.in_force()
    policy = policies.document(version.text)
    now = clock.now()
    facts, judgement, pattern, spent = _judge(detection, policy, now, kept.facts.get("generation", 0) if kept else generation)
    if judgement.choice.releases and not plans.fits(detection, facts, judgement, pattern):
        _make_way(detection, judgement)
        facts, judgement, pattern = _under_the_fitting_plan(detection, gather.under_no_run(facts), policy)
    decision = _decision(detection, version, judgement, facts, generation, cause, now)
    counted = kept.case if kept else None
    if judgement.choice.held_back or counted is not None:
        decision.case = _case(detection, judgement.risk, now, counted=counted)
    if judgement.verdict is not Verdict.WATCH:
        binding = plans.binding_for(detection, facts, pattern)
        decision.playbook, decision.passed_over = str(binding.version), list(binding.passed_over)
        decision.case = decision.case or _case(detection, judgement.risk, now)
    record(
        "decision.made",
        decision.ref,
        actor=CLOCK,
        about=[detection.ref, detection.identity.ref, decision.case.ref if decision.case else None],
        verdict=decision.verdict,
        stage=decision.stage,
        risk=judgement.risk,
        because=decision.because,
        policy_version=version.version,
        digest=decision.digest,
        generation=generation,
        cause=cause,
    )
    match judgement.verdict:
        case Verdict.CONTAIN:
            decision.run = _start(decision, detection, facts, judgement, binding, pattern)
            budget.spend(detection, now)
        case Verdict.HOLD:
            decision.run, decision.hold = _ask(decision, detection, facts, judgement, binding, pattern, policy)
            if judgement.choice.spends:
                budget.spend(detection, now)
            if judgement.choice.grouped and spent is not None:
                budget.count_refused(spent, now)
        case Verdict.COVERED:
            decision.run = _covering(facts, judgement)
            if judgement.choice.contains_again:
                budget.spend(detection, now)
            if judgement.choice.raises and judgement.stage is not None:
                raised = runs.raise_stage(decision.run.pk, to=str(judgement.stage), because=judgement.because)
                if raised.stage != decision.run.stage:
                    budget.spend_anew(detection, now)  # where people had released it, nothing was spent for it yet
            if judgement.choice.retries:
                outcomes.try_again(decision.run)
            if judgement.choice.releases:
                _release(decision.run, judgement)
                budget.spend(detection, now)
        case Verdict.EXEMPT:
            decision.grant = ExceptionGrant.objects.get(pk=UUID(judgement.choice.grant))
    decision.save(force_insert=True)
    if judgement.choice.held_back:
        _keep_due(detection, now)
        return decision
    gists.keep(decision, facts, policy)
    detection.state, detection.next_at, detection.crash_count = "decided", None, 0
    detection.save(update_fields=["identity", "state", "next_at", "crash_count"])
    if judgement.verdict is Verdict.WATCH and not judgement.choice.would_have and gather.may_be_a_step(detection):
        baselines.take(gather.doing_of(detection), policy, learn=gather.may_learn(detection), now=now)  # only what nobody had to look at
    shadow.compare(decision, facts, judgement, policy)
    return decision


def _keep_due(detection: Detection, now: datetime) -> None:
    """Held back by the kill switch: it is decided again once that is off; what is learned and compared is what is said then."""
    detection.state, detection.next_at, detection.crash_count = "received", now + KEPT, 0
    detection.save(update_fields=["identity", "state", "next_at", "crash_count"])


def _was_held_back(decision: Decision) -> bool:
    return Cap.KILL_SWITCH in decision.waterfall.get("choice", {}).get("capped_by", ())


def _covering(facts: Facts, judgement: Judgement) -> Run:
    """The run that has the identity, locked. One that is being undone covers nothing that would have to be acted on; one that comes back
    level by level is cut again, or stays at its level, where judgement says so, and is judged anew where it was not on its way yet."""
    run, choice = runs.lock(UUID(judgement.choice.run)), judgement.choice
    acts = choice.would_have in (Verdict.CONTAIN, Verdict.HOLD)
    if run.state == "reinstating" and choice.contains_again:
        return returning.contain_again(run.pk, actor=SYSTEM, because=judgement.because)
    if run.state == "reinstating" and choice.stays and returning.is_watched(run):
        return returning.stay(run.pk, because=judgement.because)
    turned = run.state == "reinstating" and (choice.stays or not (facts.run and facts.run.returning))
    if acts and (turned or run.state == "undoing" or run.state not in LIVE):
        raise BeingUndone("A run about this identity is being undone. It is decided as soon as that is over.", run=str(run.pk))
    return run


def _release(run: Run, judgement: Judgement) -> None:
    """People need not answer any more: what came by itself calls for what they were asked about."""
    grouped.stop_asking(run, judgement.because)
    runs.release(run.pk, actor=SYSTEM, because=judgement.because, stage=str(judgement.stage))


def _make_way(detection: Detection, judgement: Judgement) -> None:
    """The run that waits would act on another plan: it is withdrawn, and the detection decided as if it had never been."""
    Case.objects.select_for_update().filter(identity=detection.identity).exclude(state="closed").first()
    run = runs.lock(UUID(judgement.choice.run))
    grouped.stop_asking(run, judgement.because)
    runs.stand_down(run.pk, actor=SYSTEM, because=judgement.because)


def _judge(
    detection: Detection, policy: RiskPolicy, now: datetime, generation: int
) -> tuple[Facts, Judgement, Pattern, budget.Left | None]:
    """Judged as if the budget were unspent; where that would act by itself, judged again with what is left of it: under its lock, unless it
    is spent already."""
    left: budget.Left | None = None
    facts = gather.under_the_switch(gather.facts_of(detection, policy, now=now, generation=generation), switch.position())
    facts, judgement, pattern = _shielded(detection, *_under_the_fitting_plan(detection, facts, policy), policy)
    while judgement.verdict is Verdict.EXEMPT and not _spared(detection, judgement):  # another spent the grant's last; it covers no more
        facts, judgement, pattern = _under_the_fitting_plan(detection, gather.without_grant(facts, judgement.choice.grant), policy)
    if judgement.choice.spends or judgement.choice.raises:
        left = budget.left(detection, policy)
        if judgement.choice.spends and (why := _over_its_budget(detection, policy)):
            return *_under_the_fitting_plan(detection, gather.from_observed_source(facts, why), policy), None
        if left.count != facts.budget_left:
            facts, judgement, pattern = _under_the_fitting_plan(detection, gather.with_budget(facts, left.count), policy)
        if judgement.verdict is Verdict.HOLD and judgement.choice.grouped:
            budget.refused(detection, left, now)
    return facts, judgement, pattern, left


def _shielded(
    detection: Detection, facts: Facts, judgement: Judgement, pattern: Pattern, policy: RiskPolicy
) -> tuple[Facts, Judgement, Pattern]:
    """Where something would be done: judged again with whom connectors ask to protect, and with what we would lock ourselves out of."""
    choice = judgement.choice
    if (choice.verdict is Verdict.WATCH and choice.would_have is None) or (choice.verdict is Verdict.COVERED and not choice.acts):
        return facts, judgement, pattern

    def asking() -> Terms:
        binding = plans.binding_for(detection, facts, pattern)
        quorum = binding.document.hold_for(str(judgement.choice.hold_reason)).quorum
        return reviewers.terms_for(detection, judgement.choice.bystanders, binding.version, quorum=quorum)

    looked_at = protection.shielded(facts, detection.identity, asking if judgement.verdict is Verdict.HOLD else None)
    return (facts, judgement, pattern) if looked_at == facts else _under_the_fitting_plan(detection, looked_at, policy)


def _over_its_budget(detection: Detection, policy: RiskPolicy) -> str:
    """Counted under the budget's lock as well. A source that is over its own budget observes from now on."""
    allows = policy.budget.per_source_hour if policy.budget else 0
    return limits.over_budget(detection.source, detection.identity, policy_allows=allows, now=clock.now())


def _spared(detection: Detection, judgement: Judgement) -> bool:
    return grants.spend(UUID(judgement.choice.grant), judgement.risk, about=[detection.ref, detection.identity.ref])


def _under_the_fitting_plan(detection: Detection, facts: Facts, policy: RiskPolicy) -> tuple[Facts, Judgement, Pattern]:
    """Which plan fits depends on the pattern, and who lies inside the cut on the plan."""
    judgement = judge(facts, policy)
    pattern = targets.pattern_of(facts, judgement)
    if pattern is Pattern.SHARED_CREDENTIAL:
        facts = gather.sparing(facts, targets.stage_cuts(facts))
        judgement = judge(facts, policy)
    if judgement.choice.credential_only and not plans.has_credential_measure(detection, plans.binding_for(detection, facts, pattern)):
        facts = gather.without_credential_measure(facts)
        judgement = judge(facts, policy)
    return facts, judgement, pattern


def _decision(
    detection: Detection,
    version: RiskPolicyVersion,
    judgement: Judgement,
    facts: Facts,
    generation: int,
    cause: str,
    now: datetime,
) -> Decision:
    choice = judgement.choice
    return Decision(
        detection=detection,
        policy=version,
        generation=generation,
        cause=cause,
        verdict=str(choice.verdict),
        stage=str(choice.stage or ""),
        sentence=choice.sentence,
        because=choice.because,
        would_have=str(choice.would_have or ""),
        risk=judgement.risk,
        soft=judgement.waterfall.thresholds.soft,
        hard=judgement.waterfall.thresholds.hard,
        signals=plain(judgement.waterfall.signals),
        waterfall=plain({"waterfall": judgement.waterfall, "choice": choice, "cut": judgement.cut, "conclusive": judgement.conclusive}),
        facts=plain(facts),
        digest=judgement.digest,
        decided_at=now,
    )


def _case(detection: Detection, risk: float, now: datetime, *, counted: Case | None = None) -> Case:
    """The open case of its identity, or a new one. `counted`: the one that counts this detection already."""
    case = Case.objects.select_for_update().filter(identity=detection.identity).exclude(state="closed").first()
    if case is None:
        case = Case.objects.create(
            identity=detection.identity,
            title=detection.title,
            opened_at=now,
            first_event_at=detection.occurred_at,
            last_event_at=now,
            detections_seen=1,
            highest_risk=risk,
        )
        record("case.opened", case.ref, actor=SYSTEM, about=[detection.identity.ref, detection.ref], identity=str(detection.identity))
        return case
    if case == counted:
        return case
    case.detections_seen += 1
    case.last_event_at = now
    case.first_event_at = min(case.first_event_at, detection.occurred_at)
    case.highest_risk = max(float(case.highest_risk), risk)
    case.save(update_fields=["detections_seen", "last_event_at", "first_event_at", "highest_risk"])
    return case


def _start(decision: Decision, detection: Detection, facts: Facts, judgement: Judgement, binding: Binding, pattern: Pattern) -> Run:
    plan = plans.plan_for(detection, facts, judgement, binding, pattern)
    assert decision.case is not None  # noqa: S101 - whoever contains has a case
    run = runs.start(
        binding.version,
        identity=detection.identity.ref,
        case=decision.case.ref,
        decision=decision.ref,
        target=plan.target,
        plan=plan.stages,
        plan_digest=plan.digest,
        terms=plan.terms,
        stage=str(judgement.stage),
    )
    return runs.set_aside(run.pk, because=plan.trouble) if plan.trouble else run


def _ask(
    decision: Decision,
    detection: Detection,
    facts: Facts,
    judgement: Judgement,
    binding: Binding,
    pattern: Pattern,
    policy: RiskPolicy,
) -> tuple[Run, Hold]:
    choice = judgement.choice
    plan = plans.plan_for(detection, facts, judgement, binding, pattern)
    assert decision.case is not None  # noqa: S101 - whoever holds has a case
    run = runs.prepare(
        binding.version,
        identity=detection.identity.ref,
        case=decision.case.ref,
        decision=decision.ref,
        target=plan.target,
        plan=plan.stages,
        plan_digest=plan.digest,
        terms=plan.terms,
        stage=str(judgement.stage),
        interim=choice.interim or choice.evidence_only,
    )
    if choice.grouped and (group := grouped.ask(run, detection, judgement, plan, policy)) is not None:
        return run, group
    cannot = readiness.warning(plan.stages.get(str(judgement.stage), []), plan.target)
    reason = str(choice.hold_reason)
    terms = binding.document.hold_for(reason)
    quorum = max(terms.quorum, groups.QUORUM) if choice.grouped or choice.evidence_only else terms.quorum
    hold = holds.open(
        run_ref=str(run.ref),
        case_ref=run.case_ref,
        identity_ref=run.identity_ref,
        title=detection.title,
        because=" ".join(filter(None, (choice.because, plan.trouble, cannot))),
        reason_class=reason,
        plan=plan.shown,
        plan_digest=plan.digest,
        terms=reviewers.terms_for(detection, choice.bystanders, binding.version, quorum=quorum),
        patience=_patience(judgement),
        on_lapse="escalate" if choice.grouped else terms.on_lapse,
        in_the_end="release" if choice.grouped else terms.then,
        keep_interim=terms.keep_interim,
        actor=SYSTEM,
    )
    return run, hold


def _patience(judgement: Judgement) -> timedelta:
    assert judgement.choice.patience is not None  # noqa: S101 - a hold always has one
    return judgement.choice.patience


# -- people and time ---------------------------------------------------------------------------------------------------------------------


def answer_hold(
    hold_id: UUID, word: Word, *, actor: Actor, seen_digest: str, reason: str = "", seen_requests: Collection[UUID] = ()
) -> Answered:
    """A person says "contain now" (approve) or "leave it running" (reject), with the digest of the plan on their screen. What has become
    protected since is not contained on the words that were asked for before: another hold asks two people. Of the calls that wait for it,
    "leave it running" allows those that were on the screen as well.
    """
    said = _answered(hold_id, word, actor=actor, seen_digest=seen_digest, reason=reason, seen_requests=seen_requests)
    if isinstance(said, Hold):
        raise PlanChanged("It has become protected since it was asked about. Another hold asks two people about it now.", hold=str(said.pk))
    return said


@story
def _answered(
    hold_id: UUID, word: Word, *, actor: Actor, seen_digest: str, reason: str, seen_requests: Collection[UUID]
) -> Answered | Hold:
    identity = _lock_identity_of(hold_id)
    run = _lock_run_of(hold_id)
    kept_back = switch.refusal()
    if run is None:
        grouped.close_list(hold_id, seen_digest)  # of a hold that is not about many, it closes none
    elif (
        word == "approve"
        and kept_back is None
        and _is_protected(identity, run)
        and (hold := holds.asks_too_few(hold_id, actor=actor)) is not None
    ):
        return outcomes.ask_two(hold, run)
    answered = holds.answer(
        hold_id, word, actor=actor, seen_digest=seen_digest, reason=reason, seen_requests=seen_requests, kept_back=kept_back
    )
    if answered.settled and answered.hold.grouped:
        grouped.ended(answered.hold)
    elif answered.settled and run is not None:
        _follow(answered.hold, "contain" if answered.hold.state == "approved" else "release", actor=actor)
    return answered


@story
def extend_hold(hold_id: UUID, *, actor: Actor, reason: str, seen_deadline: datetime | None = None) -> Hold:
    _lock_run_of(hold_id)
    return holds.extend(hold_id, actor=actor, reason=reason, seen_deadline=seen_deadline)


@story
def lapse_hold(hold_id: UUID) -> Hold:
    """Nobody answered in time: what the page said would follow, follows; but silence never contains an identity that is protected by
    now, nor one that is only observed by now, nor more identities than the budget allows.
    """
    if Hold.objects.filter(pk=hold_id, grouped=True).exists():
        return _lapse_group(hold_id)
    identity = _lock_identity_of(hold_id)
    containing = _contains(hold_id, identity)
    budget_spent = containing is not None and budget.left(containing, policies.document(policies.in_force().text), beside=True).count < 1
    run = _lock_run_of(hold_id)
    observed = outcomes.observed_by_now(containing, containing.identity) if containing is not None else ""
    protected = run is not None and _is_protected(identity, run)
    hold = holds.lapse(hold_id, protected=protected, observed=observed, budget_spent=budget_spent, switched=switch.was_on_at)
    if hold.state == "lapsed" and run is not None:
        _follow(hold, hold.lapsed_to, actor=CLOCK)
        if containing is not None and hold.lapsed_to == "contain":
            budget.spend_anew(containing, clock.now())
    return hold


def _lapse_group(hold_id: UUID) -> Hold:
    """More than the budget allows is never contained because nobody answered."""
    hold = holds.lapse(hold_id, budget_spent=True, switched=switch.was_on_at)
    if hold.state == "lapsed":
        grouped.ended(hold)
    return hold


def _contains(hold_id: UUID, identity: Identity | None) -> Detection | None:
    """The detection behind a hold whose silence contains, about the identity as it is now."""
    decisions = Decision.objects.filter(hold_id=hold_id, hold__in_the_end="contain").select_related(
        "detection__source", "detection__identity"
    )
    decision = decisions.order_by("decided_at").first()
    if decision is None:
        return None
    if identity is not None:
        decision.detection.identity = identity
    return decision.detection


def _is_protected(identity: Identity | None, run: Run | None) -> bool:
    return outcomes.protected_by_now(identity, run)


def _lock_identity_of(hold_id: UUID) -> Identity | None:
    identity_ref = Hold.objects.filter(pk=hold_id).values_list("identity_ref", flat=True).first() or ""
    return inventory.lock(UUID(Ref.parse(identity_ref).id)) if identity_ref else None


@story
def undo_run(run_id: UUID, *, actor: Actor, reason: str, early: bool = False) -> Run:
    """Put back what a run did; `early`: also before it came to rest. Its identity gets a cool-off: the same signals do not cut again
    (sentence 4)."""
    return runs.undo(run_id, actor=actor, reason=reason, early=early)


@story
def revoke_grant(grant_id: UUID, reason: str, *, actor: Actor) -> ExceptionGrant:
    """The exception ends now, and what it had spared is judged again, each as a new generation."""
    grant = grants.revoke(grant_id, reason, actor=actor)
    for decision in Decision.objects.filter(grant=grant, verdict="exempt"):
        Detection.objects.filter(pk=decision.detection_id).update(state="received", next_at=clock.now())
        record(
            "detection.reopened", decision.detection.ref, actor=actor, about=[grant.ref], because="the exception that spared it was revoked"
        )
        nudges.wake_worker(DECIDE, decision.detection_id)
    return grant


def _lock_run_of(hold_id: UUID) -> Run | None:
    """Run first, hold second: the order of the house. A group has many runs and locks none before it ends; a call has none."""
    run_ref = Hold.objects.filter(pk=hold_id).values_list("run_ref", flat=True).first()
    if run_ref is None:
        raise Missing("There is no such hold.")
    return None if not run_ref else runs.lock(UUID(Ref.parse(run_ref).id))


def _follow(hold: Hold, to: str, *, actor: Actor) -> None:
    run_id = UUID(Ref.parse(hold.run_ref).id)
    if to == "contain":
        outcomes.contain(run_id, actor=actor, because=hold.closed_because or "approved")
        return
    keep = hold.keep_interim if hold.state == "lapsed" else timedelta(0)
    outcomes.leave_running(run_id, actor=actor, because=hold.closed_because or "released", keep=keep)


# -- what is due -------------------------------------------------------------------------------------------------------------------------


def decide_due(detection_id: UUID) -> Decision | None:
    """Decide what was stored and not yet decided. Counts the attempt first, so that a detection that kills workers is set aside."""
    if switch.stops_new() and Decision.objects.filter(detection_id=detection_id).exists():
        _postpone([detection_id])  # said already, and nothing follows yet
        return None
    if not _counts(detection_id):
        return None
    try:
        detection = Detection.objects.get(pk=detection_id)
        last = detection.decisions.order_by("-generation").first()
        if last is not None and _was_held_back(last):
            return decide_again(detection_id, cause=SWITCHED_OFF)
        revoked = detection.decisions.filter(verdict="exempt", grant__state="revoked").exists()
        return decide_again(detection_id, cause="the exception that spared it was revoked") if revoked else decide(detection_id)
    except BeingUndone as refusal:
        runs.hasten(UUID(refusal.facts["run"]), because="something new was reported about this identity")
        _wait(detection_id)
        return None
    except Refusal as refusal:  # no policy or playbook is in force, or the plan cannot be made: nobody crashed, and it is tried again
        log.warning("the detection %s waits: %s", detection_id, refusal.sentence)
        _wait(detection_id)
        return None


def keep_back(limit: int) -> int:
    """While the kill switch is on: what is due because that held it back looks again later, so that the rest is decided meanwhile."""
    if not switch.stops_new():
        return 0
    due = Detection.objects.filter(state="received", next_at__lte=clock.now(), decisions__isnull=False).order_by("next_at")
    return _postpone(list(due.values_list("pk", flat=True).distinct()[:limit]))


def wake_held_back() -> None:
    """The kill switch is milder: where it is off, everything that it held back is due now."""
    if not switch.stops_new():
        Detection.objects.filter(state="received", next_at__gt=clock.now(), decisions__isnull=False).update(next_at=clock.now())


def _postpone(keys: list[UUID]) -> int:
    return Detection.objects.filter(pk__in=keys, state="received").update(next_at=clock.now() + KEPT)


@story
def _counts(detection_id: UUID) -> bool:
    detection = Detection.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=detection_id, state="received").first()
    if detection is None:
        return False
    detection.crash_count += 1
    detection.next_at = clock.now() + gather.RETRY_AFTER
    if detection.crash_count > gather.STRIKES:
        detection.state, detection.next_at = "quarantined", None
        record("detection.quarantined", detection.ref, actor=SYSTEM, about=[detection.identity.ref], crashes=detection.crash_count - 1)
    detection.save(update_fields=["crash_count", "next_at", "state"])
    return detection.state == "received"


@story
def _wait(detection_id: UUID) -> None:
    Detection.objects.filter(pk=detection_id).update(crash_count=0)


__all__ = [
    "answer_hold",
    "decide",
    "decide_again",
    "decide_due",
    "extend_hold",
    "lapse_hold",
    "revoke_grant",
    "undo_run",
]
