"""Reads the plain values of a playbook into a Document, member by member, and collects every fault with its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from typing import Any, TypedDict, cast

from connectors.base import Measure
from core.refusals import Fault
from playbooks.domain.specs import (
    CONNECTOR,
    DRIVES,
    FIELDS,
    KINDS,
    LEAST_WAIVER,
    LONGEST_CALL,
    LONGEST_CONTAINED,
    LONGEST_NAME,
    LONGEST_TEXT,
    LONGEST_WATCH,
    MOST_LEVELS,
    MOST_PEOPLE,
    MOST_STEPS,
    NAME,
    ON_FAILURE,
    ON_LAPSE,
    PATTERNS,
    PROVEN,
    REASONS,
    SECONDS,
    SPAN,
    STAGES,
    UNPROVEN,
    Document,
    Ending,
    HoldSpec,
    LevelSpec,
    OnLapse,
    Proven,
    StepSpec,
    Unproven,
)
from playbooks.domain.yaml_lines import MOST_FAULTS


class _Ladder(TypedDict, total=False):
    unproven: Unproven
    proven: Proven


MEMBERS = {
    "name",
    "title",
    "kinds",
    "drives",
    "pattern",
    "stages",
    "holds",
    "evidence_waiver",
    "lasts",
    "ladder",
    "evidence_within",
    "reinstatement",
}
MOST_DIGITS = 9  # of a span
STEP = {"measure", "connector", "parameters", "timeout", "on_failure"}


class Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, path: str, detail: str, code: str = "invalid") -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(path, code, detail))

    def document(self, raw: Any) -> Document | None:
        if not isinstance(raw, dict):
            self.fault("playbook", "A playbook is a mapping with name, kinds, stages and holds.")
            return None
        self._unknown(raw, MEMBERS, "")
        name = self._text(raw, "name")
        if name and not (NAME.fullmatch(name) and len(name) <= LONGEST_NAME):
            self.fault("name", f"Lower case words with dashes between them, at most {LONGEST_NAME} characters.")
        if "title" in raw:
            self._short(raw, "title")
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
            evidence_waiver=self._waiver(raw),
            lasts=self._limited(raw, "lasts", LONGEST_CONTAINED),
            **self._ladder(raw),
            evidence_within=self._limited(raw, "evidence_within", LONGEST_CALL),
            reinstatement=self._levels(raw),
        )

    def _short(self, raw: Mapping[str, Any], key: str) -> None:
        value = raw[key]
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT:
            self.fault(key, f"A text of at most {LONGEST_TEXT} characters is needed here.")

    def _waiver(self, raw: Mapping[str, Any]) -> str:
        """Somebody's reason, in words: nothing is waived by accident."""
        if "evidence_waiver" not in raw:
            return ""
        said = raw["evidence_waiver"]
        if not isinstance(said, str) or not LEAST_WAIVER <= len(said.strip()) <= LONGEST_TEXT:
            self.fault("evidence_waiver", f"Say in {LEAST_WAIVER} to {LONGEST_TEXT} characters why nothing is preserved, or leave it out.")
        return str(said or "")

    def _limited(self, raw: Mapping[str, Any], key: str, longest: timedelta, prefix: str = "") -> timedelta | None:
        """A span that may be left out, over zero and up to `longest`."""
        if key not in raw:
            return None
        before = len(self.faults)
        span = self._span(raw[key], f"{prefix}{key}")
        if len(self.faults) == before and not timedelta(0) < span <= longest:
            self.fault(f"{prefix}{key}", f"Between 1s and {_said(longest)}.", "out_of_range")
        return span

    def _ladder(self, raw: Mapping[str, Any]) -> _Ladder:
        ladder = raw.get("ladder")
        if "ladder" not in raw:
            return {}
        if not isinstance(ladder, dict):
            self.fault("ladder", "A mapping is needed here, such as {unproven: hard}.")
            return {}
        self._unknown(ladder, {"unproven", "proven"}, "ladder.")
        if ladder.get("unproven") not in UNPROVEN:
            self.fault("ladder.unproven", f"And if the soft stage does not hold? Must be one of {', '.join(UNPROVEN)}.", "missing")
            return {}
        if ladder.get("proven", "stop") not in PROVEN:
            self.fault("ladder.proven", f"And if the soft stage holds? Must be one of {', '.join(PROVEN)}.")
            return {}
        return {"unproven": cast(Unproven, ladder["unproven"]), "proven": cast(Proven, ladder.get("proven", ""))}

    def _levels(self, raw: Mapping[str, Any]) -> tuple[LevelSpec, ...]:
        if "reinstatement" not in raw:
            return ()
        entries = raw["reinstatement"]
        if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_LEVELS:
            self.fault("reinstatement", f"A list of one to {MOST_LEVELS} levels is needed here, the strictest first.")
            return ()
        levels = []
        for index, entry in enumerate(entries):
            path = f"reinstatement[{index}]"
            step = self._step(entry, path, more={"watch"})
            if isinstance(entry, dict) and "watch" not in entry:
                self.fault(f"{path}.watch", "How long is this level watched before the next one follows?", "missing")
            watch = self._limited(entry, "watch", LONGEST_WATCH, f"{path}.") if isinstance(entry, dict) else None
            if step is not None and watch is not None:
                levels.append(LevelSpec(step, watch))
        return tuple(levels)

    def _unknown(self, raw: Mapping[Any, Any], known: Set[str], prefix: str) -> None:
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
            elif word in value[:index]:
                self.fault(f"{key}[{index}]", f"{word} stands here twice.", "twice")
            if index == len(known):
                self.fault(key, f"At most {len(known)} can stand here.", "too_many")
                break
        return tuple(str(word) for word in value)

    def _steps(self, raw: Any, path: str) -> tuple[StepSpec, ...]:
        if not isinstance(raw, list) or not raw:
            self.fault(path, "A stage is a list of at least one step.")
            return ()
        if len(raw) > MOST_STEPS:
            self.fault(path, f"At most {MOST_STEPS} steps.", "too_many")
        steps = (self._step(entry, f"{path}[{index}]") for index, entry in enumerate(raw))
        return tuple(step for step in steps if step is not None)

    def _step(self, raw: Any, path: str, more: Set[str] = frozenset()) -> StepSpec | None:
        if not isinstance(raw, dict):
            self.fault(path, "A step names a measure.")
            return None
        self._unknown(raw, STEP | more, f"{path}.")
        try:
            measure = Measure(str(raw.get("measure")))
        except ValueError:
            self.fault(f"{path}.measure", f"Must be one of {', '.join(Measure)}.")
            return None
        on_failure = raw.get("on_failure", "stop")
        if on_failure not in ON_FAILURE:
            self.fault(f"{path}.on_failure", f"Must be one of {', '.join(ON_FAILURE)}.")
            on_failure = "stop"
        timeout = self._span(raw.get("timeout", "10s"), f"{path}.timeout")
        if not timedelta(0) < timeout <= LONGEST_CALL:
            self.fault(f"{path}.timeout", f"A call takes between 1s and {LONGEST_CALL.seconds}s.", "out_of_range")
        parameters = raw.get("parameters") or {}
        if not isinstance(parameters, dict):
            self.fault(f"{path}.parameters", "A mapping is needed here.")
            parameters = {}
        for name, value in parameters.items():
            if isinstance(value, dict) and set(value) == {"from"} and not (isinstance(value["from"], str) and value["from"] in FIELDS):
                self.fault(f"{path}.parameters.{name}", f"Known fields are {', '.join(sorted(FIELDS))}.", "unknown_field")
        connector = raw.get("connector", "identity.provider")
        if not isinstance(connector, str) or not CONNECTOR.fullmatch(connector):
            self.fault(f"{path}.connector", "The name of a connector is needed here, or identity.provider.")
        return StepSpec(measure, str(connector), parameters, timeout.total_seconds(), str(on_failure))

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
        if quorum > MOST_PEOPLE:
            self.fault(f"{path}.quorum", f"At most {MOST_PEOPLE} people: more are not found in time.", "out_of_range")
        return HoldSpec(
            cast(OnLapse, raw.get("on_lapse")),
            cast(Ending, raw.get("then", "release")),
            quorum,
            self._span(raw.get("keep_interim", "0s"), f"{path}.keep_interim"),
        )

    def _span(self, value: Any, path: str) -> timedelta:
        found = SPAN.match(str(value))
        if not found:
            self.fault(path, "A span of time is needed here, such as 30s, 15m or 2h.")
            return timedelta(0)
        if len(found[1]) > MOST_DIGITS:
            self.fault(path, "That is longer than anything lasts.", "out_of_range")
            return timedelta(0)
        return timedelta(seconds=int(found[1]) * SECONDS[found[2]])


def _said(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds}s"
