"""The ladder, where people are asked: a soft stage that did not hold calls for the hard one, and a hold asks for it; or it holds, and the
playbook offers the hard one all the same.

What was cut stands meanwhile. "Contain now" raises the run; a no, or silence, leaves it at the stage it has. Silence never goes further.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef, Q, TextField, Value
from django.db.models.functions import Cast, Concat

from approvals import groups, holds
from approvals.domain.quorum import Terms
from approvals.models import Hold
from approvals.models.hold import RAISES
from audit.record import story
from containment import inventory, outcomes, policies, reviewers
from containment.domain.policy import HoldReason
from containment.models import Decision
from core.actor import SYSTEM
from core.digest import digest
from core.refs import Ref
from playbooks import boundary, library, runs
from playbooks.domain.ladder import offers_hard
from playbooks.models import Run

log = logging.getLogger(__name__)

BATCH = 20
NOT_PROVEN, OFFERED = "not_proven", "hard_stage_offered"
GONE_ON = "The run went another way before anybody answered."
ASKED_BEFORE = "People were asked before."


def ask_due() -> int:
    """Open a hold for each run that calls for its hard stage and about which nobody is asked, and close what nobody needs to answer."""
    asked = Hold.objects.filter(state="open", run_ref=OuterRef("as_ref"))
    wanting = Run.objects.exclude(wants="").annotate(as_ref=Concat(Value("run:"), Cast("id", TextField())))
    resting = Q(state="partial") | Q(state="contained", terms__contains={"proven": "hold"})
    resting &= Q(stage="soft") & ~Q(playbook__state="revoked")
    due = wanting.filter(resting).filter(~Exists(asked)) | wanting.exclude(resting)
    return sum(_tried(key) for key in list(due.order_by("?").values_list("id", flat=True)[:BATCH]))  # what fails stands in nobody's way


def _tried(run_id: UUID) -> bool:
    """A bug that one run meets must not keep the others waiting."""
    try:
        return _look_after(run_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("nobody could be asked about run %s; the others go on", run_id)
        return False


@story
def _look_after(run_id: UUID) -> bool:
    identity_ref = Run.objects.values_list("identity_ref", flat=True).get(pk=run_id)
    identity = inventory.lock(UUID(Ref.parse(identity_ref).id))
    run = runs.lock(run_id)
    asking = Hold.objects.filter(run_ref=str(run.ref), state="open").first()
    rests = _rests(run)
    if not run.wants or (rests and asking is not None):
        return False
    if rests and run.state == "contained" and _was_asked(run):
        runs.want_no_more(run_id, actor=SYSTEM, because=ASKED_BEFORE)
        return True
    if not rests:
        if asking is not None:
            holds.withdraw(asking.pk, GONE_ON, actor=SYSTEM)
        runs.want_no_more(run_id, actor=SYSTEM, because=GONE_ON)
        return True
    decision = _decision_of(run)
    _ask(run, decision, protected=outcomes.protected_by_now(identity, run))
    return True


def _rests(run: Run) -> bool:
    """At the stage beyond which it calls for the next one, under a playbook that nobody withdrew."""
    if run.stage != "soft" or boundary.withdrawn(run):
        return False
    return run.state == "partial" or (run.state == "contained" and offers_hard(run.stage, run.plan, run.terms))


def _was_asked(run: Run) -> bool:
    """What holds is offered once; a no, or silence, is not asked about again when it comes to hold anew."""
    return Hold.objects.filter(run_ref=str(run.ref), plan__has_key=RAISES, state__in=["rejected", "lapsed"]).exists()


def _ask(run: Run, decision: Decision, *, protected: bool) -> Hold:
    before = Hold.objects.filter(run_ref=str(run.ref)).order_by("-opened_at").first()
    plan = {"plan": run.plan, "target": run.target, "terms": run.terms, "versions": _versions(run, decision), RAISES: run.wants}
    reason = str(HoldReason.PROTECTED) if protected else OFFERED if run.state == "contained" else NOT_PROVEN
    patience = policies.document(policies.in_force().text).patience
    return holds.open(
        run_ref=str(run.ref),
        case_ref=run.case_ref,
        identity_ref=run.identity_ref,
        title=decision.detection.title,
        because=f"{_how_it_stands(run)} May the {run.wants} stage follow? What was cut stands meanwhile.",
        reason_class=reason,
        plan=plan,
        plan_digest=digest(plan),
        terms=_terms(run, decision, before, protected=protected),
        patience=patience[HoldReason.PROTECTED if protected else HoldReason.THIN],
        on_lapse="release",
        actor=SYSTEM,
    )


def _how_it_stands(run: Run) -> str:
    if run.state == "contained":
        return f"The {run.stage} stage holds, and that is proven."
    return f"The {run.stage} stage did not hold: {run.because.removesuffix(runs.PEOPLE_ARE_ASKED)}."


def _terms(run: Run, decision: Decision, before: Hold | None, *, protected: bool) -> Terms:
    """Whoever was asked about this run already is asked again."""
    document = library.document(run.playbook.text)
    quorum = max(document.hold_for("protected").quorum, groups.QUORUM) if protected else document.hold_for("default").quorum
    if before is None:
        return reviewers.terms_for(decision.detection, (), run.playbook, quorum=quorum)
    terms = before.as_terms()
    return replace(terms, quorum=max(quorum, terms.quorum))


def _versions(run: Run, decision: Decision) -> dict[str, str]:
    policy = decision.policy.digest if decision.policy else ""
    return {"playbook": run.playbook.digest, "policy": policy, "stage": run.wants}


def _decision_of(run: Run) -> Decision:
    decisions = Decision.objects.select_related("policy", "detection__identity")
    return decisions.get(pk=UUID(Ref.parse(run.decision_ref).id))
