"""One card about many fits its window, and answering it in a browser closes the list that was on the screen."""

from __future__ import annotations

import pytest

from approvals.models import Hold
from tests import again
from tests.browser.conftest import WINDOWS
from tests.browser.windows import photograph
from tests.flows.test_grouped import house, reported

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def group(role) -> Hold:
    def made() -> None:
        house(1)
        reported("first", *(f"storm_{number:02}" for number in range(60)))

    again.scene("sixty in a group", made)
    return Hold.objects.get(grouped=True)


def test_its_pages_fit_their_window_in_both_themes(group, as_person):
    pages = {"group": f"/holds/{group.pk}/", "group-members": f"/holds/{group.pk}/members/"}
    for theme, size, window in WINDOWS:
        somebody = as_person("omar", size=window, theme=theme)
        for name, path in pages.items():
            page = somebody.go(path)
            photograph(page, f"{name}-{size}-{theme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= window[0], f"{name} on a {size}"
        photograph(somebody.go("/"), f"group-queue-{size}-{theme}")
        assert somebody.complaints == []


def test_two_people_answer_what_they_read_while_it_grows(group, as_person):
    omar, ines = as_person("omar"), as_person("ines")
    page = omar.go(f"/holds/{group.pk}/")
    page.route(
        "**/*",
        lambda asked: asked.abort() if "hx-request" in asked.request.headers and asked.request.method == "GET" else asked.continue_(),
    )
    reported("late")  # the page does not look again before the click, however long this takes
    page.locator("#answer button", has_text="Contain all").click()
    page.locator("#answers", has_text="1 more to contain").wait_for()
    assert "60 identities" in page.locator("#hold-card header").inner_text()
    other = ines.go(f"/holds/{group.pk}/")
    other.locator("#answer button", has_text="Contain all 60").click()
    other.locator("#ending", has_text="said “contain now”").wait_for()
    assert list(Hold.objects.get(gathers=True).members.values_list("name", flat=True)) == ["late"]
