"""The quick way says allow or nothing, and whenever it says allow the whole story says the same of the same rows, on the same facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests import cast, examples, make
from tests.guard import stage

if TYPE_CHECKING:
    from containment.models import Identity, Session
    from guard.answers import Answer
    from sources.asking import Ask

pytestmark = pytest.mark.django_db(transaction=True)

PROFILE: dict[str, Any] = {
    "tools": [
        {"name": "ledger.read", "writes": False, "trusted": True},
        {"name": "mail.send", "writes": True},
        {"name": "payments.book", "writes": True},
    ],
    "budgets": {"writes_per_hour": 20, "calls_per_hour": 400},
    "resources": ["ledger*", "mail*"],
    "environments": ["prod"],
}
TASK = "Pay the October invoice of Northwind to DE89 3704 0044 0532 0130 00, and tell dora@example.org."


@pytest.fixture
def agent() -> Identity:
    from containment import documents

    make.house()
    document = documents.draft("agent_profile", "invoices", PROFILE, actor=cast.person("enzo"))
    documents.approve(document.pk, actor=cast.person("mara"), seen_digest=document.digest)
    return make.identity("invoice-agent", provider="holdfast", kind="ai_agent")


def registered(agent: Identity, name: str = "inv-1", **intent: Any) -> Session:
    from containment import sessions
    from containment.sessions import Registration

    said = Registration(
        provider=agent.provider, subject=agent.subject, kind="ai_agent", name=name, intent={"profile": "invoices", "task": TASK} | intent
    )
    return sessions.register(said, actor=cast.detector())[0]


def ask(tool: str = "ledger.read", *, session: str = "inv-1", **more: Any) -> Ask:
    from sources.asking import Ask

    said: dict[str, Any] = {
        "kind": "ai_agent",
        "provider": "holdfast",
        "subject": "invoice-agent",
        "subject_type": "agent",
        "action": "tool.call",
        "action_name": "tools/call",
        "resource_type": "ledger",
        "resource_kind": "ledger",
        "resource": "ledger/october",
        "system": "books",
        "tool": tool,
        "session": session,
    }
    return Ask(**said | more)


def told(question: Ask, *, quick: bool) -> Answer | None:
    from guard import quick as quickly
    from guard import slow

    return quickly.quick(question, cast.detector()) if quick else slow.answer(question, cast.detector())


def test_the_first_call_of_a_session_takes_the_whole_story_and_the_next_is_quick(agent: Identity) -> None:
    registered(agent)
    assert told(ask(), quick=True) is None
    first = told(ask(), quick=False)
    assert first is not None
    assert first.decision, first
    second = told(ask(arguments={"month": "october"}), quick=True)
    assert second is not None
    assert second.decision
    assert (second.verdict, second.reason, second.view_age_ms) == ("allow", "allowed", 0)


# -- whenever the quick way allows, the whole story does too ------------------------------------------------------------------------------


def facts_of_both(question: Ask, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What the quick way and the whole story judge of this question, of the same rows; the first is None where it leaves the question to
    the other. Nothing is written."""
    from containment.domain.judge import judge
    from core.ids import uuid7
    from guard import asked, quick, scene, slow

    reading = asked.reading(question, uuid7(), now=quick._UNDATED)
    with scene.cursor() as at:
        found = scene.read(reading, "edr-prod", ("nobody", question.request), at)
        weighed = quick.weigh(question, reading, found, at) if found is not None else None
    if weighed is None:
        return None, (None, None)
    judged: list[Any] = []

    class TakenBackError(Exception):
        pass

    def looked(_: Any, found: Any) -> Any:
        judged.append(found)
        raise TakenBackError

    def judges(facts: Any, policy: Any) -> Any:
        judged.append(facts)
        return judge(facts, policy)

    with monkeypatch.context() as watched:
        watched.setattr(slow, "judge", judges)
        watched.setattr(slow, "_say", looked)
        with pytest.raises(TakenBackError):
            slow.answer(question, cast.detector())
    facts = judged[0] if len(judged) == 2 else None
    return (weighed, (facts, judged[-1]))


def plainly(facts: Any, moment: Any) -> Any:
    """But for what cannot matter: when and under which key it was asked, and whom a cut would hurt, where nothing is cut."""
    from core.digest import plain

    detection = replace(facts.detection, id="", occurred_at=moment, received_at=moment)
    return plain(replace(facts, now=moment, detection=detection, history=replace(facts.history, use=())))


