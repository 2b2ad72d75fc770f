"""What the live sessions of an identity were approved for, and how much of it they have used up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from containment import session_use
from containment.domain.facts import BudgetRule, ToolRule
from containment.models import Session
from containment.session_use import Standing

MOST = 10
NEARLY = 0.8


@dataclass(frozen=True, slots=True)
class Spent:
    """One budget: what went into it, of how much, and how that looks."""

    said: str
    used: str
    most: str
    tone: str


@dataclass(frozen=True, slots=True)
class Approved:
    standing: Standing
    task: str
    tools: Sequence[ToolRule]
    spent: Sequence[Spent]

    @property
    def bounded(self) -> str:
        return ", ".join(f"{bound.argument} of {bound.tool}" for bound in self.standing.intent.bounds)


def of(sessions: Iterable[Session], *, now: datetime) -> list[Approved]:
    """The newest few; a page is no place for hundreds."""
    standings = session_use.standings(list(sessions)[:MOST], now=now)
    return [
        Approved(
            standing=one,
            task=str(one.session.intent.get("task", "")),
            tools=one.intent.tools,
            spent=[_spent(budget) for budget in one.intent.budgets],
        )
        for one in standings
    ]


def _spent(budget: BudgetRule) -> Spent:
    share = budget.used / budget.most if budget.most else 1.0
    tone = "hot" if share >= 1 else "warn" if share >= NEARLY else "quiet"
    return Spent(
        f"{budget.what} per {budget.per}{' of those it works for' if budget.of else ''}",
        f"{budget.used:,.10g}",
        f"{budget.most:,.10g}",
        tone,
    )
