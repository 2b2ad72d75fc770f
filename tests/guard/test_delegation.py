"""Sessions that work for other sessions: no more than those may do, no longer than they live, and stopped with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit import clock
from audit.models import AuditEntry
from connectors.base import Measure, Step, Target
from connectors.holdfast.connector import HoldfastConnector
from containment import documents, session_use, sessions
from containment.domain.event import Event
from containment.domain.outside import outside
from containment.gate import Gate
from containment.models import Identity, Session
from containment.refusals import NotYourSession, SessionEnded, TooManySessions, WouldWiden
from containment.sessions import Registration
from core.actor import Actor
from core.refusals import BadInput, Fault
from tests import cast, make
from tests.domain.test_intent import facts

pytestmark = pytest.mark.django_db

PROFILE: dict[str, Any] = {
    "tools": [{"name": "mail.*", "writes": True}, {"name": "ledger.read", "writes": False}],
    "resources": ["docs/*"],
    "environments": ["prod", "test"],
    "budgets": {"writes_per_hour": 10},
    "bounds": {"mail.send": {"to": {"like": "*@acme.test"}}},
}


@pytest.fixture(autouse=True)
def house() -> None:
    make.house()
    in_force("mails")


def in_force(name: str, **changes: Any) -> None:
    document = documents.draft("agent_profile", name, PROFILE | changes, actor=cast.person("enzo"))
    documents.approve(document.pk, actor=cast.person("mara"), seen_digest=document.digest)


def begun(name: str, parent: Session | None = None, *, subject: str = "", actor: Actor | None = None, **more: Any) -> Session:
    intent = more.pop("intent", {})
    said = Registration(
        provider="agents",
        subject=subject or name,
        kind="ai_agent",
        name=name,
        intent={"profile": "mails"} | intent if intent is not None else {},
        parent=parent.pk if parent else None,
        **more,
    )
    return sessions.register(said, actor=actor or cast.detector())[0]


def faults(*args: Any, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(BadInput) as refused:
        begun(*args, **more)
    return [(fault.path, fault.code) for fault in refused.value.faults]


def states() -> dict[str, str]:
    return dict(Session.objects.values_list("external_id", "gate"))


def said_of(session: Session, tool: str, resource: str = "", **arguments: Any) -> str:
    """What a call would leave; nothing where it stays inside."""
    event = Event(occurred_at=clock.now(), action="tool.call", tool=tool, arguments=arguments)
    told = session_use.facts(session, event, now=clock.now())
    assert told.intent is not None
    finding = outside(facts(told.call, told.intent, resource))
    return finding.because if finding else ""


# -- beginning ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "places"),
    [
        ({"tools": ["mail.read"]}, []),
        ({"tools": ["mail.read", "mail.*"]}, ["tools[1]"]),
        ({"tools": [{"name": "ledger.read", "writes": False}]}, ["tools[0]"]),
        ({"resources": ["docs/a/b", "docs/b"]}, ["resources[1]"]),
        ({"environments": ["test"]}, ["environments[0]"]),
        ({"budgets": {"writes_per_hour": 3, "writes_per_day": 99}}, ["budgets.writes_per_hour"]),
        ({"bounds": {"mail.send": {"to": {"like": "*@acme.test"}}}}, ["bounds.mail.send.to"]),
        ({"bounds": {"mail.send": {"to": {"like": "dora@acme.test"}}}}, []),
    ],
)
def test_what_a_parent_may_not_do_its_child_may_not_declare(intent: dict[str, Any], places: list[str]) -> None:
    narrow = {
        "tools": [{"name": "mail.read"}, {"name": "mail.send"}],
        "resources": ["docs/a/*"],
        "environments": ["prod"],
        "budgets": {"writes_per_hour": 2},
        "bounds": {"mail.send": {"to": {"like": "d*@acme.test"}}},
    }
    parent = begun("o-1", intent=narrow)
    if places:
        assert faults("o-2", parent, intent=intent) == [(f"intent.{place}", "outside_parent") for place in places]
    else:
        assert begun("o-2", parent, intent=intent).parent == parent


def test_a_grandchild_is_compared_with_all_above_it() -> None:
    middle = begun("o-2", begun("o-1", intent={"tools": ["mail.read"]}), intent=None)
    assert faults("o-3", middle, intent={"tools": ["mail.send", "mail.read"]}) == [("intent.tools[0]", "outside_parent")]


def test_a_child_lives_no_longer_than_its_parent_and_as_long_where_it_says_nothing() -> None:
    parent = begun("o-1", life=timedelta(minutes=10))
    assert faults("o-2", parent, life=timedelta(minutes=20)) == [("ttl_seconds", "outside_parent")]
    assert begun("o-3", parent).expires_at == parent.expires_at
    shorter = begun("o-4", parent, life=timedelta(minutes=1))
    assert shorter.expires_at is not None
    assert parent.expires_at is not None
    assert shorter.expires_at < parent.expires_at


def test_a_claim_of_an_environment_lies_among_those_that_the_session_may_act_in() -> None:
    parent = begun("o-1", intent={"environments": ["prod"]}, claims={"environment": "prod"})
    assert faults("o-2", parent, claims={"environment": "test"}) == [("environment", "outside_intent")]


def test_strangers_have_nobody_work_for_a_session() -> None:
    parent = begun("o-1")
    with pytest.raises(NotYourSession):
        begun("o-2", parent, actor=cast.person("mara"))


def test_nobody_works_for_a_session_that_has_ended_or_is_past_its_time() -> None:
    parent = begun("o-1")
    Session.objects.filter(pk=parent.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(SessionEnded):
        begun("o-2", parent)
    sessions.end(parent.pk, actor=cast.detector())
    with pytest.raises(SessionEnded):
        begun("o-3", parent)


def test_the_row_of_sessions_that_work_for_each_other_is_bounded_and_so_is_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    last = begun("o-1")
    for number in range(2, session_use.DEEPEST + 1):
        last = begun(f"o-{number}", last)
    with pytest.raises(BadInput) as refused:
        begun("o-9", last)
    assert refused.value.faults[0] == Fault("parent", "too_deep", "At most 8 sessions work for each other in a row.")
    monkeypatch.setattr(sessions, "MOST_CHILDREN", 1)
    with pytest.raises(TooManySessions):
        begun("o-10", Session.objects.get(external_id="o-1"))


# -- at each call ------------------------------------------------------------------------------------------------------------------------


def test_what_a_parent_gave_up_its_child_has_lost() -> None:
    parent = begun("o-1")
    child = begun("o-2", parent, intent={"tools": ["mail.send"], "resources": ["docs/a"]})
    assert said_of(child, "mail.send", "docs/a") == ""
    sessions.keep(parent.pk, actor=cast.detector(), intent={"profile": "mails", "tools": ["ledger.read"], "resources": ["docs/b"]})
    assert "mail.send is not among the tools that the session o-1" in said_of(child, "mail.send", "docs/a")
    assert "docs/a lies outside the resources that the session o-1" in said_of(begun("o-3", parent, intent=None), "ledger.read", "docs/a")


def test_a_declaration_shrinks_with_its_profile() -> None:
    session = begun("o-1", intent={"tools": ["mail.*"], "resources": ["docs/*"], "environments": ["test"]})
    assert said_of(session, "mail.delete", "docs/secret") == ""
    tools = [{"name": "mail.*", "writes": True}, {"name": "mail.delete", "writes": False}]
    in_force("mails", tools=tools, resources=["docs/public/*"], environments=["prod"])
    assert "to read with" in said_of(session, "mail.delete", "docs/public/a") or said_of(session, "mail.delete", "docs/public/a") == ""
    assert "docs/secret lies outside" in said_of(session, "mail.send", "docs/secret")


def test_a_child_without_an_intent_of_its_own_does_not_escape_its_parents() -> None:
    child = begun("o-2", begun("o-1", intent={"tools": ["mail.read"]}), intent=None)
    assert "was approved for" in said_of(child, "shell.run")
    assert said_of(child, "mail.read") == ""


def test_a_session_widens_neither_itself_nor_past_its_parent() -> None:
    child = begun("o-2", begun("o-1", intent={"resources": ["docs/a/*"]}))
    with pytest.raises(WouldWiden) as refused:
        sessions.keep(child.pk, actor=cast.detector(), intent={"profile": "mails", "resources": ["docs/a/b", "docs/*"]})
    assert refused.value.facts["paths"] == ["resources[1]"]


def test_a_shorter_life_is_shorter_for_those_that_work_for_it() -> None:
    parent = begun("o-1", life=timedelta(hours=1))
    child = begun("o-3", begun("o-2", parent))
    sessions.keep(parent.pk, actor=cast.detector(), life=timedelta(minutes=1))
    parent.refresh_from_db()
    child.refresh_from_db()
    assert child.expires_at == parent.expires_at


# -- ending and pausing ------------------------------------------------------------------------------------------------------------------


def test_those_that_work_for_a_session_end_with_it_and_each_is_on_record() -> None:
    parent = begun("o-1")
    begun("o-3", begun("o-2", parent))
    begun("other")
    sessions.end(parent.pk, actor=cast.detector())
    assert states() == {"o-1": "ended", "o-2": "ended", "o-3": "ended", "other": "active"}
    assert AuditEntry.objects.filter(verb="session.ended").count() == 3


def test_a_session_whose_time_is_long_over_is_ended_and_not_before() -> None:
    long, lately = begun("o-1", life=timedelta(hours=1)), begun("o-2", life=timedelta(hours=1))
    now = clock.now()
    Session.objects.filter(pk=long.pk).update(expires_at=now - sessions.LAPSED_AFTER - timedelta(seconds=1))
    Session.objects.filter(pk=lately.pk).update(expires_at=now - timedelta(hours=1))
    assert (sessions.lapse_due(), sessions.lapse_due()) == (1, 0)
    assert states() == {"o-1": "ended", "o-2": "active"}


def pausing(parent: Session) -> tuple[HoldfastConnector, Step]:
    target = Target(
        identity=str(parent.identity_id), provider="agents", subject="o-1", kind="ai_agent", session=parent.external_id, facts={}
    )
    return HoldfastConnector(gate=Gate()), Step(measure=Measure.SESSION_PAUSE, target=target)


def test_pausing_takes_children_and_grandchildren_of_others_along_and_undo_opens_exactly_those() -> None:
    parent = begun("o-1")
    child = begun("o-2", parent)
    begun("o-3", child)
    alone = begun("o-4", parent)
    Gate().set(str(alone.identity_id), "o-4", state="paused", because="its own doing", key="own")
    connector, step = pausing(parent)
    was = connector.look(step)
    connector.perform(step, key="k", was=was)
    begun("o-5", child)
    assert set(states().values()) == {"paused"}
    connector.undo(step, key="k", was=was)
    assert states() == {"o-1": "active", "o-2": "active", "o-3": "active", "o-4": "paused", "o-5": "active"}


def test_the_stricter_word_holds_and_a_childs_own_comes_back() -> None:
    parent = begun("o-1")
    child = begun("o-2", parent)
    Gate().set(str(child.identity_id), "o-2", state="restricted", because="its own doing", key="own", allows=["read"])
    Gate().set(str(parent.identity_id), "o-1", state="paused", because="all stop", key="k")
    assert states() == {"o-1": "paused", "o-2": "paused"}
    Gate().set(str(parent.identity_id), "o-1", state="active", because="", key="")
    child.refresh_from_db()
    assert (child.gate, child.gate_key, child.gate_because, child.gate_allows) == ("restricted", "own", "its own doing", ["read"])
    Gate().set(str(parent.identity_id), "o-1", state="ended", because="over", key="k2")
    assert states() == {"o-1": "ended", "o-2": "ended"}


def test_whoever_registers_is_made_where_nobody_knew_it() -> None:
    begun("o-1", subject="new-agent")
    assert Identity.objects.get(subject="new-agent").discovered_at is not None
