"""From running servers to the first page: tables, the estate, people, policy, inventory. script/up calls it at every start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import links
from config import env
from core.actor import SYSTEM
from trial import estate, seed


class Command(BaseCommand):
    help = "Prepare a trial, or complete one: safe to call again. The last line says, as JSON, how to sign in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--home", type=Path, default=settings.HOME)
        parser.add_argument("--empty", action="store_true", help="no estate and no inventory; the policy observes")

    def handle(self, *args: Any, home: Path, empty: bool, **options: Any) -> None:
        call_command("migrate", database="owner" if "owner" in settings.DATABASES else "default", interactive=False, verbosity=0)
        try:
            built = None if empty else estate.build(env.text("HOLDFAST_ESTATE_DSN"), home)
        except estate.OutOfStep as trouble:
            raise CommandError(str(trouble)) from trouble
        guide = seed.seed(home, url=settings.ORIGIN, estate=built)
        self.stdout.write(json.dumps({"sign_in": links.address(links.issue(guide, actor=SYSTEM))}))
