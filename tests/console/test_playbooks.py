"""The pages of the library: a text checked while it is written, tried on somebody without effect, compared, retired and withdrawn."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from connectors import registry
from connectors.sandbox import SandboxConnector
from console.pages import playbooks as pages
from console.views_of import playbooks as shown
from embedded.postgres import Postgres
from playbooks import library
from playbooks.models import PlaybookVersion, Run
from tests import cast, make
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def house(postgres_plans: None) -> None:
    library.ship()


def playbook(name: str = "service-account") -> PlaybookVersion:
    return PlaybookVersion.objects.get(name=name, state="in_force")


def drafted(*changes: tuple[str, str]) -> PlaybookVersion:
    text = playbook().text
    for old, new in changes or [("title: Contain a service account", "title: Contain it well")]:
        assert old in text
        text = text.replace(old, new)
    return library.draft(text, actor=cast.person("enzo"))


def checked(text: str) -> str:
    response = signed_in("enzo").post("/playbooks/check/", {"text": text}, headers=HTMX)
    assert response.status_code == 200
    assert "<html" not in response.content.decode()
    return words(response)


def test_a_text_is_checked_while_it_is_written_and_nothing_is_kept():
    before = PlaybookVersion.objects.count()
    text = playbook().text
    said = checked(text)
    assert "Nothing is wrong with it." in said
    assert "If it does not hold, the hard stage follows at once." in said
    said = checked(text.replace("session.terminate", "session.stop").replace("{unproven: hard}", "{unproven: maybe}"))
    assert "3 faults. It cannot be saved like this." in said
    assert "Line 12 stages.interim[2].measure Must be one of" in said
    assert "ladder.unproven And if the soft stage does not hold?" in said
    assert "missing" in said  # the rule, by its code
    assert "anchor" in checked("name: &a x\n")
    assert "1 fault. It cannot be saved like this." in checked("\tname: x")
    assert PlaybookVersion.objects.count() == before
    assert signed_in("ines").post("/playbooks/check/", {"text": text}).status_code == 403


def test_a_word_half_typed_is_a_fault_and_not_the_end_of_the_page():
    text = playbook().text.replace("on_failure: continue", "on_failure: con", 1)
    said = checked(text)
    assert "on_failure Must be one of continue, stop, undo." in said
    enzo = signed_in("enzo")
    assert enzo.post("/playbooks/draft/", {"text": text}).status_code == 422
    assert enzo.post("/playbooks/try/", {"text": text, "identity": "x/y"}).status_code == 422


def test_the_check_says_whom_it_would_be_bound_to_and_with_whom_it_would_tie():
    text = playbook().text.replace("name: service-account", "name: ours")
    assert "It could not be approved like this: service-account v1 is as specific for service_account." in checked(text)
    said = checked(text.replace("pattern: any", "pattern: lateral_movement\ndrives: [script]"))
    assert "Service account driven by script , lateral movement before service-account v1" in said


def test_the_list_says_who_is_bound_to_what_and_who_to_nothing():
    text = words(signed_in("wren").get("/playbooks/"))
    assert "ci pipeline any drive ci-pipeline v1 exposed-credential v1 ci-pipeline v1" in text
    assert "nobody" not in text
    library.retire(playbook("ai-agent").pk, actor=cast.person("mara"), because="none here", confirmed=True)
    assert "ai agent any drive nobody" in words(signed_in("wren").get("/playbooks/"))


def test_two_versions_are_compared_line_by_line():
    first, second = playbook(), drafted(("{unproven: hard}", "{unproven: hold}"))
    response = signed_in("wren").get(f"/playbooks/{first.pk}/to/{second.pk}/")
    page = response.content.decode()
    assert '<tr data-diff="removed"><td class="num">22</td><td class="num"></td>' in page
    assert "<del>ladder: {unproven: hard}" in page
    assert "<ins>ladder: {unproven: hold}" in page
    assert "The two texts are the same." in words(signed_in("wren").get(f"/playbooks/{first.pk}/to/{first.pk}/"))


def test_long_texts_are_compared_in_no_time_and_no_further_than_a_playbook_is_long():
    was, now = "\n".join(["a", "b"] * 1500), "\n".join(["b", "a", "c"] * 1000)
    lines = shown.diff(was, now)
    assert len(lines) <= 2 * 2000 + 200
    assert lines[-1].text == "Only the first 2000 lines are compared."
    assert shown.diff(was, was) == []


def test_the_list_asks_no_more_for_many_drafts_than_for_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "MOST_DRAFTS", 2)
    wren = signed_in("wren")

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert wren.get("/playbooks/").status_code == 200
        return len(queries)

    drafted()
    asked()
    one = asked()
    for number in range(3):
        drafted(("title: Contain a service account", f"title: Contain it {number}"))
    assert asked() <= one
    assert "2 more wait" in words(wren.get("/playbooks/"))


def test_an_endless_text_is_cut_before_its_lines_are_numbered():
    response = signed_in("enzo").post("/playbooks/draft/", {"text": "\n" * 300_000})
    assert response.status_code == 422
    assert "2001\n" not in response.content.decode()
    assert len(response.content) < 400_000


def test_a_version_is_retired_with_a_warning_where_somebody_would_be_left_without():
    version, mara = playbook("ai-agent"), signed_in("mara")
    assert "Without it nothing could be contained for ai agent." in words(mara.get(f"/playbooks/{version.pk}/"))
    mara.post(f"/playbooks/{version.pk}/retire/", {"reason": "none here"})
    version.refresh_from_db()
    assert version.state == "in_force"
    mara.post(f"/playbooks/{version.pk}/retire/", {"reason": "none here", "confirmed": "yes"})
    text = words(mara.get(f"/playbooks/{version.pk}/"))
    assert "Retired by Mara" in text
    assert "No playbook is left for ai agent: nothing can be contained there until one is approved." in text


def test_a_harmful_version_is_withdrawn_and_the_page_says_what_is_bound_now():
    version = playbook("service-account-by-hand")
    assert signed_in("enzo").post(f"/playbooks/{version.pk}/revoke/", {"reason": "x"}).status_code == 403
    mara = signed_in("mara")
    assert mara.post(f"/playbooks/{version.pk}/revoke/", {"reason": ""}).status_code == 422
    mara.post(f"/playbooks/{version.pk}/revoke/", {"reason": "it pauses the people on call."})
    text = words(mara.get(f"/playbooks/{version.pk}/"))
    assert "Withdrawn as harmful by Mara" in text
    assert "it pauses the people on call. Its runs stop at their next step and wait for a person." in text
    assert "service-account v1 is bound now for service account." in text


def test_a_draft_is_dropped_from_its_page():
    version = drafted()
    assert "would be bound to" in words(signed_in("enzo").get(f"/playbooks/{version.pk}/"))
    signed_in("enzo").post(f"/playbooks/{version.pk}/drop/")
    version.refresh_from_db()
    assert version.state == "dropped"


# -- tried --------------------------------------------------------------------------------------------------------------------------------

TEXT = """
name: tried
kinds: [workload]
stages:
  soft: [{measure: evidence.preserve}, {measure: session.pause}]
  hard: [{measure: evidence.preserve}, {measure: workload.isolate}]
