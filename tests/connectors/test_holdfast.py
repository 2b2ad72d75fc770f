"""The connector of our own gate keeps the contract, on a gate that stands in a table of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from connectors import optional
from connectors.base import Effect, Measure, State, Step, Target
from connectors.holdfast import HoldfastConnector
from connectors.holdfast.connector import GATE
from embedded.postgres import Postgres
from tests.connectors.contract import Cutting, Ending, PuttingBack, Scene

IDENTITY = "0190a5b0-0000-7000-8000-00000000000b"
REVERSIBLE = [Measure.SESSION_RESTRICT, Measure.SESSION_PAUSE]
OTHERWISE = {Measure.SESSION_RESTRICT: "paused", Measure.SESSION_PAUSE: "restricted", Measure.SESSION_TERMINATE: "active"}
SESSION = "inv-1"


class TableGate:
    """Sessions as rows, like the gate that the product hands in."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.table = f"gate_{uuid4().hex[:8]}"
        self._do(
            f"CREATE TABLE {self.table} (identity text, name text, state text DEFAULT 'active', because text DEFAULT '',"
            " allows text[] DEFAULT '{}', key text DEFAULT '', PRIMARY KEY (identity, name))"
        )

    def begin(self, name: str) -> None:
        self._do(f"INSERT INTO {self.table} (identity, name) VALUES (%s, %s)", IDENTITY, name)

    def state(self, name: str) -> str:
        return str(self.look(IDENTITY, [name])[name]["state"])

    def look(self, identity: str, sessions: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        named = "name = ANY(%s)" if sessions else "state <> 'ended' AND %s::text[] IS NOT NULL"
        with psycopg.connect(self._dsn, row_factory=dict_row) as connection:
            rows = connection.execute(f"SELECT * FROM {self.table} WHERE identity = %s AND {named}", [identity, list(sessions)]).fetchall()
        return {row["name"]: {fact: row[fact] for fact in ("state", "because", "allows", "key")} for row in rows}

    def set(self, identity: str, session: str, *, state: str, because: str, key: str, allows: Sequence[str] = ()) -> bool:
        with psycopg.connect(self._dsn) as connection:
            return (
                connection.execute(
                    f"UPDATE {self.table} SET state = %(state)s, because = %(because)s, allows = %(allows)s, key = %(key)s"
                    " WHERE identity = %(identity)s AND name = %(session)s AND (state, key) <> (%(state)s, %(key)s)",
                    {"state": state, "because": because, "key": key, "allows": list(allows), "identity": identity, "session": session},
                ).rowcount
                == 1
            )

    def drop(self) -> None:
        self._do(f"DROP TABLE {self.table}")

    def _do(self, statement: str, *parameters: Any) -> None:
        with psycopg.connect(self._dsn) as connection:
            connection.execute(statement, parameters or None)


@pytest.fixture
def gate(estate: Postgres) -> Iterator[TableGate]:
    built = TableGate(estate.dsn("estate"))
    built.begin(SESSION)
    yield built
    built.drop()


@pytest.fixture
def scene_of(gate: TableGate) -> Callable[[Measure], Scene]:
    def scene(measure: Measure) -> Scene:
        def somebody_else(state: str) -> Callable[[], None]:
            def change() -> None:
                gate.set(IDENTITY, SESSION, state=state, because="by hand", key="somebody")

            return change

        step = Step(measure, Target("holdfast", "ai_agent", "invoice-agent", IDENTITY, session=SESSION))
        return Scene(HoldfastConnector(gate=gate), step, contain=somebody_else(GATE[measure]), meddle=somebody_else(OTHERWISE[measure]))

    return scene


class TestWhatItCuts(Cutting):
    @pytest.fixture(params=list(GATE))
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


class TestWhatItEnds(Ending):
    @pytest.fixture
    def scene(self, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(Measure.SESSION_TERMINATE)


class TestWhatItPutsBack(PuttingBack):
    @pytest.fixture(params=REVERSIBLE)
    def scene(self, request: pytest.FixtureRequest, scene_of: Callable[[Measure], Scene]) -> Scene:
        return scene_of(request.param)


def test_a_named_session_alone_is_paused(gate: TableGate, scene_of: Callable[[Measure], Scene]) -> None:
    gate.begin("another")
    scene = scene_of(Measure.SESSION_PAUSE)
    scene.perform(scene.look())
    assert (gate.state(SESSION), gate.state("another")) == ("paused", "active")


def test_an_identity_without_a_named_session_is_paused_in_all_of_them(gate: TableGate, scene_of: Callable[[Measure], Scene]) -> None:
    gate.begin("another")
    step = Step(Measure.SESSION_PAUSE, Target("holdfast", "ai_agent", "invoice-agent", IDENTITY))
    scene = Scene(scene_of(Measure.SESSION_PAUSE).connector, step)
    was = scene.look()
    scene.perform(was)
    assert scene.proof(was).dead
    assert (gate.state(SESSION), gate.state("another")) == ("paused", "paused")
    scene.undo(was)
    assert (gate.state(SESSION), gate.state("another")) == ("active", "active")


def test_a_softer_measure_never_loosens_a_harder_one(gate: TableGate, scene_of: Callable[[Measure], Scene]) -> None:
    harder, softer = scene_of(Measure.SESSION_PAUSE), scene_of(Measure.SESSION_RESTRICT)
    harder.perform(harder.look())
    was = softer.look()
    assert was.contained
    assert not softer.perform(was).changed
    assert gate.state(SESSION) == "paused"


def test_a_session_that_ended_since_stays_ended_and_is_in_nobodys_way(gate: TableGate, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.SESSION_PAUSE)
    was = scene.look()
    scene.perform(was)
    gate.set(IDENTITY, SESSION, state="ended", because="its client ended it", key="")
    assert not scene.undo(was).changed
    assert gate.state(SESSION) == "ended"


def test_evidence_is_what_the_gate_has(scene_of: Callable[[Measure], Scene]) -> None:
    connector = scene_of(Measure.SESSION_PAUSE).connector
    step = Step(Measure.EVIDENCE_PRESERVE, Target("holdfast", "ai_agent", "invoice-agent", IDENTITY, session=SESSION))
    [artefact] = connector.collect(step)
    assert b'"state": "active"' in artefact.content


def as_another_step(scene: Scene) -> Scene:
    """With a key of its own, as each step of a plan has."""

    class OfItsOwn(Scene):
        def perform(self, was: State) -> Effect:
            return self.connector.perform(self.step, key="another step", was=was)

        def undo(self, was: State) -> Effect:
            return self.connector.undo(self.step, key="another step", was=was)

    return OfItsOwn(scene.connector, scene.step)


@pytest.mark.parametrize(
    ("stays", "meanwhile"), [(Measure.SESSION_RESTRICT, "restricted"), (Measure.SESSION_PAUSE, "paused")], ids=["looser", "stricter"]
)
def test_a_measure_that_stays_holds_what_the_other_one_took(
    gate: TableGate, scene_of: Callable[[Measure], Scene], stays: Measure, meanwhile: str
) -> None:
    goes = scene_of(Measure.SESSION_PAUSE if stays is Measure.SESSION_RESTRICT else Measure.SESSION_RESTRICT)
    stay = as_another_step(scene_of(stays))
    before = gate.look(IDENTITY, [SESSION])
    was = goes.look()
    goes.perform(was)
    to_was = stay.look()
    stay.perform(to_was)
    was, to_was = optional.hands_over(goes.connector, goes.step, was, stay.step, to_was)
    goes.undo(was)
    goes.undo(was)
    assert gate.state(SESSION) == meanwhile
    assert stay.proof(to_was).dead
    assert not to_was.contained
    assert stay.undo(to_was).changed
    assert not stay.undo(to_was).changed
    assert gate.look(IDENTITY, [SESSION]) == before


def test_by_hand_there_is_nothing_to_type_and_every_session_is_named(gate: TableGate, scene_of: Callable[[Measure], Scene]) -> None:
    scene = scene_of(Measure.SESSION_PAUSE)
    was = scene.look()
    assert f'#   "{SESSION}": paused -> active' in optional.manual(scene.connector, scene.step, was)
    scene.perform(was)
    assert optional.manual(scene.connector, scene.step, scene.look()) == []  # paused before us: not ours to open
