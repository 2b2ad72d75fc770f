"""Try a policy on what was decided: who would have been contained or held, what would have been different, and how often people are asked.

The backtest is a row like any other: workers and sweepers help, it can be looked at in the console, and what this process does not finish
is finished by them. Nothing is done outside.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actors
from accounts.models import Person
from audit import clock
from containment import backtests
from containment.models import Backtest
from core.actor import SYSTEM, Actor
from core.refusals import BadInput, Refusal

_SPANS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SHOWN = 20


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--policy", type=Path, metavar="FILE", help="the text of the policy, as YAML")
        parser.add_argument("--since", default="30d", help="so long ago (30d, 12h, 4w), or a moment as 2026-11-22T10:00:00Z")
        parser.add_argument("--until", default="", help="the same; left out: now")
        parser.add_argument("--json", action="store_true", help="print all that was found as JSON")
        parser.add_argument("--processes", type=int, default=2, help="how many work on it")
        parser.add_argument("--by", default="", metavar="USERNAME", help="who asks")
        parser.add_argument("--work", default="", metavar="ID", help="only help with this backtest until it is done")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["work"]:
            _work(UUID(options["work"]))
            return
        if options["policy"] is None:
            raise CommandError("Name the policy: --policy FILE.")
        found = _tried(options)
        if found.state == "failed":
            raise CommandError(f"The backtest was not finished. {found.trouble}")
        self.stdout.write(json.dumps(_as_json(found), indent=2) if options["json"] else _as_text(found))


def _tried(options: dict[str, Any]) -> Backtest:
    path: Path = options["policy"]
    now = clock.now()
    try:
        text = path.read_text(encoding="utf-8")
        asked = backtests.ask(
            text,
            since=_moment(options["since"], now),
            until=_moment(options["until"], now) if options["until"] else None,
            actor=_actor(options["by"]),
        )
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except BadInput as refusal:
        raise CommandError("\n".join([f"{path.name} is no policy:", *(f"{one.path}: {one.detail}" for one in refusal.faults)])) from None
    except Refusal as refusal:
        raise CommandError(refusal.sentence) from None
    helpers = [_helper(asked.pk) for _ in range(options["processes"] - 1)]
    _work(asked.pk)
    for helper in helpers:
        helper.wait()
    return Backtest.objects.select_related("version").get(pk=asked.pk)


def _helper(key: UUID) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(Path(sys.argv[0]).resolve()), "backtest", "--work", str(key)])


def _work(key: UUID) -> None:
    """Until it is over. Slices that others hold are waited for."""
    while Backtest.objects.filter(pk=key, state__in=["due", "running"]).exists():
        if not backtests.drive(key, turn_s=60):
            time.sleep(0.05)


def _moment(said: str, now: datetime) -> datetime:
    if span := re.fullmatch(r"(\d{1,5})([hdw])", said):
        return now - int(span[1]) * _SPANS[span[2]]
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise CommandError(f"{said!r} is neither a span as 30d nor a moment as 2026-11-22T10:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _actor(username: str) -> Actor:
    if not username:
        return SYSTEM
    person = Person.objects.filter(username__iexact=username, is_active=True).first()
    if person is None:
        raise CommandError(f"Nobody signs in as {username}.")
    return actors.of_person(person)


def _as_json(found: Backtest) -> dict[str, Any]:
    return {
        "id": str(found.pk),
        "policy_digest": found.policy_digest,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "whole_history": found.whole,
        **found.result,
    }


def _as_text(found: Backtest) -> str:
    result = found.result
    noticed = result["noticed"]
    lines = [
        (
            f"{result['events']:,} decisions on {result['days']} days, {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC;"
            f" {result['in_full']:,} judged on their whole facts."
        ),
        "",
        f"{'verdict':<12}{'was':>12}{'would be':>12}",
        *(
            f"{verdict:<12}{result['verdicts']['before'].get(verdict, 0):>12,}{result['verdicts']['after'].get(verdict, 0):>12,}"
            for verdict in ("watch", "covered", "exempt", "hold", "contain")
        ),
        "",
        f"{sum(result['flips'].values()):,} would be different:",
        *(f"  {count:>8,}  {flip.replace(' > ', ' → ')}" for flip, count in result["flips"].items()),
        *(f"  {flip['decision']}  {flip['verdict']} {flip['stage']}: {flip['because']}" for flip in result["flipped"][:_SHOWN]),
        "",
        "If it were enforced, each identity once a day:",
        f"  {noticed['contained']:,} contained, {noticed['held']:,} held, {noticed['stopped_by_budget']:,} of these by the budget",
        (
            f"  {noticed['asks']:,} asks, {noticed['asks_per_approver_and_day'] or 0:g} per approver and day"
            f" ({noticed['approvers']} approvers); most on {noticed['busiest_day'] or 'no day'}: {noticed['busiest_day_asks']}"
        ),
        f"  {noticed['business_minutes']:g} business minutes slowed at most, in {noticed['business_sessions']} designated sessions",
        *(f"  {kind}: " + ", ".join(f"{count} {what}" for what, count in counts.items()) for kind, counts in noticed["kinds"].items()),
    ]
    return "\n".join(lines)
