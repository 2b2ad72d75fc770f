"""Exceptions: asking, another person's word, and what it would have spared before that word is given."""

from datetime import timedelta

import pytest

from approvals.models import ExceptionGrant
from audit import clock
from containment import exceptions
from containment.models import Detection
from tests import cast, make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def etl(postgres_plans):
    make.house()
    return make.identity("etl_reader")


def asked(scope, *, by="ines", risk=500, count=5):
    now = clock.now()
    return exceptions.ask(
        scope=scope,
        reason="the quarterly export",
        ticket="OPS-1",
        starts_at=now,
        ends_at=now + timedelta(hours=8),
        budget_count=count,
        budget_risk=risk,
        actor=cast.person(by),
    )


def form(**changes):
    return {"reason": "the quarterly export", "span": "8", "budget_count": "3", "budget_risk": "250", **changes}


def test_names_that_people_write_become_the_ids_of_the_scope(etl):
    session = make.session(etl, "etl-main")
    credential = etl.credential_uses.get().credential
    wanted = form(identity="postgres/etl_reader", session="etl-main", credential="etl_reader", action="data.*", signals=["volume"])
    response = signed_in("ines").post("/exceptions/ask/", wanted)
    made = ExceptionGrant.objects.get()
    assert response["Location"] == f"/exceptions/{made.pk}/"
    assert made.scope == {
        "identity": str(etl.pk),
        "session": str(session.pk),
        "credential": str(credential.pk),
        "action": "data.*",
        "signals": ["volume"],
    }
    assert made.ends_at - made.starts_at == timedelta(hours=8)
    assert (made.state, made.budget_count, float(made.budget_risk)) == ("asked", 3, 250.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"action": ""}, "scope Say what is to be spared"),
        ({"action": "*"}, "It would spare everything"),
        ({"identity": "postgres/nobody"}, "There is no identity postgres/nobody"),
        ({"session": "s-unknown"}, "There is no session s-unknown here"),
        ({"span": ""}, "Say when it ends, or choose how long it lasts"),
        ({"ends_at": "2030-01-01T00:00"}, "Say either when it ends or how long it lasts"),
        ({"span": "", "ends_at": "2020-01-01T00:00"}, "It must end after it starts"),
        ({"reason": " "}, "reason This field is required"),
        ({"budget_risk": "0"}, "Say how much risk may pass"),
    ],
)
def test_what_is_wrong_is_named_and_what_was_typed_stays(etl, changes, says):
    response = signed_in("ines").post("/exceptions/ask/", form(**{"action": "data.export", "ticket": "OPS-77", **changes}))
    assert response.status_code == 422
    assert says in words(response)
    assert 'value="OPS-77"' in response.content.decode()
    assert not ExceptionGrant.objects.exists()


def test_the_link_of_an_identity_fills_in_its_name(etl):
    page = signed_in("ines").get(f"/exceptions/ask/?identity={etl.pk}").content.decode()
    assert 'value="postgres/etl_reader"' in page


def test_the_dry_run_counts_what_would_have_been_covered_and_no_more(etl):
    make.identity("other")
    make.detected("etl_reader"), make.detected("other")
    mine = asked({"identity": str(etl.pk)})
    dry = signed_in("mara").get(f"/exceptions/{mine.pk}/").context["it"].dry
    assert (dry.looked_at, dry.count) == (1, 1)
    assert [line.decision.detection.identity for line in dry.spared] == [etl]
    every = signed_in("mara").get(f"/exceptions/{asked({'action': 'secret.*'}).pk}/").context["it"].dry
    assert (every.looked_at, every.count) == (2, 2)
    none = signed_in("mara").get(f"/exceptions/{asked({'action': 'data.export'}).pk}/").context["it"].dry
    assert none.count == 0


def test_the_dry_run_tells_apart_what_falls_out_for_an_unnamed_signal(etl):
    make.detected("etl_reader")
    dry = signed_in("mara").get(f"/exceptions/{asked({'action': 'secret.*', 'signals': ['volume']}).pk}/").context["it"].dry
    assert (dry.count, dry.outside) == (0, 1)


