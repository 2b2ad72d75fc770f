"""What comes back in levels is steered, and what ends by itself prolonged: by people, who name what they saw."""

from datetime import timedelta

import pytest

from audit import clock
from playbooks.models import Run, Step
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(connected) -> Run:
    make.house()
    make.identity("etl_reader")
    return make.run_of(make.detected("etl_reader"))


@pytest.fixture
def watched(run) -> Run:
    """Its first level stands and is watched."""
    Step.objects.create(
        run=run, seq=99, stage="return-1-held", measure="session.restrict", connector="postgres", disruptive=True, timeout_s=5, settle_s=5,
        state="done",
    )  # fmt: skip
    terms = {"reinstatement": [{"steps": [], "watch_s": 600}]}
    moment = clock.now()
    Run.objects.filter(pk=run.pk).update(
        state="reinstating", undo_at=moment, undo_by="x", level=1, terms=terms, next_at=moment + timedelta(minutes=9)
    )
    found: Run = run
    return found


def test_a_level_is_hastened_by_whoever_watched_that_one(person, watched):
    at = f"/api/v1/runs/{watched.pk}/next-level"
    stale = person("mara").post(at, {"seen_level": 0})
    assert (stale.status, stale.body["code"]) == (409, "moved_since")
    assert person("mara").post(at, {}).status == 422
    assert person("mara").post(at, {"seen_level": 1}).status == 200
    watched.refresh_from_db()
    assert watched.next_at <= clock.now()


@pytest.mark.parametrize(("deed", "state"), [("contain-again", "pending"), ("give-back-rest", "undoing")])
def test_a_return_is_turned_round_or_shortened_with_a_reason(person, watched, deed, state):
    at = f"/api/v1/runs/{watched.pk}/{deed}"
    assert person("mara").post(at, {}).status == 422
    assert person("wren").post(at, {"reason": "sure"}).status == 403
    said = person("mara").post(at, {"reason": "sure"})
    assert (said.status, said.body["state"]) == (200, state)
    assert person("mara").post(at, {"reason": "sure"}).status == 409


def test_said_twice_it_is_prolonged_once(person, run):
    until = clock.now() + timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(state="contained", next_at=None, lasts_until=until)
    at, sent = f"/api/v1/runs/{run.pk}/prolong", {"hours": 4, "reason": "not clear yet", "seen_lasts_until": until.isoformat()}
    assert [person("mara").post(at, sent).status for _ in range(2)] == [200, 409]
    run.refresh_from_db()
    assert run.lasts_until == until + timedelta(hours=4)
