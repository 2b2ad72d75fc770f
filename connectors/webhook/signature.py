"""Signs as Standard Webhooks 1.0.0 says: HMAC-SHA256 over `id.timestamp.body`, named v1."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


class BadSecret(ValueError):  # noqa: N818 - reads as what it is
    """Not a secret as the specification has it. The message never quotes it."""


def secret_from(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret("A webhook secret is whsec_ and base64.") from None
    if not SHORTEST <= len(secret) <= LONGEST:
        raise BadSecret(f"A webhook secret has {SHORTEST} to {LONGEST} bytes, this one has {len(secret)}.")
    return secret


def headers(secret: bytes, *, message: str, at: int, body: bytes) -> Mapping[str, str]:
    if "." in message:
        raise ValueError("A webhook id has no dot, because dots part what is signed.")
    signed = hmac.digest(secret, f"{message}.{at}.".encode() + body, "sha256")
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
