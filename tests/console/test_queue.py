"""The queue and the hold: what is shown to whom, and what a form does with and without script."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from approvals.models import Hold
from audit.models import AuditEntry
from console.frame import counts
from containment import flow, intake, policy_approvals
from containment.domain.facts import Kind
from containment.gather import STRIKES
from containment.models import Detection
from sources import native
from tests import cast, make
from tests.console.people import HTMX, signed_in, text_of
from tests.flows.test_lapse import trained

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def payment(settings, postgres_plans):
    """A payment session inside the cut: the run waits, and a hold is open until somebody answers."""
    make.house()
    pay = make.identity("payments_writer", known_networks=[], owner_team="payments-team")
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(pay, "pay-main", workflow="payments")
    make.designation(pay, "pay-main", schemas=["payments"], reconnect=True)
    return make.detected("payments_writer", session=None).hold


def answer(client, hold, word, *, headers=None, **more):
    facts = {"word": word, "plan_digest": hold.plan_digest, "deadline": hold.deadline.isoformat(), **more}
    return client.post(f"/holds/{hold.pk}/answer/", facts, headers=headers)


def test_somebody_who_is_not_signed_in_is_asked_to(payment):
    response = Client().get(f"/holds/{payment.pk}/")
    assert (response.status_code, response["Location"]) == (302, f"/accounts/login/?next=/holds/{payment.pk}/")


def test_the_queue_says_what_is_true_now_and_what_silence_means(payment):
    text = text_of(signed_in("omar").get("/"))
    assert "Nothing is stopped yet" in text or "it is being restricted" in text.lower()
    assert f"If nobody answers by {payment.deadline:%H:%M:%S}&nbsp;UTC , it is left running" in text
    assert "card payments (payment) depends on it" in text
    assert "Revoke the credential" in text


def test_a_hold_has_an_address_of_its_own(payment):
    page = signed_in("omar").get(f"/holds/{payment.pk}/").content.decode()
    assert 'data-showing="detail"' in page
    assert f'data-live="hold:{payment.pk} {payment.run_ref}"' in page


def test_contain_now_ends_the_hold_and_the_page_says_who_said_so(payment):
    client = signed_in("omar")
    response = answer(client, payment, "approve", headers=HTMX)
    payment.refresh_from_db()
    assert (response.status_code, payment.state) == (200, "approved")
    assert "Omar said “contain now” at" in text_of(response)
    assert 'id="answer"' not in response.content.decode()


def test_pressing_twice_does_it_once(payment):
    client = signed_in("omar")
    assert answer(client, payment, "approve", headers=HTMX).status_code == 200
    assert answer(client, payment, "approve", headers=HTMX).status_code == 200
    assert payment.answers.count() == 1


def test_without_script_the_form_posts_and_the_page_comes_back(payment):
    client = signed_in("omar")
    response = answer(client, payment, "approve")
    assert (response.status_code, response["Location"]) == (302, f"/holds/{payment.pk}/")
    assert "is on record" in text_of(client.get(response["Location"]))


def test_leaving_it_running_without_a_reason_is_refused_beside_the_card(payment):
    response = answer(signed_in("omar"), payment, "reject", headers=HTMX)
    assert response.status_code == 422
    assert "Say why it should be left as it is." in text_of(response)
    assert response.content.decode().lstrip().startswith('<article class="sheet" id="hold-card"')


def test_without_script_the_dialog_stands_open_in_the_page(payment):
    page = signed_in("omar").get(f"/holds/{payment.pk}/?ask=leave-running").content.decode()
    assert re.search(r'<dialog id="leave-running"[^>]* open>', page)


def test_an_answer_to_another_plan_than_the_one_on_screen_is_a_conflict(payment):
    response = answer(signed_in("omar"), payment, "approve", headers=HTMX, plan_digest="sha256:" + "0" * 64)
    assert response.status_code == 409
    assert "Read it again, then answer." in text_of(response)


def test_more_time_is_given_once_for_one_page_however_often_it_is_pressed(payment):
    client = signed_in("omar")
    before = payment.deadline
    for _ in range(2):
        assert answer(client, payment, "extend", headers=HTMX).status_code == 200
    payment.refresh_from_db()
    assert payment.deadline == before + timedelta(minutes=10)


def test_who_may_not_answer_reads_why_and_who_could(payment):
    client = signed_in("wren")
    text = text_of(client.get(f"/holds/{payment.pk}/"))
    assert "This hold does not wait for you." in text
    assert "Ines" in text.partition("This hold does not wait for you.")[2]
    assert 'data-key="a"' not in client.get(f"/holds/{payment.pk}/").content.decode()


def test_a_role_that_does_not_answer_is_told_so_and_nothing_happens(payment):
    response = answer(signed_in("wren"), payment, "approve", headers=HTMX)
    payment.refresh_from_db()
    assert (response.status_code, payment.state) == (403, "open")
    assert "Answering holds is for" in response["HX-Trigger"]
    assert response["HX-Reswap"] == "none"


@pytest.mark.parametrize(("show", "seen"), [("all", True), ("mine", True), ("agents", False), ("soon", False), ("nonsense", True)])
def test_a_filter_keeps_what_fits(payment, show, seen):
    response = signed_in("omar").get(f"/?part=list&show={show}", headers=HTMX)
    assert (f'id="row-{payment.pk}"' in response.content.decode()) is seen


def test_mine_leaves_out_what_somebody_else_must_answer(payment):
    response = signed_in("wren").get("/?part=list&show=mine", headers=HTMX)
    assert f'id="row-{payment.pk}"' not in response.content.decode()


def test_a_fragment_is_one_element_with_its_id(payment):
    card = signed_in("omar").get(f"/holds/{payment.pk}/?part=card", headers=HTMX).content.decode().strip()
    assert card.startswith('<article class="sheet" id="hold-card"')
    assert card.endswith("</article>")


def test_a_hold_that_does_not_exist_is_not_found():
    make.house()
    response = signed_in("omar").get("/holds/01900000-0000-7000-8000-000000000000/")
    assert response.status_code == 404


def test_an_empty_queue_says_that_all_is_clear():
    make.house()
    assert "All clear" in text_of(signed_in("omar").get("/"))
    assert not Hold.objects.exists()


@pytest.fixture
def set_aside():
    """A detection on which three workers died."""
    make.house()
    body = make.message("etl_reader")
    detection = intake.receive(native.read(body), body, actor=cast.detector()).detection
    Detection.objects.filter(pk=detection.pk).update(state="quarantined", next_at=None, crash_count=STRIKES + 1)
    return detection


def test_what_was_set_aside_stands_in_the_queue_and_a_person_has_it_tried_again(set_aside):
    client = signed_in("ines")
    response = client.get("/")
    assert "Secret read outside task scope from edr-prod" in text_of(response)
    assert "Set aside undecided: 3 workers stopped at it." in text_of(response)
    assert counts()["/"] == 1
    assert client.post(f"/detections/{set_aside.pk}/try-again/")["Location"] == "/"
    set_aside.refresh_from_db()
    assert (set_aside.state, set_aside.crash_count, set_aside.next_at is None) == ("received", 0, False)
    assert AuditEntry.objects.get(verb="detection.reopened").actor_name == "Ines"
    assert flow.decide_due(set_aside.pk) is not None
    assert "Set aside undecided" not in text_of(client.get("/"))


def test_pressing_try_again_twice_opens_it_once(set_aside):
    client = signed_in("ines")
    for _ in range(2):
        client.post(f"/detections/{set_aside.pk}/try-again/")
    assert "only one that was set aside is tried again" in text_of(client.get("/"))
    assert AuditEntry.objects.filter(verb="detection.reopened").count() == 1


def test_who_may_not_have_it_tried_again_reads_who_could(set_aside):
    client = signed_in("enzo")
    assert "Giving a case its verdict is for" in text_of(client.get("/"))
    assert f"/detections/{set_aside.pk}/try-again/" not in client.get("/").content.decode()
    assert client.post(f"/detections/{set_aside.pk}/try-again/").status_code == 403


def test_what_somebody_wrote_stays_text(postgres_plans):
    make.house()
    pay = make.identity("<b>payments", owner_team="payments-team")
    make.session(pay, "pay-main")
    make.designation(pay, "pay-main", schemas=["payments"])
    make.detected("<b>payments", session=None, title="<script>alert(1)</script>")
    page = signed_in("omar").get("/").content.decode()
    assert "<script>alert" not in page
    assert "<b>payments" not in page
    assert "&lt;b&gt;payments" in page


def test_a_plan_that_no_connector_can_carry_out_promises_nothing():
    make.house()
    pay = make.identity("payments_writer", provider="elsewhere", owner_team="payments-team")
    make.session(pay, "pay-main")
    make.designation(pay, "pay-main", schemas=["payments"])
    message = {"kind": "service_account", "provider": "elsewhere", "subject": "payments_writer"}
    make.detected("payments_writer", identity=message, session=None)
    text = text_of(signed_in("omar").get("/"))
    assert "no connector can carry the playbook out here" in text
    assert "Every step can be undone" not in text


def test_the_page_says_what_silence_means_from_the_moment_of_a_step_back(postgres_plans):
    make.house()
    hold = trained("trainer")
    assert "it is contained" in text_of(signed_in("omar").get(f"/holds/{hold.pk}/"))
    policy_approvals.step_back(Kind.AI_AGENT, "prod", actor=cast.person("mara"))
    text = text_of(signed_in("omar").get(f"/holds/{hold.pk}/"))
    assert "it is left running" in text
    assert "because every ai agent in prod is only observed by now" in text


def test_a_hold_says_that_the_kill_switch_is_on_before_anybody_says_contain_now(payment):
    client = signed_in("mara")
    said = "The kill switch is at “nothing”, so nothing is contained."
    assert said not in text_of(client.get(f"/holds/{payment.pk}/?part=card", headers=HTMX))
    client.post("/switch/turn/", {"position": "nothing", "reason": "a drill"})
    assert said in text_of(client.get(f"/holds/{payment.pk}/?part=card", headers=HTMX))
