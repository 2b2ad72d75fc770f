"""Ask whether what must always be true is: exit 0 it holds, 1 broken (says which and where), 2 cannot tell."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection

from audit import clock
from containment import invariants


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=float, default=None, metavar="N", help="only rows of the last N days; left out: all")
        parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for one question (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            connection.ensure_connection()
            since = clock.now() - timedelta(days=options["days"]) if options["days"] is not None else invariants.EPOCH
            found, silent = invariants.look(since=since, timeout_s=options["timeout"])
        except DatabaseError as error:
            self._end(2, f"Cannot tell: the database does not answer ({type(error).__name__}).")
        for name, rows in found.items():
            self.stdout.write(f"{name}: {invariants.INVARIANTS[name].sentence}")
            for row in rows:
                self.stdout.write(f"  not so: {row}")
        for name, why in silent.items():
            self.stdout.write(f"{name}: cannot tell, {why}")
        if found:
            self._end(1, f"Broken: {len(found)} of {len(invariants.INVARIANTS)}.")
        if silent:
            self._end(2, f"Cannot tell: {len(silent)} of {len(invariants.INVARIANTS)} could not be asked.")
        self._end(0, f"All {len(invariants.INVARIANTS)} hold.")

    def _end(self, code: int, sentence: str) -> NoReturn:
        self.stdout.write(sentence)
        sys.exit(code)
