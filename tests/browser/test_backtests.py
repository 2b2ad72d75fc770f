"""The sliders of a backtest in a real browser: by keyboard, within the security policy, and counting what the house counts."""

from __future__ import annotations

import pytest

from audit import clock
from containment import backtests
from containment.domain.backtest import at
from containment.domain.policy import shipped_text
from containment.models import Backtest, Identity
from tests import cast, make
from tests.browser.conftest import WINDOWS
from tests.browser.windows import photograph

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HIGHER = shipped_text().replace("{kind: service_account, soft: 40, hard: 70}", "{kind: service_account, soft: 60, hard: 83}")


def a_history() -> Backtest:
    make.house()
    for number, confidence in enumerate((0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0)):
        make.identity(f"writer-{number}")
        make.detected(f"writer-{number}", confidence=confidence)
    make.session(make.identity("payer"), "pay-1", workflow="payments")
    make.designation(Identity.objects.get(subject="payer"), "pay-1")
    make.detected("payer", session=None)
    asked = backtests.ask(HIGHER, since=clock.now() - backtests.LONGEST, actor=cast.person("enzo"))
    while backtests.drive(asked.pk):
        pass
    asked.refresh_from_db()
    return asked


def test_a_threshold_is_moved_by_keyboard_and_the_numbers_follow_at_once(as_person):
    asked = a_history()
    enzo = as_person("enzo")
    page = enzo.go(f"/backtests/{asked.pk}/")
    cells = asked.result["slider"]["cells"]
    soft, rule = page.locator("#soft_1"), page.locator('fieldset[data-rule="1"]')
    soft.focus()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    for key, place in (("End", 100), ("Home", 45), ("ArrowRight", 46), ("PageUp", None)):
        soft.press(key)
        value = int(soft.input_value())
        assert place is None or value == place
        hard = int(page.locator("#hard_1").input_value())
        expected = at(cells, 1, value, hard)
        assert rule.locator('[data-count="contained"]').inner_text() == str(expected["contained"])
        assert rule.locator('[data-count="held"]').inner_text() == str(expected["held"] + expected["grouped"])
        assert rule.locator('[data-value="soft"]').inner_text() == str(value)
        assert hard >= value
    assert [url for url in requests if "/rail/" not in url and "/switch/banner/" not in url] == []
    page.get_by_role("button", name="Draft a policy with these thresholds").click()
    page.wait_for_url("**/draft/**")
    assert f"{{kind: service_account, soft: {value}, hard: {hard}}}" in page.locator("#text").input_value()
    assert enzo.complaints == []


def test_the_script_counts_as_the_house_does_at_every_place(as_person):
    asked = a_history()
    page = as_person("enzo").go(f"/backtests/{asked.pk}/")
    cells = asked.result["slider"]["cells"]
    counted = page.evaluate(
        """async (cells) => {
            const { at } = await import(document.querySelector('script[src*="js/backtest"]').src);
            const found = [];
            for (let soft = 45; soft <= 100; soft += 1)
                for (const hard of [soft, 83, 100]) if (hard >= soft) found.push([soft, hard, at(cells, 1, soft, hard)]);
            return found;
        }""",
        cells,
    )
    assert len(counted) > 100
    assert [found for *_, found in counted] == [at(cells, 1, soft, hard) for soft, hard, _ in counted]


def test_the_page_fits_its_window_in_both_themes(as_person):
    asked = a_history()
    for theme, size, window in WINDOWS:
        enzo = as_person("enzo", size=window, theme=theme)
        for name, path in {"backtest": f"/backtests/{asked.pk}/", "backtests": "/backtests/"}.items():
            page = enzo.go(path)
            enzo.is_live()
            photograph(page, f"{name}-{size}-{theme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= window[0], f"{name} on a {size}"
        assert enzo.complaints == []
