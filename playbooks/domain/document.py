"""A playbook as its author wrote it: YAML in, a checked Document out. Every fault is named with its path.

No template language: a parameter is a literal or a field reference `{from: target.must_go_on.schemas}`, resolved once, frozen, and shown to
whoever approves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

import yaml

from connectors.base import Measure
from core.refusals import BadInput, Fault

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
PRESERVING = frozenset({Measure.EVIDENCE_PRESERVE, Measure.NOTIFY, Measure.JOB_CHECKPOINT})

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
OUR_GATE = "holdfast"  # restricts to reading, and knows no schemas
LONGEST_KEPT = timedelta(hours=4)
LONGEST_CALL = timedelta(seconds=30)  # well under the lease's and a worker's patience
_SPAN = re.compile(r"^(\d+)\s*(s|m|h)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


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
class Document:
    name: str
    title: str
    kinds: tuple[str, ...]
    drives: tuple[str, ...]
    pattern: str
    stages: Mapping[str, tuple[StepSpec, ...]]
    holds: Mapping[str, HoldSpec]
    evidence_waiver: str = ""

    def hold_for(self, reason: str) -> HoldSpec:
        """What is protected takes two people and is never contained by silence, also where the author had only others in mind."""
        if reason == "protected" and reason not in self.holds:
            return HoldSpec(on_lapse="release", quorum=2)
        return self.holds.get(reason) or self.holds["default"]


def parse(text: str) -> Document:
    """Read and check. BadInput names every fault with its path."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the text"
        raise BadInput([Fault(where, "not_yaml", str(getattr(error, "problem", None) or "This is not YAML."))]) from None
    reader = _Reader()
    document = reader.document(loaded)
    if reader.faults or document is None:
        raise BadInput(reader.faults)
    faults = list(_rules(document))
    if faults:
        raise BadInput(faults)
    return document


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, path: str, detail: str, code: str = "invalid") -> None:
        self.faults.append(Fault(path, code, detail))

    def document(self, raw: Any) -> Document | None:
        if not isinstance(raw, dict):
            self.fault("playbook", "A playbook is a mapping with name, kinds, stages and holds.")
            return None
        self._unknown(raw, {"name", "title", "kinds", "drives", "pattern", "stages", "holds", "evidence_waiver"}, "")
        name = self._text(raw, "name")
        stages_raw = raw.get("stages")
        stages: dict[str, tuple[StepSpec, ...]] = {}
        if isinstance(stages_raw, dict) and stages_raw:
            self._unknown(stages_raw, set(STAGES), "stages.")
            for stage in STAGES:
                if stage in stages_raw:
                    stages[stage] = self._steps(stages_raw[stage], f"stages.{stage}")
        else:
            self.fault("stages", "At least a soft and a hard stage are needed.")
        for stage in ("soft", "hard"):
            if stage not in stages:
                self.fault(f"stages.{stage}", "This stage is missing.", "missing")
        holds: dict[str, HoldSpec] = {}
        holds_raw = raw.get("holds")
        if isinstance(holds_raw, dict) and "default" in holds_raw:
            self._unknown(holds_raw, set(REASONS), "holds.")
            for reason, spec in holds_raw.items():
                if (hold := self._hold(spec, f"holds.{reason}")) is not None:
                    holds[str(reason)] = hold
        else:
            self.fault("holds.default", "What happens when nobody answers? Give quorum and on_lapse.", "missing")
        kinds = self._words(raw, "kinds", KINDS)
        if not kinds:
            self.fault("kinds", f"Name at least one of {', '.join(KINDS)}.", "missing")
        pattern = raw.get("pattern", "any")
        if pattern not in PATTERNS:
            self.fault("pattern", f"Must be one of {', '.join(PATTERNS)}.")
        return Document(
            name=name,
            title=str(raw.get("title") or name),
            kinds=kinds,
            drives=self._words(raw, "drives", DRIVES),
            pattern=str(pattern),
            stages=stages,
            holds=holds,
            evidence_waiver=str(raw.get("evidence_waiver") or ""),
        )

    def _unknown(self, raw: Mapping[Any, Any], known: set[str], prefix: str) -> None:
        for key in raw:
            if key not in known:
                self.fault(f"{prefix}{key}", f"Unknown. Known are {', '.join(sorted(known))}.", "unknown")

    def _text(self, raw: Mapping[str, Any], key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str) or not value.strip():
            self.fault(key, "A text is needed here.", "missing")
            return ""
        return value

    def _words(self, raw: Mapping[str, Any], key: str, known: Sequence[str]) -> tuple[str, ...]:
        value = raw.get(key, [])
        if not isinstance(value, list):
            self.fault(key, "A list is needed here.")
            return ()
        for index, word in enumerate(value):
            if word not in known:
                self.fault(f"{key}[{index}]", f"Must be one of {', '.join(known)}.")
        return tuple(str(word) for word in value)

    def _steps(self, raw: Any, path: str) -> tuple[StepSpec, ...]:
        if not isinstance(raw, list) or not raw:
            self.fault(path, "A stage is a list of at least one step.")
            return ()
        steps = (self._step(entry, f"{path}[{index}]") for index, entry in enumerate(raw))
        return tuple(step for step in steps if step is not None)

    def _step(self, raw: Any, path: str) -> StepSpec | None:
        if not isinstance(raw, dict):
            self.fault(path, "A step names a measure.")
            return None
        self._unknown(raw, {"measure", "connector", "parameters", "timeout", "on_failure"}, f"{path}.")
        try:
            measure = Measure(str(raw.get("measure")))
        except ValueError:
            self.fault(f"{path}.measure", f"Must be one of {', '.join(Measure)}.")
            return None
        on_failure = raw.get("on_failure", "stop")
        if on_failure not in ON_FAILURE:
            self.fault(f"{path}.on_failure", f"Must be one of {', '.join(ON_FAILURE)}.")
        timeout = self._span(raw.get("timeout", "10s"), f"{path}.timeout")
        if not timedelta(0) < timeout <= LONGEST_CALL:
            self.fault(f"{path}.timeout", f"A call takes between 1s and {LONGEST_CALL.seconds}s.", "out_of_range")
        parameters = raw.get("parameters") or {}
        if not isinstance(parameters, dict):
            self.fault(f"{path}.parameters", "A mapping is needed here.")
            parameters = {}
        for name, value in parameters.items():
            if isinstance(value, dict) and set(value) == {"from"} and value["from"] not in FIELDS:
                self.fault(f"{path}.parameters.{name}", f"Known fields are {', '.join(sorted(FIELDS))}.", "unknown_field")
        return StepSpec(measure, str(raw.get("connector", "identity.provider")), parameters, timeout.total_seconds(), str(on_failure))

    def _hold(self, raw: Any, path: str) -> HoldSpec | None:
        if not isinstance(raw, dict):
            self.fault(path, "A mapping with quorum and on_lapse is needed here.")
            return None
        self._unknown(raw, {"on_lapse", "then", "quorum", "keep_interim"}, f"{path}.")
        if raw.get("on_lapse") not in ON_LAPSE:
            self.fault(f"{path}.on_lapse", f"And if nobody answers? Must be one of {', '.join(ON_LAPSE)}.", "missing")
        if raw.get("then", "release") not in ("contain", "release"):
            self.fault(f"{path}.then", "A chain of escalations ends in contain or release.")
        quorum = raw.get("quorum", 1)
        if not isinstance(quorum, int) or isinstance(quorum, bool) or quorum < 1:
            self.fault(f"{path}.quorum", "At least one person must agree.")
            quorum = 1
        return HoldSpec(
            cast(OnLapse, raw.get("on_lapse")),
            cast(Ending, raw.get("then", "release")),
            quorum,
            self._span(raw.get("keep_interim", "0s"), f"{path}.keep_interim"),
        )

    def _span(self, value: Any, path: str) -> timedelta:
        found = _SPAN.match(str(value))
        if not found:
            self.fault(path, "A span of time is needed here, such as 30s, 15m or 2h.")
            return timedelta(0)
        return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def _rules(document: Document) -> list[Fault]:
    """What a well-formed playbook may still not do."""
    faults = []
    for stage, steps in document.stages.items():
        preserved = bool(document.evidence_waiver)
        for index, step in enumerate(steps):
            path = f"stages.{stage}[{index}].measure"
            faults += [
                Fault(path, "unbearable", f"{step.measure} cannot be done to a {kind.replace('_', ' ')}.")
                for kind in document.kinds
                if step.measure in UNBEARABLE.get(kind, frozenset())
            ]
            if step.measure is Measure.EVIDENCE_PRESERVE:
                preserved = True
            if step.measure not in PRESERVING and not preserved:
                faults.append(Fault(path, "no_evidence_before", "Preserve evidence before this step, or say why not in evidence_waiver."))
                preserved = True
    for index, step in enumerate(document.stages.get("interim", ())):
        path = f"stages.interim[{index}]"
        if step.measure not in PRESERVING and not _spares(step):
            detail = f"{step.measure} would stop what must go on while people decide."
            if step.measure in SPARING:
                detail += f" It takes {', '.join(f'{name}: {{from: {field}}}' for name, field in SPARING[step.measure].items())}."
            faults.append(Fault(f"{path}.measure", "touches_must_go_on", detail))
        if step.on_failure == "undo":
            faults.append(Fault(f"{path}.on_failure", "interim", "Whether this run is undone is what people are asked."))
    for reason, hold in document.holds.items():
        if hold.keep_interim > LONGEST_KEPT:
            faults.append(Fault(f"holds.{reason}.keep_interim", "too_long", f"At most {LONGEST_KEPT}."))
        if reason == "protected" and hold.quorum < 2:
            faults.append(Fault(f"holds.{reason}.quorum", "protected", "What is protected takes two people."))
        if reason == "protected" and "contain" in (hold.on_lapse, hold.then):
            faults.append(Fault(f"holds.{reason}.on_lapse", "protected", "A protected identity is never contained by a lapse."))
    return faults


def _spares(step: StepSpec) -> bool:
    """Whether this interim step leaves alone what must go on."""
    if step.connector == OUR_GATE:
        return step.measure is Measure.SESSION_RESTRICT
    wanted = SPARING.get(step.measure)
    return wanted is not None and all(step.parameters.get(name) == {"from": field} for name, field in wanted.items())
