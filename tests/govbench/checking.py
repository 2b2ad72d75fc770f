"""What a scenario expects, compared with the answers that its calls got and with what is on record about them.

A call that was allowed is on record in a batch of the audit chain, one that was denied or held has an entry of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from holdfast_guard.words import DECLARED

from audit.models import AuditEntry
from containment.models import Identity, Session
from guard.models import GuardBatch, GuardCall
from tests.govbench.house import readable
from tests.govbench.playing import Made, Play

PATIENCE = 15.0  # seconds until allowed calls are in the chain

FIELDS: Mapping[str, Callable[[GuardCall, Identity, str], Any]] = {
    "timestamp": lambda call, _who, _session: call.asked_at,
    "tenant": lambda _call, who, _session: who.tenant,
    "actor_uid": lambda _call, who, _session: who.subject,
    "tool": lambda call, _who, _session: call.tool,
    "decision": lambda call, _who, _session: call.verdict,
    "reason": lambda call, _who, _session: call.reason,
    "policy_version": lambda call, _who, _session: call.policy_version,
    "session": lambda _call, _who, session: session,
    "agent_name": lambda _call, _who, session: session,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One expectation, and what was found where it was not met."""

    kind: str
    params: Mapping[str, Any]
    otherwise: str = ""

    @property
    def met(self) -> bool:
        return not self.otherwise

    def __str__(self) -> str:
        return f"{self.kind} {readable(self.params)}{'' if self.met else f': {self.otherwise}'}"


def check(play: Play, settle: Callable[[], object] = lambda: None) -> list[Finding]:
    """Every expectation of the scenario. `settle`: brings allowed calls into the chain, where no sweeper does."""
    checks = {
        "tool_allowed": lambda said: _decided(play, said, allowed=True),
        "tool_denied": lambda said: _decided(play, said, allowed=False),
        "delegation_chain": lambda said: _chain(play, said),
        "audit_has_entry": lambda said: _on_record(play, said, settle),
        "audit_field_present": lambda said: _fields(play, said),
    }
    found = [Finding(kind, said, checks[kind](said)) for kind, said in play.scenario.expected]
    untold = [Finding("reports", {}, f"{play.untold} of what was done was never told to the gateway, which worked")] if play.untold else []
    return found + untold


def _decided(play: Play, said: Mapping[str, Any], *, allowed: bool) -> str:
    """All calls that fit were answered so; with a `count`, exactly that many were."""
    fitting = [one for one in play.made if one.fits(said)]
    so = [one for one in fitting if one.verdict.decision is allowed and (allowed or _is_a_decision(one))]
    if "count" in said:
        return "" if len(so) == said["count"] else f"{len(so)} of {len(fitting)}"
    if fitting and len(so) == len(fitting) and said.get("reason", so[0].verdict.reason) == so[0].verdict.reason:
        return ""
    return f"{len(so)} of {len(fitting)}: {[(one.verdict.decision, one.verdict.reason, one.verdict.for_admin) for one in fitting]}"


def _is_a_decision(made: Made) -> bool:
    """A no that the gateway decided on, with its reason on record; or that was declared for a gateway which fails. No other no counts: a
    client that reaches nobody, or is turned away at the door, would be denied everything."""
    said = made.verdict
    if made.failing:
        return said.said_by == DECLARED and said.reason == "guard_unavailable"
    call = _row(made) if said.asked else None
    return call is not None and call.verdict in ("deny", "hold") and bool(call.reason) and call.reason == said.reason


def _chain(play: Play, said: Mapping[str, Any]) -> str:
    """A call of that agent stands in a session below the sessions of those who delegated to it, each of them registered on record."""
    agent = said.get("agent_name") or said.get("to_agent")
    wanted = said.get("chain") or play.chains.get(str(agent), [])
    for one in (one for one in play.made if one.agent == agent):
        call = _row(one)
        session = Session.objects.filter(pk=call.session).first() if call and call.session else None
        found: list[str] = []
        while session is not None:
            found.insert(0, session.external_id)
            if not AuditEntry.objects.filter(verb="session.registered", subject=str(session.ref)).exists():
                return f"{session} is not on record"
            session = session.parent
        return "" if found == wanted else f"{found}"
    return f"{agent} made no call"


def _on_record(play: Play, said: Mapping[str, Any], settle: Callable[[], object]) -> str:
    """Every call that fits has its row, with the decision that was answered, and is in the audit chain."""
    fitting = [one for one in play.made if one.fits(said)]
    if not fitting:
        return "no such call was made"
    for one in fitting:
        call = _row(one)
        if call is None:
            return f"{one.tool} of {one.user.uid} has no row"
        if (call.verdict == "allow") is not one.verdict.decision:
            return f"{call.verdict} is on record, {one.verdict.decision} was answered"
        if said.get("decision", call.verdict) not in (call.verdict, "deny" if call.verdict == "hold" else ""):
            return f"{call.verdict} is on record"
        if not _chained(call, settle):
            return f"{call.verdict} of {one.tool} is not in the chain"
    return ""


def _fields(play: Play, said: Mapping[str, Any]) -> str:
    names = said.get("fields") or [said["field"]]
    fitting = [one for one in play.made if one.fits(said)]
    for one in fitting:
        call = _row(one)
        if call is None:
            return f"{one.tool} has no row"
        who = Identity.objects.get(pk=call.identity)
        session = Session.objects.filter(pk__in=[call.session]).values_list("external_id", flat=True).first() or ""
        found = {name: FIELDS[name](call, who, session) for name in names}
        must = {"tenant": one.user.tenant, "actor_uid": one.user.uid, "tool": one.tool, **({"agent_name": one.agent} if one.agent else {})}
        wrong = [name for name in names if not found[name] or found[name] != must.get(name, found[name])]
        if wrong:
            return f"{', '.join(f'{name} is {found[name]!r}' for name in wrong)}"
    return "" if fitting else "no such call was made"


def _row(made: Made) -> GuardCall | None:
    return GuardCall.objects.filter(pk=UUID(made.verdict.evaluation_id)).first() if made.verdict.evaluation_id else None


def _chained(call: GuardCall, settle: Callable[[], object]) -> bool:
    if call.verdict != "allow":
        return AuditEntry.objects.filter(verb__in=("guard.denied", "guard.held"), subject=str(call.ref)).exists()
    until = time.monotonic() + PATIENCE
    while call.batch is None and time.monotonic() < until:
        settle()
        time.sleep(0.1)
        call.refresh_from_db()
    batch = GuardBatch.objects.filter(pk=call.batch).first() if call.batch else None
    return batch is not None and AuditEntry.objects.filter(verb="guard.allowed", subject=str(batch.ref)).exists()
