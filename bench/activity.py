"""How many events of a feed are taken in, compared and learned per second, and whether an event costs more once much has happened before.

In one process on one database, without the web server: what is measured is containment.activity. The feed is the ordinary work of ten
identities; the last share of it is compared with one near the beginning, in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.report import table, write
from tests import servers

BATCH = 1_000
IDENTITIES, RESOURCES = 10, 40
SHARE = 0.2  # of the run, after the first batches have filled what is bounded, and at its end


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench activity")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    servers.start_before_settings()
    try:
        rows = _measured(given.events)
    finally:
        servers.stop()
    body = table(["what", "found"], rows)
    print(body)  # noqa: T201
    if not given.dry:
        write("Activity", f"script/bench activity --events {given.events}", body)
    return 0


def _measured(events: int) -> list[list[str]]:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from containment import activity
    from containment.models import Activity, Baseline, Detection, Habit
    from tests import cast

    _furnish()
    feeder = cast.detector()
    took: list[float] = []
    worked = time.process_time()
    for batch in _batches(events):
        began = time.perf_counter()
        activity.take(batch, actor=feeder)
        took.append(time.perf_counter() - began)
    worked = time.process_time() - worked
    part = max(1, int(len(took) * SHARE))
    warm = min(len(took) // 10, 10)
    early, late = sorted(took[warm : warm + part]), sorted(took[-part:])
    ratio = late[len(late) // 2] / early[len(early) // 2]
    return [
        ["events, in batches of 1,000", f"{Activity.objects.count():,}"],
        ["**taken in, compared and learned per second, one process**", f"**{events / sum(took):,.0f}**"],
        ["… where this process alone would have a core to itself, without waiting for the database", f"{events / worked:,.0f}"],
        ["median of a batch, early · at the end", f"{early[len(early) // 2]:.2f} s · {late[len(late) // 2]:.2f} s"],
        [f"**an event at the end costs, compared with early** ({events * (1 - SHARE):,.0f} events later)", f"**{ratio:.2f} times**"],
        ["baselines · habits that they rest on", f"{Baseline.objects.count()} · {Habit.objects.count()}"],
        ["detections made of ordinary work", f"{Detection.objects.count()}"],
    ]


def _furnish() -> None:
    from containment.models import Resource
    from tests import make

    make.house()
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}])
    for number in range(IDENTITIES):
        make.session(make.identity(f"etl_{number}"), f"etl-{number}", workflow="ingest")
    for number in range(RESOURCES):
        Resource.objects.create(kind="table", key=f"sales.t{number}", sensitivity="moderate", system=f"db-{number % 2}")


def _batches(events: int) -> Iterator[list[Any]]:
    """Twenty events a second of each identity would be a lot; here it is three a minute, over as many days as it takes."""
    from containment.activity import Told
    from sources import activity as reader

    began = datetime.now(UTC) - timedelta(seconds=20 * events / IDENTITIES + 60)
    for start in range(0, events, BATCH):
        messages = [_message(number, began) for number in range(start, min(events, start + BATCH))]
        yield [Told(reader.read(message), message) for message in messages]


def _message(number: int, began: datetime) -> dict[str, Any]:
    who, turn = number % IDENTITIES, number // IDENTITIES
    return {
        "id": f"bench-{number}",
        "occurred_at": (began + timedelta(seconds=20 * turn)).isoformat(),
        "identity": {"kind": "service_account", "provider": "postgres", "subject": f"etl_{who}"},
        "session": {"id": f"etl-{who}"},
        "action": {"name": "data.write" if turn % 5 == 4 else "data.read"},
        "resource": {"kind": "table", "id": f"sales.t{(turn * 7 + who) % RESOURCES}"},
    }
