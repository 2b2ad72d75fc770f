"""Every no of the API in one shape."""

import json
import logging

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from rest_framework import exceptions, serializers

from accounts.tokens import TokenExpired
from api import gate, refusals
from core.lifecycle import NoSuchMove
from core.refusals import BadInput, Fault, Forbidden, Missing, Refusal


class Busy(Refusal):
    code = "target_busy"
    kind = "busy"


WRONG = BadInput([Fault("severity", "not_a_choice", "Not one of these."), Fault("identity.kind", "required", "Missing.")])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (gate.Malformed([Fault("", "syntax", "No.")]), 400, "malformed"),
        (WRONG, 422, "invalid"),
        (gate.Unsupported("No."), 415, "unsupported_media_type"),
        (gate.TooLarge("No."), 413, "too_large"),
        (TokenExpired("No."), 401, "token_expired"),
        (Forbidden("No."), 403, "forbidden"),
        (Missing("No."), 404, "not_found"),
        (NoSuchMove("No."), 409, "no_such_move"),
        (Busy("No."), 503, "target_busy"),
        (exceptions.NotAuthenticated(), 401, "unauthenticated"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.Throttled(wait=3), 429, "too_many_requests"),
        (exceptions.ParseError(), 400, "malformed"),
        (Http404(), 404, "not_found"),
        (PermissionDenied("Ask Omar."), 403, "forbidden"),
        (RequestDataTooBig(), 413, "too_large"),
        (SuspiciousOperation(), 400, "malformed"),
        (OperationalError("connection refused"), 503, "busy"),
        (InterfaceError("connection already closed"), 503, "busy"),
        (ZeroDivisionError("division by zero"), 500, "unexpected"),
    ],
)
def test_a_refusal_has_a_status_and_a_code(error, status, code):
    answer = refusals.handle(error, {})
    body = json.loads(answer.content)
    assert answer.status_code == body["status"] == status
    assert body["code"] == code
    assert answer["Content-Type"] == "application/problem+json"
    assert set(body) >= {"type", "title", "status", "detail", "code"}
    assert ("WWW-Authenticate" in answer) == (status == 401)
    assert ("Retry-After" in answer) == (status in {429, 503})


def test_bad_input_lists_every_fault():
    assert json.loads(refusals.handle(WRONG, {}).content)["errors"] == [
        {"path": "severity", "code": "not_a_choice", "detail": "Not one of these."},
        {"path": "identity.kind", "code": "required", "detail": "Missing."},
    ]


def test_under_access_a_wrong_type_is_400():
    assert refusals.as_problem(gate.Unsupported("No."), path="/access/v1/evaluation").status_code == 400


def test_the_inside_of_an_unexpected_error_is_in_the_log_alone(caplog):
    with caplog.at_level(logging.ERROR):
        body = refusals.as_problem(RuntimeError("password=hunter2"), path="/api/v1/detections").content.decode()
    assert "hunter2" not in body
    assert "RuntimeError" not in body
    number = json.loads(body)["detail"].split()[-1].rstrip(".")
    assert number in caplog.text
    assert "hunter2" in caplog.text


def test_a_broken_database_shows_nothing_of_its_address():
    body = refusals.as_problem(OperationalError('connection to "10.0.0.3" failed'), path="/api/").content
    assert b"10.0.0.3" not in body


class Inner(serializers.Serializer):
    kind = serializers.CharField()
    counts = serializers.ListField(child=serializers.IntegerField())


class Outer(serializers.Serializer):
    identity = Inner()
    items = Inner(many=True)


def test_the_faults_of_a_serializer_come_out_flat():
    outer = Outer(data={"identity": {"counts": [1, "x"]}, "items": [{"kind": "a", "counts": []}, {"kind": "b"}]})
    assert not outer.is_valid()
    faults = refusals.faults_of(outer.errors)
    assert {(fault.path, fault.code) for fault in faults} == {
        ("identity.kind", "required"),
        ("identity.counts[1]", "invalid"),
        ("items[1].counts", "required"),
    }


def through(rf, path, view):
    middleware = refusals.ProblemMiddleware(view)
    return middleware(rf.get(path))


def test_a_page_of_html_under_the_api_becomes_a_problem(rf):
    answer = through(rf, "/api/v1/nowhere", lambda _: HttpResponse("<h1>Not Found</h1>", status=404))
    assert answer["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content)["code"] == "not_found"


def test_what_a_route_allows_is_kept(rf):
    assert through(rf, "/api/v1/x", lambda _: HttpResponseNotAllowed(["POST"]))["Allow"] == "POST"


def test_pages_and_good_answers_are_left_alone(rf):
    page = HttpResponse("<h1>Not Found</h1>", status=404)
    good = HttpResponse("ok", status=200)
    assert through(rf, "/holds/1/", lambda _: page) is page
    assert through(rf, "/api/docs/", lambda _: good) is good
