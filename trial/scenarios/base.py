"""What scenarios share: how a detection is worded and posted, and what a scenario hands back.

A scenario speaks to Holdfast as the detector `edr-prod` would, with that source's token and nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from core.ids import uuid7
from trial.outside import Intruder

SOURCE = "edr-prod"
PATIENCE = 15.0  # seconds for a workload to do its part, and for a decision that was put off

Access = Mapping[str, Any]  # what access.json holds


class ScenarioTrouble(Exception):  # noqa: N818 - worded for whoever started the scenario
    """The scenario cannot be played as things stand, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`happened`: what was really done, in order. `watch`: where to look now. `answer`: the API's, as it came."""

    scenario: str
    happened: list[str]
    watch: list[str]
    answer: Mapping[str, Any]
    intruder: Intruder | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        return str((self.answer.get("decision") or {}).get("verdict", ""))

    @property
    def because(self) -> str:
        return str((self.answer.get("decision") or {}).get("because", ""))

    def public(self) -> dict[str, Any]:
        """Plain values, for a page or a command's output."""
        links = {name: self.answer.get(name) for name in ("id", "case", "run", "hold")}
        said = {"scenario": self.scenario, "verdict": self.verdict, "because": self.because}
        return said | {"happened": self.happened, "watch": self.watch} | links


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    story: str  # two sentences, for the page
    expect: str  # the verdict that the shipped policy comes to
    run: Callable[[Access], Outcome]


def identity(subject: str, *, kind: str = "service_account", provider: str = "postgres") -> dict[str, str]:
    return {"kind": kind, "provider": provider, "subject": subject}


def database_role(subject: str) -> dict[str, str]:
    return {"kind": "db_role", "id": subject}


def card_tokens() -> dict[str, str]:
    return {"kind": "table", "id": "vault.card_tokens"}


def report(access: Access, scenario: str, *, title: str, source_ip: str = "", **what: Any) -> Mapping[str, Any]:
    """Post a detection, with an id of its own each time, and wait for the decision. `what` are its further members."""
    context = {"environment": "prod", "tenant": "acme"} | ({"source_ip": source_ip} if source_ip else {})
    body = {
        "source": SOURCE,
        "external_id": f"{scenario}-{uuid7()}",
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "title": title,
        "severity": "high",
        "confidence": 0.9,
        **what,
        "context": context,
    }
    bearer = {"Authorization": f"Bearer {access['tokens']['detections']}"}
    try:
        with httpx.Client(base_url=access["url"], headers=bearer, timeout=10.0) as client:
            answer = client.post("/api/v1/detections", json=body)
            if not answer.is_success:
                raise ScenarioTrouble(f"Holdfast refused the detection ({answer.status_code}): {answer.text[:500]}")
            return decided(client, answer.json())
    except httpx.HTTPError as no:
        raise ScenarioTrouble(f"Holdfast does not answer at {access['url']} ({type(no).__name__}).") from no


def decided(client: httpx.Client, answer: dict[str, Any]) -> Mapping[str, Any]:
    """An acknowledged detection that was not decided at once is decided by the sweepers; then it reads the same."""
    until = time.monotonic() + PATIENCE
    while answer.get("decision") is None and time.monotonic() < until:
        time.sleep(0.25)
        again = client.get(f"/api/v1/detections/{answer['id']}")
        if again.is_success:
            answer = again.json()
    return answer


def wait_for(done: Callable[[], bool], otherwise: str) -> None:
    """Until a workload has done its part."""
    until = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() >= until:
            raise ScenarioTrouble(otherwise)
        time.sleep(0.1)
