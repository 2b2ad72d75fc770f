"""Tightening: what a new policy changes, each change a sentence, marked by whether more is contained by itself (tighter), less, or neither.

Loosening takes one person and tightening two, so that in doubt a change counts as tighter: whoever reads it decides, not this file.
A change is looser only where no event at all can be contained, or cut harder, because of it; of some members a change either way can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from itertools import product
from typing import TypeVar

from containment.domain.facts import BusinessClass, Drive, Kind, Reach, Sensitivity
from containment.domain.policy import Budget, HoldReason, Mode, Ramp, RiskPolicy
from containment.domain.scope_rules import Answer, Rule

Key = TypeVar("Key", bound=str)


class Way(StrEnum):
    TIGHTER = "tighter"
    LOOSER = "looser"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    way: Way
    said: str


def changes(old: RiskPolicy | None, new: RiskPolicy) -> tuple[Change, ...]:
    """Everything that is different, in the order of the document. Without an old policy all of it is new, and tighter."""
    if old is None:
        return (Change("", Way.TIGHTER, "No policy is in force: all of it is new."),)
    return tuple(change for compare in MEMBERS.values() for change in compare(old, new))


def people_needed(found: Iterable[Change]) -> int:
    """Tightening takes two, anything else one."""
    return 2 if any(change.way is Way.TIGHTER for change in found) else 1


def turned_on(old: RiskPolicy | None, new: RiskPolicy, environments: Iterable[str] = ()) -> tuple[tuple[Kind, str], ...]:
    """The kinds and environments that were observed and are enforced now. Empty environment: wherever none of the others is."""
    return tuple(
        (kind, where)
        for where, kind in product(_environments(old, new, environments), Kind)
        if new.mode(kind, where) is Mode.ENFORCE and (old is None or old.mode(kind, where) is Mode.OBSERVE)
    )


def _environments(old: RiskPolicy | None, new: RiskPolicy, more: Iterable[str] = ()) -> list[str]:
    named = {rule.environment for policy in (old, new) if policy for rule in policy.mode_rules}
    return [*sorted((named | set(more)) - {""}), ""]


# -- one way to compare for each kind of member --------------------------------------------------------------------------------------------


EITHER = None  # more of it may contain more, and less of it as well


def _by(up: bool, *, tighter_up: bool | None) -> Way:
    return Way.TIGHTER if tighter_up is EITHER or up is tighter_up else Way.LOOSER


def _number(path: str, name: str, was: float, now: float, *, up: bool | None = True, unit: str = "") -> Iterator[Change]:
    """`up`: more of it is tighter; EITHER: any change of it."""
    if was != now:
        yield Change(path, _by(now > was, tighter_up=up), f"{name}: from {was:g} to {now:g}{unit}.")


def _numbers(path: str, name: str, was: Mapping[Key, float], now: Mapping[Key, float]) -> Iterator[Change]:
    for key in [*was, *(key for key in now if key not in was)]:
        yield from _number(f"{path}.{key}", f"{name} {_words(key)}", was[key], now[key])


def _span(path: str, name: str, was: timedelta, now: timedelta, *, up: bool | None) -> Iterator[Change]:
    yield from _number(path, name, was / timedelta(minutes=1), now / timedelta(minutes=1), up=up, unit=" minutes")


def _stands_for(path: str, name: str, was: tuple[StrEnum, float], now: tuple[StrEnum, float], order: Sequence[StrEnum]) -> Iterator[Change]:
    """A word of a scale and its value in the table. Further up is tighter, and so is whatever is worth more: a table need not rise."""
    if was[0] != now[0]:
        up = order.index(now[0]) > order.index(was[0]) or now[1] > was[1]
        yield Change(path, _by(up, tighter_up=True), f"{name}: from {_words(was[0])} to {_words(now[0])}.")


def _words(name: str) -> str:
    return str(name).replace("_", " ").replace("ai agent", "AI agent")


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


# -- the members ---------------------------------------------------------------------------------------------------------------------------


def _version(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    if old.version != new.version:
        yield Change("version", Way.NEUTRAL, f"The text calls itself version {new.version} now, no longer {old.version}.")


def _name(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    if old.name != new.name:
        yield Change("name", Way.NEUTRAL, f"It is called “{new.name}” now.")


def _modes(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    environments = _environments(old, new)
    found = False
    for where, mode in product(environments, Mode):
        kinds = [kind for kind in Kind if new.mode(kind, where) is mode is not old.mode(kind, where)]
        if not kinds:
            continue
        found = True
        who = "Every kind" if len(kinds) == len(Kind) else _capital(", ".join(_words(kind) for kind in kinds))
        place = f"in {where}" if where else "everywhere" if len(environments) == 1 else "in every other environment"
        what = "enforced, no longer only observed" if mode is Mode.ENFORCE else "only observed, no longer enforced"
        yield Change("modes", Way.TIGHTER if mode is Mode.ENFORCE else Way.LOOSER, f"{who} {place}: {what}.")
    if not found and (old.default_mode, set(old.mode_rules)) != (new.default_mode, set(new.mode_rules)):
        yield Change("modes", Way.NEUTRAL, "The rules of the modes are written otherwise and say the same.")


def _priors(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    yield from _numbers("priors", "Prior of", old.priors, new.priors)


def _posture(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    for one in fields(old.posture):
        was, now = getattr(old.posture, one.name), getattr(new.posture, one.name)
        yield from _number(f"posture.{one.name}", f"Posture, {_words(one.name)}", was, now, up=one.name != "dormant_days")


def _weights(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    yield from _numbers("weights", "Weight of", old.weights, new.weights)


def _odds(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    """They are cut off below as well: a smaller bound lifts what is unlikely, and with it what nothing was found about."""
    name = "The odds count up to"
    yield from _number("odds_at_most", name, old.odds_at_most, new.odds_at_most, up=EITHER, unit=" decibans, above and below")


def _thinning(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    """It is also how many events a baseline of one role needs before it is asked instead of the identity's own, which is longer."""
    yield from _number("thinning", "Thinning of what rests on a baseline", old.thinning, new.thinning, up=EITHER)


