"""What people write keeps its words and loses its secrets, and the audit trail never gets them."""

import pytest

from audit.models import AuditEntry
from audit.record import record, telling
from core import masking
from core.actor import SYSTEM
from core.ids import uuid7
from core.refs import Ref

SCRAM = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$" + "A" * 43 + "=:" + "B" * 43 + "="
LEAKS = [
    ("we rotated it, password=hunter2-blue, go on", "hunter2-blue"),
    ("password: correcthorse", "correcthorse"),
    ("the token: abc123def456 was used", "abc123def456"),
    ("AKIAIOSFODNN7EXAMPLE leaked", "IOSFODNN7"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC", "MIIEow"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY----- it says", "MIIEow"),
    ("it sent Authorization: Bearer abcdefgh12345", "abcdefgh12345"),
    ("hf_4f9a0b1c2d3e4f5a6b7c is one of ours", "4f9a0b1c"),
    (f"its verifier is {SCRAM}", "AAAAAAA"),
    ("postgresql://etl:s3cret-word@10.0.0.4/vault", "s3cret-word"),
]


@pytest.mark.parametrize(("text", "secret"), LEAKS)
def test_a_secret_in_a_sentence_is_masked_and_masking_twice_changes_nothing(text, secret):
    clean = masking.in_text(text)
    assert secret not in clean
    assert masking.MARK in clean
    assert masking.in_text(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "Secret: read outside its task",
        "the token: we rotated it with Basic authentication, by Bearer convention",
        "no password was needed; credential etl_reader stays",
        "sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "",
    ],
)
def test_a_sentence_about_secrets_keeps_its_words(text):
    assert masking.in_text(text) == text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("text", "secret"), LEAKS)
def test_a_secret_in_a_reason_does_not_reach_the_trail(text, secret):
    run = Ref.to("run", uuid7())
    with telling():
        record("run.accepted", run, actor=SYSTEM, reason=text, steps=[{"diff": {"was": text}}])
    body = AuditEntry.objects.get(subject=str(run)).body
    assert secret not in body
    assert body.count(masking.MARK) == 2
