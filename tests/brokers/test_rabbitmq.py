"""The same on RabbitMQ, with quorum queues: work arrives, comes back when a worker dies over it, and outlives the node."""

from __future__ import annotations

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection, Queue

from audit import nudges
from containment import sweep
from embedded.process import wait_until
from tests.brokers.programs import QUEUE
from tests.rabbitmq import LACKING, program

pytestmark = [pytest.mark.servers, pytest.mark.skipif(program() is None, reason=LACKING)]


@pytest.mark.fault("B8")
def test_what_a_worker_on_valkey_left_is_done_by_one_on_rabbitmq(house, valkey, on_valkey, rabbitmq, on_rabbitmq):
    house.speaks_through(valkey.broker_url())
    begun = house.start(slow=True)
    house.begun(begun)
    in_the_queue = [house.start(), house.start()]
    on_valkey.kill()
    house.speaks_through(rabbitmq.broker_url())
    house.long_due(begun, *in_the_queue)
    sweep.wake_workers(overdue=True)
    assert house.contained(begun, *in_the_queue) == ["worker"] * 3
    assert house.contained(house.start()) == ["worker"]


@pytest.mark.fault("A7")
def test_what_a_killed_worker_had_comes_back_from_the_quorum_queue(house, rabbitmq, on_rabbitmq, listening):
    house.speaks_through(rabbitmq.broker_url())
    run = house.start(slow=True)
    house.begun(run)
    on_rabbitmq.kill()
    house.long_due(run)
    assert listening(rabbitmq.broker_url()) is not on_rabbitmq
    assert house.contained(run) == ["worker"], "nobody told a worker again: it was its message that came back"
    with Connection(rabbitmq.broker_url()) as line, pytest.raises(PreconditionFailed, match="x-queue-type"):
        Queue(QUEUE, durable=True).bind(line.channel()).queue_declare()


@pytest.mark.fault("B5")
def test_messages_outlive_the_node_and_while_it_is_frozen_pages_still_hear(house, rabbitmq, on_rabbitmq, monkeypatch):
    house.speaks_through(rabbitmq.broker_url())
    pages = Pages()
    monkeypatch.setattr(nudges, "get_channel_layer", lambda: pages)
    monkeypatch.setattr(nudges._watchers, "_quiet_until", 0.0)
    on_rabbitmq.freeze()
    try:
        kept = [house.start() for _ in range(3)]
        assert wait_until(lambda: _waiting(rabbitmq) >= 2, seconds=60)
        rabbitmq.freeze()
        unheard = house.start()
        assert wait_until(lambda: pages.heard.count("run.started") > len(kept), seconds=60)
        rabbitmq.kill()
        rabbitmq.launch()
        rabbitmq.wait()
    finally:
        on_rabbitmq.thaw()
    assert house.contained(*kept) == ["worker"] * 3
    house.speaks_through(rabbitmq.broker_url())
    house.long_due(unheard)
    sweep.wake_workers(overdue=True)
    assert house.contained(unheard) == ["worker"]


class Pages:
    """As the layer that leads to open pages."""

    def __init__(self):
        self.heard = []

    async def group_send(self, group, message):
        self.heard.append(message["verb"])


def _waiting(rabbitmq):
    with Connection(rabbitmq.broker_url()) as line, line.channel() as channel:
        return channel.queue_declare(QUEUE, passive=True).message_count  # type: ignore[attr-defined]
