"""Production's first administrator: added if there is none, and let in by a link that works once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import links, people
from accounts.models import Person
from accounts.roles import Role
from audit.record import story
from core.actor import SYSTEM


class Command(BaseCommand):
    help = "Add the first administrator and print a sign-in link that works once. Until they have signed in, a new link can be asked for."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin")
        parser.add_argument("--name", default="", help="how pages call them; the username if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        person, secret = _bootstrap(options["username"], options["name"] or options["username"])
        self.stdout.write(f"Sign in as {person} once, within 24 hours: {links.address(secret)}")


@story
def _bootstrap(username: str, name: str) -> tuple[Person, str]:
    administrators = Person.objects.filter(is_active=True, role_grants__role=Role.ADMIN)
    if someone := administrators.filter(last_login__isnull=False).first():
        raise CommandError(f"There is an administrator already: {someone}. They can add people and issue links.")
    person = administrators.filter(username__iexact=username).first() or _add(username, name)
    return person, links.issue(person, actor=SYSTEM)


def _add(username: str, name: str) -> Person:
    try:
        return people.add(username, name=name, roles=[Role.ADMIN], actor=SYSTEM)
    except people.UsernameTaken as refusal:
        raise CommandError(f"{refusal.sentence} Choose another with --username.") from refusal
