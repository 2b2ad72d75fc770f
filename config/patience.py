"""How long the web server waits for its database, which may be gone, or take connections and never answer.

PostgreSQL ends by itself what takes too long (statement_timeout), as long as it lives. One that stands still, on a frozen disk or in a
paused machine, ends nothing: without a limit on this side each request would wait for it, and hold its thread, for ever.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors

CONNECTION_S = 15.0  # for one of the pool: a storm of a few dozen clients waits its turn
SILENT_S = 1.0  # for the same while the database does not answer: whoever asks is told so at once
CHECK_S = 2.0  # for the pool's own question, which an idle connection answers within a millisecond
STATEMENT_S = 20.0  # beyond statement_timeout: the database lives no more if it did not end it itself
AGAIN_S = 5.0  # tries to connect follow each other ever more slowly for so long; after that each request is a try
TCP = {"connect_timeout": "5", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3", "tcp_user_timeout": "20000"}


class Connection(psycopg.Connection[Any]):
    """Of the web server's pool."""

    @classmethod
    def connect(cls, *given: Any, **options: Any) -> Any:
        try:
            made = super().connect(*given, **options)
        except psycopg.OperationalError as error:
            if "too many" not in str(error):  # it has no room for one more connection, and answers on those that stand
                _seen(silent=True)
            raise
        _seen(silent=False)
        return made

    def execute(self, query: Any, *given: Any, **options: Any) -> Any:
        """An empty statement is the pool's question before it hands a connection out."""
        if query != "":
            return super().execute(query, *given, **options)
        self.patience_s = CHECK_S
        try:
            answer = super().execute(query, *given, **options)
        finally:
            self.patience_s = STATEMENT_S
        _seen(silent=False)
        return answer

    patience_s = STATEMENT_S

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except errors._WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()  # whatever it may still answer belongs to nobody
            _seen(silent=True)
            raise psycopg.OperationalError("the database did not answer") from None


def _seen(*, silent: bool) -> None:
    from django.db.backends.postgresql.base import DatabaseWrapper

    for pool in list(DatabaseWrapper._connection_pools.values()):  # type: ignore[attr-defined]
        pool.timeout = SILENT_S if silent else CONNECTION_S
