"""Connecting an agent: who may, what the token can do, and that the lines on the page do what they say when they are pasted."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import Person, ServiceToken
from audit import clock
from audit.models import AuditEntry
from containment.models import Identity, Session
from guard import wheel
from guard.models import GuardCall
from tests import cast, make
from tests.console.doors import signed_in, words
from tests.flows.test_session_use import profile

pytestmark = pytest.mark.django_db(transaction=True)

NASTY = "o'brien\"; touch pwned #$(touch pwned)\u202e"


def connected(client: Client, **said: Any) -> Any:
    return client.post("/connect/", {"name": "invoice-agent", "agent": "", "profile": "", "life": "7"} | said)


def token_on(page: Any) -> str:
    found = re.search(r'<copy-text data-label="the token">(hf_\w+)</copy-text>', page.content.decode())
    assert found
    return found[1]


def lines_on(page: Any, what: str) -> str:
    found = re.search(rf'<pre tabindex="0" aria-label="{what}">(.*?)</pre>', page.content.decode(), re.DOTALL)
    assert found, what
    return html.unescape(found[1])


def first_on(page: Any) -> str:
    found = re.search(r'hx-get="(/connect/[^"]+)"', page.content.decode())
    assert found
    return found[1]


@pytest.mark.parametrize("name", ["ines", "mara", "wren"])
def test_whoever_may_not_connect_agents_is_told_who_could(name):
    client = signed_in(name)
    page = words(client.get("/connect/"))
    assert "Connecting agents is for an engineer or an admin" in page
    assert "Make the token" not in page
    assert connected(client).status_code == 422
    assert not ServiceToken.objects.exists()
    assert not Identity.objects.exists()


def test_a_new_agent_is_listed_owned_and_has_a_token_that_can_only_ask():
    page = connected(signed_in("enzo"), life="1")
    enzo = Person.objects.get(username="enzo")
    agent = Identity.objects.get(provider="holdfast", subject="invoice-agent")
    assert (agent.kind, agent.owner, agent.discovered_at) == ("ai_agent", enzo, None)
    token = tokens.find(token_on(page))
    assert (token.name, token.owner, token.scopes) == ("invoice-agent", enzo, ["guard.ask", "sessions.write"])
    assert token.speaks_for == str(agent.ref)
    assert token.expires_at - clock.now() <= timedelta(days=1)
    assert list(AuditEntry.objects.order_by("seq").values_list("verb", flat=True))[-3:] == [
        "identity.listed",
        "token.issued",
        "agent.connected",
    ]
    assert token_on(page) not in "".join(AuditEntry.objects.values_list("body", flat=True))
    assert f"only for {agent}" in words(signed_in("ada").get("/access/tokens/"))


def test_the_token_is_shown_once_and_its_page_is_kept_by_nobody():
    client = signed_in("enzo")
    page = connected(client)
    assert "no-store" in page["Cache-Control"]
    assert token_on(page) not in client.get("/connect/").content.decode()
    assert token_on(page) not in client.get(first_on(page)).content.decode()


def test_the_name_of_a_known_agent_is_that_agent():
    known = make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    connected(signed_in("ada"))
    assert Identity.objects.get() == known


@pytest.mark.parametrize("name", ["", " ", "two words", "<b>", "x" * 101, "späher", "a\u202eb"])
def test_a_name_that_is_none_is_refused_with_a_sentence(name):
    page = connected(signed_in("enzo"), name=name)
    assert page.status_code == 422
    assert "such as invoice-agent" in words(page)
    assert not ServiceToken.objects.exists()


def test_only_an_agent_can_be_connected():
    for other in (make.identity("etl_reader"), make.identity("gone", provider="holdfast", kind="ai_agent", merged_into=make.identity("x"))):
        page = connected(signed_in("enzo"), name="", agent=str(other.pk))
        assert (page.status_code, "Pick an agent" in words(page)) == (422, True)


def test_a_name_stays_inside_its_quotes_in_every_line():
    agent = make.identity(NASTY, provider="okta", kind="ai_agent")
    page = connected(signed_in("enzo"), name="", agent=str(agent.pk))
    python = lines_on(page, "The Python lines")
    assert "\u202e" not in python + lines_on(page, "The curl lines")
    guard = next(node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Guard")
    assert ast.literal_eval(guard.keywords[0].value) == {"id": NASTY, "provider": "okta"}
    spoken = ["sh", "-c", lines_on(page, "The curl lines").replace("curl ", "printf '%s\\n' ")]
    asked = subprocess.run(spoken, capture_output=True, text=True, check=True).stdout
    assert json.loads(asked.splitlines()[-1])["subject"]["id"] == NASTY
    assert not Path("pwned").exists()


def test_the_page_waits_and_lights_up_with_the_first_call_of_this_agent():
    client = signed_in("enzo")
    other = make.identity("other", provider="holdfast", kind="ai_agent")
    page = connected(client)
    agent = Identity.objects.get(subject="invoice-agent")
    owner = ServiceToken.objects.get().owner_id
    _called(other, str(owner))
    _called(agent, "somebody-else")
    assert "Waiting for the first call" in words(client.get(first_on(page)))
    call = _called(agent, str(owner))
    found = client.get(first_on(page))
    assert re.search(r"First call: mail.read, allowed, \d+ m?s ago", words(found))
    assert f"/guard/calls/{call.pk}/" in found.content.decode()
    assert "hx-get" not in found.content.decode(), "it has seen what it waited for"


def test_only_its_owner_follows_a_token_and_a_dead_one_says_so():
    client = signed_in("enzo")
    page = connected(client)
    assert signed_in("ada").get(first_on(page)).status_code == 404
    tokens.revoke(ServiceToken.objects.get().pk, actor=cast.person("ada"))
    assert "ended before a first call" in words(client.get(first_on(page)))


def test_the_package_is_a_wheel_of_what_stands_in_the_source():
    answer = Client().get(f"/connect/{wheel.name()}")
    assert answer.status_code == 200
    with zipfile.ZipFile(BytesIO(answer.content)) as packed:
        assert packed.read("holdfast_guard/guard.py") == (wheel.SOURCE / "src" / "holdfast_guard" / "guard.py").read_bytes()
        assert not [name for name in packed.namelist() if "__pycache__" in name or name.startswith(("/", ".."))]
    assert Client().get("/connect/holdfast_guard-9.9.9-py3-none-any.whl").status_code == 404


def test_the_lines_do_what_they_say_when_they_are_pasted(live_server, settings, tmp_path):
    settings.ORIGIN = live_server.url
    make.house()
    profile()
    client = signed_in("enzo")
    page = connected(client, profile="invoices")
    install = lines_on(page, "The command that installs the client").split()
    assert install[:2] == ["pip", "install"]
    _installed(*install[2:], folder=tmp_path)
    (tmp_path / "agent.py").write_text(lines_on(page, "The Python lines"))
    assert re.fullmatch(r"Verdict\(decision=True, [^\n]*\n", _run([sys.executable, "agent.py"], tmp_path)), "one line, and no noise"
    call = GuardCall.objects.get()
    session = Session.objects.get()
    assert (call.tool, call.verdict, call.session) == ("ledger.read", "allow", session.pk)
    assert session.intent["profile"] == "invoices"
    assert "First call: ledger.read, allowed" in words(client.get(first_on(page)))

    answers = _run(["sh", "-c", lines_on(page, "The curl lines")], tmp_path)
    assert '"decision": true' in answers.replace('"decision":true', '"decision": true')
    assert GuardCall.objects.filter(verdict="allow", session=session.pk).count() == 2


def test_the_proxy_line_stands_before_a_real_server(live_server, settings, tmp_path):
    settings.ORIGIN = live_server.url
    make.house()
    profile("clock", tools=[{"name": "get_current_time", "writes": False}])
    page = connected(signed_in("enzo"), profile="clock")
    _installed(lines_on(page, "The command that installs the client").split()[2], folder=tmp_path)
    lines = lines_on(page, "The command line of the proxy").replace("YOUR-MCP-SERVER", "mcp-server-time")
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    asked = {"name": "get_current_time", "arguments": {"timezone": "Europe/Zurich"}}
    messages: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": asked},
    ]
    answers = _spoken(["sh", "-c", lines], messages, tmp_path, until=2)
    assert "result" in answers[2], list(GuardCall.objects.values("because", "tool"))
    assert not answers[2]["result"].get("isError"), answers[2]
    assert GuardCall.objects.filter(tool="get_current_time", verdict="allow").exists()


def _called(who: Identity, principal: str) -> GuardCall:
    now = clock.now()
    return GuardCall.objects.create(
        asked_at=now,
        principal=principal,
        question="sha256:0",
        identity=who.pk,
        action="data.read",
        tool="mail.read",
        verdict="allow",
        reason="allowed",
        policy_version=1,
        expires_at=now,
    )


def _environment(folder: Path) -> dict[str, str]:
    """As on somebody's machine: nothing of ours but what was installed."""
    kit, ours = folder / "kit", Path(sys.executable).parent
    return {"PATH": f"{kit / 'bin'}:{ours}:{os.environ['PATH']}", "PYTHONPATH": str(kit), "HOME": str(folder), "NO_PROXY": "*"}


def _installed(*what: str, folder: Path) -> None:
    """By pip, beside the libraries that are here already."""
    _run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(folder / "kit"), *what], folder)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Task was destroyed" not in done.stderr
    return done.stdout


def _spoken(command: list[str], messages: list[dict[str, Any]], folder: Path, *, until: int) -> dict[int, dict[str, Any]]:
    """Say them, one a line, and read until the answer to the message `until` has come."""
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    answers: dict[int, dict[str, Any]] = {}
    with subprocess.Popen(command, cwd=folder, env=_environment(folder), text=True, **piped) as process:  # type: ignore[call-overload]
        try:
            for message in messages:
                process.stdin.write(json.dumps(message) + "\n")
                process.stdin.flush()
            while until not in answers and (line := process.stdout.readline()):
                said = json.loads(line)
                if "id" in said:
                    answers[said["id"]] = said
        finally:
            process.stdin.close()
            process.wait(20)
    return answers
