"""A backtest as people read it: how far it is, what would have been different, and the sliders with what they count at their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from console.controls import Control, control
from containment import policies, policy_approvals
from containment.domain import backtest as domain
from containment.models import Backtest, Decision
from core.actor import Actor
from core.refusals import BadInput

VERDICTS = ("watch", "covered", "exempt", "hold", "contain")
TONES = {"due": "quiet", "running": "accent", "done": "ok", "failed": "hot"}
STATES = {"due": "waiting to begin", "running": "being worked on", "done": "done", "failed": "not finished"}
SIZE = 50


@dataclass(frozen=True, slots=True)
class Flip:
    """A decision that would have been another. `before` is the decision as it stands."""

    before: Decision
    verdict: str
    stage: str
    risk: float
    because: str


@dataclass(frozen=True, slots=True)
class Slider:
    """One threshold rule with where its two sliders stand, and what was counted there. `was` are the thresholds of the text itself."""

    number: int
    who: str
    was_soft: float
    was_hard: float
    soft: int
    hard: int
    floor: int
    contained: int
    held: int
    comes_near: bool


@dataclass(frozen=True, slots=True)
class Places:
    """All sliders together. `cells` is what the page's script counts from."""

    sliders: Sequence[Slider]
    contained: int
    held: int
    asks: float
    moved: bool
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    it: Backtest
    state: str
    tone: str
    per_cent: int
    verdicts: Sequence[tuple[str, int, int]]
    noticed: Mapping[str, Any]
    kinds: Sequence[tuple[str, int, int]]
    reasons: Sequence[tuple[str, int]]
    kinds_of_flip: Sequence[tuple[str, str, int]]
    flips_in_all: int
    flips: Sequence[Flip]
    further: int
    places: Places | None
    new_chains: Sequence[str]
    may_draft: Control


def card(it: Backtest, viewer: Actor, query: Mapping[str, str]) -> Card:
    result = it.result if it.state == "done" else {}
    noticed = result.get("noticed", {})
    verdicts = result.get("verdicts", {"before": {}, "after": {}})
    flips, further = _flips(result, query) if result else ([], 0)
    return Card(
        it=it,
        state=STATES[it.state],
        tone=TONES[it.state],
        per_cent=100 * it.done // it.events if it.events else 0,
        verdicts=[(one, verdicts["before"].get(one, 0), verdicts["after"].get(one, 0)) for one in VERDICTS],
        noticed=noticed,
        kinds=[(kind, who.get("contained", 0), who.get("held", 0)) for kind, who in noticed.get("kinds", {}).items()],
        reasons=list(noticed.get("reasons", {}).items()),
        kinds_of_flip=[(flip, flip.replace(" > ", " → "), count) for flip, count in result.get("flips", {}).items()],
        flips_in_all=sum(result.get("flips", {}).values()),
        flips=flips,
        further=further,
        places=places(result["slider"], query) if result else None,
        new_chains=new_chains(it.policy_text) if result else [],
        may_draft=control(viewer, "policy.author"),
    )


def new_chains(text: str) -> list[str]:
    """Those that are understated because the version in force does not name them. A text that is refused by now names none."""
    try:
        return policy_approvals.new_chains(policies.document(text))
    except BadInput:
        return []


def _flips(result: Mapping[str, Any], query: Mapping[str, str]) -> tuple[list[Flip], int]:
    """A page of those that were kept, the highest risk first, and where the next one begins: 0 if there is none."""
    begin = int(query.get("from", "0")) if query.get("from", "0").isdecimal() else 0
    listed = result["flipped"]
    shown = listed[begin : begin + SIZE]
    rows = Decision.objects.select_related("detection__identity", "detection__source", "policy")
    before = rows.defer("facts", "waterfall", "signals").in_bulk([UUID(one["decision"]) for one in shown])
    flips = [
        Flip(found, one["verdict"], one["stage"], one["risk"], one["because"])
        for one in shown
        if (found := before.get(UUID(one["decision"]))) is not None
    ]
    return flips, begin + SIZE if begin + SIZE < len(listed) else 0


def places(slider: Mapping[str, Any], query: Mapping[str, str]) -> Places:
    """The sliders where `?soft_0=35&hard_0=60` puts them; without it, where the text has them, in whole points."""
    found = []
    contained = held = alone = grouped = 0
    near = {cell[0] for cell in slider["cells"]}
    for number, rule in enumerate(slider["rules"]):
        soft = max(rule["floor"], min(100, _whole(query.get(f"soft_{number}"), round(rule["soft"]))))
        hard = max(soft, min(100, _whole(query.get(f"hard_{number}"), round(rule["hard"]))))
        counts = domain.at(slider["cells"], number, soft, hard)
        contained += counts["contained"]
        held += counts["held"] + counts["grouped"]
        alone, grouped = alone + counts["held"], grouped + counts["grouped"]
        found.append(
            Slider(
                number=number,
                who=who(rule),
                was_soft=rule["soft"],
                was_hard=rule["hard"],
                soft=soft,
                hard=hard,
                floor=rule["floor"],
                contained=counts["contained"],
                held=counts["held"] + counts["grouped"],
                comes_near=number in near,
            )
        )
    asks = alone + (slider["days"] if grouped else 0)
    share = asks / slider["days"] / slider["approvers"] if slider["days"] and slider["approvers"] else 0.0
    moved = any((one.soft, one.hard) != (one.was_soft, one.was_hard) for one in found)
    cells = {"cells": slider["cells"], "days": slider["days"], "approvers": slider["approvers"]}
    found.sort(key=lambda one: not one.comes_near)
    return Places(found, contained, held, round(share, 2), moved, cells)


def who(rule: Mapping[str, Any]) -> str:
    words = [
        str(rule["kind"]).replace("_", " "),
        f"driven by {rule['drive']}" if rule["drive"] else "",
        f"in {rule['environment']}" if rule["environment"] else "",
    ]
    return ", ".join(filter(None, words))


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) <= 3 else otherwise
