"""Celery's way in. A task carries an id; a row that is not due makes it a no-op."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import OperationalError

from playbooks import engine, forgetting
from playbooks.runs import DRIVE, FORGET


@shared_task(name=DRIVE)
def drive(run_id: str) -> None:
    try:
        key = UUID(run_id)
    except ValueError:
        return  # a forged or foreign message: it names no row
    try:
        engine.drive(key, executor="worker")
    except OperationalError:
        return  # the database is away: the row is still due, and a sweeper will find it


@shared_task(name=FORGET)
def forget(run_id: str) -> None:
    try:
        key = UUID(run_id)
    except ValueError:
        return
    forgetting.forget(key)
