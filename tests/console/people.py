"""Somebody of tests/cast.py at the console, and what a page says to them."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

from accounts.models import Person
from tests import cast

HTMX = {"HX-Request": "true"}


def signed_in(name: str) -> Client:
    cast.person(name)
    client = Client()
    client.force_login(Person.objects.get(username=name), backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())
