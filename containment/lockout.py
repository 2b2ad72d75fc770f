"""Not locking ourselves out: whose account an identity is, and what we would be without if it were contained.

People are linked to their accounts by hand; what looks alike is only suggested. Gathers rows for domain/lockout.py, which decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from accounts.models import Person
from accounts.roles import permissions_of
from approvals.domain import quorum
from approvals.domain.quorum import Terms
from approvals.models import Hold
from audit import clock
from audit.record import record, story
from containment.domain import lockout
from containment.domain.lockout import Asked, Ours, Standing, folded, login_of, place_of
from containment.models import Identity, IdentityAlias, PersonIdentity, ProtectionProposal
from containment.refusals import NotThePerson
from core.actor import Actor, ActorKind
from core.refs import Ref
from core.refusals import Missing, Refusal
from playbooks.models import Run

ADMINISTERS = "it administers this system"  # what a proposal says of an administrator; see protection.py
LINKS = "people.manage"
MOST_HOLDS = 200
MOST_PEOPLE = 1_000
MOST_NAMES = 200
MOST_ADMINISTRATORS = 500
STANDS = ("running", "verifying", "contained", "partial", "needs_human", "pending")  # runs that cut, or have


class LinkedElsewhere(Refusal):
    """An account belongs to one person."""

    code = "linked_elsewhere"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An account that looks like a person's, and why. Nobody has linked it."""

    person: Person
    identity: Identity
    because: str


# -- whose account it is -------------------------------------------------------------------------------------------------------------------


@story
def link(person_id: UUID, identity_id: UUID, *, actor: Actor) -> PersonIdentity:
    """This is the account of that person. The same again changes nothing."""
    _must_manage(actor)
    identity = Identity.objects.select_for_update(no_key=True, of=("self",)).filter(pk=identity_id, merged_into__isnull=True).first()
    person = Person.objects.filter(pk=person_id, is_active=True).first()
    if identity is None or person is None:
        raise Missing("There is no such identity." if identity is None else "There is no such person, or they have left.")
    made, new = PersonIdentity.objects.get_or_create(identity=identity, defaults={"person": person, "linked_at": clock.now()})
    if made.person_id != person.pk:
        raise LinkedElsewhere(f"{identity} is the account of {made.person} already. Take that link away first.")
    if new:
        record("identity.linked", identity.ref, actor=actor, about=[person.ref], identity=str(identity), person=str(person))
    return made


@story
def unlink(identity_id: UUID, *, actor: Actor) -> None:
    _must_manage(actor)
    found = PersonIdentity.objects.select_related("person", "identity").filter(identity_id=identity_id).first()
    if found is None:
        raise Missing("It is nobody's account here.")
    facts = {"identity": str(found.identity), "person": str(found.person)}
    record("identity.unlinked", found.identity.ref, actor=actor, about=[found.person.ref], **facts)
    found.delete()


def people_of(identity: Identity) -> dict[UUID, Person]:
    """Whose account it is, or one that was merged into it."""
    merged = Q(identity=identity) | Q(identity__merged_into=identity) | Q(identity__merged_into__merged_into=identity)
    linked = {one.person_id: one.person for one in PersonIdentity.objects.filter(merged).select_related("person")[:MOST_NAMES]}
    return linked | {one.pk: one for one in Person.objects.filter(identity_ref=str(identity.ref))}


def accounts_of(person: Person) -> QuerySet[PersonIdentity]:
    return PersonIdentity.objects.filter(person=person).select_related("identity").order_by("identity__provider", "identity__subject")


def suggested_for(identity: Identity) -> Suggestion | None:
    """The one person who has the same e-mail address or user name. Of two, neither is suggested."""
    if identity.kind != "human" or identity.merged_into_id or PersonIdentity.objects.filter(identity=identity).exists():
        return None
    names = {subject for _, subject in names_of(identity)}
    alike = Q()
    for name in names:
        alike |= Q(email__iexact=name) | Q(username__iexact=name)
    found = list(Person.objects.filter(alike, is_active=True)[:2])
    if len(found) != 1:
        return None
    by_mail = bool(found[0].email) and folded(found[0].email) in {folded(name) for name in names}
    return Suggestion(found[0], identity, f"the same {'e-mail address' if by_mail else 'user name'}")


def suggested_accounts(person: Person) -> list[Suggestion]:
    """Accounts of people that nobody linked and that are called as this person is."""
    named = Q(subject__iexact=person.username) | (Q(subject__iexact=person.email) if person.email else Q(pk__in=[]))
    rows = Identity.objects.filter(named, kind="human", merged_into__isnull=True, belongs_to__isnull=True)[:MOST_NAMES]
    return [one for row in rows if (one := suggested_for(row)) is not None and one.person.pk == person.pk]


def names_of(identity: Identity) -> list[tuple[str, str]]:
    """All that it is called, the names of what was merged into it included."""
    aliases = IdentityAlias.objects.filter(identity=identity).values_list("provider", "subject")[:MOST_NAMES]
    merged = Identity.objects.filter(merged_into=identity).values_list("provider", "subject")[:MOST_NAMES]
    return list(dict.fromkeys([(identity.provider, identity.subject), *aliases, *merged]))


