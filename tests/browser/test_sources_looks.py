"""Sources, leaks and verdicts fit their window in both themes. With HOLDFAST_PICTURES a folder, each is photographed there."""

from __future__ import annotations

import hashlib

import pytest

from containment import cases, exposures, fingerprints, flow, limits
from containment.domain import exposure_report
from containment.models import Credential, Detection, Source
from tests import cast, make
from tests.browser.windows import they_fit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def _scenery() -> dict[str, str]:
    make.house()
    for number in range(4):
        make.identity(f"svc_{number}")
    make.identity("root", protected=True, protected_because="break-glass")
    first = make.detected("svc_0")
    assert first.case is not None
    cases.judge(first.case.pk, "true_positive", "seen in the logs", actor=cast.person("ines"))
    Credential.objects.filter(name="svc_1").update(secret_digest=fingerprints.of_secret("s3cret"))
    message = {
        "external_id": "leak-1",
        "found_at": "2026-11-22T10:00:00Z",
        "where": "https://git.example/acme/website/blob/9f2c0be1d2f84d6c8b7f3a1e/deploy/production/.env",
        "note": "public for about two hours",
        "credentials": [
            {"fingerprint": "sha256:" + hashlib.sha256(b"s3cret").hexdigest()},
            {"kind": "db_role", "id": "nobody"},
            {"provider": "postgres", "subject": "svc_2"},
            {"provider": "postgres", "subject": "root"},
        ],
    }
    leak = exposures.receive(exposure_report.read(message), message, actor=cast.detector()).exposure
    exposures.pass_on(leak.pk)
    for detection in Detection.objects.filter(state="received"):
        flow.decide(detection.pk)
    scanner = Source.objects.create(name="scanner", ceiling="hold", kinds=["service_account"], providers=["postgres"], max_age_seconds=7200)
    limits.change(scanner.pk, {"ceiling": "contain", "kinds": [], "budget_per_hour": 100}, actor=cast.person("enzo"))
    Source.objects.filter(name="edr-prod").update(rate_per_minute=1)
    make.detected("svc_3")
    edr = Source.objects.get(name="edr-prod")
    return {
        "sources": "/sources/",
        "source": f"/sources/{edr.pk}/",
        "source-waits": f"/sources/{scanner.pk}/",
        "add-source": "/sources/add/",
        "verdicts": "/sources/verdicts/",
        "exposures": "/exposures/",
        "exposure": f"/exposures/{leak.pk}/",
        "decision": f"/decisions/{first.pk}/",
        "case-signals": f"/cases/{first.case.pk}/",
        "queue-dropped": "/",
    }


def test_every_page_of_sources_and_leaks_fits_its_window(as_person):
    pages = _scenery()
    they_fit(as_person, pages, light="enzo", dark="enzo")
