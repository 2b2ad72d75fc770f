"""The ramp: what must be green before a kind of identity is enforced in an environment, and the two things that people do for it.

Each light is computed from what is on record, with a sentence on what is missing and how to get it. policies.py refuses an approval while
one of them is not green. Connectors are asked outside any transaction, within a time budget; what they say is kept with its time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts import people
from accounts.models import Person
from approvals.models import GroupMember, Hold
from audit import clock
from audit.record import record, story
from containment import backtests, gather, readiness
from containment.domain.facts import USUAL_DRIVE, Kind
from containment.domain.policy import Budget, Ramp, RiskPolicy
from containment.models import Identity, PreflightCheck, ProtectedConfirmation, Readiness
from containment.refusals import NotThePerson
from core.actor import Actor
from core.refs import Ref
from core.refusals import Fault, Refusal
from playbooks import library
from playbooks.domain.plan import CannotPlan, render
from playbooks.refusals import NoPlaybook

SAMPLE = 3  # identities that a connector is asked about, of each provider
MOST_PROVIDERS = 20
MOST_ENVIRONMENTS = 30
MOST_PROTECTED = 10_000
MOST_LACKS = 20
MOST_HOLDS = 10_000
SECONDS = 20.0  # for all connectors of one kind and environment together


class Point(StrEnum):
    """What is asked for; also the code of the refusal while it is missing."""

    BACKTEST = "backtest_not_seen"
    PROTECTED = "protected_list_not_confirmed"
    PREFLIGHT = "preflight_not_green"
    APPROVERS = "approvers_not_reachable"
    BUDGET = "no_budget"


TITLES: Mapping[Point, str] = {
    Point.BACKTEST: "Backtest",
    Point.PROTECTED: "Protected list",
    Point.PREFLIGHT: "Preflight",
    Point.APPROVERS: "Approvers",
    Point.BUDGET: "Budget",
}


@dataclass(frozen=True, slots=True)
class Light:
    """`said`: what is so. `how`: what to do about it, where it is not green."""

    point: Point
    green: bool
    said: str
    how: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A kind in an environment that a version would enforce. `digest` of that version, empty while there is none; `author` never approves
    its holds here; `viewer` is whoever would approve it. `named`: the other environments, for the cell of all the rest.
    """

    kind: Kind
    environment: str
    budget: Budget | None
    bar: Ramp
    digest: str = ""
    author: UUID | None = None
    viewer: UUID | None = None
    named: Sequence[str] = ()

    @property
    def place(self) -> str:
        return f"{self.kind.replace('_', ' ')} in {self.environment or 'any other environment'}"

    @property
    def identities(self) -> QuerySet[Identity]:
        found = Identity.objects.filter(kind=self.kind, merged_into__isnull=True)
        return found.filter(environment=self.environment) if self.environment else found.exclude(environment__in=self.named)


def environments(policy: RiskPolicy) -> list[str]:
    """Every environment that an identity is in, or a rule of this policy names."""
    inhabited = Identity.objects.exclude(environment="").order_by("environment").values_list("environment", flat=True).distinct()
    return sorted({rule.environment for rule in policy.mode_rules} - {""} | set(inhabited[:MOST_ENVIRONMENTS]))


def lights(cell: Cell) -> tuple[Light, ...]:
    now = clock.now()
    return (_backtest(cell, now), _protected(cell, now), _preflight(cell, now), _approvers(cell), _budget(cell))


def lacking(cell: Cell) -> list[Fault]:
    """What is not green, each with its code: the reason why an approval is refused."""
    where = f"modes.{cell.kind}.{cell.environment or '*'}"
    return [Fault(where, light.point, f"{light.said} {light.how}".strip()) for light in lights(cell) if not light.green]


def _backtest(cell: Cell, now: datetime) -> Light:
    """So many days of decisions, not of waiting: an installation that decided nothing has nothing to be tried on."""
    days = cell.bar.backtest_days
    first = backtests.first_decided_at()
    if first is None:
        return Light(Point.BACKTEST, False, "Nothing was decided yet, so that there is nothing to test on.", "Observe until there is.")
    if now - first < timedelta(days=days):
        said = f"The first decision is of {first:%Y-%m-%d %H:%M}, so that there are no {days} days of them to test on yet."
        return Light(Point.BACKTEST, False, said, f"Let it observe until {first + timedelta(days=days):%Y-%m-%d %H:%M}.")
    if not cell.digest:
        return Light(
            Point.BACKTEST,
            False,
            "No version that enforces it is drafted yet.",
            f"Draft it, then backtest it over {days} days and open that.",
        )
    how = f"Run one over {days} days, wait until it is done and open it; whoever else approves has to as well."
    if cell.viewer is None:
        return Light(Point.BACKTEST, False, "Only a person can have seen a backtest.", how)
    if lack := backtests.missing(cell.digest, by=cell.viewer, days=days):
        return Light(Point.BACKTEST, False, lack, how)
    return Light(Point.BACKTEST, True, f"You have seen a backtest of this text over {days} days of decisions or more.")


