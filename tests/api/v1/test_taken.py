"""What was taken, of a case: part of it, and settled once, by people alone."""

from __future__ import annotations

import pytest

from containment import taken
from core.ids import uuid7
from tests import make

pytestmark = pytest.mark.django_db


def test_what_was_taken_is_part_of_its_case_and_settled_once_by_a_person(person, program):
    make.house()
    make.identity("etl_reader")
    decision = make.detected("etl_reader")
    assert decision.case_id is not None
    taken.gather(decision.case_id)
    place = f"/api/v1/cases/{decision.case_id}"
    line = person("wren").get(place).body["taken"][0]
    assert (line["kind"], line["key"], line["state"], line["cut_by"]) == ("secret_read", "table:vault.card_tokens", "open", None)
    assert person("wren").get(f"{place}/taken?state=open").body == {"results": [line], "next": None}
    where, word = f"{place}/taken/{line['id']}", {"state": "cleared", "reason": "test data"}
    assert person("wren").post(where, word).status == 403
    assert program("read", owner="ines").post(where, word).status == 403
    assert [fault["path"] for fault in person("ines").post(where, {"state": "gone"}).body["errors"]] == ["state", "reason"]
    said = person("ines").post(where, word)
    assert (said.status, said.body["state"], said.body["settled_by_name"]) == (200, "cleared", "Ines")
    assert person("ines").post(where, word).status == 409
    assert person("ines").post(f"{place}/taken/{uuid7()}", word).status == 404
