"""What is sealed comes back unchanged, every touch is on record, and what was tampered with does not open."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from audit.models import AuditEntry
from core.actor import CLOCK, Actor, ActorKind
from core.digest import digest_of_bytes
from core.ids import uuid7
from core.refusals import Missing
from evidence import vault
from evidence.models import Artefact, Custody, SealedBytes

pytestmark = pytest.mark.django_db

OMAR = Actor(ActorKind.PERSON, "p-1", "Omar", "p-1")
CONTENT = b"pid 4711, etl_reader, SELECT * FROM vault.card_tokens"


def sealed(content: bytes = CONTENT, *, name: str = "activity.txt", run: str = "run:1", media_type: str = "text/plain") -> Artefact:
    return vault.seal(name, media_type, content, run_ref=run, case_ref="case:1", identity_ref="identity:1", actor=CLOCK)


def tampered(statement: str, key: UUID) -> None:
    """What somebody with the owner's rights could do: final rows are changed with the trigger off."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, [key])
        cursor.execute("SET LOCAL session_replication_role = origin")


def acts(artefact: Artefact) -> list[tuple[int, str, str]]:
    return list(artefact.custody.values_list("n", "act", "actor_name"))


def test_what_was_sealed_comes_back_and_every_touch_is_on_record():
    artefact = sealed()
    assert (artefact.sha256, artefact.size) == (digest_of_bytes(CONTENT), len(CONTENT))
    assert vault.open_(artefact.pk, OMAR) == CONTENT
    assert acts(artefact) == [(1, "sealed", "the clock"), (2, "viewed", "Omar")]
    entries = AuditEntry.objects.filter(subject=str(artefact.ref)).order_by("seq")
    assert [entry.verb for entry in entries] == ["evidence.sealed", "evidence.viewed"]
    assert all(entry.about == ["run:1", "case:1", "identity:1"] for entry in entries)


def test_what_rests_in_the_store_cannot_be_read():
    artefact = sealed()
    assert b"card_tokens" not in bytes(SealedBytes.objects.get(pk=artefact.pk).content)


def test_the_same_content_for_the_same_run_is_the_first_artefact_again():
    first = sealed()
    assert sealed() == first
    assert (Artefact.objects.count(), Custody.objects.count(), AuditEntry.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize("other", [{"run": "run:2"}, {"name": "locks.txt"}, {"content": b"other"}])
def test_another_run_name_or_content_is_another_artefact(other):
    assert sealed() != sealed(**other)


def test_secrets_are_redacted_before_the_digest_is_taken():
    artefact = sealed(b"password=hunter2 role=etl")
    clean = b"password=[redacted] role=etl"
    assert (artefact.sha256, artefact.redactions) == (digest_of_bytes(clean), 1)
    assert vault.open_(artefact.pk, OMAR) == clean


def test_content_of_any_bytes_and_none_can_be_sealed():
    for content in (b"", bytes(range(256)) * 100):
        assert vault.open_(sealed(content).pk, OMAR) == content


def test_too_much_is_refused():
    with pytest.raises(vault.TooLarge):
        sealed(b"x" * (vault.LARGEST + 1))


@pytest.mark.parametrize(
    ("statement", "because"),
    [
        (
            "UPDATE artefact_sealed SET content = set_byte(content, 30, get_byte(content, 30) # 1) WHERE artefact_id = %s",
            "its seal is broken",
        ),
        ("UPDATE artefact_sealed SET content = set_byte(content, 5, get_byte(content, 5) # 1) WHERE artefact_id = %s", "under another key"),
        ("UPDATE artefact_sealed SET content = ''  WHERE artefact_id = %s", "not sealed bytes"),
        ("UPDATE artefact_sealed SET content = (SELECT content FROM artefact_sealed WHERE artefact_id <> %s)", "its seal is broken"),
        ("DELETE FROM artefact_sealed WHERE artefact_id = %s", "are gone"),
    ],
)
def test_what_was_tampered_with_does_not_open_and_the_attempt_is_on_record(statement, because):
    artefact = sealed()
    sealed(b"another", name="other.txt")
    tampered(statement, artefact.pk)
    with pytest.raises(vault.BrokenSeal, match=because):
        vault.open_(artefact.pk, OMAR)
    assert acts(artefact)[-1] == (2, "found_broken", "Omar")
    assert AuditEntry.objects.filter(subject=str(artefact.ref), verb="evidence.broken").count() == 1


def test_there_is_nothing_to_open_that_was_never_sealed():
    with pytest.raises(Missing):
        vault.open_(uuid7(), OMAR)


@pytest.mark.parametrize("table", ["artefact", "artefact_sealed", "custody"])
def test_evidence_is_final(table):
    sealed()
    with pytest.raises(IntegrityError, match="final"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}")


# --- the few secrets that undo needs


def test_a_sealed_secret_opens_under_its_own_name_only():
    blob = vault.seal_secret({"verifier": "SCRAM-SHA-256$4096:abc"}, about="step:1")
    assert b"SCRAM" not in blob
    assert vault.open_secret(memoryview(blob), about="step:1") == {"verifier": "SCRAM-SHA-256$4096:abc"}
    with pytest.raises(vault.BrokenSeal):
        vault.open_secret(blob, about="step:2")


def test_an_artefact_does_not_open_as_a_secret():
    artefact = sealed(b'{"a": 1}')
    with pytest.raises(vault.BrokenSeal):
        vault.open_secret(SealedBytes.objects.get(pk=artefact.pk).content, about=str(artefact.pk))


def test_another_key_does_not_open_it(settings):
    artefact, blob = sealed(), vault.seal_secret({"a": "b"}, about="step:1")
    settings.SEAL_KEY = b"k" * 32
    with pytest.raises(vault.BrokenSeal, match="another key"):
        vault.open_(artefact.pk, OMAR)
    with pytest.raises(vault.BrokenSeal, match="another key"):
        vault.open_secret(blob, about="step:1")
