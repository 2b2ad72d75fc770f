"""What of a wanted change lets a source bring about more than it may now, and what of it does not. Pure; limits.py lets the second happen
at once and has the first wait for a second person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CEILINGS = ("watch", "hold", "contain")
_LARGER_IS_MORE = ("trust", "rate_per_minute", "budget_per_hour", "teaches")
_LISTS = ("kinds", "providers")  # an empty one allows any


def parted(was: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what may happen at once, what waits), each with only those that differ from what is. Of a list that both gives up and adds, the
    giving up happens at once; where nothing would remain, which would allow any, all of it waits."""
    at_once: dict[str, Any] = {}
    waits: dict[str, Any] = {}
    for name, value in wanted.items():
        if _same(name, was[name], value):
            continue
        if not allows_more(name, was[name], value):
            at_once[name] = value
            continue
        waits[name] = value
        if name in _LISTS and (kept := _kept(was[name], value)):
            at_once[name] = kept
    return at_once, waits


def allows_more(name: str, was: Any, wanted: Any) -> bool:
    if name in _LARGER_IS_MORE:
        return bool(wanted > was)
    if name == "ceiling":
        return _CEILINGS.index(wanted) > _CEILINGS.index(was)
    if name == "max_age_seconds":
        return was is not None and (wanted is None or wanted > was)
    if name in _LISTS:
        return bool(was) and (not wanted or not set(wanted) <= set(was))
    return False


def _kept(was: list[str], wanted: list[str]) -> list[str]:
    """What stays of the list now, if something of it goes."""
    kept = [one for one in was if one in wanted]
    return kept if len(kept) < len(was) else []


def _same(name: str, was: Any, wanted: Any) -> bool:
    return sorted(was) == sorted(wanted) if name in _LISTS else bool(was == wanted)
