"""People: adding them, giving and taking roles, letting them go. Roles change here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from accounts.models import Person, RoleGrant, Team
from accounts.roles import Role, roles_with
from audit.record import record, story
from core.actor import Actor
from core.refusals import Refusal


class NotYourself(Refusal):
    code = "not_yourself"
    kind = "forbidden"


class LastAdministrator(Refusal):
    code = "last_administrator"


class UsernameTaken(Refusal):
    code = "username_taken"


@story
def add(
    username: str,
    *,
    name: str,
    roles: Iterable[str],
    actor: Actor,
    password: str | None = None,
    email: str = "",
    teams: Iterable[str] = (),
) -> Person:
    """Without a password they come in by a sign-in link and choose one."""
    if Person.objects.filter(username__iexact=username).exists():
        raise UsernameTaken(f"There is somebody called {username} already.")
    wanted = sorted(Role(role) for role in roles)
    person = Person(username=username, display_name=name, email=email)
    person.set_password(password)
    person.save()
    _give(person, wanted, actor)
    for team in teams:
        Team.objects.get_or_create(name=team)[0].members.add(person)
    record("person.added", person.ref, actor=actor, name=name, roles=", ".join(wanted) or "none")
    return person


@story
def set_roles(person_id: UUID, roles: Iterable[str], *, actor: Actor) -> Person:
    """Nobody changes their own roles, and the last administrator stays one."""
    administrators = _lock_administrators()
    person = Person.objects.select_for_update().get(pk=person_id)
    if actor.principal == str(person.pk):
        raise NotYourself("Somebody else must change your roles.")
    wanted = frozenset(Role(role) for role in roles)
    if administrators == {person.pk} and Role.ADMIN not in wanted:
        raise LastAdministrator(f"{person} is the last administrator. Give the role to somebody else first.")
    person.role_grants.exclude(role__in=wanted).delete()
    _give(person, sorted(wanted - Person.objects.get(pk=person_id).roles), actor)
    record("person.changed", person.ref, actor=actor, name=str(person), roles=", ".join(sorted(wanted)) or "none")
    return person


@story
def let_go(person_id: UUID, *, actor: Actor) -> Person:
    """They cannot sign in any more and their tokens end; what they did keeps its author. Nobody lets themselves go."""
    administrators = _lock_administrators()
    person = Person.objects.select_for_update().get(pk=person_id)
    if actor.principal == str(person.pk):
        raise NotYourself("Somebody else must let you go.")
    if administrators == {person.pk}:
        raise LastAdministrator(f"{person} is the last administrator. Give the role to somebody else first.")
    return _set_active(person, False, actor)


@story
def take_back(person_id: UUID, *, actor: Actor) -> Person:
    """They may sign in again, with the roles that they had."""
    return _set_active(Person.objects.select_for_update().get(pk=person_id), True, actor)


def _set_active(person: Person, active: bool, actor: Actor) -> Person:
    if person.is_active != active:
        person.is_active = active
        person.save(update_fields=["is_active"])
        record("person.taken_back" if active else "person.let_go", person.ref, actor=actor, name=str(person))
    return person


def who_may(permission: str) -> list[Person]:
    people = Person.objects.filter(is_active=True, role_grants__role__in=roles_with(permission))
    return list(people.distinct().order_by("display_name"))


@story
def note_sign_in(person: Person, *, how: str) -> None:
    from accounts import actors

    record("person.signed_in", person.ref, actor=actors.of_person(person), how=how)


def _lock_administrators() -> set[UUID]:
    """Locked in one order, so that two administrators who remove each other do not both succeed."""
    grants = RoleGrant.objects.select_for_update().filter(role=Role.ADMIN, person__is_active=True).order_by("pk")
    return {grant.person_id for grant in grants}


def _give(person: Person, roles: Iterable[str], actor: Actor) -> None:
    giver = UUID(actor.principal) if actor.principal else None
    RoleGrant.objects.bulk_create(RoleGrant(person=person, role=role, granted_by_id=giver) for role in roles)
