"""The reference of signals lists every code with the family and the weight that the code and the shipped policy give it, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from containment.domain.families import FAMILIES
from containment.domain.policy import parse, shipped_text

PAGE = (Path(settings.ROOT) / "docs" / "reference" / "signals.md").read_text()
WEIGHTS = parse(shipped_text()).weights
MEMBERS = ["**Fires when**", "**Needs to know**", "**Strength**", "**A claim of it**"]


def test_every_code_stands_there_with_its_family_and_weight_in_the_order_of_the_families():
    rows = re.findall(r"^\| \[`([a-z_]+)`\]\(#([a-z_]+)\) \| ([a-z]+) \| ([\d.]+) \| .+ \|$", PAGE, flags=re.MULTILINE)
    assert [(code, anchor, family, float(weight)) for code, anchor, family, weight in rows] == [
        (code, code, str(family), WEIGHTS[code]) for code, family in FAMILIES.items()
    ]


def test_every_section_says_when_it_fires_what_it_needs_how_strong_and_what_a_claim_is_worth():
    sections = dict(re.findall(r"^### ([a-z_]+)\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
    assert list(sections) == list(FAMILIES)
    for code, section in sections.items():
        assert re.findall(r"^- (\*\*[^*]+\*\*)", section, flags=re.MULTILINE)[:4] == MEMBERS, code
        assert section.count("```http") >= 1, code


def test_a_section_lies_under_the_heading_of_its_family():
    families = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = {
        code: part.partition("\n")[0].lower() for part in families for code in re.findall(r"^### ([a-z_]+)$", part, flags=re.MULTILINE)
    }
    assert found == {code: str(family) for code, family in FAMILIES.items()}
