"""A request or a token becomes an Actor: who acts, what they may try, and as whom they count.

A person counts as themselves, a token as its owner, so nobody becomes two people by using a script. Read afresh for every request:
a role taken away is gone at the next click.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.http import HttpRequest

from accounts.models import Person, ServiceToken
from accounts.roles import permissions_of, permissions_of_token
from core.actor import NOBODY, Actor, ActorKind

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails


class ActorRequest(HttpRequest):
    """What a view gets: ActorMiddleware and django-htmx have been there."""

    actor: Actor
    htmx: HtmxDetails


def of_person(person: Person) -> Actor:
    return Actor(
        kind=ActorKind.PERSON,
        id=str(person.pk),
        name=str(person),
        principal=str(person.pk),
        permissions=permissions_of(person.roles),
        teams=frozenset(person.teams.values_list("name", flat=True)),
    )


def of_token(token: ServiceToken, *, roles: Iterable[str] | None = None) -> Actor:
    """A token stands in no team: what a team decides is decided by people. `roles`: its owner's, where somebody read them already."""
    return Actor(
        kind=ActorKind.TOKEN,
        id=str(token.pk),
        name=token.name,
        principal=str(token.owner_id),
        permissions=permissions_of_token(token.scopes, owner=permissions_of(token.owner.roles if roles is None else roles)),
        source=token.source,
        speaks_for=token.speaks_for,
    )


def of_request(request: HttpRequest) -> Actor:
    """The person whose session this is, or nobody. Tokens are the API's business: api/auth.py."""
    user = request.user
    return of_person(user) if isinstance(user, Person) and user.is_active else NOBODY
