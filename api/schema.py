"""OpenAPI 3.1: what the views declare (needs, shapes, filters) becomes the description, so that it cannot drift from what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from accounts.roles import PERMISSIONS, SCOPES, roles_with
from api.lists import MOST, USUAL, Listing, One

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("path", "code", "detail")},
            },
        },
    },
}
_WITHOUT_BODY = {"401": "No token, or not a good one.", "403": "Not with this token or role.", "503": "Busy; try again."}
_WITH_BODY = {
    "400": "Not JSON, or JSON that two readers could read in two ways.",
    "413": "Too large.",
    "415": "Not `application/json` in UTF-8.",
    "422": "Understood and wrong; `errors` names every path.",
}


class Described(AutoSchema):
    def get_response_serializers(self) -> Any:
        match self.view:
            case Listing():
                name = f"{type(self.view).__name__}Page"
                shown = {"results": self.view.shape(many=True), "next": serializers.CharField(allow_null=True)}
                return inline_serializer(name, shown) if self.method == "GET" else super().get_response_serializers()
            case One() if self.method == "GET":
                return self.view.shape
        return super().get_response_serializers()

    def get_override_parameters(self) -> list[Any]:
        if not isinstance(self.view, Listing) or self.method != "GET":
            return list(super().get_override_parameters())
        filters = [OpenApiParameter(name, kept.kind, description=kept.about) for name, kept in self.view.filters.items()]
        return [
            *filters,
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"How many, 1 to {MOST}; {USUAL} if left out."),
            OpenApiParameter("cursor", OpenApiTypes.STR, description="`next` of the page before."),
        ]

    def get_description(self) -> str:  # type: ignore[override]
        need, said = self._need(), super().get_description() or ""
        if not need:
            return said
        whose = [f"a token with the scope `{scope}`" for scope in _scopes_with(need)] + [
            f"a person who is {role}" for role in roles_with(need)
        ]
        return f"{said}\n\nNeeds `{need}` ({PERMISSIONS[need]}): {' or '.join(whose)}.".strip()

    def get_operation_id(self) -> str:
        """`holds_list`, `holds_answer_create`: a list is told from its single thing."""
        name = str(super().get_operation_id()).removeprefix("v1_")
        return name.replace("_retrieve", "_list") if isinstance(self.view, Listing) else name

    def get_tags(self) -> list[str]:
        """By the thing: the console's words are the API's words."""
        return [self.path.removeprefix("/api/v1/").partition("/")[0]]

    def get_auth(self) -> list[dict[str, list[str]]]:
        need = self._need()
        if not need:
            return []
        by_token: list[dict[str, list[str]]] = [{"token": []}] if _scopes_with(need) else []
        return [*by_token, {"session": []}] if roles_with(need) else by_token

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation:
            problem = self._problem().ref
            told = _WITHOUT_BODY | (_WITH_BODY if "requestBody" in operation else {}) | ({"404": "Not there."} if "{" in self.path else {})
            for status, description in sorted(told.items()) if self._need() else ():
                content = {"application/problem+json": {"schema": problem}}
                operation["responses"].setdefault(status, {"description": description, "content": content})
        return operation

    def _need(self) -> str:
        needs = getattr(self.view, "needs", {})
        return str(needs.get(self.method, "")) if isinstance(needs, Mapping) else ""

    def _problem(self) -> ResolvedComponent:
        problem = ResolvedComponent("Problem", ResolvedComponent.SCHEMA, PROBLEM, "Problem")  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(problem)
        return problem


class _Token(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.auth.BearerAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "hf_ and 36 letters and digits"}


class _Session(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.auth.PersonAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        from django.conf import settings

        said = "A person's session of the console; changing something takes the CSRF token in `X-CSRFToken` as well."
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME, "description": said}


def _scopes_with(permission: str) -> list[str]:
    return [scope.value for scope, permissions in SCOPES.items() if permission in permissions]