def _protected(cell: Cell, now: datetime) -> Light:
    how = "Somebody who edits the protected list reads it and confirms it, on this page."
    last = ProtectedConfirmation.objects.select_related("person").first()
    if last is None:
        return Light(Point.PROTECTED, False, "Nobody has confirmed the protected list yet.", how)
    said = f"{last.person} confirmed {_counted(len(last.identities))} at {last.at:%Y-%m-%d %H:%M}"
    if last.at < now - timedelta(days=cell.bar.protected_days):
        return Light(Point.PROTECTED, False, f"{said}, more than {cell.bar.protected_days} days ago.", how)
    if gone := len(set(last.identities) - set(_protected_now())):
        return Light(Point.PROTECTED, False, f"{said}; {gone} of them {'is' if gone == 1 else 'are'} not protected any more.", how)
    return Light(Point.PROTECTED, True, f"{said}.")


def _preflight(cell: Cell, now: datetime) -> Light:
    how = "Run the preflight, on this page."
    providers = _providers(cell)
    if not providers:
        said = f"No {cell.place} is listed, so that nothing shows whether it could be contained."
        return Light(Point.PREFLIGHT, False, said, "List them in the inventory first.")
    checks = last_checks(cell)
    old = now - timedelta(hours=cell.bar.preflight_hours)
    for provider in providers:
        check = checks.get(provider)
        if check is None:
            return Light(Point.PREFLIGHT, False, f"The connector of {provider} was never tried for this.", how)
        if not check.green:
            said = f"The connector of {provider} cannot do it: {check.lacks[0][0]}."
            return Light(Point.PREFLIGHT, False, said, "Give it what is missing, then run the preflight again.")
        if (lost := _lost_since(cell, check)) is not None:
            said = f"The connector of {provider} can do it no more: {'; '.join(lost.missing) or lost.measure}."
            return Light(Point.PREFLIGHT, False, said, "Give it what is missing, then run the preflight again.")
        if _tried_at(check) < old:
            at = _tried_at(check)
            said = f"The connector of {provider} was last tried at {at:%Y-%m-%d %H:%M}, more than {cell.bar.preflight_hours} hours ago."
            return Light(Point.PREFLIGHT, False, said, how)
    oldest = min(_tried_at(checks[provider]) for provider in providers)
    return Light(Point.PREFLIGHT, True, f"{', '.join(providers)}: tried at {oldest:%Y-%m-%d %H:%M}, and can do what the plans ask.")


def _lost_since(cell: Cell, check: PreflightCheck) -> Readiness | None:
    """What the hourly look found to be gone: the connector answers no more, or one of these identities is out of its reach."""
    here = cell.identities.filter(provider=check.provider).values("subject")
    rows = Readiness.objects.filter(Q(measure=readiness.CONTACT) | Q(subject__in=here), provider=check.provider)
    return rows.filter(can=False, checked_at__gt=check.at).first()


def _tried_at(check: PreflightCheck) -> datetime:
    """A preflight that was green stays so while the hourly look finds nothing missing."""
    contact = readiness.last_contact(check.provider)
    return max(check.at, contact.checked_at) if contact is not None and contact.can else check.at


