"""Check that every call is the one that was answered: exit 0 intact, 1 broken (says which batch or call), 2 cannot tell.

It compares rows with the audit trail; whether that is whole, `verify_audit` says.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, NoReturn

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection, transaction

from guard import chain
from guard.models import GuardBatch

LATE = timedelta(seconds=10)


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute("SET LOCAL statement_timeout = 0")
                found, batches, late = chain.first_break(), GuardBatch.objects.count(), chain.late(than=LATE)
        except DatabaseError as error:
            self._end(2, f"Cannot verify: the database does not answer ({type(error).__name__}).")
        if found is not None:
            self._end(1, f"Broken at {found.where}: {found.why}.")
        waiting = f" {late} calls wait longer than {LATE.seconds} s for a sweeper." if late else ""
        self._end(0, f"Intact: {batches} batches.{waiting}")

    def _end(self, code: int, sentence: str) -> NoReturn:
        self.stdout.write(sentence)
        sys.exit(code)
