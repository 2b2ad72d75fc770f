"""`manage.py scenario NAME`: play an incident against the running trial, and tell what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trial.scenarios import ALL, Outcome, ScenarioTrouble
from trial.seed import ACCESS

CUT_WITHIN = 20.0  # seconds the command stays to see the intruder go


class Command(BaseCommand):
    help = "Play an incident in the estate. Without a name: which ones there are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", choices=sorted(ALL))
        parser.add_argument("--home", type=Path, default=settings.HOME)
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, name: str | None, home: Path, **options: Any) -> None:
        if name is None:
            for scenario in ALL.values():
                self.stdout.write(f"{scenario.name:26}{scenario.title}")
            return
        try:
            access = json.loads((home / ACCESS).read_text())
        except OSError as no:
            raise CommandError(f"{home / ACCESS} cannot be read ({no.strerror}). Start the trial with script/up first.") from no
        if "estate" not in access:
            raise CommandError("This trial was started with --empty: it has no estate to play in.")
        try:
            outcome = ALL[name].run(access)
        except ScenarioTrouble as trouble:
            raise CommandError(str(trouble)) from trouble
        if options["json"]:
            self.stdout.write(json.dumps(outcome.public(), indent=1))
        else:
            self._tell(outcome, access["url"])
        self._see_the_intruder_off(outcome, quietly=options["json"])

    def _tell(self, outcome: Outcome, url: str) -> None:
        for sentence in outcome.happened:
            self.stdout.write(sentence)
        self.stdout.write(f"Holdfast decided: {outcome.verdict or 'nothing yet'}. {outcome.because}")
        for sentence in outcome.watch:
            self.stdout.write(f"  · {sentence}")
        if case := outcome.answer.get("case"):
            self.stdout.write(f"{url}{case['url']}")

    def _see_the_intruder_off(self, outcome: Outcome, *, quietly: bool) -> None:
        if outcome.intruder is None:
            return
        cut = outcome.intruder.wait_until_cut(CUT_WITHIN)
        outcome.intruder.leave()
        if not quietly:
            told = f"was cut off: “{outcome.intruder.said}”" if cut else f"was still there after {CUT_WITHIN:.0f} s, and has left by itself"
            self.stdout.write(f"The foreign session {told}.")
