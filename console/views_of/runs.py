"""The way back of a run, as its card shows it: where it stands, until when, what comes next, what came back, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console import said
from console.controls import Control, control
from core.actor import Actor
from playbooks import returning
from playbooks.domain.moves import UNDOABLE
from playbooks.domain.receipt import Line, receipt
from playbooks.domain.reinstating import is_return, level_of
from playbooks.models import Run, Step

PROLONG_BY = {"1": "1 hour", "4": "4 hours", "24": "24 hours", "72": "3 days"}
THREE = frozenset({"before", "ours", "now"})
WHY = {
    "back": "is as it was",
    "kept": "stays: another run holds it as well",
    "irreversible": "cannot come back",
    "was_so_before": "was so before, left as it is",
    "untouched": "was never done",
    "foreign": "waits for a person",
    "not_yet": "not yet",
}
TONES = {"back": "ok", "kept": "warn", "foreign": "hot", "irreversible": "warn", "not_yet": "accent"}
NAMES = {"limit": "connection limit", "login": "may log in", "password": "password", "grants": "privileges"}


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One attribute, three times. `differs`: what is there now is neither as it was nor as we left it."""

    name: str
    before: str
    ours: str
    now: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """What somebody else changed after us, and where."""

    deed: str
    said: str
    rows: tuple[DiffRow, ...]


@dataclass(frozen=True, slots=True)
class LevelLine:
    place: int
    deed: str
    watch: str
    state: str
    mark: str


@dataclass(frozen=True, slots=True)
class Return:
    """A return in levels. `until`: the watch that goes on now; None while a level is being brought about. `stays`: for a person to end."""

    levels: tuple[LevelLine, ...]
    until: datetime | None
    stays: bool
    total: float
    next: str
    steering: Control
    level: int


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    deed: str
    words: str
    tone: str
    said: str
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LivesOn:
    """Access that was given before may live on until then."""

    deed: str
    until: datetime


@dataclass(frozen=True, slots=True)
class WayBack:
    diffs: tuple[Diff, ...]
    returns: Return | None
    to_come: tuple[LevelLine, ...]
    receipt: tuple[ReceiptLine, ...]
    lasts_until: datetime | None
    prolonging: Control
    lives_on: tuple[LivesOn, ...]


def way_back(run: Run, steps: Sequence[Step], viewer: Actor, now: datetime) -> WayBack:
    over = run.state == "undone" or (run.state == "needs_human" and run.undo_at is not None)
    return WayBack(
        diffs=tuple(_diff(step) for step in steps if step.diff and step.state == "needs_human"),
        returns=_return(run, steps, viewer) if run.state == "reinstating" else None,
        to_come=tuple(_levels(run, set())) if run.state in UNDOABLE and run.undo_at is None else (),
        receipt=tuple(_receipt_line(line) for line in receipt(steps)) if over else (),
        lasts_until=run.lasts_until,
        prolonging=control(viewer, "run.undo") if run.lasts_until else Control(False),
        lives_on=tuple(
            LivesOn(said.deed(step.measure, step.parameters), step.residual_until)
            for step in steps
            if step.state == "verifying" and step.residual_until and step.residual_until > now
        ),
    )


def diff_rows(name: str, diff: Mapping[str, Any]) -> tuple[DiffRow, ...]:
    """What a connector found, one row for each attribute: it says before, ours and now of the whole, or of each attribute."""
    if set(diff) <= THREE:
        before, now = diff.get("before"), diff.get("now")
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            return tuple(_row(str(each), {"before": before.get(each), "ours": diff.get("ours"), "now": now.get(each)}) for each in now)
        return (_row(name, diff),)
    return tuple(_row(NAMES.get(each, each), three) for each, three in diff.items() if isinstance(three, Mapping))


def _row(name: str, three: Mapping[str, Any]) -> DiffRow:
    before, ours, now = (_words(three.get(each)) for each in ("before", "ours", "now"))
    return DiffRow(name, before, ours, now, now not in (before, ours))


def _words(value: object) -> str:
    match value:
        case True | False:
            return "yes" if value else "no"
        case None | [] | "":
            return "none"
        case list():
            return ", ".join(str(one) for one in value)
        case -1:
            return "no limit"
    return str(value)


def _diff(step: Step) -> Diff:
    return Diff(said.deed(step.measure, step.parameters), step.said, diff_rows(step.measure, step.diff or {}))


def _levels(run: Run, began: set[int]) -> Iterable[LevelLine]:
    for place, level in enumerate(returning.levels(run), start=1):
        deed = said.and_join([said.deed(step["measure"], step["parameters"]) for step in level["steps"]])
        state, mark = "comes later", "waiting"
        if place <= run.level:
            state, mark = ("stands", "acting") if place == run.level else ("over", "done")
        elif place in began:
            state, mark = "is brought about", "acting"
        yield LevelLine(place, deed, _span(level.get("watch_s") or 0), state, mark)


def _return(run: Run, steps: Sequence[Step], viewer: Actor) -> Return:
    began = {level_of(step.stage) for step in steps if is_return(step.stage) and step.state in {"planned", "acting", "verifying", "done"}}
    levels = returning.levels(run)
    watched, stays = returning.is_watched(run), returning.stays(run)
    following = "everything that is left is given back" if run.level >= len(levels) else f"level {run.level + 1} of {len(levels)} follows"
    return Return(
        levels=tuple(_levels(run, began)),
        until=run.next_at if watched and not stays else None,
        stays=stays,
        total=float(levels[run.level - 1].get("watch_s") or 1) if run.level else 1.0,
        next=following,
        steering=control(viewer, "run.undo"),
        level=run.level,
    )


def _span(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds < 3600 or seconds % 3600 else f"{round(seconds / 3600)} h"


def _receipt_line(line: Line) -> ReceiptLine:
    words = "is back, but not all of it" if line.left else WHY[line.why]
    tone = "warn" if line.left else TONES.get(line.why, "")
    return ReceiptLine(said.deed(line.measure, line.parameters), words, tone, line.said, line.left)
