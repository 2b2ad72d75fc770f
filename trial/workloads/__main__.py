"""`python -m trial.workloads`: the estate's sessions, until SIGTERM. script/up starts it as one process; its status is in `workloads.json`.

Reads HOLDFAST_ESTATE_DSN, HOLDFAST_HOME and HOLDFAST_ORIGIN from the environment. Exits with 1 when a workload's thread died of a bug, so
that the supervisor starts all of them again.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from config import env
from embedded.postgres import write_private
from trial.estate import Estate
from trial.workloads.base import Workload
from trial.workloads.ingest import Ingest
from trial.workloads.mail_sink import MailSink
from trial.workloads.payments import Payments
from trial.workloads.reports import AdHocReport, AuditReport, DailyReport
from trial.workloads.telling import Feed
from trial.workloads.training import Training

STATUS = "workloads.json"


def all_workloads(estate: Estate, stop: threading.Event) -> list[Workload]:
    return [kind(estate, stop) for kind in (Ingest, Payments, DailyReport, AuditReport, AdHocReport, Training)]


def keep_running(workloads: Sequence[Workload], beside: Sequence[threading.Thread], feed: Feed, home: Path, stop: threading.Event) -> bool:
    """Until `stop`. False: a thread died. `beside`: what runs with them and does no work of its own."""
    threads = [*workloads, feed, *beside]
    for workload in workloads:
        workload.tell = feed.note
    for thread in threads:
        thread.start()
    while not stop.wait(1.0):
        write_status(workloads, feed, home)
        if not all(thread.is_alive() for thread in threads):
            return False
    for thread in threads:
        thread.join(2.0)
    return True


def write_status(workloads: Sequence[Workload], feed: Feed, home: Path) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    said = {"at": at, "workloads": [each.status.public() for each in workloads], "activity": feed.public()}
    write_private(home / STATUS, json.dumps(said, indent=1))


def main() -> int:
    home = Path(env.text("HOLDFAST_HOME"))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    estate = Estate.at_home(env.text("HOLDFAST_ESTATE_DSN"), home)
    origin = env.text("HOLDFAST_ORIGIN", "http://127.0.0.1:8000")
    running = keep_running(all_workloads(estate, stop), [MailSink(estate, home, stop)], Feed(origin, home, stop), home, stop)
    return 0 if running else 1


if __name__ == "__main__":
    sys.exit(main())