def test_a_decision_to_watch_is_nothing_to_spare(etl):
    make.detected("etl_reader", action={"name": "data.read", "count": 1}, claims=[])
    dry = signed_in("mara").get(f"/exceptions/{asked({'identity': str(etl.pk)}).pk}/").context["it"].dry
    assert dry.looked_at == 0


def test_another_manager_signs_and_it_spares_from_then_on(etl):
    grant = asked({"identity": str(etl.pk)})
    signed_in("mara").post(f"/exceptions/{grant.pk}/grant/")
    grant.refresh_from_db()
    assert (grant.state, grant.granter.username) == ("granted", "mara")
    assert make.detected("etl_reader").verdict == "exempt"
    page = signed_in("ines").get(f"/exceptions/{grant.pk}/")
    assert "1 of 5" in words(page)
    assert [line.decision.verdict for line in page.context["it"].spared] == ["exempt"]


def test_nobody_signs_what_they_asked_for_and_the_page_says_so(etl):
    grant = asked({"identity": str(etl.pk)}, by="mara")
    client = signed_in("mara")
    assert "You asked for this exception, so another manager decides on it." in words(client.get(f"/exceptions/{grant.pk}/"))
    refused = client.post(f"/exceptions/{grant.pk}/grant/", follow=True)
    assert "You asked for this exception" in refused.content.decode()
    grant.refresh_from_db()
    assert grant.state == "asked"


def test_an_analyst_may_ask_but_not_sign(etl):
    grant = asked({"identity": str(etl.pk)})
    cast.person("mara")
    client = signed_in("ines")
    assert "Granting exceptions is for a manager: Mara could." in words(client.get(f"/exceptions/{grant.pk}/"))
    assert client.post(f"/exceptions/{grant.pk}/grant/").status_code == 403
    assert client.post(f"/exceptions/{grant.pk}/revoke/", {"reason": "x"}).status_code == 403


def test_refusing_takes_a_reason(etl):
    grant = asked({"identity": str(etl.pk)})
    client = signed_in("mara")
    client.post(f"/exceptions/{grant.pk}/refuse/", {"reason": " "})
    grant.refresh_from_db()
    assert grant.state == "asked"
    client.post(f"/exceptions/{grant.pk}/refuse/", {"reason": "use the report instead"})
    grant.refresh_from_db()
    assert (grant.state, grant.closed_because) == ("refused", "use the report instead")


def test_revoking_judges_again_what_it_had_spared(etl):
    grant = asked({"identity": str(etl.pk)})
    exceptions.sign(grant.pk, actor=cast.person("mara"))
    spared = make.detected("etl_reader")
    signed_in("mara").post(f"/exceptions/{grant.pk}/revoke/", {"reason": "it was not the export"})
    grant.refresh_from_db()
    assert grant.state == "revoked"
    assert Detection.objects.get(pk=spared.detection_id).state == "received"


def test_the_one_who_asked_can_take_it_back(etl):
    grant = asked({"identity": str(etl.pk)})
    signed_in("ines").post(f"/exceptions/{grant.pk}/withdraw/")
    grant.refresh_from_db()
    assert grant.state == "withdrawn"


def test_tabs_hold_each_exception_once(etl):
    waiting, signed, refused = (asked({"identity": str(etl.pk)}) for _ in range(3))
    exceptions.sign(signed.pk, actor=cast.person("mara"))
    signed_in("mara").post(f"/exceptions/{refused.pk}/refuse/", {"reason": "no"})
    client = signed_in("ines")
    shown = {
        tab: [line.grant.pk for line in client.get(f"/exceptions/?tab={tab}").context["lines"]] for tab in ("asked", "in-force", "ended")
    }
    assert shown == {"asked": [waiting.pk], "in-force": [signed.pk], "ended": [refused.pk]}


def test_without_script_the_reason_dialog_stands_open_in_the_page(etl):
    grant = asked({"identity": str(etl.pk)})
    assert (
        '<dialog id="refuse" aria-labelledby="refuse-title" open>'
        in signed_in("mara").get(f"/exceptions/{grant.pk}/?ask=refuse").content.decode()
    )
