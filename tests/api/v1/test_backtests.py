"""Backtests through the API: asked by people who have a say in policies, read by all, and reading one here is not opening it."""

import pytest

from containment import backtests, policies
from containment.models import Backtest, BacktestSeen
from tests import make

pytestmark = pytest.mark.django_db

PATH = "/api/v1/backtests"


@pytest.fixture(autouse=True)
def house():
    make.house()
    make.identity("etl_reader")
    make.detected("etl_reader")


def higher():
    return policies.in_force().text.replace("service_account, soft: 40, hard: 70", "service_account, soft: 90, hard: 95")


def test_a_text_is_tried_and_what_came_out_is_read(person, program):
    said = person("enzo").post(PATH, {"text": higher(), "since": "2026-01-01T00:00:00Z"})
    assert said.status == 202
    assert (said.body["state"], said.body["counts"], "result" in said.body) == ("due", {}, False)
    backtests.drive(Backtest.objects.get().pk)
    shown = program("read").get(said.headers["Location"]).body
    assert (shown["state"], shown["events"], shown["done"], shown["made_by"]) == ("done", 1, 1, "Enzo")
    assert shown["counts"]["flips"] == 1
    assert shown["result"]["flips"] == {"contain hard > watch": 1}
    [listed] = person("wren").get(f"{PATH}?state=done&policy_digest={shown['policy_digest']}").body["results"]
    assert "result" not in listed
    assert not BacktestSeen.objects.exists()


def test_a_saved_version_is_tried_by_its_id(person):
    version = policies.in_force()
    said = person("mara").post(PATH, {"version": str(version.pk)})
    assert (said.status, said.body["policy_version"], said.body["policy_digest"]) == (202, 1, version.digest)


def test_no_token_and_nobody_without_a_say_asks_for_one(person, program):
    assert program("read").post(PATH, {"text": higher()}).status == 403
    assert person("wren").post(PATH, {"text": higher()}).status == 403
    assert not Backtest.objects.exists()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "text"),
        ({"text": "version: 1"}, "name"),
        ({"version": "0193a2f0-5f6a-7c3e-9b1d-2f4c8a7e6d10", "text": "x"}, "text"),
        ({"text": "x", "sinse": "2026-01-01T00:00:00Z"}, "sinse"),
        ({"text": "x", "since": "yesterday"}, "since"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(person, body, path):
    said = person("enzo").post(PATH, body)
    assert said.status == 422
    assert path in [fault["path"] for fault in said.body["errors"]]


def test_a_version_that_is_not_there_is_missing(person):
    assert person("enzo").post(PATH, {"version": "0193a2f0-5f6a-7c3e-9b1d-2f4c8a7e6d10"}).status == 404
