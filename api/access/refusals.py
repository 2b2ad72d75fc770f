"""What every answer under /access/ carries, the refusals among them: the request id that the caller sent comes back.

Refusals themselves are problem details, as everywhere (api/refusals.py), where a wrong content type is 400 for the Authorization API.
"""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from api.refusals import Afterwards, problem

PREFIX = "/access/v1/"
HEADER = "X-Request-ID"
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")


class RequestIdMiddleware(Afterwards):
    """Stands outermost, so that no answer leaves without it. An id that is no plain text of at most 200 characters is not repeated."""

    def after(self, request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
        if request.path.startswith(PREFIX):
            sent = request.headers.get(HEADER, "")
            if _PLAIN.fullmatch(sent):
                answer[HEADER] = sent
        return answer


def not_possible(request: HttpRequest, *methods: str) -> HttpResponse:
    answer = problem(405, f"{request.method} is not possible here.")
    answer["Allow"] = ", ".join(methods)
    return answer
