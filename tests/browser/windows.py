"""Whether pages fit the window that they are looked at through, and whether everybody can read and use them; with HOLDFAST_PICTURES a
folder, each is photographed there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import DESK, WINDOWS, Somebody

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def keeps_nobody_out(page: Page, *, theme: str) -> None:
    """The rules of accessibility that a program can check. The two themes differ in nothing but colours."""
    found = Axe().run(page, options=RULES if theme == "light" else OF_COLOURS).response["violations"]
    assert not [(page.url, theme, one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]


def they_fit(as_person: Callable[..., Somebody], pages: Mapping[str, str], *, light: str, dark: str) -> None:
    """Each page, looked at by `light` and `dark` in the theme of that name: it is as wide as its window, on a desk no longer either
    (its panes scroll), and the browser complains of nothing."""
    for theme, size, window in WINDOWS:
        somebody = as_person({"light": light, "dark": dark}[theme], size=window, theme=theme)
        for name, path in pages.items():
            page = somebody.go(path)
            somebody.is_live()
            width, height = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
            photograph(page, f"{name}-{size}-{theme}")
            assert width <= window[0], f"{name} is {width} wide on a {size}"
            assert height <= window[1] or window[0] < DESK[0], f"{name} is {height} long on a {size}"
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
