"""Outcomes: what the ending of a hold means for its run. Called inside a story, with the Run locked."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models import Q

from containment.models import Credential
from core.actor import Actor
from playbooks import runs
from playbooks.domain.plan import cuts
from playbooks.models import Run


def contain(run_id: UUID, *, actor: Actor, because: str) -> None:
    """The run acts; one that no machine can carry out is a person's."""
    run = runs.release(run_id, actor=actor, because=because)
    if not cuts(run.plan, run.stage):
        missing = "The plan cuts nothing by itself." if run.plan.get(run.stage) else "No connector can carry this plan out."
        runs.set_aside(run_id, because=f"{missing} A person has to.")


def leave_running(run_id: UUID, *, actor: Actor, because: str, keep: timedelta = timedelta(0)) -> None:
    """The run will not act, and what its interim stage did is put back, after `keep`."""
    runs.stand_down(run_id, actor=actor, because=because, keep=keep)


def cuts_into_the_protected(run: Run) -> bool:
    """Whether the credential that the plan cuts, or another user of it, is protected by now."""
    facts = run.decisions.order_by("decided_at").values_list("facts", flat=True).first() or {}
    credential = facts.get("credential")
    if not credential or facts.get("scoped"):
        return False
    guarded = Q(protected=True) | Q(uses__identity__protected=True)
    return Credential.objects.filter(guarded, pk=UUID(credential["id"])).exists()
