"""What every test stands on: real servers (tests/servers.py), started before Django reads its settings, stopped at the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import examples, servers
from tests.servers import database_server, estate, valkey

settings.load_profile(examples.USUAL)

__all__ = ["database_server", "estate", "valkey"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """pytest-django sets Django up in its own pytest_configure, which comes last."""
    if not config.option.help and not config.option.version:
        servers.start_before_settings()
    config.pluginmanager.register(servers.CountsPerFolder(), "counts per folder")


@pytest.fixture(scope="session", autouse=True)
def _emptied_quickly() -> Iterator[None]:
    """After a test with transactions of its own. Django empties and builds anew every table there is, filled or not."""
    from django.test import TransactionTestCase

    from tests import again

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", lambda case: again.empty())
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_found_once() -> Iterator[None]:
    """Each test client has middleware of its own, and the one for static files looks through all of them as it is made."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    looked, found = WhiteNoiseMiddleware.add_files_from_finders, dict[str, object]()

    def add(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            looked(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add)
        yield


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was loaded stays: an eighth of the time went into looking at all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    servers.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running in this thread, under which async code cannot be tested any more."""
    items.sort(key=lambda item: item.nodeid.startswith("tests/browser/"))
