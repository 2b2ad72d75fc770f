"""Calls, tasks and approvals are their token's own: another agent of the same owner neither shows, cancels nor tells of them."""

from __future__ import annotations

import json

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from approvals.models import AccessRequest
from guard.models import GuardCall
from tests import make
from tests.access import door
from tests.access.test_requests import ASKED_ABOUT, MAIL, PLAN, _path, polled, said, shown, submitted

pytestmark = pytest.mark.django_db


@pytest.fixture
def tokens() -> tuple[str, str]:
    """Two, of one owner."""
    make.house()
    door.under(ASKED_ABOUT)
    return door.token(), door.token()


def test_two_tokens_of_one_owner_may_use_the_same_request_id(tokens: tuple[str, str]) -> None:
    mine, other = tokens
    first = door.asked(PLAN | {"context": {"request_id": "1"}}, bearer=mine)
    second = door.asked(MAIL | {"context": {"request_id": "1"}}, bearer=other)
    assert first["context"]["evaluation_id"] != second["context"]["evaluation_id"]
    assert door.asked(PLAN | {"context": {"request_id": "1"}}, bearer=mine)["context"]["evaluation_id"] == first["context"]["evaluation_id"]


def test_another_token_of_the_same_owner_neither_sees_nor_cancels_a_task_nor_shows_its_approval(tokens: tuple[str, str]) -> None:
    mine, other = tokens
    task = submitted(door.asked(PLAN, bearer=mine), mine)
    foreign = {"Authorization": f"Bearer {other}"}
    assert Client().get(_path(task), headers=foreign).status_code == 404
    assert door.posted({}, to=f"{_path(task)}/cancel", bearer=other).status_code == 404
    assert polled(task, mine)["task"]["status"] == "pending"
    said("ines", task)
    said("omar", task)
    result = polled(task, mine)
    refused = door.asked(shown(PLAN, result), bearer=other)
    assert (refused["decision"], refused["context"]["reason"]) == (False, "approval_unverifiable")
    assert door.asked(shown(PLAN, result), bearer=mine)["decision"] is True


def test_another_token_of_the_same_owner_tells_of_no_call_but_its_own(tokens: tuple[str, str]) -> None:
    mine, other = tokens
    key = door.asked(PLAN, bearer=mine)["context"]["evaluation_id"]
    report = {"reports": [{"evaluation_id": key, "outcome": "done"}]}
    results = [
        json.loads(door.posted(report, to="/access/v1/reports", bearer=one).content)["results"][0]["status"] for one in (other, mine)
    ]
    assert results == [404, 201]


def test_the_next_token_for_the_same_agent_keeps_its_tasks(tokens: tuple[str, str]) -> None:
    identity = make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    old, new = (door.token(speaks_for=str(identity.ref)) for _ in range(2))
    task = submitted(door.asked(MAIL, bearer=old), old, MAIL)
    assert polled(task, new)["task"]["status"] == "pending"
    assert Client().get(_path(task), headers={"Authorization": f"Bearer {tokens[0]}"}).status_code == 404
    elsewhere = door.token(owner="ada", speaks_for=str(identity.ref))
    assert Client().get(_path(task), headers={"Authorization": f"Bearer {elsewhere}"}).status_code == 404


def test_whose_they_are_is_final(tokens: tuple[str, str]) -> None:
    submitted(door.asked(PLAN, bearer=tokens[0]), tokens[0])
    for model in (GuardCall, AccessRequest):
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.update(asker="token:another")
