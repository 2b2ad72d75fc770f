"""What every connector must pass. A test module describes a Scene per measure, and inherits.

    class TestWhatItDoes(Cutting):           # every measure that cuts
        @pytest.fixture(params=[...])
        def scene(self, request): ...

    class TestWhatItPutsBack(PuttingBack):   # those that can be undone
        ...
    class TestByHand(RestoringByHand):       # those that say how a person puts it back
        ...

A Scene's target is real, and its `meddle` and `contain` go to it by another way than the connector's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from connectors import optional, registry
from connectors.base import IRREVERSIBLE, Connector, Foreign, Proof, State, Step

KEY = "0190a5b0-0000-7000-8000-000000000001"


def nothing() -> None:
    """For scenes where nobody else does anything."""


@dataclass(frozen=True)
class Scene:
    """`contain`: somebody else brings about what the measure is for. `meddle`: somebody else changes what the measure changed.
    `secrets`: what must never be shown. `type_in`: a person types these lines into the target's own tool. `as_was`: what the target itself
    has on record, as far as a person can put it back."""

    connector: Connector
    step: Step
    contain: Callable[[], None] = nothing
    meddle: Callable[[], None] = nothing
    secrets: Sequence[str] = field(default_factory=list)
    type_in: Callable[[Sequence[str]], None] = lambda _: None
    as_was: Callable[[], Any] = lambda: None

    def look(self) -> State:
        return self.connector.look(self.step)

    def perform(self, was: State) -> Any:
        return self.connector.perform(self.step, key=KEY, was=was)

    def undo(self, was: State) -> Any:
        return self.connector.undo(self.step, key=KEY, was=was)

    def proof(self, was: State) -> Proof:
        """Asked again until the measure's settle time is over, as the engine does."""
        ends = time.monotonic() + self.connector.abilities[self.step.measure].settle.total_seconds()
        while True:
            proof = self.connector.probe(self.step, key=KEY, was=was)
            if proof.dead or time.monotonic() > ends:
                return proof
            time.sleep(0.05)


def lasting(state: State) -> tuple[dict[str, Any], dict[str, str], str]:
    """What undo puts back. The clock and the sessions, in `seen`, move by themselves."""
    return {name: value for name, value in state.public.items() if name != "seen"}, dict(state.secret), state.account


class Cutting:
    """Every measure that cuts."""

    def test_it_declares_what_every_connector_must(self, scene: Scene) -> None:
        assert registry.undeclared(scene.connector) == []

    def test_looking_changes_nothing(self, scene: Scene) -> None:
        assert lasting(scene.look()) == lasting(scene.look())

    def test_before_the_cut_it_is_not_contained_and_after_it_is_dead(self, scene: Scene) -> None:
        was = scene.look()
        assert not was.contained
        assert scene.perform(was).changed
        assert scene.proof(was).dead
        assert scene.look().contained

    def test_doing_it_twice_does_it_once(self, scene: Scene) -> None:
        was = scene.look()
        scene.perform(was)
        assert scene.proof(was).dead
        once = lasting(scene.look())
        assert not scene.perform(was).changed
        assert scene.proof(was).dead
        assert lasting(scene.look()) == once

    @pytest.mark.fault("F5")
    def test_an_ok_that_changed_nothing_is_never_proven(self, scene: Scene) -> None:
        """The saboteur: whoever answered OK did nothing at all."""
        was = scene.look()
        assert not any(scene.connector.probe(scene.step, key=KEY, was=was).dead for _ in range(3))

    def test_what_somebody_else_contained_is_reported_as_contained(self, scene: Scene) -> None:
        scene.contain()
        was = scene.look()
        assert was.contained
        assert scene.proof(was).dead

    def test_what_look_saw_can_be_stored_and_holds_no_secret(self, scene: Scene) -> None:
        was = scene.look()
        effect, proof = scene.perform(was), scene.proof(was)
        assert json.loads(json.dumps(was.public)) == was.public
        shown = json.dumps(
            [was.public, scene.look().public, effect.said, list(effect.left), effect.detail, proof.said, proof.detail], default=str
        )
        assert not [secret for secret in scene.secrets if secret in shown]

    def test_a_stored_state_is_as_good_as_the_first(self, scene: Scene) -> None:
        first = scene.look()
        was = State(first.contained, json.loads(json.dumps(first.public)), dict(first.secret), first.live_sessions, first.account)
        assert scene.perform(was).changed
        assert scene.proof(was).dead


class Ending:
    """Those that cannot be undone."""

    def test_it_says_so_and_undo_changes_nothing(self, scene: Scene) -> None:
        assert scene.connector.abilities[scene.step.measure].inverse == IRREVERSIBLE
        was = scene.look()
        scene.perform(was)
        assert scene.proof(was).dead
        assert not scene.undo(was).changed
        assert scene.look().contained


class PuttingBack:
    """Those that can be undone."""

    def test_undo_leaves_exactly_what_was(self, scene: Scene) -> None:
        was = scene.look()
        scene.perform(was)
        assert scene.proof(was).dead
        assert scene.undo(was).changed
        assert lasting(scene.look()) == lasting(was)

    def test_undoing_twice_does_it_once(self, scene: Scene) -> None:
        was = scene.look()
        scene.perform(was)
        scene.undo(was)
        assert not scene.undo(was).changed
        assert lasting(scene.look()) == lasting(was)

    def test_undo_without_a_cut_changes_nothing(self, scene: Scene) -> None:
        was = scene.look()
        assert not scene.undo(was).changed
        assert lasting(scene.look()) == lasting(was)

    def test_somebody_elses_change_since_is_left_alone(self, scene: Scene) -> None:
        was = scene.look()
        scene.perform(was)
        assert scene.proof(was).dead
        scene.meddle()
        theirs = lasting(scene.look())
        with pytest.raises(Foreign) as refused:
            scene.undo(was)
        assert refused.value.diff
        assert lasting(scene.look()) == theirs
        shown = json.dumps([refused.value.said, refused.value.diff], default=str)
        assert not [secret for secret in scene.secrets if secret in shown]

    @pytest.mark.fault("F14")
    def test_what_somebody_else_contained_before_us_stays_contained(self, scene: Scene) -> None:
        scene.contain()
        was = scene.look()
        scene.perform(was)
        scene.undo(was)
        assert scene.look().contained


class RestoringByHand:
    """Those that say what a person types, with everything of ours down."""

    def test_the_lines_that_a_person_types_leave_what_was_and_hold_no_secret(self, scene: Scene) -> None:
        before = scene.as_was()
        was = scene.look()
        shown = State(was.contained, json.loads(json.dumps(was.public)), {}, was.live_sessions, was.account)  # what a printed card rests on
        scene.perform(was)
        assert scene.proof(was).dead
        assert scene.as_was() != before
        lines = optional.manual(scene.connector, scene.step, shown)
        assert not [secret for secret in scene.secrets for line in lines if secret in line]
        scene.type_in(lines)
        assert scene.as_was() == before
        scene.type_in(lines)  # whoever lost count starts again from the top
        assert scene.as_was() == before
