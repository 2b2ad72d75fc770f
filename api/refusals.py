"""Every no of the API as problem details (RFC 9457): type, title, status, detail, code, and `errors` for bad input.

`handle` is DRF's exception handler; ProblemMiddleware does the same for plain views and for what Django itself refuses under our prefixes.
What nobody expected is a 500 with an id that is in the log, and nothing of the inside.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from rest_framework import exceptions

from core.ids import uuid7
from core.refusals import BadInput, Fault, Kind, Refusal

log = logging.getLogger(__name__)

PREFIXES = ("/api/", "/access/v1/")  # /access/ alone is the console's page of people and tokens
MEDIA_TYPE = "application/problem+json"
BUSY_SECONDS = 2

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

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "busy",
}


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """For DRF's EXCEPTION_HANDLER."""
    request = context.get("request")
    return as_problem(error, path=request.path if request is not None else "")


def as_problem(error: Exception, *, path: str) -> HttpResponse:
    match error:
        case BadInput():
            return problem(_status(error, path), error.sentence, code=error.code, errors=error.faults)
        case Refusal():
            return problem(_status(error, path), error.sentence, code=error.code)
        case Http404():
            return problem(404, "There is nothing here.")
        case exceptions.NotAuthenticated():
            return problem(401, "Send a token as `Authorization: Bearer hf_…`, or sign in.")
        case exceptions.ValidationError():
            return problem(422, "Some of it is wrong.", code="invalid", errors=faults_of(error.detail))
        case exceptions.APIException():
            return _of_drf(error)
        case PermissionDenied():
            return problem(403, str(error) or "You may not do this.")
        case RequestDataTooBig() | TooManyFieldsSent():
            return problem(413, "The request is too large.")
        case SuspiciousOperation() | UnreadablePostError():
            return problem(400, "The request cannot be read.")
        case OperationalError() | InterfaceError():
            log.warning("The database did not answer at %s: %s", path, error)
            return problem(503, "The database does not answer. Nothing was done; try again.")
    return _unexpected(error, path)


def problem(status: int, detail: str, *, code: str = "", errors: list[Fault] | None = None) -> HttpResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code or _CODES.get(status, "refused"),
    }
    if errors:
        body["errors"] = [{"path": fault.path, "code": fault.code, "detail": fault.detail} for fault in errors]
    answer = JsonResponse(body, status=status, content_type=MEDIA_TYPE)
    answer["Cache-Control"] = "no-store"
    if status == 401:
        answer["WWW-Authenticate"] = 'Bearer realm="holdfast"'
    if status == 503:
        answer["Retry-After"] = str(BUSY_SECONDS)
    return answer


def faults_of(detail: Any, at: str = "") -> list[Fault]:
    """DRF's nested error lists, flat: `{"identity": {"kind": [ErrorDetail]}}` becomes a Fault at `identity.kind`."""
    from api.gate import path_to

    match detail:
        case dict():
            return [
                fault for key, item in detail.items() for fault in faults_of(item, at if key == "non_field_errors" else path_to(at, key))
            ]
        case list() if all(isinstance(item, str) for item in detail):
            return [Fault(at, getattr(item, "code", None) or "invalid", str(item)) for item in detail]
        case list():
            return [fault for index, item in enumerate(detail) for fault in faults_of(item, path_to(at, index))]
    return [Fault(at, getattr(detail, "code", None) or "invalid", str(detail))]


class Afterwards:
    """A middleware that only looks at answers, in the order of the request or later."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.later = iscoroutinefunction(get_response)
        if self.later:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.later:
            return self._later(request)
        return self.after(request, self.get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return self.after(request, await self.get_response(request))

    def after(self, request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
        raise NotImplementedError


class ProblemMiddleware(Afterwards):
    """Under the API's prefixes a program gets problem details, also where Django or a plain view said no in HTML."""

    def after(self, request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
        return _translated(request, answer)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return as_problem(error, path=request.path) if request.path.startswith(PREFIXES) else None


def _translated(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    if answer.status_code < 400 or not request.path.startswith(PREFIXES) or "json" in answer.headers.get("Content-Type", ""):
        return answer
    details = {404: "There is nothing here.", 403: "You may not do this.", 405: f"{request.method} is not possible here."}
    said = problem(answer.status_code, details.get(answer.status_code, "The request was refused."))
    for name in ("Allow", "Retry-After"):
        if name in answer.headers:
            said[name] = answer.headers[name]
    return said


def _status(refusal: Refusal, path: str) -> int:
    """AuthZEN knows no 415 and no 422: its clients are told 400."""
    if refusal.kind in ("unsupported", "invalid") and path.startswith("/access/"):
        return 400
    return STATUS[refusal.kind]


def _of_drf(error: exceptions.APIException) -> HttpResponse:
    answer = problem(error.status_code, str(error.detail))
    if wait := getattr(error, "wait", None):
        answer["Retry-After"] = str(int(wait) + 1)
    return answer


def _unexpected(error: Exception, path: str) -> HttpResponse:
    number: UUID = uuid7()
    log.error("Unexpected at %s, told as %s", path, number, exc_info=error)
    return problem(500, f"Something went wrong on our side. It is in the log as {number}.", code="unexpected")
