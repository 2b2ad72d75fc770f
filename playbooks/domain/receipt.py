"""The receipt of an undo: what came back, what did not, and why. Asked of the steps alone, as they stand when it is over or given up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from connectors.base import IRREVERSIBLE
from playbooks.domain.reinstating import is_return

Why = Literal["back", "kept", "irreversible", "was_so_before", "untouched", "foreign", "not_yet"]
KEPT = "kept:"
FINE = frozenset({"back", "was_so_before", "untouched"})


class Settled(Protocol):
    """What is asked of a step."""

    @property
    def seq(self) -> int: ...
    @property
    def stage(self) -> str: ...
    @property
    def measure(self) -> str: ...
    @property
    def connector(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def disruptive(self) -> bool: ...
    @property
    def inverse(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def left(self) -> Sequence[str]: ...
    @property
    def was(self) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One measure. `back`: what it cut is as it was before us. `left`: what of it could not come back although the rest did."""

    measure: str
    connector: str
    back: bool
    why: Why
    said: str
    left: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


def receipt(steps: Iterable[Settled]) -> list[Line]:
    """One line for each measure that was to cut, in the order of the plan. Where it was cut again, the last time counts."""
    last: dict[tuple[str, str, str], Settled] = {}
    for step in sorted(steps, key=lambda step: step.seq):
        if not step.disruptive or step.state == "skipped" or (is_return(step.stage) and step.state == "undone"):
            continue
        last[(step.connector, step.measure, repr(sorted(step.parameters.items())))] = step
    return [_line(step) for step in last.values()]


def _line(step: Settled) -> Line:
    why = _why(step)
    said = {
        "irreversible": "What was ended stays ended; it may begin anew.",
        "was_so_before": "It was so before us, so it was left as it is.",
        "untouched": "Nothing was done, so there was nothing to put back.",
    }.get(why, step.said)
    left = tuple(step.left) if why == "back" else ()
    return Line(step.measure, step.connector, why in FINE and not left, why, said, left, step.parameters)


def _why(step: Settled) -> Why:
    if step.state == "needs_human":
        return "foreign"
    if step.was is None:
        return "untouched"
    if step.state != "undone":
        return "not_yet"
    if step.said.startswith(KEPT):
        return "kept"
    if step.was["contained"]:
        return "was_so_before"
    return "irreversible" if step.inverse == IRREVERSIBLE else "back"


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """For the entry that says the undo is over."""
    short = [f"{line.measure} did not come back ({line.why.replace('_', ' ')})" for line in lines if not line.back and not line.left]
    short += [f"{line.measure} came back but for {len(line.left)} of it" for line in lines if line.left]
    return {"back": sum(line.back for line in lines), "of": len(lines), "rest": "; ".join(short) or "nothing is missing"}
