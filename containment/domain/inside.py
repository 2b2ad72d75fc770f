"""Inside: whether what somebody wants to do lies inside what somebody else may do. Pure.

Decided by showing it, pattern by pattern: what cannot be shown to lie inside is outside. `mail.*` does not lie inside `mail.send`, nor
`a?c` inside `a[!b]c`. Places are named as a registration names them: `tools[1]`, `budgets.writes_per_hour`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from typing import Any

from containment.domain import values

LISTS = ("tools", "resources", "environments")
_ANY, _ONE = "\ue000", "\ue001"  # stand for `*` and `?` of the inner pattern; no name of a thing has them
_SPECIAL = frozenset("*?[")


def pattern_inside(inner: str, outer: str) -> bool:
    """Whether every name that fits `inner` fits `outer`, as far as that can be shown. A `*` lies inside a `*` alone, a `?` inside a `?` or
    a `*`; a set of characters inside the same text, or inside `*`."""
    if inner == outer or outer == "*":
        return True
    if not _SPECIAL & set(inner):
        return fnmatchcase(inner, outer)
    if "[" in inner or "[" in outer or {_ANY, _ONE} & set(inner + outer):
        return False
    return bool(_shape(outer).match(inner.replace("*", _ANY).replace("?", _ONE)))


@lru_cache(maxsize=4096)
def _shape(outer: str) -> re.Pattern[str]:
    """`outer` for patterns in which `*` stands as one character: only a `*` of its own takes that in."""
    return re.compile(translate(outer.replace("?", f"[!{_ANY}]")))


def beyond(wanted: Mapping[str, Any], allowed: Mapping[str, Any], *, silence_allows: bool) -> list[str]:
    """The places of `wanted` that lie outside the lists of `allowed`. A list that `allowed` leaves out allows all, or nothing."""
    outside = [
        f"{name}[{index}]"
        for name in LISTS
        if name in allowed or not silence_allows
        for index, one in enumerate(wanted.get(name, []))
        if not any(_fits(one, approved) for approved in allowed.get(name, []))
    ]
    if silence_allows and "scope" not in allowed:
        return outside
    rules = allowed.get("scope", [])
    return outside + [
        f"scope[{index}]" for index, one in enumerate(wanted.get("scope", [])) if not any(_rule_inside(one, rule) for rule in rules)
    ]


def over(budgets: Mapping[str, float], most: Mapping[str, float]) -> list[str]:
    return [f"budgets.{name}" for name, amount in budgets.items() if name in most and amount > most[name]]


def looser(bounds: Mapping[str, Any], than: Mapping[str, Any]) -> list[str]:
    """Bounds that let through what `than` does not. What is not mentioned is bounded as before."""
    return [
        f"bounds.{tool}.{argument}"
        for tool, arguments in bounds.items()
        for argument, bound in arguments.items()
        if any(
            _is_looser(bound, its[argument])
            for pattern, its in than.items()
            if argument in its and (tool == pattern or fnmatchcase(tool, pattern))
        )
    ]


def _is_looser(bound: Mapping[str, Any], than: Mapping[str, Any]) -> bool:
    """Compared where both say something; what only one of them says holds beside the other."""
    low = "min" in bound and "min" in than and bound["min"] < than["min"]
    high = "max" in bound and "max" in than and bound["max"] > than["max"]
    listed = bool(bound.get("one_of") and than.get("one_of")) and not _plain(bound["one_of"]) <= _plain(than["one_of"])
    likes = [values.plain_form(one["like"]) if one.get("like") else "" for one in (bound, than)]
    shaped = all(likes) and not pattern_inside(*likes)
    return low or high or listed or shaped


def _plain(words: Any) -> set[str]:
    return {values.plain_form(str(one)).strip() for one in words}


def _fits(wanted: Any, approved: Any) -> bool:
    """A tool that was approved to read with may not be declared to write with."""
    changes = isinstance(wanted, Mapping) and wanted.get("writes") is True
    only_reads = isinstance(approved, Mapping) and approved.get("writes") is False
    return pattern_inside(_name(wanted), _name(approved)) and not (changes and only_reads)


def _rule_inside(wanted: Mapping[str, str], rule: Mapping[str, str]) -> bool:
    return pattern_inside(wanted["action"], rule["action"]) and pattern_inside(wanted.get("resource", "*"), rule.get("resource", "*"))


def _name(entry: Any) -> str:
    """Tools stand in a profile as {"name", "writes"}, everything else as text."""
    return str(entry["name"]) if isinstance(entry, Mapping) else str(entry)
