"""Pages fit their window in both themes, on a desk and on a phone. With HOLDFAST_PICTURES a folder, each is photographed there."""

from __future__ import annotations

import pytest

from tests.browser import scene
from tests.browser.windows import they_fit

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
    they_fit(as_person, pages, light="omar", dark="mara")
