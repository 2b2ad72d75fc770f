"""Which family every signal belongs to. Within a family one observation tends to fire several signals, so the further ones count less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Family(StrEnum):
    CLAIM = "claim"
    SCOPE = "scope"
    BEHAVIOUR = "behaviour"
    IDENTITY = "identity"
    CREDENTIAL = "credential"
    INTENT = "intent"


SOURCE_CLAIM = "source_claim"

FAMILIES: Mapping[str, Family] = {
    SOURCE_CLAIM: Family.CLAIM,
    "unexpected_secret_read": Family.SCOPE,
    "token_mint": Family.SCOPE,
    "privilege_change": Family.SCOPE,
    "role_confusion": Family.SCOPE,
    "first_access": Family.BEHAVIOUR,
    "volume": Family.BEHAVIOUR,
    "tool_chain": Family.BEHAVIOUR,
    "cross_system": Family.BEHAVIOUR,
    "identity_violation": Family.IDENTITY,
    "drive_mismatch": Family.IDENTITY,
    "credential_exposed": Family.CREDENTIAL,
    "credential_shared": Family.CREDENTIAL,
    "session_ttl": Family.CREDENTIAL,
    "honeytoken": Family.CREDENTIAL,
    "intent_tool": Family.INTENT,
    "intent_resource": Family.INTENT,
    "intent_budget": Family.INTENT,
    "intent_environment": Family.INTENT,
}

BEHAVIOUR = frozenset(code for code, family in FAMILIES.items() if family is Family.BEHAVIOUR)


class Pattern(StrEnum):
    """The pattern of compromise, by which playbooks are chosen."""

    EXPOSED_CREDENTIAL = "exposed_credential"
    STOLEN_SESSION = "stolen_session"
    PRIVILEGE_ESCALATION = "privilege_escalation"
    GOAL_DEVIATION = "goal_deviation"
    LATERAL_MOVEMENT = "lateral_movement"
    SHARED_CREDENTIAL = "shared_credential"
    ANY = "any"


PATTERNS: Mapping[str, Pattern] = {
    "credential_exposed": Pattern.EXPOSED_CREDENTIAL,
    "honeytoken": Pattern.EXPOSED_CREDENTIAL,
    "identity_violation": Pattern.STOLEN_SESSION,
    "drive_mismatch": Pattern.STOLEN_SESSION,
    "privilege_change": Pattern.PRIVILEGE_ESCALATION,
    "token_mint": Pattern.PRIVILEGE_ESCALATION,
    "role_confusion": Pattern.PRIVILEGE_ESCALATION,
    "intent_tool": Pattern.GOAL_DEVIATION,
    "intent_resource": Pattern.GOAL_DEVIATION,
    "intent_budget": Pattern.GOAL_DEVIATION,
    "intent_environment": Pattern.GOAL_DEVIATION,
    "cross_system": Pattern.LATERAL_MOVEMENT,
    "tool_chain": Pattern.LATERAL_MOVEMENT,
    "credential_shared": Pattern.SHARED_CREDENTIAL,
}


def pattern_of(codes: Iterable[str]) -> Pattern:
    """The pattern of the first code that has one; codes come heaviest first."""
    return next((PATTERNS[code] for code in codes if code in PATTERNS), Pattern.ANY)
