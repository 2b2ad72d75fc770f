"""The lines by which an agent connects, ready to copy. Whatever a name contains, it stays inside its quotes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from console.views_of.guard import VERDICTS
from containment.models import Identity, WorkDocument
from guard import connect, wheel
from guard.connect import Connection, Progress

USUAL_TOOL = "mail.read"
LONGEST_SESSION_S = 3600
PATTERN = frozenset("*?[")
INTENT_FILE = "holdfast-intent.json"
SERVER = "YOUR-MCP-SERVER"


@dataclass(frozen=True, slots=True)
class Ways:
    """`session`: how the first session will be called. `tool`: what the lines ask about."""

    install: str
    python: str
    proxy: str
    curl: str
    session: str
    tool: str


@dataclass(frozen=True, slots=True)
class First:
    """How far an agent has come, in words."""

    session: str
    session_url: str
    call: str
    call_url: str
    tone: str
    over: bool

    @property
    def waits(self) -> bool:
        return not self.call


def ways(made: Connection, profile: WorkDocument | None) -> Ways:
    token, identity = made.text, made.identity
    session = f"first-{str(made.token.pk)[-6:]}"
    tool = _tool_of(profile)
    intent, life = ({"profile": profile.name} if profile else {}), _life(profile)
    return Ways(
        install=f"pip install {shlex.quote(f'{settings.ORIGIN}/connect/{wheel.name()}')}",
        python=_python(token, identity, session, intent, life, tool),
        proxy=_proxy(token, identity, session, intent, life, _reads(profile)),
        curl=_curl(token, identity, session, intent, life, tool),
        session=session,
        tool=tool,
    )


def first(found: Progress, now: Any) -> First:
    call = found.call
    return First(
        session=found.session.external_id if found.session else "",
        session_url=f"/sessions/{found.session.pk}/" if found.session else "",
        call=f"{call.tool or call.action}, {VERDICTS[call.verdict].lower()}, {_ago((now - call.asked_at).total_seconds())}" if call else "",
        call_url=f"/guard/calls/{call.pk}/" if call else "",
        tone={"allow": "ok", "deny": "hot", "hold": "warn"}[call.verdict] if call else "",
        over=found.refused,
    )


def _python(token: str, identity: Identity, session: str, intent: Mapping[str, Any], life: int, tool: str) -> str:
    lines = [
        "from holdfast_guard import Guard",
        f"guard = Guard({_quoted(settings.ORIGIN)}, {_quoted(token)}, subject={_quoted(_subject(identity))})",
    ]
    if intent:
        lines.append(f"guard.register({_quoted(session)}, intent={_quoted(intent)}, ttl_seconds={life})")
    return "\n".join([*lines, f"print(guard.evaluate({_quoted(tool)}, writes=False))"])


def _proxy(token: str, identity: Identity, session: str, intent: Mapping[str, Any], life: int, reads: Sequence[str]) -> str:
    """The token has no option: others can read a command line."""
    said = [f"--guard {shlex.quote(settings.ORIGIN)}", f"--subject {shlex.quote(identity.subject)}"]
    said += [f"--provider {shlex.quote(identity.provider)}"] if identity.provider != connect.PROVIDER else []
    said += [f"--session {session} --intent {INTENT_FILE} --ttl {life}"] if intent else []
    said += [f"--reads {shlex.quote(name)}" for name in reads]  # a server seldom says so, and what nobody says counts as a write
    lines = [f"export HOLDFAST_TOKEN={shlex.quote(token)}"]
    lines += [f"printf %s {shlex.quote(json.dumps(intent))} > {INTENT_FILE}"] if intent else []
    return "\n".join([*lines, f"holdfast-guard mcp-proxy {' '.join(said)} -- {SERVER}"])


def _curl(token: str, identity: Identity, session: str, intent: Mapping[str, Any], life: int, tool: str) -> str:
    named = {"kind": identity.kind, "provider": identity.provider, "subject": identity.subject}
    asked = {
        "subject": {"type": "agent", "id": identity.subject, "properties": {"provider": identity.provider}},
        "action": {"name": "data.read", "properties": {"tool": tool}},
        "resource": {"type": "tool", "id": tool},
        **({"context": {"session": session}} if intent else {}),
    }
    calls = [("/access/v1/evaluation", asked)]
    if intent:
        calls.insert(0, ("/api/v1/sessions", {"identity": named, "id": session, "intent": intent, "ttl_seconds": life}))
    head = f"-H {shlex.quote(f'Authorization: Bearer {token}')} -H 'Content-Type: application/json'"
    return "\n".join(f"curl -sS {shlex.quote(settings.ORIGIN + path)} {head} -d {shlex.quote(json.dumps(body))}" for path, body in calls)


def _subject(identity: Identity) -> Any:
    """A name alone is at home with us; any other agent is named with its provider."""
    return identity.subject if identity.provider == connect.PROVIDER else {"id": identity.subject, "provider": identity.provider}


def _quoted(value: Any) -> str:
    """What JSON and Python write alike; nothing invisible gets through."""
    return json.dumps(value, ensure_ascii=True)


def _tool_of(profile: WorkDocument | None) -> str:
    """A tool of the profile that only reads, so that the first call does nothing."""
    tools = profile.body.get("tools", ()) if profile else ()
    named = [tool for tool in tools if not PATTERN & set(tool["name"])]
    return next((str(tool["name"]) for tool in [*(one for one in named if not one.get("writes")), *named]), USUAL_TOOL)


def _reads(profile: WorkDocument | None) -> list[str]:
    return [str(tool["name"]) for tool in (profile.body.get("tools", ()) if profile else ()) if not tool.get("writes")]


def _life(profile: WorkDocument | None) -> int:
    minutes = profile.body.get("ttl_minutes") if profile else None
    return min(int(minutes) * 60, LONGEST_SESSION_S) if minutes else LONGEST_SESSION_S


def _ago(seconds: float) -> str:
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms ago"
    if seconds < 120:
        return f"{round(seconds)} s ago"
    return f"{round(seconds / 60)} min ago"
