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


def of_secret(secret: str) -> str:
    """What a report of a leak is compared with: see of_sha256."""
    return of_sha256(hashlib.sha256(secret.encode()).hexdigest())


def of_sha256(hex_digest: str) -> str:
    """The fingerprint over the SHA-256 of a secret. Whoever found a leak sends that digest, so that the secret itself never travels. Ours
    is keyed all the same, since a plain digest of a short secret can be guessed.
    """
    return of("sha256", hex_digest)


def label(kind: str, value: str) -> str:
    """What may be shown of a credential: the name of a named one; of a secret no more than its last four characters, if it is long."""
    if kind in NAMED:
        return value
    return f"…{value[-4:]}" if len(value) >= 16 else "…"
