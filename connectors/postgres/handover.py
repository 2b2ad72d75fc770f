"""Which of two cuts on one role gives a thing back, when both take it and one of them stays.

What look saw before the first cut is gone by the second's look, so the second would have nothing to give back, and undoing the first would
loosen what the second is for. Before the first is undone, what both take moves from the one's record to the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connectors.base import State
from connectors.postgres.cuts import Cut
from connectors.postgres.grants import Grant


def between(cut: Cut, was: State, to: Cut, to_was: State) -> tuple[State, State]:
    """`was` without what `to` takes as well, and `to_was` with it. The same again if nothing is shared."""
    own, to_own = dict(was.public["own"]), dict(to_was.public["own"])
    mine = [Grant.parsed(entry) for entry in own["grants"]]
    theirs = {Grant.parsed(entry).place for entry in to_own["grants"]}
    shared = [grant for grant in mine if to.takes(grant)]
    own["grants"] = [grant.plain() for grant in mine if not to.takes(grant)]
    to_own["grants"] = [*to_own["grants"], *(grant.plain() for grant in shared if grant.place not in theirs)]
    closed = cut.closes and to.closes and own["limit"] != 0
    if closed:
        own["limit"], to_own["limit"] = 0, own["limit"]
    if not shared and not closed:
        return was, to_was
    return replace(was, public=_with(was, own)), replace(to_was, contained=False, public=_with(to_was, to_own))


def _with(was: State, own: Mapping[str, Any]) -> dict[str, Any]:
    return {**was.public, "own": own}
