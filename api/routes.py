"""What a view of the API is: it declares what each method needs, and a method without a declaration does not load.

class Undo(Endpoint):
    needs = {"POST": "run.undo"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.roles import PERMISSIONS
from api import gate
from api.auth import Declared, actor_of
from core.actor import Actor

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class AlwaysJSON(BaseContentNegotiation):
    """We speak one language, whatever `Accept` says; the gate judges what comes in."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        return parsers[0]  # type: ignore[no-any-return]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class Endpoint(APIView):
    needs: ClassVar[Mapping[str, str]] = {}
    permission_classes = [Declared]
    content_negotiation_class = AlwaysJSON
    http_method_names = [method.lower() for method in METHODS] + ["head"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        answered = {method for method in METHODS if hasattr(cls, method.lower())}
        if answered != set(cls.needs):
            raise TypeError(f"{cls.__name__} answers {sorted(answered)} and declares what {sorted(cls.needs)} need")
        if unknown := set(cls.needs.values()) - set(PERMISSIONS):
            raise TypeError(f"{cls.__name__} needs {sorted(unknown)}, which no role or scope gives")

    def body(self, request: Request, *, limit: int = gate.LIMIT) -> Any:
        """The JSON body, through the gate. Not `request.data`: without a Content-Length, DRF would take a body for none."""
        return gate.read_json(request._request, limit=limit)

    def actor(self, request: Request) -> Actor:
        return actor_of(request)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer
