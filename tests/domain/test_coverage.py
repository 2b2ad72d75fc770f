"""What an exception spares, and which scopes nobody may ask for."""

from __future__ import annotations

import pytest

from approvals.domain.coverage import LONGEST_WORD, Seen, covers, faults

SEEN = Seen(
    identity="i-1",
    session="s-77",
    credential="etl_reader",
    action="data.read",
    resource="vault.card_tokens",
    signals=frozenset({"volume", "first_access"}),
    tenant="acme",
)


@pytest.mark.parametrize(
    ("scope", "covered", "outside"),
    [
        ({"identity": "i-1"}, True, set()),
        ({"identity": "i-2"}, False, set()),
        ({"identity": "i-1", "session": "s-77"}, True, set()),
        ({"identity": "i-1", "session": "s-78"}, False, set()),
        ({"credential": "etl_reader", "tenant": "acme"}, True, set()),
        ({"tenant": "other"}, False, set()),
        ({"action": "data.read"}, True, set()),
        ({"action": "data.*"}, True, set()),
        ({"action": "data.r"}, False, set()),
        ({"action": "secret.*"}, False, set()),
        ({"resource": "vault.*"}, True, set()),
        ({"resource": "VAULT.*"}, False, set()),
        ({"identity": "i-1", "signals": ["volume", "first_access", "tool_chain"]}, True, set()),
        ({"identity": "i-1", "signals": ["volume"]}, True, {"first_access"}),
        ({"identity": "i-2", "signals": ["volume"]}, False, set()),
        ({"signals": ["token_mint"]}, True, {"volume", "first_access"}),
    ],
)
def test_what_a_scope_covers(scope, covered, outside):
    coverage = covers(scope, SEEN)
    assert (coverage.covers, set(coverage.outside)) == (covered, outside)
    assert coverage.spares is (covered and not outside)


@pytest.mark.parametrize("name", ["identity", "session", "credential", "action", "resource", "tenant"])
def test_a_scope_that_names_what_is_unknown_does_not_cover_it(name):
    assert not covers({name: "x"}, Seen(signals=frozenset({"volume"}))).covers


def test_a_no_names_the_part_that_does_not_fit():
    assert covers({"session": "s-78"}, SEEN).because == "it is for the session s-78, not s-77"
    assert covers({"identity": "i-1", "signals": ["volume"]}, SEEN).because == "outside it: first_access"


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({}, [("scope", "empty")]),
        (None, [("scope", "empty")]),
        ("*", [("scope", "empty")]),
        ({"action": "*"}, [("scope", "too_wide")]),
        ({"action": "*", "resource": ".*"}, [("scope", "too_wide")]),
        ({"identity": "*"}, [("scope.identity", "wildcard")]),
        ({"tenant": "ac*"}, [("scope.tenant", "wildcard")]),
        ({"action": "*.read"}, [("scope.action", "wildcard")]),
        ({"planet": "earth"}, [("scope.planet", "unknown")]),
        ({"identity": ""}, [("scope.identity", "invalid")]),
        ({"identity": 7}, [("scope.identity", "invalid")]),
        ({"identity": "x" * (LONGEST_WORD + 1)}, [("scope.identity", "invalid")]),
        ({"signals": []}, [("scope.signals", "invalid")]),
        ({"signals": "volume"}, [("scope.signals", "invalid")]),
        ({"signals": ["volume", "*"]}, [("scope.signals", "invalid")]),
        ({"planet": "earth", "identity": ""}, [("scope.planet", "unknown"), ("scope.identity", "invalid")]),
        ({"identity": "i-1", "action": "*"}, []),
        ({"action": "data.*"}, []),
        ({"signals": ["volume"]}, []),
    ],
)
def test_a_scope_says_what_it_spares(scope, found):
    assert [(fault.path, fault.code) for fault in faults(scope)] == found
