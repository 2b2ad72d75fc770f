"""Who asks: a token becomes an Actor in one statement, because every tool call waits for it. The rules are those of accounts/tokens.py.

Nothing is remembered from one call to the next: a token that is revoked, or whose owner leaves, ends with the next question.
"""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework.exceptions import NotAuthenticated

from accounts import actors, tokens
from accounts.models import Person, ServiceToken
from api.auth import SCHEME
from core.actor import Actor
from core.refusals import Forbidden
from guard import scene

_TOKEN = """
    SELECT t.id, t.name, t.scopes, t.source, t.speaks_for, t.owner_id, t.expires_at, t.revoked_at, t.last_used_at, p.is_active,
        clock_timestamp(), date_trunc('minute', clock_timestamp()), ARRAY(SELECT role FROM role_grant WHERE person_id = p.id)
    FROM service_token t JOIN person p ON p.id = t.owner_id WHERE t.digest = %(digest)s
"""  # noqa: S105 - a statement


def caller(request: HttpRequest, permission: str) -> Actor:
    """Or a refusal, before a single byte of the body is read."""
    shown = request.META.get("HTTP_AUTHORIZATION")
    if shown is None:
        raise NotAuthenticated
    scheme, _, text = shown.partition(" ")
    if scheme.lower() != SCHEME:
        raise tokens.TokenMalformed("Send the token as `Authorization: Bearer hf_…`.")
    actor = _found(text.strip())
    if not actor.may(permission):
        raise Forbidden(f"This token lacks the scope {permission}.")
    return actor


def _found(text: str) -> Actor:
    if not tokens.well_formed(text):
        raise tokens.TokenMalformed("This is not one of our tokens: it is incomplete or mistyped.")
    try:
        with scene.cursor() as at:
            row = scene.statement(at, _TOKEN, {"digest": tokens.digest_of(text)}).fetchone()
    except (OperationalError, InterfaceError):
        return actors.of_token(tokens.find(text))  # on a connection that is looked at first: a database that came back costs no call
    token = _made(row) if row else None
    return actors.of_token(tokens.good(token), roles=row[-1] if row else ())


def _made(row: tuple[Any, ...]) -> ServiceToken:
    key, name, scopes, source, speaks_for, owner, expires_at, revoked_at, last_used_at, is_active, now, minute, _ = row
    token = ServiceToken(
        id=key,
        name=name,
        scopes=scopes,
        source=source,
        speaks_for=speaks_for,
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used_at=last_used_at,
    )
    token.owner = Person(id=owner, is_active=is_active)
    token.now, token.minute = now, minute  # type: ignore[attr-defined]
    return token
