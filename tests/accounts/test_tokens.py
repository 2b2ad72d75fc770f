"""Service tokens: their shape, how they end, and as whom they count."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts import actors, people, tokens
from accounts.models import Person, ServiceToken
from audit import clock
from audit.models import AuditEntry
from core.actor import SYSTEM
from core.refusals import BadInput, Missing


@pytest.fixture
def owner(db) -> Person:
    return people.add("ines", name="Ines", roles=["analyst"], actor=SYSTEM)


def issue(owner: Person, **changes):
    terms: dict[str, Any] = {"name": "edr", "owner": owner, "scopes": ["detections.write"], "actor": SYSTEM, "source": "edr-prod"}
    return tokens.issue(**terms | changes)


def set_expiry(token: ServiceToken, life: timedelta) -> None:
    ServiceToken.objects.filter(pk=token.pk).update(expires_at=clock.now() + life)


def test_a_token_is_found_by_its_text_and_rests_as_a_digest(owner):
    token, text = issue(owner)
    assert tokens.find(text).pk == token.pk
    row = ServiceToken.objects.values().get(pk=token.pk)
    assert text not in str(row)
    assert text[7:33] not in str(row)
    assert row["shown"] == f"{text[:7]}…{text[-4:]}"


def test_the_trail_says_that_a_token_was_issued_and_not_what_it_is(owner):
    token, text = issue(owner)
    entry = AuditEntry.objects.get(verb="token.issued")
    assert entry.subject == str(token.ref)
    assert text not in entry.body


def test_two_tokens_differ_and_carry_178_bits(owner):
    texts = {tokens._make() for _ in range(200)}
    assert len(texts) == 200
    assert all(len(text) == 39 and tokens.well_formed(text) for text in texts)


@given(st.integers(0, 38), st.sampled_from(tokens.ALPHABET + "_-é"))
def test_a_token_with_one_character_changed_is_malformed(place, character):
    text = "hf_0123456789ABCDEFGHIJKLMNOPQRST"
    text += tokens._checksum(text)
    changed = text[:place] + character + text[place + 1 :]
    assert tokens.well_formed(changed) is (changed == text)


@given(st.text())
def test_any_text_at_all_is_refused_without_a_query(text):
    with pytest.raises(tokens.TokenMalformed):  # no database here: a query would fail the test
        tokens.find(text)


def test_a_well_formed_token_of_nobody_is_unknown(db):
    with pytest.raises(tokens.TokenUnknown):
        tokens.find(tokens._make())


def test_a_token_ends_at_its_time(owner):
    token, text = issue(owner)
    set_expiry(token, timedelta(seconds=0))
    with pytest.raises(tokens.TokenExpired):
        tokens.find(text)


def test_a_revoked_token_is_refused_at_once_and_revoking_twice_is_recorded_once(owner):
    token, text = issue(owner)
    tokens.revoke(token.pk, actor=SYSTEM)
    first = tokens.revoke(token.pk, actor=SYSTEM).revoked_at
    assert first is not None
    with pytest.raises(tokens.TokenRevoked):
        tokens.find(text)
    assert AuditEntry.objects.filter(verb="token.revoked").count() == 1


def test_revoking_a_token_that_is_not_there_is_a_refusal(owner):
    with pytest.raises(Missing):
        tokens.revoke(owner.pk, actor=SYSTEM)


def test_the_tokens_of_somebody_who_left_are_refused(owner):
    _, text = issue(owner)
    Person.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(tokens.TokenRevoked):
        tokens.find(text)


def test_the_last_use_is_noted_to_the_minute(owner):
    token, text = issue(owner)
    tokens.find(text)
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert (token.last_used_at.second, token.last_used_at.microsecond) == (0, 0)
    assert token.last_used_at <= clock.now()


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"scopes": []}, "scopes", "required"),
        ({"scopes": ["everything"]}, "scopes", "unknown_scope"),
        ({"scopes": ["hold.answer"]}, "scopes", "unknown_scope"),
        ({"source": ""}, "source", "required"),
        ({"speaks_for": f"identity:{UUID(int=1)}"}, "source", "not_both"),
        ({"scopes": ["guard.ask"], "source": "", "speaks_for": "team:soc"}, "speaks_for", "wrong_form"),
        ({"life": timedelta(days=400)}, "life", "out_of_range"),
        ({"life": timedelta(0)}, "life", "out_of_range"),
    ],
)
def test_terms_that_make_no_sense_are_refused(owner, changes, path, code):
    with pytest.raises(BadInput) as refusal:
        issue(owner, **changes)
    assert [(fault.path, fault.code) for fault in refusal.value.faults] == [(path, code)]
    assert not ServiceToken.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": ["hold.answer"]}, {"scopes": []}, {"source": ""}, {"speaks_for": "identity:1"}, {"expires_in": timedelta(days=400)}],
)
def test_the_database_keeps_the_same_rules(owner, wrong):
    token, _ = issue(owner)
    if "expires_in" in wrong:
        wrong = {"expires_at": clock.now() + wrong["expires_in"]}
    with pytest.raises(IntegrityError), transaction.atomic():
        ServiceToken.objects.filter(pk=token.pk).update(**wrong)


def test_a_token_counts_as_its_owner_so_nobody_becomes_two_people(owner):
    token, _ = issue(owner)
    other, _ = issue(owner, name="another", scopes=["read"])
    person = actors.of_person(owner)
    principals = {person.principal, actors.of_token(token).principal, actors.of_token(other).principal}
    assert principals == {str(owner.pk)}


def test_a_token_may_what_its_scopes_say_and_nothing_of_what_only_people_do(owner):
    token, _ = issue(owner)
    actor = actors.of_token(token)
    assert actor.permissions == {"detections.write"}
    assert actor.source == "edr-prod"
    assert not actor.is_person
    assert actor.teams == frozenset()


def test_a_token_reads_only_while_its_owner_may(owner):
    token, text = issue(owner, scopes=["read", "guard.ask"])
    assert actors.of_token(token).permissions == {"read", "guard.ask", "sessions.read"}
    people.set_roles(owner.pk, [], actor=SYSTEM)
    assert actors.of_token(tokens.find(text)).permissions == {"guard.ask", "sessions.read"}
