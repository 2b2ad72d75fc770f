"""Judge stored decisions again, each under the policy version that it was made under, and compare the digests.

Ends with 0 when all are the same, and with 1 at the first that is not: what was decided would not be decided again from the same facts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from containment import policies
from containment.domain.judge import Judgement, judge
from containment.domain.replay import restore
from containment.models import Decision

AT_ONCE = 200


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=None, metavar="N", help="only the last N; left out: all")

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for decision in _decisions(options["limit"]):
            try:
                again = judge(restore(decision.facts), policies.document(decision.policy.text))
            except (KeyError, TypeError, ValueError) as error:
                self.stdout.write(f"Decision {decision.pk}: its facts cannot be read any more ({type(error).__name__}: {error}).")
                sys.exit(1)
            if again.digest != decision.digest:
                self.stdout.write(_difference(decision, again))
                sys.exit(1)
            count += 1
        self.stdout.write(f"{count:,} decisions judged again: every digest is the same.")


def _decisions(limit: int | None) -> Iterator[Decision]:
    rows = Decision.objects.select_related("policy").order_by("-decided_at", "-pk")
    narrow = rows.only("digest", "facts", "verdict", "stage", "risk", "sentence", "because", "policy__text", "policy__version")
    return narrow[:limit].iterator(chunk_size=AT_ONCE)


def _difference(decision: Decision, again: Judgement) -> str:
    pairs = [
        ("verdict", decision.verdict, str(again.verdict)),
        ("stage", decision.stage, str(again.stage or "")),
        ("risk", f"{decision.risk:.1f}", f"{again.risk:.1f}"),
        ("sentence", str(decision.sentence), str(again.choice.sentence)),
        ("reason", decision.because, again.because),
        ("digest", decision.digest, again.digest),
    ]
    lines = [f"  {what}: stored {was!r}, now {now!r}" for what, was, now in pairs if was != now]
    return "\n".join([f"Decision {decision.pk} under policy version {decision.policy.version} differs:", *lines])
