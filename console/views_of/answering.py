"""Who answered a hold, who may, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts import actors
from accounts.models import Person
from accounts.roles import roles_with
from approvals.domain import quorum
from approvals.domain.quorum import Terms
from approvals.models import Answer, Hold
from console import said
from console.controls import Control
from core.actor import Actor


@dataclass(frozen=True, slots=True)
class AnswerLine:
    who: str
    word: str
    at: datetime
    reason: str


def may_answer(found: Hold, viewer: Actor) -> bool:
    return bool(quorum.admits(found.as_terms(), viewer))


def answering(found: Hold, terms: Terms, answers: Sequence[Answer], viewer: Actor) -> Control:
    if not found.is_open:
        return Control(False)
    verdict = quorum.admits(terms, viewer)
    if not verdict:
        return Control(False, f"{verdict.sentence} {_named(terms)}".strip())
    mine = next((answer for answer in answers if answer.principal == viewer.principal), None)
    if mine is not None:
        return Control(False, f"You said “{said.words(found)[mine.word]}” at {said.clock_time(mine.at)}. It takes {terms.quorum} people.")
    return Control(True)


def extending(found: Hold, may: Control) -> Control:
    if not may.allowed:
        return may
    if found.extensions >= found.extensions_max:
        return Control(False, f"The deadline was moved {found.extensions} times, which is all this hold allows.")
    return Control(True)


def _named(terms: Terms) -> str:
    """Some people who could answer, by name."""
    candidates = Person.objects.filter(is_active=True, role_grants__role__in=roles_with("hold.answer")).distinct().order_by("display_name")
    could = [
        str(person) for person in candidates.prefetch_related("role_grants", "teams") if quorum.admits(terms, actors.of_person(person))
    ]
    if not could:
        return "Nobody who could is active now."
    return f"{said.and_join(could[:3])} could." if len(could) <= 3 else f"{', '.join(could[:3])} and {len(could) - 3} more could."