STATES: dict[str, str] = {
    "as it is": "SELECT 1",
    "the session is paused": "UPDATE session SET gate = 'paused' WHERE external_id = 'inv-1'",
    "the session is restricted": "UPDATE session SET gate = 'restricted', gate_allows = '{read}' WHERE external_id = 'inv-1'",
    "the session has ended": "UPDATE session SET ended_at = now(), gate = 'ended' WHERE external_id = 'inv-1'",
    "the session has expired": "UPDATE session SET expires_at = now() - interval '1 s' WHERE external_id = 'inv-1'",
    "the session will expire": "UPDATE session SET expires_at = now() + interval '1 h' WHERE external_id = 'inv-1'",
    "nobody vouches for the session": "UPDATE session SET discovered_at = now() WHERE external_id = 'inv-1'",
    "the session has a role and a tenant": "UPDATE session SET role = 'clerk', tenant = 'acme' WHERE external_id = 'inv-1'",
    "the session comes from elsewhere": """UPDATE session SET origin = '{"address": "203.0.113.9"}' WHERE external_id = 'inv-1'""",
    "a person drives it": "UPDATE session SET drive = 'human' WHERE external_id = 'inv-1'",
    "the identity is protected": "UPDATE identity SET protected = true, protected_because = 'break-glass' WHERE subject = 'invoice-agent'",
    "the identity was discovered": "UPDATE identity SET discovered_at = now() WHERE subject = 'invoice-agent'",
    "nobody owns the identity": "UPDATE identity SET owner_team = '' WHERE subject = 'invoice-agent'",
    "its reach is unknown": "UPDATE identity SET reach = 'unknown' WHERE subject = 'invoice-agent'",
    "its kind is another": "UPDATE identity SET kind = 'human' WHERE subject = 'invoice-agent'",
    "it is in another environment": "UPDATE identity SET environment = 'test' WHERE subject = 'invoice-agent'",
    "its credential leaked": "UPDATE credential SET exposed_at = now(), exposure_verified = true",
    "its credential is planted": "UPDATE credential SET planted = true",
    "its credential ran out": "UPDATE credential SET expires_at = now() - interval '1 h'",
    "its credential is shared": """
        INSERT INTO credential_use (credential_id, identity_id, workflow)
        SELECT c.id, i.id, 'reports' FROM credential c, identity i WHERE c.name = 'invoice-agent' AND i.subject = 'stranger'""",
    "it has another credential": """
        INSERT INTO credential_use (credential_id, identity_id, workflow)
        SELECT c.id, i.id, '' FROM credential c, identity i WHERE c.name = 'stranger' AND i.subject = 'invoice-agent'""",
    "its profile is no longer in force": "UPDATE work_document SET state = 'superseded' WHERE name = 'invoices'",
    "the resource is critical": "UPDATE resource SET sensitivity = 'critical'",
    "the resource is unclassified": "UPDATE resource SET sensitivity = 'unknown', system = ''",
    "the resource is an admin API": "UPDATE resource SET admin_api = true",
    "the source observes": "UPDATE source SET state = 'observing', observes_because = 'over its rate'",
    "the source may only watch": "UPDATE source SET ceiling = 'watch'",
    "the source is about people": "UPDATE source SET kinds = '{human}'",
    "the source is about elsewhere": "UPDATE source SET providers = '{okta}'",
    "the budget is used up": """
        UPDATE session_use SET windows = jsonb_set(windows, '{hour,writes}', '20') WHERE windows ? 'hour'""",
    "a chain has begun": """
        UPDATE trail SET kept = jsonb_set(kept, '{latest,0,2}', '"secret.read"')""",
}


def another_session(agent: Identity) -> None:
    make.session(agent, "inv-2")


def designated(agent: Identity) -> None:
    make.designation(agent, "inv-1")


def under_suspicion(agent: Identity) -> None:
    from audit import clock
    from containment.models import Case

    now = clock.now()
    Case.objects.create(identity=agent, title="a case", opened_at=now, first_event_at=now, last_event_at=now)


def spared(agent: Identity) -> None:
    from approvals.models import ExceptionGrant
    from audit import clock

    now = clock.now()
    ExceptionGrant.objects.create(
        scope={},
        reason="because",
        requester_id=UUID(cast.person("enzo").principal),
        granter_id=UUID(cast.person("mara").principal),
        asked_at=now,
        granted_at=now,
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(hours=1),
        budget_count=5,
        budget_risk=500,
        state="granted",
    )


