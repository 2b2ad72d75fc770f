"""A fresh installation: what `manage.py ship` puts in force, and that it changes nothing the second time."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from containment import policies
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.models import RiskPolicyVersion
from playbooks import library
from playbooks.models import PlaybookVersion

pytestmark = pytest.mark.django_db(transaction=True)


def ship() -> str:
    said = io.StringIO()
    call_command("ship", stdout=said)
    return said.getvalue()


def test_a_fresh_installation_observes_every_kind_and_has_a_playbook_for_each() -> None:
    assert "Policy version 1 is in force, in observe mode." in ship()
    policy = policies.document(policies.in_force().text)
    assert {policy.mode(kind, "prod") for kind in Kind} == {Mode.OBSERVE}
    assert {library.bind(kind=str(kind), drive="script", pattern="any").version.state for kind in Kind} == {"in_force"}


def test_shipping_again_changes_nothing() -> None:
    ship()
    before = (RiskPolicyVersion.objects.count(), PlaybookVersion.objects.count())
    said = ship()
    assert "Policy version 1 stays in force." in said
    assert "Every shipped playbook was here already." in said
    assert (RiskPolicyVersion.objects.count(), PlaybookVersion.objects.count()) == before
