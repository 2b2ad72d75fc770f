"""The timeline of a thing: the entries of the audit trail about it, in the words of audit/verbs.py. What is on screen is on record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet

from audit.models import AuditEntry
from audit.verbs import sentence
from console.said import DEEDS, clock_time
from containment.models import Decision
from core.actor import CLOCK, SYSTEM

MOST = 60
MOST_COVERED = 20
COVERED = Q(verb="decision.made", body__contains='"verdict":"covered"')  # canonical JSON; with_covered tells of these
# A step says what it is about to do, what it saw and how it ended; here its end is enough. The audit trail has all of it.
LEFT_OUT = ("step.intended", "step.seen", "step.proven", "run.waiting", "run.prepared", "case.opened", "evidence.sealed", "evidence.viewed")
MOVES_WORTH_TELLING = {"contained", "partial", "failed", "needs human", "undone", "accepted", "withdrawn"}
OF_THE_IDENTITY = ("session.gated", "session.ended", "protected.changed", "identity.changed", "identity.discovered")
TONES = {
    "detection.received": "hot",
    "decision.made": "hot",
    "hold.opened": "accent",
    "hold.answered": "accent",
    "hold.extended": "accent",
    "hold.approved": "accent",
    "hold.rejected": "accent",
    "hold.lapsed": "warn",
    "hold.escalated": "warn",
    "hold.allowed": "accent",
    "hold.refused": "accent",
    "hold.unanswered": "warn",
    "request.asked": "accent",
    "request.approved": "ok",
    "request.used": "ok",
    "request.revoked": "warn",
    "group.closed": "accent",
    "budget.refused": "warn",
    "step.troubled": "warn",
    "evidence.lost": "warn",
    "evidence.broken": "hot",
    "step.settled": "ok",
    "step.undone": "warn",
    "run.undo_requested": "warn",
    "run.accepted": "warn",
}
TONES_OF_STATES = {"contained": "ok", "partial": "warn", "failed": "hot", "needs human": "hot"}
_MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


@dataclass(frozen=True, slots=True)
class Moment:
    seq: int
    at: datetime
    sentence: str
    tone: str
    again: int = 0  # how often the same was reported and covered since
    last: datetime | None = None


def of(
    refs: Iterable[str], *, identity: str = "", since: datetime | None = None, most: int = MOST, without: Sequence[str] | Q = ()
) -> tuple[Moment, ...]:
    """The newest entries about any of `refs`, oldest first; and since `since`, what happened to the identity beside them."""
    wanted = sorted(set(refs))
    about = Q(subject__in=wanted) | Q(about__overlap=wanted)
    if identity and since:
        about |= Q(subject=identity, verb__in=OF_THE_IDENTITY, at__gte=since)
        about |= Q(about__contains=[identity], verb__in=OF_THE_IDENTITY, at__gte=since)
    told = AuditEntry.objects.filter(about).exclude(verb__in=LEFT_OUT)
    told = told.exclude(without if isinstance(without, Q) else Q(verb__in=without))
    moments = [moment_of(entry) for entry in reversed(told.order_by("-seq")[:most])]
    return tuple(moment for moment in moments if moment is not None)


def with_covered(told: Sequence[Moment], judged: QuerySet[Decision]) -> tuple[Moment, ...]:
    """What goes on while a run has its target is reported again and again, and covered each time. It is told once for each source, title
    and reason, with how often, or what was done about it would drown."""
    alike = judged.filter(verdict="covered").values_list("detection__source__name", "detection__title", "because")
    counted = alike.annotate(times=Count("detection", distinct=True), first=Min("decided_at"), last=Max("decided_at"))
    covered = [
        Moment(0, first, f"{source} reported “{title}”, which was covered: {because}", "", again=times - 1, last=last)
        for source, title, because, times, first, last in counted.order_by("-last")[:MOST_COVERED]
    ]
    return tuple(sorted([*told, *covered], key=lambda moment: moment.at))


def moment_of(entry: AuditEntry) -> Moment | None:
    """None for a move between two states that only machines tell apart."""
    facts = {name: _readable(value) for name, value in json.loads(entry.body or "{}").items()}
    state = facts.get("state", "")
    if entry.verb == "run.moved" and state not in MOVES_WORTH_TELLING:
        return None
    tone = TONES_OF_STATES.get(state) or TONES.get(entry.verb, "")
    return Moment(entry.seq, entry.at, f"{_who(entry)} {sentence(entry.verb, facts)}", tone)


def _who(entry: AuditEntry) -> str:
    """The clock and the system are one to the reader: the house itself."""
    return SYSTEM.name if entry.actor_name == CLOCK.name else entry.actor_name


def _readable(value: Any) -> Any:
    """Times as people write them, words without underscores."""
    if not isinstance(value, str):
        return value
    if value in DEEDS:
        return f"“{DEEDS[value].lower()}”"
    if _MOMENT.match(value):
        return clock_time(datetime.fromisoformat(value.replace("Z", "+00:00")))
    return value.replace("_", " ") if re.fullmatch(r"[a-z]+(_[a-z]+)+", value) and value.startswith(("needs_", "left_")) else value
