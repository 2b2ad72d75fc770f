"""The sandbox keeps the contract where it behaves, and its ledger tells the truth where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

import psycopg
import pytest

from connectors.base import Ambiguous, ConnectorTrouble, Measure, ProofLevel, Rejected, Step, Target, Unavailable
from connectors.sandbox import Mood, SandboxConnector
from connectors.sandbox.target import CUT
from embedded.postgres import Postgres
from tests.connectors.contract import KEY, Cutting, PuttingBack, RestoringByHand, Scene

MEASURES = [Measure.SESSION_PAUSE, Measure.WORKLOAD_ISOLATE, Measure.SESSION_TERMINATE]


@pytest.fixture
def sandbox(estate: Postgres) -> SandboxConnector:
    connector = SandboxConnector(dsn=estate.dsn("estate"))
    connector.target.create()
    return connector


@pytest.fixture
def scene_of(sandbox: SandboxConnector, estate: Postgres) -> Callable[[Measure], Scene]:
    subject = f"subject's-{uuid4()}"

    def put(measure: Measure, state: str) -> None:
        """By another way than the connector's."""
        with psycopg.connect(estate.dsn("estate")) as target:
            target.execute("DELETE FROM sandbox_subject WHERE subject = %s", [subject])
            target.execute("INSERT INTO sandbox_subject (subject, measure, state) VALUES (%s, %s, %s)", [subject, measure, state])

    def type_in(lines: Sequence[str]) -> None:
        with psycopg.connect(estate.dsn("estate")) as target:
            for line in lines:
                target.execute(line.encode())

    def shown(measure: Measure) -> str:
        with sandbox.target.connected() as connection:
            return sandbox.target.state(connection, subject, str(measure))

    def scene(measure: Measure) -> Scene:
        step = Step(measure, Target("sandbox", "service_account", subject, str(uuid4())))
        return Scene(
            sandbox,
            step,
            contain=lambda: put(measure, CUT),
            meddle=lambda: put(measure, "somebody else's"),
            type_in=type_in,
            as_was=lambda: shown(measure),
        )

    return scene


class TestWhatItCuts(Cutting):
    @pytest.fixture(params=MEASURES)
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


class TestWhatItPutsBack(PuttingBack):
    @pytest.fixture(params=MEASURES)
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


class TestByHand(RestoringByHand):
    @pytest.fixture(params=MEASURES)
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


@pytest.mark.fault("F2")
@pytest.mark.parametrize(
    ("mood", "trouble", "happened"),
    [
        (Mood.FAILS_BEFORE, Unavailable, 0),
        (Mood.FAILS_AFTER, Ambiguous, 1),
        (Mood.TIMES_OUT, Ambiguous, 1),
        (Mood.GARBLES, Ambiguous, 1),
        (Mood.BUSY, Unavailable, 0),
        (Mood.VANISHES, Rejected, 0),
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


@pytest.mark.fault("F11")
def test_a_target_that_trails_is_open_until_its_time_has_come(sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.WORKLOAD_ISOLATE)
    was = scene.look()
    scene.perform(was)
    sandbox.target.set_mood(scene.step.target.subject, Mood.TRAILS, times=100, seconds=30)
    assert not any(sandbox.probe(scene.step, key=KEY, was=was).dead for _ in range(3))
    with sandbox.target.connected() as connection:  # the half minute is over
        connection.execute("UPDATE sandbox_ledger SET at = at - interval '31 s' WHERE subject = %s", [scene.step.target.subject])
    assert sandbox.probe(scene.step, key=KEY, was=was).dead
    assert sandbox.target.done(scene.step.target.subject) == 1


@pytest.mark.fault("F3")
@pytest.mark.parametrize("seconds", [0.0, 7.0, 86400.0])
def test_a_target_that_is_busy_says_how_long(sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene], seconds: float) -> None:
    scene = scene_of(Measure.WORKLOAD_ISOLATE)
    was = scene.look()
    sandbox.target.set_mood(scene.step.target.subject, Mood.BUSY, seconds=seconds)
    with pytest.raises(Unavailable) as busy:
        scene.perform(was)
    assert busy.value.retry_after == seconds
    assert scene.perform(was).changed


@pytest.mark.fault("F14")
def test_who_was_beaten_to_it_has_changed_nothing(sandbox: SandboxConnector, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.WORKLOAD_ISOLATE)
    was = scene.look()
    sandbox.target.set_mood(scene.step.target.subject, Mood.BEATEN)
    assert not scene.perform(was).changed
    assert scene.proof(was).dead
    assert sandbox.target.done(scene.step.target.subject) == 0


@pytest.mark.fault("F17")
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
