"""Inside: a pattern inside a pattern, an intent inside an intent. Whatever is let through is shown to be inside."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containment.domain.inside import beyond, looser, over, pattern_inside
from tests.examples import some

ALPHABET = "ab"
NAMES = ["".join(letters) for length in range(5) for letters in product(ALPHABET, repeat=length)]
patterns = st.text(alphabet="ab*?", max_size=4) | st.sampled_from(["a[!b]", "[ab]b", "a[a]*", "[!a]?", "a[b", "[*]", "[?]a"])


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("mail.send", "mail.send"),
        ("mail.send", "mail.*"),
        ("mail.*", "mail.*"),
        ("mail.s*", "mail.*"),
        ("mail.s?nd", "mail.s?nd"),
        ("mail.s?nd", "mail.s*"),
        ("*.read", "*"),
        ("a*b*c", "a*c"),
        ("a[xy]c", "a[xy]c"),
        ("a[xy]c", "*"),
        ("axc", "a[xy]c"),
        ("anything", "*"),
    ],
)
def test_what_can_be_shown_to_lie_inside_does(inner, outer):
    assert pattern_inside(inner, outer)


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("mail.*", "mail.send"),
        ("*", "a*"),
        ("*", "?*"),
        ("?", "a"),
        ("a?c", "a[!b]c"),
        ("a*c", "a[!b]c"),
        ("a*c", "a?c"),
        ("a*", "a?"),
        ("a[xy]c", "a?????c"),
        ("a[!b]c", "a[!x]c"),
        ("mail", "mail.*"),
        ("Mail.send", "mail.*"),
        ("a*\ue000", "a?*"),
    ],
)
def test_what_cannot_be_shown_to_lie_inside_does_not(inner, outer):
    assert not pattern_inside(inner, outer)


@settings(max_examples=some(400), deadline=None)
@given(patterns, patterns)
def test_no_name_fits_the_inner_pattern_and_not_the_outer_one(inner, outer):
    if pattern_inside(inner, outer):
        assert [name for name in NAMES if fnmatchcase(name, inner) and not fnmatchcase(name, outer)] == []


PROFILE: dict[str, Any] = {
    "tools": [{"name": "mail.*", "writes": True}, {"name": "ledger.read", "writes": False}],
    "resources": ["docs/*"],
    "scope": [{"action": "data.*", "resource": "docs/*"}],
}


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ({"tools": ["mail.send", {"name": "ledger.read", "writes": False}]}, []),
        ({"tools": ["mail.*", "*"]}, ["tools[1]"]),
        ({"tools": [{"name": "ledger.read", "writes": True}]}, ["tools[0]"]),
        ({"resources": ["docs/a", "docs/?", "do*"]}, ["resources[2]"]),
        ({"environments": ["prod"]}, ["environments[0]"]),
        ({"scope": [{"action": "data.read", "resource": "docs/a"}, {"action": "data.read"}]}, ["scope[1]"]),
    ],
)
def test_every_place_that_lies_outside_is_named(wanted, places):
    assert beyond(wanted, PROFILE, silence_allows=False) == places


def test_what_the_outer_one_leaves_out_allows_nothing_or_everything():
    wanted = {"environments": ["prod"], "scope": [{"action": "data.read"}]}
    assert beyond(wanted, {}, silence_allows=False) == ["environments[0]", "scope[0]"]
    assert beyond(wanted, {}, silence_allows=True) == []


def test_a_budget_is_over_where_both_name_it():
    assert over({"writes_per_hour": 3, "calls_per_day": 9}, {"writes_per_hour": 2}) == ["budgets.writes_per_hour"]


@pytest.mark.parametrize(
    ("bound", "outside"),
    [
        ({"max": 100}, False),
        ({"max": 101}, True),
        ({"min": 1}, False),
        ({"one_of": ["EUR"]}, False),
        ({"one_of": ["EUR", "USD"]}, True),
        ({"like": "*@a.test"}, False),
        ({"like": "*"}, True),
    ],
)
def test_a_bound_may_only_be_drawn_closer(bound, outside):
    outer = {"pay.*": {"x": {"max": 100, "one_of": ["eur "], "like": "*@a.test"}}}
    assert looser({"pay.now": {"x": bound}, "mail": {"x": {"max": 9**9}}}, outer) == (["bounds.pay.now.x"] if outside else [])
