"""A real web server on the test database, a real Valkey between it and the tests, and Chromium in front of it.

Django refuses the database where an event loop runs, and Playwright runs one in the background of a test; nothing here is async, so it may.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from embedded.places import ROOT
from embedded.postgres import Postgres, free_port
from embedded.process import tail
from embedded.valkey import Valkey
from tests import examples
from tests.flows.conftest import drive, role
from tests.servers import temporary_folder

__all__ = ["drive", "role"]

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "/usr/bin/chromium")
QUIETLY = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
expect.set_options(timeout=30_000)  # as long as for everything else; what is to come within a time says so itself
DESK, PHONE = (1440, 900), (390, 844)
ALL_WINDOWS = [(theme, size, window) for theme in ("light", "dark") for size, window in (("phone", PHONE), ("desk", DESK))]
# What each page must fit: both themes and both sizes, and with HOLDFAST_FULL=1, or for pictures, each size in each theme.
WINDOWS = ALL_WINDOWS if examples.FULL or os.environ.get("HOLDFAST_PICTURES") else [ALL_WINDOWS[0], ALL_WINDOWS[3]]


@dataclass
class Somebody:
    """One person's browser. `complaints` are what the browser refused or could not do: scripts, styles, errors."""

    context: BrowserContext
    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str = "/") -> Page:
        self.page.goto(self.origin + path)
        return self.page

    def is_live(self) -> Page:
        """Once the socket stands."""
        self.page.locator('#live-state[data-state="live"]').wait_for()
        return self.page


@pytest.fixture(scope="session")
def server(django_db_setup: None, valkey: Valkey, estate: Postgres) -> Iterator[str]:
    """granian with config.asgi, as in production; gives its origin."""
    from django.db import connection

    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = os.environ | {
        "DATABASE_URL": database,
        "DATABASE_OWNER_URL": database,
        "CHANNELS_URL": valkey.url(1),
        "BROKER_URL": valkey.broker_url(2),
        "HOLDFAST_ORIGIN": origin,
        "HOLDFAST_ESTATE_DSN": estate.dsn("estate"),
        "HOLDFAST_TRIAL": "1",
    }
    log = temporary_folder("web") / "web.log"
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--loop", "uvloop", "--no-access-log", "config.asgi:application"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"{origin}/livez", process, lambda: tail(log))
        yield origin
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Callable[[], str]) -> None:
    over = time.monotonic() + 60
    while time.monotonic() < over and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"The web server did not answer:\n{log()}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIETLY)
        yield browser
        browser.close()


@pytest.fixture
def as_person(transactional_db: None, server: str, valkey: Valkey, chromium: Browser, settings: Any) -> Iterator[Callable[..., Somebody]]:
    """A browser in which somebody of tests/cast.py is signed in. What the test itself commits reaches open pages too. Pages stand still
    unless `motion` says otherwise: a light that breathes is painted sixty times a second, here by the processor."""
    settings.CHANNEL_LAYERS = {"default": settings.CHANNEL_LAYERS["default"] | {"CONFIG": {"hosts": [valkey.url(1)]}}}
    opened: list[Somebody] = []

    def open_browser(
        name: str = "", *, size: tuple[int, int] = DESK, theme: str = "light", motion: str = "reduce", **more: Any
    ) -> Somebody:
        looks: dict[str, Any] = {"color_scheme": theme, "reduced_motion": motion}
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **looks, **more)
        if name:
            context.add_cookies([{"name": "sessionid", "value": _session_of(name), "url": server}])
        person = Somebody(context, context.new_page(), server)
        person.page.on("console", lambda line: person.complaints.append(line.text) if line.type == "error" else None)
        person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
        opened.append(person)
        return person

    yield open_browser
    for person in opened:
        person.context.close()


def _session_of(name: str) -> str:
    from django.test import Client

    from accounts.models import Person
    from tests import cast

    cast.person(name)
    client = Client()
    client.force_login(Person.objects.get(username=name), backend="allauth.account.auth_backends.AuthenticationBackend")
    return client.cookies["sessionid"].value
