"""Blast radius: what a plan cuts, what waits and what stays, gathered from the facts that were judged. console/pictures draws it.

From left to right: the identity, its sessions and credential, what was done or is approved for them, and on what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from console.pictures import Column, Fate, Link, Node
from console.said import REVOKING
from containment.models import Decision, Detection

SUBJECT = "identity"
ORDER = {fate: rank for rank, fate in enumerate(Fate)}


@dataclass(slots=True)
class _Boxes:
    """One column being filled. What is reached twice keeps the fate that matters more."""

    name: str
    nodes: dict[str, Node] = field(default_factory=dict)

    def put(self, key: str, label: str, note: str, fate: Fate) -> str:
        before = self.nodes.get(key)
        if before is None or ORDER[fate] < ORDER[before.fate]:
            self.nodes[key] = Node(key, label, before.note if before and before.note else note, fate)
        return key

    def column(self) -> Column:
        return Column(self.name, tuple(self.nodes.values()))


def columns_and_links(decision: Decision, plan: Mapping[str, Any], stage: str) -> tuple[list[Column], list[Link]]:
    """`plan` holds the rendered stages; `stage` is the one that would run."""
    facts: Mapping[str, Any] = decision.facts
    detection = decision.detection
    ways, deeds, things = _Boxes("Sessions and credential"), _Boxes("Does"), _Boxes("On")
    links: list[Link] = []
    held, cut_at_once = _held(decision), set(_choice(decision).get("at_once", ()))
    for session in facts.get("sessions", ()):
        fate = _fate_of(session, stage, held, cut_at_once)
        way = ways.put(f"s:{session['id']}", session["name"] or "unnamed session", _note_of(session), fate)
        links.append(Link(SUBJECT, way, fate))
        links += _approved(facts, session, way, fate, deeds, things)
    for name, because in _absent(decision):
        way = ways.put(f"b:{name}", name, because, Fate.HELD)
        links.append(Link(SUBJECT, way, Fate.HELD))
    credential_fate = Fate.CUT if _revokes(plan.get(stage, ())) else Fate.STAYS
    if facts.get("credential"):
        way = ways.put("credential", _credential_name(detection), _credential_note(facts), credential_fate)
        links.append(Link(SUBJECT, way, credential_fate))
    links += _seen(decision, ways, deeds, things)
    subject = Node(SUBJECT, detection.identity.label, detection.identity.kind.replace("_", " "), Fate.SUBJECT)
    return [Column("Identity", (subject,)), *(boxes.column() for boxes in (ways, deeds, things) if boxes.nodes)], links


def _choice(decision: Decision) -> Mapping[str, Any]:
    choice: Mapping[str, Any] = decision.waterfall.get("choice", {})
    return choice


def _held(decision: Decision) -> set[str]:
    return {one["session"] for one in _choice(decision).get("bystanders", ()) if one["session"]}


def _absent(decision: Decision) -> list[tuple[str, str]]:
    """Who would break although they are not connected just now."""
    return [(one["name"], "not connected now") for one in _choice(decision).get("bystanders", ()) if not one["session"]]


def _fate_of(session: Mapping[str, Any], stage: str, held: set[str], at_once: set[str]) -> Fate:
    if session["id"] in held:
        return Fate.HELD
    if session["id"] in at_once or stage in session.get("cut_by", ()):
        return Fate.CUT
    return Fate.STAYS


def _note_of(session: Mapping[str, Any]) -> str:
    return str(session.get("workflow") or session.get("origin") or session.get("role") or "")


def _approved(facts: Mapping[str, Any], session: Mapping[str, Any], way: str, fate: Fate, deeds: _Boxes, things: _Boxes) -> Iterable[Link]:
    """What the session's workflow is approved for: it goes the way of the session."""
    rules = [rule for flow in facts.get("workflows", ()) if flow["name"] == session.get("workflow") for rule in flow.get("scope", ())]
    for rule in rules:
        deed = deeds.put(f"a:{rule['action']}:{rule['resource']}", rule["action"], "approved work", fate)
        thing = things.put(f"r:{rule['resource']}", rule["resource"], "", fate)
        yield Link(way, deed, fate)
        yield Link(deed, thing, fate)


def _seen(decision: Decision, ways: _Boxes, deeds: _Boxes, things: _Boxes) -> Iterable[Link]:
    """What was reported: its action and resource, on the session it names or else on the credential."""
    detection = decision.detection
    times = f"seen {detection.action_count} times" if detection.action_count > 1 else "seen once"
    deed = deeds.put(f"seen:{detection.action}", detection.action or "nothing seen yet", times, Fate.CUT)
    yield Link(_from_where(decision, ways), deed, Fate.CUT)
    if detection.resource is not None:
        sensitivity = (decision.facts.get("resource") or {}).get("sensitivity")
        note = f"{sensitivity} sensitivity" if sensitivity else "sensitivity unknown"
        thing = things.put(f"r:{detection.resource.key}", detection.resource.key, note, Fate.CUT)
        yield Link(deed, thing, Fate.CUT)


def _from_where(decision: Decision, ways: _Boxes) -> str:
    named = f"s:{decision.facts.get('session')}"
    if named in ways.nodes:
        return named
    likeliest = sorted(ways.nodes, key=lambda key: ORDER[ways.nodes[key].fate])
    return likeliest[0] if likeliest else SUBJECT


def _revokes(steps: Iterable[Mapping[str, Any]]) -> bool:
    return any(step["measure"] in REVOKING for step in steps)


def _credential_name(detection: Detection) -> str:
    """Its name, where one is known that is not a mask."""
    name = detection.credential.name if detection.credential else ""
    return name if name.strip("….*") else "its credential"


def _credential_note(facts: Mapping[str, Any]) -> str:
    users = len(facts["credential"].get("users", ()))
    kind = str(facts["credential"].get("kind", "")).replace("_", " ")
    return f"{kind}, {users} users" if users > 1 else kind
