"""Outcomes: what the ending of a hold means for its run, and what has changed since it was asked. Called with the Run locked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.db.models import Q

from approvals import groups, holds
from approvals.models import Hold
from containment import gate, limits, lockout, policies, protection
from containment.domain.facts import Kind
from containment.domain.policy import HoldReason, Mode
from containment.models import Credential, Decision, Detection, Identity, Source
from core.actor import SYSTEM, Actor
from core.refs import Ref
from playbooks import library, runs
from playbooks.domain.plan import cuts
from playbooks.models import Run


def contain(run_id: UUID, *, actor: Actor, because: str) -> None:
    """The run acts, or goes on to the stage that it calls for; one that no machine can carry out is a person's."""
    if runs.lock(run_id).wants:
        runs.climb(run_id, actor=actor, because=because)
        return
    run = runs.release(run_id, actor=actor, because=because)
    if not cuts(run.plan, run.stage):
        missing = "The plan cuts nothing by itself." if run.plan.get(run.stage) else "No connector can carry this plan out."
        runs.set_aside(run_id, because=f"{missing} A person has to.")


def leave_running(run_id: UUID, *, actor: Actor, because: str, keep: timedelta = timedelta(0)) -> None:
    """The run will not act, and what its interim stage did is put back, after `keep`. Where a person says so, what the guard paused by
    itself goes on as well. A run that people were asked to raise stays as it is."""
    if runs.lock(run_id).wants:
        runs.want_no_more(run_id, actor=actor, because=because)
        return
    run = runs.stand_down(run_id, actor=actor, because=because, keep=keep)
    if actor.is_person:
        gate.open_again(Ref.parse(run.identity_ref).id)


def try_again(run: Run) -> None:
    """More came about an identity whose run was set aside: what a step waits for a person with is tried again, looking before it acts.
    A run that killed its workers, or whose playbook was withdrawn, is not: the decision says that a person has to look."""
    if run.steps.filter(state="needs_human").exclude(stage="interim").exists() and not runs.why_not_again(run):
        runs.retry(run.pk, actor=SYSTEM)


def protected_by_now(identity: Identity | None, run: Run | None) -> bool:
    """Whether silence, or one person's word, contains it no more: it is protected, a connector asks for that, the plan cuts into somebody
    who is, or it would lock us out."""
    if run is not None and cuts_into_the_protected(run):
        return True
    if identity is None:
        return False
    return identity.protected or bool(protection.protected_because(identity) or lockout.stands(identity))


def cuts_into_the_protected(run: Run) -> bool:
    """Whether the credential that the plan cuts, or another user of it, is protected by now; or people were asked because it would lock us
    out."""
    facts = run.decisions.order_by("decided_at").values_list("facts", flat=True).first() or {}
    if facts.get("locks_out"):
        return True
    credential = facts.get("credential")
    if not credential or facts.get("scoped"):
        return False
    guarded = Q(protected=True) | Q(uses__identity__protected=True)
    return Credential.objects.filter(guarded, pk=UUID(credential["id"])).exists()


def observed_by_now(detection: Detection, identity: Identity) -> str:
    """Why nothing is contained by itself any more, as a clause: its kind is only observed here by now, or whoever reported it is. Empty
    where both act."""
    policy = policies.document(policies.in_force().text)
    if policy.mode(Kind(identity.kind), identity.environment) is Mode.OBSERVE:
        where = f"in {identity.environment}" if identity.environment else "without an environment"
        return f"every {identity.kind.replace('_', ' ')} {where} is only observed by now"
    source = Source.objects.get(pk=detection.source_id)
    return f"{source.name}, which reported it, is only observed by now" if limits.observed_because(source) else ""


def spared(hold: Hold) -> str:
    """Why silence contains nobody, whatever was announced when the hold opened; a clause for its page, empty where it would."""
    decision = Decision.objects.filter(hold=hold).select_related("detection__identity").order_by("decided_at").first()
    if decision is None or hold.in_the_end != "contain":
        return ""
    identity = decision.detection.identity
    if protected_by_now(identity, decision.run):
        return "it is protected by now"
    return observed_by_now(decision.detection, identity)


def ask_two(hold: Hold, run: Run) -> Hold:
    """What the hold asks about has become protected: another one asks two people about the same plan, and silence never contains it."""
    terms = hold.as_terms()
    of_protected = library.document(run.playbook.text).hold_for(str(HoldReason.PROTECTED))
    quorum = max(groups.QUORUM, terms.quorum, of_protected.quorum)
    holds.supersede(hold.pk, "It has become protected since it was asked about: two people decide.", actor=SYSTEM)
    asking = holds.open(
        run_ref=hold.run_ref,
        case_ref=hold.case_ref,
        identity_ref=hold.identity_ref,
        title=hold.title,
        because=f"It has become protected since it was asked about. {hold.because}",
        reason_class=str(HoldReason.PROTECTED),
        plan=hold.plan,
        plan_digest=hold.plan_digest,
        terms=replace(terms, quorum=quorum),
        patience=policies.document(policies.in_force().text).patience[HoldReason.PROTECTED],
        on_lapse="release",
        actor=SYSTEM,
    )
    Decision.objects.filter(run=run, hold=hold).update(hold=asking)
    return asking