holds: {default: {on_lapse: release}}
"""


@pytest.fixture
def sandbox(estate: Postgres) -> Any:
    connector = SandboxConnector(dsn=estate.dsn("estate"))
    connector.target.create()
    registry.register("sandbox", connector)
    return connector.target


def test_a_text_that_was_not_saved_is_tried_on_somebody_and_the_plan_is_drawn_with_what_was_found(sandbox: Any):
    make.identity("batch-9", provider="sandbox", kind="workload")
    enzo = signed_in("enzo")
    part = words(enzo.post("/playbooks/try/", {"text": TEXT, "identity": "sandbox/batch-9"}, headers=HTMX))
    assert "Every step could be done on batch-9 now. Nothing was changed: this only looked." in part
    assert "Pause the session : cuts. through sandbox; undone by putting back the state before would change state open becomes cut" in part
    whole = enzo.post("/playbooks/try/", {"text": TEXT, "identity": "sandbox/batch-9"})
    assert "Every step could be done on batch-9 now." in words(whole)
    assert "kinds: [workload]" in whole.content.decode()
    assert sandbox.done("batch-9") == 0
    assert not Run.objects.exists()
    assert AuditEntry.objects.filter(verb="playbook.tried").count() == 2


@pytest.mark.parametrize(
    ("identity", "text", "says"),
    [
        ("", TEXT, "On whom? Choose an identity."),
        ("sandbox/nobody", TEXT, "There is no such identity."),
        ("sandbox/batch-9", TEXT.replace("session.pause", "session.stop"), "line 5: Must be one of"),
    ],
)
def test_what_cannot_be_tried_is_said(identity: str, text: str, says: str):
    make.identity("batch-9", provider="sandbox", kind="workload")
    response = signed_in("enzo").post("/playbooks/try/", {"text": text, "identity": identity})
    assert response.status_code == 422
    assert says in words(response)


def test_whoever_is_to_approve_a_draft_can_try_it_and_others_cannot():
    make.identity("etl_reader")
    version = drafted()
    address = f"/playbooks/{version.pk}/try/"
    text = words(signed_in("mara").post(address, {"identity": "postgres/etl_reader"}))
    assert "This connector has no credentials that can only look" in text
    assert "Not every step could be looked at, or done, on etl_reader." in text
    assert signed_in("ines").post(address, {"identity": "postgres/etl_reader"}).status_code == 403
    assert AuditEntry.objects.filter(verb="playbook.tried", about__contains=[f"playbook:{UUID(str(version.pk))}"]).exists()
