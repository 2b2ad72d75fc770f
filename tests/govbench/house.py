"""What a scenario needs in the product: people in the inventory, tools in an agent profile and in scope rules of the policy in force.

Through the product's own doors: an inventory file, a profile that somebody else approves, a policy that two people approve. Every scenario
has a provider of its own for each of its tenants, so that many can be played beside each other and beside whatever is there already.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import yaml

from containment import backtests, documents, importing, policies, policy_approvals
from containment.importing.reading import read_yaml
from containment.models import RiskPolicyVersion, WorkDocument
from core.actor import Actor
from core.refusals import Refusal
from tests.govbench.reading import Scenario, User

ENVIRONMENT = "prod"
PATIENCE = 60.0  # seconds for a backtest
NO_TOOL = "no.tool"  # what a session intends that was given nothing
_SCOPE = re.compile(r"(?ms)^scope:.*?(?=^\S|\Z)")


@dataclass(slots=True)
class House:
    """`author` writes, `approvers` approve. `denied`: whom people have shut out since, as scope rules."""

    key: str
    author: Actor
    approvers: Sequence[Actor]
    rules: list[Mapping[str, Any]] = field(default_factory=list)
    before: str = ""

    def provider(self, scenario: Scenario, user: User) -> str:
        return f"{self.key}-{_plain(scenario.id)}-{user.tenant}"

    def profile(self, scenario: Scenario, user: User) -> str:
        return _plain(f"{self.provider(scenario, user)}-{user.uid}")

    # -- before the first scenario, and after the last

    def prepare(self, scenarios: Sequence[Scenario]) -> None:
        """All of them at once: one file, one policy."""
        importing.carry_out(self._inventory(scenarios), name="govbench.yaml", actor=self.author)
        for draft in WorkDocument.objects.filter(state="draft", name__startswith=_plain(self.key)):
            documents.approve(draft.pk, actor=self.approvers[0], seen_digest=draft.digest)
        self.before = policies.in_force().text
        self.rules = [rule for scenario in scenarios for user in scenario.users for rule in self._rules(scenario, user)]
        self._put_in_force()

    def leave(self) -> None:
        """The policy reads as it did before."""
        self._approve(self.before)

    # -- what people change meanwhile

    def change(self, scenario: Scenario, said: Mapping[str, Any]) -> None:
        """A user, or a whole tenant, is shut out or let in again: the next version of the policy, approved as any."""
        who = [user for user in scenario.users if user.tenant == said["tenant"] and said.get("user", user.uid) == user.uid]
        for user in who:
            name = f"{self.profile(scenario, user)} is shut out"
            self.rules = [rule for rule in self.rules if rule["name"] != name]
            if said["set_permission"] != "allow":
                self.rules.insert(0, {"name": name, "who": self._who(scenario, user), "may_not": "*"})
        self._put_in_force()

    # -- inside

    def _inventory(self, scenarios: Sequence[Scenario]) -> Any:
        people = [(scenario, user) for scenario in scenarios for user in scenario.users]
        identities = [
            {
                "provider": self.provider(scenario, user),
                "subject": user.uid,
                "kind": "human",
                "tenant": user.tenant,
                "environment": ENVIRONMENT,
                "reach": "team",
            }
            for scenario, user in people
        ]
        profiles = [{"name": self.profile(scenario, user), **_profile(scenario, user)} for scenario, user in people]
        return read_yaml(_written({"identities": identities, "agent_profiles": profiles}).encode())

    def _rules(self, scenario: Scenario, user: User) -> list[Mapping[str, Any]]:
        name, who = self.profile(scenario, user), self._who(scenario, user)
        tools = [f"tool:{tool.name}" for tool in scenario.tools if user.may_use(tool)]
        may = [{"name": f"{name} may", "who": who, "may": tools}] if tools else []
        return [*may, {"name": f"{name} may nothing else", "who": who, "may_not": "*"}]

    def _who(self, scenario: Scenario, user: User) -> Mapping[str, Any]:
        return {"id": user.uid, "properties": {"provider": self.provider(scenario, user)}}

    def _put_in_force(self) -> None:
        """Our rules before those that were there: they name our own providers, and nobody else's."""
        theirs = (yaml.safe_load(self.before).get("scope") or {}) if self.before else {}
        scope = {**theirs, "rules": [*self.rules, *theirs.get("rules", ())]}
        text = f"{_SCOPE.sub('', self.before).rstrip()}\n\n{_written({'scope': scope})}"
        self._approve(text)

    def _approve(self, text: str) -> None:
        version = policies.draft(text, actor=self.author)
        for approver in self.approvers:
            self._see_what_it_would_have_done(version, approver)
            base = policies.in_force()
            approved = policy_approvals.approve(
                version.pk, actor=approver, seen_digest=version.digest, acknowledged=True, seen_base=base.pk
            )
            if approved.state == "in_force":
                return
        raise PolicyNotInForce(f"version {version.version} is {RiskPolicyVersion.objects.get(pk=version.pk).state}")

    def _see_what_it_would_have_done(self, version: RiskPolicyVersion, approver: Actor) -> None:
        """Nobody approves a text whose backtest they have not opened, where there is anything to try it on."""
        began = backtests.first_decided_at()
        if began is None or not backtests.missing(version.digest, by=UUID(approver.principal)):
            return
        done = backtests.ask(version.text, since=began, version=version, actor=approver)
        until = time.monotonic() + PATIENCE
        while done.state != "done" and time.monotonic() < until:
            backtests.drive(done.pk)
            done.refresh_from_db()
        backtests.opened(done.pk, actor=approver)


class PolicyNotInForce(Refusal):
    """More people have to approve it than there are here."""

    code = "policy_not_in_force"


def _profile(scenario: Scenario, user: User) -> dict[str, Any]:
    names = {tool.name: tool.writes for tool in scenario.tools}
    tools = [{"name": name, "writes": writes} for name, writes in names.items()] + [{"name": NO_TOOL, "writes": False}]
    budgets = dict(user.budgets) or {"calls_per_hour": 1000}
    return {
        "tools": tools,
        "scope": [{"action": "tool.call", "resource": "*"}],
        "drives": ["autonomous", "human"],
        "environments": [ENVIRONMENT],
        "budgets": budgets,
        "ttl_minutes": 60,
    }


class _WithoutAnchors(yaml.SafeDumper):
    """What stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _written(said: Mapping[str, Any]) -> str:
    return str(yaml.dump(said, Dumper=_WithoutAnchors, sort_keys=False, width=1000))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower())[:100]


def readable(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True)
