"""What is contained, for runtimes that keep it and refuse by themselves: a long poll that ends when it changes, and holds no connection.

It holds no thread either: waits.py runs this view in the event loop itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from api import gate
from api.access import body, room
from api.access.caller import caller
from api.access.refusals import not_possible
from containment.models import Source
from core.refusals import Fault
from guard import asked
from guard.contained import Sight, feed
from guard.waiting import LONGEST_S, until

PERMISSION = "guard.ask"
LONGEST_VIEW = 200


@csrf_exempt
async def contained(request: HttpRequest) -> HttpResponse:
    if request.method != "GET":
        return not_possible(request, "GET")
    longest, since = _seconds(request.GET.get("wait", "0")), _moment(request.GET.get("as_of", ""))
    whose = await until(lambda: _whose(request), seconds=0)  # with a connection that is given back before the wait
    assert whose is not None  # noqa: S101 - it is somebody's, or was refused
    sight, provider = whose
    after = request.GET.get("after", "")[:LONGEST_VIEW]
    said = await feed().wait(after, longest, sight, since)
    if longest:  # the token is looked at once more: one that was revoked meanwhile is told nothing
        now = await until(lambda: _whose(request), seconds=0)
        assert now is not None  # noqa: S101 - as above
        if now != whose:
            sight, provider = now
            said = await feed().wait("", 0, sight)
    return body.said({**said, "provider": provider})


contained.needs = {"GET": PERMISSION}  # type: ignore[attr-defined]


def _whose(request: HttpRequest) -> tuple[Sight, str]:
    """A token sees what its source may speak about. `provider`: the one that its subjects have, where they name none."""
    with room.hurry():
        actor = caller(request, PERMISSION)
        limits: tuple[Any, Any] | None = None
        if actor.source:
            limits = Source.objects.filter(name=actor.source).values_list("providers", "kinds").first()
        providers, kinds = limits or ((), ())
        return Sight(frozenset(providers), frozenset(kinds)), asked.provider_of(actor)


def _seconds(said: str) -> float:
    try:
        seconds = float(said) if len(said) <= 10 else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_S:
        raise gate.Malformed([Fault("wait", "out_of_range", f"A number of seconds from 0 to {LONGEST_S:.0f}.")])
    return seconds


def _moment(said: str) -> datetime | None:
    """That of what the caller has already, which another process may have told it."""
    if not said:
        return None
    try:
        moment: datetime | None = datetime.fromisoformat(said)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise gate.Malformed([Fault("as_of", "not_a_moment", "A moment as the last answer had it in as_of.")])
    return moment
