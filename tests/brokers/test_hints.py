"""A broker carries hints: whatever it loses, keeps back, repeats or is made to say, what is due is done once, and nothing else is."""

from __future__ import annotations

import pickle
from datetime import timedelta
from uuid import uuid4

import pytest
import redis

from audit import clock
from containment import sweep
from embedded.process import wait_until
from playbooks.models import Attempt, Run
from tests.brokers.programs import QUEUE, Explosive, called, forge

TASKS = ("playbooks.drive", "playbooks.forget", "containment.decide", "containment.follow", "containment.pass_on", "celery.chord_unlock")
pytestmark = pytest.mark.servers


@pytest.fixture
def broker(house, valkey, on_valkey):
    """Its address; runs that are started now are told to it."""
    house.speaks_through(valkey.broker_url())
    return valkey.broker_url()


@pytest.fixture
def inside(valkey):
    with redis.Redis.from_url(valkey.url(2)) as client:
        yield client


@pytest.mark.fault("B1")
@pytest.mark.parametrize("nowhere", ["redis://127.0.0.1:1/0", "amqp://nobody:nothing@127.0.0.1:1//"])
def test_with_a_broker_that_is_gone_from_start_to_end_a_sweeper_does_everything(house, nowhere):
    house.speaks_through(nowhere)
    runs = [house.start(), house.start()]
    house.long_due(*runs)
    sweep.sweep_once()
    assert house.contained(*runs) == ["sweeper", "sweeper"]


@pytest.mark.fault("B2")
def test_what_a_broker_forgot_is_found_by_a_sweeper_and_the_next_message_arrives(house, broker, inside, on_valkey):
    on_valkey.freeze()
    try:
        lost = _filled(house, inside, 3)
        inside.flushall()
        house.long_due(*lost)
        sweep.sweep_once()
        assert house.contained(*lost) == ["sweeper"] * len(lost)
    finally:
        on_valkey.thaw()
    assert house.contained(house.start()) == ["worker"]


@pytest.mark.fault("B4")
def test_what_comes_late_in_another_order_or_from_another_release_changes_nothing(house, broker, on_valkey):
    first, second = house.start(), house.start()
    house.contained(first, second)
    before = _rows(first, second)
    for run in (second, first, second):
        forge(broker, called(str(run.pk)))
    forge(broker, called(str(first.pk)), task="playbooks.drive_as_it_was_called_once")
    forge(broker, called(str(first.pk), tenant="a later release says more"))
    forge(broker, called())
    house.contained(house.start())
    assert _rows(first, second) == before
    assert on_valkey.lives


@pytest.mark.fault("B6")
def test_a_broker_that_is_full_takes_nothing_and_what_is_due_is_done_all_the_same(house, broker, inside):
    inside.config_set("maxmemory", "1")
    try:
        run = house.start()
        house.long_due(run)
        sweep.sweep_once()
        assert house.contained(run) == ["sweeper"]
        assert inside.llen(QUEUE) == 0
    finally:
        inside.config_set("maxmemory", "256mb")
    house.speaks_through(broker)
    assert house.contained(house.start()) == ["worker"]


@pytest.mark.fault("B7")
def test_who_has_the_brokers_password_moves_nothing_that_is_not_due(house, broker, inside, on_valkey, tmp_path):
    over, later = house.start(), house.start()
    house.contained(over, later)
    Run.objects.filter(pk=later.pk).update(state="pending", next_at=clock.now() + timedelta(hours=1))
    before = _rows(over, later)
    forged(broker, [str(over.pk), str(later.pk)], tmp_path / "made")
    inside.lpush(QUEUE, b"\xff{ that is no envelope")
    house.contained(house.start())
    assert _rows(over, later) == before
    assert not (tmp_path / "made").exists()
    assert on_valkey.lives


def forged(broker, ids, folder):
    forge(broker, b"\xff\x00 neither a text nor a call")
    forge(broker, b'{"a": [', content_encoding="binary")
    forge(broker, pickle.dumps(Explosive(folder)), content_type="application/x-python-serialize", content_encoding="binary")
    forge(broker, called("x" * 5_000_000))
    forge(broker, called({"run_id": ["'; DROP TABLE run; --"]}))
    for task in (
        "playbooks.drive",
        "playbooks.forget",
        "containment.decide",
        "containment.follow",
        "containment.pass_on",
        "celery.chord_unlock",
    ):
        for key in (*ids, str(uuid4())):
            forge(broker, called(key), task=task)


@pytest.mark.fault("B9")
def test_what_a_worker_keeps_that_hears_nothing_is_done_by_a_sweeper_and_not_again_when_it_wakes(house, broker, inside, on_valkey):
    on_valkey.freeze()
    try:
        runs = _filled(house, inside, 2)
        house.long_due(*runs)
        sweep.sweep_once()
        assert house.contained(*runs) == ["sweeper"] * len(runs)
    finally:
        on_valkey.thaw()
    assert house.contained(house.start()) == ["worker"]
    assert house.contained(*runs) == ["sweeper"] * len(runs)


def _filled(house, inside, runs):
    """So many runs at least, and a nudge that stays here while the worker is frozen: the first went to its ear already, any may be lost."""
    begun = [house.start() for _ in range(runs)]

    def filled():
        if not inside.llen(QUEUE):
            begun.append(house.start())
        return bool(inside.llen(QUEUE))

    assert wait_until(filled, seconds=60, pause=1.0)
    return begun


def _rows(*runs):
    """All that is on record about them."""
    chosen = Run.objects.filter(pk__in=[run.pk for run in runs])
    of_those = chosen.order_by("pk").values_list("pk", "state", "fence", "next_at", "lease_owner")
    return list(of_those), Attempt.objects.filter(step__run__in=chosen).count()
