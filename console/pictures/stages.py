"""How far a run has come: its stages and steps in a row on a desk, one below the other on a phone.

A list whose marks are drawn, so that its words wrap and are read in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

STATES = {
    "waiting": "waits",
    "acting": "at work",
    "done": "done",
    "failed": "failed",
    "undone": "undone",
    "skipped": "not needed",
}
SIGNS = {
    "done": "M6 10.500l2.700 2.700 5.300 -6",
    "failed": "M7 7l6 6m0 -6l-6 6",
    "undone": "M13.500 12.500a3 3 0 0 0 -3 -4.500h-4m2.200 -2.200l-2.200 2.200 2.200 2.200",
}


@dataclass(frozen=True, slots=True)
class StepMark:
    """One mark on the way. `state` is one of STATES."""

    label: str
    state: str
    note: str = ""


def stages(steps: Sequence[StepMark]) -> SafeString:
    marks = format_html_join(
        "",
        '<li data-state="{}"{}>{}<b>{}</b><span class="unseen">: {}. </span>{}</li>',
        (
            (
                step.state,
                SafeString(' aria-current="step"') if step.state == "acting" else "",
                _mark(step.state),
                step.label,
                STATES[step.state],
                format_html("<small>{}</small>", step.note or STATES[step.state]),
            )
            for step in steps
        ),
    )
    return format_html('<ol class="stages">{}</ol>', marks)


def _mark(state: str) -> SafeString:
    sign = format_html('<path class="sign" d="{}"/>', SIGNS[state]) if state in SIGNS else ""
    return format_html('<svg viewBox="0 0 20 20" aria-hidden="true"><circle class="mark" cx="10" cy="10" r="7.5"/>{}</svg>', sign)
