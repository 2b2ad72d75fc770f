"""What tests ask the hand to do: arguments and answers are JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

KNOWN = ("furnish", "everywhere", "held", "approve", "signed_in", "token", "drive")
CONTAINED_BY_SILENCE = "  long_running_job: {on_lapse: contain}\n"


def furnish() -> str:
    """People, policy, playbooks, a source. The token that detections are posted with."""
    from tests import cast
    from tests.world import house

    house.HOLDS += CONTAINED_BY_SILENCE
    house.furnish(timeout_s=10)
    cast.person("enzo")
    _carry_out_one()
    return token()


def _carry_out_one() -> None:
    """Whoever is forked from here need not load what carrying out needs."""
    from containment import flow, intake, sweep
    from sources import native
    from tests import cast
    from tests.world import house

    body = house.message("natural-first", "natural", external_id="natural-first")
    received = intake.receive(native.read(body), body, actor=cast.detector())
    flow.decide(received.detection.pk)
    drive("natural-first")
    sweep.sweep_once()


def token(name: str = "edr", life_s: float = 3600, scope: str = "detections.write") -> str:
    from accounts import tokens
    from accounts.models import Person
    from core.actor import SYSTEM

    owner, scopes = Person.objects.get(username="enzo"), [scope]
    life = timedelta(seconds=life_s)
    return tokens.issue(name=name, owner=owner, scopes=scopes, source="edr-prod", actor=SYSTEM, life=life)[1]


def everywhere() -> list[str]:
    from tests.chaos import driver

    return driver._everywhere()


def held(subject: str) -> str:
    """A long job that does something bad: people are asked, and their silence contains it."""
    from containment import flow, intake
    from containment.models import Identity
    from sources import native
    from tests import cast, make
    from tests.world import house

    effect = subject.partition("-")[0]
    identity = Identity.objects.filter(subject=subject).first() or house.known(subject, effect)
    make.session(identity, f"{subject}-job")
    make.designation(identity, f"{subject}-job", kind="long_running_job")
    body = house.message(subject, effect, external_id=subject)
    received = intake.receive(native.read(body), body, actor=cast.detector())
    hold = make.hold_of(flow.decide(received.detection.pk))
    assert (hold.reason_class, hold.on_lapse) == ("long_running_job", "contain")
    return str(hold.pk)


def approve(hold: str) -> str:
    """By everybody who may, until it is enough. How it stands then."""
    from accounts import actors
    from accounts.models import Person
    from approvals.domain import quorum
    from approvals.models import Hold
    from containment import flow

    asked = Hold.objects.get(pk=UUID(hold))
    for person in map(actors.of_person, Person.objects.filter(is_active=True)):
        if Hold.objects.get(pk=asked.pk).state == "open" and quorum.admits(asked.as_terms(), person):
            flow.answer_hold(asked.pk, "approve", actor=person, seen_digest=asked.plan_digest)
    return Hold.objects.get(pk=asked.pk).state


def signed_in(name: str = "mara") -> str:
    """The key of a session, as signing in makes one."""
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from accounts.models import Person

    person = Person.objects.get(username=name)
    session: Any = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(person.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def drive(subject: str) -> bool:
    """As a worker's task does it: claim what is due and carry it out. False where somebody else holds it."""
    from playbooks import engine
    from playbooks.models import Run

    return engine.drive(Run.objects.get(target__subject=subject).pk, executor="worker")
