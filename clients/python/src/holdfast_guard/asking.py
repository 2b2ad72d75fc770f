"""One question, from the view that we hold to the service's answer or the declared one. There is always a verdict, within the time.

The order: what we know to be contained is refused without asking; then the service is asked, again while there is time and no answer; then
what was declared counts, and is kept to be told.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from holdfast_guard import wire
from holdfast_guard.breaker import Breaker
from holdfast_guard.declared import Declared
from holdfast_guard.journal import Journal
from holdfast_guard.plain import encoded
from holdfast_guard.transport import Transport
from holdfast_guard.view import View
from holdfast_guard.words import CLIENT, DECLARED, VIEW, Subject, Verdict, now_text

log = logging.getLogger("holdfast_guard")

FIRST_PAUSE_S = 0.05

CONTAINED = "This was stopped: what the agent may do is being looked at. A person decides how it goes on."
CLOSED = "This cannot be done now: the check before it does not answer. Nothing was done; try again in a moment."
UNSAYABLE = "This cannot be done: what it would be done with cannot be said exactly, so it cannot be checked. Nothing was done."
UNKEPT = "This cannot be done now: the check before it does not answer, and no note of it could be kept. Nothing was done."


class Asker:
    def __init__(
        self,
        transport: Transport,
        view: View,
        journal: Journal,
        breaker: Breaker,
        *,
        declared: Declared,
        budget_s: float,
        supported: Sequence[str],
    ) -> None:
        self.transport, self.view, self.journal, self.breaker = transport, view, journal, breaker
        self.declared, self.budget_s, self.supported = declared, budget_s, tuple(supported)

    async def verdict(
        self, body: Mapping[str, Any], *, request_id: str, subject: Subject, session: str, tool: str, writes: bool
    ) -> Verdict:
        if known := self.view.refuses(subject, session):
            return self._unasked(body, request_id, decision=False, mode="contained", reason=known.reason, why=known.because)
        answer, why = await self._ask(body, request_id)
        if answer is not None:
            return answer
        if known := self.view.refuses(subject, session):  # it may have become so while we waited
            return self._unasked(body, request_id, decision=False, mode="contained", reason=known.reason, why=known.because)
        opened = self.declared.opens(tool, writes) and not self.view.restricts(subject, session)
        return self._unasked(body, request_id, decision=opened, mode="open" if opened else "closed", reason="guard_unavailable", why=why)

    def unsayable(self, body: Mapping[str, Any], request_id: str, why: str) -> Verdict:
        """What the guard would see is not what would be done: a no, which is told."""
        refused = self._unasked(body, request_id, decision=False, mode="closed", reason="arguments_unsayable", why=why)
        return replace(refused, said_by=CLIENT, for_user=UNSAYABLE)

    async def _ask(self, body: Mapping[str, Any], request_id: str) -> tuple[Verdict | None, str]:
        """The verdict, or None and why there is none. The same request id with every try, so that all of them get one verdict."""
        ends, pause, why = time.monotonic() + self.budget_s, FIRST_PAUSE_S, "the guard did not answer lately, and was not asked again"
        if not self.breaker.admits(time.monotonic()):
            return None, why
        sent = wire.asked(body, request_id)
        try:
            while (left := ends - time.monotonic()) > 0:
                got = await self.transport.send(sent, seconds=left)
                verdict = self._read(got, body, request_id)
                if verdict is not None:
                    self.breaker.answered()
                    return verdict, ""
                why = got.failure or f"the guard answered {got.status}, which is no answer"
                wait = max(pause, got.retry_after or 0.0) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
                if time.monotonic() + wait >= ends:
                    break
                await asyncio.sleep(wait)
                pause *= 2
        except BaseException:  # cancelled, or whatever else: the next one may try
            self.breaker.gave_up()
            raise
        self.breaker.failed(time.monotonic())
        return None, why

    def _read(self, got: wire.Got, body: Mapping[str, Any], request_id: str) -> Verdict | None:
        """An answer over which its reader falls is no answer."""
        try:
            return wire.verdict_of(got, body, request_id, self.supported)
        except Exception as error:
            log.warning("The guard's answer could not be read: %s", type(error).__name__)
            return None

    def _unasked(self, body: Mapping[str, Any], request_id: str, *, decision: bool, mode: str, reason: str, why: str) -> Verdict:
        """Kept first, and done only if it could be kept: what nobody was asked about must not go untold."""
        item = {"unasked": True, "request": bounded(body), "decision": decision, "mode": mode, "at": now_text()}
        kept = self.journal.keep(item if decision else {**item, "outcome": "not_done"}, request=request_id if decision else "")
        told = CONTAINED if mode == "contained" else CLOSED
        if decision and not kept:
            decision, reason, told = False, "guard_unavailable", UNKEPT
        return Verdict(
            decision=decision,
            reason=reason,
            said_by=VIEW if mode == "contained" else DECLARED,
            request_id=request_id,
            verdict="allow" if decision else "deny",
            for_user="" if decision else told,
            for_admin=why,
            request=body,
        )


def bounded(body: Mapping[str, Any]) -> dict[str, Any]:
    """A question as it is kept. Arguments that are very long are left out, and that is said."""
    kept = dict(body)
    if len(encoded(kept)) <= wire.MOST_KEPT:
        return kept
    action = dict(kept["action"])
    properties = dict(action.get("properties") or {})
    left_out = len(encoded(properties.pop("arguments", {})))
    action["properties"] = {**properties, "arguments": {"_left_out_bytes": left_out}}
    return {**{name: kept[name] for name in ("subject", "resource") if name in kept}, "action": action, "context": _short(kept)}


def _short(body: Mapping[str, Any]) -> dict[str, Any]:
    """Of a long context, what says whose call it was."""
    context = body.get("context") or {}
    named = ("request_id", "session", "environment", "tenant", "role", "workflow")
    return {name: context[name] for name in named if isinstance(context.get(name), str) and len(context[name]) <= 1000}
