"""Two reports of the same credentials, the other way round: neither holds one while it waits for the other."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from containment import exposures
from containment.domain import exposure_report
from containment.models import Credential, Detection, Exposure
from tests import cast, make
from tests.races import sessions

pytestmark = pytest.mark.django_db(transaction=True)


def report(external_id: str, *names: str) -> Exposure:
    message: dict[str, Any] = {
        "external_id": external_id,
        "found_at": "2026-11-22T10:00:00Z",
        "where": "https://git.example/acme/site",
        "credentials": [{"kind": "db_role", "provider": "postgres", "id": name} for name in names],
    }
    return exposures.receive(exposure_report.read(message), message, actor=cast.detector()).exposure


def test_credentials_are_locked_in_one_order_whatever_the_order_of_the_report():
    make.house()
    make.identity("one"), make.identity("two")
    first, second = Credential.objects.order_by("pk")
    forwards, backwards = report("leak-1", first.name, second.name), report("leak-2", second.name, first.name)
    with sessions.holding("credential", first.pk):
        passing = [sessions.Session(lambda key=one.pk: exposures.pass_on(key)) for one in (backwards, forwards)]  # type: ignore[misc]
        for one in passing:
            one.seen_waiting()
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM credential WHERE id = %s FOR UPDATE SKIP LOCKED", [second.pk])
            assert cursor.fetchone() is not None, "one holds the second while it waits for the first"
    for one in passing:
        one.outcome()
    assert {one.state for one in Exposure.objects.all()} == {"passed_on"}
    assert Detection.objects.count() == 4
