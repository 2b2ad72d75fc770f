"""Where the asker stands before anybody looks at what it asks: who it is, which session it acts in, and whether that may act at all.

Whoever is contained, paused or past its end is told no, whatever it asks, and also where everything else is only observed. A session that
is not named, or under a name that nobody registered, is no way around one that was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from containment import gather
from containment.models import Identity, Session
from guard.answers import Reason
from playbooks.domain.plan import cuts
from playbooks.models import Run
from sources.asking import Ask

ACTING = ("pending", "running", "verifying", "contained", "partial", "needs_human")
STRICTER = ("active", "restricted", "paused", "ended")
READS = frozenset({"data.read"})
TOOL_CALL = "tool.call"
WRITES = frozenset(
    {"data.write", "data.delete", "data.export", "message.send", "code.execute", "token.mint", "privilege.change", "admin.call"}
)
MOST_SESSIONS = gather.MOST_SESSIONS
_GATES = {"paused": Reason.PAUSED, "restricted": Reason.RESTRICTED, "ended": Reason.ENDED}


@dataclass(frozen=True, slots=True)
class No:
    """Why the asker may not act at all."""

    reason: Reason
    because: str
    session: Session | None = None
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class Acting:
    """The session that a question belongs to: one that somebody vouches for, or None. `live`: all that its identity has of those."""

    session: Session | None
    live: tuple[Session, ...]
    named: str = ""

    @property
    def unknown(self) -> bool:
        """It names one that nobody registered, or none although there are several."""
        return self.session is None and bool(self.named or self.live)


def acting_of(ask: Ask, identity: Identity) -> Acting:
    """By its id or by the client's name for it, and only among its own identity's. Where none is named and there is just one, that one."""
    mine = Session.objects.filter(identity=identity, discovered_at__isnull=True).select_related("identity", "parent")
    live = tuple(mine.filter(ended_at__isnull=True).order_by("-last_seen_at", "id")[:MOST_SESSIONS])
    if not ask.session:
        return Acting(gather.only_session(identity.pk, live), live)
    found = next((one for one in live if ask.session in (one.external_id, str(one.pk))), None)
    if found is None:
        key = _as_id(ask.session)
        found = mine.filter(external_id=ask.session).first() or (mine.filter(pk=key).first() if key else None)
    return Acting(found, live, ask.session)


def stopped(acting: Acting, identity: Identity, *, writes: bool, now: datetime) -> No | None:
    """The first reason why the asker may not act: its own session's state, a containment, a stopped session that it does not name."""
    session = acting.session
    if session is not None and (no := of_session(session, writes=writes, now=now)) is not None:
        return no
    run = run_over(identity, session)
    if run is not None:
        return No(Reason.CONTAINED, f"{identity} is contained by run {run.pk} ({run.state}).", session, run)
    if session is None and acting.live:
        worst = max(acting.live, key=lambda one: STRICTER.index(one.gate))
        if worst.gate != "active" and (no := of_session(worst, writes=writes, now=now)) is not None:
            because = f"No registered session is named, and {worst.external_id} of {identity} is {worst.gate}."
            return No(no.reason, because, worst)
    return None


def of_session(session: Session, *, writes: bool, now: datetime) -> No | None:
    """What the session's own row says, and the one's that it works for."""
    for one in (session, *([session.parent] if session.parent is not None else [])):
        if one.gate == "ended" or one.ended_at is not None:
            return No(Reason.ENDED, f"The session {one.external_id} has ended{_why(one)}.", one)
        if one.expires_at is not None and one.expires_at <= now:
            return No(Reason.EXPIRED, f"The time of the session {one.external_id} was over at {one.expires_at:%H:%M:%S} UTC.", one)
        if one.gate == "paused":
            return No(Reason.PAUSED, f"The session {one.external_id} is paused{_why(one)}.", one)
        if one.gate == "restricted" and (writes or "read" not in one.gate_allows):
            return No(Reason.RESTRICTED, f"The session {one.external_id} is restricted{_why(one)}.", one)
    return None


def run_over(identity: Identity, session: Session | None) -> Run | None:
    """The run that contains this identity, or this session of it. A run that pauses one session leaves the others alone."""
    run = Run.objects.filter(identity_ref=str(identity.ref), control_family="access", state__in=ACTING).first()
    if run is None or (session is not None and spares(run.target, run.plan, run.stage, session.external_id)):
        return None
    return run


def spares(target: Mapping[str, Any], plan: Mapping[str, Any], stage: str, session: str) -> bool:
    """Whether the run cuts nothing but sessions, and this one is not among them."""
    if any(connector != "holdfast" or not measure.startswith("session.") for connector, measure in cuts(plan, stage)):
        return False
    cut = [target["session"]] if target.get("session") else target.get("facts", {}).get("sessions", [])
    return session not in cut


def is_write(ask: Ask, approved: bool | None) -> bool:
    """Whether a call changes anything: as the approved profile says of its tool (`approved`), or the verb of what is no tool call; else it
    does. What the caller says may only make a write of it."""
    if ask.writes is True or approved is True or ask.action in WRITES:
        return True
    return approved is not False and (calls_a_tool(ask) or ask.action not in READS)


def calls_a_tool(ask: Ask) -> bool:
    return bool(ask.tool) or ask.action == TOOL_CALL


def _why(session: Session) -> str:
    return f": {session.gate_because}" if session.gate_because else ""


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
