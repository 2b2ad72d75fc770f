"""Import an inventory from a YAML or CSV file: all of it or nothing, with a sentence and a line for everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actors
from accounts.models import Person
from containment import importing
from containment.importing import CannotImport
from containment.importing.reading import Document, read_csv, read_yaml
from core.actor import SYSTEM, Actor

MOST_SHOWN = 200


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="*.yaml, *.yml, or *.csv named for its section (identities.csv)")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
        parser.add_argument("--by", default="", metavar="USERNAME", help="who drafts workflows and profiles and asks for designations")
        parser.add_argument("--section", default="", help="what the rows of a CSV file are, where its name does not say it")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            document = _read(path, options["section"])
            outcome = importing.carry_out(document, name=path.name, actor=_actor(options["by"]), dry_run=options["dry_run"])
        except CannotImport as refusal:
            raise CommandError(_complaint(path, refusal.sentences)) from None
        for change in outcome.changes:
            self.stdout.write(str(change))
        counts = [f"{sum(change.what == what for change in outcome.changes)} {what}" for what in ("new", "changed")]
        self.stdout.write(f"{', '.join(counts)}, {outcome.unchanged} as they were.")
        if options["dry_run"]:
            self.stdout.write("This was a dry run: nothing was written.")


def _read(path: Path, section: str) -> Document:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    if path.suffix.lower() in {".yaml", ".yml"}:
        return read_yaml(content)
    if path.suffix.lower() == ".csv":
        return read_csv(content, section or path.stem)
    raise CommandError(f"{path.name} is neither *.yaml nor *.csv.")


def _actor(username: str) -> Actor:
    if not username:
        return SYSTEM
    person = Person.objects.filter(username__iexact=username, is_active=True).first()
    if person is None:
        raise CommandError(f"Nobody signs in as {username}.")
    return actors.of_person(person)


def _complaint(path: Path, sentences: list[str]) -> str:
    shown = sentences[:MOST_SHOWN]
    more = [f"… and {len(sentences) - len(shown)} more"] if len(sentences) > len(shown) else []
    return "\n".join([f"{path.name} was not imported:", *shown, *more])