def _minimum(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    for name in ("events", "days"):
        was, now = getattr(old.minimum, name), getattr(new.minimum, name)
        yield from _number(f"min_observations.{name}", f"A baseline counts as known from {name} on", was, now, up=False)


def _chains(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    for chain in (one for one in new.chains if one not in old.chains):
        yield Change("chains", Way.TIGHTER, f"{' → '.join(chain)} counts as a dangerous chain now.")
    for chain in (one for one in old.chains if one not in new.chains):
        yield Change("chains", Way.LOOSER, f"{' → '.join(chain)} counts as a dangerous chain no longer.")
    if old.chains != new.chains and set(old.chains) == set(new.chains):
        yield Change("chains", Way.NEUTRAL, "The dangerous chains stand in another order.")


def _severities(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    yield from _numbers("severities", "A claim of severity", old.severities, new.severities)


def _trust(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    """More trust makes a claim heavier. Less lets our own finding count in its place, which may be conclusive or well founded."""
    yield from _number("trust.bound", "Trust in a source with a token of its own", old.trust.bound, new.trust.bound, up=EITHER)
    yield from _number("trust.unbound", "Trust in any other source", old.trust.unbound, new.trust.unbound, up=EITHER)
    for name in sorted(old.trust.sources.keys() | new.trust.sources.keys()):
        was, now = old.trust.sources.get(name), new.trust.sources.get(name)
        if was == now:
            continue
        before, after = ((trust.sources.get(name, trust.bound), trust.sources.get(name, trust.unbound)) for trust in (old.trust, new.trust))
        said = ["the usual" if one is None else f"{one:g}" for one in (was, now)]
        yield Change(
            f"trust.sources.{name}", Way.NEUTRAL if before == after else Way.TIGHTER, f"Trust in {name}: from {said[0]} to {said[1]}."
        )


def _consequences(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    for name in [*old.consequences, *(one for one in new.consequences if one not in old.consequences)]:
        was, now = old.consequence(name), new.consequence(name)
        if was != now:
            yield from _number(f"consequences.{name}", f"Consequence of {name}", was, now)
        elif (name in old.consequences) != (name in new.consequences):
            yield Change(f"consequences.{name}", Way.NEUTRAL, f"{name} weighs {now:g} as before, but is listed otherwise.")


def _sensitivities(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    yield from _numbers("sensitivities", "A resource of sensitivity", old.sensitivities, new.sensitivities)


def _unknown_sensitivity(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    name = "A resource that nobody classified counts as"
    was, now = ((one.unknown_sensitivity, one.sensitivities[one.unknown_sensitivity]) for one in (old, new))
    yield from _stands_for("unknown_sensitivity", name, was, now, list(Sensitivity))


def _reach(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    yield from _numbers("reach", "An identity of reach", old.reach, new.reach)


def _unknown_reach(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    was, now = ((one.unknown_reach, one.reach[one.unknown_reach]) for one in (old, new))
    yield from _stands_for("unknown_reach", "An identity of unknown reach counts as", was, now, list(Reach))


def _thresholds(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    """What really applies is compared, from the general to the exact; what follows from a change that was named already is not repeated."""
    environments = ["", *sorted({one.environment for policy in (old, new) for one in policy.threshold_rules} - {""})]
    found = False
    for kind in Kind:
        said: list[tuple[Drive | None, str, object]] = []
        for where, drive in product(environments, (None, *Drive)):
            was, now = old.thresholds(kind, drive, where), new.thresholds(kind, drive, where)
            if was == now or any(d in (None, drive) and w in ("", where) and pair == (was, now) for d, w, pair in said):
                continue
            said.append((drive, where, (was, now)))
            found = True
            who = _capital(" ".join(filter(None, (_words(kind), f"driven by {drive}" if drive else "", f"in {where}" if where else ""))))
            path = ".".join(filter(None, ("thresholds", kind, drive, where)))
            yield from _number(f"{path}.soft", f"{who}, soft threshold", was.soft, now.soft, up=False)
            yield from _number(f"{path}.hard", f"{who}, hard threshold", was.hard, now.hard, up=False)
    if not found and old.threshold_rules != new.threshold_rules:
        yield Change("thresholds", Way.NEUTRAL, "The thresholds are written otherwise and say the same.")


def _conclusive(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    """What is conclusive against a credential alone keeps the cut to that credential; without it the rest of the plan may run."""
    for code in sorted(old.conclusive.keys() | new.conclusive.keys()):
        was, now, path = old.conclusive.get(code), new.conclusive.get(code), f"conclusive.{code}"
        if was is None and now is not None:
            yield Change(path, Way.TIGHTER, f"{_capital(_words(code))} is conclusive now, whatever the risk ({_words(now)}).")
        elif was is not None and now is None:
            yield Change(path, Way.TIGHTER, f"{_capital(_words(code))} is conclusive no longer, and may cut more than it did.")
        elif was is not None and now is not None and was != now:
            yield Change(path, Way.TIGHTER, f"{_capital(_words(code))} is conclusive on other evidence: {_words(now)}, not {_words(was)}.")


def _cool_off(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    yield from _span("cool_off_minutes", "After a person's no, the same is left alone for", old.cool_off, new.cool_off, up=False)


def _discovered_soft(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    was, now = old.discovered_soft / timedelta(hours=1), new.discovered_soft / timedelta(hours=1)
    yield from _number("discovered_soft_hours", "A discovered identity gets the soft stage at most for", was, now, up=False, unit=" hours")


def _budget(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    match old.budget, new.budget:
        case None, Budget():
            yield Change("budget", Way.TIGHTER, "There is a containment budget now: what was asked of people may be done by itself.")
        case Budget(), None:
            yield Change("budget", Way.LOOSER, "There is no containment budget any more: nothing is contained without a person.")
        case Budget() as was, Budget() as now:
            for one in fields(was):
                yield from _number(
                    f"budget.{one.name}", f"Containment budget, {_words(one.name)}", getattr(was, one.name), getattr(now, one.name)
                )


# Whoever depends on what would be cut is held, and the interim stage runs all that time. Of any other reason nothing runs but evidence.
WITH_INTERIM = frozenset({*(HoldReason(one.value) for one in BusinessClass), HoldReason.SHARED_CREDENTIAL})


def _patience(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    for reason in old.patience:
        name = f"Patience of a hold because of {_words(reason)}"
        yield from _span(
            f"patience_minutes.{reason}", name, old.patience[reason], new.patience[reason], up=EITHER if reason in WITH_INTERIM else False
        )


def _exposed_patience(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    name = "Patience where a credential is exposed"
    yield from _span("exposed_patience_minutes", name, old.exposed_patience, new.exposed_patience, up=EITHER)


def _scope(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    was, now = _called(old.scope.rules), _called(new.scope.rules)
    for name in (one for one in now if one not in was):
        way = Way.LOOSER if now[name].answer is Answer.ALLOWED else Way.TIGHTER
        yield Change("scope.rules", way, f"Scope rule “{name}” is new: {_gist(now[name])}.")
    for name in (one for one in was if one not in now):
        way = Way.LOOSER if was[name].answer is Answer.DENIED else Way.TIGHTER
        yield Change("scope.rules", way, f"Scope rule “{name}” is gone: {_gist(was[name])}.")
    for name in (one for one in now if one in was and now[one] != was[one]):
        yield _reworded(name, was[name], now[name])
    kept = [[name for name in rules if name in was and name in now] for rules in (was, now)]
    if kept[0] != kept[1]:
        yield Change("scope.rules", Way.TIGHTER, "The scope rules stand in another order, and the first that fits is the answer.")
    for member in ("subjects", "resources"):
        if getattr(old.scope, member) != getattr(new.scope, member):
            yield Change(f"scope.known.{member}", Way.TIGHTER, f"What scope rules know about {member} is different, and may allow less.")


STRICT = {Answer.ALLOWED: 0, Answer.NEEDS_APPROVAL: 1, Answer.DENIED: 2}


def _reworded(name: str, was: Rule, now: Rule) -> Change:
    """The same rule with a milder word allows more of exactly what it is about; any other rewording may allow less."""
    milder = STRICT[now.answer] < STRICT[was.answer] and replace(now, may=was.may) == was
    if milder:
        return Change("scope.rules", Way.LOOSER, f"Scope rule “{name}” asks for less: {_gist(now)}, no longer {_gist(was)}.")
    return Change("scope.rules", Way.TIGHTER, f"Scope rule “{name}” reads otherwise, and may allow less: {_gist(now)}.")


def _called(rules: Iterable[Rule]) -> Mapping[str, Rule]:
    return {rule.name: rule for rule in rules}


def _gist(rule: Rule) -> str:
    return f"{rule.word} {', '.join(rule.actions)}"


def _ramp(old: RiskPolicy, new: RiskPolicy) -> Iterator[Change]:
    """Whatever asks less before something is enforced is tighter."""
    asks_more = {"backtest_days": True, "protected_days": False, "preflight_hours": False, "approvers": True}
    for one in fields(Ramp):
        name = f"Before enforcing, {_words(one.name)}"
        yield from _number(f"ramp.{one.name}", name, getattr(old.ramp, one.name), getattr(new.ramp, one.name), up=not asks_more[one.name])


MEMBERS: Mapping[str, Callable[[RiskPolicy, RiskPolicy], Iterator[Change]]] = {
    "version": _version,
    "name": _name,
    "default_mode": _modes,
    "priors": _priors,
    "posture": _posture,
    "weights": _weights,
    "odds_at_most": _odds,
    "thinning": _thinning,
    "minimum": _minimum,
    "chains": _chains,
    "severities": _severities,
    "trust": _trust,
    "consequences": _consequences,
    "sensitivities": _sensitivities,
    "unknown_sensitivity": _unknown_sensitivity,
    "reach": _reach,
    "unknown_reach": _unknown_reach,
    "threshold_rules": _thresholds,
    "conclusive": _conclusive,
    "cool_off": _cool_off,
    "discovered_soft": _discovered_soft,
    "budget": _budget,
    "patience": _patience,
    "exposed_patience": _exposed_patience,
    "scope": _scope,
    "ramp": _ramp,
}
ELSEWHERE = {"mode_rules": "default_mode"}  # members that another's function compares
