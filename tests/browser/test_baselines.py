"""What an identity usually does, and what an event left, fit their window in both themes, on a desk and on a phone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from containment.models import Decision, Resource
from tests import make
from tests.browser.conftest import WINDOWS
from tests.browser.windows import photograph
from tests.feed import event, lived, raised, told, workdays

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_baselines_and_what_left_them_fit_their_window(role, as_person):
    role("etl_reader")
    make.house(teaches=True)
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}])
    identity = make.identity("etl_reader", name="Nightly ingest")
    make.session(identity, "etl-main", workflow="ingest")
    Resource.objects.create(kind="table", key="sales.orders", sensitivity="moderate", system="sales-db")
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    lived(workdays(10, 30, until=noon))
    (answer,) = raised(told([event(action="secret.read", on="vault.card_tokens", system="vault", at=noon, count=40)]))
    assert answer.detection is not None
    decision = Decision.objects.get(detection_id=answer.detection)
    for theme, size, window in WINDOWS:
        somebody = as_person("omar", size=window, theme=theme)
        for name, path, part in (
            ("usual", f"/identities/{identity.pk}/", "#usual"),
            ("left", f"/decisions/{decision.pk}/", "#behaviour"),
        ):
            page = somebody.go(path)
            page.locator(part).scroll_into_view_if_needed()
            photograph(page, f"{name}-{size}-{theme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= window[0], f"{name} on a {size}"
        assert somebody.complaints == []
