"""One world, and a worker on each broker, for all tests of this folder."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded.account import for_servers
from embedded.places import ROOT
from embedded.postgres import Postgres
from embedded.valkey import Valkey
from tests.brokers.programs import House, Worker
from tests.rabbitmq import Rabbitmq
from tests.servers import temporary_folder
from tests.world.target import World

Starts = Callable[[str], Worker]


@pytest.fixture(scope="package")
def world(estate: Postgres) -> Iterator[tuple[World, str]]:
    """And where its door is."""
    estate.ensure_database("world", owner="estate_admin")
    dsn = estate.dsn("world")
    server = subprocess.Popen([sys.executable, "-m", "tests.world.server", "--dsn", dsn], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield World(dsn), f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.terminate()
    server.communicate(timeout=10)


@pytest.fixture(scope="package")
def new_worker(world: tuple[World, str], django_db_setup: Any, django_db_blocker: Any) -> Iterator[Starts]:
    """Starts a worker over the database of the tests that listens to the broker at this address."""
    from django.db import connections

    with django_db_blocker.unblock():
        database = connections["default"].settings_dict["NAME"]
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{database}"
    environment = os.environ | {
        "DATABASE_URL": url,
        "DATABASE_OWNER_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.world.settings",
        "WORLD_URL": world[1],
    }
    folder, numbers, started = temporary_folder("workers"), itertools.count(1), list[Worker]()

    def start(broker_url: str) -> Worker:
        started.append(Worker(broker_url, environment, folder / f"worker-{next(numbers)}.log"))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture(scope="package")
def listening(new_worker: Starts) -> Starts:
    """The worker that listens to this broker, started where none lives."""
    workers: dict[str, Worker] = {}

    def find(broker_url: str) -> Worker:
        if broker_url not in workers or not workers[broker_url].lives:
            workers[broker_url] = new_worker(broker_url).ready()
        return workers[broker_url]

    return find


@pytest.fixture
def on_valkey(listening: Starts, valkey: Valkey) -> Worker:
    return listening(valkey.broker_url())


@pytest.fixture
def on_rabbitmq(listening: Starts, rabbitmq: Rabbitmq) -> Worker:
    return listening(rabbitmq.broker_url())


@pytest.fixture(scope="package")
def rabbitmq() -> Iterator[Rabbitmq]:
    server = Rabbitmq(temporary_folder("rabbitmq"), account=for_servers())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def house(world: tuple[World, str], monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[House]:
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate
    from tests.world.connector import WorldConnector

    connector = WorldConnector(url=world[1])
    registry.register("world", connector)
    yield House(world[0], monkeypatch)
    registry.configure(settings.CONNECTORS, gate=Gate())
    connector._http().close()
