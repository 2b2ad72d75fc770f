"""Cases: what a page says about a run, who may take something back, and what closing takes."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEntry
from containment import cases, flow, taken
from containment.models import Decision, Source, Taken
from containment.refusals import CaseClosed, NotYetSettled, OnlyApprover
from core.actor import SYSTEM
from core.refusals import BadInput
from evidence import vault
from evidence.models import Custody
from playbooks.models import Run, Step
from tests import again, cast, make
from tests.console.people import HTMX, signed_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def contained(postgres_plans):
    """A case whose run came to rest with a proof, as the engine would have left it."""

    def made():
        make.house()
        make.identity("etl_reader")
        decision: Any = make.detected("etl_reader")
        cut = Step.objects.filter(run=decision.run, measure="credential.revoke")
        proof = {"said": "the old password is refused"}
        cut.update(state="done", performed=True, said="may not log in any more", proof_level="replayed", proof=proof)
        Run.objects.update(state="contained", proof_level="replayed", contained_at=decision.decided_at, next_at=None)

    again.scene("a contained case", made)
    return Decision.objects.get()


def test_a_contained_case_says_what_was_cut_and_how_that_is_known(contained):
    text = text_of(signed_in("mara").get(f"/cases/{contained.case.pk}/"))
    assert "The credential is revoked. Contained since" in text
    assert "what worked before was tried again and is refused" in text
    assert "Proof, replayed: the old password is refused" in text


def test_what_goes_on_under_a_run_is_told_once_with_how_often(contained):
    """Reports that are covered must not push out of the list what was done. Who reports it is told apart."""
    for _ in range(70):
        make.detected("etl_reader")
    make.detected("etl_reader", title="Vault read")
    Source.objects.create(name="siem")
    make.detected("etl_reader", actor=cast.detector("siem"))
    text = text_of(signed_in("mara").get(f"/cases/{contained.case.pk}/"))
    timeline = text[text.index("Timeline UTC") : text.index("Verdict what it was")]
    assert timeline.count("reported “Secret read outside task scope”") == 3, "what opened the case, and what each source said since"
    assert "69 more times, last at" in timeline
    assert "reported “Vault read”, which was covered: Run" in timeline
    assert "decided contain" in timeline
    assert "decided covered" not in timeline


def test_a_partial_case_lists_what_is_still_open(contained):
    Step.objects.filter(run=contained.run, measure="credential.revoke").update(state="partial", left=["CONNECT through PUBLIC remains"])
    Run.objects.filter(pk=contained.run.pk).update(state="partial", because="1 of 1 measures are not whole")
    text = text_of(signed_in("mara").get(f"/cases/{contained.case.pk}/"))
    assert "Partly contained: 1 of 1 measures are not whole. 1 thing is still open, listed below." in text
    assert "Not cut, and why CONNECT through PUBLIC remains" in text


@pytest.mark.parametrize("state", ["partial", "needs_human"])
def test_a_run_that_is_not_whole_stands_in_the_queue_until_its_case_is_closed(contained, state):
    Run.objects.filter(pk=contained.run.pk).update(state=state)
    client = signed_in("mara")
    assert f'id="case-row-{contained.case.pk}"' in client.get("/").content.decode()
    type(contained.case).objects.filter(pk=contained.case.pk).update(state="closed", closed_at=contained.decided_at)
    assert f'id="case-row-{contained.case.pk}"' not in client.get("/").content.decode()


def test_a_manager_asks_for_undo_and_the_run_turns_round(contained):
    response = signed_in("mara").post(f"/runs/{contained.run.pk}/undo/", {"reason": "it was the migration"}, headers=HTMX)
    contained.run.refresh_from_db()
    assert (response.status_code, contained.run.state) == (200, "undoing")
    assert "Being put back, in reverse order: it was the migration" in text_of(response)
    assert "Undo was asked for by Mara." in text_of(response)


def test_undo_without_a_reason_is_refused_beside_the_card(contained):
    response = signed_in("mara").post(f"/runs/{contained.run.pk}/undo/", {"reason": " "}, headers=HTMX)
    contained.run.refresh_from_db()
    assert (response.status_code, contained.run.state) == (422, "contained")
    assert "Say why it should be undone." in text_of(response)


def test_undoing_what_never_acted_is_a_conflict(contained):
    Run.objects.filter(pk=contained.run.pk).update(state="withdrawn")
    response = signed_in("mara").post(f"/runs/{contained.run.pk}/undo/", {"reason": "why not"})
    assert response.status_code == 409
    assert "This run is withdrawn" in text_of(response)


def test_an_analyst_does_not_undo_and_reads_who_could(contained):
    client = signed_in("ines")
    assert "Undoing a run is for a manager: Mara could." in text_of(client.get(f"/cases/{contained.case.pk}/"))
    assert client.post(f"/runs/{contained.run.pk}/undo/", {"reason": "please"}).status_code == 403


def needing_a_person(decision, state="needs_human"):
    """As where the role was dropped: nothing can be put back, and nothing is due."""
    changed = {"state": "needs_human", "diff": {"role": "dropped"}, "said": "The role is not there any more."}
    Step.objects.filter(run=decision.run, measure="credential.revoke").update(**changed)
    Run.objects.filter(pk=decision.run.pk).update(state=state, because="step 1 waits for a person", next_at=None)


@pytest.mark.parametrize("state", ["partial", "needs_human"])
def test_what_cannot_be_put_back_is_accepted_as_it_is_and_the_case_closes(contained, state):
    needing_a_person(contained, state)
    client = signed_in("mara")
    page = client.get(f"/cases/{contained.case.pk}/")
    assert "“Revoke the credential” (needs a person) stays as now" in text_of(page)
    assert client.post(f"/runs/{contained.run.pk}/accept/", {"reason": " "}, headers=HTMX).status_code == 422
    response = client.post(f"/runs/{contained.run.pk}/accept/", {"reason": "its owner dropped it"}, headers=HTMX)
    contained.run.refresh_from_db()
    assert (response.status_code, contained.run.state) == (200, "accepted")
    assert "A person accepted it as it is: its owner dropped it." in text_of(response)
    assert "Mara accepted it as it is: its owner dropped it" in text_of(response)
    cases.judge(contained.case.pk, "benign", "a migration", actor=cast.person("mara"))
    make.what_was_taken_settled(contained.case.pk)
    assert cases.close(contained.case.pk, actor=cast.person("ines")).state == "closed"


def test_a_secret_in_a_reason_is_kept_neither_with_the_run_nor_with_the_case(contained):
    cases.judge(contained.case.pk, "benign", "password=hunter2-blue still works", actor=cast.person("mara"))
    flow.undo_run(contained.run.pk, actor=cast.person("mara"), reason="with password=hunter2-blue")
    contained.run.refresh_from_db()
    contained.case.refresh_from_db()
    assert "hunter2" not in contained.run.undo_reason + contained.run.because + contained.case.verdict_reason
    Run.objects.filter(pk=contained.run.pk).update(state="needs_human")
    signed_in("mara").post(f"/runs/{contained.run.pk}/accept/", {"reason": "with password=hunter2-blue"})
    contained.run.refresh_from_db()
    assert contained.run.because == "with password=[redacted]"


def test_what_was_put_right_is_tried_again_from_the_page(contained):
    needing_a_person(contained)
    client = signed_in("mara")
    assert f'action="/runs/{contained.run.pk}/try-again/"' in client.get(f"/cases/{contained.case.pk}/").content.decode()
    response = client.post(f"/runs/{contained.run.pk}/try-again/", headers=HTMX)
    contained.run.refresh_from_db()
    assert (response.status_code, contained.run.state, contained.run.next_at is None) == (200, "pending", False)
    assert contained.run.steps.get(measure="credential.revoke").state == "acting"
    assert client.post(f"/runs/{contained.run.pk}/try-again/", headers=HTMX).status_code == 409


def test_an_analyst_neither_accepts_nor_tries_again_and_reads_who_could(contained):
    needing_a_person(contained)
    client = signed_in("ines")
    text = text_of(client.get(f"/cases/{contained.case.pk}/"))
    assert "Mara could. The same goes for accepting it as it is and for trying again." in text
    for way in ("accept", "try-again"):
        assert client.post(f"/runs/{contained.run.pk}/{way}/", {"reason": "please"}).status_code == 403
    contained.run.refresh_from_db()
    assert contained.run.state == "needs_human"


def test_the_address_of_a_run_leads_to_its_case(contained):
    response = signed_in("wren").get(f"/runs/{contained.run.pk}/")
    assert response["Location"] == f"/cases/{contained.case.pk}/"


def test_evidence_is_handed_over_as_a_file_and_on_record(contained):
    refs = {"run_ref": str(contained.run.ref), "case_ref": str(contained.case.ref), "identity_ref": contained.run.identity_ref}
    artefact = vault.seal("pg/activity.json", "application/json", b'{"a": 1}', **refs, actor=SYSTEM)
    response = signed_in("wren").get(f"/evidence/{artefact.pk}/")
    assert response.content == b'{"a": 1}'
    assert response["Content-Disposition"] == 'attachment; filename="activity.json"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert list(Custody.objects.filter(artefact=artefact).values_list("act", "actor_name")) == [("sealed", "Holdfast"), ("viewed", "Wren")]


def test_evidence_stays_closed_to_who_may_not_export(contained):
    refs = {"run_ref": str(contained.run.ref), "case_ref": str(contained.case.ref), "identity_ref": contained.run.identity_ref}
    artefact = vault.seal("activity.json", "application/json", b"{}", **refs, actor=SYSTEM)
    client = signed_in("ines")
    page = client.get(f"/cases/{contained.case.pk}/")
    assert client.get(f"/evidence/{artefact.pk}/").status_code == 403
    assert "Exporting audit entries and evidence is for an auditor" in text_of(page)
    assert f"/evidence/{artefact.pk}/" not in page.content.decode()


def test_a_verdict_is_put_on_record_with_its_reason(contained):
    facts = {"verdict": "benign", "reason": "it was the migration"}
    response = signed_in("ines").post(f"/cases/{contained.case.pk}/verdict/", facts, headers=HTMX)
    contained.case.refresh_from_db()
    assert (response.status_code, contained.case.verdict) == (200, "benign")
    assert "It was harmless. it was the migration" in text_of(response)
    assert AuditEntry.objects.filter(verb="case.judged", subject=str(contained.case.ref)).count() == 1


@pytest.mark.parametrize(
    ("facts", "said"), [({}, "Choose what it was. Say what the verdict rests on."), ({"verdict": "odd", "reason": "x"}, "Choose")]
)
def test_a_verdict_that_does_not_hold_is_refused_beside_the_card(contained, facts, said):
    response = signed_in("ines").post(f"/cases/{contained.case.pk}/verdict/", facts, headers=HTMX)
    assert response.status_code == 422
    assert said in text_of(response)


def test_a_case_is_closed_once_it_has_a_verdict_and_nothing_is_open(contained):
    client = signed_in("ines")
    assert client.post(f"/cases/{contained.case.pk}/close/", headers=HTMX).status_code == 409
    cases.judge(contained.case.pk, "true_positive", "seen in the proxy log", actor=cast.person("ines"))
    make.what_was_taken_settled(contained.case.pk)
    response = client.post(f"/cases/{contained.case.pk}/close/", headers=HTMX)
    contained.case.refresh_from_db()
    assert (response.status_code, contained.case.state) == (200, "closed")
    assert "The case is closed." in text_of(response)
    assert 'action="/cases/' not in response.content.decode()


def test_who_approved_alone_does_not_close(postgres_plans):
    hold = _approved_by("omar")
    cases.judge(hold["case"].pk, "true_positive", "seen", actor=cast.person("omar"))
    make.what_was_taken_settled(hold["case"].pk)
    with pytest.raises(OnlyApprover):
        cases.close(hold["case"].pk, actor=cast.person("omar"))
    cases.close(hold["case"].pk, actor=cast.person("mara"))
    with pytest.raises(CaseClosed):
        cases.judge(hold["case"].pk, "benign", "on second thought", actor=cast.person("mara"))


def test_what_is_still_open_keeps_a_case_open(postgres_plans):
    make.house()
    pay = make.identity("payments_writer", owner_team="payments-team")
    make.session(pay, "pay-main")
    make.designation(pay, "pay-main", schemas=["payments"])
    decision: Any = make.detected("payments_writer", session=None)
    with pytest.raises(NotYetSettled, match="it has no verdict, a hold waits for an answer, a run is waiting"):
        cases.close(decision.case.pk, actor=cast.person("mara"))


def test_a_verdict_needs_a_known_word_and_a_reason(contained):
    with pytest.raises(BadInput) as refused:
        cases.judge(contained.case.pk, "odd", "", actor=cast.person("ines"))
    assert [fault.path for fault in refused.value.faults] == ["verdict", "reason"]


def test_the_list_shows_open_cases_first_and_closed_ones_on_request(contained):
    client = signed_in("wren")
    row = f'id="row-{contained.case.pk}"'
    assert row in client.get("/cases/?part=list", headers=HTMX).content.decode()
    assert row not in client.get("/cases/?part=list&show=closed", headers=HTMX).content.decode()


def _approved_by(name):
    make.house()
    pay = make.identity("payments_writer", owner_team="payments-team")
    make.session(pay, "pay-main")
    make.designation(pay, "pay-main", schemas=["payments"])
    decision: Any = make.detected("payments_writer", session=None)
    flow.answer_hold(decision.hold.pk, "approve", actor=cast.person(name), seen_digest=decision.hold.plan_digest)
    Run.objects.filter(pk=decision.run.pk).update(state="contained", next_at=None)
    return {"case": decision.case}


def test_what_was_taken_stands_on_the_case_and_is_settled_there(contained):
    taken.gather(contained.case.pk)
    line, client = Taken.objects.get(), signed_in("ines")
    place = f"/cases/{contained.case.pk}/"
    assert "Secret read: etl_reader read table vault.card_tokens" in text_of(client.get(place))
    assert 'name="state"' not in signed_in("wren").get(place).content.decode()
    assert client.post(f"{place}taken/{line.pk}/", {"state": "cleared", "reason": " "}, headers=HTMX).status_code == 422
    answer = client.post(f"{place}taken/{line.pk}/", {"state": "cleared", "reason": "test data"}, headers=HTMX)
    assert (answer.status_code, Taken.objects.get().state) == (200, "cleared")
    assert "Ines: test data" in text_of(answer)


def test_what_was_lifted_outside_is_said_with_what_the_reader_can_do(contained):
    line = {
        "seq": 1,
        "measure": "credential.revoke",
        "said": "It does not hold any more.",
        "at": "2026-11-22T10:00:00+00:00",
        "healed_at": "",
    }
    Run.objects.filter(pk=contained.run.pk).update(drifted=[line])
    page = text_of(signed_in("wren").get(f"/cases/{contained.case.pk}/"))
    assert "Lifted outside of Holdfast" in page
    assert "Nothing is applied again by itself." in page
