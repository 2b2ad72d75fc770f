"""Any process may die at any place that has a name: for ever or for a while, forward or undo, whatever repeating a call does.

The ordinary run dies at each place once, with effect classes and ways of dying taking turns; `-m big` at every combination. The driver
(driver.py) forks who dies, takes over, and compares the world's ledger with the rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.chaos import places
from tests.chaos.conftest import Driver
from tests.chaos.scenes import SCENES

pytestmark = [pytest.mark.django_db, pytest.mark.servers]

WAYS = ("kill", "freeze", "raise")
AT_ONCE = 8
Case = tuple[str, str, int, str, str]


def test_somebody_dies_at_each_place_that_the_engine_has():
    assert places.of_the_engine() == set(places.ENGINE)
    assert len(places.ENGINE) >= 38
    assert len(places.ENGINE) + len(places.TOLD) >= 40


def covering() -> list[Case]:
    """Each place once, forward or undo; effects and ways take turns. Who freezes with a lock in hand is dear, and rare here."""
    ways = {True: itertools.cycle(["kill", "raise", "kill", "raise", "freeze"]), False: itertools.cycle(["kill", "freeze", "raise"])}
    found = []
    for index, (place, scenes) in enumerate({**places.ENGINE, **places.TOLD}.items()):
        name = scenes[index // 2 % len(scenes)]
        effects = SCENES[name].effects
        found.append((place, next(ways[place.endswith("before_commit")]), 1, name, effects[index % len(effects)]))
    return found


def every() -> list[Case]:
    return [
        (place, way, 1, name, effect)
        for place, scenes in {**places.ENGINE, **places.TOLD}.items()
        for name in scenes
        for way in WAYS
        for effect in SCENES[name].effects
    ]


def played(driver: Driver, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Side by side. Who freezes holding a lock keeps everybody waiting, so these are few at a time."""
    ordered = sorted(cases, key=lambda case: case[1] == "freeze" and case[0].endswith("before_commit"))
    for start in range(0, len(ordered), AT_ONCE):
        yield from driver.ask(cases=ordered[start : start + AT_ONCE])
    assert driver.ask(everywhere=True) == []


@pytest.fixture(scope="module")
def died(driver: Driver) -> list[dict[str, Any]]:
    return list(played(driver, covering()))


def at(died: list[dict[str, Any]], *parts: str) -> list[dict[str, Any]]:
    """The cases that died at places with these words in their names; there are some."""
    found = [case for case in died if any(part in case["place"] for part in parts)]
    assert found
    return found


def wrong(cases: list[dict[str, Any]]) -> list[str]:
    return [f"{case['what']} at {case['place']} ({case['effect']}, {case['scene']}): {case['wrong']}" for case in cases if case["wrong"]]


@pytest.mark.fault("A1")
@pytest.mark.fault("A2")
def test_what_was_acknowledged_is_there_and_what_was_not_may_be_sent_again(died):
    assert wrong(at(died, "_stored_and_decided")) == []


@pytest.mark.fault("A3")
@pytest.mark.fault("A4")
def test_a_detection_is_decided_once_and_a_containment_never_comes_without_its_run(died):
    assert wrong(at(died, "flow.decide", "flow._counts")) == []


@pytest.mark.fault("A5")
def test_nothing_goes_out_before_its_intent_is_committed(died):
    assert wrong(at(died, "intend.before_commit", "runs.claim", "drive.claimed", "runs.begin", "postponed")) == []


@pytest.mark.fault("A6")
def test_an_intent_without_a_call_is_carried_out_once(died):
    assert wrong(at(died, "intend.after_commit", "before_call", "steps.see")) == []


@pytest.mark.fault("A7")
@pytest.mark.fault("A8")
def test_a_call_whose_outcome_was_lost_is_not_made_again_where_that_would_show(died):
    assert wrong(at(died, "after_call", "settle.before_commit", "undone.before_commit", "preserve.before_commit")) == []


@pytest.mark.fault("A9")
def test_the_next_step_follows_the_outcome(died):
    assert wrong(at(died, "settle.after_commit", "undone.after_commit", "preserve.after_commit", "trouble", "skip", "prove")) == []


@pytest.mark.fault("A10")
def test_who_wakes_up_when_its_time_has_passed_changes_nothing(died):
    assert wrong([case for case in died if case["what"] == "freeze"]) == []


@pytest.mark.fault("A12")
def test_a_failure_in_the_middle_leaves_nothing_half_written(died):
    assert wrong([case for case in died if case["what"] == "raise"]) == []


def test_runs_end_and_wait_and_are_undone_whoever_dies(died):
    assert wrong(died) == []


@pytest.mark.big
@pytest.mark.parametrize("effect", ["keyed", "natural", "observable", "blind"])
def test_every_place_with_every_effect_every_way(driver, effect):
    assert wrong(list(played(driver, [case for case in every() if case[4] == effect]))) == []
