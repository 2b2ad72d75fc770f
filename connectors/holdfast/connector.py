"""Acts on our own session gate through a protocol that containment implements and hands in at start.

A gate row is the target here: the runtime reads it before each call, so what stands there is what it is told. Every change carries the
key of the step that made it, and undo opens only what still carries that key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from connectors.base import (
    IRREVERSIBLE,
    Ability,
    Artefact,
    Effect,
    EffectClass,
    Foreign,
    Measure,
    OnAmbiguous,
    Proof,
    ProofLevel,
    Ready,
    Rejected,
    State,
    Step,
)

GATE: Mapping[Measure, str] = {
    Measure.SESSION_RESTRICT: "restricted",
    Measure.SESSION_PAUSE: "paused",
    Measure.SESSION_TERMINATE: "ended",
}
STRICTER = ("active", "restricted", "paused", "ended")
SAYS = {
    "restricted": "restricted to reading while people decide",
    "paused": "paused because of how it behaved",
    "ended": "ended because of how it behaved",
    "active": "going on again",
}


class SessionGate(Protocol):
    def look(self, identity: str, sessions: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Session name -> {state, because, allows, key, …facts}; with no names, every live session of the identity."""
        ...

    def set(self, identity: str, session: str, *, state: str, because: str, key: str, allows: Sequence[str] = ()) -> bool:
        """Put one session into a state under a key. False when it is so already."""
        ...


def _ability(inverse: str, *, disruptive: bool = True) -> Ability:
    return Ability(
        effect=EffectClass.NATURAL,
        on_ambiguous=OnAmbiguous.LOOK,
        inverse=inverse,
        residual=timedelta(0),  # the runtime reads the gate before each call; a call already out is let finish
        probe="the gate, read twice, as the runtime reads it",
        disruptive=disruptive,
        settle=timedelta(seconds=10),
    )


