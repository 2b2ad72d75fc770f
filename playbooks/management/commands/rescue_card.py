"""Print what puts a run's target back by hand: with web, workers and broker down, from the database alone.

Exit codes: 0 there is a card, 1 nothing of it stands or no such run, 2 the database does not answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from evidence.vault import BrokenSeal
from playbooks import rescue
from playbooks.models import Run

NOTHING, NO_DATABASE = 1, 2


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", nargs="?", type=UUID, help="the id of a run")
        parser.add_argument("--identity", metavar="SUBJECT", default="", help="whatever holds this subject now, as its own system calls it")
        parser.add_argument("--all", action="store_true", help="everything that stands now")
        parser.add_argument(
            "--open-sealed", action="store_true", help="print what is sealed for the undo of RUN as well; it takes the seal key"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if sum(map(bool, (options["run"], options["identity"], options["all"]))) != 1:
            raise CommandError("Name one run, or --identity SUBJECT, or --all.")
        if options["open_sealed"] and not options["run"]:
            raise CommandError("--open-sealed is for one run.")
        try:
            standing = 0
            for run in self._runs(options):
                card = rescue.card(run)
                standing += bool(card.deeds)
                for line in rescue.text([card]):
                    self.stdout.write(line)
                if options["open_sealed"]:
                    self._open(run)
        except DatabaseError as error:
            self.stderr.write(f"The database does not answer: {str(error).strip().splitlines()[0]}")
            sys.exit(NO_DATABASE)
        if not standing:
            self.stderr.write("Nothing that was asked about stands.")
            sys.exit(NOTHING)
        if not options["run"]:
            self.stdout.write(f"# {standing} {'run stands' if standing == 1 else 'runs stand'}; these are all of them, the newest first.")

    def _runs(self, options: dict[str, Any]) -> Iterable[Run]:
        if options["run"]:
            found = rescue.one(options["run"])
            return [found] if found else []
        return rescue.standing(subject=options["identity"])

    def _open(self, run: Run) -> None:
        try:
            opened = rescue.open_sealed(run)
        except BrokenSeal as broken:
            self.stderr.write(broken.sentence)
            return
        for name, value in opened.items():
            self.stdout.write(f"# {name}: {value}")
