"""Intents: whether what a session wants to do lies inside its approved profile, inside what it declared before, and inside what those may
do that it works for. Reads only; sessions.py asks before it writes. What holds at each call is session_use's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from containment import documents, session_use
from containment.domain import inside
from containment.models import Session, WorkDocument
from containment.session_use import Approved
from core.refusals import Fault

LISTS = (*inside.LISTS, "scope")


def faults_of(intent: Mapping[str, Any], life: timedelta | None, environment: str, parent: Session | None, *, now: datetime) -> list[Fault]:
    """Every place of a registration that lies outside. Nothing intended needs no profile, and allows nothing of its own."""
    faults = _outside_profile(intent, life, parent, now) if intent else []
    return faults + _outside_parent(intent, life, environment, parent, faults, now)


def end_of(life: timedelta | None, parent: Session | None, *, now: datetime) -> datetime | None:
    """No later than the session that it works for; a session that says nothing of its life ends with that one."""
    ends = [end for end in (now + life if life is not None else None, parent.expires_at if parent is not None else None) if end is not None]
    return min(ends, default=None)


def faults_of_form(intent: Mapping[str, Any]) -> list[Fault]:
    return _measures(intent)[1]


def named_in(intent: Mapping[str, Any]) -> list[str]:
    """What the task names: its words, and the values that were declared for arguments."""
    values = [str(one) for tool in intent.get("bounds", {}).values() for bound in tool.values() for one in bound.get("one_of", ())]
    return [str(intent.get("task", "")), *values]


def wider(intent: Mapping[str, Any], session: Session) -> list[str]:
    """The places where `intent` is more than the session has: more than it declared, or than those may do that it works for. An intent that
    left a list out meant all that its profile approves."""
    before: Mapping[str, Any] = session.intent
    if intent.get("profile") != before.get("profile"):
        return ["profile"]
    profile = _profile(before)
    approved = profile.body if profile else {}
    lists = {name: before.get(name, approved.get(name, [])) for name in LISTS}
    places = [*inside.beyond(intent, lists, silence_allows=False), *_left_out(intent, before)]
    places += inside.over(intent.get("budgets", {}), before.get("budgets", {}))
    places += [name for name in ("task",) if name in intent and intent[name] != before.get(name)]
    places += _looser_than_before(intent.get("bounds", {}), before.get("bounds", {}))
    if session.parent is not None:
        places += _beyond_parent(intent, session.parent)
    return list(dict.fromkeys(places))


def _outside_profile(intent: Mapping[str, Any], life: timedelta | None, parent: Session | None, now: datetime) -> list[Fault]:
    profile = _profile(intent)
    if profile is None:
        return [Fault("intent.profile", "unknown", "Name an agent profile that is approved and in force.")]
    detail = f"The profile {profile.name} does not approve it."
    measures, faults = _measures(intent)
    places = [*inside.beyond(intent, profile.body, silence_allows=False), *_more(measures, profile.body)]
    faults += [Fault(f"intent.{place}", "outside_profile", detail) for place in places]
    minutes, until = profile.body.get("ttl_minutes"), end_of(life, parent, now=now)
    if minutes and (until is None or until > now + timedelta(minutes=minutes)):
        faults.append(Fault("ttl_seconds", "outside_profile", f"Sessions of this profile live at most {minutes} minutes."))
    return faults


def _outside_parent(
    intent: Mapping[str, Any], life: timedelta | None, environment: str, parent: Session | None, before: list[Fault], now: datetime
) -> list[Fault]:
    """Each place once: what the profile does not approve needs no second reason."""
    named = {fault.path for fault in before}
    faults: list[Fault] = []
    if parent is not None:
        detail = f"The session {parent.external_id}, which it works for, may not."
        places = [] if faults_of_form(intent) else _beyond_parent(intent, parent)
        faults += [Fault(f"intent.{place}", "outside_parent", detail) for place in places if f"intent.{place}" not in named]
        if parent.expires_at is not None and life is not None and life > parent.expires_at - parent.started_at:
            left = int((parent.expires_at - now).total_seconds())
            detail = f"The session that it works for ends in {left} seconds. Leave it out to end with it."
            faults.append(Fault("ttl_seconds", "outside_parent", detail))
    if environment and _is_elsewhere(environment, intent, parent):
        faults.append(Fault("environment", "outside_intent", "It is not among the environments that this session may act in."))
    return [fault for fault in faults if fault.path not in named]


def _is_elsewhere(environment: str, intent: Mapping[str, Any], parent: Session | None) -> bool:
    profile = _profile(intent)
    allowed = [intent.get("environments"), profile.body.get("environments") if profile else None]
    allowed += [one.get("environments") for one in _layers(parent)] if parent is not None else []
    return any(one and environment not in one for one in allowed)


def _beyond_parent(intent: Mapping[str, Any], parent: Session) -> list[str]:
    """Compared with each thing that limits the parent: what it declared, its profile in force, and the same of those above it."""
    places: list[str] = []
    for layer in _layers(parent):
        places += [*inside.beyond(intent, layer, silence_allows=True), *_more(intent, layer)]
    return list(dict.fromkeys(places))


def _layers(parent: Session) -> list[Mapping[str, Any]]:
    approved = session_use.approved_for(parent)
    return [layer for one in (*(above.approved for above in approved.above), approved) for layer in _layers_of(one)]


def _layers_of(approved: Approved) -> list[Mapping[str, Any]]:
    """An empty list in a declaration is one that was left out. Whose profile is in force no more may do nothing."""
    declared = {name: said for name, said in approved.declared.items() if said}
    gone: Mapping[str, Any] = {"tools": []} if declared.get("profile") and approved.document is None else approved.profile
    return [declared, gone]


def _more(intent: Mapping[str, Any], than: Mapping[str, Any]) -> list[str]:
    budgets = inside.over(intent.get("budgets", {}), than.get("budgets", {}))
    return [*budgets, *inside.looser(intent.get("bounds", {}), than.get("bounds", {}))]


def _profile(intent: Mapping[str, Any]) -> WorkDocument | None:
    name = str(intent.get("profile", ""))
    return documents.in_force(name, "agent_profile") if name else None


def _measures(intent: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    return documents.bounds_and_budgets({name: intent[name] for name in ("bounds", "budgets") if name in intent}, "intent")


def _left_out(intent: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """What was narrowed before and is not mentioned any more would be all of the profile again."""
    lists = [name for name in LISTS if before.get(name) and not intent.get(name)]
    return lists + [f"budgets.{name}" for name in before.get("budgets", {}) if name not in intent.get("budgets", {})]


def _looser_than_before(bounds: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Bounds that were given up, or that let through what the earlier ones did not."""
    found = []
    for tool, arguments in before.items():
        for argument, was in arguments.items():
            now = bounds.get(tool, {}).get(argument, {})
            given_up = any(side in was and side not in now for side in ("min", "max", "one_of", "like"))
            if given_up or inside.looser({tool: {argument: now}}, {tool: {argument: was}}):
                found.append(f"bounds.{tool}.{argument}")
    return found
