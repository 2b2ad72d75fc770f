"""Passwords that we make: throw-away ones that let nobody in, and issued ones. The server gets SCRAM verifiers (RFC 5802, RFC 7677).

Both follow from the attempt's key and the connector's own secret, so that a second try of the same attempt knows them, and nobody else can.
The salt is where a verifier says that it is ours. A throw-away's follows from the role's name alone, whatever attempt made it; an issued
one's names the attempt, the moment from which the former password let nobody in any more, and whether that is settled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ITERATIONS = 4096
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTLED = 1 << 63  # the highest bit of the moment


class Throwaway:
    def __init__(self, secret: bytes, role: str) -> None:
        self._secret = secret
        self._role = role
        self._salt = self._derived("salt")[:16]

    def password(self, key: str) -> str:
        return base64.urlsafe_b64encode(self._derived(f"password:{key}")).decode().rstrip("=")

    def verifier(self, key: str) -> str:
        return _scram(self.password(key), self._salt)

    def made(self, verifier: str | None) -> bool:
        return bool(verifier) and str(verifier).startswith(f"SCRAM-SHA-256${ITERATIONS}:{_text(self._salt)}$")

    def _derived(self, purpose: str) -> bytes:
        return hmac.digest(self._secret, f"holdfast/postgres/{self._role}/{purpose}".encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a verifier of ours says. `settled`: the change is known to have been committed before `since`, and what followed was done."""

    since: datetime
    settled: bool


class Issued:
    """The password that one attempt issues to a role."""

    def __init__(self, secret: bytes, role: str, key: str) -> None:
        def derived(purpose: str) -> bytes:
            return hmac.digest(secret, f"holdfast/postgres/{role}/issued/{purpose}:{key}".encode(), "sha256")

        self.password = base64.urlsafe_b64encode(derived("password")).decode().rstrip("=")
        self._mark = derived("mark")[:8]

    def verifier(self, since: datetime, *, settled: bool = False) -> str:
        return _scram(self.password, self._mark + (_microseconds(since) | (SETTLED if settled else 0)).to_bytes(8))

    def stamp(self, verifier: str) -> Stamp | None:
        """What a verifier of this attempt carries; None for anybody else's."""
        try:
            salt = base64.b64decode(verifier.split("$")[1].partition(":")[2], validate=True)
        except (IndexError, ValueError):
            return None
        if len(salt) != len(self._mark) + 8 or not salt.startswith(self._mark):
            return None
        carried = int.from_bytes(salt[len(self._mark) :])
        try:
            found = Stamp(EPOCH + timedelta(microseconds=carried & ~SETTLED), bool(carried & SETTLED))
        except OverflowError:  # no moment of ours is so far away
            return None
        return found if hmac.compare_digest(verifier, self.verifier(found.since, settled=found.settled)) else None


def kind_of(verifier: str | None) -> str:
    """What may be shown of a verifier: how it is made."""
    if not verifier:
        return "none"
    return "scram-sha-256" if verifier.startswith("SCRAM-SHA-256$") else "md5" if verifier.startswith("md5") else "unknown"


def _scram(password: str, salt: bytes) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
