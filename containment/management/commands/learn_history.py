"""Have a feed's past learned: a file of events, one JSON object a line, as POST /api/v1/activity takes them.

Each counts as if it had been told when it happened, so that days before today count as days. Nothing in it is judged: whoever runs this
answers for it, by name. Its source has to be one that teaches; ids that were told before are not learned again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actors
from accounts.models import Person
from containment import activity
from containment.activity import Taken, Told
from containment.models import Source
from core.actor import Actor
from core.refusals import Refusal
from sources import activity as events


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--source", required=True, metavar="NAME", help="the feed whose past it is")
        parser.add_argument("--by", required=True, metavar="USERNAME", help="the engineer who answers for it")

    def handle(self, *args: Any, **options: Any) -> None:
        told = list(_events(options["file"]))
        answers = activity.live_through(told, actor=_engineer(options["by"], options["source"]))
        for number, answer in enumerate(answers, 1):
            if isinstance(answer, Refusal):
                self.stderr.write(f"line {number}: {answer.sentence}")
        learned = sum(isinstance(answer, Taken) and answer.learned for answer in answers)
        self.stdout.write(f"{learned} of {len(answers)} events were learned.")


def _events(path: Path) -> Iterator[Told]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        try:
            message = json.loads(line)
            yield Told(events.read(message), message)
        except ValueError as error:
            raise CommandError(f"Line {number} is not JSON ({error}). Nothing was learned.") from None
        except Refusal as refusal:
            raise CommandError(f"Line {number}: {refusal.sentence} Nothing was learned.") from None


def _engineer(username: str, source: str) -> Actor:
    person = Person.objects.filter(username__iexact=username, is_active=True).first()
    if person is None:
        raise CommandError(f"Nobody signs in as {username}.")
    actor = actors.of_person(person)
    if not actor.may("connector.edit"):
        raise CommandError(f"{username} may not set up sources; an engineer may.")
    if not Source.objects.filter(name=source, teaches=True).exists():
        raise CommandError(f"{source} is no source that teaches. An engineer says so on the page of the source.")
    return replace(actor, source=source)
