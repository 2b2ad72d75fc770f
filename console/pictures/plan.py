"""A playbook drawn: its stages side by side in the order in which they come, what leads from one to the next, and the way back.

Lists whose marks are drawn, so that the picture is read in order, wraps on a phone, follows the theme, and says in words what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

SIGNS = {  # what a step is for: a cut is a filled mark, what only keeps or tells is a ring
    "cuts": "M6 6l8 8m0 -8l-8 8",
    "keeps": "M6 10.500l2.700 2.700 5.300 -6",
    "eases": "M10 14v-8m-3.500 3.500l3.500 -3.500 3.500 3.500",
}
WORDS = {"cuts": "cuts", "keeps": "cuts nothing", "eases": "stands meanwhile"}
FOUND = {
    "would": "would change",
    "already": "so already",
    "cannot": "cannot be done",
    "unknown": "not looked at",
    "nothing": "changes nothing",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What a dry run found: `now` and `then` are the same where nothing would change."""

    what: str
    now: str
    then: str


@dataclass(frozen=True, slots=True)
class PlanStep:
    """`does` is one of SIGNS. With a dry run: `found`, one of FOUND, what it found, and sentences about it."""

    label: str
    does: str
    note: str = ""
    found: str = ""
    facts: Sequence[Fact] = ()
    told: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PlanStage:
    """`leads`: what follows after it, in words."""

    name: str
    words: str
    steps: Sequence[PlanStep]
    leads: str = ""


def plan(stages: Sequence[PlanStage]) -> SafeString:
    return format_html('<div class="plan-drawn">{}</div>', format_html_join("", "{}", ((_stage(stage),) for stage in stages)))


def _stage(stage: PlanStage) -> SafeString:
    leads = format_html('<p class="plan-leads">{}</p>', stage.leads) if stage.leads else ""
    steps = format_html_join("", "{}", ((_step(step),) for step in stage.steps))
    return format_html(
        '<section data-stage="{}"><h3>{} <small>{}</small></h3><ol>{}</ol>{}</section>', stage.name, stage.name, stage.words, steps, leads
    )


def _step(step: PlanStep) -> SafeString:
    note = format_html("<small>{}</small>", step.note) if step.note else ""
    found = format_html('<span class="tag" data-found="{}">{}</span>', step.found, FOUND[step.found]) if step.found else ""
    told = format_html_join("", "<small>{}</small>", ((sentence,) for sentence in step.told))
    return format_html(
        '<li data-does="{}">{}<b>{}</b><span class="unseen">: {}. </span>{}{}{}{}</li>',
        step.does,
        _mark(step.does),
        step.label,
        WORDS[step.does],
        note,
        found,
        _facts(step.facts),
        told,
    )


def _facts(facts: Sequence[Fact]) -> SafeString | str:
    if not facts:
        return ""
    rows = format_html_join(
        "",
        "<dt>{}</dt><dd>{}</dd>",
        (
            (
                fact.what,
                format_html('{} <span class="faint">and stays so</span>', fact.now)
                if fact.now == fact.then
                else format_html('<del>{}</del><span class="unseen"> becomes </span><ins>{}</ins>', fact.now, fact.then),
            )
            for fact in facts
        ),
    )
    return format_html('<dl class="plan-facts">{}</dl>', rows)


def _mark(does: str) -> SafeString:
    return format_html(
        '<svg viewBox="0 0 20 20" aria-hidden="true"><circle class="mark" cx="10" cy="10" r="8.5"/><path class="sign" d="{}"/></svg>',
        SIGNS[does],
    )
