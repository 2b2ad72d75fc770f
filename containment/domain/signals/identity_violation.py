"""identity_violation: how the workload presented itself, or where it came from, does not fit what the inventory knows of this identity."""

from __future__ import annotations

from fnmatch import fnmatchcase

from containment.domain.facts import Facts, Finding, WorkloadClaim, WorkloadFacts, lies_inside


def identity_violation(facts: Facts) -> Finding | None:
    said = facts.detection.workload if facts.detection else None
    known = facts.identity.workload
    presented = _presented(said, known) if said and known else {}
    misfits = [sentence for fits, sentence in presented.values() if not fits]
    if outside := _outside(facts):
        misfits.append(outside)
    if misfits:
        because = "; ".join(misfits) + "."
        return Finding(code="identity_violation", strength=1.0, because=because, evidence={"misfits": misfits})
    if presented:  # an address that fits says nothing about an image that nobody showed us
        return Finding(code="identity_violation", strength=0.0, because=f"{', '.join(presented)}: all as the inventory knows it.")
    return None


def _presented(said: WorkloadClaim, known: WorkloadFacts) -> dict[str, tuple[bool, str]]:
    """Everything that both sides name: whether it fits, and the sentence if it does not."""
    compared: dict[str, tuple[bool, str]] = {}
    for name, value, expected in (
        ("issuer", said.issuer, known.issuer),
        ("subject", said.subject, known.subject),
        ("environment", said.environment, known.environment),
    ):
        if value and expected:
            compared[name] = (value == expected, f"The {name} is {value}, not {expected}")
    for name, value, allowed in (
        ("attestation", said.attestation, known.attestations),
        ("audience", said.audience, known.audiences),
        ("image", said.image, known.images),
    ):
        if value and allowed:
            fits = any(fnmatchcase(value, one) if name == "image" else value == one for one in allowed)
            compared[name] = (fits, f"The {name} is {value}, not {' or '.join(allowed)}")
    if said.network and known.networks:
        by_address = lies_inside(said.network, known.networks)
        fits = said.network in known.networks if by_address is None else by_address
        compared["network"] = (fits, f"The network is {said.network}, not {' or '.join(known.networks)}")
    return compared


def _outside(facts: Facts) -> str:
    """The sentence, if the address that acted lies outside every network known for this identity."""
    named = [session for session in facts.own_sessions if session.id == facts.session]
    address = (facts.detection.source_ip if facts.detection else "") or next((session.origin for session in named), "")
    networks = facts.identity.known_networks + (facts.identity.workload.networks if facts.identity.workload else ())
    if lies_inside(address, networks) is False:
        return f"{address} lies outside the known networks of {facts.identity.subject}"
    return ""
