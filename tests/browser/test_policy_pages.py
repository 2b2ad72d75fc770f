"""The pages of the policy fit their window in both themes, and the browser refuses nothing on them."""

from __future__ import annotations

import pytest

from containment import policies, ramp, shadow
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.models import RiskPolicyVersion
from tests import cast, make
from tests.browser.windows import they_fit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SCOPE = """
scope:
  rules:
    - {name: no secrets for agents, who: {kind: ai_agent}, may_not: secret.read, on: {properties: {sensitivity: critical}}}
    - {name: one's own, may: data.write, where: [resource.properties.owner == subject.properties.email]}
"""


def test_every_page_of_the_policy_fits_its_window_in_both_themes(role, as_person):
    make.house()
    cast.person("mia")
    RiskPolicyVersion.objects.all().delete()
    policies.ship(mode=Mode.OBSERVE)
    role("etl_reader")
    make.identity("etl_reader", environment="prod")
    make.identity("copilot", kind="ai_agent", provider="holdfast", environment="staging")
    text = policies.in_force().text
    change = ("service_account, soft: 40, hard: 70", "service_account, soft: 90, hard: 95")
    loose = policies.draft(text.replace(*change, 1) + SCOPE, actor=cast.person("enzo"))
    shadow.start(loose.pk, actor=cast.person("enzo"))
    make.detected()
    enforcing = policies.draft(
        text.replace("rules: []", "rules: [{kind: service_account, environment: prod, mode: enforce}]"), actor=cast.person("enzo")
    )
    make.backtest_seen(enforcing, "mara", "omar")
    ramp.confirm_protected(actor=cast.person("ada"))
    cell = ramp.Cell(kind=Kind.SERVICE_ACCOUNT, environment="prod", budget=None, bar=policies.document(text).ramp)
    ramp.preflight(cell, actor=cast.person("enzo"))
    pages = {
        "policy": "/policy/",
        "policy-draft": f"/policy/{enforcing.pk}/",
        "policy-shadowed": f"/policy/{loose.pk}/",
        "policy-ramp": "/policy/ramp/?kind=service_account&environment=prod",
        "policy-ramp-red": "/policy/ramp/?kind=human&environment=prod",
        "policy-shadow": f"/policy/{loose.pk}/shadow/",
    }
    they_fit(as_person, pages, light="mara", dark="ada")
