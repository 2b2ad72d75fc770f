"""May this agent do this now? One question, or many at once (AuthZEN Authorization API 1.0). A no is an answer like any other: 200."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from api import gate
from api.access import body
from core.actor import Actor
from core.refusals import Refusal
from guard import ask as guard
from guard import asked
from sources import authzen
from sources.authzen import Semantic


@body.asking("guard.ask")
def evaluation(request: HttpRequest, actor: Actor) -> HttpResponse:
    message = gate.read_json(request, limit=body.LIMIT)
    question = authzen.read(message, provider=asked.provider_for(message, actor))
    return body.said(guard.answer(question, actor).to_json())


@body.asking("guard.ask")
def evaluations(request: HttpRequest, actor: Actor) -> HttpResponse:
    message = gate.read_json(request, limit=body.BATCH_LIMIT)
    provider = asked.provider_of(actor)
    batch = authzen.several(message)
    if batch is None:
        return body.said(guard.answer(authzen.read(message, provider=provider), actor).to_json())
    answers: list[dict[str, Any]] = []
    for question in batch.questions:
        answers.append(_one(question, provider, actor))
        if _ends(answers[-1]["decision"], batch.semantic):
            break
    return body.said({"evaluations": answers})


def _one(question: Any, provider: str, actor: Actor) -> dict[str, Any]:
    """What is wrong with one of them is told in its place, and spoils no other."""
    try:
        return guard.answer(authzen.read(question, provider=provider), actor).to_json()
    except Refusal as refusal:
        if refusal.kind == "busy":
            raise
        return {"decision": False, "context": {"reason": refusal.code, "reason_admin": {"en": refusal.sentence}}}


def _ends(decision: bool, semantic: Semantic) -> bool:
    return (semantic is Semantic.FIRST_DENY and not decision) or (semantic is Semantic.FIRST_PERMIT and decision)
