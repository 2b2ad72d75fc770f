"""The proxy against the service itself: a policy in force, a token, people who answer, a session that is paused, each over HTTP."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from mcp import MCPError

from approvals.models import AccessRequest
from containment.gate import Gate
from containment.models import Session
from guard.models import GuardCall
from tests import cast, make
from tests.access import door
from tests.access.test_requests import said
from tests.browser.conftest import server
from tests.proxy.talk import SLOW, client, environment, in_a_loop

__all__ = ["server"]
PATIENTLY = ("--answer-within", "20")
pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
T = TypeVar("T")

RULES = """
scope:
  rules:
    - {name: commits are asked about, who: {id: git-agent}, may_if_approved: "tool:git_commit"}
    - {name: no branches, who: {id: git-agent}, may_not: "tool:git_create_branch"}
    - {name: the rest, who: {id: git-agent}, may: ["tool:git_*", "tool:sleep", "tool:note"]}
"""


@pytest.fixture
def env(transactional_db: None, server: str, tmp_path: Path) -> dict[str, str]:
    """Of an agent with a session. Enzo's token asks; Ines and Omar answer."""
    make.house()
    door.under(RULES)
    agent = make.identity("git-agent", provider="holdfast", kind="ai_agent")
    make.session(agent, "run-1", registered_by=cast.person("enzo").principal)
    more = {"HOLDFAST_TOKEN": door.token(), "HOLDFAST_SUBJECT": "git-agent", "HOLDFAST_SESSION": "run-1"}
    return environment(server, tmp_path / "state", **more)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    for words in (["user.email", "a@example.com"], ["user.name", "A"]):
        subprocess.run(["git", "-C", str(place), "config", *words], check=True)
    (place / "a.txt").write_text("one line\n")
    return place


async def denial(work: Awaitable[Any]) -> MCPError:
    with pytest.raises(MCPError) as no:
        await work
    return no.value


def beside(work: Callable[..., T], *args: Any) -> Awaitable[T]:
    """What a person does, in a thread with a connection of its own, while the client waits on this one."""

    def within() -> T:
        try:
            return work(*args)
        finally:
            connection.close()

    return sync_to_async(within, thread_sensitive=False)()


def calls() -> list[tuple[str, str, str]]:
    return list(GuardCall.objects.order_by("id").values_list("tool", "verdict", "outcome"))


def pause() -> None:
    session = Session.objects.get()
    Gate().set(str(session.identity_id), "run-1", state="paused", because="it sends mail to strangers", key="k")


async def until(what: Callable[[], bool]) -> None:
    while not await beside(what):
        await asyncio.sleep(0.1)


@in_a_loop
async def test_allowed_denied_held_and_allowed_by_a_person(env: dict[str, str], repository: Path) -> None:
    asked: dict[str, Any] = {"repo_path": str(repository)}
    commit = {**asked, "message": "first"}
    async with client(env, ("mcp-server-git", "-r", str(repository)), "--reads", "git_status", *PATIENTLY) as session:
        assert (await session.call_tool("git_status", asked)).is_error is False
        assert (await session.call_tool("git_add", {**asked, "files": ["a.txt"]})).is_error is False
        assert (await denial(session.call_tool("git_create_branch", {**asked, "branch_name": "b"}))).data["reason"] == "policy_denied"
        held = await denial(session.call_tool("git_commit", commit))
        assert (held.data["reason"], held.data["task"]["status"]) == ("approval_required", "pending")
        answer = await beside(said, "ines", held.data["task"])
        assert answer.status_code == 200
        assert (await session.call_tool("git_commit", commit)).is_error is False
        again = await denial(session.call_tool("git_commit", commit))
        assert again.data["task"]["id"] != held.data["task"]["id"]
    log = subprocess.run(["git", "-C", str(repository), "log", "--format=%s"], capture_output=True, text=True, check=True).stdout
    assert log == "first\n"
    await until(lambda: ("git_commit", "allow", "done") in calls())
    assert [call[:2] for call in await beside(calls)] == [
        ("git_status", "allow"),
        ("git_add", "allow"),
        ("git_create_branch", "deny"),
        ("git_commit", "hold"),
        ("git_commit", "allow"),
        ("git_commit", "hold"),
    ]
    assert await beside(AccessRequest.objects.count) == 2


@in_a_loop
async def test_a_refusal_of_a_person_ends_a_call_that_waits(env: dict[str, str], repository: Path) -> None:
    commit = {"repo_path": str(repository), "message": "first"}
    async with client(env, ("mcp-server-git", "-r", str(repository)), "--wait-for-approval", "60", *PATIENTLY) as session:
        call = asyncio.create_task(session.call_tool("git_commit", commit))
        await until(AccessRequest.objects.exists)
        request = await beside(AccessRequest.objects.get)
        await beside(said, "ines", {"id": f"arq_{request.pk.hex}"}, "reject")
        assert (await denial(call)).data["reason"] == "approval_denied"


@in_a_loop
async def test_a_session_that_is_paused_ends_its_call_under_way(env: dict[str, str], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with client(env, SLOW, *PATIENTLY) as session:
        call = asyncio.create_task(session.call_tool("sleep", {"seconds": 600, "mark": str(mark)}))
        while not mark.exists():
            await asyncio.sleep(0.05)
        await beside(pause)
        assert (await denial(call)).data["reason"] == "session_paused"
        assert (await session.list_tools()).tools == []
    assert mark.read_text() == "cancelled"
    assert await beside(calls) == [("sleep", "allow", "cancelled")]