MADE: dict[str, Callable[[Identity], None]] = {
    "another session is live": another_session,
    "a designation names it": designated,
    "it has a case": under_suspicion,
    "an exception spares it": spared,
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "a read": {},
    "a read with arguments": {"arguments": {"month": "october", "account": "DE89 3704 0044 0532 0130 00"}},
    "mail to whom the task names": {"tool": "mail.send", "resource": "mail/out", "arguments": {"to": "dora@example.org", "text": "Paid."}},
    "mail to a stranger": {"tool": "mail.send", "resource": "mail/out", "arguments": {"to": "eve@example.com", "text": "See attached."}},
    "a payment to a stranger": {"tool": "payments.book", "arguments": {"recipient": "US133000000121212121212", "amount": "1250"}},
    "a tool that nobody approved": {"tool": "shell.run", "arguments": {"command": "id"}},
    "a resource outside": {"resource": "vault/keys"},
    "another environment": {"environment": "test"},
    "from elsewhere": {"source_ip": "203.0.113.9", "role": "admin", "workflow": "billing", "tenant": "acme"},
    "no session named": {"session": ""},
    "a session that nobody knows": {"session": "inv-9"},
    "a secret": {"action": "secret.read", "action_name": "secret.read", "tool": "ledger.read"},
    "a message outward": {
        "action": "message.send",
        "action_name": "message.send",
        "tool": "mail.send",
        "arguments": {"to": "eve@example.com"},
    },
    "nobody's resource": {"resource": "ledger/unheard-of", "system": ""},
    "another kind": {"kind": "human", "subject_type": "user"},
    "a large transfer": {"tool": "payments.book", "money": 90000.0, "bytes": 10**9, "writes": True},
}


def some_of(questions: dict[str, dict[str, Any]], turn: int) -> list[tuple[str, dict[str, Any]]]:
    """All in the first state; then the plain one and every third, another third for each state. With HOLDFAST_FULL=1 all in each."""
    listed = list(questions.items())
    return listed if examples.FULL or not turn else [one for number, one in enumerate(listed) if number == 0 or (number + turn) % 3 == 0]


