"""A backtest: what a policy would have decided on the facts as they were, counted.

Two things are counted. Each decision is judged again by itself, on its own facts: its verdict is what `judge` says, and it may differ from
what was decided then. And what people would have noticed is counted as if the policy had been enforced everywhere: an identity is contained
or asked about at most once a day (UTC) under each threshold rule, the first event that calls for it counts, and the rest of the day is
covered by it; the budget is spent again in the order of time.

`Slice` works on a part of the history, `finish` puts the parts together. Risks in cells are whole points, rounded down: a threshold
that is a whole number parts them exactly.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from containment.domain.decide import Choice, Question, Verdict, decide
from containment.domain.facts import USUAL_DRIVE, Facts
from containment.domain.judge import question_of
from containment.domain.policy import Mode, RiskPolicy, ThresholdRule, Thresholds
from containment.domain.weigher import Weigher, Weight

BELOW_SOFT = 15  # so many points under soft a slider may go
MOST_FLIPS = 300
CERTAIN = 101  # evidence that is conclusive reaches every threshold
CONTAIN, HOLD, GROUPED, NOTHING = "C", "H", "B", "."
_DAY, _HOUR = 86_400.0, 3_600.0

# how many events, how many of them were judged on their whole facts, of how many the gist could not tell, how many came out the very same,
# with another risk, and how many have facts that cannot be read any more
_SUMS = ("events", "in_full", "uncertain", "same", "other_risk", "unreadable")

Tally = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A decision as it was made. `at` in seconds since 1970, `risk` in tenths. Without a gist it has to be judged in full."""

    id: str
    at: float
    identity: str
    source: str
    verdict: str
    stage: str
    sentence: int
    risk: int
    gist: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policy makes of the facts. `letters`: what would follow, enforced and with budget, from a risk under and above hard, and
    the same where the solid part of the risk lies under soft. `follows`: the letter under the thresholds as they are."""

    verdict: str
    stage: str
    sentence: int
    because: str
    risk: float
    without_thin: float
    conclusive: bool
    kind: str
    rule: int
    letters: str
    follows: str
    spends: bool
    minutes: float
    sessions: int
    reason: str


class Slice:
    """Events of one part of the history. First say which facts are needed, then hand them in one by one, then count."""

    def __init__(self, policy: RiskPolicy, weigher: Weigher | None = None) -> None:
        self.policy = policy
        self._enforced = policy.in_mode(Mode.ENFORCE)
        self._weigher = weigher or Weigher(policy)
        self._floors = [floor_of(rule) for rule in policy.threshold_rules]
        self._softs = [rule.thresholds.soft for rule in policy.threshold_rules]
        self._outcomes: dict[str, Outcome] = {}
        self._uncertain = 0

    def needs_facts(self, events: Iterable[Event]) -> list[str]:
        """The decisions whose gist does not settle them: near or above a threshold, or told too little."""
        needed = []
        for event in events:
            weight = self._weigher.weigh(event.gist) if event.gist else None
            if weight is None or not weight.certain:
                needed.append(event.id)
                self._uncertain += weight is not None
            elif weight.risk >= min(self._floors[weight.rule], self._softs[weight.rule]):
                needed.append(event.id)
        return needed

    def judge(self, event_id: str, facts: Facts) -> Outcome:
        found = self._outcomes[event_id] = outcome_of(facts, self.policy, self._enforced, self._weigher)
        return found

    def count(self, events: Iterable[Event]) -> Tally:
        """All events of the slice in the order of time."""
        book = _Book(self.policy)
        for event in events:
            if (outcome := self._outcomes.get(event.id)) is not None:
                book.judged(event, outcome)
            else:
                assert event.gist is not None  # noqa: S101 - else it was judged
                book.quiet(event, self._weigher.weigh(event.gist), self._softs)
        return book.tally(uncertain=self._uncertain)


def floor_of(rule: ThresholdRule) -> int:
    """The lowest place of this rule's sliders."""
    return max(0, int(rule.thresholds.soft) - BELOW_SOFT)


