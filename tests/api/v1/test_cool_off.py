"""After a person said no, the same does not cut again; what is new is asked about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit import clock
from containment import inventory
from containment.models import Credential, Identity
from playbooks import engine
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)

AGENT: dict[str, Any] = {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}


@pytest.fixture(autouse=True)
def house(connected):
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1", registered_by="x")


@pytest.fixture
def report(program):
    token = program("detections.write", "read")

    def post(subject: str = "invoice-agent", **changes: Any) -> dict[str, Any]:
        said: dict[str, Any] = {
            "confidence": 0.6,
            "identity": {**AGENT, "subject": subject},
            "session": None,
            "credential": None,
            "resource": None,
            "context": {"environment": "prod"},
        } | changes
        answer = token.post("/api/v1/detections", make.message(subject, **said))
        assert answer.status == 201, answer.body
        return dict(answer.body)

    return post


def undone(answer: dict[str, Any], person) -> None:
    run = answer["run"]["id"]
    engine.drive(run, executor="command")
    assert Run.objects.get(pk=run).state == "contained"
    said = person("mara").post(f"/api/v1/runs/{run}/undo", {"reason": "it was a drill"})
    assert said.status in (200, 202), said.body
    for _ in range(10):
        engine.drive(run, executor="command")
    assert Run.objects.get(pk=run).state == "undone"


def rejected(answer: dict[str, Any], person) -> None:
    hold = answer["hold"]
    body = {"word": "reject", "plan_digest": hold["plan_digest"], "reason": "month end"}
    said = person("omar").post(f"/api/v1/holds/{hold['id']}/answer", body)
    assert said.body["hold"]["state"] == "rejected"


def verdict(answer: dict[str, Any]) -> str:
    return str(answer["decision"]["verdict"])


def test_undo_then_the_same_again_is_seen_again_and_not_cut(report, person):
    first = report()
    assert verdict(first) == "contain"
    undone(first, person)
    again = report()
    assert verdict(again) == "watch"
    assert again["run"] is None
    assert again["hold"] is None
    assert again["decision"]["because"].startswith("Seen again. A person undid this at ")
    assert "It cools off until " in again["decision"]["because"]


def test_undo_then_a_new_signal_is_a_hold(report, person):
    undone(report(), person)
    new = report(claims=["unexpected_secret_read", "token_mint"])
    assert verdict(new) == "hold"
    assert "this is new: token_mint" in new["decision"]["because"]


def test_what_the_case_knew_by_then_is_not_new(report, person):
    first = report()
    engine.drive(first["run"]["id"], executor="command")
    assert verdict(report(claims=["unexpected_secret_read", "token_mint"])) == "covered"
    undone(first, person)
    assert verdict(report(claims=["token_mint"])) == "watch"


def test_a_reject_cools_off_too_and_each_new_no_adds_what_it_was_said_to(report, person):
    undone(report(), person)
    held = report(claims=["unexpected_secret_read", "token_mint"])
    rejected(held, person)
    assert verdict(report(claims=["token_mint"])) == "watch"
    assert verdict(report()) == "watch"
    assert verdict(report(claims=["privilege_change"])) == "hold"


def test_a_finding_that_settles_it_is_asked_about_although_somebody_said_no(report, person):
    undone(report(), person)
    identity = Identity.objects.get(subject="invoice-agent")
    credential = Credential.objects.get(uses__identity=identity)
    credential.planted = True
    credential.save()
    held = report(credential={"kind": credential.kind, "id": "invoice-agent"})
    assert verdict(held) == "hold"


def test_after_an_hour_it_is_judged_like_any_other(report, person):
    first = report()
    undone(first, person)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE run SET undo_at = undo_at - interval '61 min' WHERE id = %s", [first["run"]["id"]])
    assert verdict(report()) == "contain"


def test_a_no_follows_the_identity_into_a_merge_and_under_its_other_names(report, person):
    undone(report(), person)
    other = Identity.objects.get(subject="invoice-agent")
    into = make.identity("invoice-bot", provider="agents", kind="ai_agent", reach="narrow")
    inventory.merge(other.pk, into.pk, actor=cast.person("enzo"), because="one and the same")
    assert verdict(report("invoice-bot")) == "watch"
    assert verdict(report("invoice-agent")) == "watch"
    inventory.add_alias(into.pk, "agents", "inv", actor=cast.person("enzo"))
    assert verdict(report("inv")) == "watch"


def test_a_no_about_somebody_else_spares_nobody(report, person):
    undone(report(), person)
    make.identity("other-agent", provider="agents", kind="ai_agent", reach="narrow")
    assert verdict(report("other-agent")) != "watch"


def test_the_sentence_names_the_end_of_the_cool_off(report, person):
    first = report()
    undone(first, person)
    at = Run.objects.get(pk=first["run"]["id"]).undo_at
    assert at is not None
    assert clock.now() - at < timedelta(minutes=1)
    assert f"{at + timedelta(minutes=60):%H:%M} UTC" in report()["decision"]["because"]
