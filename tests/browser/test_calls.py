"""A call that a program asks about, in a browser: it fits its window in both themes, and a person lets it be made."""

from __future__ import annotations

import pytest

from approvals import holds, requests
from tests import cast, make
from tests.browser.conftest import WINDOWS
from tests.browser.windows import photograph
from tests.console.conftest import postgres_plans
from tests.console.test_calls import CALL, asked, token, wish

__all__ = ["postgres_plans"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("postgres_plans")]


@pytest.fixture
def pages(transactional_db):
    make.house()
    writer = make.identity("payments_writer")
    make.session(writer, "payments-loop", application="payments-loop")
    make.designation(writer, "payments-loop")
    hold = make.hold_of(make.detected("payments_writer", session=None))
    requests.ask(wish(writer, hold.run_ref, asks=CALL | {"who": str(writer)}), hold, actor=token())
    waiting, made = asked(emergency=True), asked()
    holds.answer(made.hold_id, "approve", actor=cast.person("mara"), seen_digest=made.hold.plan_digest, reason="called the vendor")
    return {
        "call": f"/holds/{waiting.hold_id}/",
        "call-allowed": f"/holds/{made.hold_id}/",
        "case-hold-waited-for": f"/holds/{hold.pk}/",
        "queue-calls": "/",
    }


def test_its_pages_fit_their_window_in_both_themes(pages, as_person):
    for theme, size, window in WINDOWS:
        somebody = as_person("omar", size=window, theme=theme)
        for name, path in pages.items():
            page = somebody.go(path)
            somebody.is_live()
            photograph(page, f"{name}-{size}-{theme}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, size, theme)
        assert somebody.complaints == []


def test_a_person_lets_it_be_made(pages, as_person):
    ines = as_person("ines")
    page = ines.go(pages["call"])
    ines.is_live()
    page.get_by_role("button", name="Allow this call").click()
    page.locator("#ending").wait_for()
    assert "Ines allowed this call" in page.locator("#ending").inner_text()
    assert page.locator("#approval").get_by_text("not used yet").is_visible()
    assert ines.complaints == []
