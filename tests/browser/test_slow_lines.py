"""A page whose parts come late, as over a bad line: it is whole in the end, whatever came last."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route

from tests import make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("late", ["hx-ws", "hx-csp", "js/live"])
def test_a_page_hears_of_changes_whichever_of_its_scripts_comes_last(late, as_person):
    make.house()
    somebody = as_person("omar")

    def keep_back(route: Route) -> None:
        somebody.page.wait_for_timeout(1500)
        route.continue_()

    somebody.page.route(f"**/{late}*", keep_back)
    somebody.go("/")
    somebody.is_live()
    assert somebody.page.evaluate("htmx.config.extensions") == "ws,hx-csp"
    assert somebody.complaints == []
