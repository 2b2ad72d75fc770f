"""Sign-in links that work once. Issued on a command line; whoever holds the link is the person it names, until it is used or old."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.urls import reverse

from accounts.models import Person, SignInLink
from audit import clock
from audit.record import record, story
from core.actor import Actor
from core.refusals import Refusal


class LinkSpent(Refusal):
    code = "link_spent"
    kind = "missing"


@story
def issue(person: Person, *, actor: Actor, life: timedelta = timedelta(hours=24)) -> str:
    """The secret part of the link. Earlier links for the same person end."""
    now = clock.now()
    SignInLink.objects.filter(person=person, used_at__isnull=True, expires_at__gt=now).update(expires_at=now)
    secret = secrets.token_urlsafe(32)
    SignInLink.objects.create(person=person, digest=_digest(secret), created_at=now, expires_at=now + life)
    record("link.issued", person.ref, actor=actor, name=str(person))
    return secret


def address(secret: str) -> str:
    return settings.ORIGIN + reverse("sign_in_link", args=[secret])


def whose(secret: str) -> Person:
    """Whom the link would sign in. Looking does not use it."""
    return _good(SignInLink.objects.filter(digest=_digest(secret)).select_related("person").first()).person


@story
def use(secret: str) -> Person:
    link = _good(SignInLink.objects.select_for_update(of=("self",)).filter(digest=_digest(secret)).select_related("person").first())
    link.used_at = clock.now()
    link.save(update_fields=["used_at"])
    return link.person


def _good(link: SignInLink | None) -> SignInLink:
    if link is None or link.used_at is not None or link.expires_at <= clock.now() or not link.person.is_active:
        raise LinkSpent("This link was used already, is too old, or never existed. Ask for a new one.")
    return link


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