def outcome_of(facts: Facts, policy: RiskPolicy, enforced: RiskPolicy, weigher: Weigher) -> Outcome:
    question = question_of(facts, policy)
    choice = decide(question)
    waterfall = question.waterfall
    alone = replace(question, facts=replace(facts, run=None, budget_left=1), policy=enforced)
    letters, follows = _letters(alone)
    kind = facts.identity.kind
    drive = facts.drive
    bystanders = [one for one in follows.bystanders if one.business_class is not None] if follows and follows.interim else []
    return Outcome(
        verdict=str(choice.verdict),
        stage=str(choice.stage or ""),
        sentence=choice.sentence,
        because=choice.because,
        risk=waterfall.risk,
        without_thin=waterfall.risk_without_thin,
        conclusive=bool(question.conclusive),
        kind=str(kind),
        rule=weigher.rule_of(kind, drive or USUAL_DRIVE[kind], facts.identity.environment),
        letters=letters,
        follows=_letter(follows) if follows else NOTHING,
        spends=bool(follows and follows.spends),
        minutes=len(bystanders) * follows.patience.total_seconds() / 60 if follows and follows.patience else 0.0,
        sessions=len(bystanders),
        reason=str(follows.hold_reason or "") if follows else "",
    )


def _letters(alone: Question) -> tuple[str, Choice | None]:
    """The four letters, and what follows under the thresholds as they are: None where they are not reached."""
    bounds, risk, without = alone.waterfall.thresholds, alone.waterfall.risk, alone.waterfall.risk_without_thin
    certain = bool(alone.conclusive)
    thin_is_possible = without < risk and not certain
    places = [(0.0, 1000.0), (0.0, 0.0), (risk, 1000.0), (risk, risk)] if thin_is_possible else [(0.0, 1000.0), (0.0, 0.0)]
    choices = [decide(_under(alone, Thresholds(*place))) for place in places]
    letters = "".join(_letter(choice) for choice in choices)
    if not certain and risk < bounds.soft:
        return letters.ljust(4, NOTHING), None
    return letters.ljust(4, NOTHING), choices[2 * (thin_is_possible and without < bounds.soft) + (risk >= bounds.hard)]


def _under(question: Question, thresholds: Thresholds) -> Question:
    return replace(question, waterfall=replace(question.waterfall, thresholds=thresholds))


def _letter(choice: Choice) -> str:
    if choice.verdict is Verdict.CONTAIN:
        return CONTAIN
    if choice.verdict is Verdict.HOLD:
        return GROUPED if choice.grouped else HOLD
    return NOTHING


