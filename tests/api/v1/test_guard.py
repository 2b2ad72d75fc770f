"""Reading what agents asked and what they were told."""

from __future__ import annotations

import pytest

from tests import make
from tests.console.test_guard_pages import agent, called, denied

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(program):
    return program("read")


def test_a_call_is_shown_with_both_its_reasons_and_without_arguments(reader):
    who = agent()
    session = make.session(who, "inv-1")
    call = denied(who, session=session, resource_kind="mailbox", resource="customers", request="r-1")
    said = reader.get(f"/api/v1/guard/calls/{call.pk}").body
    assert {name: said[name] for name in ("verdict", "reason", "tool", "writes", "asked", "request", "policy_version")} == {
        "verdict": "deny",
        "reason": "outside_intent",
        "tool": "mail.send",
        "writes": True,
        "asked": True,
        "request": "r-1",
        "policy_version": 1,
    }
    assert (said["identity"], said["session"]) == (str(who.pk), str(session.pk))
    assert said["resource"] == {"kind": "mailbox", "id": "customers"}
    assert said["reason_admin"] == "mail.send is not among the tools of the profile invoices."
    assert said["reason_user"] == "This lies outside what the session was approved to do."
    assert said["chained"] is True
    assert not {"principal", "arguments", "batch"} & set(said)


def test_calls_narrow_by_agent_session_verdict_tool_and_moment(reader):
    mine, other = agent("mine"), agent("other")
    session = make.session(mine, "s-1")
    old = called(mine, session=session, ago=3600)
    new = denied(mine)
    elsewhere = called(other, tool="c.read")

    def found(query: str) -> list[str]:
        return [one["id"] for one in reader.get(f"/api/v1/guard/calls?{query}").body["results"]]

    assert found(f"identity={mine.pk}") == [str(new.pk), str(old.pk)]
    assert found(f"session={session.pk}") == [str(old.pk)]
    assert found("verdict=deny") == [str(new.pk)]
    assert found("tool=c.read") == [str(elsewhere.pk)]
    since = new.asked_at.isoformat().replace("+00:00", "Z")
    assert found(f"since={since}") == [str(elsewhere.pk), str(new.pk)]
    assert reader.get("/api/v1/guard/calls?since=2026-11-23T10:00:00").status == 422


def test_a_long_list_goes_on_where_it_stopped(reader):
    who = agent()
    calls = sorted((called(who) for _ in range(5)), key=lambda call: call.pk, reverse=True)  # within a millisecond in any order
    first = reader.get("/api/v1/guard/calls?limit=3").body
    rest = reader.get(f"/api/v1/guard/calls?limit=3&cursor={first['next']}").body
    assert [one["id"] for one in first["results"] + rest["results"]] == [str(call.pk) for call in calls]
    assert rest["next"] is None
