"""What intake keeps of a message, whose word it takes, and what it records when two deliveries meet."""

from __future__ import annotations

import json
from functools import partial

import pytest

from audit.models import AuditEntry
from containment import intake
from containment.models import Detection, Identity, Source
from containment.refusals import OutOfSource
from core.digest import digest
from sources import native
from tests import cast, make
from tests.races.sessions import in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


def received(body):
    return intake.receive(native.read(body), body, actor=cast.detector())


def test_a_short_secret_cannot_be_guessed_from_the_digest_of_its_message():
    make.house()
    body = make.message("etl_reader", credential={"kind": "password", "id": "hunter2"})
    detection = received(body).detection
    assert detection.body_digest != digest(body)
    assert "hunter2" not in detection.body.content
    assert received(body).differs is False
    assert received(body | {"credential": {"kind": "password", "id": "hunter3"}}).differs is True


def test_a_source_cannot_reach_a_kind_that_is_not_its_own_by_calling_it_another():
    make.house()
    make.identity("ann", kind="human")
    Source.objects.update(kinds=["ci_pipeline"])
    with pytest.raises(OutOfSource):
        received(make.message("ann", identity={"kind": "ci_pipeline", "provider": "postgres", "subject": "ann"}))
    assert not Detection.objects.exists()


def test_nothing_is_on_record_about_an_identity_that_was_not_kept():
    """Two deliveries of one detection, each naming somebody else."""
    make.house()
    cast.detector()
    bodies = [make.message(subject) | {"external_id": "twice"} for subject in ("one", "other")]
    outcomes = in_the_same_instant("source", Source.objects.get().pk, *[partial(received, body) for body in bodies])
    assert sorted(outcome.duplicate for outcome in outcomes) == [False, True]
    kept = {str(identity.ref) for identity in Identity.objects.all()}
    assert set(AuditEntry.objects.filter(verb="identity.discovered").values_list("subject", flat=True)) == kept


SECRETS = {
    "title": ("psql password=hunter2-blue was tried", "hunter2-blue"),
    "context": ({"note": "AKIAIOSFODNN7EXAMPLE was used", "api_key": "quite-plain", "source_ip": "203.0.113.9"}, "IOSFODNN7"),
}


@pytest.mark.parametrize("member", SECRETS)
def test_a_secret_in_free_text_is_kept_nowhere_and_a_second_delivery_is_still_the_same(member):
    make.house()
    told, secret = SECRETS[member]
    body = make.message("etl_reader", **{member: told})
    detection = received(body).detection
    detection.refresh_from_db()
    kept = [detection.title, str(detection.context), detection.body.content]
    kept += AuditEntry.objects.filter(verb="detection.received").values_list("body", flat=True)
    assert not any(secret in text or "quite-plain" in text for text in kept)
    assert detection.context["source_ip"] == "203.0.113.9"
    assert detection.body_digest not in {digest(body), digest(json.loads(detection.body.content))}
    assert received(body).differs is False
    other = json.loads(json.dumps(body).replace(secret, secret[::-1]))
    assert received(other).differs is True


def test_a_message_without_a_secret_is_kept_word_for_word():
    make.house()
    body = make.message("etl_reader", title="Secret: read outside its task, with Basic authentication")
    detection = received(body).detection
    assert json.loads(detection.body.content) == body
    assert detection.title == body["title"]
