"""A service that says what the test wants, and a folder for what the proxy keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy.service import Service
from tests.proxy.talk import environment


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def env(service: Service, tmp_path: Path) -> dict[str, str]:
    return environment(service.url, tmp_path / "state")
