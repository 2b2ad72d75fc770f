"""Whether pages fit the window that they are looked at through; with HOLDFAST_PICTURES a folder, each is photographed there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import DESK, WINDOWS, Somebody


def they_fit(as_person: Callable[..., Somebody], pages: Mapping[str, str], *, light: str, dark: str) -> None:
    """Each page, looked at by `light` and `dark` in the theme of that name: it is as wide as its window, and the browser complains of
    nothing."""
    for theme, size, window in WINDOWS:
        somebody = as_person({"light": light, "dark": dark}[theme], size=window, theme=theme)
        for name, path in pages.items():
            page = somebody.go(path)
            somebody.is_live()
            width = page.evaluate("document.documentElement.scrollWidth")
            photograph(page, f"{name}-{size}-{theme}")
            assert width <= window[0], f"{name} is {width} wide on a {size}"
        assert somebody.complaints == []


def photograph(page: Page, name: str) -> None:
    if folder := os.environ.get("HOLDFAST_PICTURES"):
        page.wait_for_timeout(250)
        page.screenshot(path=Path(folder) / f"{name}.png")
        detail = page.locator("#detail .sheet")
        if "desk" in name and detail.count():
            height = detail.evaluate("element => element.scrollHeight + 90")
            page.set_viewport_size({"width": DESK[0], "height": max(DESK[1], int(height))})
            page.screenshot(path=Path(folder) / f"{name}-whole.png")
            page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