def _approvers(cell: Cell) -> Light:
    """Reachable means, with what we know of people: not let go, with the right to answer holds, and either in the group that answers for
    this environment or a manager, to whom every hold goes in the end.
    """
    found = approvers(cell)
    if len(found) >= cell.bar.approvers:
        names = ", ".join(str(person) for person in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        return Light(Point.APPROVERS, True, f"{names} may answer its holds, the author of the version not counted.")
    said = f"{_people(len(found))} may answer its holds, the author of the version not counted; {cell.bar.approvers} are needed."
    team = gather.fallback_team(cell.environment)
    into = f"put them into the team {team.name}" if team else f"make a team called {gather.FALLBACK_TEAM}"
    return Light(Point.APPROVERS, False, said, f"Give somebody the role analyst and {into}, or the role manager.")


def approvers(cell: Cell) -> list[Person]:
    team = gather.fallback_team(cell.environment)
    members = set(team.members.values_list("pk", flat=True)) if team else set()
    managers = {person.pk for person in people.who_may("exception.grant")}
    may = people.who_may("hold.answer")
    return [person for person in may if person.pk != cell.author and (not team or person.pk in members | managers)]


def _budget(cell: Cell) -> Light:
    if cell.budget is None:
        return Light(
            Point.BUDGET, False, "The policy has no containment budget, which is a budget of 0.", "Draft a version with one first."
        )
    said = f"At most {cell.budget.per_source_hour} per source and hour and {cell.budget.per_day} per day are contained without a person."
    if not min(cell.budget.per_source_hour, cell.budget.per_day):
        return Light(Point.BUDGET, False, said, "Draft a version with a larger budget first.")
    return Light(Point.BUDGET, True, said)


def open_holds(cell: Cell) -> int:
    """How many identities of this cell somebody is asked about now, alone or within a group."""
    alone = Hold.objects.filter(state="open", grouped=False).values_list("identity_ref", flat=True)
    within = GroupMember.objects.filter(state="waiting", hold__state="open").values_list("identity_ref", flat=True)
    refs = {*alone[:MOST_HOLDS], *within[:MOST_HOLDS]}
    return cell.identities.filter(pk__in=[Ref.parse(ref).id for ref in refs if ref]).count()


def _people(count: int) -> str:
    return {0: "Nobody", 1: "Only one person"}.get(count, f"Only {count} people")


def _counted(count: int) -> str:
    return "an empty list" if not count else "a list of one" if count == 1 else f"a list of {count}"


# -- the protected list --------------------------------------------------------------------------------------------------------------------


@story
def confirm_protected(*, actor: Actor) -> ProtectedConfirmation:
    """A person says that the list as it is now is whole: nobody is missing who must not be contained by itself."""
    if not (actor.is_person and actor.may("protected.edit")):
        raise NotThePerson("The protected list is confirmed by people who may edit it.")
    listed = _protected_now()
    confirmation = ProtectedConfirmation.objects.create(person_id=UUID(actor.principal), identities=listed, at=clock.now())
    record("protected.confirmed", confirmation.ref, actor=actor, count=len(listed))
    return confirmation


def protected_list() -> QuerySet[Identity]:
    return Identity.objects.filter(protected=True, merged_into__isnull=True).order_by("provider", "subject")


def _protected_now() -> list[str]:
    return [str(key) for key in protected_list().values_list("pk", flat=True)[:MOST_PROTECTED]]


# -- the preflight -------------------------------------------------------------------------------------------------------------------------


def last_checks(cell: Cell) -> dict[str, PreflightCheck]:
    """The last word about each provider of this cell."""
    found = PreflightCheck.objects.filter(kind=cell.kind, environment=cell.environment).order_by("provider", "-at").distinct("provider")
    return {check.provider: check for check in found[:MOST_PROVIDERS]}


def preflight(cell: Cell, *, actor: Actor) -> list[PreflightCheck]:
    """Ask the connectors of this cell whether they can do what the plans would ask of them. Changes nothing outside."""
    if not actor.is_person or not (actor.may("policy.author") or actor.may("policy.approve") or actor.may("connector.edit")):
        raise NotThePerson("Connectors are tried by people who write or approve policies, or set connectors up.")
    providers = _providers(cell)
    if not providers:
        raise Refusal(f"No {cell.place} is listed. List some in the inventory first, so that there is something to ask about.")
    ends = time.monotonic() + SECONDS
    found = {provider: _asked(cell, provider, ends) for provider in providers}
    return _keep(cell, found, actor=actor)


@story
def _keep(cell: Cell, found: Mapping[str, tuple[int, list[list[str]]]], *, actor: Actor) -> list[PreflightCheck]:
    kept = []
    for provider, (looked_at, lacks) in found.items():
        check = PreflightCheck.objects.create(
            kind=str(cell.kind),
            environment=cell.environment,
            provider=provider,
            green=not lacks,
            lacks=lacks[:MOST_LACKS],
            looked_at=looked_at,
            person_id=UUID(actor.principal),
            at=clock.now(),
        )
        record(
            "preflight.checked",
            check.ref,
            actor=actor,
            provider=provider,
            place=cell.place,
            found=f"{lacks[0][0]} is missing" if lacks else "green",
        )
        kept.append(check)
    return kept


def _providers(cell: Cell) -> list[str]:
    found = cell.identities.filter(protected=False).order_by("provider").values_list("provider", flat=True).distinct()
    return list(found[:MOST_PROVIDERS])


def _asked(cell: Cell, provider: str, ends: float) -> tuple[int, list[list[str]]]:
    """How many identities the connector was asked about, and what it lacks for them: (what, the command that gives it) pairs."""
    try:
        document = library.bind(kind=str(cell.kind), drive=str(USUAL_DRIVE[cell.kind]), pattern="any").document
    except NoPlaybook as refusal:
        return 0, [[refusal.sentence.rstrip("."), ""]]
    looked_at, lacks = 0, list[list[str]]()
    for identity in cell.identities.filter(provider=provider, protected=False).order_by("-last_seen_at", "id")[:SAMPLE]:
        target = readiness.target_of(identity)
        looked_at += 1
        try:
            stages = render(document, target, library.ability_of)
        except CannotPlan as refusal:
            return looked_at, [[refusal.sentence.rstrip("."), ""]]
        for step in readiness.once(stages):
            if time.monotonic() > ends:
                return looked_at, [[f"The connectors did not answer within {SECONDS:g} s", ""]]
            lacks += [lack for lack in _lacks(step, target, ends) if lack not in lacks]
    return looked_at, lacks


def _lacks(step: Mapping[str, Any], target: Mapping[str, Any], ends: float) -> list[list[str]]:
    found = readiness.look_at(step, target, ends=ends)
    if found.can:
        return []
    remedies = [*found.remedy, *[""] * len(found.missing)]
    return [[what, remedy] for what, remedy in zip(found.missing, remedies, strict=False)] or [
        [f"{found.measure} on {target['subject']}", ""]
    ]