@pytest.mark.django_db(transaction=False)
def test_whenever_the_quick_way_allows_the_whole_story_allows_on_the_same_facts(agent: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question in every state, each state undone before the next."""
    from django.db import connection, transaction

    from containment.models import Resource

    make.identity("stranger", provider="holdfast")
    Resource.objects.create(kind="ledger", key="ledger/october", sensitivity="moderate", system="books")
    Resource.objects.create(kind="ledger", key="mail/out", sensitivity="low")
    registered(agent)
    for first in (ask(), ask("mail.send", resource="mail/out", arguments={"to": "dora@example.org"})):
        assert told(first, quick=False) is not None
    allowed: dict[str, list[str]] = {}
    for states, state in enumerate((*STATES, *MADE)):
        before = transaction.savepoint()
        if state in MADE:
            MADE[state](agent)
        else:
            with connection.cursor() as cursor:
                cursor.execute(STATES[state])
        for name, changes in some_of(QUESTIONS, states):
            weighed, (facts, verdict) = facts_of_both(ask(**changes), monkeypatch)
            if weighed is None:
                continue
            allowed.setdefault(state, []).append(name)
            assert verdict.verdict == "allow", f"{state}, {name}: {verdict.because}"
            assert not verdict.would_have
            assert (verdict.reason, verdict.risk, verdict.because) == (weighed_reason(weighed), weighed.risk, weighed_because(weighed))
            assert plainly(weighed.facts, weighed.facts.now) == plainly(facts, weighed.facts.now), f"{state}, {name}"
        transaction.savepoint_rollback(before)
    assert len(allowed["as it is"]) >= 5, "the quick way is for ordinary work"
    assert len(allowed) >= 10, sorted(allowed)


def weighed_reason(weighed: Any) -> str:
    return "allowed_by_rule" if weighed.permit.allowed else "allowed"


def weighed_because(weighed: Any) -> str:
    return str(weighed.permit.because if weighed.permit.allowed else weighed.because)


# -- at once ---------------------------------------------------------------------------------------------------------------------------


def at_once(count: int, work: Any) -> list[Any]:
    """As many threads, each with a connection of its own."""
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    def run(number: int) -> Any:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_many_calls_at_once_exactly_as_many_pass_as_the_budget_has_left(agent: Identity) -> None:
    from guard import ask as guard

    registered(agent, budgets={"writes_per_hour": 5})
    assert told(ask(), quick=False) is not None
    question = ask("mail.send", resource="mail/out", arguments={"to": "dora@example.org"})
    actor = cast.detector()
    answers = at_once(12, lambda _: stage.answered(lambda: guard.answer(question, actor)))
    assert sum(answer.decision for answer in answers) == 5


def test_no_call_that_begins_after_a_pause_was_committed_is_allowed(agent: Identity) -> None:
    import threading
    import time

    from audit.record import story
    from containment.gate import Gate
    from guard import quick

    session = registered(agent)
    assert told(ask(), quick=False) is not None
    actor, stop = cast.detector(), threading.Event()
    calls: list[tuple[float, bool]] = []

    def asking(number: int) -> None:
        if number == 0:
            time.sleep(0.5)
            story(Gate().set)(str(agent.pk), session.external_id, state="paused", because="a drill", key="drill")
            paused.append(time.monotonic())
            time.sleep(0.5)
            stop.set()
            return
        while not stop.is_set():
            began = time.monotonic()
            calls.append((began, quick.quick(ask(), actor) is not None))

    paused: list[float] = []
    at_once(4, asking)
    assert any(allowed for began, allowed in calls if began < paused[0])
    assert any(began > paused[0] for began, _ in calls)
    assert not any(allowed for began, allowed in calls if began > paused[0])


FIRST_HELD = {
    "session": "SELECT FROM session WHERE external_id = 'inv-1' FOR UPDATE",
    "session_use": "SELECT FROM session_use FOR UPDATE",
    "trail": "SELECT FROM trail FOR UPDATE",
}


@pytest.mark.parametrize("held", sorted(FIRST_HELD))
@pytest.mark.parametrize("tool", ["ledger.read", ""])
def test_a_yes_does_not_wait_for_whoever_may_be_about_to_pause_the_session(agent: Identity, held: str, tool: str) -> None:
    """What it weighed may be over when its turn comes; the whole story looks again."""
    import threading

    from django.db import connection, transaction

    from guard import quick

    registered(agent)
    for _ in range(2):
        assert told(ask(tool, action="data.read", action_name="read"), quick=False) is not None
    holds, said = threading.Event(), threading.Event()
    question, actor = ask(tool, action="data.read", action_name="read"), cast.detector()

    def work(number: int) -> Any:
        if number == 1:
            holds.wait(10)
            try:
                return quick.quick(question, actor)
            finally:
                said.set()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(FIRST_HELD[held])
            holds.set()
            answered_meanwhile = said.wait(3)
            cursor.execute("UPDATE session SET gate = 'paused' WHERE external_id = 'inv-1'")
        return answered_meanwhile

    answered_meanwhile, answer = at_once(2, work)
    if tool or held != "session_use":
        assert answer is None
        assert answered_meanwhile, "it waited"


def begun(agent: Identity) -> None:
    from audit import clock
    from playbooks.models import PlaybookVersion, Run

    Run.objects.create(
        playbook=PlaybookVersion.objects.all()[0],
        identity_ref=str(agent.ref),
        case_ref="",
        decision_ref="",
        target={},
        plan={},
        plan_digest="sha256:0",
        state="pending",
        created_at=clock.now(),
    )


@pytest.mark.parametrize("what", ["a pause", "a run", "an end"])
def test_what_was_weighed_before_somebody_stopped_the_agent_is_not_written_as_allowed(
    agent: Identity, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the line, on another connection."""
    from guard import quick
    from guard.models import GuardCall

    session = registered(agent)
    assert told(ask(), quick=False) is not None
    weigh = quick.weigh
    stops: dict[str, Callable[[], object]] = {
        "a pause": lambda: type(session).objects.filter(pk=session.pk).update(gate="paused"),
        "an end": lambda: type(session).objects.filter(pk=session.pk).update(ended_at=session.started_at, gate="ended"),
        "a run": lambda: begun(agent),
    }

    def weighed(*args: Any) -> Any:
        found = weigh(*args)
        assert found is not None
        monkeypatch.setattr(quick, "weigh", weigh)
        at_once(1, lambda _: stops[what]())
        return found

    monkeypatch.setattr(quick, "weigh", weighed)
    assert told(ask(), quick=True) is None
    assert GuardCall.objects.count() == 1
