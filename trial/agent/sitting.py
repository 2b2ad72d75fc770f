"""The agent's session at Holdfast: registered with what it is for, kept alive, looked at while it may not go on.

A session has one name for its whole life. When its time is over, or it was begun for another task, the next number begins anew. When
others ended it none does: the next number would be a way round their word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from trial.agent.planner import ACCOUNTS
from trial.agent.words import FIRST_SESSION, KIND, PROFILE, PROVIDER, SUBJECT, TOKEN

TASK = f"Read the documents and invoices that come in, book small invoices for payment, and answer {ACCOUNTS} about them."
LIFE = 12 * 3600
LAST_MINUTES = timedelta(minutes=5)
A_SIGN_EVERY = 20.0
MOST_TRIED = 200  # session names
INTENT = {
    "profile": PROFILE,
    "task": TASK,
    "tools": [
        {"name": "documents.list", "writes": False},
        {"name": "documents.read", "writes": False},
        {"name": "invoices.list", "writes": False},
        {"name": "invoices.read", "writes": False},
        {"name": "payments.book", "writes": True},
        {"name": "mail.send", "writes": True},
    ],
    "budgets": {"calls_per_hour": 3600, "writes_per_hour": 60},
}
OVER = ("session_ended", "session_exists", "session_expired")
GONE = "Holdfast says 404"
TIME_WAS_OVER = "its time was over"  # why a session ended that nobody ended


class NotNow(Exception):  # noqa: N818 - worded for the agent's user
    """There is no session to work in at present, and why."""


class Sitting:
    """One session. `state` is what Holdfast said last; "unknown" when it gave no answer that can be read."""

    def __init__(self, client: httpx.AsyncClient, home: Path) -> None:
        self.client = client
        self.home = home
        self.name = FIRST_SESSION
        self.id = ""

    async def begin(self) -> None:
        """Find the session that is under way, or begin the next one."""
        await self._look_whether_it_was_ended()
        number = int(self.name.rpartition("-")[2])
        for following in range(number, number + MOST_TRIED):
            name = f"{FIRST_SESSION.rpartition('-')[0]}-{following}"
            answer = await self._ask("POST", "/api/v1/sessions", _registration(name))
            said = _json(answer)
            if answer.is_success and said.get("state") != "ended":
                if _is_mine(said) and not _is_nearly_over(said):
                    self.name, self.id = name, str(said["id"])
                    return
                await self._ask("DELETE", f"/api/v1/sessions/{said['id']}")
                self.id = ""
            elif not answer.is_success and said.get("code") not in OVER:
                raise NotNow(str(said.get("detail") or f"Holdfast says {answer.status_code}"))
        raise NotNow("Every session that I may begin has ended.")

    async def _look_whether_it_was_ended(self) -> None:
        """One that others ended stays the agent's only one until a person opens it, or the agent is started anew."""
        state, why = await self.state() if self.id else ("", "")
        if state == "ended" and why != TIME_WAS_OVER:
            raise NotNow(f"My session {self.name} was ended ({why or 'no reason given'}). I begin no other one until a person opens it.")
        if state == "unknown" and why != GONE:
            raise NotNow(why)

    async def state(self) -> tuple[str, str]:
        """(state, why)."""
        try:
            answer = await self._ask("GET", f"/api/v1/sessions/{self.id}")
        except NotNow as no:
            return "unknown", str(no)
        said = _json(answer)
        if not answer.is_success or "state" not in said:
            return "unknown", f"Holdfast says {answer.status_code}"
        return str(said["state"]), str(said.get("because") or "")

    async def sign_of_life(self) -> None:
        await self._ask("PATCH", f"/api/v1/sessions/{self.id}", {})

    def token(self) -> str:
        """As it stands in its file now: a start may have replaced it."""
        try:
            return str(json.loads((self.home / TOKEN).read_text())["token"])
        except (OSError, ValueError, KeyError) as no:
            raise NotNow("I have no token to show Holdfast.") from no

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            return await self.client.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token()}"})
        except httpx.HTTPError as no:
            raise NotNow(f"Holdfast gives no answer ({type(no).__name__})") from no


def _registration(name: str) -> dict[str, Any]:
    return {
        "identity": {"kind": KIND, "provider": PROVIDER, "subject": SUBJECT},
        "id": name,
        "intent": INTENT,
        "role": "invoice-clerk",
        "workflow": PROFILE,
        "origin": {"address": "127.0.0.1", "application": name},
        "ttl_seconds": LIFE,
    }


def _is_mine(said: Mapping[str, Any]) -> bool:
    """Begun for this task. One that people stopped is kept, whatever it was for: the next number would be a way round their word."""
    return said.get("state") != "active" or said.get("intent", {}).get("task") == TASK


def _is_nearly_over(said: Mapping[str, Any]) -> bool:
    ends = said.get("expires_at")
    return bool(ends) and datetime.fromisoformat(str(ends)) < datetime.now(UTC) + LAST_MINUTES


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
