"""The way into /access/: who asks, may they, and a body that is small, unambiguous JSON. Plain views: every tool call waits for one.

Only programs ask here, by token; it is looked at before a single byte of the body is read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from api import gate
from api.access import room
from api.access.caller import caller
from api.access.refusals import not_possible
from core.actor import Actor

LIMIT = 256 * gate.KIB
BATCH_LIMIT = gate.MIB

Work = Callable[[HttpRequest, Actor], HttpResponse]


def asking(permission: str, *, method: str = "POST") -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A view that a token with this permission may call: it gets the request and the actor, once it is its turn."""

    def door(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @csrf_exempt
        @functools.wraps(view)
        def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != method:
                return not_possible(request, method)
            with room.turn():
                return view(request, caller(request, permission), *args, **kwargs)

        opened.needs = {method: permission}  # type: ignore[attr-defined]
        return opened

    return door


def said(body: Any, status: int = 200) -> HttpResponse:
    answer = JsonResponse(body, status=status)
    answer["Cache-Control"] = "no-store"
    return answer
