"""What a route needs, said on its view: `@allowed("hold.answer")`, or `@public`. A route that says neither does not pass the tests.

Someone who is not signed in is shown the sign-in page; someone who may not is told who could.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django_htmx.http import HttpResponseClientRedirect

from accounts import actors, people
from accounts.actors import ActorRequest
from accounts.roles import PERMISSIONS, roles_with
from core.actor import NOBODY, Actor

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"


def public(view: View) -> View:
    """Anybody may come here, signed in or not."""
    view.needs = PUBLIC  # type: ignore[attr-defined]
    return view


def allowed(permission: str) -> Callable[[View], View]:
    """Only an actor with `permission` gets through; the view then finds a plain Actor at `request.actor`."""
    if permission not in PERMISSIONS:
        raise LookupError(f"{permission} is not a permission; accounts/roles.py lists them")

    def guarded(view: View) -> View:
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def guard(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                turned_away = await sync_to_async(_admit)(request, permission)
                return turned_away or await view(request, *args, **kwargs)
        else:

            @functools.wraps(view)
            def guard(request: ActorRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                return _admit(request, permission) or view(request, *args, **kwargs)

        guard.needs = permission  # type: ignore[attr-defined]
        return cast(View, guard)

    return guarded


def needs_of(callback: Any) -> str | Mapping[str, str] | None:
    """What the view of a route declares: a permission, PUBLIC, a permission per method, or nothing at all."""
    declared = getattr(callback, "needs", None)
    if declared is None:
        view_class = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
        declared = getattr(view_class, "needs", None)
    return declared


def who_could(permission: str) -> str:
    """“Answering holds is for an analyst or a manager: Ines or Omar could.”"""
    roles = " or ".join(_with_article(role) for role in roles_with(permission)) or "a program with a token"
    named = [str(person) for person in people.who_may(permission)[:3]]
    could = f": {' or '.join(named)} could" if named else ""
    return f"{PERMISSIONS[permission].capitalize()} is for {roles}{could}."


def _admit(request: ActorRequest, permission: str) -> HttpResponseBase | None:
    """None: come in. A response: sign in first. PermissionDenied: no, and who could."""
    actor = request.actor = actors.of_request(request)
    if actor is NOBODY:
        return _to_sign_in(request)
    if not actor.may(permission):
        raise PermissionDenied(f"{who_could(permission)} {_you_are(actor)}")
    return None


def _to_sign_in(request: ActorRequest) -> HttpResponseBase:
    """A fragment cannot show the sign-in page, so htmx is told to leave the page it is on."""
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(settings.LOGIN_URL)
    return redirect_to_login(request.get_full_path())


def _you_are(actor: Actor) -> str:
    return f"You are signed in as {actor.name}."


def _with_article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
