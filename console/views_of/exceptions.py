"""Exceptions: what each spares, how much of its budget is used, and what it would have spared in the last three months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from approvals.domain.coverage import Seen, covers
from approvals.models import ExceptionGrant
from console.controls import Control, control
from console.views_of import decisions as told
from console.views_of.things import Thing, named
from containment.domain.families import SOURCE_CLAIM
from containment.models import Decision
from core.actor import Actor

LOOKS_BACK = timedelta(days=90)
MOST_LOOKED_AT = 5000
MOST_LISTED = 50
TONES = {"asked": "warn", "granted": "ok", "refused": "quiet", "withdrawn": "quiet", "revoked": "hot", "ended": "quiet"}
KINDS_OF_SCOPE = {"identity", "session", "credential"}  # whose value is an id


@dataclass(frozen=True, slots=True)
class Spared:
    """One part of a scope: “action data.export”. `url` where the thing has a page."""

    name: str
    value: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    grant: ExceptionGrant
    scope: Sequence[Spared]
    tone: str
    state: str


@dataclass(frozen=True, slots=True)
class DryRun:
    """Of the decisions that were not to watch, those that the scope covers. `outside`: covered, but for a signal that it does not name."""

    looked_at: int
    whole: bool
    since: datetime
    spared: Sequence[told.Line]
    count: int
    risk: float
    outside: int


@dataclass(frozen=True, slots=True)
class Card:
    line: Line
    spared: Sequence[told.Line]
    dry: DryRun | None
    may_sign: Control
    may_refuse: Control
    may_revoke: Control
    may_withdraw: bool

    @property
    def share(self) -> float:
        return 100 * self.line.grant.used_count / self.line.grant.budget_count

    @property
    def share_of_risk(self) -> float:
        return float(100 * self.line.grant.used_risk / self.line.grant.budget_risk)


def lines(grants: Iterable[ExceptionGrant], *, now: datetime) -> list[Line]:
    listed = list(grants)
    names = named(f"{name}:{value}" for grant in listed for name, value in grant.scope.items() if name in KINDS_OF_SCOPE)
    return [Line(grant, _scope(grant.scope, names), TONES[grant.state], _state(grant, now)) for grant in listed]


def card(grant: ExceptionGrant, viewer: Actor, *, now: datetime) -> Card:
    own = "You asked for this exception, so another manager decides on it." if str(grant.requester_id) == viewer.principal else ""
    decided = Decision.objects.filter(grant=grant).select_related("detection__identity", "detection__resource", "detection__source")
    return Card(
        line=lines([grant], now=now)[0],
        spared=told.lines(decided[:MOST_LISTED]),
        dry=dry_run(grant.scope, now=now) if grant.state == "asked" else None,
        may_sign=control(viewer, "exception.grant", unless=own),
        may_refuse=control(viewer, "exception.grant", unless=own),
        may_revoke=control(viewer, "exception.grant", unless=own),
        may_withdraw=grant.state == "asked" and bool(own),
    )


def dry_run(scope: Mapping[str, Any], *, now: datetime) -> DryRun:
    """Which decisions of the last 90 days would have fallen under this scope. Reads what is stored; nothing is judged again."""
    since = now - LOOKS_BACK
    rows = Decision.objects.filter(decided_at__gte=since).exclude(verdict="watch", would_have="")
    if _is_id(scope.get("identity")):
        rows = rows.filter(detection__identity_id=scope["identity"])
    rows = rows.select_related("detection__identity", "detection__resource", "detection__source", "detection__session").order_by(
        "-decided_at"
    )
    looked_at = list(rows[: MOST_LOOKED_AT + 1])
    spared, outside = [], 0
    for decision in looked_at[:MOST_LOOKED_AT]:
        coverage = covers(scope, _seen(decision))
        outside += coverage.covers and not coverage.spares
        if coverage.spares:
            spared.append(decision)
    return DryRun(
        looked_at=min(len(looked_at), MOST_LOOKED_AT),
        whole=len(looked_at) <= MOST_LOOKED_AT,
        since=since,
        spared=told.lines(spared[:MOST_LISTED]),
        count=len(spared),
        risk=float(sum(decision.risk for decision in spared)),
        outside=outside,
    )


def _seen(decision: Decision) -> Seen:
    """What the decision was about, as judgement saw it: the credential is in its facts even where the message named none."""
    detection = decision.detection
    session = detection.session if detection.session and detection.session.discovered_at is None else None
    credential = decision.facts.get("credential") or {}
    return Seen(
        identity=str(detection.identity_id),
        session=str(session.pk) if session else "",
        credential=str(detection.credential_id or credential.get("id", "")),
        action=detection.action,
        resource=detection.resource.key if detection.resource else "",
        signals=frozenset(signal["code"] for signal in decision.signals if signal.get("strength", 0) > 0) - {SOURCE_CLAIM},
        tenant=session.tenant if session else "",
    )


def _scope(scope: Mapping[str, Any], names: Mapping[str, Thing]) -> list[Spared]:
    parts = []
    for name, value in scope.items():
        thing = names.get(f"{name}:{value}") if name in KINDS_OF_SCOPE else None
        text = thing.name if thing else ", ".join(value) if isinstance(value, list) else str(value)
        parts.append(Spared(name, text.replace("_", " ") if name == "signals" else text, thing.url if thing else ""))
    return parts


def _state(grant: ExceptionGrant, now: datetime) -> str:
    if grant.state == "granted" and now < grant.starts_at:
        return "granted, not begun"
    if grant.state == "granted" and now >= grant.ends_at:
        return "granted, about to end"
    return "in force" if grant.state == "granted" else grant.state


def _is_id(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
