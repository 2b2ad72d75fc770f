"""Which family every signal belongs to. Within a family one observation tends to fire several signals, so the further ones count less."""

from __future__ import annotations

from collections.abc import Mapping
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
