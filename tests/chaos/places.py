"""Where a run may be cut short, and in which scene somebody comes by there. A place of the engine that is missing here fails a test."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from embedded.places import ROOT

A_PLACE = re.compile(r"""\bcrashpoint\(\s*"([a-z_.]+)"\s*\)""")


def _around(place: str) -> tuple[str, str]:
    return f"{place}.before_commit", f"{place}.after_commit"


def _told(scenes: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {place: names for story, names in scenes.items() for place in _around(story)}


# place -> the scenes in which it is died at: at least one; forward and undo where the way leads by there in both
ENGINE: Mapping[str, Sequence[str]] = {
    "runs.claim.before_commit": ("plain", "undone"),
    "engine.drive.claimed": ("plain", "undone"),
    "runs.renew.before_commit": ("slow",),
    "engine.evidence.before_call": ("plain",),
    "engine.evidence.after_call": ("plain",),
    "engine.look.before_call": ("plain",),
    "engine.look.after_call": ("plain",),
    "engine.perform.before_call": ("plain",),
    "engine.perform.after_call": ("plain",),
    "engine.probe.before_call": ("plain",),
    "engine.probe.after_call": ("plain",),
    "back.undo.before_call": ("undone",),
    "back.undo.after_call": ("undone",),
    "back.look.before_call": ("undo shown late",),
    "back.look.after_call": ("undo shown late",),
    **_told(
        {
            "playbooks.runs.begin": ("plain",),
            "playbooks.runs.finish": ("plain", "undone"),
            "playbooks.runs.give_up": ("struck out",),
            "playbooks.runs.wait": ("refused once", "undo refused once"),
            "playbooks.steps.postponed": ("plain", "undone"),
            "playbooks.steps.intend": ("plain", "undone"),
            "playbooks.steps.see": ("plain",),
            "playbooks.steps.preserve": ("plain",),
            "playbooks.steps.settle": ("plain",),
            "playbooks.steps.prove": ("shown late",),
            "playbooks.steps.not_probed": ("asked for patience",),
            "playbooks.steps.trouble": ("refused once", "undo refused once"),
            "playbooks.steps.lose": ("too late for evidence",),
            "playbooks.steps.call_off": ("harmful",),
            "playbooks.steps.look_again": ("unheard",),
            "playbooks.steps.look_back_again": ("undo shown late",),
            "playbooks.claims.keep": ("undone",),
            "playbooks.returning.add_level": ("in levels",),
            "playbooks.returning._watch": ("in levels",),
            "playbooks.returning._did_not_hold": ("in levels that do not hold",),
            "playbooks.steps.skip": ("rejected", "undone at once"),
            "playbooks.steps.undone": ("undone", "was so before"),
        }
    ),
}
TOLD: Mapping[str, Sequence[str]] = _told(
    {
        "containment.flow._stored_and_decided": ("reported",),
        "containment.flow._counts": ("decided later",),
        "containment.flow.decide": ("decided later",),
        "containment.flow.undo_run": ("a person undoes",),
    }
)


BESIDE = {"forgetting.py"}  # what follows when a run was accepted: it acts on nothing, and has tests of its own


def of_the_engine() -> set[str]:
    """What the engine has: each place named in its source, and each story that is told with a worker's ticket."""
    from audit.record import STORIES

    named = {
        place
        for path in sorted((ROOT / "playbooks").glob("*.py"))
        if path.name not in BESIDE
        for place in A_PLACE.findall(path.read_text())
    }
    told = {name for name in STORIES if name.startswith("playbooks.") and "ticket" in inspect.signature(_function(name)).parameters}
    return named | {place for name in told for place in _around(name)}


def _function(name: str) -> Callable[..., object]:
    module, _, function = name.rpartition(".")
    found: Callable[..., object] = getattr(sys.modules[module], function)
    return found
