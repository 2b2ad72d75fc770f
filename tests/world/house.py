"""A house that acts on the world: one playbook per kind of identity, so that a kind stands for an effect class."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from tests.world.target import MEASURES

KINDS = {"keyed": "ai_agent", "natural": "service_account", "observable": "human", "blind": "workload"}
HOLDS = "holds:\n  default: {on_lapse: escalate}\n  payment: {on_lapse: release}\n  protected: {quorum: 2, on_lapse: release}\n"


def playbook(name: str, kind: str, *measures: str, timeout_s: int = 10, on_failure: str = "stop") -> str:
    """Its soft and hard stage do the same: evidence first, then the measures."""
    steps = "".join(f"    - {{measure: {measure}, timeout: {timeout_s}s, on_failure: {on_failure}}}\n" for measure in measures)
    evidence = f"    - {{measure: evidence.preserve, timeout: {timeout_s}s, on_failure: continue}}\n"
    return f"name: {name}\nkinds: [{kind}]\nstages:\n  soft:\n{evidence}{steps}  hard:\n{evidence}{steps}{HOLDS}"


def furnish(*, budget: int = 10_000, timeout_s: int = 10) -> None:
    """Policy (enforced, with room for a storm), the playbooks of the world, a source, a team, and the sensitive table."""
    from audit.record import telling
    from containment import policies
    from containment.domain.policy import Mode
    from containment.models import Resource, RiskPolicyVersion, Source
    from core.actor import SYSTEM
    from core.digest import digest_of_bytes
    from playbooks import library
    from tests import cast

    for name in ("ines", "omar", "mara"):
        cast.person(name)
    policies.ship(mode=Mode.ENFORCE)
    version = RiskPolicyVersion.objects.get(state="in_force")
    text = re.sub("per_source_hour: [0-9]+", f"per_source_hour: {budget}", version.text)
    text = re.sub("per_day: [0-9]+", f"per_day: {budget}", text)
    text = re.sub("share_at_least: [0-9]+", f"share_at_least: {budget}", text)
    RiskPolicyVersion.objects.filter(pk=version.pk).update(text=text, digest=digest_of_bytes(text.encode()))
    with telling():
        for effect, kind in KINDS.items():
            text = playbook(f"world-{effect}", kind, MEASURES[effect], timeout_s=timeout_s)
            library._put_in_force(library._draft(text, actor=SYSTEM, author_id=None, shipped=True))
    Source.objects.get_or_create(name="edr-prod")
    Source.objects.update(rate_per_minute=1_000_000, budget_per_hour=budget)
    Resource.objects.get_or_create(kind="table", key="vault.card_tokens", defaults={"sensitivity": "critical"})


def message(subject: str, effect: str, **changes: Any) -> dict[str, Any]:
    """A detection that contains such an identity."""
    from tests import make

    identity = {"kind": KINDS[effect], "provider": "world", "subject": subject}
    return make.message(subject, identity=identity, credential=None, session=None, **changes)


def known(subject: str, effect: str) -> Any:
    from audit import clock
    from containment.models import Identity

    return Identity.objects.create(
        provider="world",
        subject=subject,
        kind=KINDS[effect],
        created_at=clock.now() - timedelta(days=400),
        owner_team="soc",
        reach="wide",
        reach_from="typed",
        known_networks=["127.0.0.0/8"],
    )
