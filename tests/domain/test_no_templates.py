"""What a report says is never read as a template or a reference: it is a value, as it came."""

from __future__ import annotations

import pytest

from connectors.sandbox import SandboxConnector
from playbooks.domain.document import parse
from playbooks.domain.plan import render

TEXT = """
name: plain
kinds: [service_account]
evidence_waiver: a test without evidence
stages:
  soft:
    - {measure: session.restrict, parameters: {mode: read_only, schemas: {from: target.must_go_on.schemas}}}
  hard:
    - {measure: session.restrict, parameters: {mode: read_only}}
holds:
  default: {on_lapse: release}
"""


@pytest.mark.fault("G13")
@pytest.mark.parametrize("said", ["{{ 7 * 7 }}", "{target}", "${HOME}", "%(subject)s", "$(id)", "{'from': 'target.credential'}"])
def test_what_a_report_names_goes_through_as_it_came(said):
    ability = next(iter(SandboxConnector.abilities.values()))
    target = {
        "provider": "sandbox",
        "kind": "service_account",
        "subject": said,
        "identity": "x",
        "facts": {"must_go_on": {"schemas": [said]}},
    }
    plan = render(parse(TEXT), target, lambda connector, measure: ability)
    assert plan["soft"][0]["parameters"] == {"mode": "read_only", "schemas": [said]}
