"""One house for all outages, since it is dear to build; each test leaves it as it found it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from embedded.places import ROOT
from embedded.postgres import Postgres
from embedded.valkey import Valkey
from tests.outages.house import House, schema_of, small_disk
from tests.servers import temporary_folder
from tests.world.target import World


@pytest.fixture(scope="package")
def house(estate: Postgres, valkey: Valkey, django_db_setup: Any, django_db_blocker: Any) -> Iterator[House]:
    estate.ensure_database("world", owner="estate_admin")
    world, folder = estate.dsn("world"), temporary_folder("outages")
    server = subprocess.Popen([sys.executable, "-m", "tests.world.server", "--dsn", world], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        told = {
            "WORLD_URL": f"http://127.0.0.1:{int(server.stdout.readline())}",
            "WORLD_DSN": world,
            "BROKER_URL": valkey.broker_url(2),
            "CHANNELS_URL": valkey.url(1),
        }
        with small_disk(folder / "disk") as disk:
            house = House(folder, World(world), disk=disk, told=told)
            try:
                house.furnish(schema_of(_test_database(django_db_blocker)))
                yield house
            finally:
                house.close()
    finally:
        server.terminate()
        server.communicate(timeout=10)


@pytest.fixture(autouse=True)
def as_it_was_found(house: House) -> Iterator[None]:
    yield
    house.hosts.bend("+0")
    house.databases.bend("+0")
    house.stop(*house.started)


def _test_database(blocker: Any) -> str:
    from django.db import connections

    with blocker.unblock():
        name = str(connections["default"].settings_dict["NAME"])
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
