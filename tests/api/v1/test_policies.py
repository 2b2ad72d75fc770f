"""Risk policies through the API: read by all, checked by whoever asks, written and approved by people alone."""

import pytest

from containment import policies
from containment.domain.policy import Mode
from containment.models import RiskPolicyVersion
from tests import cast, make

pytestmark = pytest.mark.django_db

PATH = "/api/v1/policies"


@pytest.fixture(autouse=True)
def house():
    make.house()
    cast.person("mia")


def changed(soft=35):
    return policies.in_force().text.replace("service_account, soft: 40", f"service_account, soft: {soft}")


def drafted(person, soft=35):
    said = person("enzo").post(PATH, {"text": changed(soft)})
    assert said.status == 201
    return said


def test_versions_are_listed_without_their_text_and_shown_with_it(person, program):
    [listed] = program("read").get(PATH).body["results"]
    assert (listed["version"], listed["state"], listed["shipped"], "text" in listed) == (1, "in_force", True, False)
    shown = person("wren").get(f"{PATH}/{listed['id']}").body
    assert shown["text"] == policies.in_force().text
    assert (shown["digest"], shown["approval"], shown["approvals"]) == (policies.in_force().digest, None, [])
    assert person("wren").get(f"{PATH}?state=draft").body["results"] == []


def test_a_person_drafts_and_two_others_put_a_tightening_in_force(person):
    said = drafted(person)
    version = said.body
    assert said.headers["Location"] == f"{PATH}/{version['id']}"
    assert (version["state"], version["text"]) == ("draft", changed())
    assert (version["approval"]["needed"], version["approval"]["missing"]) == (2, 2)
    assert [(one["path"], one["way"]) for one in version["approval"]["changes"]] == [("thresholds.service_account.soft", "tighter")]
    body = {"digest": version["digest"], "acknowledged": True, "against": version["approval"]["against"]}
    first = person("mara").post(f"{PATH}/{version['id']}/approve", body)
    assert (first.status, first.body["state"], first.body["approval"]["missing"]) == (200, "draft", 1)
    assert [one["person"] for one in first.body["approvals"]] == ["Mara"]
    second = person("mia").post(f"{PATH}/{version['id']}/approve", body)
    assert (second.body["state"], second.body["approvals_needed"], second.body["approval"]) == ("in_force", 2, None)
    assert policies.in_force().version == 2


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"digest": "sha256:other"}, 409, "not_as_shown"),
        ({"acknowledged": False}, 409, "not_acknowledged"),
        ({"against": "0193a2f0-5f6a-7c3e-9b1d-2f4c8a7e6d10"}, 409, "not_as_shown"),
        ({"acknowledged": "perhaps"}, 422, "invalid"),
        ({"digest": 5}, 422, "invalid"),
        ({"why": "because"}, 422, "invalid"),
    ],
)
def test_an_approval_of_something_else_is_refused_with_its_code(person, change, status, code):
    version = drafted(person).body
    said = person("mara").post(f"{PATH}/{version['id']}/approve", {"digest": version["digest"], "acknowledged": True} | change)
    assert (said.status, said.body["code"]) == (status, code)
    assert policies.in_force().version == 1


def test_where_there_is_history_an_approval_waits_for_a_backtest(person, connected):
    make.identity("etl_reader")
    make.detected()
    version = drafted(person, soft=45).body
    body = {"digest": version["digest"], "acknowledged": True}
    said = person("mara").post(f"{PATH}/{version['id']}/approve", body)
    assert (said.status, said.body["code"]) == (409, "backtest_not_seen")
    make.backtest_seen(RiskPolicyVersion.objects.get(pk=version["id"]), "mara")
    assert person("mara").post(f"{PATH}/{version['id']}/approve", body).body["state"] == "in_force"


def test_what_is_not_green_is_named_point_by_point(person):
    RiskPolicyVersion.objects.all().delete()
    policies.ship(mode=Mode.OBSERVE)
    text = policies.in_force().text.replace("rules: []", "rules: [{kind: human, environment: prod, mode: enforce}]")
    version = person("enzo").post(PATH, {"text": text}).body
    said = person("mara").post(f"{PATH}/{version['id']}/approve", {"digest": version["digest"], "acknowledged": True})
    assert (said.status, said.body["code"]) == (409, "not_green")
    assert [(one["path"], one["code"]) for one in said.body["errors"]] == [
        ("modes.human.prod", "backtest_not_seen"),
        ("modes.human.prod", "protected_list_not_confirmed"),
        ("modes.human.prod", "preflight_not_green"),
    ]


def test_programs_write_nothing_and_neither_does_who_has_another_role(person, program, nobody):
    version = policies.in_force()
    body = {"digest": version.digest, "acknowledged": True}
    for caller in (program("read"), person("mara"), person("ines")):
        assert caller.post(PATH, {"text": changed()}).status == 403
    for caller in (program("read"), person("enzo"), person("ines")):
        assert caller.post(f"{PATH}/{version.pk}/approve", body).status == 403
    assert nobody.get(PATH).status == 401
    assert RiskPolicyVersion.objects.count() == 1


def test_a_faulty_text_names_every_fault_with_its_path_and_line(person):
    text = changed().replace("honeytoken: 40", "honeytoken: much").replace("default: enforce", "default: maybe")
    said = person("enzo").post(PATH, {"text": text})
    assert said.status == 422
    assert [(one["path"], one["code"]) for one in said.body["errors"]] == [
        ("modes.default", "not_one_of"),
        ("weights.honeytoken", "not_a_number_between"),
    ]
    assert said.body["errors"][0]["detail"].startswith("line 8:")


def test_a_text_is_checked_without_being_kept(person, program):
    assert program("read").post(f"{PATH}/check", {"text": changed()}).body == {"good": True, "faults": []}
    said = person("wren").post(f"{PATH}/check", {"text": "version: 1"})
    assert (said.status, said.body["good"]) == (200, False)
    assert {fault["code"] for fault in said.body["faults"]} == {"missing"}
    assert person("wren").post(f"{PATH}/check", {"text": "version: 1", "name": "x"}).status == 422
    assert RiskPolicyVersion.objects.count() == 1


def test_a_text_is_kept_as_it_was_sent(person):
    text = "\n" + changed() + "\n\n"
    assert person("enzo").post(PATH, {"text": text}).body["text"] == text


def test_a_version_that_is_not_there_is_not_found(person):
    missing = f"{PATH}/0193a2f0-5f6a-7c3e-9b1d-2f4c8a7e6d10"
    assert person("wren").get(missing).status == 404
    assert person("mara").post(f"{missing}/approve", {"digest": "x", "acknowledged": True}).status == 404
