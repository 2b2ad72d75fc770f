"""The guard's one question: may this subject do this to that, now? The quick way first, else the whole story."""

from __future__ import annotations

from containment import limits, speaking
from containment.models import Source
from core.actor import Actor
from guard import live, quick, slow
from guard.answers import Answer
from sources.asking import Ask


def answer(ask: Ask, actor: Actor) -> Answer:
    """A Refusal where the token may not ask about this subject, or nothing can be judged just now."""
    given = quick.quick(ask, actor) or _slowly(ask, actor)
    live.heard(given.id)
    return given


def _slowly(ask: Ask, actor: Actor) -> Answer:
    """What makes a detection counts against the rate of its source, after the fact: within the story its counter would be locked."""
    name = speaking.source_name(actor)
    with limits.discovering(name):
        given = slow.answer(ask, actor)
    if given.detection is not None and (source := Source.objects.filter(name=name).first()) is not None:
        limits.admit(source)
    return given
