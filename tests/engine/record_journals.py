"""Records the corpus of journals anew, from real runs on the sandbox: `pytest tests/engine/record_journals.py`.

Only after engine_version went up, and because of it: the journals that are there are what the engine is held to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import engine, runs
from playbooks.domain import journal
from playbooks.domain.next_action import next_action
from playbooks.models import Run

pytestmark = pytest.mark.django_db

HERE = Path(__file__).parent / "journals"
KEYED, NATURAL, OBSERVABLE, BLIND = MEASURES = ("session.pause", "workload.isolate", "session.terminate", "identity.disable")
EVIDENCE = "evidence.preserve"
TROUBLES = (
    None,
    Mood.FAILS_BEFORE,
    Mood.FAILS_AFTER,
    Mood.TIMES_OUT,
    Mood.LAGS,
    Mood.LINGERS,
    Mood.HIDES,
    Mood.SABOTAGES,
    Mood.PERMISSION_LOST,
)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[list[dict[str, Any]]]:
    """Everything that the engine asks in this scene; kept under the scene's name."""
    asked: list[dict[str, Any]] = []

    def listening(state, steps, *, now, level=0, sizes=()):
        action = next_action(state, steps, now=now, level=level, sizes=sizes)
        one = journal.line(state, steps, now=now, action=action, level=level, sizes=sizes)
        if not asked or asked[-1] != one:
            asked.append(one)
        return action

    monkeypatch.setattr(engine, "next_action", listening)
    yield asked
    name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]").replace("_", "-").replace(".", "-")
    HERE.mkdir(exist_ok=True)
    text = ",\n".join(json.dumps(one, separators=(",", ":")) for one in asked)
    (HERE / f"{name}.json").write_text(f'{{"engine_version":{runs.ENGINE_VERSION},"lines":[\n{text}\n]}}\n')


def driven(run: Run, *, rounds: int = 12) -> Run:
    """Again and again, as if the pauses between were over."""
    for _ in range(rounds):
        engine.drive(run.pk, executor="command", turn_s=0.7)
        run.refresh_from_db()
        if run.next_at is None:
            break
        run.steps.update(next_at=None)
        Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
    return run


def undone(run: Run) -> Run:
    runs.undo(run.pk, actor=SYSTEM, reason="recorded")
    return driven(run)


@pytest.mark.parametrize("mood", TROUBLES, ids=str)
@pytest.mark.parametrize("measure", MEASURES)
def test_there_and_back(lines, started, sandbox, measure, mood):
    run = started(measure)
    if mood:
        sandbox.set_mood(run.target["subject"], mood, times=1000 if mood is Mood.SABOTAGES else 2)
    run.steps.update(settle_s=0.5)
    undone(driven(run))


@pytest.mark.parametrize("mood", [Mood.FAILS_BEFORE, Mood.FAILS_AFTER, "foreign"])
@pytest.mark.parametrize("measure", MEASURES)
def test_trouble_on_the_way_back(lines, started, sandbox, measure, mood):
    run = driven(started(measure, KEYED if measure != KEYED else NATURAL))
    if mood == "foreign":
        with sandbox.connected() as connection:
            sandbox.put(connection, run.target["subject"], measure, "changed by somebody")
    else:
        sandbox.set_mood(run.target["subject"], mood, times=2)
    undone(run)


@pytest.mark.parametrize("on_failure", ["stop", "continue", "undo"])
def test_a_step_fails(lines, started, sandbox, on_failure):
    run = started(EVIDENCE, NATURAL, KEYED, OBSERVABLE, on_failure=on_failure)
    sandbox.set_mood(run.target["subject"], Mood.PERMISSION_LOST)
    driven(run)


@pytest.mark.parametrize("waived", [True, False])
@pytest.mark.parametrize("seconds", [0.3, 3])
def test_evidence(lines, started, sandbox, seconds, waived):
    run = started(EVIDENCE, NATURAL, KEYED, waived=waived, terms={"evidence_s": seconds})
    sandbox.set_mood(run.target["subject"], Mood.HIDES)
    undone(driven(run))


@pytest.mark.parametrize("unproven", ["hard", "hold", "stop"])
@pytest.mark.parametrize("mood", [Mood.SABOTAGES, Mood.PERMISSION_LOST])
def test_ladder(lines, started, sandbox, unproven, mood):
    run = started(KEYED, hard=[NATURAL, OBSERVABLE], terms={"unproven": unproven})
    sandbox.set_mood(run.target["subject"], mood)
    run.steps.update(settle_s=0)
    run = driven(run)
    if run.state == "partial":
        driven(runs.raise_stage(run.pk, to="hard", because="recorded"))


@pytest.mark.parametrize("ending", ["release", "reject"])
@pytest.mark.parametrize("mood", [None, Mood.PERMISSION_LOST, Mood.TIMES_OUT], ids=str)
def test_held(lines, held, sandbox, mood, ending):
    run = held(EVIDENCE, BLIND, KEYED, approved=[NATURAL])
    if mood:
        sandbox.set_mood(run.target["subject"], mood)
    driven(run)
    if ending == "release":
        runs.release(run.pk, actor=SYSTEM, because="recorded")
    else:
        runs.stand_down(run.pk, actor=SYSTEM, because="recorded")
    driven(run)


def test_an_undo_before_anything_began(lines, started, sandbox):
    run = started(NATURAL, KEYED)
    runs.set_aside(run.pk, because="recorded")
    undone(run)


def test_what_was_so_before_us(lines, started, sandbox):
    run = started(NATURAL, KEYED)
    with sandbox.connected() as connection:
        sandbox.put(connection, run.target["subject"], NATURAL, "cut")
    undone(driven(run))
