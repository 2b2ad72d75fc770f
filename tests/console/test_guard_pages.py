"""The guard's pages: every call with both its sides, what a session is for and who closed it, narrowed, bounded and safe to look at."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import Person
from audit import clock
from console.views_of import guard as shown
from containment.gate import BY_GUARD
from containment.models import Identity, Session
from guard.models import GuardCall
from tests import make
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "<script>alert(1)</script>\u202e" + "x" * 300


def agent(name: str = "invoice-agent") -> Identity:
    return make.identity(name, provider="holdfast", kind="ai_agent")


def called(who: Identity, *, session: Session | None = None, ago: float = 0.0, **more: Any) -> GuardCall:
    """One call as the guard writes it down."""
    at = clock.now() - timedelta(seconds=ago)
    return GuardCall.objects.create(
        **{
            "asked_at": at,
            "principal": "somebody",
            "question": f"sha256:{'0' * 64}",
            "identity": who.pk,
            "session": session.pk if session else None,
            "action": "data.read",
            "tool": "mail.read",
            "writes": False,
            "verdict": "allow",
            "reason": "allowed",
            "told": "Go on.",
            "policy_version": 1,
            "expires_at": at + timedelta(seconds=10),
        }
        | more
    )


def denied(who: Identity, **more: Any) -> GuardCall:
    said: dict[str, Any] = {
        "tool": "mail.send",
        "writes": True,
        "verdict": "deny",
        "reason": "outside_intent",
        "because": "mail.send is not among the tools of the profile invoices.",
        "told": "This lies outside what the session was approved to do.",
    }
    return called(who, **said | more)


def text_of(response: Any) -> str:
    """All that a page of two panes says, without markup."""
    page = response.content.decode()
    body = page[page.index('<main class="panes"') : page.index("</main>")] if '<main class="panes"' in page else page
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_before_anybody_asked_the_page_says_what_will_come_and_how():
    page = text_of(signed_in("wren").get("/guard/"))
    assert "No agent has asked yet" in page
    assert "Connect an agent" in page
    assert "for an engineer or an admin" in page, "the auditor is told who could"


def test_a_call_stands_with_who_what_and_why_and_the_newest_first():
    who = agent()
    session = make.session(who, "inv-7")
    called(who, session=session, outcome="done")
    denied(who, session=session, resource_kind="mailbox", resource="customers")
    page = text_of(signed_in("ines").get("/guard/"))
    assert page.index("mail.send on mailbox customers") < page.rindex("mail.read")
    assert "outside what was approved · inv-7" in page
    assert "nothing speaks against it · inv-7 · done" in page


def test_each_verdict_is_counted_and_leads_to_its_calls():
    who = agent()
    called(who)
    denied(who)
    denied(who, ago=7200)
    called(who, asked=False, tool="files.read")
    called(who, verdict="hold", reason="approval_required", tool="pay.book")
    client = signed_in("ines")
    page = text_of(client.get("/guard/"))
    assert "All 4 Allowed 1 Denied 1 Held 1 Unasked 1" in page, "what is older than an hour is listed and not counted"
    only = text_of(client.get("/guard/?verdict=unasked&part=list", headers=HTMX))
    assert "files.read" in only
    assert "unasked, went ahead" in only
    assert "pay.book" not in only


def test_the_list_narrows_to_an_agent_a_tool_or_a_session():
    mine, other = agent("mine"), agent("other")
    session = make.session(mine, "s-1")
    called(mine, session=session, tool="a.read")
    called(mine, tool="b.read")
    called(other, tool="c.read")
    client = signed_in("ines")

    def rows(query: str) -> list[str]:
        page = client.get(f"/guard/?{query}&part=list", headers=HTMX).content.decode()
        return re.findall(r'<bdi class="mono">([^<]+)</bdi>', page)

    assert rows(f"agent={mine.pk}") == ["b.read", "a.read"]
    assert rows("tool=c.read") == ["c.read"]
    assert rows(f"session={session.pk}") == ["a.read"]
    assert rows("agent=nonsense&verdict=perhaps&tool=%00") == ["c.read", "b.read", "a.read"]


def test_narrowing_by_script_gives_the_list_alone_and_says_its_address():
    who = agent()
    called(who)
    answer = signed_in("ines").get(f"/guard/?part=narrowed&agent={who.pk}", headers=HTMX)
    assert "<html" not in answer.content.decode()
    assert answer["HX-Push-Url"] == f"/guard/?agent={who.pk}"
    assert f"/guard/?agent={who.pk}&amp;part=list" in answer.content.decode(), "what is fetched again is narrowed too"


def test_a_long_list_goes_on_and_an_older_page_stands_still():
    who = agent()
    for number in range(45):
        called(who, tool=f"tool.{number}")
    client = signed_in("ines")
    first = client.get("/guard/").content.decode()
    assert len(re.findall(r'id="call-', first)) == 40
    assert "data-pauses" in first
    older = re.search(r'href="(/guard/\?after=[^"]+)"', first)
    assert older
    second = client.get(older[1]).content.decode()
    assert re.findall(r'<bdi class="mono">(tool\.\d+)</bdi>', second) == [f"tool.{number}" for number in (4, 3, 2, 1, 0)]
    assert 'id="calls" data-live' not in second
    assert "data-pauses" not in second


def test_looking_again_asks_the_database_no_more_for_many_calls_than_for_one(django_assert_num_queries):
    client = signed_in("ines")
    for number in range(30):
        called(agent(f"agent-{number}"), tool=f"tool.{number}")
    with django_assert_num_queries(8):
        client.get("/guard/?part=list", headers=HTMX)


def test_a_search_without_an_index_looks_among_the_newest_alone(monkeypatch):
    monkeypatch.setattr(shown, "MOST_LOOKED_AT", 3)
    who = agent()
    called(who, tool="rare")
    for _ in range(4):
        called(who)
    assert list(shown.narrow(GuardCall.objects.all(), tool="rare")) == []
    assert [one.tool for one in shown.narrow(GuardCall.objects.all(), tool="rare", agent=str(who.pk))] == ["rare"]


def test_an_hour_of_too_many_calls_counts_the_newest_and_says_so(monkeypatch):
    monkeypatch.setattr(shown, "MOST_COUNTED", 3)
    who = agent()
    denied(who, ago=60)
    for number in range(3):
        called(who, ago=number)
    hour = shown.hour()
    assert (hour.cut, hour.counts) == (True, {"allow": 3, "deny": 0, "hold": 0, "unasked": 0})


def test_a_call_opens_to_the_agents_side_and_ours():
    who = agent()
    call = denied(who, session=make.session(who, "inv-7"), request="req-1")
    page = text_of(signed_in("ines").get(reverse("guard_call", args=[call.pk])))
    assert "This lies outside what the session was approved to do." in page
    assert "mail.send is not among the tools of the profile invoices." in page
    assert "not by waiting: the answer would be the same" in page
    assert "Not kept. They were compared with what is approved, and forgotten" in page
    assert "req-1" in page


def test_the_answer_is_shown_word_for_word():
    call = denied(agent())
    page = signed_in("ines").get(reverse("guard_call", args=[call.pk]), {"part": "card"}, headers=HTMX).content.decode()
    assert "<html" not in page
    found = re.search(r'<pre class="answer-text"[^>]*><bdi>(.*?)</bdi></pre>', page, re.DOTALL)
    assert found
    answer = json.loads(found[1].replace("&quot;", '"').replace("&#x27;", "'"))
    assert answer["decision"] is False
    assert answer["context"]["evaluation_id"] == str(call.pk)
    assert answer["context"]["reason_user"] == {"en": call.told}


def test_what_was_done_in_spite_of_the_answer_says_so_and_can_be_picked_out():
    who, viewer = agent(), signed_in("ines")
    heeded = denied(who, tool="files.delete", outcome="not_done", reported_at=clock.now())
    called(who, tool="mail.list", outcome="done", reported_at=clock.now())
    assert "in spite of the answer" not in words(viewer.get("/guard/"))
    defied = denied(who, outcome="done", reported_at=clock.now())
    assert "1 done in spite of the answer" in words(viewer.get("/guard/"))
    page = viewer.get("/guard/?verdict=defied")
    assert [row.id for row in page.context["stream"].rows] == [defied.pk]
    assert 'id="verdict-defied"' in page.content.decode()
    assert "done in spite of the answer" in words(viewer.get(f"/guard/calls/{defied.pk}/?part=card", headers=HTMX))
    assert "in spite of" not in words(viewer.get(f"/guard/calls/{heeded.pk}/?part=card", headers=HTMX))


def test_a_call_that_was_made_unasked_says_who_decided():
    call = called(agent(), asked=False, verdict="deny", reason="allowed", told="", policy_version=0)
    page = text_of(signed_in("ines").get(reverse("guard_call", args=[call.pk])))
    assert "Holdfast did not answer in time, so the agent left it, as it had declared for this tool" in page
    assert "word for word" not in page


def test_what_is_only_watched_says_what_would_have_been():
    call = called(agent(), would_have="deny", reason="outside_intent")
    page = text_of(signed_in("ines").get(reverse("guard_call", args=[call.pk])))
    assert "Here the guard only watches: it would have been denied." in page


def test_hostile_names_stay_text():
    who = agent("<img src=x onerror=alert(1)>")
    session = make.session(who, HOSTILE)
    call = called(who, session=session, tool=HOSTILE, resource_kind="file", resource=HOSTILE, request=HOSTILE)
    client = signed_in("ines")
    pages = ["/guard/", f"/guard/calls/{call.pk}/", f"/sessions/{session.pk}/", f"/identities/{who.pk}/", f"/guard/?tool={HOSTILE}"]
    for address in pages:
        page = client.get(address).content.decode()
        assert "<script>alert" not in page, address
        assert "<img src=x" not in page, address


@pytest.mark.parametrize("query", ["after=%00", "after=x~y", "agent=%00&session=1", "verdict=%00", "tool=" + "t" * 500])
def test_a_nonsensical_address_is_still_a_page(query):
    assert signed_in("wren").get(f"/guard/?{query}").status_code == 200


def test_a_call_that_is_not_there_is_missing():
    assert signed_in("wren").get("/guard/calls/01900000-0000-7000-8000-000000000000/").status_code == 404


# -- sessions -----------------------------------------------------------------------------------------------------------------------------


def test_a_session_says_what_it_is_for_and_what_is_left():
    make.house()
    who = agent()
    make.workflow(
        "invoices",
        [],
        tools=[{"name": "ledger.read", "writes": False}, {"name": "payments.book", "writes": True}],
        budgets={"writes_per_session": 2},
        bounds={"payments.book": {"amount": {"max": 500}}},
        environments=["prod"],
    )
    task = "Pay the October invoice of Northwind."
    session = make.session(who, "inv-7", intent={"profile": "invoices", "task": task}, claimed={"role": "clerk", "tenant": "acme"})
    called(who, session=session)
    page = words(signed_in("ines").get(f"/sessions/{session.pk}/"))
    assert task in page
    assert "inside invoices, version 1" in page
    assert "payments.book writes" in page
    assert "amount of payments.book at most 500" in page
    assert "Writes per session 0 of 2" in page
    assert "Role clerk claim" in page
    assert "mail.read" in page


def test_a_session_that_a_run_paused_leads_to_the_run(postgres_plans):
    make.house()
    who = agent()
    decision = make.detected(
        "invoice-agent",
        identity={"kind": "ai_agent", "provider": "holdfast", "subject": "invoice-agent"},
        credential=None,
        session={"id": "inv-7"},
    )
    run = make.run_of(decision)
    step = run.steps.first()
    assert step is not None
    session = Session.objects.get(identity=who, external_id="inv-7")
    Session.objects.filter(pk=session.pk).update(gate="paused", gate_because="its agent is contained", gate_key=str(step.key))
    client = signed_in("mara")
    page = client.get(f"/sessions/{session.pk}/")
    assert f"/runs/{run.pk}/" in page.content.decode()
    assert "undoing that run opens it again" in words(page)
    assert "Let it go on" not in words(page)
    case = client.get(f"/cases/{decision.case_id}/").content.decode()
    assert f"/sessions/{session.pk}/" in case
    assert f"/sessions/{session.pk}/" in client.get(f"/decisions/{decision.pk}/").content.decode()


def paused(who: Identity, call: GuardCall | None = None) -> Session:
    key = f"{BY_GUARD}{call.pk if call else who.pk}"
    because = "it left what it was approved to do: a second read outside it"
    return make.session(who, "inv-7", gate="paused", gate_because=because, gated_at=clock.now(), gate_key=key)


def test_a_session_that_the_guard_paused_says_at_which_call_and_a_manager_lets_it_go_on():
    make.house()
    who = agent()
    call = denied(who)
    session = paused(who, call)
    client = signed_in("mara")
    page = client.get(f"/sessions/{session.pk}/")
    assert "It is paused: every call is answered with no." in words(page)
    assert "by the guard" in words(page)
    assert "a second read outside it" in words(page)
    assert f"/guard/calls/{call.pk}/" in page.content.decode()
    answer = client.post(f"/sessions/{session.pk}/reopen/", {"reason": "the list was too short, I looked at the mails"}, follow=True)
    assert "may go on" in answer.content.decode()
    session.refresh_from_db()
    assert session.gate == "active"
    assert "Let it go on" not in words(answer)


def test_a_session_goes_on_for_nobody_without_the_right_or_the_distance():
    make.house()
    owner = Person.objects.get(username="mara")
    session = paused(make.identity("invoice-agent", provider="holdfast", kind="ai_agent", owner=owner))
    analyst, mara = signed_in("ines"), signed_in("mara")
    assert "Undoing a run is for a manager" in words(analyst.get(f"/sessions/{session.pk}/"))
    assert analyst.post(f"/sessions/{session.pk}/reopen/", {"reason": "please"}).status_code == 403
    assert "Somebody else has to say that it may go on." in words(mara.get(f"/sessions/{session.pk}/"))
    mara.post(f"/sessions/{session.pk}/reopen/", {"reason": "mine"})
    signed_in("mia").post(f"/sessions/{session.pk}/reopen/", {"reason": " "})
    session.refresh_from_db()
    assert session.gate == "paused"


def test_a_session_names_those_around_it_and_its_identity_leads_to_it():
    who = agent()
    parent = make.session(who, "parent")
    child = make.session(agent("helper"), "child", parent=parent)
    client = signed_in("ines")
    assert f"/sessions/{child.pk}/" in client.get(f"/sessions/{parent.pk}/").content.decode()
    assert "opened for parent of invoice-agent" in words(client.get(f"/sessions/{child.pk}/"))
    assert f"/sessions/{parent.pk}/" in client.get(f"/identities/{who.pk}/").content.decode()
