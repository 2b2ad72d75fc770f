"""The trainer: a long model job on one connection, a step at a time, that saves itself every few seconds, or when it is asked to, and goes
on from there."""

from __future__ import annotations

import math
import secrets
import time

import psycopg

from core.digest import digest_of_bytes
from trial.workloads.base import Workload

A_CHECKPOINT_EVERY = 4.0


class Training(Workload):
    session = "train-7"
    role = "trainer"
    every = 0.5
    _step: int | None = None  # None: not known; read from the last checkpoint
    _saved_at = 0.0

    def tick(self, connection: psycopg.Connection) -> None:
        step = self._step if self._step is not None else last_checkpoint(connection, self.session)
        asked = self._is_asked_to_save(connection)
        self._do_as_configured(connection)
        connection.execute(
            "INSERT INTO models.progress (job, step, loss) VALUES (%s, %s, %s) "
            "ON CONFLICT (job) DO UPDATE SET step = excluded.step, loss = excluded.loss, at = clock_timestamp()",
            [self.session, step + 1, loss_after(step + 1)],
        )
        self._step = step + 1
        self.did("data.write", "models.progress")
        if asked or time.monotonic() - self._saved_at >= A_CHECKPOINT_EVERY:
            connection.execute(
                "INSERT INTO models.checkpoints (job, step) VALUES (%s, %s) ON CONFLICT DO NOTHING", [self.session, self._step]
            )
            self.did("data.write", "models.checkpoints")
            self._saved_at = time.monotonic()
        if asked:
            connection.execute("UPDATE models.jobs SET wants_checkpoint = false WHERE job = %s", [self.session])
        self.status.did_well()

    def refused(self, no: psycopg.Error) -> None:
        if self.connection is not None and self.connection.closed:
            self._step = None  # what was not saved is lost: that is the price of stopping a long job

    def _is_asked_to_save(self, connection: psycopg.Connection) -> bool:
        """models.checkpoint() sets the wish, which is what is called before the job is cut."""
        row = connection.execute("SELECT wants_checkpoint FROM models.jobs WHERE job = %s", [self.session]).fetchone()
        return bool(row and row[0])

    def _do_as_configured(self, connection: psycopg.Connection) -> None:
        """A training set-up is a file that somebody edits. One line more, and the job mints itself a token."""
        row = connection.execute("SELECT wants_token FROM models.jobs WHERE job = %s", [self.session]).fetchone()
        if row and row[0]:
            connection.execute(
                "INSERT INTO models.deploy_tokens (minted_by, scope, fingerprint) VALUES (%s, 'models:deploy', %s)",
                [self.session, digest_of_bytes(secrets.token_bytes(32))],
            )
            self.did("token.mint", "models.deploy_tokens")
            connection.execute("UPDATE models.jobs SET wants_token = false WHERE job = %s", [self.session])


def last_checkpoint(connection: psycopg.Connection, job: str) -> int:
    row = connection.execute("SELECT coalesce(max(step), 0) FROM models.checkpoints WHERE job = %s", [job]).fetchone()
    return int(row[0]) if row else 0


def loss_after(step: int) -> float:
    return round(0.12 + 2.4 * math.exp(-step / 2000), 6)
