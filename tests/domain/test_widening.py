"""Which part of a wanted change gives a source more, and which part does not."""

from __future__ import annotations

from typing import Any

import pytest

from containment.domain.widening import parted


@pytest.mark.parametrize(
    ("name", "was", "wanted", "at_once", "waits"),
    [
        ("trust", 0.1, 1.0, None, 1.0),
        ("trust", 1.0, 0.1, 0.1, None),
        ("trust", 0.5, 0.5, None, None),
        ("ceiling", "hold", "contain", None, "contain"),
        ("ceiling", "contain", "watch", "watch", None),
        ("rate_per_minute", 10, 11, None, 11),
        ("budget_per_hour", 10, 0, 0, None),
        ("max_age_seconds", 60, None, None, None),
        ("max_age_seconds", 60, 61, None, 61),
        ("max_age_seconds", None, 60, 60, None),
        ("kinds", [], ["human"], ["human"], None),
        ("kinds", ["human"], [], None, []),
        ("kinds", ["human", "ai_agent"], ["ai_agent", "human"], None, None),
        ("kinds", ["human", "ai_agent"], ["human"], ["human"], None),
        ("kinds", ["human", "ai_agent"], ["human", "workload"], ["human"], ["human", "workload"]),
        ("providers", ["okta"], ["okta", "aws"], None, ["okta", "aws"]),
        ("providers", ["okta"], ["aws"], None, ["aws"]),
        ("reads", "native", "ocsf", "ocsf", None),
    ],
)
def test_less_holds_at_once_and_more_waits(name: str, was: Any, wanted: Any, at_once: Any, waits: Any):
    now, later = parted({name: was}, {name: wanted})
    assert now.get(name) == at_once
    assert later.get(name) == waits
    assert (name in later) == (waits is not None or (name, wanted) == ("max_age_seconds", None))