class HoldfastConnector:
    """Configured with `gate`."""

    name = "holdfast"
    abilities: Mapping[Measure, Ability] = {
        Measure.EVIDENCE_PRESERVE: _ability("nothing to undo", disruptive=False),
        Measure.SESSION_RESTRICT: _ability("the session may do what it could before"),
        Measure.SESSION_PAUSE: _ability("the session goes on where it stopped"),
        Measure.SESSION_TERMINATE: _ability(IRREVERSIBLE),
    }

    def __init__(self, *, gate: SessionGate) -> None:
        self._gate = gate

    def looker(self) -> HoldfastConnector:
        return HoldfastConnector(gate=_ReadOnly(self._gate))

    def whoami(self) -> Sequence[str]:
        return []  # the gate has no account of its own

    def preflight(self, step: Step) -> Ready:
        return Ready(can=True)

    def look(self, step: Step) -> State:
        seen = self._seen(step)
        wanted = GATE.get(step.measure)
        return State(
            contained=wanted is not None and all(_at_least(one["state"], wanted) for one in seen.values()),
            public={"sessions": {name: _public(one) for name, one in sorted(seen.items())}},
            live_sessions=sum(one["state"] != "ended" for one in seen.values()),
            account="holdfast",
        )

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        wanted = GATE.get(step.measure)
        if wanted is None:
            return Effect(changed=False, said="Looking changes nothing.")
        changed = []
        for name, one in sorted(self._seen(step).items()):
            if not _at_least(one["state"], wanted) and self._gate.set(
                step.target.identity, name, state=wanted, because=SAYS[wanted], key=key, allows=_allows(wanted)
            ):
                changed.append(name)
        return Effect(changed=bool(changed), said=f"{', '.join(changed) or 'no session'} {SAYS[wanted].partition(' ')[0]}")

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        wanted = GATE.get(step.measure)
        if wanted is None:
            return Proof(dead=True, level=ProofLevel.ACKNOWLEDGED, said="Looking cuts nothing.")
        for _ in range(2):
            open_still = [name for name, one in self._seen(step).items() if not _at_least(one["state"], wanted)]
            if open_still:
                return Proof(dead=False, level=ProofLevel.INTROSPECTED, said=f"{', '.join(sorted(open_still))} can still act")
        return Proof(dead=True, level=ProofLevel.INTROSPECTED, said=f"the gate says {wanted} for every session, read twice")

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        """Only a session that still carries our key is opened. One that ended since stays ended, whoever ended it; one that somebody else
        has changed is theirs.
        """
        if self.abilities[step.measure].inverse == IRREVERSIBLE or step.measure not in GATE:
            return Effect(changed=False, said="What was ended stays ended; a new session may begin.")
        before: Mapping[str, Mapping[str, Any]] = was.public["sessions"]
        now = self._gate.look(step.target.identity, sorted(before)) if before else {}
        ours = GATE[step.measure]
        closed = {name for name in before if not _at_least(before[name]["state"], ours)}  # by us: the others were closed already
        theirs = {name: one["state"] for name, one in now.items() if name in closed and not _is_ours(one, ours, key, before[name])}
        foreign = {name: state for name, state in theirs.items() if state not in (before[name]["state"], "ended")}
        if foreign:
            raise Foreign(
                f"{', '.join(sorted(foreign))} was changed by somebody else since; left as it is.",
                diff={"before": {name: before[name]["state"] for name in foreign}, "ours": ours, "now": foreign},
            )
        opened = [
            name
            for name, one in sorted(now.items())
            if _is_ours(one, ours, key, before[name]) and self._put_back(step.target.identity, name, before[name])
        ]
        return Effect(changed=bool(opened), said=f"{', '.join(opened) or 'no session'} back to what it was")

    def manual(self, step: Step, was: State) -> Sequence[str]:
        """Nothing outside was changed: what keeps a session closed is the gate's own word."""
        if step.measure not in GATE:
            return []
        ours = GATE[step.measure]
        closed = {name: one for name, one in was.public["sessions"].items() if not _at_least(one["state"], ours)}
        if not closed:
            return []
        return [
            "# While Holdfast is down nobody asks the gate: each runtime goes by the mode that it declared for itself.",
            "# Once it is up: open the run and choose Undo, or POST /api/v1/runs/{id of the run}/undo with a reason. Then these are:",
            *(f"#   {json.dumps(name)}: {ours} -> {one['state']}" for name, one in sorted(closed.items())),
        ]

    def hands_over(self, step: Step, was: State, to: Step, to_was: State) -> tuple[State, State]:
        """A session has one state. Where `to` is the stricter, nothing is opened now, and it opens to what `step` found; where it is the
        looser, `step` opens to no more than `to` allows, under a key that `to` knows."""
        ours, theirs = GATE.get(step.measure, ""), GATE.get(to.measure, "")
        if not ours or not theirs:
            return was, to_was
        less, more = dict(was.public["sessions"]), dict(to_was.public["sessions"])
        shared = [
            name
            for name, one in was.public["sessions"].items()
            if name in more and not _at_least(one["state"], ours) and not _at_least(one["state"], theirs) and more[name]["state"] == ours
        ]
        for name in shared:
            before = less.pop(name)
            more[name] = before
            if not _at_least(theirs, ours):
                key = f"handed-over:{step.target.identity}:{name}:{theirs}"
                less[name] = {"state": theirs, "because": SAYS[theirs], "allows": _allows(theirs), "key": key}
                more[name] = before | {"left_as": key}
        if not shared:
            return was, to_was
        less_public, more_public = dict(was.public) | {"sessions": less}, dict(to_was.public) | {"sessions": more}
        return replace(was, public=less_public), replace(to_was, contained=False, public=more_public)

    def collect(self, step: Step) -> Sequence[Artefact]:
        seen = {name: dict(one) for name, one in self._seen(step).items()}
        content = json.dumps(seen, indent=1, sort_keys=True, default=str).encode()
        return [Artefact(name="sessions.json", media_type="application/json", content=content)]

    def _seen(self, step: Step) -> Mapping[str, Mapping[str, Any]]:
        named = [step.target.session] if step.target.session else list(step.target.facts.get("sessions", []))
        return self._gate.look(step.target.identity, named)

    def _put_back(self, identity: str, name: str, before: Mapping[str, Any]) -> bool:
        return self._gate.set(
            identity,
            name,
            state=before["state"],
            because=before["because"] if before["state"] != "active" else "",
            key=before["key"],
            allows=before["allows"],
        )


class _ReadOnly:
    """A gate that shows what stands there and turns nothing."""

    def __init__(self, gate: SessionGate) -> None:
        self.look = gate.look

    def set(self, identity: str, session: str, *, state: str, because: str, key: str, allows: Sequence[str] = ()) -> bool:
        raise Rejected("This gate may only be looked at, so nothing was tried.")


def _allows(state: str) -> list[str]:
    return ["read"] if state == "restricted" else []


def _at_least(state: str, wanted: str) -> bool:
    return STRICTER.index(state) >= STRICTER.index(wanted)


def _is_ours(one: Mapping[str, Any], ours: str, key: str, before: Mapping[str, Any]) -> bool:
    """It carries our key; or the one under which another measure of ours left it to us."""
    return bool(one["state"] == ours and one["key"] in {key, before.get("left_as", key)})


def _public(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("state", "because", "allows", "key")}
