"""Check the audit chain: exit 0 intact, 1 broken (says where), 2 cannot tell."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection, transaction

from audit import chain
from audit.models import AuditEntry, AuditHead


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute("SET LOCAL statement_timeout = 0")
                head = AuditHead.objects.filter(chain="main").first()
                if head is None:
                    self._end(2, "Cannot verify: there is no chain yet, or its head is gone.")
                found = chain.first_break(AuditEntry.objects.order_by("seq").iterator(chunk_size=5000), head=head)
        except DatabaseError as error:
            self._end(2, f"Cannot verify: the database does not answer ({type(error).__name__}).")
        if found is not None:
            self._end(1, f"Broken at entry {found.seq}: {found.why}.")
        self._end(0, f"Intact: {head.seq} entries, head {head.hash}. No checkpoint outside the database was compared.")

    def _end(self, code: int, sentence: str) -> NoReturn:
        self.stdout.write(sentence)
        sys.exit(code)
