"""manage.py export_journals: what the engine did next in runs that are over, as JSON lines without a name in them. --check plays each
again and fails where this engine would do something else: asked with a new version before it is let at the database.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import clock
from playbooks import journals
from playbooks.domain import journal


class Command(BaseCommand):
    help = "Writes the journals of runs that are over, one JSON object a line; --check plays them again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="how far back")
        parser.add_argument("--check", action="store_true", help="say where this engine would do something else; exit 1 if it would")

    def handle(self, *args: Any, **options: Any) -> None:
        lines = differ = 0
        for run in journals.finished(clock.now() - timedelta(days=options["days"])):
            told = journals.of_run(run)
            if told is None:
                continue
            if not options["check"]:
                self.stdout.write(json.dumps(told, separators=(",", ":")))
                continue
            for one in told["lines"]:
                lines, now = lines + 1, journal.replayed(one)
                if now != one["then"]:
                    differ += 1
                    self.stderr.write(f"run {run.pk}: it did {one['then']}, and would do {now}")
        if differ:
            raise CommandError(f"{differ} of {lines} would go on differently.")
        if options["check"]:
            self.stdout.write(f"All {lines} would go on as they did.")
