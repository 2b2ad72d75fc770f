"""What this decision point can do, for programs that look first. Open to all: it is the contract, not the data."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from accounts.allowed import public
from api.access import body
from api.access.refusals import not_possible
from guard.verdicts import SUPPORTED


@public
def metadata(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return not_possible(request, "GET", "HEAD")
    here = f"{request.scheme}://{request.get_host()}"
    return body.said(
        {
            "policy_decision_point": here,
            "access_evaluation_endpoint": f"{here}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{here}/access/v1/evaluations",
            "access_request_endpoint": f"{here}/access/v1/requests",
            "capabilities": ["urn:openid:authzen:capability:access-request"],
            "supported_obligations": list(SUPPORTED),
        }
    )
