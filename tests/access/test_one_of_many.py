"""What is wrong with one question, or one report, is told in its place: it neither fails nor takes back the others."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import DataError, OperationalError

from guard import ask as guard
from guard.models import GuardCall
from tests import make
from tests.access import door

pytestmark = pytest.mark.django_db
REPORTS = "/access/v1/reports"


@pytest.fixture
def bearer() -> str:
    make.house()
    return door.token()


def several(*resources: str) -> dict[str, Any]:
    return {"evaluations": [door.question("clerk", "read", name) for name in resources]}


@pytest.mark.parametrize("name", ["a%00b", "a%2500b", "a%0ab"])
def test_a_control_character_behind_per_cent_signs_is_refused_by_its_place(bearer: str, name: str) -> None:
    said = door.posted(door.question("clerk", "read", name), bearer=bearer)
    assert said.status_code == 400
    assert b"resource.id" in said.content


def test_names_that_no_index_holds_are_refused_by_their_place(bearer: str) -> None:
    pick = random.Random(7)
    wide = "".join(chr(pick.randrange(0x1F300, 0x1F9FF)) for _ in range(500))
    for question in (door.question(wide), door.question(resource=wide), door.question(resource="\ufdfa" * 200)):
        said = door.posted(question, bearer=bearer)
        assert said.status_code == 400
        assert b"too_long" in said.content


def test_a_wide_name_that_is_short_enough_is_answered(bearer: str) -> None:
    assert door.posted(door.question("\u8ca9\u58f2" * 100), bearer=bearer).status_code == 200


def test_of_many_the_one_that_cannot_be_kept_is_told_so(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = guard.answer

    def answers(ask: Any, actor: Any) -> Any:
        if ask.resource == "odd":
            raise DataError("a character that is none")
        return answer(ask, actor)

    monkeypatch.setattr(guard, "answer", answers)
    said = door.asked(several("one", "odd", "two"), bearer=bearer, to=door.EVALUATIONS)["evaluations"]
    assert [one["context"]["reason"] == "malformed" for one in said] == [False, True, False]
    assert door.posted(door.question(resource="odd"), bearer=bearer).status_code == 400


def test_who_is_busy_after_some_were_answered_says_so_in_the_place_of_the_others(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, left = guard.answer, [2]

    def answers(ask: Any, actor: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OperationalError("no connection")
        return answer(ask, actor)

    monkeypatch.setattr(guard, "answer", answers)
    said = door.asked(several("one", "two", "three", "four"), bearer=bearer, to=door.EVALUATIONS)["evaluations"]
    assert [one["context"]["reason"] == "busy" for one in said] == [False, False, True, True]
    assert [one["decision"] for one in said[2:]] == [False, False]
    assert said[2]["context"]["retry_after"] > 0
    assert left == [-1], "nobody was asked again"
    assert GuardCall.objects.count() == 2


def test_a_report_that_cannot_be_kept_takes_no_other_back(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from guard import reports

    asked = [door.asked(door.question(resource=name), bearer=bearer)["context"]["evaluation_id"] for name in ("one", "two")]
    settle = reports._settle

    def settles(call: Any, outcome: str) -> Any:
        if str(call.pk) == asked[0]:
            raise DataError("a character that is none")
        return settle(call, outcome)

    monkeypatch.setattr(reports, "_settle", settles)
    said = door.posted({"reports": [{"evaluation_id": key, "outcome": "not_done"} for key in asked]}, bearer=bearer, to=REPORTS)
    assert said.status_code == 200, said.content
    assert list(GuardCall.objects.order_by("asked_at").values_list("outcome", flat=True)) == ["", "not_done"]
