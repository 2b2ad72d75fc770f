"""One call of a tool, from the question to what came of it: what `with guard.call(…)` hands out, and what is told about it afterwards."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from holdfast_guard import plain
from holdfast_guard.words import Verdict

DONE, FAILED, CANCELLED, NOT_DONE = "done", "failed", "cancelled", "not_done"
OUTCOMES = (DONE, FAILED, CANCELLED, NOT_DONE)


class Call:
    """A call that may be made. Say what it `returned`, or that it was `not_done` after all; otherwise leaving the block says so."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self._outcome = ""
        self._returned: Any = None
        self._bytes: int | None = None

    def returned(self, value: Any, *, size: int | None = None) -> None:
        self._returned, self._bytes = value, size

    def not_done(self) -> None:
        self._outcome = NOT_DONE

    def failed(self) -> None:
        self._outcome = FAILED

    def told(self, error: BaseException | None) -> dict[str, Any]:
        """What is reported, once the block was left with `error` or without."""
        return outcome_item(self._outcome or outcome_of(error), self._returned, self._bytes)


def outcome_of(error: BaseException | None) -> str:
    if error is None:
        return DONE
    return CANCELLED if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit) else FAILED


def outcome_item(outcome: str, returned: Any = None, size: int | None = None) -> dict[str, Any]:
    if outcome not in OUTCOMES:
        raise ValueError(f"An outcome is one of {', '.join(OUTCOMES)}.")
    item: dict[str, Any] = {"outcome": outcome}
    if returned is not None and (texts := plain.texts(returned)):
        item["returned"] = texts
    if size is not None and 0 <= size <= plain.SAFE:
        item["bytes"] = size
    return item


NOT_AT_ONCE = (
    "This function does its work later than it returns, and would be told as done before. Use AsyncGuard, or `with guard.call(…)`."
)


def must_do_it_at_once(function: Callable[..., Any]) -> None:
    """Of an asynchronous function or a generator, nothing is done yet when it returns."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    if any(kind(one) for kind in kinds for one in (function, getattr(function, "__call__", None))):  # noqa: B004 - not whether: which
        raise TypeError(NOT_AT_ONCE)


def must_be_awaited(function: Callable[..., Any]) -> None:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError("Of a generator nothing is done yet when it returns. Use `async with guard.call(…)`.")


def arguments_of(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """By the names that the function gives them, defaults too, so that the guard judges what really will be done."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name not in ("self", "cls")}
