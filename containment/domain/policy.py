"""The risk policy: every number and list that judgement uses, as one approved document. `parse` names every fault in it with its line.

Who may approve a version, and which one is in force, is the business of containment/models. The shipped document lies beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from containment.domain import scope_rules
from containment.domain.facts import BusinessClass, Drive, Kind, Reach, Sensitivity, Severity, SourceFacts
from containment.domain.families import FAMILIES
from containment.domain.scope_rules import Scope
from containment.domain.yaml_reader import Reader, read
from core import digest as digests

OTHER = "other"
SHIPPED = Path(__file__).with_name("policy_v1.yaml")


class Mode(StrEnum):
    OBSERVE = "observe"
    ENFORCE = "enforce"


class Needs(StrEnum):
    """The evidence that makes a signal conclusive. A claim is none of these."""

    PLANTED_USED = "planted_used"
    VERIFIED_FINGERPRINT = "verified_fingerprint"
    OWN_FINDING = "own_finding"


class HoldReason(StrEnum):
    """Why a person is asked; by this the playbook says what follows when nobody answers. The business classes are those of the
    designation that lies inside the cut.
    """

    PROTECTED = "protected"
    PAYMENT = BusinessClass.PAYMENT.value
    CUSTOMER_FACING = BusinessClass.CUSTOMER_FACING.value
    REGULATED = BusinessClass.REGULATED.value
    LONG_RUNNING_JOB = BusinessClass.LONG_RUNNING_JOB.value
    SHARED_CREDENTIAL = "shared_credential"
    COOL_OFF = "cool_off"
    THIN = "thin"
    BUDGET = "budget"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Thresholds:
    soft: float
    hard: float


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    kind: Kind
    thresholds: Thresholds
    drive: Drive | None = None
    environment: str = ""


@dataclass(frozen=True, slots=True)
class ModeRule:
    mode: Mode
    kind: Kind | None = None
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Posture:
    """Decibans that the state of an identity adds to its prior. `at_most` bounds all but `unlike_drive`."""

    unlike_drive: float
    discovered: float
    dormant: float
    dormant_days: int
    no_owner: float
    at_most: float


@dataclass(frozen=True, slots=True)
class Trust:
    bound: float
    unbound: float
    sources: Mapping[str, float]

    def of(self, source: SourceFacts) -> float:
        """What the source itself was given, else what the policy says of it by name, else by how its token is bound."""
        if source.trust is not None:
            return source.trust
        return self.sources.get(source.name, self.bound if source.bound else self.unbound)


@dataclass(frozen=True, slots=True)
class Budget:
    """How many automatic containments may happen: per source and hour, per day, and at once among the identities of one kind."""

    per_source_hour: int
    per_day: int
    share_of_kind: float
    share_at_least: int

    def left(self, *, source_hour: int, day: int, of_kind: int, size_of_kind: int) -> int:
        """What remains after so many were spent, and so many of this kind are contained now. Never under 0."""
        may_of_kind = max(self.share_at_least, int(self.share_of_kind * size_of_kind))
        return max(0, min(self.per_source_hour - source_hour, self.per_day - day, may_of_kind - of_kind))


@dataclass(frozen=True, slots=True)
class Minimum:
    """From how much on a baseline counts as known: so many events, on so many distinct days."""

    events: int
    days: int

    def is_met(self, observations: int | None, days: int | None) -> bool:
        """True as well for what rests on no baseline. A baseline that does not say on how many days is measured by its events."""
        return observations is None or (observations >= self.events and (days is None or days >= self.days))


@dataclass(frozen=True, slots=True)
class Ramp:
    """What must be so before a kind of identity is enforced in an environment, beside what has no number: a backtest over so many days was
    seen, the protected list was confirmed so many days ago at most, connectors were tried so many hours ago at most, and so many people
    may approve its holds.
    """

    backtest_days: int = 14
    protected_days: int = 90
    preflight_hours: int = 24
    approvers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPolicy:
    """`digest` covers every member; one that was added since, and holds its default, leaves it as it was."""

    version: int
    name: str
    default_mode: Mode
    mode_rules: tuple[ModeRule, ...]
    priors: Mapping[Kind, float]
    posture: Posture
    weights: Mapping[str, float]
    odds_at_most: float
    thinning: float
    minimum: Minimum
    chains: tuple[tuple[str, ...], ...]
    severities: Mapping[Severity, float]
    trust: Trust
    consequences: Mapping[str, float]
    sensitivities: Mapping[Sensitivity, float]
    unknown_sensitivity: Sensitivity
    reach: Mapping[Reach, float]
    unknown_reach: Reach
    threshold_rules: tuple[ThresholdRule, ...]
    conclusive: Mapping[str, Needs]
    cool_off: timedelta
    discovered_soft: timedelta
    budget: Budget | None
    patience: Mapping[HoldReason, timedelta]
    exposed_patience: timedelta
    scope: Scope = field(default_factory=Scope)
    ramp: Ramp = field(default_factory=Ramp)
    digest: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        covered = {one.name: getattr(self, one.name) for one in fields(self) if _covered(self, one)}
        object.__setattr__(self, "digest", digests.digest(covered))

    def mode(self, kind: Kind, environment: str) -> Mode:
        """The most exact rule that fits; a rule with a kind is more exact than one with an environment."""
        fitting = [rule for rule in self.mode_rules if rule.kind in (None, kind) and rule.environment in ("", environment)]
        exact = max(fitting, key=lambda rule: (rule.kind is not None) * 2 + bool(rule.environment), default=None)
        return exact.mode if exact else self.default_mode

    def thresholds(self, kind: Kind, drive: Drive | None, environment: str) -> Thresholds:
        """The most exact rule that fits; a rule with a drive is more exact than one with an environment."""
        fitting = [
            rule
            for rule in self.threshold_rules
            if rule.kind is kind and rule.drive in (None, drive) and rule.environment in ("", environment)
        ]
        return max(fitting, key=lambda rule: (rule.drive is not None) * 2 + bool(rule.environment)).thresholds

    def consequence(self, action: str) -> float:
        return self.consequences.get(action, self.consequences[OTHER])

    def thinned_to(self, observations: int | None) -> float:
        """What remains of a signal that rests on so many observations; all of one that rests on no baseline."""
        if observations is None or not self.thinning:
            return 1.0
        return observations / (observations + self.thinning)

    def in_mode(self, mode: Mode) -> RiskPolicy:
        """The same policy with one mode everywhere."""
        return replace(self, default_mode=mode, mode_rules=())


def _covered(policy: RiskPolicy, one: Field[Any]) -> bool:
    if one.default_factory is not MISSING:
        return bool(getattr(policy, one.name) != one.default_factory())
    return one.init


def shipped_text(mode: Mode = Mode.ENFORCE) -> str:
    """The shipped document; the trial enforces, a fresh installation observes."""
    return SHIPPED.read_text(encoding="utf-8").replace("\n  default: enforce\n", f"\n  default: {mode}\n", 1)


def parse(text: str) -> RiskPolicy:
    """The policy in `text`. BadInput with every fault: its path, and a sentence that begins with its line."""
    return read(text, _policy)


def _policy(document: Reader) -> RiskPolicy:
    has = document.members(
        {
            *("version", "name", "modes", "priors", "posture", "weights", "odds_at_most", "thinning", "min_observations"),
            *("severities", "trust", "consequences", "sensitivities", "unknown_sensitivity", "reach", "unknown_reach", "thresholds"),
            *("conclusive", "cool_off_minutes", "discovered_soft_hours", "patience_minutes", "exposed_patience_minutes"),
        },
        {"chains", "budget", "scope", "ramp"},
    )
    modes = has["modes"].members({"default"}, {"rules"})
    return RiskPolicy(
        version=has["version"].whole(1),
        name=has["name"].text(),
        default_mode=modes["default"].word(Mode),
        mode_rules=_mode_rules(modes["rules"]) if "rules" in modes else (),
        priors=has["priors"].table(Kind, lambda one: one.number(-60, 0), whole=True),
        posture=_posture(has["posture"]),
        weights=has["weights"].named(FAMILIES, lambda one: one.number(0, 60), whole=True),
        odds_at_most=has["odds_at_most"].number(1, 60),
        thinning=has["thinning"].number(0, 10_000),
        minimum=_minimum(has["min_observations"]),
        chains=tuple(_chain(one) for one in has["chains"].items()) if "chains" in has else (),
        severities=has["severities"].table(Severity, Reader.share, whole=True),
        trust=_trust(has["trust"]),
        consequences=_consequences(has["consequences"]),
        sensitivities=has["sensitivities"].table(Sensitivity, Reader.share, whole=True),
        unknown_sensitivity=has["unknown_sensitivity"].word(Sensitivity),
        reach=has["reach"].table(Reach, Reader.share, whole=True),
        unknown_reach=has["unknown_reach"].word(Reach),
        threshold_rules=_threshold_rules(has["thresholds"]),
        conclusive=_conclusive(has["conclusive"]),
        cool_off=timedelta(minutes=has["cool_off_minutes"].number(0, 10_080)),
        discovered_soft=timedelta(hours=has["discovered_soft_hours"].number(0, 8_760)),
        budget=_budget(has["budget"]) if "budget" in has else None,
        patience=has["patience_minutes"].table(HoldReason, _minutes, whole=True),
        exposed_patience=_minutes(has["exposed_patience_minutes"]),
        scope=scope_rules.scope(has["scope"]) if "scope" in has else Scope(),
        ramp=_ramp(has["ramp"]) if "ramp" in has else Ramp(),
    )


def _ramp(ramp: Reader) -> Ramp:
    usual = Ramp()
    has = ramp.members(set(), {"backtest_days", "protected_days", "preflight_hours", "approvers"})
    return Ramp(
        backtest_days=has["backtest_days"].whole(0) if "backtest_days" in has else usual.backtest_days,
        protected_days=has["protected_days"].whole(1) if "protected_days" in has else usual.protected_days,
        preflight_hours=has["preflight_hours"].whole(1) if "preflight_hours" in has else usual.preflight_hours,
        approvers=has["approvers"].whole(2) if "approvers" in has else usual.approvers,
    )


def _minimum(minimum: Reader) -> Minimum:
    has = minimum.members({"events", "days"})
    return Minimum(has["events"].whole(0), has["days"].whole(0))


def _minutes(one: Reader) -> timedelta:
    return timedelta(minutes=one.number(1, 10_080))


def _mode_rules(rules: Reader) -> tuple[ModeRule, ...]:
    found: list[ModeRule] = []
    for rule in rules.items():
        has = rule.members({"mode"}, {"kind", "environment"})
        kind = has["kind"].word(Kind) if "kind" in has else None
        environment = has["environment"].text() if "environment" in has else ""
        if any((one.kind, one.environment) == (kind, environment) for one in found):
            rule.fault("twice", "another rule already gives the mode of this kind and environment")
        found.append(ModeRule(has["mode"].word(Mode), kind, environment))
    return tuple(found)


def _threshold_rules(rules: Reader) -> tuple[ThresholdRule, ...]:
    found: list[ThresholdRule] = []
    for rule in rules.items():
        has = rule.members({"kind", "soft", "hard"}, {"drive", "environment"})
        thresholds = Thresholds(has["soft"].number(0, 100), has["hard"].number(0, 100))
        drive = has["drive"].word(Drive) if "drive" in has else None
        environment = has["environment"].text() if "environment" in has else ""
        kind = has["kind"].word(Kind)
        if thresholds.soft > thresholds.hard:
            rule.fault("soft_above_hard", f"the soft threshold {thresholds.soft:g} lies above the hard one {thresholds.hard:g}")
        if any((one.kind, one.drive, one.environment) == (kind, drive, environment) for one in found):
            rule.fault("twice", "another rule already gives the thresholds of this kind, drive and environment")
        found.append(ThresholdRule(kind, thresholds, drive, environment))
    for kind in Kind:
        if not any(one.kind is kind and one.drive is None and not one.environment for one in found):
            rules.fault("missing", f"no rule for {kind} alone, so that some of its sessions would have no thresholds")
    return tuple(found)


def _posture(posture: Reader) -> Posture:
    has = posture.members({"unlike_drive", "discovered", "dormant", "dormant_days", "no_owner", "at_most"})
    return Posture(
        unlike_drive=has["unlike_drive"].number(0, 30),
        discovered=has["discovered"].number(0, 30),
        dormant=has["dormant"].number(0, 30),
        dormant_days=has["dormant_days"].whole(1),
        no_owner=has["no_owner"].number(0, 30),
        at_most=has["at_most"].number(0, 30),
    )


def _trust(trust: Reader) -> Trust:
    has = trust.members({"bound", "unbound"}, {"sources"})
    sources = {name: one.share() for name, one in has["sources"].pairs()} if "sources" in has else {}
    return Trust(has["bound"].share(), has["unbound"].share(), sources)


def _consequences(consequences: Reader) -> Mapping[str, float]:
    found = {name: one.share() for name, one in consequences.pairs()}
    if OTHER not in found:
        consequences.fault("missing", "`other` is missing: what every action weighs that is not named here")
    return found


def _conclusive(conclusive: Reader) -> Mapping[str, Needs]:
    return conclusive.named({code: None for code in FAMILIES if code != "source_claim"}, lambda one: one.word(Needs))


def _chain(chain: Reader) -> tuple[str, ...]:
    actions = tuple(one.text() for one in chain.items())
    if len(actions) < 2:
        chain.fault("too_short", "a chain names at least two actions")
    return actions


def _budget(budget: Reader) -> Budget:
    has = budget.members({"per_source_hour", "per_day", "share_of_kind", "share_at_least"})
    return Budget(has["per_source_hour"].whole(0), has["per_day"].whole(0), has["share_of_kind"].share(), has["share_at_least"].whole(0))
