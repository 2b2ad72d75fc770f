"""intent_budget: this call would pass what its session may use: calls, writes, bytes, money or distinct targets."""

from __future__ import annotations

from containment.domain.facts import BudgetRule, CallFacts, Facts, Finding

UNITS = {"calls": "calls", "writes": "writes", "bytes": "bytes", "money": "of money", "targets": "distinct targets"}


def intent_budget(facts: Facts) -> Finding | None:
    call, intent = facts.call, facts.intent
    if call is None or intent is None or not intent.budgets:
        return None
    passed = [budget for budget in intent.budgets if _takes(call, budget) and _after(call, budget) > budget.most]
    if not passed:
        return Finding(code="intent_budget", strength=0.0, because="The call stays inside every budget of its session.")
    said = "; ".join(_said(call, budget) for budget in passed)
    return Finding(
        code="intent_budget",
        strength=1.0,
        because=f"With this call the session would have used more than it may: {said}.",
        evidence={_named(budget): {"most": budget.most, "used": budget.used, "this": _takes(call, budget)} for budget in passed},
    )


def _after(call: CallFacts, budget: BudgetRule) -> float:
    return budget.used + _takes(call, budget)


def _said(call: CallFacts, budget: BudgetRule) -> str:
    of = f" for {budget.of}" if budget.of else ""
    return f"{_after(call, budget):g} {UNITS.get(budget.what, budget.what)} in one {budget.per}, of {budget.most:g}{of}"


def _named(budget: BudgetRule) -> str:
    return f"{budget.what}_per_{budget.per}" + (f" of {budget.of}" if budget.of else "")


def _takes(call: CallFacts, budget: BudgetRule) -> float:
    """What one call takes from a budget. A call of which nobody says that it only reads counts as a write."""
    match budget.what:
        case "calls":
            return 1.0
        case "writes":
            return 0.0 if call.writes is False else 1.0
        case "bytes":
            return float(call.bytes)
        case "money":
            return float(call.money)
        case "targets":
            return float(call.new_targets if budget.new_targets is None else budget.new_targets)
    return 0.0
