"""What a measure would change of what look saw: for the dry run of a plan, which looks and does nothing else.

Reads the shapes that the connectors' looks have. Of one that has none of them nothing is foretold, and what it saw is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.base import Measure, State, Step

GATE = {Measure.SESSION_RESTRICT: "restricted", Measure.SESSION_PAUSE: "paused", Measure.SESSION_TERMINATE: "ended"}
ENDS_SESSIONS = {Measure.SESSION_TERMINATE, Measure.CREDENTIAL_REVOKE, Measure.WORKLOAD_ISOLATE}
PASSWORD = {Measure.CREDENTIAL_REVOKE: "none", Measure.CREDENTIAL_ROTATE: "a new one in its place"}
MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Change:
    """`now` is what look saw, `then` what would be there afterwards. The same twice: it is so already."""

    what: str
    now: str
    then: str

    @property
    def is_one(self) -> bool:
        return self.now != self.then


def changes(step: Step, seen: State) -> list[Change]:
    found = list(_of_role(step.measure, seen.public["own"])) if isinstance(seen.public.get("own"), Mapping) else []
    sessions = seen.public.get("sessions")
    if isinstance(sessions, Mapping) and step.measure in GATE:
        found += [Change(f"session {name}", str(one.get("state")), GATE[step.measure]) for name, one in list(sessions.items())[:MOST_NAMED]]
        if len(sessions) > MOST_NAMED:
            found.append(Change(f"{len(sessions) - MOST_NAMED} more sessions", "as they are", GATE[step.measure]))
    elif step.measure is Measure.CREDENTIAL_ROTATE and seen.live_sessions is not None and "own" in seen.public:
        found.append(Change("sessions from before", str(seen.live_sessions), "0"))
    elif step.measure in ENDS_SESSIONS and seen.live_sessions is not None and "own" in seen.public:
        found.append(Change("live sessions", str(seen.live_sessions), _left_of(step, seen.live_sessions)))
    if isinstance(seen.public.get("state"), str):
        found.append(Change("state", seen.public["state"], "cut"))
    return found


def _of_role(measure: Measure, own: Mapping[str, Any]) -> Iterator[Change]:
    """`own` holds what the measure changes, and nothing else; of a password nothing, where whoever looked may not see it."""
    if "limit" in own:
        yield Change("connection limit", "none" if own["limit"] == -1 else str(own["limit"]), "0")
    if "login" in own:
        yield Change("may log in", "yes" if own["login"] else "no", "no")
    if measure in PASSWORD:
        yield Change("password", str(own.get("password", "the former one")), PASSWORD[measure])
    if "read_only" in own:
        yield Change("new transactions are read-only", str(own["read_only"] or "off"), "on")
    for grant in list(own.get("grants", []))[:MOST_NAMED]:
        yield Change("privilege", _said(grant), "taken")
    if len(own.get("grants", [])) > MOST_NAMED:
        yield Change("privileges", f"{len(own['grants']) - MOST_NAMED} more", "taken")


def _left_of(step: Step, live: int) -> str:
    spared, only = step.parameters.get("spare"), step.parameters.get("only")
    if not live:
        return "0"
    if spared:
        return "0, but for the origins that are spared"
    return "those of the named origins ended" if only else "0"


def _said(grant: Any) -> str:
    if not isinstance(grant, Mapping):
        return str(grant)
    return f"{grant.get('privilege', '')} on {grant.get('name') or grant.get('kind', '')}".strip()
