"""A rotation that a run proved is known to the inventory, and so is that it was taken back."""

from __future__ import annotations

import pytest

from audit import clock
from audit.models import AuditEntry
from connectors.base import Effect, Proof, ProofLevel
from containment import fingerprints, leaks
from containment.models import Credential
from playbooks import runs, steps
from playbooks.models import Step
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(role) -> tuple[Credential, runs.Ticket, Step]:
    """A run that is about to rotate a leaked credential; no target is reached here."""
    make.house()
    make.identity("etl_reader")
    role("etl_reader")
    Credential.objects.filter(name="etl_reader").update(exposed_at=clock.now(), secret_digest=fingerprints.of_secret("leaked"))
    run = make.run_of(make.detected("etl_reader"))
    ticket = runs.claim(run.pk, executor="test")
    assert ticket is not None
    step = run.steps.filter(disruptive=True).order_by("seq").first()
    assert step is not None
    step.measure, step.state, step.attempts, step.was = "credential.rotate", "acting", 1, {"contained": False}
    step.save()
    return Credential.objects.get(name="etl_reader"), ticket, step


def proven(ticket: runs.Ticket, step: Step, *, alive: str = "") -> Step:
    proof = Proof(not alive, ProofLevel.INTROSPECTED, alive or "the former one is refused")
    return steps.settle(ticket, step.seq, Effect(True, "It has a new password."), proof)


def test_a_proven_rotation_ends_the_exposure_and_an_undo_begins_it_again(scene):
    credential, ticket, step = scene
    digest = credential.secret_digest
    assert proven(ticket, step).state == "done"
    credential.refresh_from_db()
    assert (leaks.still_leaked(credential), credential.secret_digest) == (False, "")
    steps.undone(ticket, step.seq, said="It has its former password.", was_done=True)
    credential.refresh_from_db()
    assert (leaks.still_leaked(credential), credential.secret_digest) == (True, digest)
    said = AuditEntry.objects.filter(subject=str(credential.ref), verb__in=["credential.replaced", "credential.put_back"]).order_by("seq")
    assert list(said.values_list("verb", flat=True)) == ["credential.replaced", "credential.put_back"]


def test_one_that_keeps_its_new_secret_stays_rotated_when_its_run_is_undone(scene):
    credential, ticket, step = scene
    Step.objects.filter(pk=step.pk).update(parameters={"keep_new": True})
    proven(ticket, step)
    steps.undone(ticket, step.seq, said="It keeps its new password.", was_done=True)
    credential.refresh_from_db()
    assert not leaks.still_leaked(credential)


def test_a_rotation_that_is_not_proven_ends_nothing(scene):
    credential, ticket, step = scene
    assert proven(ticket, step, alive="a session from before is live").state == "verifying"
    credential.refresh_from_db()
    assert leaks.still_leaked(credential)
    assert credential.secret_digest
