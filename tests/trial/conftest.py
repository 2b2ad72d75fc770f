"""An estate of the trial's own: its roles and its closed doors belong to a whole cluster, which the other tests' estate is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.account import for_servers
from embedded.postgres import Postgres
from tests.servers import FAST, temporary_folder
from tests.trial.door import Door
from trial.estate import Estate, build
from trial.workloads.agent import TOKEN
from trial.workloads.base import Workload


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    server = Postgres(temporary_folder("trial"), account=for_servers(), superuser="estate_admin", settings=FAST)
    server.start()
    server.ensure_database("estate", owner="estate_admin")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def built(cluster: Postgres, home: Path) -> Estate:
    return build(cluster.dsn("estate"), home)


@pytest.fixture
def working() -> Iterator[Callable[..., Workload]]:
    """Starts workloads, and ends them with the test."""
    stop = threading.Event()
    started: list[Workload] = []

    def start(kind: type[Workload], *arguments: object) -> Workload:
        workload = kind(arguments[0], stop, *arguments[1:])  # type: ignore[arg-type]
        started.append(workload)
        workload.start()
        return workload

    yield start
    stop.set()
    for workload in started:
        workload.join(10)


@pytest.fixture
def holdfast(home: Path) -> Iterator[Door]:
    """Somebody who answers where Holdfast would, and lets the agent in."""
    (home / TOKEN).write_text(json.dumps({"token": "hf_agent"}))
    with Door().open() as door:
        yield door
    (home / TOKEN).unlink()
