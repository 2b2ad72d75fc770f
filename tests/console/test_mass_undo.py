"""The pages of undoing many, and the same through the API."""

from __future__ import annotations

import csv
import io

import pytest

from accounts.models import Person
from approvals.models import Hold
from containment import mass_undo
from containment.mass_undo import Picks
from containment.models import Identity, MassUndo
from playbooks.models import Run
from tests import cast, make
from tests.api.v1.conftest import Caller
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(postgres_plans) -> Run:
    """One that contains, under policy version 1."""
    make.house()
    make.identity("etl_reader")
    run = make.run_of(make.detected("etl_reader"))
    Run.objects.filter(pk=run.pk).update(state="contained", next_at=None)
    return run


def asked() -> MassUndo:
    return mass_undo.ask(Picks(policy_version=1), "version 1 was wrong", actor=cast.person("mara"))


def test_what_is_picked_is_read_before_it_is_asked_for(run):
    mara = signed_in("mara")
    page = mara.get("/mass-undo/pick/?policy_version=1")
    assert "1 run" in words(page)
    assert "etl_reader" in words(page)
    digest = mass_undo.preview(Picks(policy_version=1)).digest
    answer = mara.post("/mass-undo/ask/", {"policy_version": "1", "reason": "version 1 was wrong", "digest": digest}, follow=True)
    assert "Nothing is undone before another person has read this list" in words(answer)
    assert MassUndo.objects.get().digest == digest


@pytest.mark.parametrize(
    ("query", "says"),
    [("policy_version=x", "whole number"), ("source=nobody", "No run that could be undone fits."), ("since=yesterday", "valid date")],
)
def test_what_cannot_be_picked_is_said(run, query, says):
    assert says in words(signed_in("mara").get(f"/mass-undo/pick/?{query}"))


def test_the_one_who_asked_reads_that_somebody_else_agrees_and_the_other_agrees(run):
    row = asked()
    mara, mia = signed_in("mara"), signed_in("mia")
    assert "You asked for it, so somebody else has to agree." in words(mara.get(f"/mass-undo/{row.pk}/"))
    mara.post(f"/mass-undo/{row.pk}/agree/", {"digest": row.digest})
    assert MassUndo.objects.get().state == "asked"
    mia.post(f"/mass-undo/{row.pk}/agree/", {"digest": row.digest})
    mass_undo.go_on()
    assert "1 being undone" in words(mia.get(f"/mass-undo/{row.pk}/"))
    assert "1 undoing" in words(mia.get("/mass-undo/"))


def test_those_who_may_not_undo_read_it_all_and_press_nothing(run):
    row = asked()
    ines = signed_in("ines")
    assert "etl_reader" in words(ines.get(f"/mass-undo/{row.pk}/"))
    assert ines.post(f"/mass-undo/{row.pk}/agree/", {"digest": row.digest}).status_code == 403
    assert ines.post("/mass-undo/ask/", {"policy_version": "1", "reason": "x"}).status_code == 403


def test_no_name_becomes_a_formula_in_a_spreadsheet(run):
    Identity.objects.update(name="=HYPERLINK(1)")
    row = asked()
    row.members.update(said="+1, -1")
    text = signed_in("wren").get(f"/mass-undo/{row.pk}/list.csv").content.decode()
    header, line = csv.reader(io.StringIO(text))
    assert header == ["identity", "run", "playbook", "contained_at", "became", "said"]
    assert (line[0], line[1], line[4], line[5]) == ("'=HYPERLINK(1)", str(run.pk), "waiting", "'+1, -1")


def test_the_api_asks_and_agrees_by_the_same_rules(run):
    mara, mia = Caller(signed_in("mara")), Caller(signed_in("mia"))
    assert mara.post("/api/v1/mass-undos", {"picks": {}, "reason": "x"}).status == 422
    assert mara.post("/api/v1/mass-undos", {"picks": {"police": 1}, "reason": "x"}).status == 422
    said = mara.post("/api/v1/mass-undos", {"picks": {"policy_version": 1}, "reason": "version 1 was wrong"})
    assert (said.status, said.body["state"], said.body["counts"]) == (201, "asked", {"waiting": 1})
    assert said.body["members"][0]["run"] == str(run.pk)
    path = f"/api/v1/mass-undos/{said.body['id']}"
    assert mara.post(f"{path}/approve", {"digest": said.body["digest"]}).status == 403
    other = mia.post(f"{path}/approve", {"digest": "sha256:" + "0" * 64})
    assert (other.status, other.body["code"]) == (409, "list_changed")
    assert mia.post(f"{path}/approve", {"digest": said.body["digest"]}).body["state"] == "approved"
    assert mia.get("/api/v1/mass-undos").body["results"][0]["approver"] == str(Person.objects.get(username="mia"))
    assert mia.post(f"{path}/withdraw").body["counts"] == {"refused": 1}
    assert Hold.objects.count() == 0


def test_a_list_counts_all_of_them_in_one_look(run, django_assert_num_queries):
    first = asked()
    mass_undo.withdraw(first.pk, actor=cast.person("mara"))
    second = asked()
    with django_assert_num_queries(1):
        counted = mass_undo.counts_of([first, second])
    assert counted == {first.pk: mass_undo.counts(first), second.pk: {"waiting": 1}}
    assert words(signed_in("mara").get("/mass-undo/"))
