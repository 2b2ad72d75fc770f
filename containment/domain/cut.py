"""The smallest cut: the fewest cuts after which every suspicious event of the case would be refused, then the least honest work refused.

A hint for playbooks: this session, else this workflow's sessions, else the credential, else the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from containment.domain.facts import EventFacts, Facts, UseFacts


class Level(StrEnum):
    SESSION = "session"
    WORKFLOW = "workflow"
    CREDENTIAL = "credential"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Cut:
    """Where to cut: the sessions, workflows, credential or identity by name. `refuses`: how many events of other workflows in the last
    7 days it would have refused."""

    level: Level
    names: tuple[str, ...]
    refuses: int = 0


def smallest_cut(facts: Facts, *, credential_is_out: bool) -> Cut:
    """`credential_is_out`: somebody else holds the credential, so that ending sessions would not refuse the next one."""
    events = {*facts.history.suspicious, _this_event(facts)}
    if credential_is_out:
        events.add(EventFacts(credential=facts.credential.id if facts.credential else ""))
    workflows = {event.workflow for event in events}
    cuts = [Cut(Level.IDENTITY, (facts.identity.id,), sum(use.events for use in facts.history.use if use.workflow not in workflows))]
    for level in (Level.CREDENTIAL, Level.WORKFLOW, Level.SESSION):
        names = {_name(event, level) for event in events}
        if "" not in names:
            refused = (use for use in facts.history.use if _name(use, level) in names and use.workflow not in workflows)
            cuts.append(Cut(level, tuple(sorted(names)), sum(use.events for use in refused)))
    return min(cuts, key=lambda cut: (len(cut.names), cut.refuses, list(Level).index(cut.level)))


def misbehaving_workflow(facts: Facts) -> str:
    """The workflow at work here, as far as anybody says. It only ever chooses who is cut sooner."""
    named = next((session.workflow for session in facts.own_sessions if session.id == facts.session), "")
    return named or (facts.detection.claimed_workflow if facts.detection else "")


def _this_event(facts: Facts) -> EventFacts:
    return EventFacts(
        session=facts.session,
        workflow=misbehaving_workflow(facts),
        credential=facts.credential.id if facts.credential else "",
    )


def _name(thing: EventFacts | UseFacts, level: Level) -> str:
    return {Level.SESSION: thing.session, Level.WORKFLOW: thing.workflow, Level.CREDENTIAL: thing.credential}[level]
