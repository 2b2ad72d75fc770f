"""Callers of the API: a program with a token, a person with a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client


@dataclass(frozen=True)
class Said:
    status: int
    body: Any
    headers: Any


@dataclass(frozen=True)
class Caller:
    client: Client
    bearer: str = ""

    def __call__(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, kind: str = "application/json") -> Said:
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        answer = self.client.generic(method, path, content, content_type=kind, headers=headers)
        text = answer.content
        return Said(answer.status_code, json.loads(text) if "json" in answer.get("Content-Type", "") and text else text, answer.headers)

    def get(self, path: str) -> Said:
        return self("GET", path)

    def post(self, path: str, body: Any = None) -> Said:
        return self("POST", path, {} if body is None else body)


@pytest.fixture
def program() -> Callable[..., Caller]:
    """A token of Enzo's with these scopes; edr-prod's, where it posts detections."""
    from accounts import tokens
    from accounts.models import Person
    from core.actor import SYSTEM
    from tests import cast

    def caller(*scopes: str, source: str = "edr-prod", owner: str = "enzo") -> Caller:
        person = Person.objects.get(pk=cast.person(owner).principal)
        _, text = tokens.issue(name="test", owner=person, scopes=scopes, actor=SYSTEM, source=source)
        return Caller(Client(), text)

    return caller


@pytest.fixture
def person() -> Callable[[str], Caller]:
    """Somebody of the cast, signed in. CSRF has its own tests in test_auth.py."""
    from accounts.models import Person
    from tests import cast

    def caller(name: str) -> Caller:
        client = Client()
        client.force_login(Person.objects.get(pk=cast.person(name).principal))
        return Caller(client)

    return caller


@pytest.fixture
def nobody() -> Caller:
    return Caller(Client())
