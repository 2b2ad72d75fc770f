"""How the console says no: a notice beside the card, with a status that says so too.

`caught` turns an expected no into a value, for views that show it in place. Whatever a view lets through is told by the middleware: in a
fragment as a notice over the page, elsewhere as a page of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django_htmx.http import reswap, trigger_client_event

from core.refusals import BadInput, Fault, Kind, Missing, Refusal

STATUS: Mapping[Kind, int] = {
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "missing": 404,
    "conflict": 409,
    "too_large": 413,
    "unsupported": 415,
    "invalid": 422,
    "busy": 503,
}
ELSEWHERE = ("/api/", "/access/v1/")


def caught(deed: Callable[[], object]) -> Refusal | None:
    """Do it; None when it is done, else the no. What does not exist stays an exception: there is no card to say it beside."""
    try:
        deed()
    except Missing:
        raise
    except Refusal as refusal:
        return refusal
    return None


def of_form(form: forms.Form) -> BadInput:
    """A form that does not hold, as the no that a person reads."""
    faults = [
        Fault(name, error.code or "invalid", str(error.message)) for name, errors in form.errors.as_data().items() for error in errors
    ]
    return BadInput(faults, sentence=" ".join(fault.detail for fault in faults))


def status_of(refusal: Refusal | None) -> int:
    return STATUS[refusal.kind] if refusal else 200


class RefusalMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if request.path.startswith(ELSEWHERE):
            return None
        told = _told(error)
        if told is None:
            return None
        status, sentence = told
        if getattr(request, "htmx", False):
            return notice(HttpResponse(status=status), sentence, tone="hot")
        return _page(request, status, sentence) if isinstance(error, Refusal) else None


def notice(response: HttpResponse, sentence: str, tone: str = "quiet") -> HttpResponse:
    """Say it over the page. A response without content changes nothing else on it."""
    trigger_client_event(response, "notice", {"text": sentence, "tone": tone})
    return response if response.content else reswap(response, "none")


def _told(error: Exception) -> tuple[int, str] | None:
    match error:
        case Refusal():
            return status_of(error), error.sentence
        case PermissionDenied():
            return 403, str(error) or "You may not do this."
        case Http404():
            return 404, "There is nothing here any more."
    return None


def _page(request: HttpRequest, status: int, sentence: str) -> HttpResponse:
    facts: dict[str, Any] = {"sentence": sentence, "status": status}
    return render(request, "console/refused.html", facts, status=status)
