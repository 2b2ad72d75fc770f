"""The guard's one question: may this subject do this to that, now? The quick way first, else the whole story."""

from __future__ import annotations

from core.actor import Actor
from guard import live, quick, slow
from guard.answers import Answer
from sources.asking import Ask


def answer(ask: Ask, actor: Actor) -> Answer:
    """A Refusal where the token may not ask about this subject, or nothing can be judged just now."""
    given = quick.quick(ask, actor) or slow.answer(ask, actor)
    live.heard(given.id)
    return given
