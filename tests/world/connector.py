"""Acts on the world over HTTP, and gives no answer more time, or more room, than it may take."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from connectors.base import (
    Ability,
    Ambiguous,
    Artefact,
    Busy,
    Effect,
    EffectClass,
    Foreign,
    Measure,
    OnAmbiguous,
    Proof,
    ProofLevel,
    Ready,
    Rejected,
    State,
    Step,
    Unavailable,
)
from tests.plain import NO_TLS
from tests.world.target import CUT, MEASURES

MOST_BYTES = 64 * 1024
NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def _ability(effect: EffectClass) -> Ability:
    return Ability(
        effect=effect,
        on_ambiguous=OnAmbiguous.ASK if effect is EffectClass.BLIND else OnAmbiguous.LOOK,
        inverse="the state before",
        residual=timedelta(0),
        probe="the world's own record" if effect is not EffectClass.BLIND else "none: nothing shows it",
        settle=timedelta(seconds=3),
    )


class WorldConnector:
    """Configured with `url`; `may_act` False never changes anything."""

    name = "world"
    abilities: Mapping[Measure, Ability] = {Measure(measure): _ability(EffectClass(effect)) for effect, measure in MEASURES.items()} | {
        Measure.EVIDENCE_PRESERVE: Ability(
            effect=EffectClass.NATURAL,
            on_ambiguous=OnAmbiguous.LOOK,
            inverse="nothing to undo",
            residual=timedelta(0),
            probe="sealed",
            disruptive=False,
        )
    }

    def __init__(self, *, url: str, may_act: bool = True) -> None:
        self.url, self.may_act = url, may_act
        self._client: tuple[int, httpx.Client] | None = None

    def whoami(self) -> Sequence[str]:
        return ["world-admin"]

    def administrators(self) -> Sequence[str]:
        return ["world-owner"]

    def resolves(self, step: Step) -> Sequence[str]:
        return [step.target.subject]

    def manual(self, step: Step, was: State) -> Sequence[str]:
        return [f"curl -d '{json.dumps({'key': 'by hand', 'to': was.public['state']})}' {self.url}{_path('undo', step)}"]

    def looker(self) -> WorldConnector:
        return WorldConnector(url=self.url, may_act=False)

    def preflight(self, step: Step) -> Ready:
        try:
            self._ask("look", step)
        except Rejected as refused:
            return Ready(can=False, missing=[refused.said], remedy=["the world's owner gives the right back"])
        return Ready(can=True)

    def look(self, step: Step) -> State:
        said = self._ask("look", step)
        return State(contained=said["state"] == CUT, public={"state": said["state"]}, live_sessions=0, account=said["account"])

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        said = self._ask("perform", step, {"key": key}, same_as=was)
        return Effect(changed=bool(said["changed"]), said="cut" if said["changed"] else "it was cut already")

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        if self._is_blind(step):
            return Proof(dead=True, level=ProofLevel.ACKNOWLEDGED, said="the world said OK; nothing else shows it")
        seen = self.look(step)
        if was.account and seen.account != was.account:
            return Proof(dead=False, level=ProofLevel.ACKNOWLEDGED, said=f"another account answered: {seen.account}")
        return Proof(dead=seen.contained, level=ProofLevel.INTROSPECTED, said=f"its record says {seen.public['state']}")

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        before = str(was.public["state"]) if not self._is_blind(step) else "open"
        if not self._is_blind(step):
            seen = self._ask("look", step)
            if seen["account"] != was.account:
                raise Rejected(f"Another account answers than before: {seen['account']} instead of {was.account}.")
            if seen["state"] == before:
                return Effect(changed=False, said=f"it is {before} already")
            if seen["state"] != CUT:
                raise Foreign("Somebody changed it since.", diff={"before": before, "ours": CUT, "now": seen["state"]})
        self._ask("undo", step, {"key": key, "to": before}, same_as=was)
        return Effect(changed=True, said=f"back to {before}")

    def collect(self, step: Step) -> Sequence[Artefact]:
        if step.measure is not Measure.EVIDENCE_PRESERVE:
            return []
        said = self._ask("look", step)
        return [Artefact(name="state.json", media_type="application/json", content=json.dumps(said).encode())]

    # -- the wire

    def _ask(self, call: str, step: Step, body: Mapping[str, Any] | None = None, *, same_as: State | None = None) -> dict[str, Any]:
        acts = call != "look"
        if acts and not self.may_act:
            raise Rejected("This connector only looks.")
        unclear = Ambiguous if acts else Unavailable
        ends = time.monotonic() + step.deadline_s
        try:
            with self._http().stream("POST", _path(call, step), json=dict(body or {}), timeout=step.deadline_s) as answer:
                content = _read(answer, ends)
        except NOTHING_SENT as error:
            raise Unavailable("The world cannot be reached.") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise unclear(f"The world did not answer properly in time ({type(error).__name__}).") from error
        if answer.status_code in {429, 503}:
            raise Busy("The world is busy.", retry_after=_seconds(answer.headers.get("Retry-After")))
        if answer.status_code in {401, 403}:
            raise Rejected("The world no longer lets us.")
        said = _json(content)
        if answer.status_code == 409:
            raise Foreign("Somebody changed it since.", diff={"before": (body or {}).get("to"), "ours": CUT, "now": said.get("state")})
        if answer.status_code != 200 or "account" not in said:
            raise unclear(f"The world answered {answer.status_code}, and nothing that says what became of it.")
        return said

    def _http(self) -> httpx.Client:
        """One per process: a fork must not share its parent's sockets."""
        if self._client is None or self._client[0] != os.getpid():
            self._client = (os.getpid(), httpx.Client(base_url=self.url, verify=NO_TLS, trust_env=False))
        return self._client[1]

    def _is_blind(self, step: Step) -> bool:
        return self.abilities[step.measure].effect is EffectClass.BLIND


def _path(call: str, step: Step) -> str:
    return f"/{call}/{step.measure}/{quote(step.target.subject, safe='')}"


def _read(answer: httpx.Response, ends: float) -> bytes:
    """Not more than it may be, and not longer than it may take, however little arrives each time."""
    content = b""
    for piece in answer.iter_raw():
        content += piece
        if len(content) > MOST_BYTES:
            raise httpx.ReadError("an answer without end")
        if time.monotonic() > ends:
            raise TimeoutError
    return content


def _json(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(said: str | None) -> float | None:
    """What Retry-After asks for: seconds or a date. Nonsense asks for nothing."""
    if said is None:
        return None
    try:
        found = float(said)
    except ValueError:
        try:
            found = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(found, 0.0), 900.0) if found == found else None
