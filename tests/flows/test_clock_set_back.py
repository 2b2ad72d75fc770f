"""The clock was set back while no sweeper beat: whatever was written down since, an entry of the former time tells it."""

from __future__ import annotations

import pytest
from django.db import connection

from audit.record import record, telling
from containment import clock_jumps
from core.actor import SYSTEM
from core.refs import Ref

pytestmark = pytest.mark.django_db


def written(entries: int) -> None:
    for _ in range(entries):
        with telling("a test"):
            record("audit.verified", Ref("audit", "main"), actor=SYSTEM, checked="a test", found="intact")


def of_tomorrow() -> None:
    """The newest entry is one that a clock wrote which was a day ahead."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")  # entries are final
        cursor.execute("UPDATE audit_entry SET at = at + interval '1 day' WHERE seq = (SELECT max(seq) FROM audit_entry)")
        cursor.execute("SET LOCAL session_replication_role = 'origin'")


@pytest.mark.parametrize("since", [0, 1, 2, 4, 5, 11, 40])
def test_one_entry_of_tomorrow_is_found_behind_those_of_today_and_followed_once(since):
    written(20)
    assert clock_jumps.follow(who="a test") == 0
    written(1)
    of_tomorrow()
    written(since)
    assert clock_jumps.follow(who="a test") == 1
    written(since)
    assert clock_jumps.follow(who="a test") == 0
