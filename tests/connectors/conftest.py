"""Targets for connector tests: roles in the estate that really log in, and a scratch table for the gate."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from embedded.postgres import Postgres
from tests.connectors.people import Town


@pytest.fixture
def town(estate: Postgres) -> Iterator[Town]:
    """A database of its own with two schemas, two grantors and the role `worker_…` that tests cut. Gone afterwards."""
    name = f"town_{uuid4().hex[:8]}"
    with psycopg.connect(estate.dsn("estate"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')  # where nothing is synced, a third of the work
        built = Town(estate, name)
        built.build()
        yield built
        built.tear_down()
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        for role in built.roles:
            admin.execute(f'DROP ROLE IF EXISTS "{role}"')
