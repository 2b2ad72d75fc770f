"""What scenarios share: how a detection is worded and posted, and what a scenario hands back.

A scenario speaks to Holdfast as the detector `edr-prod` would, with that source's token and nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trial.outside import Intruder
from trial.scenarios.through_api import PATIENCE, SOURCE, Access, ScenarioTrouble, visit

ITS_TURN = 90.0  # seconds until the agent, which does one thing after the other, comes to something new

__all__ = ["SOURCE", "Access", "Outcome", "Scenario", "ScenarioTrouble"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`happened`: what was done, in order. `watch`: where to look now. `answer`: the API's, as it came."""

    scenario: str
    happened: list[str]
    watch: list[str]
    answer: Mapping[str, Any]
    intruder: Intruder | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        return str((self.answer.get("decision") or {}).get("verdict", ""))

    @property
    def signals(self) -> Mapping[str, Mapping[str, Any]]:
        """What the decision rests on, by code."""
        return {str(one["code"]): one for one in (self.answer.get("decision") or {}).get("signals", [])}

    @property
    def because(self) -> str:
        return str((self.answer.get("decision") or {}).get("because", ""))

    @property
    def is_again(self) -> bool:
        return self.verdict == "covered" or self.because.startswith("Seen again.")

    def shows(self, code: str) -> bool:
        return float(self.signals.get(code, {}).get("strength", 0)) > 0

    def public(self) -> dict[str, Any]:
        """Plain values, for a page or a command's output."""
        links = {name: self.answer.get(name) for name in ("id", "case", "run", "hold")}
        said = {"scenario": self.scenario, "verdict": self.verdict, "because": self.because}
        return said | {"happened": self.happened, "watch": self.watch} | links


@dataclass(frozen=True, slots=True)
class Scenario:
    """`story`: two sentences, for the page. `expect`: the verdict that the shipped policy comes to. `signal`: the code that it is there
    to show; empty for an incident. `guarded`: the tool whose call the guard stops in it; empty where a detector reports it."""

    name: str
    title: str
    story: str
    expect: str
    run: Callable[[Access], Outcome]
    signal: str = ""
    guarded: str = ""

    def came_to(self, outcome: Outcome) -> bool:
        """Whether it showed what it is there for. Played again, an account may be under its run still, or cool off after an undo."""
        as_expected = outcome.verdict == self.expect or outcome.is_again
        return as_expected and (not self.signal or outcome.shows(self.signal))


def identity(subject: str, *, kind: str = "service_account", provider: str = "postgres") -> dict[str, str]:
    return {"kind": kind, "provider": provider, "subject": subject}


def database_role(subject: str) -> dict[str, str]:
    return {"kind": "db_role", "id": subject}


def card_tokens() -> dict[str, str]:
    return {"kind": "table", "id": "vault.card_tokens"}


def report(access: Access, scenario: str, *, title: str, source_ip: str = "", **what: Any) -> Mapping[str, Any]:
    """Post a detection, with an id of its own each time, and wait for the decision. `what` are its further members."""
    with visit(access) as holdfast:
        return holdfast.detect(scenario, title=title, source_ip=source_ip, **what)


def wait_for(done: Callable[[], bool], otherwise: str, *, within: float = PATIENCE) -> None:
    """Until a workload has done its part."""
    until = time.monotonic() + within
    while not done():
        if time.monotonic() >= until:
            raise ScenarioTrouble(otherwise)
        time.sleep(0.1)
