"""One stack for all that may die in it: to start it takes longer than most of what is tried on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.stack import Stack, running


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    with running() as stack:
        yield stack
