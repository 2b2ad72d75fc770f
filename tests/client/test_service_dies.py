"""The service is killed in the middle of many calls, and comes back: no write passes unasked, reads go as declared, and all is told, once.

`script/test -m big tests/client/test_service_dies.py -s` does it with a thousand calls and prints its figures.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from holdfast_guard import Declared, Denied, Guard, Verdict

from core.ids import uuid7
from embedded.process import wait_until
from tests import cast, make
from tests.access import door
from tests.client.web import Web, web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]

PROFILE: dict[str, Any] = {
    "tools": [{"name": "ledger.read", "writes": False}, {"name": "mail.send", "writes": True}],
    "environments": ["prod"],
}
AT_ONCE = 4
BUDGET_S = 5.0  # more than usual: a machine that is busy with other tests should still answer some calls


@pytest.fixture
def bearer() -> str:
    """An agent with a session in which it may read and write."""
    from containment import documents, sessions
    from containment.models import Source
    from containment.sessions import Registration

    make.house()
    Source.objects.create(name="guard", trust=0.9)
    document = documents.draft("agent_profile", "invoices", PROFILE, actor=cast.person("enzo"))
    documents.approve(document.pk, actor=cast.person("mara"), seen_digest=document.digest)
    make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    said = Registration(provider="holdfast", subject="invoice-agent", kind="ai_agent", name="inv-1", intent={"profile": "invoices"})
    sessions.register(said, actor=cast.detector())
    return door.token(owner="enzo")


@pytest.fixture
def server(bearer: str) -> Iterator[Web]:
    with web() as made:
        yield made


def guard(server: Web, bearer: str, journal: Path | None = None, **more: Any) -> Guard:
    return Guard(server.url, bearer, subject="invoice-agent", session="inv-1", declared=Declared(reads="open"), journal=journal, **more)


@dataclass
class Agent:
    """Calls its tools, and remembers what was said and what it really did."""

    server: Web
    bearer: str
    guard: Guard
    said: list[tuple[str, Verdict]] = field(default_factory=list)
    did: list[tuple[str, str]] = field(default_factory=list)  # tool, request id

    def calls(self, number: int) -> Verdict:
        tool, writes = ("mail.send", True) if number % 2 else ("ledger.read", False)
        try:
            with self.guard.call(tool, {"number": number}, writes=writes) as call:
                self.did.append((tool, call.verdict.request_id))
                call.returned(f"result {number}")
                verdict = call.verdict
        except Denied as no:
            verdict = no.verdict
        self.said.append((tool, verdict))
        return verdict


def warm_up(agent: Agent) -> None:
    """A server that has only just begun takes longer for its first answers than the budget of a call."""
    with guard(agent.server, agent.bearer, budget_s=30) as patient:
        assert patient.evaluate("ledger.read", writes=False, request_id=f"warm-up {uuid7()}").asked
    over = time.monotonic() + 60
    while not agent.calls(0).asked and time.monotonic() < over:
        time.sleep(0.5)


def calls_while_it_dies(server: Web, agent: Agent, count: int) -> dict[str, float]:
    """A third of the calls before the kill, a third without a service, a third once it is back."""
    numbers = itertools.count()
    dies, back = threading.Event(), threading.Event()
    figures: dict[str, float] = {}

    def work() -> None:
        while (number := next(numbers)) < count:
            if number == count // 3:
                dies.set()
            if number >= count * 2 // 3:
                back.wait()
            agent.calls(number)

    warm_up(agent)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        workers = [pool.submit(work) for _ in range(AT_ONCE)]
        dies.wait()
        server.kill()  # the others are in the middle of their calls
        killed = time.monotonic()
        wait_until(lambda: len(agent.said) >= count * 2 // 3 - AT_ONCE, seconds=300)
        figures["without it, s"] = round(time.monotonic() - killed, 2)
        server.start()
        warm_up(agent)
        figures["calls while it was away"] = sum(not verdict.asked for _, verdict in agent.said)
        back.set()
        for worker in workers:
            worker.result()
    return figures


def rows_by_request() -> dict[str, list[Any]]:
    from guard.models import GuardCall

    found: dict[str, list[Any]] = {}
    for row in GuardCall.objects.exclude(request__startswith="warm-up"):
        found.setdefault(row.request.strip(), []).append(row)
    return found


@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.big)])
def test_the_service_is_killed_in_the_middle_of_many_calls(server, bearer, tmp_path, count):
    began = time.monotonic()
    with guard(server, bearer, tmp_path / "calls", budget_s=BUDGET_S) as asking:
        agent = Agent(server, bearer, asking)
        figures = calls_while_it_dies(server, agent, count)
        assert asking.flush(60 if count < 1000 else 400)
        assert asking.untold == 0
    rows = rows_by_request()
    asked = {verdict.request_id: verdict for _, verdict in agent.said if verdict.asked}
    unasked = {verdict.request_id: verdict for _, verdict in agent.said if not verdict.asked}
    assert asked
    assert unasked

    # no write passes unasked
    for tool, request in agent.did:
        if tool == "mail.send":
            assert request in asked
            assert [(row.asked, row.verdict) for row in rows[request]] == [(True, "allow")]
    assert not any(verdict.decision for tool, verdict in agent.said if tool == "mail.send" and not verdict.asked)

    # reads as declared
    reads = [verdict for tool, verdict in agent.said if tool == "ledger.read"]
    assert all(verdict.decision for verdict in reads)
    assert len([tool for tool, _ in agent.did if tool == "ledger.read"]) == len(reads)

    # the report is complete, and nothing is in it twice
    assert set(rows) == {*asked, *unasked}
    assert {request: len(found) for request, found in rows.items() if len(found) != 1} == {}
    done = {request for _, request in agent.did}
    for request, (row,) in rows.items():
        assert row.outcome == ("done" if request in done else "not_done"), row
    lost = [request for request in unasked if rows[request][0].asked]  # it was answered, and killed before we heard it

    said = Counter((tool, verdict.said_by, verdict.decision) for tool, verdict in agent.said)
    figures |= {"calls": len(agent.said), "seconds": round(time.monotonic() - began, 1), "answers lost on the way": len(lost)}
    print(figures, {f"{tool} {by} {'yes' if yes else 'no'}": n for (tool, by, yes), n in sorted(said.items())})  # noqa: T201


def test_what_was_stopped_stays_stopped_when_the_service_is_gone_until_it_says_otherwise(server, bearer):
    from containment.gate import Gate
    from containment.models import Session

    session = Session.objects.get(external_id="inv-1")

    def gated(state: str) -> None:
        Gate().set(str(session.identity_id), "inv-1", state=state, because="outside its intent", key="k")

    with guard(server, bearer) as asking:
        warm_up(Agent(server, bearer, asking))
        gated("paused")
        assert wait_until(lambda: asking.refused_locally() == "session_paused", seconds=20)
        server.kill()
        for _ in range(3):
            verdict = asking.evaluate("ledger.read", writes=False)  # a read, which is open where nothing is known
            assert (verdict.decision, verdict.reason, verdict.said_by) == (False, "session_paused", "view")
        gated("active")
        assert asking.refused_locally() == "session_paused"
        server.start()
        assert wait_until(lambda: asking.refused_locally() == "", seconds=20)
        assert asking.flush(60)
    told = [row for found in rows_by_request().values() for row in found if row.reason == "declared_contained"]
    assert len(told) == 3


def test_what_a_process_could_not_tell_is_told_by_the_next_one(server, bearer, tmp_path):
    server.kill()
    with guard(server, bearer, tmp_path / "calls") as first:
        agent = Agent(server, bearer, first)
        for number in range(6):
            agent.calls(number)
    server.start()
    with guard(server, bearer, tmp_path / "calls") as second:
        assert second.untold >= 6  # and what came of one that was just being told
        assert second.flush(30)
    rows = rows_by_request()
    assert set(rows) == {verdict.request_id for _, verdict in agent.said}
    assert [row.outcome for found in rows.values() for row in found].count("not_done") == 3


def test_a_session_is_registered_kept_and_ended(server, bearer):
    with Guard(server.url, door.token("guard.ask", "sessions.write"), subject="invoice-agent", budget_s=20) as asking:
        state = asking.register("inv-2", intent={"profile": "invoices"}, ttl_seconds=600)
        assert asking.session == state["id"]
        assert asking.evaluate("mail.send", {"to": "x"}, writes=True).decision
        assert asking.heartbeat()["state"] == "active"
        asking.end_session()
        assert asking.session_state()["state"] == "ended"
        assert asking.evaluate("mail.send", {"to": "x"}, writes=True).reason == "session_ended"


def test_a_wrong_token_opens_no_read(server, bearer):
    from accounts import tokens

    with Guard(
        server.url, tokens._make(), subject="invoice-agent", session="inv-1", declared=Declared(reads="open"), budget_s=20
    ) as asking:
        verdict = asking.evaluate("ledger.read", writes=False)
    assert (verdict.decision, verdict.reason) == (False, "guard_token_refused")
