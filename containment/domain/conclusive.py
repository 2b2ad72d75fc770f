"""What settles the matter whatever the risk. The policy lists the codes and the evidence each needs; a claim alone is never enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from containment.domain.facts import CredentialFacts, Facts, lies_inside
from containment.domain.policy import Needs, RiskPolicy
from containment.domain.signals import Fired


class Against(StrEnum):
    """What the evidence condemns: the credential alone, or whoever acts with it."""

    CREDENTIAL = "credential"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Conclusive:
    code: str
    against: Against
    because: str


def conclusive(facts: Facts, fired: Iterable[Fired], policy: RiskPolicy) -> tuple[Conclusive, ...]:
    found = (_weighed_up(facts, signal, policy.conclusive[signal.code]) for signal in fired if signal.code in policy.conclusive)
    return tuple(one for one in found if one is not None)


def _weighed_up(facts: Facts, signal: Fired, needs: Needs) -> Conclusive | None:
    if not signal.ours:
        return None
    if needs is Needs.VERIFIED_FINGERPRINT:
        return _exposure(facts, signal)
    if needs is Needs.OWN_FINDING and signal.strength < 1:
        return None
    return Conclusive(signal.code, Against.IDENTITY, signal.because)


def _exposure(facts: Facts, signal: Fired) -> Conclusive | None:
    credential = facts.credential
    if credential is None or credential.exposed_at is None or not credential.fingerprint_verified:
        return None
    if used_by_a_stranger(facts, credential):
        because = "The leaked credential was used after that, from outside the known networks and sessions."
        return Conclusive(signal.code, Against.IDENTITY, because)
    return Conclusive(signal.code, Against.CREDENTIAL, "The leaked secret is this credential's.")


def used_by_a_stranger(facts: Facts, credential: CredentialFacts) -> bool:
    """Used after its exposure from outside the known networks and sessions. What is not known to be outside is not."""
    if facts.action is None or facts.detection is None or credential.exposed_at is None or facts.at <= credential.exposed_at:
        return False
    known = [session for session in facts.own_sessions if not session.discovered]
    address = facts.detection.source_ip or next((session.origin for session in facts.own_sessions if session.id == facts.session), "")
    in_known_session = any(session.id == facts.session for session in known)
    from_known_origin = any(session.origin and lies_inside(address, (session.origin,)) for session in known)
    return lies_inside(address, facts.identity.known_networks) is False and not in_known_session and not from_known_origin
