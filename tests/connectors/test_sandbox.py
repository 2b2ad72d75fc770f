"""The sandbox keeps the contract where it behaves, and its ledger tells the truth where it does not."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from connectors.base import Ambiguous, ConnectorTrouble, Measure, ProofLevel, Rejected, Step, Target, Unavailable
from connectors.sandbox import Mood, SandboxConnector
from connectors.sandbox.target import CUT
from embedded.postgres import Postgres
from tests.connectors.contract import KEY, Cutting, PuttingBack, Scene

MEASURES = [Measure.SESSION_PAUSE, Measure.WORKLOAD_ISOLATE, Measure.SESSION_TERMINATE]


@pytest.fixture
def sandbox(estate: Postgres) -> SandboxConnector:
    connector = SandboxConnector(dsn=estate.dsn("estate"))
    connector.target.create()
    return connector


@pytest.fixture
def scene_of(sandbox: SandboxConnector, estate: Postgres) -> Callable[[Measure], Scene]:
    subject = f"subject-{uuid4()}"

    def put(measure: Measure, state: str) -> None:
        """By another way than the connector's."""
        with psycopg.connect(estate.dsn("estate")) as target:
            target.execute("DELETE FROM sandbox_subject WHERE subject = %s", [subject])
            target.execute("INSERT INTO sandbox_subject (subject, measure, state) VALUES (%s, %s, %s)", [subject, measure, state])

    def scene(measure: Measure) -> Scene:
        step = Step(measure, Target("sandbox", "service_account", subject, str(uuid4())))
        return Scene(sandbox, step, contain=lambda: put(measure, CUT), meddle=lambda: put(measure, "somebody else's"))

    return scene


class TestWhatItCuts(Cutting):
    @pytest.fixture(params=MEASURES)
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


class TestWhatItPutsBack(PuttingBack):
    @pytest.fixture(params=MEASURES)
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


@pytest.mark.parametrize(
    ("mood", "trouble", "happened"),
    [
        (Mood.FAILS_BEFORE, Unavailable, 0),
        (Mood.FAILS_AFTER, Ambiguous, 1),
        (Mood.TIMES_OUT, Ambiguous, 1),
        (Mood.PERMISSION_LOST, Rejected, 0),
    ],
)
def test_what_is_said_fits_what_the_ledger_has(
    sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene], mood: Mood, trouble: type[ConnectorTrouble], happened: int
) -> None:
    scene = scene_of(Measure.SESSION_PAUSE)
    was = scene.look()
    sandbox.target.set_mood(scene.step.target.subject, mood)
    with pytest.raises(trouble):
        scene.perform(was)
    assert sandbox.target.done(scene.step.target.subject) == happened
    scene.perform(was)  # the mood was for once; the same key again does what was left, and no more
    assert sandbox.target.done(scene.step.target.subject) == 1


def test_the_saboteur_says_ok_and_is_never_proven(sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.WORKLOAD_ISOLATE)
    sandbox.target.set_mood(scene.step.target.subject, Mood.SABOTAGES, times=100)
    was = scene.look()
    assert scene.perform(was).said == "OK"
    assert not scene.look().contained
    assert not any(sandbox.probe(scene.step, key=KEY, was=was).dead for _ in range(5))
    assert sandbox.target.done(scene.step.target.subject) == 0


def test_a_target_that_lags_is_proven_once_it_shows_the_cut(sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.WORKLOAD_ISOLATE)
    was = scene.look()
    scene.perform(was)
    sandbox.target.set_mood(scene.step.target.subject, Mood.LAGS, times=2)
    assert [sandbox.probe(scene.step, key=KEY, was=was).dead for _ in range(3)] == [False, False, True]


def test_another_account_shows_in_what_look_saw(sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.WORKLOAD_ISOLATE)
    was = scene.look()
    sandbox.target.set_mood(scene.step.target.subject, Mood.WRONG_ACCOUNT)
    assert scene.look().account != was.account


def test_a_blind_effect_is_never_more_than_acknowledged(scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.IDENTITY_DISABLE)
    was = scene.look()
    scene.perform(was)
    assert scene.proof(was).level is ProofLevel.ACKNOWLEDGED
    assert not scene.look().contained
