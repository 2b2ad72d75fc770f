"""Who calls the API, and may they: checked before a single byte of the body is read.

Programs send `Authorization: Bearer hf_…`; people come with the session of the console and its CSRF token in X-CSRFToken. A request that
shows a token is judged by the token alone, whatever cookies it also carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import actors, tokens
from accounts.allowed import PUBLIC, who_could
from accounts.models import Person
from accounts.roles import OF_PROGRAMS
from core.actor import NOBODY, Actor
from core.refusals import Forbidden

SCHEME = "bearer"


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Person, Actor] | None:
        shown = request.META.get("HTTP_AUTHORIZATION")
        if shown is None:
            return None
        scheme, _, text = shown.partition(" ")
        if scheme.lower() != SCHEME:
            raise tokens.TokenMalformed("Send the token as `Authorization: Bearer hf_…`.")
        token = tokens.find(text.strip())
        return token.owner, _acting(request, actors.of_token(token))

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="holdfast"'


class PersonAuthentication(BaseAuthentication):
    """A person's session. Changing anything takes the CSRF token too: a page elsewhere can send the cookie, not the header."""

    def authenticate(self, request: Request) -> tuple[Person, Actor] | None:
        actor = actors.of_request(request._request)
        if actor is NOBODY:
            return None
        _check_csrf(request._request)
        return cast(Person, request._request.user), _acting(request, actor)


class Declared(BasePermission):
    """A view needs what its `needs` says: one permission, or one per method. A view that says nothing lets nobody in."""

    def has_permission(self, request: Request, view: Any) -> bool:
        needs = getattr(view, "needs", None)
        if needs == PUBLIC:
            return True
        actor = actor_of(request)
        if actor is NOBODY:
            return False  # which DRF tells as 401
        permission = needs if isinstance(needs, str) else _for_method(needs or {}, request)
        if not actor.may(permission):
            raise Forbidden(_no(actor, permission))
        return True


def actor_of(request: Request) -> Actor:
    """Who calls. Nobody, on a public route."""
    return request.auth if isinstance(request.auth, Actor) else NOBODY


def _for_method(needs: Mapping[str, str], request: Request) -> str:
    method = "GET" if request.method == "HEAD" else str(request.method)
    if method not in needs:
        raise exceptions.MethodNotAllowed(method)
    return needs[method]


def _acting(request: Request, actor: Actor) -> Actor:
    cast(actors.ActorRequest, request._request).actor = actor
    return actor


def _check_csrf(request: HttpRequest) -> None:
    """On Django's own request: looking for a form field there never reads a JSON body."""
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]
    check.process_request(request)
    if reason := check.process_view(request, None, (), {}):  # type: ignore[arg-type]
        raise Forbidden(f"CSRF: {reason}")


def _no(actor: Actor, permission: str) -> str:
    if not actor.is_person and permission in OF_PROGRAMS:
        return f"This token lacks the scope {permission}."
    if not actor.is_person and permission == "read":
        return "This token lacks the scope read, or its owner may not read."
    return f"{who_could(permission)} You are {actor.name}."
