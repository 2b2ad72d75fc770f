"""The hold protocol at the door (AuthZEN access request and approval profile): have people asked, wait for their word, want it no longer.

A token asks and never answers. What somebody else asked for does not exist for it. The long poll holds neither a connection nor a thread:
waits.py runs its view in the event loop itself.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from api import gate
from api.access import body, room
from api.access.caller import caller
from api.access.refusals import not_possible
from api.refusals import MEDIA_TYPE
from approvals import requests
from approvals.models import AccessRequest
from approvals.refusals import KeyUsedOtherwise
from audit import clock
from core.actor import Actor
from core.digest import canonical, digest
from core.refusals import Fault, Refusal
from guard import asked, requestable
from guard.requestable import ExpiredDenial, InvalidBinding, InvalidTaskState, NotRequestable, Submission, UnknownTask, moment
from guard.waiting import LONGEST_S, Together, until
from sources import authzen
from sources.authzen import Malformed

URN = "urn:openid:authzen:access-request:error:"
ROOM_FOR_TEXT, ROOM_FOR_CLIENT, LONGEST_KEY = 2000, 4096, 200
OF_CLIENT = ("id", "name", "actor", "source")
KEPT = timedelta(days=7)  # how long the handle of a task that has ended is answered

_together: WeakKeyDictionary[asyncio.AbstractEventLoop, Together] = WeakKeyDictionary()


class TaskExpired(Refusal):
    code = "task_expired"


STATUS: Mapping[type[Refusal], int] = {
    NotRequestable: 400,
    InvalidBinding: 400,
    UnknownTask: 404,
    KeyUsedOtherwise: 409,
    InvalidTaskState: 409,
    ExpiredDenial: 410,
    TaskExpired: 410,
}


def in_the_profiles_words(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The noes that the profile names are problems of its types; all others are told as everywhere."""

    @csrf_exempt
    @functools.wraps(view)
    def told(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except tuple(STATUS) as refusal:
            return _problem(refusal)

    return told


@in_the_profiles_words
@body.asking("guard.ask")
def submit(request: HttpRequest, actor: Actor) -> HttpResponse:
    message = gate.read_json(request, limit=body.LIMIT)
    task, _ = requestable.submit(_submission(message, request.headers.get("Idempotency-Key", ""), actor), actor=actor)
    answer = body.said(_task(task, request), status=202 if task.waits else 201)
    answer["Location"] = _address(task, request)
    return _retrying(answer, task, waited=0)


@in_the_profiles_words
@body.asking("guard.ask")
def cancel(request: HttpRequest, actor: Actor, handle: str) -> HttpResponse:
    message = gate.read_json(request, limit=body.LIMIT)
    if not isinstance(message, dict):
        raise Malformed([Fault("", "wrong_type", "A cancellation is a JSON object.")])
    said = [_text(message, name, name) for name in ("reason", "comment")]
    because = ": ".join(filter(None, said)) or "no longer needed"
    return body.said(_task(requestable.cancel(handle, actor=actor, because=because), request))


async def status(request: HttpRequest, handle: str) -> HttpResponse:
    """`?wait=` seconds, at most 55: answers as soon as the task has ended, or then. Whoever does not wait is answered at once."""
    if request.method not in ("GET", "HEAD"):
        return not_possible(request, "GET", "HEAD")
    seconds = _seconds(request.GET.get("wait", "0"))
    if not seconds:
        return await sync_to_async(_status)(request, handle, waited=0)
    if await until(lambda: _waits(request, handle), seconds=0):
        await _awaited().wait(handle, seconds)
    told = await until(lambda: _status(request, handle, waited=seconds), seconds=0)
    assert told is not None  # noqa: S101 - it is told, or refused
    return told


def _waits(request: HttpRequest, handle: str) -> bool:
    """Whether there is anything to wait for. If there is no such task, the last look tells."""
    with room.hurry():
        try:
            return requestable.task(handle, actor=caller(request, "guard.ask")).waits
        except UnknownTask:
            return False


def _awaited() -> Together:
    loop = asyncio.get_running_loop()
    if loop not in _together:
        _together[loop] = Together(requests.ended)
    return _together[loop]


@in_the_profiles_words
def _status(request: HttpRequest, handle: str, *, waited: float) -> HttpResponse:
    """The token is looked at once more: one that was revoked meanwhile is told nothing."""
    with room.hurry():
        task = requestable.task(handle, actor=caller(request, "guard.ask"))
    if task.closed_at is not None and clock.now() > task.closed_at + KEPT:
        raise TaskExpired("This task ended long ago.")
    return _retrying(body.said(_task(task, request)), task, waited=waited)


status.needs = {"GET": "guard.ask"}  # type: ignore[attr-defined]


# -- what is sent ------------------------------------------------------------------------------------------------------------------------


def _submission(message: Any, key: str, actor: Actor) -> Submission:
    if not isinstance(message, dict):
        raise Malformed([Fault("", "wrong_type", "A request is a JSON object.")])
    if len(key) > LONGEST_KEY:
        raise Malformed([Fault("Idempotency-Key", "too_long", f"At most {LONGEST_KEY} characters.")])
    if message.get("callback") is not None:
        raise NotRequestable("Callbacks are not offered here. Leave `callback` out, and poll the task with ?wait=55.")
    asking = _one_item(message)
    denial = asking.get("denial")
    if not isinstance(denial, dict) or not isinstance(denial.get("evaluation_id"), str):
        raise InvalidBinding("`denial.evaluation_id` is needed: the evaluation_id of the answer that denied the call.")
    wanted, context = _object(asking, "requested_access"), _object(asking, "context")
    expires_at = _moment(denial, "expires_at", "denial.expires_at")
    if expires_at is None:
        raise Malformed([Fault("denial.expires_at", "missing", "The expires_at of the answer's access_request is needed here.")])
    return Submission(
        ask=authzen.read(asking, provider=asked.provider_of(actor)),
        denied=denial["evaluation_id"],
        expires_at=expires_at,
        body_digest=digest(message),
        key=key,
        justification=_text(context, "business_justification", "context.business_justification"),
        wanted_until=_moment(wanted, "requested_until", "requested_access.requested_until"),
        emergency=_flag(wanted, "emergency", "requested_access.emergency"),
        client=_client(asking),
    )


def _one_item(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The form with `items` is taken for one item: each call is asked about, and answered, by itself."""
    items = message.get("items")
    if items is None:
        return message
    if not isinstance(items, list) or not items or not all(isinstance(one, dict) for one in items):
        raise Malformed([Fault("items", "wrong_type", "A list of items is needed here.")])
    if len(items) > 1:
        raise NotRequestable("One call in each request: people answer each by itself. Send one request for each item.")
    return {**message, **items[0]}


def _client(asking: Mapping[str, Any]) -> Mapping[str, Any]:
    said = _object(asking, "client")
    kept = {name: said[name] for name in OF_CLIENT if name in said}
    if len(canonical(kept)) > ROOM_FOR_CLIENT:
        raise Malformed([Fault("client", "too_long", f"At most {ROOM_FOR_CLIENT} bytes.")])
    return kept


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name, {})
    if not isinstance(value, dict):
        raise Malformed([Fault(name, "wrong_type", "An object is needed here.")])
    return value


def _text(holder: Mapping[str, Any], name: str, path: str) -> str:
    value = holder.get(name, "")
    if not isinstance(value, str) or len(value) > ROOM_FOR_TEXT:
        raise Malformed([Fault(path, "wrong_type", f"A text of at most {ROOM_FOR_TEXT} characters is needed here.")])
    return value.strip()


def _flag(holder: Mapping[str, Any], name: str, path: str) -> bool:
    value = holder.get(name, False)
    if not isinstance(value, bool):
        raise Malformed([Fault(path, "wrong_type", "true or false is needed here.")])
    return value


def _moment(holder: Mapping[str, Any], name: str, path: str) -> datetime | None:
    value = holder.get(name)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 1970 <= at.year <= 9000:
        raise Malformed([Fault(path, "wrong_form", "A moment with its time zone, as in 2026-11-22T10:00:00Z.")])
    return at


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise Malformed([Fault("wait", "wrong_form", f"Whole seconds, at most {LONGEST_S:g}.")])
    return min(float(text), LONGEST_S)


# -- what is told ------------------------------------------------------------------------------------------------------------------------


def _task(task: AccessRequest, request: HttpRequest) -> dict[str, Any]:
    here = f"{request.scheme}://{request.get_host()}"
    told: dict[str, Any] = {
        "id": task.handle,
        "status": task.state,
        "status_endpoint": _address(task, request),
        "expires_at": moment(_expires(task)),
        "display": {"title": f"Approval of {task.asks['what']}", "description": _description(task)},
        "links": {"review": f"{here}/holds/{task.hold_id}/"},
    }
    if not task.waits:
        result = {"result": {"mode": "reevaluate", "approval": requestable.approval_of(task)}} if task.state == "approved" else {}
        return {"task": told, **result}
    terms = task.hold.as_terms()
    told["links"]["cancel"] = f"{_address(task, request)}/cancel"
    told["progress"] = {
        "current_step": terms.step + 1,
        "total_steps": len(terms.reviewers),
        "step_name": terms.asked[-1].name,
        "awaiting": [group.name for group in terms.asked],
    }
    return {"task": told}


def _address(task: AccessRequest, request: HttpRequest) -> str:
    return f"{request.scheme}://{request.get_host()}{requestable.ENDPOINT}/{task.handle}"


def _expires(task: AccessRequest) -> datetime:
    """When waiting for it is over at the latest, as things stand: whoever has not been asked yet has as long again."""
    if task.closed_at is not None:
        return task.closed_at + KEPT
    terms = task.hold.as_terms()
    left = len(terms.reviewers) - 1 - terms.step if task.hold.on_lapse == "escalate" else 0
    return task.hold.deadline + left * task.hold.patience


def _description(task: AccessRequest) -> str:
    if not task.waits:
        return task.closed_because or "It is over."
    asked_of = " or ".join(group.name for group in task.hold.as_terms().asked)
    return f"Waits for {asked_of}, until {task.hold.deadline:%H:%M:%S} UTC. If nobody answers, the call stays refused."


def _retrying(answer: HttpResponse, task: AccessRequest, *, waited: float) -> HttpResponse:
    """Who waited here may ask again at once; others the less often, the longer people take."""
    if task.waits:
        answer["Retry-After"] = "1" if waited else "5"
    return answer


def _problem(refusal: Refusal) -> HttpResponse:
    status = STATUS[type(refusal)]
    told: dict[str, Any] = {
        "type": f"{URN}{refusal.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": refusal.sentence,
        "code": refusal.code,
    }
    if "task" in refusal.facts:
        told["task"] = refusal.facts["task"]
    answer = JsonResponse(told, status=status, content_type=MEDIA_TYPE)
    answer["Cache-Control"] = "no-store"
    return answer
