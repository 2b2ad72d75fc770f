"""What a playbook says, as plain values: its steps, what a hold under it does, how long it lasts, and the way back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from connectors.base import Measure

KINDS = ("human", "service_account", "workload", "ci_pipeline", "ai_agent")
DRIVES = ("human", "script", "autonomous")
PATTERNS = (
    "any",
    "exposed_credential",
    "stolen_session",
    "privilege_escalation",
    "goal_deviation",
    "lateral_movement",
    "shared_credential",
)
STAGES = ("interim", "soft", "hard")
REASONS = (  # why people may be asked, in the words of judgement
    "default",
    "protected",
    "payment",
    "customer_facing",
    "regulated",
    "long_running_job",
    "shared_credential",
    "cool_off",
    "thin",
    "budget",
    "ceiling",
)
FIELDS = frozenset(  # what a parameter may refer to: containment.targets writes exactly these
    f"target.{name}"
    for name in (
        "provider",
        "kind",
        "subject",
        "identity",
        "session",
        "credential",
        "environment",
        "sessions",
        "spare",
        "only",
        "must_go_on.schemas",
        "must_go_on.reconnect",
    )
)
ON_LAPSE = ("contain", "release", "escalate")
OnLapse = Literal["contain", "release", "escalate"]
Ending = Literal["contain", "release"]
ON_FAILURE = ("continue", "stop", "undo")
UNPROVEN = ("hard", "hold", "stop")
Unproven = Literal["hard", "hold", "stop", ""]
PROVEN = ("hold", "stop")
Proven = Literal["hold", "stop", ""]
PRESERVING = frozenset({Measure.EVIDENCE_PRESERVE, Measure.NOTIFY, Measure.JOB_CHECKPOINT})

MOMENTARY = PRESERVING | {Measure.SESSION_TERMINATE, Measure.CREDENTIAL_ROTATE}  # nothing of it stands, so nothing can be looser than it

# What a kind of identity cannot bear: a measure that would not mean anything for it, or would break more than the identity.
UNBEARABLE: Mapping[str, frozenset[Measure]] = {
    "human": frozenset({Measure.WORKLOAD_ISOLATE, Measure.JOB_CHECKPOINT}),
    "ai_agent": frozenset({Measure.WORKLOAD_ISOLATE}),
}
# What an interim measure takes to leave alone what must go on, by parameter; no other cut belongs into that stage.
SPARING: Mapping[Measure, Mapping[str, str]] = {
    Measure.SESSION_RESTRICT: {"schemas": "target.must_go_on.schemas", "allow_new_sessions": "target.must_go_on.reconnect"},
    Measure.SESSION_TERMINATE: {"spare": "target.spare"},
}
OUR_GATE = "holdfast"
# Our gate restricts a session to reading and knows no schemas. That spares what must go on only of those whose work passes through it and
# who lose nothing by writing later: an agent's designated session keeps reading, and its runtime waits for the answer.
AT_OUR_GATE = frozenset({"ai_agent"})
# What each measure takes, by parameter: the words it may be, or the kind of value. Whatever is not here would be passed over in silence.
TEXTS, ORIGINS, FLAG, TEXT = "a list of texts", "a list of {address, application}", "true or false", "a text"
PARAMETERS: Mapping[Measure, Mapping[str, str | tuple[str, ...]]] = {
    Measure.SESSION_RESTRICT: {"mode": ("outside_schemas", "write", "read_only"), "schemas": TEXTS, "allow_new_sessions": FLAG},
    Measure.SESSION_TERMINATE: {"spare": ORIGINS, "only": ORIGINS},
    Measure.WORKLOAD_ISOLATE: {"spare": ORIGINS},
    Measure.CREDENTIAL_ROTATE: {"deliver_to": TEXT, "keep_new": FLAG},
}
REFERS: Mapping[str, frozenset[str]] = {  # what a parameter of each kind may refer to
    TEXTS: frozenset({"target.must_go_on.schemas", "target.sessions"}),
    ORIGINS: frozenset({"target.spare", "target.only"}),
    FLAG: frozenset({"target.must_go_on.reconnect"}),
    TEXT: frozenset(f"target.{name}" for name in ("provider", "kind", "subject", "identity", "session", "credential", "environment")),
}
# How strict what stands is: a way back never leads through something stricter.
STRICTNESS: Mapping[Measure, int] = {
    Measure.SESSION_RESTRICT: 10,
    Measure.SESSION_PAUSE: 20,
    Measure.WORKLOAD_ISOLATE: 30,
    Measure.CREDENTIAL_REVOKE: 40,
    Measure.IDENTITY_DISABLE: 40,
}
MODES: Mapping[str, int] = {"read_only": 1, "write": 1, "outside_schemas": 2}  # among restrictions
LONGEST_KEPT = timedelta(hours=4)
LONGEST_CALL = timedelta(seconds=30)  # well under the lease's and a worker's patience
LONGEST_CONTAINED = timedelta(days=30)
LONGEST_WATCH = timedelta(hours=24)
MOST_LEVELS = 5
MOST_STEPS = 50
MOST_PEOPLE = 5
LONGEST_NAME = 100
LONGEST_TEXT = 500
LEAST_WAIVER = 10
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
CONNECTOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
SPAN = re.compile(r"^(\d+)\s*(s|m|h)$")
SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class StepSpec:
    measure: Measure
    connector: str = "identity.provider"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 10.0
    on_failure: str = "stop"


@dataclass(frozen=True, slots=True)
class HoldSpec:
    """How many must agree, what happens when nobody answers, and how long the interim stage stays after that. (How long people have is the
    risk policy's to say.)"""

    on_lapse: OnLapse
    then: Ending = "release"  # what silence means once everybody was asked
    quorum: int = 1
    keep_interim: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """One level of the way back: what still stands there, and how long it is watched before the next level follows."""

    step: StepSpec
    watch: timedelta


@dataclass(frozen=True, slots=True)
class Document:
    """`lasts`: contained for that long, then given back by itself. `unproven`: what follows a soft stage that does not hold: the hard stage
    at once, a hold that asks for it, or nothing. `proven`: what follows one that holds where the judgement offers more: a hold that
    asks for the hard stage, or nothing. `evidence_within`: what evidence may take before the cut goes on without it. `reinstatement`: the
    levels of the way back, strictest first. What the author left unsaid is None or empty, so that plans from before stay the same."""

    name: str
    title: str
    kinds: tuple[str, ...]
    drives: tuple[str, ...]
    pattern: str
    stages: Mapping[str, tuple[StepSpec, ...]]
    holds: Mapping[str, HoldSpec]
    evidence_waiver: str = ""
    lasts: timedelta | None = None
    unproven: Unproven = ""
    proven: Proven = ""
    evidence_within: timedelta | None = None
    reinstatement: tuple[LevelSpec, ...] = ()

    def hold_for(self, reason: str) -> HoldSpec:
        """What is protected takes two people and is never contained by silence, also where the author had only others in mind."""
        if reason == "protected" and reason not in self.holds:
            return HoldSpec(on_lapse="release", quorum=2)
        return self.holds.get(reason) or self.holds["default"]
