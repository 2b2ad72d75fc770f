"""What tests of the API stand on besides real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def connected() -> Iterator[None]:
    """A connector for the provider `postgres`, so that plans can be made. Nothing here carries one out."""
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate

    registry.configure(
        settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": "postgresql://nobody@127.0.0.1:1/nowhere"}}, gate=Gate()
    )
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())
