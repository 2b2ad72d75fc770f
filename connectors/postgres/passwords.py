"""Passwords that let nobody in: a throw-away one per attempt, handed to the server as a SCRAM verifier.

The password follows from the attempt's key and the connector's own secret, so that a second try of the same attempt knows it, and
nobody else can. The salt follows from the role's name alone: by it we recognise a verifier of ours, whatever attempt made it
(RFC 5802, RFC 7677).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

ITERATIONS = 4096


class Throwaway:
    def __init__(self, secret: bytes, role: str) -> None:
        self._secret = secret
        self._role = role
        self._salt = self._derived("salt")[:16]

    def password(self, key: str) -> str:
        return base64.urlsafe_b64encode(self._derived(f"password:{key}")).decode().rstrip("=")

    def verifier(self, key: str) -> str:
        salted = hashlib.pbkdf2_hmac("sha256", self.password(key).encode(), self._salt, ITERATIONS)
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        server = hmac.digest(salted, b"Server Key", "sha256")
        return f"SCRAM-SHA-256${ITERATIONS}:{_text(self._salt)}${_text(stored)}:{_text(server)}"

    def made(self, verifier: str | None) -> bool:
        return bool(verifier) and str(verifier).startswith(f"SCRAM-SHA-256${ITERATIONS}:{_text(self._salt)}$")

    def _derived(self, purpose: str) -> bytes:
        return hmac.digest(self._secret, f"holdfast/postgres/{self._role}/{purpose}".encode(), "sha256")


def kind_of(verifier: str | None) -> str:
    """What may be shown of a verifier: how it is made."""
    if not verifier:
        return "none"
    return "scram-sha-256" if verifier.startswith("SCRAM-SHA-256$") else "md5" if verifier.startswith("md5") else "unknown"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
