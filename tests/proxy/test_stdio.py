"""A real client, the proxy as a process of its own, and servers of other people: what passes, what does not, and who waits for whom."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from tests.proxy.service import Service
from tests.proxy.talk import SLOW, client, environment, in_a_loop

pytestmark = pytest.mark.servers


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    for words in (["init", "-q"], ["config", "user.email", "a@example.com"], ["config", "user.name", "A"]):
        subprocess.run(["git", "-C", str(place), *words] if words[0] != "init" else ["git", *words, str(place)], check=True)
    (place / "a.txt").write_text("one line\n")
    return place


def git(repository: Path) -> tuple[str, ...]:
    return ("mcp-server-git", "-r", str(repository))


def log_of(repository: Path) -> str:
    return subprocess.run(["git", "-C", str(repository), "log", "--oneline"], capture_output=True, text=True, check=False).stdout


def text(result: Any) -> str:
    return str(result.content[0].text)


async def denial(work: Any) -> MCPError:
    with pytest.raises(MCPError) as no:
        await work
    return no.value


@in_a_loop
async def test_reads_and_writes_that_are_allowed_reach_the_server_and_are_told(
    service: Service, env: dict[str, str], repository: Path
) -> None:
    async with client(env, git(repository), "--system", "repo", "--reads", "git_status") as session:
        assert {"git_status", "git_commit"} <= {tool.name for tool in (await session.list_tools()).tools}
        assert "a.txt" in text(await session.call_tool("git_status", {"repo_path": str(repository)}))
        await session.call_tool("git_add", {"repo_path": str(repository), "files": ["a.txt"]})
        await session.call_tool("git_commit", {"repo_path": str(repository), "message": "first"})
    assert "first" in log_of(repository)
    assert [said["resource"] for said in service.asked] == [
        {"type": "tool", "id": name, "properties": {"system": "repo"}} for name in ("git_status", "git_add", "git_commit")
    ]
    assert service.asked[0]["action"]["name"] == "tools/call"
    assert service.asked[0]["action"]["properties"] == {"tool": "git_status", "arguments": {"repo_path": str(repository)}, "writes": False}
    assert service.outcomes() == ["done", "done", "done"]
    assert "a.txt" in service.reports[0]["returned"][0]


@in_a_loop
async def test_a_denied_call_does_not_reach_the_server_and_says_why(service: Service, env: dict[str, str], repository: Path) -> None:
    service.says["git_create_branch"] = "deny"
    asked = {"repo_path": str(repository), "branch_name": "other"}
    async with client(env, git(repository)) as session:
        no = await denial(session.call_tool("git_create_branch", asked))
    assert (no.code, str(no), no.data["reason"]) == (-32001, "This is not allowed here.", "policy_denied")
    assert no.data["evaluation_id"]
    async with client(env, git(repository), "--deny-as-result") as session:
        result = await session.call_tool("git_create_branch", asked)
    assert (result.is_error, text(result)) == (True, "This is not allowed here.")


@in_a_loop
async def test_a_held_call_is_done_once_when_a_person_allows_it_and_it_is_made_again(
    service: Service, env: dict[str, str], repository: Path
) -> None:
    service.says["git_add"] = "hold"
    asked = {"repo_path": str(repository), "files": ["a.txt"]}
    async with client(env, git(repository)) as session:
        first = await denial(session.call_tool("git_add", asked))
        again = await denial(session.call_tool("git_add", asked))
    assert first.data["task"]["id"] == again.data["task"]["id"]
    assert (first.data["reason"], first.data["retry_after"]) == ("approval_required", 15)
    service.answer_people("approved")
    async with client(env, git(repository)) as session:  # another process: the handle outlives the proxy
        assert "staged" in text(await session.call_tool("git_add", asked)).lower()
        assert (await denial(session.call_tool("git_add", asked))).data["task"]["id"] != first.data["task"]["id"]
    approvals = [said["context"].get("approval") for said in service.asked]
    assert approvals == [None, {"id": first.data["task"]["id"]}, {"id": first.data["task"]["id"]}]  # the last is used up
    assert next(sent["Idempotency-Key"] for sent in service.headers if "Idempotency-Key" in sent) == first.data["evaluation_id"]


@in_a_loop
async def test_what_a_person_denied_stays_denied_and_nobody_is_asked_again(service: Service, env: dict[str, str], repository: Path) -> None:
    service.says["git_add"] = "hold"
    asked = {"repo_path": str(repository), "files": ["a.txt"]}
    async with client(env, git(repository)) as session:
        await denial(session.call_tool("git_add", asked))
        service.answer_people("denied")
        for _ in range(2):
            no = await denial(session.call_tool("git_add", asked))
            assert (str(no), no.data["reason"]) == ("A person was asked, and said no.", "approval_denied")
        await denial(session.call_tool("git_add", {**asked, "files": ["."]}))
    assert len(service.tasks) == 2


@in_a_loop
async def test_a_proxy_that_waits_completes_the_call_itself_and_shows_that_it_lives(
    service: Service, env: dict[str, str], repository: Path
) -> None:
    service.says["git_add"] = "hold"
    signs: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        signs.append(message)
        service.answer_people("approved")

    async with client(env, git(repository), "--wait-for-approval", "40") as session:
        asked: dict[str, Any] = {"repo_path": str(repository), "files": ["a.txt"]}
        assert "staged" in text(await session.call_tool("git_add", asked, progress_callback=progress)).lower()
    assert signs == ["A person is asked whether this may be done."]


@in_a_loop
async def test_the_time_server_is_guarded_without_knowing_it(service: Service, env: dict[str, str]) -> None:
    service.says["convert_time"] = "deny"
    async with client(env, ("mcp-server-time", "--local-timezone", "UTC")) as session:
        assert "UTC" in text(await session.call_tool("get_current_time", {"timezone": "UTC"}))
        no = await denial(
            session.call_tool("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Europe/Berlin"})
        )
    assert no.code == -32001


@in_a_loop
async def test_containment_ends_a_call_under_way_and_its_result_is_never_delivered(
    service: Service, env: dict[str, str], tmp_path: Path
) -> None:
    mark, told = tmp_path / "mark", []  # type: ignore[var-annotated]
    async with client(env, SLOW, told=told) as session:
        assert {tool.name for tool in (await session.list_tools()).tools} == {"sleep", "note", "turn", "crash"}
        call = asyncio.create_task(session.call_tool("sleep", {"seconds": 600, "mark": str(mark)}))
        while not mark.exists():
            await asyncio.sleep(0.02)
        service.contain()
        no = await denial(call)
        assert (no.code, no.data["reason"]) == (-32001, "contained")
        assert (await session.list_tools()).tools == []
        assert (await denial(session.call_tool("note", {"text": "x"}))).data["reason"] == "contained"
        assert (await denial(session.list_prompts())).code == -32001
        while mark.read_text() != "cancelled":
            await asyncio.sleep(0.02)
        service.release()
        while len([said for said in told if "ToolListChanged" in type(getattr(said, "root", said)).__name__]) < 2:
            await asyncio.sleep(0.02)
        assert text(await session.call_tool("note", {"text": "x"})) == "noted x"
    assert service.outcomes() == ["cancelled", "done"]


@in_a_loop
async def test_resources_and_prompts_are_gated_by_what_they_are_about(service: Service, env: dict[str, str]) -> None:
    service.says |= {"notes://secret": "deny", "greet": "deny"}
    async with client(env, SLOW) as session:
        assert (await session.read_resource("notes://a")).contents[0].text == "the note a"  # type: ignore[union-attr]
        assert (await denial(session.read_resource("notes://secret"))).code == -32001
        assert (await denial(session.get_prompt("greet", {"name": "A"}))).code == -32001
    assert [(said["action"]["name"], said["resource"]["type"]) for said in service.asked] == [
        ("resources/read", "resource"),
        ("resources/read", "resource"),
        ("prompts/get", "prompt"),
    ]


@in_a_loop
async def test_tools_outside_the_intent_are_not_shown_and_still_asked_about_when_called(service: Service, tmp_path: Path) -> None:
    service.intent, service.says["crash"] = ["no*", {"name": "sleep", "writes": False}], "deny"
    env = environment(service.url, tmp_path, HOLDFAST_SESSION="s-1")
    async with client(env, SLOW) as session:
        assert {tool.name for tool in (await session.list_tools()).tools} == {"note", "sleep"}
        assert (await denial(session.call_tool("crash", {}))).data["reason"] == "policy_denied"
    assert service.asked[0]["context"]["session"] == "s-1"
    async with client(env, SLOW, "--tool", "turn") as session:
        assert [tool.name for tool in (await session.list_tools()).tools] == ["turn"]


@in_a_loop
async def test_a_service_that_is_gone_leaves_declared_reads_open_and_writes_closed(
    service: Service, env: dict[str, str], tmp_path: Path
) -> None:
    journal = str(tmp_path / "journal")
    async with client(env, SLOW, "--reads", "sleep", "--reads-open", "--journal", journal) as session:
        await session.call_tool("note", {"text": "x"})
        service.leave()
        asked = {"seconds": 0, "mark": str(tmp_path / "mark")}
        assert text(await session.call_tool("sleep", asked)) == "a secret that it found meanwhile"
        no = await denial(session.call_tool("note", {"text": "y"}))
        assert (no.code, no.data["reason"], no.data["said_by"]) == (-32603, "guard_unavailable", "declared")
    with Service() as back:
        async with client({**env, "HOLDFAST_URL": back.url}, SLOW, "--journal", journal) as session:
            await session.call_tool("note", {"text": "z"})
            back.until(lambda: len(back.reports) >= 3)
    unasked = [(said["request"]["resource"]["id"], said["decision"], said["mode"]) for said in back.reports if said.get("unasked")]
    assert ("sleep", True, "open") in unasked
    assert ("note", False, "closed") in unasked


@in_a_loop
async def test_a_server_that_dies_is_said_to_have_died(service: Service, env: dict[str, str]) -> None:
    async with client(env, SLOW) as session:
        no = await denial(session.call_tool("crash", {}))
    assert (no.code, no.data) == (-32603, {"reason": "server_gone"})
    assert service.outcomes() == ["cancelled"]
