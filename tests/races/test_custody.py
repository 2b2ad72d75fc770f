"""Evidence touched by several at once: one artefact per content, and custody without a gap."""

from __future__ import annotations

import threading

import pytest

from core.actor import CLOCK, Actor, ActorKind
from evidence import vault
from evidence.models import Artefact
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 4


def at_once(call):
    together = threading.Barrier(CROWD)

    def each():
        together.wait()
        return call()

    return [session.outcome() for session in [Session(each) for _ in range(CROWD)]]


def seal():
    return vault.seal("a.txt", "text/plain", b"seen", run_ref="run:1", case_ref="case:1", identity_ref="identity:1", actor=CLOCK)


def test_the_same_content_sealed_by_several_at_once_is_one_artefact():
    assert len({artefact.pk for artefact in at_once(seal)}) == Artefact.objects.count() == 1
    assert [touch.act for touch in Artefact.objects.get().custody.all()] == ["sealed"]


def test_every_one_of_several_viewers_has_their_number():
    artefact, omar = seal(), Actor(ActorKind.PERSON, "p-1", "Omar", "p-1")
    assert at_once(lambda: vault.open_(artefact.pk, omar)) == [b"seen"] * CROWD
    assert [touch.n for touch in artefact.custody.all()] == list(range(1, CROWD + 2))
