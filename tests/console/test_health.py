"""The health page: what the last look found, in sentences; and who may look now."""

import pytest

from audit import clock
from audit.models import AuditEntry
from containment.models import Heartbeat, InvariantCheck
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


def test_before_anybody_looked_it_says_so():
    page = words(signed_in("ines").get("/health/"))
    assert "Nobody has looked yet." in page
    assert "Nothing is overdue." in page


def test_what_is_broken_is_named_with_its_sentence_and_its_rows():
    found = {"a_hold_ends_once": ["hold 7 is open with 1 endings on record"]}
    InvariantCheck.objects.create(at=clock.now(), took_ms=412, looked_at=24, found=found)
    Heartbeat.objects.create(name="sweeper-1", kind="sweeper", at=clock.now())
    page = words(signed_in("ines").get("/health/"))
    assert "does not hold" in page
    assert "A hold that ended has one ending on record" in page
    assert "hold 7 is open with 1 endings on record" in page
    assert "sweeper-1" in page


def test_an_auditor_checks_now_and_it_is_on_record():
    answer = signed_in("wren").post("/health/check/")
    assert "hold." in words(answer)
    kept = InvariantCheck.objects.get()
    assert kept.found == {}
    assert "all hold" in AuditEntry.objects.get(verb="invariants.checked").body


def test_an_analyst_reads_it_and_is_told_who_could_check():
    client = signed_in("ines")
    assert "auditor" in words(client.get("/health/")).lower()
    assert client.post("/health/check/").status_code == 403
    assert not InvariantCheck.objects.exists()
