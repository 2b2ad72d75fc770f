"""CloudTrail: detonations of real attack techniques, after thirty quiet days of the same identity, through the product's own baselines.

The user agent gives every attack away, so it is taken off first. The files hold the attacks alone; the quiet days are ours: an account that
looks around every working hour. What an event is in our words follows from its verb and service, by rules that know no technique.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.judge.play import TIERS, shipped
from containment.domain import baseline as usual
from containment.domain import trail as trails
from containment.domain.event import Event
from containment.domain.facts import (
    ActionFacts,
    DetectionFacts,
    Drive,
    Facts,
    IdentityFacts,
    Kind,
    ResourceFacts,
    RoleFacts,
    ScopeRule,
    SessionFacts,
    Severity,
    SourceFacts,
    WorkflowFacts,
)
from containment.domain.judge import judge

QUIET_DAYS = 30
ORDINARY = (
    ("ec2.amazonaws.com", "DescribeInstances", ""),
    ("s3.amazonaws.com", "ListBuckets", ""),
    ("s3.amazonaws.com", "GetBucketLocation", "reports"),
    ("cloudwatch.amazonaws.com", "GetMetricData", ""),
    ("sts.amazonaws.com", "GetCallerIdentity", ""),
    ("ec2.amazonaws.com", "DescribeVolumes", ""),
    ("lambda.amazonaws.com", "ListFunctions20150331", ""),
    ("iam.amazonaws.com", "ListRoles", ""),
)
READING = ScopeRule(action="data.read")
REPORTS = WorkflowFacts(name="reports", scope=(READING,), drives=frozenset({Drive.SCRIPT}))
VIEWER = RoleFacts(name="viewer", workflows=frozenset({"reports"}), scope=(READING,))
SIGNED_IN = "ConsoleLogin"
_MINTS = ("CreateAccessKey", "CreateLoginProfile", "GetFederationToken", "GetSessionToken", "AssumeRole", "CreateServiceSpecificCredential")
_GRANTS = ("Policy", "Permission", "Attribute", "Group", "User", "Role")
_RUNS = ("Invoke", "SendCommand", "StartSession", "ExecuteCommand", "RunInstances", "UpdateFunctionCode")
_SECRETS = ("GetSecretValue", "BatchGetSecretValue", "GetPasswordData", "Decrypt")


def action_of(record: Mapping[str, Any]) -> str:
    """An event in our words: secrets and tokens by what is handed out, rights by what is changed, the rest by whether it changes."""
    name, service = str(record["eventName"]), str(record["eventSource"]).split(".")[0]
    reads = bool(record.get("readOnly"))
    if name.startswith(_SECRETS):
        return "secret.read"
    if name.startswith(_MINTS):
        return "token.mint"
    if name == SIGNED_IN:
        return "session.start"
    if name.startswith(_RUNS):
        return "code.execute"
    if reads:
        return "data.read"
    if (service == "iam" or name.startswith(("Put", "Modify", "Add", "Attach", "Update"))) and any(word in name for word in _GRANTS):
        return "privilege.change"
    return "admin.call"


def event_of(record: Mapping[str, Any]) -> Event:
    service = str(record["eventSource"])
    return Event(
        occurred_at=datetime.fromisoformat(str(record["eventTime"]).replace("Z", "+00:00")),
        action=action_of(record),
        resource_kind="aws",
        resource=f"{service.split('.')[0]}:{_thing(record.get('requestParameters') or {})}",
        system=service,
    )


def _thing(parameters: Mapping[str, Any]) -> str:
    """The first short text among the parameters: a name, an id or an ARN."""
    return next((value for _, value in sorted(parameters.items()) if isinstance(value, str) and len(value) < 200), "")


@dataclass(slots=True)
class Account:
    """One identity with what it usually does. `known`: the inventory knows its workflow and role, besides its quiet days. `reported`: a
    detector posts every call that changes something, with severity high and confidence .7, and claims nothing else."""

    known: bool = False
    reported: bool = False
    baseline: usual.Baseline = field(default_factory=usual.Baseline)
    trail: trails.Trail = field(default_factory=trails.Trail)

    def learn(self, event: Event) -> None:
        usual.learn(self.baseline, event, trails.before(self.trail, event))
        self.baseline.known.update(self.baseline.gained)
        trails.add(self.trail, event, usual.step_of(event))

    def judge(self, event: Event, *, signed_in: bool = False) -> int:
        """The tier of one event: 2 contained, 1 held, 0 watched."""
        session = SessionFacts(id="s", identity="i", role="viewer" if self.known else "", workflow="reports" if self.known else "")
        facts = Facts(
            now=event.occurred_at,
            identity=IdentityFacts(
                id="i",
                kind=Kind.SERVICE_ACCOUNT,
                provider="aws",
                subject="reports",
                workflows=("reports",) if self.known else (),
                last_active_at=self.baseline.newest_at,
            ),
            detection=_report(event) if self.reported and event.action != "data.read" else None,
            action=ActionFacts(name=event.action),
            resource=ResourceFacts(id=event.resource, kind=event.resource_kind, system=event.system),
            session="s",
            sessions=(replace(session, drive=Drive.HUMAN if signed_in else Drive.SCRIPT),),
            workflows=(REPORTS,) if self.known else (),
            roles=(VIEWER,) if self.known else (),
            baseline=usual.facts_of(self.baseline, event, trails.before(self.trail, event)),
            trail=trails.steps(self.trail, event, named=[name for chain in shipped().chains for name in chain]),
            budget_left=1000,
        )
        return TIERS.get(judge(facts, shipped()).verdict, 0)


def _report(event: Event) -> DetectionFacts:
    return DetectionFacts(id="d", source=SourceFacts(name="trail"), occurred_at=event.occurred_at, severity=Severity.HIGH, confidence=0.7)


@dataclass(frozen=True, slots=True)
class Detonation:
    """`tiers`: of each of its events that change something or hand something out; `around`: of its ordinary reads."""

    name: str
    tiers: tuple[int, ...]
    around: tuple[int, ...]


def detonations(folder: Path, *, known: bool = False, reported: bool = False) -> Iterable[Detonation]:
    for path in sorted(folder.glob("*.json")):
        records = [
            {name: value for name, value in one.items() if name != "userAgent"} for one in json.loads(path.read_text(encoding="utf-8"))
        ]
        records.sort(key=lambda one: str(one["eventTime"]))
        account = quiet(event_of(records[0]).occurred_at, Account(known, reported))
        tiers: list[int] = []
        around: list[int] = []
        for record in records:
            event = event_of(record)
            tier = account.judge(event, signed_in=record["eventName"] == SIGNED_IN)
            (around if event.action == "data.read" else tiers).append(tier)
            trails.add(account.trail, event, usual.step_of(event))
        yield Detonation(path.stem, tuple(tiers), tuple(around))


def quiet(until: datetime, account: Account) -> Account:
    """Thirty days of looking around, the last an hour before."""
    for event in ordinary_days(until - timedelta(days=QUIET_DAYS), QUIET_DAYS):
        if event.occurred_at < until - timedelta(minutes=30):
            account.learn(event)
    return account


def ordinary_days(begin: datetime, days: int) -> Iterable[Event]:
    """Every hour of the day two or three of the ordinary calls, in an order that differs from day to day."""
    for hour in range(days * 24):
        for number in range(2 + hour % 2):
            service, name, thing = ORDINARY[(hour * 3 + number * 5 + hour // 24) % len(ORDINARY)]
            record = {"eventSource": service, "eventName": name, "readOnly": True, "requestParameters": {"name": thing} if thing else {}}
            moment = begin + timedelta(hours=hour, minutes=number * 7 + hour % 5)
            yield event_of(record | {"eventTime": moment.isoformat()})


def ordinary(until: datetime, *, known: bool = False, reported: bool = False) -> list[int]:
    """A further ordinary day after the quiet ones: each call's tier."""
    account = quiet(until, Account(known, reported))
    tiers = []
    for event in ordinary_days(until, 1):
        tiers.append(account.judge(event))
        account.learn(event)
    return tiers
