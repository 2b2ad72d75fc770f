"""`manage.py scenario NAME`: play an incident, or with --signals each signal once, against the running trial, and tell what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trial.scenarios import ALL, SIGNALS, Outcome, Scenario, ScenarioTrouble
from trial.seed import ACCESS

CUT_WITHIN = 20.0  # seconds the command stays to see the intruder go


class Command(BaseCommand):
    help = "Play an incident in the estate. Without a name: which ones there are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", choices=sorted({**ALL, **SIGNALS}), metavar="NAME")
        parser.add_argument("--signals", action="store_true", help="play all that show one signal each; exit 1 if a signal did not appear")
        parser.add_argument("--home", type=Path, default=settings.HOME)
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, name: str | None, home: Path, **options: Any) -> None:
        if name is None and not options["signals"]:
            for scenario in (*ALL.values(), *SIGNALS.values()):
                self.stdout.write(f"{scenario.name:32}{scenario.title}")
            return
        try:
            access = json.loads((home / ACCESS).read_text())
        except OSError as no:
            raise CommandError(f"{home / ACCESS} cannot be read ({no.strerror}). Start the trial with script/up first.") from no
        if "estate" not in access:
            raise CommandError("This trial was started with --empty: it has no estate to play in.")
        if name is None:
            self._play_the_signals(access, as_json=options["json"])
            return
        try:
            outcome = {**ALL, **SIGNALS}[name].run(access)
        except ScenarioTrouble as trouble:
            raise CommandError(str(trouble)) from trouble
        if options["json"]:
            self.stdout.write(json.dumps(outcome.public(), indent=1))
        else:
            self._tell(outcome, access["url"])
        self._see_the_intruder_off(outcome, quietly=options["json"])

    def _play_the_signals(self, access: Mapping[str, Any], *, as_json: bool) -> None:
        """One after the other, however some of them end."""
        lines = [_played(scenario, access) for scenario in SIGNALS.values()]
        if as_json:
            self.stdout.write(json.dumps(lines, indent=1))
        else:
            self.stdout.write(f"{'code':24}{'strength':>9}{'decibans':>10}  {'verdict':10}decision")
            for line in lines:
                numbers = f"{line['strength']:9.2f}{line['decibans']:10.2f}" if line["appeared"] else f"{'–':>9}{'–':>10}"
                self.stdout.write(f"{line['code']:24}{numbers}  {line['verdict'] or '–':10}{line['link'] or line['trouble']}")
        missing = [line["code"] for line in lines if not line["appeared"]]
        other = [
            f"{line['code']} ({line['verdict']}, not {line['expected']})" for line in lines if line["appeared"] and not line["as_expected"]
        ]
        if missing or other:
            said = [f"did not appear: {', '.join(missing)}"] * bool(missing) + [f"came to another verdict: {', '.join(other)}"] * bool(
                other
            )
            raise CommandError("; ".join(said))

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


def _played(scenario: Scenario, access: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    line: dict[str, Any] = {"code": scenario.signal, "strength": 0.0, "decibans": 0.0, "verdict": "", "expected": scenario.expect}
    line |= {"link": "", "trouble": "", "appeared": False, "as_expected": False}
    try:
        outcome = scenario.run(access)
    except ScenarioTrouble as trouble:
        return line | {"trouble": str(trouble)}
    decision = outcome.answer.get("decision") or {}
    found = outcome.signals.get(scenario.signal, {})
    return line | {
        "strength": float(found.get("strength", 0)),
        "decibans": float(found.get("decibans", 0)),
        "verdict": outcome.verdict,
        "link": f"{access['url']}/decisions/{decision['id']}/" if decision else "",
        "appeared": outcome.shows(scenario.signal),
        "as_expected": scenario.came_to(outcome),
    }
