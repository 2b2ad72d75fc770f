"""The rows of the queue and of lists of cases: what waits for somebody, and where each case stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from approvals.models import Hold
from console.views_of import waiting
from containment.models import Case, Decision, Detection, Identity
from core.refs import Ref
from playbooks.models import Run

TONES_OF_RUNS = {
    "waiting": "accent",
    "pending": "accent",
    "running": "accent",
    "verifying": "warn",
    "contained": "ok",
    "partial": "warn",
    "failed": "hot",
    "needs_human": "hot",
    "undoing": "warn",
    "reinstating": "warn",
}


@dataclass(frozen=True, slots=True)
class HoldRow:
    id: UUID
    url: str
    name: str
    kind: str
    what: str
    deadline: datetime
    total: float
    risk: float
    soft: float
    hard: float
    asks_first: bool = False  # about one call, so that there is no risk to show
    waited_for: bool = False  # a program waits with a call


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case in a list, with the state of its last run in a word."""

    id: UUID
    url: str
    name: str
    kind: str
    what: str
    state: str
    tone: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SetAsideRow:
    """A detection that stopped its workers too often, and the way back."""

    id: UUID
    url: str
    name: str
    kind: str
    what: str
    source: str
    crashes: int
    at: datetime


def hold_rows(holds: Sequence[Hold]) -> list[HoldRow]:
    identities = _identities(hold.identity_ref for hold in holds)
    decided = _decided(holds)
    waited = waiting.waited_for(holds)
    return [_hold_row(hold, identities[hold.identity_ref], decided.get(hold.pk, {}), waited=hold.pk in waited) for hold in holds]


def _decided(holds: Sequence[Hold]) -> Mapping[UUID, Mapping[str, Any]]:
    """Of one that asks for the next stage of a run it is what began the run."""
    rows = Decision.objects.order_by("decided_at").values("hold", "run", "risk", "soft", "hard")
    own = {row["hold"]: row for row in rows.filter(hold__in=holds)}
    more = {UUID(Ref.parse(hold.run_ref).id): hold.pk for hold in holds if hold.run_ref and hold.pk not in own}
    began = {more[row["run"]]: row for row in reversed(rows.filter(run__in=more))} if more else {}
    return began | own


def _hold_row(hold: Hold, identity: Identity, decided: Mapping[str, Any], *, waited: bool) -> HoldRow:
    return HoldRow(
        id=hold.pk,
        url=f"/holds/{hold.pk}/",
        name=identity.label,
        kind=identity.kind,
        what=hold.title,
        deadline=hold.deadline,
        total=total(hold),
        risk=float(decided.get("risk", 0)),
        soft=float(decided.get("soft", 100)),
        hard=float(decided.get("hard", 100)),
        asks_first=hold.asks_about_a_call,
        waited_for=waited and not hold.asks_about_a_call,
    )


def case_rows(found: Sequence[Case]) -> list[CaseRow]:
    refs = [str(case.ref) for case in found]
    last = dict(Run.objects.filter(case_ref__in=refs).order_by("created_at").values_list("case_ref", "state"))
    return [_case_row(case, last.get(str(case.ref), "")) for case in found]


def _case_row(case: Case, state: str) -> CaseRow:
    closed = case.state == "closed"
    return CaseRow(
        id=case.pk,
        url=f"/cases/{case.pk}/",
        name=case.identity.label,
        kind=case.identity.kind,
        what=case.title,
        state="closed" if closed else state.replace("_", " ") or "recorded",
        tone="" if closed else TONES_OF_RUNS.get(state, ""),
        at=case.last_event_at,
    )


def people_rows(runs: Iterable[Run]) -> list[CaseRow]:
    """Cases whose run came to rest and is not whole."""
    keys = [Ref.parse(run.case_ref).id for run in runs]
    return case_rows(list(Case.objects.filter(pk__in=keys).select_related("identity").order_by("-last_event_at")))


def set_aside_rows(detections: Iterable[Detection]) -> list[SetAsideRow]:
    return [
        SetAsideRow(
            id=one.pk,
            url=f"/identities/{one.identity_id}/",
            name=one.identity.label,
            kind=one.identity.kind,
            what=one.title,
            source=one.source.name,
            crashes=max(0, one.crash_count - 1),
            at=one.received_at,
        )
        for one in detections
    ]


def _identities(refs: Iterable[str]) -> dict[str, Identity]:
    keys = {ref: Ref.parse(ref).id for ref in set(refs)}
    found = {str(identity.pk): identity for identity in Identity.objects.filter(pk__in=keys.values())}
    return {ref: found[key] for ref, key in keys.items()}


def total(hold: Hold) -> float:
    """All the time that people have, in seconds."""
    return (hold.deadline - hold.opened_at).total_seconds()
