"""How tests come in at /access/: a token, a policy with rules in it, and the answer that came back."""

from __future__ import annotations

import json
from typing import Any
from typing import cast as cast_type

from django.http import HttpResponse
from django.test import Client

from accounts import tokens
from accounts.models import Person
from accounts.roles import Scope
from audit.record import story
from containment import policies
from containment.models import RiskPolicyVersion
from core.actor import SYSTEM
from tests import cast
from tests.access.policies import text

EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"


def token(*scopes: str, source: str = "", owner: str = "enzo", speaks_for: str = "") -> str:
    cast.person(owner)
    person = Person.objects.get(username=owner)
    wanted = list(scopes) or [Scope.GUARD_ASK]
    return tokens.issue(name="gateway", owner=person, scopes=wanted, actor=SYSTEM, source=source, speaks_for=speaks_for)[1]


def under(section: str) -> RiskPolicyVersion:
    """A policy with these rules is in force."""
    return put_in_force(text(section))


@story
def put_in_force(whole: str) -> RiskPolicyVersion:
    before = RiskPolicyVersion.objects.filter(state="in_force").first()
    version = policies.write(whole, actor=SYSTEM, author_id=None, shipped=True)
    policies.put_in_force(version, before, needed=1)
    return version


def posted(body: Any, *, bearer: str = "", to: str = EVALUATION, content_type: str = "application/json", **headers: str) -> HttpResponse:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    said = {"Authorization": f"Bearer {bearer or token()}"} if bearer != "none" else {}
    answer = Client().post(to, content, content_type=content_type, headers=said | headers)
    return cast_type(HttpResponse, answer)


def asked(body: Any, **more: Any) -> dict[str, Any]:
    answer = posted(body, **more)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = json.loads(answer.content)
    return found


def question(subject: str = "alice", action: str = "read", resource: str = "record-1", **more: Any) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": "record", "id": resource},
    } | more
