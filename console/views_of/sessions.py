"""One session as its page shows it: whose it is, what it may do and what is left of that, its gate, and what a person can do now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import Person
from console.controls import Control, control
from console.views_of import guard, intents
from console.views_of.guard import Row
from console.views_of.identities import GATE_TONES
from console.views_of.things import is_id
from containment.domain.facts import BoundRule, BudgetRule, IntentFacts
from containment.gate import BY_GUARD
from containment.models import Case, Decision, Designation, Session
from core.actor import Actor
from core.refs import Ref
from guard.models import GuardCall
from guard.pausing import OPENS
from playbooks.models import Run, Step

MOST_CALLS = 20
MOST_CHILDREN = 50
MOST_OF_A_CASE = 6
MINE = "You answer for this agent yourself. Somebody else has to say that it may go on."
CLAIMS = {
    "business_critical": "Business-critical",
    "environment": "Environment",
    "role": "Role",
    "workflow": "Workflow",
    "tenant": "Tenant",
    "drive": "Driven by",
}
GATE_SAYS = {
    "active": "may go on",
    "paused": "is paused: every call is answered with no",
    "restricted": "is restricted: only what is listed may go on",
    "ended": "has ended: it asks for nothing any more",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget as a bar: how much went into it, of how much."""

    said: str
    used: float
    most: float
    tone: str
    words: str

    @classmethod
    def of(cls, budget: BudgetRule) -> Budget:
        share = budget.used / budget.most if budget.most else 1.0
        tone = "hot" if share >= 1 else "warn" if share >= intents.NEARLY else "quiet"
        said = f"{budget.what.capitalize()} per {budget.per}{' of those it works for' if budget.of else ''}"
        return cls(said, min(budget.used, budget.most), budget.most, tone, f"{budget.used:,.10g} of {budget.most:,.10g}")


@dataclass(frozen=True, slots=True)
class Closed:
    """Who closed the gate: a run with its case, the guard by its answer to a call, or whoever `by` names."""

    because: str
    at: datetime | None
    run: Run | None = None
    case: Case | None = None
    call: GuardCall | None = None
    by: str = ""
    by_guard: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    session: Session
    says: str
    tone: str
    over: str
    registered_by: str
    intent: IntentFacts | None
    task: str
    bounds: Sequence[tuple[str, str]]
    budgets: Sequence[Budget]
    remembers: int
    full_at: datetime | None
    claims: Sequence[tuple[str, str]]
    known: Sequence[tuple[str, str]]
    origin: str
    children: Sequence[Session]
    more_children: bool
    designated: Designation | None
    closed: Closed | None
    calls: Sequence[Row]
    reopening: Control
    silent: bool

    @property
    def live(self) -> str:
        return f"session:{self.session.pk} guard_call guard_batch"


def card(session: Session, viewer: Actor, *, now: datetime) -> Card:
    found = intents.of([session], now=now)
    approved = found[0] if found else None
    intent = approved.standing.intent if approved else None
    children = list(session.children.select_related("identity").order_by("-started_at")[: MOST_CHILDREN + 1])
    due = session.next_heartbeat_at
    return Card(
        session=session,
        silent=due is not None and due < now,
        says=GATE_SAYS[session.gate],
        tone=GATE_TONES[session.gate],
        over=_over(session, now),
        registered_by=_who(session.registered_by),
        intent=intent,
        task=str(session.intent.get("task", "")),
        bounds=[(f"{bound.argument} of {bound.tool}", _bound(bound)) for bound in intent.bounds] if intent else [],
        budgets=[Budget.of(budget) for budget in intent.budgets] if intent else [],
        remembers=approved.standing.remembers if approved else 0,
        full_at=approved.standing.full_at if approved else None,
        claims=[(words, str(session.claimed[name])) for name, words in CLAIMS.items() if session.claimed.get(name)],
        known=[(words, getattr(session, name)) for name, words in CLAIMS.items() if getattr(session, name, "")],
        origin=", ".join(f"{name} {value}" for name, value in sorted(session.origin.items()) if value),
        children=children[:MOST_CHILDREN],
        more_children=len(children) > MOST_CHILDREN,
        designated=_designated(session),
        closed=_closed(session),
        reopening=_reopening(session, viewer),
        calls=guard.rows_of(GuardCall.objects.filter(session=session.pk).order_by("-asked_at")[:MOST_CALLS]),
    )


def of_case(case_id: UUID) -> list[tuple[Session, str]]:
    """The sessions that a case is about, each with the tone of its gate."""
    seen = Decision.objects.filter(case_id=case_id, detection__session__isnull=False).values("detection__session")
    found = Session.objects.filter(pk__in=seen).order_by("-started_at")[:MOST_OF_A_CASE]
    return [(session, GATE_TONES[session.gate]) for session in found]


def _over(session: Session, now: datetime) -> str:
    """What ended it, where something did."""
    if session.ended_at is not None:
        return "It has ended."
    if session.expires_at is not None and session.expires_at <= now:
        return "Its time is over: calls in it are answered with no."
    return ""


def _closed(session: Session) -> Closed | None:
    if session.gate == "active":
        return None
    if session.gate == "paused" and session.gate_key.startswith(BY_GUARD):
        key = session.gate_key.removeprefix(BY_GUARD)
        call = GuardCall.objects.filter(pk=key).first() if is_id(key) else None
        case = Case.objects.filter(identity=session.identity).exclude(state="closed").first()
        return Closed(session.gate_because, session.gated_at, case=case, call=call, by="the guard", by_guard=True)
    step = Step.objects.select_related("run").filter(key=session.gate_key).first() if is_id(session.gate_key) else None
    if step is None:
        return Closed(session.gate_because, session.gated_at, by="" if session.gate_key else "its client")
    case = Case.objects.filter(pk=Ref.parse(step.run.case_ref).id).first() if step.run.case_ref else None
    return Closed(session.gate_because, session.gated_at, step.run, case)


def _reopening(session: Session, viewer: Actor) -> Control:
    """Whoever answers for the agent does not let it go on; the deed itself asks again."""
    mine = viewer.principal in {session.registered_by, str(session.identity.owner_id or "")}
    found = control(viewer, OPENS, unless=MINE if mine else "")
    return found if viewer.may(OPENS) else Control(False, f"A manager lets it go on. {found.because}")


def _designated(session: Session) -> Designation | None:
    granted = Designation.objects.filter(identity=session.identity, ended_at__isnull=True, granted_at__isnull=False)
    by_name = granted.filter(session_name=session.external_id).first()
    return by_name or (granted.filter(session_name="", workflow=session.workflow).first() if session.workflow else None)


def _bound(bound: BoundRule) -> str:
    """“at most 500”, “one of a, b”."""
    said = []
    if bound.at_least is not None:
        said.append(f"at least {bound.at_least:g}")
    if bound.at_most is not None:
        said.append(f"at most {bound.at_most:g}")
    if bound.one_of:
        said.append(f"one of {', '.join(bound.one_of)}")
    if bound.like:
        said.append(f"like {bound.like}")
    return ", ".join(said)


def _who(principal: str) -> str:
    person = Person.objects.filter(pk=principal).first() if is_id(principal) else None
    return str(person) if person else ""
