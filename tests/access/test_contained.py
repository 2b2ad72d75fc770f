"""The view that runtimes keep: what is contained and stopped, told when it changes, once for all who wait, and to each what it may see."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext

from tests import make
from tests.access import door

pytestmark = pytest.mark.django_db(transaction=True)

CONTAINED = "/access/v1/contained"


@pytest.fixture
def bearer() -> str:
    make.house()
    return door.token()


async def asked(bearer: str, **query: Any) -> dict[str, Any]:
    answer = await AsyncClient().get(CONTAINED, query, headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = json.loads(answer.content)
    return found


def status(bearer: str, **query: Any) -> int:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return int(async_to_sync(AsyncClient().get)(CONTAINED, query, headers=headers).status_code)


def polled(bearer: str, **query: Any) -> dict[str, Any]:
    return async_to_sync(asked)(bearer, **query)


def agent(name: str = "invoice-agent", **more: Any) -> Any:
    return make.identity(name, provider="holdfast", kind="ai_agent", **more)


def paused(session: Any, state: str = "paused") -> None:
    from containment.gate import Gate

    Gate().set(str(session.identity_id), session.external_id, state=state, because="outside its intent", key="k")


def run_over(identity: Any, *steps: tuple[str, str], state: str = "contained", session: str = "", control_family: str = "access") -> Any:
    """A run as it stands when it acts; what carries it out is tried elsewhere."""
    from audit import clock
    from playbooks.models import PlaybookVersion, Run

    plan = {"soft": [{"connector": connector, "measure": measure, "disruptive": True} for connector, measure in steps]}
    return Run.objects.create(
        playbook=PlaybookVersion.objects.all()[0],
        identity_ref=str(identity.ref),
        case_ref="",
        decision_ref="",
        control_family=control_family,
        target={"session": session, "facts": {}},
        plan=plan,
        plan_digest="sha256:0",
        stage="soft",
        state=state,
        created_at=clock.now(),
    )


def test_nothing_is_contained_at_first(bearer):
    said = polled(bearer)
    assert (said["contained"], said["sessions"], said["cut"]) == ([], [], False)
    assert said["view"].startswith("sha256:")
    assert said["provider"] == "holdfast"


def test_a_contained_identity_is_told_under_each_of_its_names(bearer):
    from containment.models import IdentityAlias

    identity = agent()
    IdentityAlias.objects.create(identity=identity, provider="okta", subject="invoice-agent@example.org")
    agent("its-older-name", merged_into=identity)
    run_over(identity, ("postgres", "credential.revoke"))
    names = {(one["provider"], one["subject"]) for one in polled(bearer)["contained"]}
    assert names == {("holdfast", "invoice-agent"), ("okta", "invoice-agent@example.org"), ("holdfast", "its-older-name")}


@pytest.mark.parametrize("state", ["pending", "running", "verifying", "contained", "partial", "needs_human"])
def test_it_is_told_as_long_as_its_run_acts(bearer, state):
    run_over(agent(), ("postgres", "credential.revoke"), state=state)
    assert len(polled(bearer)["contained"]) == 1


@pytest.mark.parametrize("state", ["prepared", "undone"])
def test_a_run_that_waits_or_is_over_contains_nobody(bearer, state):
    run_over(agent(), ("postgres", "credential.revoke"), state=state)
    assert polled(bearer)["contained"] == []


def test_a_run_that_only_stops_a_session_leaves_the_others_alone(bearer):
    identity = agent()
    make.session(identity, "inv-1"), make.session(identity, "inv-2")
    run_over(identity, ("holdfast", "session.pause"), state="pending", session="inv-1")
    said = polled(bearer)
    assert said["contained"] == []
    assert [(one["name"], one["state"]) for one in said["sessions"]] == [("inv-1", "paused")]


def test_an_identity_without_a_registered_session_is_contained_as_a_whole_as_the_guard_answers_it(bearer):
    identity = agent()
    make.session(identity, "seen-only", discovered_at=identity.created_at)
    run_over(identity, ("holdfast", "session.pause"), session="seen-only")
    answer = door.asked(door.question("invoice-agent") | {"subject": {"type": "agent", "id": "invoice-agent"}}, bearer=bearer)
    assert answer["context"]["reason"] == "contained"
    assert [one["subject"] for one in polled(bearer)["contained"]] == ["invoice-agent"]


@pytest.mark.parametrize("state", ["paused", "restricted", "ended"])
def test_a_stopped_session_is_told_with_its_state(bearer, state):
    session = make.session(agent(), "inv-1")
    paused(session, state)
    told = polled(bearer)["sessions"]
    assert told == [
        {
            "id": str(session.pk),
            "name": "inv-1",
            "state": state,
            "provider": "holdfast",
            "subject": "invoice-agent",
            "because": "outside its intent",
        }
    ]


def test_the_view_is_another_one_whenever_anything_in_it_is(bearer):
    session = make.session(agent(), "inv-1")
    views = [polled(bearer)["view"]]
    for state in ("paused", "restricted", "active"):
        paused(session, state)
        views.append(polled(bearer)["view"])
    assert len(set(views[:3])) == 3
    assert views[3] == views[0]


def test_a_change_ends_the_wait(bearer):
    from guard import contained

    session = make.session(agent(), "inv-1")
    view = polled(bearer)["view"]

    async def both() -> dict[str, Any]:
        waiting = asyncio.create_task(contained.feed().wait(view, 50, contained.Sight()))
        await asyncio.sleep(1.2)
        assert not waiting.done()
        await sync_to_async(paused)(session)
        return await asyncio.wait_for(waiting, 20)  # far under the 50 s of the poll: it is the change that ends it

    assert [one["state"] for one in async_to_sync(both)()["sessions"]] == ["paused"]


def test_without_a_change_the_wait_ends_with_the_same_view(bearer):
    view = polled(bearer)["view"]
    assert polled(bearer, after=view, wait="0.6")["view"] == view


def test_one_process_tells_nothing_older_than_another_one_told(bearer):
    """Two processes look at different moments: here each has its own feed."""
    from datetime import datetime

    from guard import contained

    session = make.session(agent(), "inv-1")

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        slow, quick = contained.Feed(), contained.Feed()
        await slow.wait("", 0, contained.Sight())
        await sync_to_async(paused)(session)
        told = await quick.wait("", 0, contained.Sight())
        slow._looked_at = asyncio.get_running_loop().time()  # what it saw still counts as new
        return told, await slow.wait(told["view"], 1.5, contained.Sight(), datetime.fromisoformat(told["as_of"]))

    told, then = async_to_sync(both)()
    assert then["as_of"] > told["as_of"]
    assert [one["state"] for one in then["sessions"]] == ["paused"]


def test_many_who_wait_cost_no_more_than_one(bearer):
    from guard import contained

    looked: list[float] = []
    look = contained.look

    def counted(*args: Any) -> Any:
        looked.append(time.monotonic())
        return look(*args)

    async def all_of_them() -> None:
        feed = contained.Feed()
        await asyncio.gather(*(feed.wait(view, 2.0, contained.Sight()) for _ in range(200)))

    view = polled(bearer)["view"]
    contained.look = counted  # type: ignore[assignment]
    try:
        async_to_sync(all_of_them)()
    finally:
        contained.look = look
    assert 1 <= len(looked) <= 6


def test_one_look_is_one_query_however_much_is_contained(bearer):
    from guard import contained

    for number in range(30):
        identity = agent(f"agent-{number}")
        run_over(identity, ("postgres", "credential.revoke"))
        paused(make.session(identity, "s"))
    known: dict[Any, Any] = {}
    contained.look(known)
    with CaptureQueriesContext(connection) as queries:
        found = contained.look(known)
    assert len(found.entries) == 60
    assert len(queries) == 1


def test_more_than_the_most_is_cut_and_that_is_said(bearer, monkeypatch):
    from guard import contained

    monkeypatch.setattr(contained, "MOST", 3)
    for number in range(5):
        paused(make.session(agent(f"agent-{number}"), "s"))
    said = polled(bearer)
    assert (len(said["sessions"]), said["cut"]) == (3, True)


def test_a_token_that_sees_little_is_told_that_more_than_was_looked_at_is_contained(bearer, monkeypatch):
    from containment.models import Source
    from guard import contained

    for number in range(3):
        run_over(agent(f"agent-{number}"), ("postgres", "credential.revoke"))
    run_over(make.identity("etl_reader"), ("postgres", "credential.revoke"))
    Source.objects.create(name="databases", providers=["postgres"])
    narrow = door.token(source="databases")
    assert polled(narrow)["cut"] is False
    monkeypatch.setattr(contained, "MOST", 2)
    said = polled(narrow)
    assert said["cut"] is True, "its own may be among those that nobody looked at"


def test_a_token_that_is_revoked_while_it_waits_is_told_nothing(bearer):
    from accounts import tokens
    from accounts.models import ServiceToken
    from core.actor import SYSTEM

    text = door.token()
    view = polled(text)["view"]

    def revoked() -> None:
        tokens.revoke(ServiceToken.objects.get(digest=tokens.digest_of(text)).pk, actor=SYSTEM)
        run_over(agent(), ("postgres", "credential.revoke"))
        connection.close()

    async def poll() -> int:
        headers = {"Authorization": f"Bearer {text}"}
        waiting = asyncio.create_task(AsyncClient().get(CONTAINED, {"after": view, "wait": "20"}, headers=headers))
        await asyncio.sleep(0.7)
        assert not waiting.done()
        await sync_to_async(revoked, thread_sensitive=False)()  # the poll has the thread that everything else takes turns on
        answer = await waiting
        return int(answer.status_code)

    assert async_to_sync(poll)() == 401


def test_a_token_sees_only_what_its_source_may_speak_about(bearer):
    from containment.models import Source

    run_over(agent(), ("postgres", "credential.revoke"))
    run_over(make.identity("etl_reader"), ("postgres", "credential.revoke"))
    Source.objects.create(name="agents", kinds=["ai_agent"])
    Source.objects.create(name="databases", providers=["postgres"])
    assert [one["subject"] for one in polled(door.token(source="agents"))["contained"]] == ["invoice-agent"]
    narrow = polled(door.token(source="databases"))
    assert [one["subject"] for one in narrow["contained"]] == ["etl_reader"]
    assert narrow["provider"] == "postgres"
    assert len(polled(bearer)["contained"]) == 2


@pytest.mark.parametrize("wait", ["-1", "56", "soon", "nan", "inf", "9" * 20])
def test_a_wait_that_is_none_is_400(bearer, wait):
    assert status(bearer, wait=wait) == 400


@pytest.mark.parametrize("moment", ["soon", "2026-11-23", "2026-11-23T12:00:00"])
def test_a_moment_that_is_none_is_400(bearer, moment):
    assert status(bearer, as_of=moment) == 400


def test_only_a_token_that_may_ask_may_look(bearer):
    assert [status(""), status(door.token("read")), status("hf_nonsense"), status(bearer)] == [401, 403, 401, 200]
