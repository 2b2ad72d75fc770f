"""credential_exposed: the credential is public or reported leaked, and has not been rotated since.

A report whose fingerprint nobody compared with ours is half believed and confirms no claim.
"""

from __future__ import annotations

from containment.domain.facts import Facts, Finding

UNVERIFIED = 0.5


def credential_exposed(facts: Facts) -> Finding | None:
    credential = facts.credential
    if credential is None or credential.exposed_at is None:
        return None
    if credential.rotated_at is not None and credential.rotated_at > credential.exposed_at:
        return Finding(code="credential_exposed", strength=0.0, because="It was rotated after it had been exposed.")
    where = f" ({credential.exposed_where})" if credential.exposed_where else ""
    checked = "its fingerprint is this credential's" if credential.fingerprint_verified else "nobody compared its fingerprint yet"
    return Finding(
        code="credential_exposed",
        strength=1.0 if credential.fingerprint_verified else UNVERIFIED,
        because=f"It was reported leaked{where} on {credential.exposed_at:%Y-%m-%d %H:%M}; {checked}.",
        evidence={"exposed_at": credential.exposed_at.isoformat(), "fingerprint_verified": credential.fingerprint_verified},
        confirms=credential.fingerprint_verified,
    )
