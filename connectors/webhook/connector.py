"""Tells a receiver by a signed POST, and carries out what the receiver offers to do for us.

`notify` is always there. Further measures are offered by configuration, with the declarations that every measure needs; for those the
receiver is asked with the same message, whose `type` says what is wanted: holdfast.look, holdfast.perform or holdfast.undo. The message's
id is the key of the attempt, so a receiver that remembers ids, as Standard Webhooks asks of it, does everything once.

A receiver that says OK has only said so: its word proves nothing. With `introspects`, its answers to look are taken for the target's own
record.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from connectors.base import (
    Ability,
    Ambiguous,
    Artefact,
    Busy,
    Effect,
    EffectClass,
    Foreign,
    LockedOut,
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
from connectors.webhook import egress, signature
from connectors.webhook.egress import Answer

LONGEST_SAYING = 200
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 900.0
BUSY = {408, 425, 429, 503}
FOR_ALL = {429, 503}  # about us, or about the receiver; the others are about one message
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")

NOTIFY = Ability(
    effect=EffectClass.KEYED,
    on_ambiguous=OnAmbiguous.RETRY,
    inverse="nothing to undo",
    residual=timedelta(0),
    probe="the receiver took the message",
    disruptive=False,
)


class WebhookConnector:
    """Configured with `url` and `secret` (whsec_…). Optional: `private_hosts`, hosts of ours that may be private or plain http;
    `authorities`, a file of certificate authorities; `measures`, measure -> {url, inverse, residual_s, probe, introspects}."""

    name = "webhook"

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        private_hosts: Collection[str] = (),
        authorities: str = "",
        measures: Mapping[str, Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = signature.secret_from(secret)
        self._private_hosts = private_hosts
        self._authorities = authorities
        self._clock = clock
        offered = {Measure(name): offer for name, offer in (measures or {}).items()}
        self._urls = {Measure.NOTIFY: url} | {measure: str(offer.get("url", url)) for measure, offer in offered.items()}
        self._introspects = frozenset(measure for measure, offer in offered.items() if offer.get("introspects"))
        self.abilities: Mapping[Measure, Ability] = {Measure.NOTIFY: NOTIFY} | {
            measure: _offered(measure, offer) for measure, offer in offered.items()
        }

    def whoami(self) -> Sequence[str]:
        return []  # a receiver knows us by our signature, not by an account

    def preflight(self, step: Step) -> Ready:
        """Where it would be sent is checked; nothing is sent."""
        try:
            egress.place(self._url(step), private_hosts=self._private_hosts, seconds=step.deadline_s)
        except Rejected as trouble:
            return Ready(False, missing=[trouble.said], remedy=["Configure another `url`, or name the host in `private_hosts`."])
        return Ready(True)

    def look(self, step: Step) -> State:
        if step.measure is Measure.NOTIFY:
            return State(contained=False, public={})
        answer = self._say("holdfast.look", step, message=str(uuid4()), asking=True)
        return _state(answer)

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        answer = self._say("holdfast.notify" if step.measure is Measure.NOTIFY else "holdfast.perform", step, message=key)
        return _effect(answer, "The receiver took the message.")

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        if step.measure is Measure.NOTIFY:
            return Proof(True, ProofLevel.ACKNOWLEDGED, "The receiver took the message.")
        level = ProofLevel.INTROSPECTED if step.measure in self._introspects else ProofLevel.ACKNOWLEDGED
        for _ in range(2):
            state = self.look(step)
            if not state.contained or state.live_sessions:
                return Proof(False, level, f"The receiver says: not contained, {state.live_sessions or 0} sessions live.")
        return Proof(True, level, "The receiver says that it is contained, twice.")

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        if step.measure is Measure.NOTIFY:
            return Effect(False, "A message that was sent stays sent.")
        answer = self._say("holdfast.undo", step, message=f"{key}-undo", was=dict(was.public))
        return _effect(answer, "The receiver put it back.")

    def collect(self, step: Step) -> Sequence[Artefact]:
        return []

    def door(self, measure: Measure) -> str:
        return urlsplit(self._urls.get(measure, "")).hostname or ""

    def _url(self, step: Step) -> str:
        try:
            return self._urls[step.measure]
        except KeyError:
            raise Rejected(f"The receiver does not offer {step.measure.value}.") from None

    def _say(self, what: str, step: Step, *, message: str, asking: bool = False, **more: Any) -> Answer:
        ends = time.monotonic() + step.deadline_s
        where = egress.place(self._url(step), private_hosts=self._private_hosts, seconds=step.deadline_s)
        target = {
            "provider": step.target.provider,
            "kind": step.target.kind,
            "subject": step.target.subject,
            "session": step.target.session,
        }
        data = {"measure": step.measure.value, "target": target, "parameters": dict(step.parameters), **more}
        at = int(self._clock())
        body = json.dumps({"type": what, "timestamp": datetime.fromtimestamp(at, UTC).isoformat(), "data": data}).encode()
        headers = {
            "content-type": "application/json",
            "user-agent": "holdfast",
            **signature.headers(self._secret, message=message, at=at, body=body),
        }
        try:
            answer = egress.post(where, body, headers, seconds=ends - time.monotonic(), authorities=self._authorities)
        except Ambiguous as trouble:
            raise (Unavailable(trouble.said) if asking else trouble) from trouble
        return _taken(answer, where.host, asking=asking)


def _offered(measure: Measure, offer: Mapping[str, Any]) -> Ability:
    """What is left out stays empty, and the registry refuses it."""
    residual = offer.get("residual_s")
    return Ability(
        effect=EffectClass.KEYED,
        on_ambiguous=OnAmbiguous.RETRY,
        inverse=str(offer.get("inverse", "")),
        residual=timedelta(seconds=float(residual)) if residual is not None else timedelta(seconds=-1),
        probe=str(offer.get("probe", "")),
        disruptive=measure is not Measure.EVIDENCE_PRESERVE,
    )


def _taken(answer: Answer, host: str, *, asking: bool) -> Answer:
    """2xx alone is success. A server that failed may have done it before it failed, unless we only asked."""
    if 200 <= answer.status < 300:
        return answer
    said = f"{host} answered {answer.status}."
    if answer.status in BUSY:
        trouble = Busy if answer.status in FOR_ALL else Unavailable
        raise trouble(said, retry_after=_wait(answer.headers.get("retry-after", "")))
    if answer.status == 409:
        raise Foreign(f"{host} says that somebody else changed it.", diff={"answer": _json(answer)})
    if answer.status in (401, 403):
        raise LockedOut(
            f"{host} answered {answer.status}: it does not accept our own credential, the secret that messages are signed with."
        )
    if answer.status >= 500:
        raise Unavailable(said) if asking else Ambiguous(said)
    raise Rejected(f"{said} Redirects are not followed." if 300 <= answer.status < 400 else said)


def _wait(text: str) -> float | None:
    """Seconds or a date, believed between one second and a quarter of an hour. None if it says nothing that can be read."""
    try:
        seconds = float(text) if NUMBER.fullmatch(text.strip()) else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _json(answer: Answer) -> Mapping[str, Any]:
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(answer: Answer) -> State:
    content = _json(answer)
    contained, public, live = content.get("contained"), content.get("public", {}), content.get("live_sessions")
    if not isinstance(contained, bool) or not isinstance(public, dict) or not (live is None or type(live) is int):
        raise Unavailable("The receiver's answer to look cannot be read.")
    return State(contained=contained, public=public, live_sessions=live, account=str(content.get("account", ""))[:LONGEST_SAYING])


def _effect(answer: Answer, otherwise: str) -> Effect:
    content = _json(answer)
    said, left = content.get("said"), content.get("left")
    return Effect(
        changed=content.get("changed") is not False,
        said=said[:LONGEST_SAYING] if isinstance(said, str) and said else otherwise,
        left=[str(line)[:LONGEST_SAYING] for line in left[:50]] if isinstance(left, list) else [],
    )
