"""Keyed fingerprints: a secret that reaches us is compared and never kept. HMAC-SHA256 under a key derived from the sealing key."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings

NAMED = frozenset({"db_role", "certificate", "oauth_client", "k8s_service_account", "role"})  # their id is a name, not a secret


def of(kind: str, value: str) -> str:
    """64 hex digits. The same secret gives the same fingerprint in this installation, and another one elsewhere."""
    key = hmac.digest(settings.SEAL_KEY, b"holdfast-fingerprint-v1", "sha256")
    return hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()


def label(kind: str, value: str) -> str:
    """What may be shown of a credential: the name of a named one; of a secret no more than its last four characters, if it is long."""
    if kind in NAMED:
        return value
    return f"…{value[-4:]}" if len(value) >= 16 else "…"
