"""What looks like a secret does not reach the vault; what does not, stays as it was."""

from __future__ import annotations

import json

import pytest

from evidence.redact import redact

SCRAM = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$" + "A" * 43 + "=:" + "B" * 43 + "="


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"rolpassword | {SCRAM}", "AAAAAAA"),
        ("md5a3556571e93b0d20722ba62be61e8c2d", "a3556571"),
        ("Authorization: Bearer hf_4f9a0b1c2d3e4f5a6b7c", "4f9a0b1c"),
        ("the token was hf_4f9a0b1c2d3e4f5a6b7c, it said", "4f9a0b1c"),
        ("postgresql://etl:s3cret-word@10.0.0.4/vault", "s3cret-word"),
        ("ALTER ROLE etl_reader PASSWORD 'it''s hidden'", "hidden"),
        ("host=db password=s3cret-word user=etl", "s3cret-word"),
        ('password: "two words"', "two words"),
        ("PGPASSWORD='two words' psql", "two words"),
        (r'{"line": "{\"password\": \"two words\"}"}', "two words"),
        ("api_key=abc123def456", "abc123"),
        ("client_secret: abc123def456", "abc123"),
        ("ghp_abcdefghij0123456789", "abcdefghij"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "eyJzdWIi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ],
)
def test_a_secret_is_redacted_wherever_it_stands(text, secret):
    for media_type, content in (
        ("text/plain", text.encode()),
        ("application/octet-stream", b"\xff\xfe\x00" + text.encode() + b"\x00\xff"),
        ("application/json", json.dumps({"said": [text]}).encode()),
    ):
        clean, count = redact(content, media_type)
        assert secret.encode() not in clean, media_type
        assert b"[redacted]" in clean
        assert count >= 1


@pytest.mark.parametrize("name", ["password", "rolpassword", "clientSecret", "X-Api-Key", "access_token", "passphrase", "db_credentials"])
def test_a_json_member_that_is_called_a_secret_is_redacted_however_it_is_written(name):
    clean, count = redact(
        json.dumps({"role": {name: 'w\u00f6rd "quoted" \\ end', "name": "etl"}}).encode(), "application/json; charset=utf-8"
    )
    assert json.loads(clean) == {"role": {name: "[redacted]", "name": "etl"}}
    assert count == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"tokens_used": 12, "has_password": true, "password": null}',
        '{"role": "etl_reader", "grants": ["SELECT ON vault.card_tokens"]}',
        "the session read vault.card_tokens three times",
        "https://holdfast.example/cases/1?tab=evidence",
        "",
        "not json {",
    ],
)
def test_what_is_no_secret_stays_as_it_was(text):
    assert redact(text.encode(), "application/json") == (text.encode(), 0)


def test_redacting_twice_changes_nothing_more():
    once, _ = redact(f"password=x {SCRAM} postgresql://a:b@c/d Bearer abcdefgh12345".encode(), "text/plain")
    assert redact(once, "text/plain")[0] == once
