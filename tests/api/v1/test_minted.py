"""What the sessions of a contained agent made: listed with its case, and settled by people."""

from __future__ import annotations

from typing import Any

import pytest

from containment.gate import Gate
from containment.models import Session
from core.ids import uuid7
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db

WHO = {"kind": "ai_agent", "provider": "agents", "subject": "builder"}
MADE = {"name": "token.mint", "minted": {"kind": "api_key", "id": "hk_live_0123456789abcdef"}}


@pytest.fixture
def place() -> str:
    """Of the case."""
    make.house()
    builder = make.identity("builder", provider="agents", kind="ai_agent", reach="narrow")
    session = make.session(builder, "b-1", registered_by=cast.detector().principal)
    said: dict[str, Any] = {"identity": WHO, "session": {"id": "b-1"}, "resource": None, "credential": None, "claims": []}
    make.detected("builder", **said | {"action": MADE, "severity": "low", "confidence": 0.1})
    decision = make.detected("builder", **said | {"claims": ["unexpected_secret_read"], "confidence": 0.6})
    Run.objects.filter(pk=make.run_of(decision).pk).update(state="contained")
    Gate().set(str(session.identity_id), "b-1", state="paused", because="stop", key="k")
    assert Session.objects.get().gate == "paused"
    return f"/api/v1/cases/{decision.case_id}/minted"


def test_what_was_made_is_listed_and_settled_once_by_a_person(place, person, program):
    listed = person("wren").get(place).body
    assert [(one["state"], one["vouched"], one["credential"]["name"], one["session"]["name"]) for one in listed] == [
        ("standing", True, "…cdef", "b-1")
    ]
    line, word = f"{place}/{listed[0]['id']}", {"state": "accepted", "reason": "the deploy key of tonight"}
    assert person("wren").post(line, word).status == 403
    assert program("read", owner="ines").post(line, word).status == 403
    assert [fault["path"] for fault in person("ines").post(line, {"state": "gone"}).body["errors"]] == ["state", "reason"]
    said = person("ines").post(line, word)
    assert (said.status, said.body["state"], said.body["settled_by_name"]) == (200, "accepted", "Ines")
    assert person("ines").post(line, word).status == 409
    assert person("ines").post(f"{place}/{uuid7()}", word).status == 404
