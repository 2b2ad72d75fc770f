"""A scenario's actions, done for real: every call is asked about through the client of this repository, over HTTP, in a registered session.

While the gateway fails, the client talks to a door of our own that fails in that way, and what it answers is what was declared beforehand.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from holdfast_guard.declared import CLOSED, OPEN, READ, WRITE, Declared
from holdfast_guard.guard import Guard
from holdfast_guard.words import Subject, Verdict

from tests.govbench.house import NO_TOOL, House
from tests.govbench.reading import Scenario, User

BUDGET_S = 5.0  # generous: what is tried here is the answer, not the time
SHORT_S = 0.5  # while nobody answers


@dataclass(frozen=True, slots=True)
class Made:
    """One call, and what was said of it."""

    user: User
    tool: str
    agent: str
    verdict: Verdict
    failing: str = ""  # how the gateway failed then

    def fits(self, params: Mapping[str, Any]) -> bool:
        wanted = (("tool", self.tool), ("as_user", self.user.uid), ("agent_name", self.agent), ("tenant", self.user.tenant))
        return all(params.get(name, held) == held for name, held in wanted)


@dataclass(slots=True)
class Play:
    """One scenario under way. `chains`: an agent's name and those who delegated to it, the first of them first."""

    scenario: Scenario
    house: House
    url: str
    token: str
    made: list[Made] = field(default_factory=list)
    chains: dict[str, list[str]] = field(default_factory=dict)
    untold: int = 0
    _failing: str = ""
    _until: float = 0.0
    _sessions: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def act(self) -> None:
        for name, said in self.scenario.actions:
            getattr(self, name)(said)

    # -- the actions

    def direct_tool_call(self, said: Mapping[str, Any]) -> None:
        user, agent = self._user(said), str(said.get("agent_name", ""))
        with self._guard(user, agent) as (guard, failing):
            self._call(guard, user, agent, said, failing)

    def parallel_fan_out(self, said: Mapping[str, Any]) -> None:
        """`count` calls of the same kind at once, or those under `calls`."""
        user, agent = self._user(said), str(said.get("agent_name", ""))
        calls = said.get("calls") or [said] * int(said.get("count", 2))
        with self._guard(user, agent) as (guard, failing), ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(lambda one: self._call(guard, user, agent, one, failing), calls))

    def delegation(self, said: Mapping[str, Any]) -> None:
        """A session of `to_agent`, below that of `from_agent`, for the task and the scopes that it was given and no more."""
        user, giver, taker = self._user(said), str(said["from_agent"]), str(said["to_agent"])
        scopes = frozenset(said.get("delegated_scopes", ()))
        above = self._session(user, giver)
        self.chains.setdefault(giver, [giver])
        self.chains[taker] = [*self.chains[giver], taker]
        given = [tool for tool in self.scenario.tools if user.may_use(tool, scopes)]
        tools = [{"name": tool.name, "writes": tool.writes} for tool in given] or [{"name": NO_TOOL, "writes": False}]
        self._register(user, taker, {"tools": tools, "task": str(said.get("task", ""))}, parent=above)

    def gateway_failure(self, said: Mapping[str, Any]) -> None:
        """It fails from now on. With no seconds it works again from now on."""
        seconds = float(said.get("duration_seconds", 60))
        self._failing, self._until = (str(said["mode"]), time.monotonic() + seconds) if seconds else ("", 0.0)

    def policy_change(self, said: Mapping[str, Any]) -> None:
        self.house.change(self.scenario, said)

    # -- calls and sessions

    def _call(self, guard: Guard, user: User, agent: str, said: Mapping[str, Any], failing: str) -> None:
        tool = str(said["tool"])
        context = {"agent": {"name": agent, "tier": str(said.get("agent_tier", "interactive"))}, "tenant": user.tenant}
        verdict = guard.evaluate(tool, said.get("input", {}), writes=self._writes(tool), context=context)
        self.made.append(Made(user, tool, agent, verdict, failing))
        guard.report(verdict, "done" if verdict.decision else "not_done")

    @contextmanager
    def _guard(self, user: User, agent: str) -> Iterator[tuple[Guard, str]]:
        """A client, and how the gateway that it reaches fails."""
        session, failing = self._session(user, agent), self._mode
        with _failing_door(failing) as door:
            guard = self._client(user, door or self.url, session, SHORT_S if door else BUDGET_S)
            try:
                yield guard, failing
            finally:
                arrived = guard.flush(SHORT_S if door else BUDGET_S)
                self.untold += 0 if door else max(guard.untold, int(not arrived))  # a gateway that fails takes in nothing
                guard.close()

    @property
    def _mode(self) -> str:
        return self._failing if time.monotonic() < self._until else ""

    def _client(self, user: User, url: str, session: str = "", budget_s: float = BUDGET_S) -> Guard:
        kinds = {tool.name: WRITE if tool.writes else READ for tool in self.scenario.tools}
        declared = Declared(reads=CLOSED if user.closed else OPEN, tools=kinds)
        subject = Subject(user.uid, "human", self.house.provider(self.scenario, user))
        return Guard(
            url, self.token, subject=subject, session=session, declared=declared, budget_s=budget_s, asks_people=False, watches=False
        )

    def _session(self, user: User, agent: str) -> str:
        """The agent's own where it was delegated to, or leads; else the one that the user works in directly."""
        own = (user.tenant, user.uid, agent)
        if own not in self._sessions:
            mine = any(name == "delegation" and agent == said["from_agent"] for name, said in self.scenario.actions)
            own = own if mine else (user.tenant, user.uid, "")
        if own not in self._sessions:
            self._register(user, own[2], {})
        return self._sessions[own]

    def _register(self, user: User, agent: str, intent: Mapping[str, Any], *, parent: str = "") -> None:
        """Over the way that works: a session is begun before the gateway fails, or it is not begun."""
        given = [tool for tool in self.scenario.tools if user.may_use(tool)]
        tools = [*({"name": tool.name, "writes": tool.writes} for tool in given), {"name": NO_TOOL, "writes": False}]
        wanted = {
            "profile": self.house.profile(self.scenario, user),
            "tools": tools,
            **{name: held for name, held in intent.items() if held},
        }
        guard = self._client(user, self.url)
        try:
            more: dict[str, Any] = {"parent": parent} if parent else {"ttl_seconds": 1800}  # a delegate's ends with the one it works for
            said = guard.register(agent or "direct", intent=wanted, **more)
        finally:
            guard.close()
        self._sessions[(user.tenant, user.uid, agent)] = str(said["id"])

    def _user(self, said: Mapping[str, Any]) -> User:
        return self.scenario.user(str(said["as_user"]), str(said.get("tenant", "")))

    def _writes(self, name: str) -> bool:
        return any(tool.writes for tool in self.scenario.tools if tool.name == name)


