"""What runtimes tell afterwards: outcomes count once, unasked calls become rows and, where they would have been refused, detections."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import cast, make
from tests.access import door

pytestmark = pytest.mark.django_db(transaction=True)

REPORTS = "/access/v1/reports"
PROFILE: dict[str, Any] = {
    "tools": [
        {"name": "ledger.read", "writes": False, "trusted": True},
        {"name": "mail.send", "writes": True},
        {"name": "token.mint", "writes": True},
    ],
    "budgets": {"bytes_per_session": 10_000},
    "environments": ["prod"],
}


@pytest.fixture
def bearer() -> str:
    """Enzo's token, an agent with a session that Enzo's runtime registered, and a guard whose source is believed."""
    from containment import documents, sessions
    from containment.models import Source
    from containment.sessions import Registration

    make.house()
    Source.objects.create(name="guard", trust=0.9)
    document = documents.draft("agent_profile", "invoices", PROFILE, actor=cast.person("enzo"))
    documents.approve(document.pk, actor=cast.person("mara"), seen_digest=document.digest)
    make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    said = Registration(
        provider="holdfast", subject="invoice-agent", kind="ai_agent", name="inv-1", intent={"profile": "invoices", "task": "Pay."}
    )
    sessions.register(said, actor=cast.detector())
    return door.token(owner="enzo")


def question(tool: str = "ledger.read", request: str = "r-1", *, session: str = "inv-1", writes: bool = False, **arguments: Any) -> dict:
    return {
        "subject": {"type": "agent", "id": "invoice-agent"},
        "action": {"name": "tools/call", "properties": {"tool": tool, "arguments": arguments, "writes": writes}},
        "resource": {"type": "tool", "id": tool},
        "context": {"session": session, "request_id": request},
    }


def told(*items: Any, bearer: str) -> list[dict[str, Any]]:
    answer = door.posted({"reports": list(items)}, to=REPORTS, bearer=bearer)
    assert answer.status_code == 200, answer.content
    results: list[dict[str, Any]] = json.loads(answer.content)["results"]
    return results


def unasked(request: dict[str, Any], mode: str = "closed", **more: Any) -> dict[str, Any]:
    return {"unasked": True, "request": request, "decision": mode == "open", "mode": mode, "at": "2026-11-23T04:00:00Z"} | more


def rows(**wanted: Any) -> Any:
    from guard.models import GuardCall

    return GuardCall.objects.filter(**wanted)


def seen(session_name: str, text: str) -> Any:
    from containment import session_use
    from containment.domain import values
    from containment.models import Session

    session = Session.objects.get(external_id=session_name)
    return session_use._seen(session, values.marks_in(text))


# -- what came of a call ------------------------------------------------------------------------------------------------------------------


def test_an_outcome_is_kept_once(bearer):
    answer = door.asked(question(), bearer=bearer)
    assert answer["decision"] is True, answer
    call = answer["context"]["evaluation_id"]
    first = told({"evaluation_id": call, "outcome": "done"}, bearer=bearer)
    again = told({"evaluation_id": call, "outcome": "failed"}, bearer=bearer)
    assert (first[0]["status"], again[0]["status"]) == (201, 200)
    assert rows(pk=call).get().outcome == "done"


def test_only_the_party_that_asked_tells_what_came_of_it(bearer):
    call = door.asked(question(), bearer=bearer)["context"]["evaluation_id"]
    result = told({"evaluation_id": call, "outcome": "done"}, bearer=door.token(owner="ada"))[0]
    assert (result["status"], result["code"]) == (404, "unknown_evaluation")
    assert rows(pk=call).get().outcome == ""


def test_what_a_trusted_tool_returned_is_known_if_the_question_comes_with_it(bearer):
    from containment.domain.intent import Seen

    ask = question(account="4711")
    call = door.asked(ask, bearer=bearer)["context"]["evaluation_id"]
    result = told({"evaluation_id": call, "outcome": "done", "returned": ["dora@example.org"], "request": ask}, bearer=bearer)[0]
    assert result["learned"] is True
    assert Seen.TRUSTED in set(seen("inv-1", "dora@example.org").values())


def test_without_its_question_or_with_another_one_a_result_is_trusted_by_nobody(bearer):
    from containment.domain.intent import Seen

    for number, more in enumerate(({}, {"request": question(account="another")})):
        ask = question(request=f"r-{number}", account="4711")
        call = door.asked(ask, bearer=bearer)["context"]["evaluation_id"]
        told({"evaluation_id": call, "outcome": "done", "returned": [f"m{number}@evil.example"], **more}, bearer=bearer)
        found = set(seen("inv-1", f"m{number}@evil.example").values())
        assert found
        assert not any(Seen.TRUSTED in one for one in found)


def test_bytes_are_charged_to_the_session(bearer):
    from containment.models import SessionUse

    call = door.asked(question(), bearer=bearer)["context"]["evaluation_id"]
    told({"evaluation_id": call, "outcome": "done", "bytes": 700}, bearer=bearer)
    told({"evaluation_id": call, "outcome": "done", "bytes": 700}, bearer=bearer)
    assert SessionUse.objects.get(session__external_id="inv-1").windows["session"]["bytes"] == 700


def test_what_strangers_tell_teaches_a_session_nothing(bearer):
    from containment.models import Source

    Source.objects.create(name="mail-gateway")
    other = door.token(owner="ada", source="mail-gateway")
    ask = question()
    answer = door.asked(ask, bearer=other)
    call = answer["context"]["evaluation_id"]
    result = told({"evaluation_id": call, "outcome": "done", "returned": ["dora@example.org"], "request": ask}, bearer=other)[0]
    assert result["status"] == 201
    assert "learned" not in result
    assert not seen("inv-1", "dora@example.org")


# -- credentials that calls make ----------------------------------------------------------------------------------------------------------


def minting(request: str = "r-1", **more: Any) -> dict[str, Any]:
    return {
        "subject": {"type": "agent", "id": "invoice-agent"},
        "action": {"name": "token.mint", **({"properties": more} if more else {})},
        "resource": {"type": "api", "id": "keys"},
        "context": {"session": "inv-1", "request_id": request},
    }


MINTED = {"kind": "api_key", "id": "key-of-invoices-77"}


def mints() -> list[tuple[str, bool]]:
    from containment.models import MintedCredential

    return [(line.session.external_id, line.vouched) for line in MintedCredential.objects.select_related("session")]


def test_a_credential_that_a_call_made_is_its_sessions(bearer):
    answer = door.asked(minting(), bearer=bearer)
    assert answer["decision"] is True, answer
    assert mints() == []
    told({"evaluation_id": answer["context"]["evaluation_id"], "outcome": "done", "minted": MINTED}, bearer=bearer)
    assert mints() == [("inv-1", True)]


def test_a_credential_that_an_unasked_call_made_is_its_sessions(bearer):
    told(unasked(minting(), "closed", outcome="not_done", minted=MINTED), bearer=bearer)
    assert mints() == []
    told(unasked(minting("r-2"), "open", outcome="done", minted=MINTED), bearer=bearer)
    assert mints() == [("inv-1", True)]


def test_a_credential_that_a_question_names_is_its_sessions_once_it_is_allowed(bearer):
    assert door.asked(minting(minted=MINTED), bearer=bearer)["decision"] is True
    assert mints() == [("inv-1", True)]


def test_a_credential_that_was_refused_is_nobodys(bearer):
    assert door.asked(minting(minted=MINTED, tool="payments.book"), bearer=bearer)["decision"] is False
    assert mints() == []


def test_only_what_mints_names_what_it_made(bearer):
    call = door.asked(question(), bearer=bearer)["context"]["evaluation_id"]
    result = told({"evaluation_id": call, "outcome": "done", "minted": MINTED}, bearer=bearer)[0]
    assert (result["status"], result["errors"][0]["path"]) == (422, "reports[0].minted")
    assert rows(pk=call).get().outcome == ""
    wrong = door.posted(minting(minted={"kind": "api_key"}), bearer=bearer)
    assert wrong.status_code == 400


def test_open_pages_hear_of_calls_that_nobody_was_asked_about(bearer, monkeypatch):
    from guard import live

    monkeypatch.setattr(live, "_last", never := float("-inf"))
    item = unasked(question("mail.send", writes=True), outcome="not_done")
    told(item, bearer=bearer)
    assert live._last != never
    monkeypatch.setattr(live, "_last", never)
    told(item, bearer=bearer)
    assert live._last == never, "what was told before is no news"


# -- calls that were made in spite of the answer ------------------------------------------------------------------------------------------


def refused(bearer: str, request: str = "r-2") -> str:
    answer = door.asked(question("payments.book", request, writes=True), bearer=bearer)
    assert answer["decision"] is False, answer
    return str(answer["context"]["evaluation_id"])


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_what_is_done_in_spite_of_a_no_is_a_detection_and_on_record_once(bearer, outcome):
    from audit.models import AuditEntry
    from containment.models import Detection

    call = refused(bearer)
    before = set(Detection.objects.values_list("pk", flat=True))
    first, again = (told({"evaluation_id": call, "outcome": outcome}, bearer=bearer)[0] for _ in range(2))
    detection = Detection.objects.exclude(pk__in=before).get()
    assert (detection.severity, detection.title) == ("high", "Done in spite of the answer: payments.book")
    assert detection.session is not None
    assert detection.session.external_id == "inv-1"
    assert first["detection"] == again["detection"] == str(detection.pk)
    assert (first["status"], again["status"]) == (201, 200)
    entry = AuditEntry.objects.get(verb="guard.defied")
    assert entry.subject == f"guard_call:{call}"
    assert json.loads(entry.body)["answered"] == "denied"
    assert str(detection.ref) in entry.about


@pytest.mark.parametrize("outcome", ["cancelled", "not_done"])
def test_who_heeds_a_no_alarms_nobody_further(bearer, outcome):
    from audit.models import AuditEntry

    result = told({"evaluation_id": refused(bearer), "outcome": outcome}, bearer=bearer)[0]
    assert "detection" not in result
    assert not AuditEntry.objects.filter(verb="guard.defied").exists()


@pytest.mark.parametrize(("mode", "outcome"), [("open", "done"), ("closed", "done"), ("open", None)])
def test_an_unasked_report_of_a_call_that_was_refused_is_found_out(bearer, mode, outcome):
    from audit.models import AuditEntry

    call = refused(bearer)
    item = unasked(question("payments.book", "r-2", writes=True), mode, **({"outcome": outcome} if outcome else {}))
    result = told(item, bearer=bearer)[0]
    assert (result["status"], result["evaluation_id"]) == (200, call)
    assert AuditEntry.objects.get(verb="guard.defied").subject == f"guard_call:{call}"
    assert result["detection"]


def test_an_unasked_call_that_its_runtime_refused_and_that_was_done_is_found_out(bearer):
    from containment.models import Detection

    result = told(unasked(question("mail.send", writes=True), "closed", outcome="done"), bearer=bearer)[0]
    assert result["detection"] == str(Detection.objects.get(title="Done in spite of the answer: mail.send").pk)


def test_what_is_done_in_spite_of_a_no_teaches_its_session_nothing(bearer):
    ask = question("payments.book", "r-2", writes=True)
    told({"evaluation_id": refused(bearer), "outcome": "done", "returned": ["dora@example.org"], "request": ask}, bearer=bearer)
    assert not seen("inv-1", "dora@example.org")


def test_what_is_denied_and_done_by_itself_is_on_record_as_its_row_says(bearer):
    from guard import chain
    from guard.models import GuardCall

    refused(bearer)
    told(unasked(question("mail.send", writes=True), outcome="not_done"), bearer=bearer)
    told(unasked(question("payments.book", "r-3", writes=True), "open"), bearer=bearer)
    assert GuardCall.objects.exclude(verdict="allow").count() == 2
    assert chain.first_break() is None


# -- calls that nobody was asked about ----------------------------------------------------------------------------------------------------


def test_an_unasked_call_is_one_row_however_often_it_is_told(bearer):
    from audit.models import AuditEntry

    item = unasked(question("mail.send", writes=True), outcome="not_done")
    first, again = told(item, bearer=bearer)[0], told(item, bearer=bearer)[0]
    assert (first["status"], again["status"]) == (201, 200)
    assert first["evaluation_id"] == again["evaluation_id"]
    row = rows(asked=False).get()
    assert (row.verdict, row.reason, row.outcome, row.tool) == ("deny", "declared_closed", "not_done", "mail.send")
    assert AuditEntry.objects.filter(verb="guard.unasked").count() == 1


def test_what_came_of_it_may_be_told_later_and_once(bearer):
    told(unasked(question(), "open"), bearer=bearer)
    told(unasked(question(), "open", outcome="done"), bearer=bearer)
    told(unasked(question(), "open", outcome="failed"), bearer=bearer)
    assert rows(asked=False).get().outcome == "done"


def test_an_answer_that_was_lost_makes_no_second_row(bearer):
    call = door.asked(question(), bearer=bearer)["context"]["evaluation_id"]
    result = told(unasked(question(), outcome="not_done"), bearer=bearer)[0]
    assert (result["status"], result["evaluation_id"]) == (200, call)
    assert rows().get().outcome == "not_done"


def test_telling_of_a_call_never_answers_a_question(bearer):
    told(unasked(question("mail.send", "r-9", session="nobody-knows", writes=True), "open", outcome="done"), bearer=bearer)
    for request in ("r-9", " r-9"):
        answer = door.asked(question("mail.send", request, session="nobody-knows", writes=True), bearer=bearer)
        assert answer["decision"] is False


def test_an_unasked_read_that_is_allowed_counts_for_its_session_and_alarms_nobody(bearer):
    from containment.models import Detection, SessionUse

    told(unasked(question(), "open", outcome="done"), bearer=bearer)
    assert Detection.objects.count() == 0
    assert SessionUse.objects.get(session__external_id="inv-1").windows["session"]["calls"] == 1


def test_an_unasked_write_that_would_have_been_refused_is_a_detection(bearer):
    from containment.models import Detection

    item = unasked(question("payments.book", "r-2", writes=True), "open", outcome="done")
    result = told(item, bearer=bearer)[0]
    detection = Detection.objects.get()
    assert result["detection"] == str(detection.pk)
    assert (detection.severity, detection.source.name) == ("high", "guard")
    assert detection.title == "Done without asking: payments.book"
    told(item, bearer=bearer)
    assert Detection.objects.count() == 1


def test_asking_what_would_have_been_said_leaves_no_trace(bearer):
    from audit.models import AuditEntry
    from containment.models import Session

    told(unasked(question("payments.book", "r-2", writes=True), "open", outcome="done"), bearer=bearer)
    assert rows().count() == 1
    assert not AuditEntry.objects.filter(verb__in=["guard.denied", "session.gated"]).exists()
    assert Session.objects.get(external_id="inv-1").gate == "active"


def test_a_call_that_was_refused_alarms_nobody(bearer):
    from containment.models import Detection

    told(unasked(question("payments.book", writes=True), outcome="not_done"), bearer=bearer)
    assert Detection.objects.count() == 0


def test_a_token_tells_only_of_what_its_source_may_speak_about(bearer):
    from containment.models import Source

    Source.objects.create(name="narrow", providers=["okta"], kinds=["human"])
    item = unasked(question())
    item["request"]["subject"]["properties"] = {"provider": "holdfast"}
    result = told(item, bearer=door.token(source="narrow"))[0]
    assert result["status"] == 403
    assert not rows().exists()


# -- tools that changed -------------------------------------------------------------------------------------------------------------------


def changed(**more: Any) -> dict[str, Any]:
    said = {"server": "files", "tool": "read_file", "before": f"sha256:{'a' * 64}", "after": f"sha256:{'b' * 64}", "session": "inv-1"}
    return {"tool_changed": said | {"subject": {"type": "ai_agent", "id": "invoice-agent"}} | more}


def test_a_tool_that_changed_is_a_detection_of_high_severity_once(bearer):
    from audit.models import AuditEntry
    from containment.models import Detection

    first, again = told(changed(), changed(), bearer=bearer)
    detection = Detection.objects.get()
    assert (first["status"], again["status"], first["detection"]) == (201, 200, str(detection.pk))
    assert detection.severity == "high"
    assert detection.title.startswith("Tool definition changed since it was approved: read_file of files")
    assert AuditEntry.objects.filter(verb="guard.tool_changed").count() == 1


def test_another_change_is_another_detection(bearer):
    from containment.models import Detection

    told(changed(), changed(after=f"sha256:{'c' * 64}"), bearer=bearer)
    assert Detection.objects.count() == 2


# -- bad input ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "path", "code"),
    [
        (None, "reports[0]", "wrong_type"),
        ({}, "reports[0]", "missing"),
        ({"evaluation_id": "nonsense", "outcome": "done"}, "reports[0].evaluation_id", "wrong_form"),
        ({"evaluation_id": "0193c0de-0000-7000-8000-000000000000"}, "reports[0].outcome", "missing"),
        ({"evaluation_id": "0193c0de-0000-7000-8000-000000000000", "outcome": "well"}, "reports[0].outcome", "unknown_value"),
        ({"evaluation_id": "0193c0de-0000-7000-8000-000000000000", "outcome": "done", "x": 1}, "reports[0].x", "unknown_member"),
        ({"evaluation_id": "0193c0de-0000-7000-8000-000000000000", "outcome": "done", "bytes": -1}, "reports[0].bytes", "out_of_range"),
        (
            {"evaluation_id": "0193c0de-0000-7000-8000-000000000000", "outcome": "done", "returned": [1]},
            "reports[0].returned",
            "wrong_type",
        ),
        (unasked({}), "reports[0].request.subject", "missing"),
        (unasked(question(request="")), "reports[0].request.context.request_id", "missing"),
        (unasked(question(), "wild"), "reports[0].mode", "unknown_value"),
        (unasked(question(), "closed", decision=True), "reports[0].decision", "contradiction"),
        (unasked(question(), at="yesterday"), "reports[0].at", "wrong_form"),
        (changed(after="md5:1"), "reports[0].tool_changed.after", "wrong_form"),
        (changed(subject="me"), "reports[0].tool_changed.subject", "wrong_type"),
    ],
)
def test_what_is_wrong_with_a_report_is_said_with_its_path_and_spoils_no_other(bearer, item, path, code):
    result, good = told(item, unasked(question(request="r-good")), bearer=bearer)
    assert result["status"] == 422
    assert (path, code) in [(fault["path"], fault["code"]) for fault in result["errors"]], result
    assert good["status"] == 201


@pytest.mark.parametrize("body", [[], "x", {}, {"reports": []}, {"reports": {}}, {"reports": [1], "more": 1}, "", "{"])
def test_a_body_that_holds_no_reports_is_400(bearer, body):
    assert door.posted(body, to=REPORTS, bearer=bearer).status_code == 400


def test_too_many_at_once_are_413(bearer):
    assert door.posted({"reports": [{}] * 1001}, to=REPORTS, bearer=bearer).status_code == 413


def test_only_a_token_that_may_ask_may_tell(bearer):
    assert door.posted({"reports": [{}]}, to=REPORTS, bearer="none").status_code == 401
    assert door.posted({"reports": [{}]}, to=REPORTS, bearer=door.token("read")).status_code == 403
