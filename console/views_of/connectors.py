"""Connectors as their pages show them: who each is, what it can and cannot do, what that takes, and whom it asks to protect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors import registry
from connectors.base import IRREVERSIBLE, Ability, Connector
from console.controls import Control, control
from containment import protection, readiness
from containment.lockout import ADMINISTERS
from containment.models import Identity, ProtectionProposal, Readiness
from core.actor import Actor
from playbooks import circuit
from playbooks.models import Circuit

MOST = 500
MOST_SHOWN = 40
EFFECTS = {
    "keyed": "the target knows our key, so that saying it twice does it once",
    "natural": "it sets a state, so that saying it twice changes nothing more",
    "observable": "the state can be read, so that it is looked at before it is said again",
    "blind": "nothing shows whether it happened, so that it is never tried twice",
}


@dataclass(frozen=True, slots=True)
class Line:
    """`can`, `cannot`: what was found at the last look, of measures and targets. `waiting`: proposals that nobody answered."""

    provider: str
    kind: str
    who: Sequence[str]
    can: int
    cannot: int
    waiting: int
    state: str
    tone: str
    said: str
    asked_at: datetime | None
    contact_at: datetime | None


@dataclass(frozen=True, slots=True)
class Declared:
    """One measure: what its connector declares of it, and what was found. `on`: the targets on which it cannot be done, or too much."""

    measure: str
    effect: str
    inverse: str
    reversible: bool
    residual: str
    probe: str
    disruptive: bool
    anybody: Readiness | None
    on: Sequence[Readiness]
    able: int

    @property
    def state(self) -> str:
        if self.on or (self.anybody is not None and not self.anybody.can):
            return "cannot"
        return "can" if self.anybody is not None or self.able else "not tried"

    @property
    def tone(self) -> str:
        return {"cannot": "hot", "can": "ok"}.get(self.state, "")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the connector asks to protect. `identity`: who that is here, where anybody listed it."""

    row: ProtectionProposal
    identity: Identity | None

    @property
    def is_settled(self) -> bool:
        return self.row.state == "open" and self.identity is not None and self.identity.protected


@dataclass(frozen=True, slots=True)
class Card:
    line: Line
    declared: Sequence[Declared]
    too_much: Sequence[str]
    waiting: Sequence[Asked]
    answered: Sequence[Asked]
    administrators: Sequence[str]
    others: Sequence[Readiness]
    may_check: Control
    may_answer: Control


@dataclass(frozen=True, slots=True)
class Refusing:
    """A connector whose target refuses our own credential: over every page while it does. `waiting`: runs that wait for it."""

    provider: str
    door: str
    since: datetime
    said: str
    waiting: int


def refusing() -> list[Refusing]:
    return [_refusing(row, row.open_since) for row in circuit.open_now() if row.open_since]


def _refusing(row: Circuit, since: datetime) -> Refusing:
    return Refusing(row.connector, row.door, since, f"{row.said.rstrip('. ')}.", circuit.waiting(row))


def lines() -> list[Line]:
    found = Readiness.objects.all()[: 10 * MOST]
    proposals = ProtectionProposal.objects.all()[: 10 * MOST]
    return [
        _line(
            provider, connector, [row for row in found if row.provider == provider], [row for row in proposals if row.provider == provider]
        )
        for provider, connector in sorted(registry.providers().items())
    ]


def card(provider: str, connector: Connector, viewer: Actor) -> Card:
    rows = list(Readiness.objects.filter(provider=provider)[:MOST])
    proposals = list(ProtectionProposal.objects.filter(provider=provider).select_related("answered_by")[:MOST])
    asked = [Asked(row, protection.known_as(row.provider, row.subject)) for row in proposals[:MOST_SHOWN]]
    declared = [_declared(str(measure), ability, rows) for measure, ability in connector.abilities.items()]
    return Card(
        line=_line(provider, connector, rows, proposals),
        declared=sorted(declared, key=lambda one: (one.state != "cannot", not one.disruptive, one.measure)),
        too_much=sorted({said for row in rows for said in row.too_much}),
        waiting=[one for one in asked if one.row.state == "open" and not one.is_settled],
        answered=[one for one in asked if one.row.state != "open" or one.is_settled],
        administrators=[row.subject for row in proposals if ADMINISTERS in row.because],
        others=[row for row in rows if row.measure not in {one.measure for one in declared} | {readiness.CONTACT}],
        may_check=control(viewer, readiness.CHECKS),
        may_answer=control(viewer, protection.EDITS),
    )


def _line(provider: str, connector: Connector, rows: Sequence[Readiness], proposals: Iterable[ProtectionProposal]) -> Line:
    contact = next((row for row in rows if row.measure == readiness.CONTACT and not row.subject), None)
    tried = [row for row in rows if row.measure != readiness.CONTACT]
    listed = list(proposals)
    seen = [row.seen_at for row in listed]
    answered_at = contact.checked_at if contact is not None and contact.can else max(seen, default=None)
    state, tone, said = _state(contact, tried)
    if refused := circuit.said_open(provider):
        state, tone, said = "refuses us", "hot", refused
    return Line(
        provider=provider,
        kind=connector.name,
        who=_who(listed),
        can=sum(row.can for row in tried),
        cannot=sum(not row.can for row in tried),
        waiting=sum(row.state == "open" for row in listed) - len(_settled(listed)),
        state=state,
        tone=tone,
        said=said,
        asked_at=contact.checked_at if contact is not None else None,
        contact_at=answered_at,
    )


def _who(rows: Sequence[ProtectionProposal]) -> list[str]:
    """As whom it works, as far as that can be told from who administers the system besides."""
    named = [row for row in rows if protection.WORKS_AS in row.because]
    return [row.subject for row in named if ADMINISTERS not in row.because] or [row.subject for row in named]


def _settled(rows: Sequence[ProtectionProposal]) -> set[str]:
    subjects = [row.subject for row in rows if row.state == "open"]
    return set(
        Identity.objects.filter(provider__in={row.provider for row in rows}, subject__in=subjects, protected=True).values_list(
            "subject", flat=True
        )
    )


def _state(contact: Readiness | None, tried: Sequence[Readiness]) -> tuple[str, str, str]:
    if contact is None:
        return "not asked yet", "", "It is asked within the next minute."
    if not contact.can:
        again = f"It is asked again every {int(readiness.AFTER_SILENCE.total_seconds() // 60)} minutes."
        return "silent", "hot", f"{'; '.join(contact.missing)}. {again}"
    lacking = [row for row in tried if not row.can]
    if lacking:
        return "lacks rights", "warn", f"{'; '.join(lacking[0].missing) or lacking[0].measure}"
    return "ready", "ok", ""


def _declared(measure: str, ability: Ability, rows: Sequence[Readiness]) -> Declared:
    mine = [row for row in rows if row.measure == measure]
    return Declared(
        measure=measure,
        effect=EFFECTS[str(ability.effect)],
        inverse=ability.inverse,
        reversible=ability.inverse != IRREVERSIBLE,
        residual=_span(ability.residual),
        probe=ability.probe,
        disruptive=ability.disruptive,
        anybody=next((row for row in mine if not row.subject), None),
        on=[row for row in mine if row.subject and not row.can][:MOST_SHOWN],
        able=sum(bool(row.subject) and row.can for row in mine),
    )


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if not seconds:
        return "none: access ends at once"
    units: Mapping[str, int] = {"h": 3600, "min": 60, "s": 1}
    name, unit = next((name, unit) for name, unit in units.items() if seconds >= unit)
    return f"access already given may live on for up to {seconds / unit:g} {name}"
