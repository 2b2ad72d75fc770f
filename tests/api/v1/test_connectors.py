"""Connectors, as programs read them."""

from __future__ import annotations

import pytest

from api.v1.connectors import _briefs
from connectors import registry
from connectors.base import Ready
from containment import protection, readiness
from containment.lockout import ADMINISTERS
from tests.console.conftest import postgres_plans

__all__ = ["postgres_plans"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("postgres_plans")]


def test_a_program_reads_what_lacks_and_what_gives_it(program):
    readiness.keep("postgres", readiness.CONTACT, "", Ready(True))
    readiness.keep("postgres", "credential.revoke", "etl", Ready(False, missing=["changing etl"], remedy=["GRANT etl TO us"]))
    protection._keep("postgres", {"dba": ADMINISTERS})
    read = program("read")
    listed = {one["provider"]: one for one in read.get("/api/v1/connectors").body["results"]}
    assert (listed["postgres"]["answers"], listed["postgres"]["cannot"], listed["postgres"]["proposals"]) == (True, 1, 1)
    assert listed["holdfast"]["answers"] is None
    shown = read.get("/api/v1/connectors/postgres").body
    assert [(one["measure"], one["subject"], one["can"], one["remedy"]) for one in shown["found"]] == [
        ("credential.revoke", "etl", False, ["GRANT etl TO us"])
    ]
    asked = read.get(f"{shown['proposals_url']}?state=open").body
    assert ([one["subject"] for one in asked["results"]], asked["next"], shown["found_cut"]) == (["dba"], None, False)
    terminate = next(one for one in shown["measures"] if one["measure"] == "session.terminate")
    assert (terminate["effect"], terminate["reversible"]) == ("observable", False)
    assert read.get("/api/v1/connectors/nowhere").status == 404
    assert program("detections.write").get("/api/v1/connectors").status == 403


def test_however_many_there_are_they_are_read_in_three_queries(django_assert_num_queries):
    with django_assert_num_queries(3):
        told = _briefs(dict(registry.providers()))
    assert len(told) == len(registry.providers()) > 1
