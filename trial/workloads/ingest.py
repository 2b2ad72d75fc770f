"""The ETL reader: reads what came in, batch after batch, round and round."""

from __future__ import annotations

import psycopg

from trial.workloads.base import Workload


class Ingest(Workload):
    session = "etl-main"
    role = "etl_reader"
    every = 0.5
    _read_until = 0

    def tick(self, connection: psycopg.Connection) -> None:
        batches = connection.execute(
            "SELECT id, sender, rows_in FROM ingest.batches WHERE id > %s ORDER BY id LIMIT 10", [self._read_until]
        ).fetchall()
        self._read_until = batches[-1][0] if batches else 0
        self.did("data.read", "ingest.batches")
        self.status.did_well()
