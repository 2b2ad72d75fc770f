"""May this agent do this now? One question, or many at once (AuthZEN Authorization API 1.0). A no is an answer like any other: 200."""

from __future__ import annotations

from typing import Any

from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from api import gate
from api.access import body, room
from core.actor import Actor
from core.refusals import Fault, Refusal
from guard import ask as guard
from guard import asked
from sources import authzen
from sources.authzen import Semantic

RETRY_S = 2


@body.asking("guard.ask")
def evaluation(request: HttpRequest, actor: Actor) -> HttpResponse:
    message = gate.read_json(request, limit=body.LIMIT)
    return body.said(_answer(message, asked.provider_for(message, actor), actor))


@body.asking("guard.ask")
def evaluations(request: HttpRequest, actor: Actor) -> HttpResponse:
    message = gate.read_json(request, limit=body.BATCH_LIMIT)
    provider = asked.provider_of(actor)
    batch = authzen.several(message)
    if batch is None:
        return body.said(_answer(message, provider, actor))
    answers: list[dict[str, Any]] = []
    for question in batch.questions:
        answers.append(_one(question, provider, actor, first=not answers))
        if _ends(answers[-1]["decision"], batch.semantic):
            break
        if answers[-1]["context"].get("reason") == room.Busy.code:
            answers += [_busy()] * (len(batch.questions) - len(answers))
            break
    return body.said({"evaluations": answers})


def _answer(question: Any, provider: str, actor: Actor) -> dict[str, Any]:
    try:
        return guard.answer(authzen.read(question, provider=provider), actor).to_json()
    except DataError as trouble:
        raise authzen.Malformed([Fault("", "unstorable", "Something in it cannot be kept. Nothing was judged.")]) from trouble


def _one(question: Any, provider: str, actor: Actor, *, first: bool) -> dict[str, Any]:
    """What is wrong with one of them is told in its place, and spoils no other. So is that there was no time for it, once others were
    answered and count."""
    try:
        return _answer(question, provider, actor)
    except (OperationalError, InterfaceError):
        if first:
            raise
        return _busy()
    except Refusal as refusal:
        if refusal.kind != "busy":
            return {"decision": False, "context": {"reason": refusal.code, "reason_admin": {"en": refusal.sentence}}}
        if first:
            raise
        return _busy()


def _busy() -> dict[str, Any]:
    said = "There was no time for this one. Nothing was judged; try again."
    return {"decision": False, "context": {"reason": room.Busy.code, "reason_admin": {"en": said}, "retry_after": RETRY_S}}


def _ends(decision: bool, semantic: Semantic) -> bool:
    return (semantic is Semantic.FIRST_DENY and not decision) or (semantic is Semantic.FIRST_PERMIT and decision)
