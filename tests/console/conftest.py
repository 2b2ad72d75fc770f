"""Pages are tested with plans for PostgreSQL roles; no target is reached, since nothing here carries a run out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def postgres_plans() -> Iterator[None]:
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate

    nowhere = {"use": "postgres", "dsn": "postgresql://nobody@127.0.0.1:1/estate"}
    registry.configure(settings.CONNECTORS | {"postgres": nowhere}, gate=Gate())
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())
