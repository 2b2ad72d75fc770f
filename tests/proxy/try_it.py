"""The proxy tried by hand, step by step, against a running trial: `python -m tests.proxy.try_it --access .holdfast/access.json STEP`.

rules: the policy says what the agent git-agent may do · talk: a real client works in a repository through the proxy and mcp-server-git ·
stop: a call under way is ended by a containment. What each prints is what a client was told. docs/howto/mcp-proxy.md goes through them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.proxy.talk import SLOW, command, environment

AGENT = "git-agent"
HEAD = "\nscope:\n  rules:\n"
RULES = """\
    - {name: commits are asked about, who: {id: "git-agent*"}, may_if_approved: "tool:git_commit"}
    - {name: no branches, who: {id: "git-agent*"}, may_not: ["tool:git_create_branch", "tool:git_checkout"], because: it has one}
    - {name: the rest of git, who: {id: "git-agent*"}, may: ["tool:git_*", "tool:sleep"]}
"""


class Access:
    """What access.json says, and people who sign in with it."""

    def __init__(self, path: Path) -> None:
        said = json.loads(path.read_text())
        self.url, self.users, self.tokens = said["url"], said["users"], said["tokens"]

    def person(self, name: str) -> httpx.Client:
        client = httpx.Client(base_url=self.url, follow_redirects=True, headers={"referer": f"{self.url}/"})
        page = client.get("/accounts/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        user = self.users[name]
        client.post("/accounts/login/", data={"csrfmiddlewaretoken": token[1], "login": user["username"], "password": user["password"]})
        client.headers["x-csrftoken"] = next(value for name, value in client.cookies.items() if "csrf" in name)
        return client

    def program(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.tokens[token]}"})

    def env(self, state: Path, agent: str) -> dict[str, str]:
        return environment(self.url, state, HOLDFAST_TOKEN=self.tokens["guard"], HOLDFAST_SUBJECT=agent)


def said(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        sys.exit(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}")
    return answer.json()


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def rules(access: Access) -> None:
    """An engineer drafts, two managers approve: nobody alone makes a policy tighter."""
    engineer = access.person("engineer")
    in_force = said(engineer.get("/api/v1/policies", params={"state": "in_force"}))["results"][0]
    text = said(engineer.get(f"/api/v1/policies/{in_force['id']}"))["text"]
    if RULES in text:
        tell(f"the rules stand in version {in_force['version']}, which is in force")
        return
    before, rest = text.split(HEAD, 1) if HEAD in text else (text, "")
    drafted = said(engineer.post("/api/v1/policies", json={"text": before + HEAD + RULES + rest}))  # the first rule that fits counts
    for name in ("manager", "manager2"):
        body = {"digest": drafted["digest"], "acknowledged": True}
        told = said(access.person(name).post(f"/api/v1/policies/{drafted['id']}/approve", json=body))
        tell(f"{name} approved version {told['version']}: {told['state']}")
        if told["state"] == "in_force":
            return


async def talk(access: Access, answering: str) -> None:
    """A person answers in the browser; with --as PERSON, through the API as that person."""
    with tempfile.TemporaryDirectory() as place:
        repository = _repository(Path(place))
        asked = {"repo_path": str(repository)}
        async with _client(access, ("mcp-server-git", "-r", str(repository)), "--reads", "git_status", "--reads", "git_log") as client:
            tell("tools shown: " + ", ".join(tool.name for tool in (await client.list_tools()).tools))
            await _say(client, "git_status", asked)
            await _say(client, "git_add", {**asked, "files": ["a.txt"]})
            await _say(client, "git_create_branch", {**asked, "branch_name": "other"})
            commit = {**asked, "message": "a first commit"}
            held = await _say(client, "git_commit", commit)
            if answering:
                tell(f"{answering} answers: {_answer(access, answering, held)}")
            else:
                tell(f"a person answers at {access.url}/")
            while held is not None and held.get("reason") == "approval_required":
                await asyncio.sleep(3)
                held = await _say(client, "git_commit", commit)
            await _say(client, "git_log", asked)


async def stop(access: Access) -> None:
    """While a call is under way, a detector reports that the agent read a secret. Another agent each time: this one stays contained."""
    agent = f"{AGENT}-{datetime.now(UTC):%H%M%S}"
    with tempfile.TemporaryDirectory() as place:
        mark, intent = Path(place) / "mark", Path(place) / "intent.json"
        intent.write_text("{}")
        options = ("--system", "slow", "--session", f"{agent}-1", "--intent", str(intent))
        async with _client(access, SLOW, *options, agent=agent) as client:
            call = asyncio.create_task(_say(client, "sleep", {"seconds": 600, "mark": str(mark)}))
            while not mark.exists() and not call.done():
                await asyncio.sleep(0.05)
            decided = said(access.program("detections").post("/api/v1/detections", json=_detection(agent)))["decision"]
            decided_at = asyncio.get_running_loop().time()
            tell(f"a detector reports a secret read: {decided['verdict']} {decided['stage']}, risk {decided['risk']}")
            await asyncio.wait_for(call, 60)
            tell(f"{asyncio.get_running_loop().time() - decided_at:.1f} s after the decision the call was over")
            tell(f"tools shown: {[tool.name for tool in (await client.list_tools()).tools]}")
            await _say(client, "note", {"text": "x"})
            await asyncio.sleep(1)
            tell(f"what the server did: {mark.read_text()}")


@asynccontextmanager
async def _client(access: Access, server: tuple[str, ...], *options: str, agent: str = AGENT) -> AsyncIterator[Client]:
    with tempfile.TemporaryDirectory() as state:
        program, *args = command(server, "--answer-within", "10", *options)  # a trial shares its machine with much else
        process = StdioServerParameters(command=program, args=args, env=access.env(Path(state), agent))
        async with Client(stdio_client(process)) as client:
            yield client


async def _say(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """None when it was done; else what the denial carries."""
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as no:
        data = no.data if isinstance(no.data, dict) else {}
        task = f", task {data['task']['id']}, again in {data['retry_after']} s" if "task" in data and "retry_after" in data else ""
        tell(f"{tool}: {no.code} {data.get('reason')}: {no}{task}")
        return data
    tell(f"{tool}: done: {str(getattr(result.content[0], 'text', ''))[:100]!r}")
    return None


def _answer(access: Access, name: str, held: dict[str, Any] | None) -> str:
    person = access.person(name)
    for hold in said(person.get("/api/v1/holds", params={"state": "open"}))["results"]:
        if hold["title"].startswith("git_commit"):
            body = {"word": "approve", "plan_digest": hold["plan_digest"], "reason": "the commit is as agreed"}
            said(person.post(f"/api/v1/holds/{hold['id']}/answer", json=body))
            return str(said(person.get(f"/api/v1/holds/{hold['id']}"))["state"])
    return f"nothing of {held} waits"


def _repository(place: Path) -> Path:
    (place / "a.txt").write_text("one line\n")
    for words in (["init", "-q"], ["config", "user.email", "agent@example.com"], ["config", "user.name", "An agent"]):
        subprocess.run(["git", "-C", str(place), *words], check=True)
    return place


def _detection(agent: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "external_id": f"try-it-{now}",
        "occurred_at": now,
        "title": "An agent read a secret outside its task",
        "severity": "critical",
        "confidence": 0.95,
        "claims": ["unexpected_secret_read"],
        "identity": {"kind": "ai_agent", "provider": "holdfast", "subject": agent},
        "action": {"name": "secret.read"},
        "resource": {"kind": "table", "id": "vault.card_tokens"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["rules", "talk", "stop"])
    parser.add_argument("--access", type=Path, default=Path(".holdfast/access.json"))
    parser.add_argument("--as", dest="answering", default="", metavar="PERSON")
    options = parser.parse_args()
    access = Access(options.access)
    match options.step:
        case "rules":
            rules(access)
        case "talk":
            asyncio.run(talk(access, options.answering))
        case _:
            asyncio.run(stop(access))


if __name__ == "__main__":
    main()