# -- doors that fail -----------------------------------------------------------------------------------------------------------------------


@contextmanager
def _failing_door(mode: str) -> Iterator[str]:
    """An address that fails in this way; none for a gateway that works."""
    if not mode:
        yield ""
    elif mode in ("error_5xx", "malformed"):
        with ThreadingHTTPServer(("127.0.0.1", 0), _broken(mode)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
    elif mode in ("timeout", "connection_refused"):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            if mode == "timeout":
                held.listen(64)  # who connects waits for ever
            yield f"http://127.0.0.1:{held.getsockname()[1]}"
    else:
        raise ValueError(f"nobody here knows how a gateway fails by {mode}")


MALFORMED = itertools.cycle(  # the first is cut off, the others can be read and are no answer; one after the other, whoever asks
    (
        b'{"decision": "yes", ',
        b'{"decision": "yes"}',
        b'{"decision": 1}',
        b'[{"decision": true}]',
        b'{"evaluations": [{"decision": true}]}',
        b'{"decision": true, "context": "allow"}',
        b"true",
    )
)


def _broken(mode: str) -> type[BaseHTTPRequestHandler]:
    class Broken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._say()

        def do_GET(self) -> None:
            self._say()

        def _say(self) -> None:
            body = b'{"decision": true}' if mode == "error_5xx" else next(MALFORMED)
            self.send_response(503 if mode == "error_5xx" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Broken