def _must_manage(actor: Actor) -> None:
    if not (actor.is_person and actor.may(LINKS)):
        raise NotThePerson("People are linked to their accounts by people who manage people.")


# -- what we would be without --------------------------------------------------------------------------------------------------------------


def stands(identity: Identity, *, asking: Callable[[], Terms] | None = None) -> str:
    """What containing it would lock us out of, as a sentence without its full stop; empty for nothing. `asking`: the terms of the hold that
    would open about it."""
    names = names_of(identity)
    people = people_of(identity)
    return lockout.locks_out(
        Standing(
            subject=identity.subject,
            names=names,
            people=[str(key) for key in people],
            holds=_holds(people, asking) if people else (),
            administrators=_administrators(identity, {provider for provider, _ in names}),
            ours=ours(),
            places=places(),
        )
    )


def ours() -> list[Ours]:
    """Our own logins, as our settings have them."""
    found = [
        Ours(user=str(one["USER"]), without="our database", host=_host(str(one.get("HOST", ""))), port=int(one.get("PORT") or 5432))
        for one in settings.DATABASES.values()
        if one.get("USER")
    ]
    found += [login for url in (settings.BROKER_URL, settings.CHANNELS_URL) if (login := login_of(url, "our broker")) is not None]
    for provider in getattr(settings, "SOCIALACCOUNT_PROVIDERS", {}).values():
        apps = [*provider.get("APPS", []), *([provider["APP"]] if provider.get("APP") else [])]
        found += [Ours(user=app["client_id"], without="our sign-in provider", anywhere=True) for app in apps if app.get("client_id")]
    return found


def places() -> list[tuple[str, str, int]]:
    """Where each connector acts: its provider, host and port. One that says neither is nowhere of ours."""
    return [(provider, *place) for provider, given in settings.CONNECTORS.items() for place in _places_of(given.values())]


def _places_of(values: Iterable[object]) -> Iterable[tuple[str, int]]:
    for value in values:
        if isinstance(value, str) and "://" in value:
            yield place_of(value)
        elif isinstance(value, str) and "=" in value:
            try:
                facts = conninfo_to_dict(value)
            except ProgrammingError:
                continue
            yield _host(str(facts.get("host") or "")), int(facts.get("port") or 5432)


def _host(host: str) -> str:
    """A folder is a socket on this host."""
    name = host.casefold()
    return "" if name in lockout.LOCAL or name.startswith("/") else name


def _administrators(identity: Identity, providers: Iterable[str]) -> list[tuple[str, str]]:
    """Who administers these systems, by what their connectors said last, without those who are contained already."""
    rows = ProtectionProposal.objects.filter(provider__in=list(providers), because__contains=ADMINISTERS)
    found = list(rows.values_list("provider", "subject")[:MOST_ADMINISTRATORS])
    if len(found) < 2:
        return found
    listed = Identity.objects.filter(provider__in={one for one, _ in found}, subject__in={one for _, one in found}).exclude(pk=identity.pk)
    refs = {str(Ref.to("identity", key)): (provider, subject) for key, provider, subject in listed.values_list("pk", "provider", "subject")}
    cut = Run.objects.filter(identity_ref__in=list(refs), state__in=STANDS).values_list("identity_ref", flat=True)
    gone = {refs[ref] for ref in cut}
    return [one for one in found if one not in gone]


def _holds(people: dict[UUID, Person], asking: Callable[[], Terms] | None) -> list[Asked]:
    """The hold that would open, and every open one that any of these people may answer."""
    everybody = _who_may_answer()
    found: list[Asked] = []
    if asking is not None:
        terms = asking()
        never = {principal: what for principal, what in terms.never.items() if UUID(principal) not in people}
        found.append(Asked("itself", terms.quorum, _eligible(replace(terms, never=never), everybody)))
    for hold in Hold.objects.filter(state="open").prefetch_related("answers").order_by("deadline")[:MOST_HOLDS]:
        terms = hold.as_terms()
        answered = [one.principal for one in hold.answers.all() if one.word == "approve"]
        found.append(Asked(f"“{hold.title}”", terms.quorum, _eligible(terms, everybody), answered))
    return found


def _eligible(terms: Terms, everybody: Sequence[Actor]) -> list[str]:
    """Who may answer it, once everybody whom it escalates to is asked."""
    whole = replace(terms, step=len(terms.reviewers) - 1)
    return [actor.principal for actor in everybody if quorum.admits(whole, actor)]


def _who_may_answer() -> list[Actor]:
    people = Person.objects.filter(is_active=True).prefetch_related("role_grants", "teams").order_by("pk")[:MOST_PEOPLE]
    actors = [
        Actor(
            kind=ActorKind.PERSON,
            id=str(person.pk),
            name=str(person),
            principal=str(person.pk),
            permissions=permissions_of(person.roles),
            teams=frozenset(team.name for team in person.teams.all()),
        )
        for person in people
    ]
    return [actor for actor in actors if actor.may("hold.answer")]


def one_of_ours(provider: str, subject: str) -> str:
    """The same sentence about a name alone, where that is a login of ours."""
    return lockout.locks_out(Standing(subject=subject, names=[(provider, subject)], ours=ours(), places=places()))
