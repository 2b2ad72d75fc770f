"""Which playbook is for whom: the most specific one, said once for judgement, for the page and for what is refused at approval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from playbooks.domain.specs import DRIVES, KINDS, PATTERNS


class Bindable(Protocol):
    name: str
    kinds: list[str]
    drives: list[str]
    pattern: str


Any_ = TypeVar("Any_", bound=Bindable)
Case = tuple[str, str, str]  # kind, drive, pattern


def fitting(playbooks: Iterable[Any_], kind: str, drive: str, pattern: str) -> list[Any_]:
    """Those for this case, the most specific first: one that names the pattern before one for any, one that names the drive before one for
    all."""
    found = [one for one in playbooks if _is_for(one, kind, drive, pattern)]
    return sorted(found, key=lambda one: (one.pattern != pattern, not one.drives, one.name))


def cases_of(playbook: Bindable) -> Iterator[Case]:
    """Every case that the playbook is for, whether or not another one is more specific there."""
    for kind in (kind for kind in KINDS if kind in playbook.kinds):
        for drive in playbook.drives or DRIVES:
            for pattern in PATTERNS if playbook.pattern == "any" else (playbook.pattern,):
                yield kind, drive, pattern


def tied(one: Bindable, other: Bindable) -> list[str]:
    """The kinds for which both would be equally specific."""
    same_drive = (not one.drives and not other.drives) or bool(set(one.drives) & set(other.drives))
    return sorted(set(one.kinds) & set(other.kinds)) if one.pattern == other.pattern and same_drive else []


def without(playbooks: Sequence[Bindable], cases: Iterable[Case]) -> list[tuple[str, str]]:
    """Kind and drive of each of these cases that no playbook is for."""
    left = ((kind, drive) for kind, drive, pattern in cases if not any(_is_for(one, kind, drive, pattern) for one in playbooks))
    return list(dict.fromkeys(left))


def _is_for(playbook: Bindable, kind: str, drive: str, pattern: str) -> bool:
    return kind in playbook.kinds and playbook.pattern in {pattern, "any"} and (not playbook.drives or drive in playbook.drives)
