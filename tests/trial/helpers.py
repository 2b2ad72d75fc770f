"""Waiting for something that another thread does, and asking the estate a question."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from trial.estate import Estate


def eventually(question: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """The first true answer."""
    until = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() >= until:
            pytest.fail(f"still {answer!r} after {seconds:g} s")
        time.sleep(0.05)
    return answer


def ask(estate: Estate, question: str, *arguments: object) -> Any:
    """The first value of the first row."""
    with estate.administer() as connection:
        row = connection.execute(question.encode(), arguments).fetchone()
    return row[0] if row else None


def do(estate: Estate, *statements: str) -> None:
    with estate.administer() as connection:
        for statement in statements:
            connection.execute(statement.encode())
