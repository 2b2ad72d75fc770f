"""How long 200 identities take to come back: `python -m tests.many [COUNT]`. Not part of the suite.

Contains COUNT subjects of the sandbox target, has somebody else change three of them, agrees to undo all, and lets two sweepers go on as
they do in service. Prints the seconds from the agreement until the last one is known, and how many became what.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from embedded.account import for_servers
from embedded.postgres import Postgres
from tests import servers

COUNT, CHANGED, SWEEPERS = 200, 3, 2


def main(count: int) -> int:
    servers.start_before_settings()
    estate = Postgres(servers.temporary_folder("estate"), account=for_servers(), superuser="estate_admin", settings=servers.FAST)
    try:
        estate.start()
        estate.ensure_database("estate", owner="estate_admin")
        return _measured(count, estate.dsn("estate"))
    finally:
        estate.stop()
        servers.stop()


def _measured(count: int, dsn: str) -> int:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from audit.record import telling
    from connectors import registry
    from connectors.sandbox import SandboxConnector
    from containment import mass_undo
    from containment.mass_undo import Picks
    from containment.sweep import Sweeper
    from playbooks import engine, runs
    from playbooks.models import Run
    from tests import cast
    from tests.engine.conftest import _planned

    connector = SandboxConnector(dsn=dsn)
    connector.target.create()
    registry.register("sandbox", connector)
    subjects = [f"many-{number}" for number in range(count)]
    began = time.monotonic()
    for subject in subjects:
        with telling():
            planned = _planned(soft=["workload.isolate"], hard=["workload.isolate"], on_failure="stop", subject=subject)
            run = runs.start(**planned, stage="soft")
        engine.drive(run.pk, executor="command")
    _say(f"contained {Run.objects.filter(state='contained').count()} of {count} in {time.monotonic() - began:.1f} s")
    with connector.target.connected() as outside:
        for subject in subjects[:CHANGED]:
            connector.target.put(outside, subject, "workload.isolate", "changed by somebody else")
    all_of_them = Picks(since=Run.objects.order_by("created_at")[0].created_at)
    asked = mass_undo.ask(all_of_them, "measured", actor=cast.person("mara"))
    sweepers = [Sweeper(name=f"many-{number}") for number in range(SWEEPERS)]
    threads = [threading.Thread(target=sweeper.run, daemon=True) for sweeper in sweepers]
    began = time.monotonic()
    mass_undo.approve(asked.pk, actor=cast.person("mia"), seen_digest=asked.digest)
    for thread in threads:
        thread.start()
    while not _is_done(asked) and time.monotonic() - began < 600:
        time.sleep(0.25)
    _say(f"back in {time.monotonic() - began:.1f} s: {dict(mass_undo.counts(asked))}")
    for sweeper in sweepers:
        sweeper.stopping = True
    for thread in threads:
        thread.join(timeout=20)
    return 0 if _is_done(asked) else 1


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def _is_done(asked: Any) -> bool:
    asked.refresh_from_db()
    return bool(asked.state == "done")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))
