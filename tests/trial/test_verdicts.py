"""Each scenario, played for real, comes to the verdict that it promises: its own detection, judged by the shipped policy over the seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings

from accounts import actors, tokens
from connectors import registry
from containment import flow, intake, sessions
from containment.gate import Gate
from containment.models import Decision
from containment.sessions import Registration
from core.actor import Actor, ActorKind
from sources import native
from tests.trial.begun import begun
from tests.trial.door import Door
from trial.agent.life import Agent
from trial.agent.sitting import INTENT
from trial.agent.words import FIRST_SESSION, KIND, PROVIDER, SUBJECT, TOKEN
from trial.estate import Estate
from trial.inventory import DETECTOR
from trial.scenarios import ALL
from trial.workloads.base import Workload
from trial.workloads.reports import AdHocReport
from trial.workloads.training import Training

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded(built: Estate, tmp_path: Path) -> Iterator[None]:
    registry.configure(settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": built.dsn}}, gate=Gate())
    begun(tmp_path, "http://127.0.0.1:8000", built)
    agent = actors.of_token(tokens.find(json.loads((tmp_path / TOKEN).read_text())["token"]))
    said = Registration(provider=PROVIDER, subject=SUBJECT, kind=KIND, name=FIRST_SESSION, intent=INTENT, life=timedelta(hours=1))
    sessions.register(said, actor=agent)
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())


@pytest.mark.parametrize(
    ("name", "verdict", "stage", "risk"),
    [
        ("leaked-secret", "contain", "hard", 85.6),
        ("payment-flow", "hold", "hard", 85.5),
        ("shared-credential", "hold", "hard", 76.4),
        ("shared-credential-alone", "contain", "hard", 76.6),
        ("long-job", "hold", "soft", 66.7),
        ("rogue-agent", "contain", "soft", 36.0),
    ],
)
def test_a_scenario_comes_to_the_verdict_it_promises(
    seeded: None, played: Callable[[str], Decision], name: str, verdict: str, stage: str, risk: float
) -> None:
    """Higher than in the shipped tables wherever the made-up past knows that the account never used this before."""
    decision = played(name)
    assert decision.verdict == ALL[name].expect == verdict
    assert (decision.stage, float(decision.risk)) == (stage, risk)


def test_the_hold_over_a_shared_password_names_who_else_would_break(seeded: None, played: Callable[[str], Decision]) -> None:
    decision = played("shared-credential")
    assert decision.hold is not None
    assert all(name in decision.because for name in ("rep-daily", "rep-audit", "rep-adhoc"))


def test_the_workflow_that_misbehaves_alone_is_all_that_is_cut(seeded: None, played: Callable[[str], Decision]) -> None:
    decision = played("shared-credential-alone")
    assert decision.run is not None
    assert decision.run.target["facts"]["sessions"] == ["rep-adhoc"]
    assert decision.run.target["facts"]["only"] == [{"address": "127.0.0.1", "application": "rep-adhoc"}]


@pytest.fixture
def played(built: Estate, holdfast: Door, working: Callable[..., Workload], living: Callable[..., Agent]) -> Callable[[str], Decision]:
    """Plays a scenario in the estate, beside the workloads it needs, and decides the detection that it posted."""
    access = {"url": holdfast.url, "tokens": {"detections": "hf_detections"}, "estate": {"dsn": built.dsn, "roles": dict(built.passwords)}}
    detector = Actor(ActorKind.TOKEN, "edr", "edr", principal="", permissions=frozenset({"detections.write"}), source=DETECTOR)

    def play(name: str) -> Decision:
        working(AdHocReport, built)
        working(Training, built)
        living(holdfast.url)
        outcome = ALL[name].run(access)
        if outcome.intruder:
            outcome.intruder.leave()
        received = intake.receive(native.read(holdfast.posted[-1]), holdfast.posted[-1], actor=detector)
        return flow.decide(received.detection.pk)

    return play
