"""Celery's way in. A task carries an id; what is done already makes it a no-op."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import OperationalError

from containment import backtests, exposures, flow, grouped
from core.refusals import Refusal


@shared_task(name=flow.DECIDE)
def decide(detection_id: str) -> None:
    try:
        key = UUID(detection_id)
    except ValueError:
        return  # a forged or foreign message: it names no row
    try:
        flow.decide_due(key)
    except (OperationalError, Refusal):
        return  # it is still due; a sweeper tries again


@shared_task(name=grouped.FOLLOW)
def follow(hold_id: str) -> None:
    try:
        key = UUID(hold_id)
    except ValueError:
        return
    try:
        grouped.follow_some(key)
    except OperationalError:
        return


@shared_task(name=backtests.DRIVE)
def backtest(backtest_id: str) -> None:
    try:
        key = UUID(backtest_id)
    except ValueError:
        return
    try:
        backtests.carry_on(key)
    except OperationalError:
        return


@shared_task(name=exposures.PASS_ON)
def pass_on(exposure_id: str) -> None:
    try:
        key = UUID(exposure_id)
    except ValueError:
        return
    try:
        exposures.pass_on(key)
    except OperationalError:
        return
