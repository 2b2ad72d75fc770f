"""What may be said of an identity: the members that a change or an import may carry, each checked."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from containment.domain.facts import Drive, Kind
from containment.domain.members import Members
from core.refusals import Fault

_ATTESTED_TEXTS = ("issuer", "subject", "environment")
_ATTESTED_LISTS = ("attestation", "image", "audience", "network")


def read_changes(said: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    members = Members(said, "", faults)
    read = describe(members)
    members.finish()
    return read


def describe(members: Members) -> dict[str, Any]:
    """Those of its plain members that are there, by the name of their column. The caller finishes."""
    read: dict[str, Any] = {
        "kind": members.word("kind", [str(kind) for kind in Kind]),
        "name": members.text("name", empty=True),
        "environment": members.text("environment", longest=100),
        "tenant": members.text("tenant", empty=True),
        "drive": members.word("drive", [str(drive) for drive in Drive]),
        "known_networks": networks(members, "known_networks"),
        "attested": _attested(members),
    }
    return {name: value for name, value in read.items() if name in members and members.raw(name) is not None}


def networks(members: Members, name: str) -> list[str]:
    """Addresses and networks, as networks: 10.0.0.1 is 10.0.0.1/32."""
    found: list[str] = []
    for index, text in enumerate(members.texts(name)):
        try:
            found.append(str(ip_network(text)))
        except ValueError:
            members.fault(f"{name}[{index}]", "wrong_form", "A network is needed here, such as 10.0.0.0/8.")
    return found


def _attested(members: Members) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for attested in members.part("attested"):
        texts = {name: attested.text(name) for name in _ATTESTED_TEXTS}
        lists = {name: networks(attested, name) if name == "network" else attested.texts(name) for name in _ATTESTED_LISTS}
        read = {name: value for name, value in {**texts, **lists}.items() if value}
    return read