class _Book:
    """What is written down while the events of a slice go by."""

    def __init__(self, policy: RiskPolicy) -> None:
        self._policy = policy
        self._before: Counter[str] = Counter()
        self._after: Counter[str] = Counter()
        self._flips: Counter[str] = Counter()
        self._flipped: list[tuple[float, str, list[Any]]] = []
        self._same = self._other_risk = self._in_full = 0
        self._first = self._last = 0.0
        self._highest: dict[tuple[str, int, int], int] = {}
        self._dealt_with: set[tuple[str, int, int]] = set()
        self._dealt: list[list[Any]] = []
        self._cells: Counter[str] = Counter()

    def quiet(self, event: Event, weight: Weight, softs: Sequence[float]) -> None:
        covered = bool(weight.run)
        verdict, stage, sentence = ("covered", weight.run_stage, 0) if covered else ("watch", "", 1)
        if covered:
            because = f"Run {weight.run} has this identity under the same control already."
        else:
            because = f"The risk is {weight.risk:g}, under {softs[weight.rule]:g}."
        self._compare(event, verdict, stage, sentence, weight.risk, because)

    def judged(self, event: Event, outcome: Outcome) -> None:
        self._in_full += 1
        self._compare(event, outcome.verdict, outcome.stage, outcome.sentence, outcome.risk, outcome.because)
        if outcome.letters == NOTHING * 4:
            return
        key = (event.identity, outcome.rule, int(event.at // _DAY))
        reached, low = CERTAIN if outcome.conclusive else int(outcome.risk), self._highest.get(key, -1)
        if reached > low and reached >= floor_of(self._policy.threshold_rules[outcome.rule]):
            self._highest[key] = reached
            where = f"{outcome.rule}|{low}|{reached}|{int(outcome.risk)}|{int(outcome.without_thin)}|{outcome.letters}"
            self._cells[where] += 1
        if outcome.follows != NOTHING and key not in self._dealt_with:
            self._dealt_with.add(key)
            self._dealt.append(
                [
                    event.at,
                    event.identity,
                    outcome.kind,
                    event.source,
                    outcome.follows,
                    outcome.spends,
                    outcome.minutes,
                    outcome.sessions,
                    outcome.reason,
                    outcome.rule,
                ]
            )

    def _compare(self, event: Event, verdict: str, stage: str, sentence: int, risk: float, because: str) -> None:
        self._first, self._last = self._first or event.at, event.at
        self._before[event.verdict] += 1
        self._after[verdict] += 1
        tenths = round(risk * 10)
        self._other_risk += tenths != event.risk
        if (verdict, stage) != (event.verdict, event.stage):
            self._flips[f"{event.verdict} {event.stage}".strip() + " > " + f"{verdict} {stage}".strip()] += 1
            entry = (max(risk, event.risk / 10), event.id, [event.id, verdict, stage, sentence, risk, because])
            if len(self._flipped) < MOST_FLIPS:
                heapq.heappush(self._flipped, entry)
            else:
                heapq.heappushpop(self._flipped, entry)
        elif sentence == event.sentence and tenths == event.risk:
            self._same += 1

    def tally(self, *, uncertain: int) -> Tally:
        return {
            "events": sum(self._before.values()),
            "in_full": self._in_full,
            "uncertain": uncertain,
            "same": self._same,
            "other_risk": self._other_risk,
            "first": self._first,
            "last": self._last,
            "before": dict(self._before),
            "after": dict(self._after),
            "flips": dict(self._flips),
            "flipped": [[risk, *what] for risk, _, what in self._flipped],
            "dealt": self._dealt,
            "cells": dict(self._cells),
        }


# -- putting the parts together -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class People:
    """Who may answer holds, and how many identities of each kind there are: as it is now, for lack of how it was."""

    approvers: int
    identities: Mapping[str, int]


def finish(policy: RiskPolicy, tallies: Iterable[Tally], people: People) -> dict[str, Any]:
    """What is kept and shown. Plain JSON values."""
    sums: Counter[str] = Counter()
    tables = {name: Counter[str]() for name in ("before", "after", "flips", "cells")}
    flipped: list[list[Any]] = []
    dealt: list[list[Any]] = []
    firsts, lasts = [], []
    for tally in tallies:
        sums.update({name: tally.get(name, 0) for name in _SUMS})
        for name, table in tables.items():
            table.update(tally[name])
        flipped = heapq.nlargest(MOST_FLIPS, [*flipped, *tally["flipped"]])
        dealt += tally["dealt"]
        firsts += [tally["first"]] if tally["events"] else []
        lasts += [tally["last"]] if tally["events"] else []
    days = int(max(lasts) // _DAY) - int(min(firsts) // _DAY) + 1 if firsts else 0
    return {
        **{name: sums[name] for name in _SUMS},
        "days": days,
        "verdicts": {"before": dict(tables["before"]), "after": dict(tables["after"])},
        "flips": dict(tables["flips"].most_common()),
        "flipped": [
            {"decision": key, "verdict": verdict, "stage": stage, "sentence": sentence, "risk": risk, "because": because}
            for _, key, verdict, stage, sentence, risk, because in flipped
        ],
        "noticed": _noticed(policy, sorted(dealt), days, people),
        "slider": _slider(policy, tables["cells"], days, people),
    }


def _noticed(policy: RiskPolicy, dealt: Sequence[Sequence[Any]], days: int, people: People) -> dict[str, Any]:
    budget = _Spending(policy, people)
    per_day: dict[str, Counter[str]] = {}
    by_kind: dict[str, dict[str, set[str]]] = {}
    reasons: Counter[str] = Counter()
    minutes = sessions = 0.0
    stopped = 0
    for at, identity, kind, source, letter, spends, slowed, inside, reason, _ in dealt:
        day = per_day.setdefault(datetime.fromtimestamp(at, UTC).date().isoformat(), Counter())
        may = not spends or budget.spend(at, identity, kind, source)
        if letter == CONTAIN and may:
            what = "contained"
        else:
            what = "held"
            grouped = letter != HOLD
            stopped += grouped
            reasons["budget" if grouped else reason] += 1
            day["grouped" if grouped else "alone"] += 1
            minutes += slowed if may else 0
            sessions += inside if may else 0
        day[what] += 1
        by_kind.setdefault(kind, {}).setdefault(what, set()).add(identity)
    asks = {day: counts["alone"] + (counts["grouped"] > 0) for day, counts in per_day.items()}
    busiest = max(asks, key=lambda day: (asks[day], day), default="")
    return {
        "contained": sum(counts["contained"] for counts in per_day.values()),
        "held": sum(counts["held"] for counts in per_day.values()),
        "asks": sum(asks.values()),
        "asks_per_approver_and_day": round(sum(asks.values()) / days / people.approvers, 2) if days and people.approvers else None,
        "approvers": people.approvers,
        "busiest_day": busiest,
        "busiest_day_asks": asks.get(busiest, 0),
        "business_minutes": round(minutes, 1),
        "business_sessions": int(sessions),
        "stopped_by_budget": stopped,
        "reasons": dict(reasons.most_common()),
        "kinds": {kind: {what: len(who) for what, who in found.items()} for kind, found in sorted(by_kind.items())},
        "per_day": [[day, counts["contained"], counts["held"], asks[day]] for day, counts in sorted(per_day.items())],
    }


class _Spending:
    """The containment budget, spent again: distinct identities of the last hour and day, and of a kind those contained since midnight."""

    def __init__(self, policy: RiskPolicy, people: People) -> None:
        self._budget, self._sizes = policy.budget, people.identities
        self._spent: deque[tuple[float, str, str, str]] = deque()

    def spend(self, at: float, identity: str, kind: str, source: str) -> bool:
        if self._budget is None:
            return False
        while self._spent and self._spent[0][0] <= at - _DAY:
            self._spent.popleft()
        midnight = at - at % _DAY
        left = self._budget.left(
            source_hour=len({who for when, who, _, where in self._spent if where == source and when > at - _HOUR}),
            day=len({who for _, who, _, _ in self._spent}),
            of_kind=len({who for when, who, what, _ in self._spent if what == kind and when >= midnight}),
            size_of_kind=self._sizes.get(kind, 0),
        )
        if left < 1:
            return False
        self._spent.append((at, identity, kind, source))
        return True


# -- the slider ---------------------------------------------------------------------------------------------------------------------------


def _slider(policy: RiskPolicy, cells: Mapping[str, int], days: int, people: People) -> dict[str, Any]:
    """Each threshold rule, and the cells from which `at` counts. A cell: rule, above which soft threshold the one before it counted, up
    to which it counts, its risk and its solid risk in whole points, its four letters, how many."""
    rules = [
        {
            "kind": str(rule.kind),
            "drive": str(rule.drive or ""),
            "environment": rule.environment,
            "soft": rule.thresholds.soft,
            "hard": rule.thresholds.hard,
            "floor": floor_of(rule),
        }
        for rule in policy.threshold_rules
    ]
    listed = []
    for where, count in sorted(cells.items()):
        rule, low, reached, risk, without, letters = where.split("|")
        listed.append([int(rule), int(low), int(reached), int(risk), int(without), letters, count])
    return {"rules": rules, "cells": listed, "days": days, "approvers": people.approvers}


def at(cells: Iterable[Sequence[Any]], rule: int, soft: int, hard: int) -> dict[str, int]:
    """How often an identity is contained, held alone and held with all others, under these thresholds of this rule. The page's slider
    does the same (static/js/backtest.js)."""
    found = {CONTAIN: 0, HOLD: 0, GROUPED: 0, NOTHING: 0}
    for of, low, reached, risk, without, letters, count in cells:
        if of == rule and low < soft <= reached:
            thin = without < soft and reached != CERTAIN and letters[2:] != NOTHING * 2
            found[letters[2 * thin + (risk >= hard)]] += count
    return {"contained": found[CONTAIN], "held": found[HOLD], "grouped": found[GROUPED]}
