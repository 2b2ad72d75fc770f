"""Pages fit their window in both themes, on a desk and on a phone. With HOLDFAST_PICTURES a folder, each is photographed there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import scene
from tests.browser.conftest import DESK, WINDOWS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_every_page_fits_its_window_in_both_themes(role, drive, as_person):
    scenery = scene.build(role, drive)
    pages = {
        "queue": "/",
        "payment": f"/holds/{scenery.payment.pk}/",
        "agent": f"/holds/{scenery.agent.pk}/",
        "cases": "/cases/",
        "case": f"/cases/{scenery.contained.pk}/",
    }
    for theme, size, window in WINDOWS:
        somebody = as_person("omar" if theme == "light" else "mara", size=window, theme=theme)
        for name, path in pages.items():
            page = somebody.go(path)
            somebody.is_live()
            width = page.evaluate("document.documentElement.scrollWidth")
            photograph(page, f"{name}-{size}-{theme}")
            assert width <= window[0], f"{name} is {width} wide on a {size}"
        assert somebody.complaints == []


def photograph(page, name):
    if folder := os.environ.get("HOLDFAST_PICTURES"):
        page.wait_for_timeout(250)
        page.screenshot(path=Path(folder) / f"{name}.png")
        detail = page.locator("#detail .sheet")
        if "desk" in name and detail.count():
            height = detail.evaluate("element => element.scrollHeight + 90")
            page.set_viewport_size({"width": DESK[0], "height": max(DESK[1], int(height))})
            page.screenshot(path=Path(folder) / f"{name}-whole.png")
            page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
