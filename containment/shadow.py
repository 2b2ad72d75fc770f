"""The shadow: one version judges the same facts beside the one in force, and what it would have decided otherwise is kept. No effects.

flow.py calls `compare` as the last thing of a decision, inside its story. Whatever fails here is kept as trouble or logged, and never
touches the decision.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from uuid import UUID

from audit import clock
from audit.record import attempt, record, story
from containment import policies
from containment.domain.decide import Choice
from containment.domain.facts import Facts
from containment.domain.judge import Judgement, judge
from containment.domain.policy import RiskPolicy
from containment.models import Decision, RiskPolicyVersion, ShadowDifference
from containment.refusals import NotThePerson, ShadowTaken
from core.actor import Actor

log = logging.getLogger(__name__)


@story
def start(version_id: UUID, *, actor: Actor) -> RiskPolicyVersion:
    """From now on this draft judges every decision too."""
    version = _locked(version_id, actor)
    state = policies.POLICY.after(version.state, "shadow")
    if other := RiskPolicyVersion.objects.filter(state="shadow").first():
        raise ShadowTaken(f"{other} judges beside the one in force already. Stop it first: one at a time.")
    version.state, version.shadow_since, version.shadow_until = state, clock.now(), None
    version.shadow_by_id = UUID(actor.principal)
    version.save(update_fields=["state", "shadow_since", "shadow_until", "shadow_by"])
    record("policy.shadowed", version.ref, actor=actor, version=version.version, digest=version.digest)
    return version


@story
def stop(version_id: UUID, *, actor: Actor) -> RiskPolicyVersion:
    """It is a draft again; what it would have decided stays."""
    version = _locked(version_id, actor)
    version.state, version.shadow_until = policies.POLICY.after(version.state, "stop"), clock.now()
    version.save(update_fields=["state", "shadow_until"])
    record("policy.unshadowed", version.ref, actor=actor, version=version.version)
    return version


def compare(decision: Decision, facts: Facts, judgement: Judgement, policy: RiskPolicy) -> None:
    """Judge the same facts under the shadow, if there is one, and keep what is different. Nothing that happens here is raised."""
    shadow = RiskPolicyVersion.objects.filter(state="shadow").only("id", "text").first()
    if shadow is None:
        return
    try:
        with attempt():
            _keep(shadow, decision, _judged(shadow, facts, policy), judgement)
    except Exception as trouble:
        log.exception("the shadow could not judge decision %s", decision.pk)
        _note(shadow, decision, trouble)


def judged_count(version: RiskPolicyVersion) -> int:
    """How many decisions it has judged in its last time as the shadow."""
    if version.shadow_since is None:
        return 0
    since = Decision.objects.filter(decided_at__gte=version.shadow_since)
    return (since.filter(decided_at__lt=version.shadow_until) if version.shadow_until else since).count()


def _judged(shadow: RiskPolicyVersion, facts: Facts, live: RiskPolicy) -> Judgement:
    """The budget is the live one's. Where the live policy has none nothing was counted, so it is taken for unspent."""
    policy = policies.document(shadow.text)
    if live.budget is None and policy.budget is not None:
        facts = replace(facts, budget_left=1)
    return judge(facts, policy)


def _keep(shadow: RiskPolicyVersion, decision: Decision, judgement: Judgement, live: Judgement) -> None:
    choice = judgement.choice
    if _gist(choice) == _gist(live.choice):
        return
    thresholds = judgement.waterfall.thresholds
    ShadowDifference.objects.create(
        version=shadow,
        decision=decision,
        verdict=str(choice.verdict),
        stage=str(choice.stage or ""),
        would_have=str(choice.would_have or ""),
        risk=judgement.risk,
        soft=thresholds.soft,
        hard=thresholds.hard,
        because=choice.because,
        at=decision.decided_at,
    )


def _gist(choice: Choice) -> tuple[object, ...]:
    return choice.verdict, choice.stage, choice.would_have, choice.would_have_stage


def _note(shadow: RiskPolicyVersion, decision: Decision, trouble: Exception) -> None:
    said = f"It could not judge this ({type(trouble).__name__}); the log says why."
    try:
        with attempt():
            ShadowDifference.objects.create(version=shadow, decision=decision, trouble=said, at=decision.decided_at)
    except Exception:
        log.exception("the shadow's trouble with decision %s could not be kept", decision.pk)


def _locked(version_id: UUID, actor: Actor) -> RiskPolicyVersion:
    if not actor.is_person or not (actor.may("policy.author") or actor.may("policy.approve")):
        raise NotThePerson("People who write or approve policies start and stop a shadow.")
    return policies.locked(version_id)
