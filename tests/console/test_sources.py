"""The pages of sources, of verdicts and of leaks; and where a source that only observes is told."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from audit.models import AuditEntry
from containment import cases, exposures, fingerprints, flow, limits
from containment.domain import exposure_report
from containment.models import Credential, Detection, Exposure, Source
from tests import cast, make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db(transaction=True)

FORM: dict[str, Any] = {"trust": "0.8", "ceiling": "hold", "rate_per_minute": "120", "budget_per_hour": "5", "providers": "okta, postgres"}


@pytest.fixture(autouse=True)
def house(postgres_plans):
    make.house()
    make.identity("etl_reader")


def source() -> Source:
    return Source.objects.get(name="edr-prod")


def test_the_list_says_what_each_may_and_does():
    make.detected("etl_reader")
    said = words(signed_in("wren").get("/sources/"))
    assert "edr-prod" in said
    assert "of 6,000" in said
    assert "1 of 60" in said
    assert "nobody judged one yet" in said


def test_an_engineer_changes_what_a_source_may_bring_about_and_it_is_on_record():
    client = signed_in("enzo")
    page = client.get(f"/sources/{source().pk}/")
    assert "What it may bring about" in words(page)
    client.post(f"/sources/{source().pk}/change/", {**FORM, "kinds": ["service_account"], "max_age_hours": "2"})
    changed = source()
    assert (changed.ceiling, changed.rate_per_minute, changed.budget_per_hour) == ("hold", 120, 5)
    assert (changed.kinds, changed.providers, changed.max_age_seconds) == (["service_account"], ["okta", "postgres"], 7200)
    assert AuditEntry.objects.filter(verb="source.changed").count() == 1


def test_what_gives_a_source_more_waits_on_its_page_until_a_manager_confirms():
    Source.objects.update(trust=0.8, ceiling="hold", rate_per_minute=120, budget_per_hour=5, providers=["okta", "postgres"])
    enzo, mara, ines = signed_in("enzo"), signed_in("mara"), signed_in("ines")
    said = enzo.post(f"/sources/{source().pk}/change/", {**FORM, "ceiling": "contain", "budget_per_hour": "4"}, follow=True)
    assert "What gives it more waits for a second person. The rest counts" in said.content.decode()
    assert (source().ceiling, source().budget_per_hour) == ("hold", 4)
    found = limits.waiting(source())
    assert found is not None
    address = f"/sources/{source().pk}/asks/{found.pk}"
    page = words(enzo.get(f"/sources/{source().pk}/"))
    assert "Waits for a second person" in page
    assert "hold → contain" in page
    assert "mara" in page.lower(), "it says who could confirm it"
    assert "edr-prod" in words(ines.get("/sources/"))
    assert "more was asked for of" in words(ines.get("/sources/"))
    seen = {"seen_digest": limits.digest_of(found, source())}
    assert enzo.post(f"{address}/confirm/", seen).status_code == 403
    assert ines.post(f"{address}/confirm/", seen).status_code == 403
    assert ines.post(f"{address}/refuse/", {"reason": "x"}).status_code == 403
    mara.post(f"{address}/confirm/", {"seen_digest": "something else"})
    assert source().ceiling == "hold"
    shown = mara.get(f"/sources/{source().pk}/").content.decode()
    assert seen["seen_digest"] in shown
    mara.post(f"{address}/confirm/", seen)
    assert source().ceiling == "contain"
    assert "Waits for a second person" not in words(mara.get(f"/sources/{source().pk}/"))


def test_a_manager_refuses_and_an_engineer_takes_back_with_a_reason():
    Source.objects.update(trust=0.5)
    for who, deed in (("mara", "refuse"), ("enzo", "back")):
        limits.change(source().pk, {"trust": 0.9}, actor=cast.person("enzo"))
        found = limits.waiting(source())
        assert found is not None
        signed_in(who).post(f"/sources/{source().pk}/asks/{found.pk}/{deed}/", {"reason": "it cries wolf"})
        assert limits.waiting(source()) is None
    assert source().trust == 0.5


@pytest.mark.parametrize("who", ["ines", "mara", "wren", "ada"])
def test_others_read_and_change_nothing(who):
    client = signed_in(who)
    assert client.get(f"/sources/{source().pk}/").status_code == 200
    for deed in ("change", "observe", "act"):
        assert client.post(f"/sources/{source().pk}/{deed}/", {**FORM, "reason": "x"}).status_code == 403
    assert client.get("/sources/add/").status_code == 403
    assert source().state == "active"


@pytest.mark.parametrize(
    "change", [{"trust": "2"}, {"rate_per_minute": "0"}, {"ceiling": "all"}, {"budget_per_hour": "-1"}, {"trust": "nan"}]
)
def test_what_makes_no_sense_is_shown_again_with_its_fault(change):
    client = signed_in("enzo")
    answer = client.post(f"/sources/{source().pk}/change/", {**FORM, **change})
    assert answer.status_code == 422
    assert next(iter(change)) in words(answer)
    assert source().trust == 0.9


def test_a_source_is_set_up_once():
    client = signed_in("enzo")
    client.post("/sources/add/", {**FORM, "name": "scanner"})
    made = Source.objects.get(name="scanner")
    found = limits.waiting(made)
    assert found is not None
    assert (made.ceiling, found.wanted) == ("watch", {"ceiling": "hold"})
    again = client.post("/sources/add/", {**FORM, "name": "scanner"})
    assert (again.status_code, Source.objects.filter(name="scanner").count()) == (422, 1)


def test_a_source_over_its_rate_is_told_on_the_queue_and_let_act_again_there_where_it_is_told():
    Source.objects.filter(name="edr-prod").update(rate_per_minute=1)
    make.identity("other")
    make.detected("etl_reader"), make.detected("other")
    assert "edr-prod only observes: edr-prod went over its rate" in words(signed_in("ines").get("/"))
    client = signed_in("enzo")
    said = words(client.get(f"/sources/{source().pk}/"))
    assert "It only observes." in said
    assert "It acts again by itself at" in said
    client.post(f"/sources/{source().pk}/act/", {"reason": "the sender was mended"})
    assert source().state == "active"
    assert "only observes" not in words(signed_in("ines").get("/"))
    assert "the sender was mended" in words(client.get(f"/sources/{source().pk}/"))


def test_verdicts_stand_beside_the_signals_that_led_there():
    decision = make.detected("etl_reader")
    assert decision.case is not None
    assert "so far" not in words(signed_in("wren").get(f"/decisions/{decision.pk}/"))
    cases.judge(decision.case.pk, "true_positive", "seen in the logs", actor=cast.person("ines"))
    assert "so far: 1 true" in words(signed_in("wren").get(f"/decisions/{decision.pk}/"))
    assert "so far: 1 true" in signed_in("wren").get(f"/cases/{decision.case.pk}/").content.decode()
    page = words(signed_in("wren").get("/sources/verdicts/"))
    assert "unexpected secret read" in page
    assert "100% of 1 case" in page


def test_while_it_cools_off_the_pages_say_until_when():
    make.identity("root", owner_team="soc", protected=True, protected_because="break-glass")
    held = make.detected("root", session=None)
    hold = make.hold_of(held)
    flow.answer_hold(hold.pk, "reject", actor=cast.person("omar"), seen_digest=hold.plan_digest, reason="known work")
    page = words(signed_in("wren").get(f"/identities/{held.detection.identity_id}/"))
    assert "It cools off until" in page
    assert held.case is not None
    assert "It cools off until" in signed_in("wren").get(f"/cases/{held.case.pk}/").content.decode()


@pytest.fixture
def leak() -> Exposure:
    credential = Credential.objects.get(name="etl_reader")
    credential.secret_digest = fingerprints.of_secret("s3cret")
    credential.save()
    message = {
        "external_id": "leak-1",
        "found_at": "2026-11-22T10:00:00Z",
        "where": "https://git.example/acme/site",
        "credentials": [{"fingerprint": "sha256:" + hashlib.sha256(b"s3cret").hexdigest()}, {"kind": "db_role", "id": "nobody"}],
    }
    made = exposures.receive(exposure_report.read(message), message, actor=cast.detector()).exposure
    exposures.pass_on(made.pk)
    for detection in Detection.objects.filter(state="received"):
        flow.decide(detection.pk)
    return made


def test_a_leak_is_one_page_with_how_each_credential_stands(leak):
    client = signed_in("wren")
    listed = words(client.get("/exposures/"))
    assert "https://git.example/acme/site" in listed
    assert "1 unknown here" in listed
    page = words(client.get(f"/exposures/{leak.pk}/"))
    assert "db_role etl_reader" in page
    assert "its secret was compared" in page
    assert "No credential here is called so." in page
    only = words(client.get(f"/exposures/{leak.pk}/?status=unknown"))
    assert "its secret was compared" not in only
    decision = Detection.objects.get().decisions.get()
    assert client.get(f"/decisions/{decision.pk}/").status_code == 200
    assert client.get("/decisions/").status_code == 200


def test_an_engineer_says_that_it_was_replaced(leak):
    credential = Credential.objects.get(name="etl_reader")
    address = f"/exposures/{leak.pk}/{credential.pk}/replaced/"
    assert signed_in("wren").post(address, {"reason": "x"}).status_code == 403
    signed_in("enzo").post(address, {"reason": "rotated in the vault"})
    credential.refresh_from_db()
    assert credential.rotated_at is not None
    assert "replaced" in words(signed_in("wren").get(f"/exposures/{leak.pk}/"))


@pytest.mark.parametrize(("address", "says"), [("/exposures/", "No leak was reported."), ("/sources/verdicts/", "No case was judged yet.")])
def test_an_empty_page_says_what_will_appear(address, says):
    assert says in words(signed_in("wren").get(address))


@pytest.mark.parametrize("address", ["/exposures/?after=%00", "/sources/?after=%00", "/sources/?after=x~y", "/exposures/?after=x"])
def test_a_nonsensical_address_is_still_a_page(address):
    assert signed_in("wren").get(address).status_code == 200


def test_a_name_that_is_taken_leaves_the_source_as_it_was():
    before = source().ceiling
    signed_in("enzo").post("/sources/add/", {**FORM, "name": "edr-prod"})
    assert source().ceiling == before
    assert limits.observed_because(source()) == ""
