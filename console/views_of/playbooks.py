"""A playbook version as people read it: its stages drawn, what a hold under it does when nobody answers, whom it is bound to, how it
differs from another version, and what a dry run found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import SequenceMatcher
from typing import Any

from django.utils.safestring import SafeString

from connectors.foresight import Change
from console import said
from console.controls import Control, control
from console.pictures import PlanStage, PlanStep, StepMark, plan, stages
from console.pictures.plan import Fact
from core.actor import Actor
from core.refusals import BadInput
from playbooks import library
from playbooks.domain import bindings
from playbooks.domain.document import check, parse
from playbooks.domain.specs import DRIVES, KINDS, PATTERNS, PRESERVING, Document, HoldSpec, LevelSpec, StepSpec
from playbooks.domain.yaml_lines import MOST_LINES, Located
from playbooks.dry_run import DryRun, Tried
from playbooks.models import PlaybookVersion

TONES = {"draft": "warn", "in_force": "ok", "superseded": "quiet", "retired": "quiet", "revoked": "hot", "dropped": "quiet"}
STAGES = {"interim": "while people decide", "soft": "stops it for now", "hard": "ends it"}
UNPROVEN = {
    "hard": "If it does not hold, the hard stage follows at once.",
    "hold": "If it does not hold, people are asked whether the hard stage follows.",
    "stop": "If it does not hold, it stays at that.",
}
PROVEN = "If it holds and the risk stays under hard, people are asked whether the hard stage follows."
MOST_COMPARED = MOST_LINES
AROUND = 3  # unchanged lines around a difference


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    words: str
    picture: SafeString


@dataclass(frozen=True, slots=True)
class HoldRow:
    reason: str
    says: str


@dataclass(frozen=True, slots=True)
class Card:
    version: PlaybookVersion
    title: str
    tone: str
    stages: Sequence[Stage]
    holds: Sequence[HoldRow]
    waiver: str
    trouble: str
    may_approve: Control


@dataclass(frozen=True, slots=True)
class Checked:
    """A text as it stands: what is wrong with it, by line, and what can be drawn of it."""

    faults: Sequence[Located]
    picture: SafeString | None
    bound: Sequence[Bound]
    ties: Sequence[str]


@dataclass(frozen=True, slots=True)
class Bound:
    """Whom a version is for. `by`: a more specific one that takes them, empty where it is this one. `over`: those it takes them from."""

    who: str
    patterns: str
    by: str
    over: str


@dataclass(frozen=True, slots=True)
class DiffLine:
    """`kind`: same, added, removed or gap (lines left out). A number is empty on the side where the line does not stand."""

    kind: str
    was: str
    now: str
    text: str


def cards(versions: Iterable[PlaybookVersion], viewer: Actor) -> list[Card]:
    """For a list: who may approve is asked once for all of them."""
    approver = control(viewer, "playbook.approve")
    return [card(version, viewer, approver) for version in versions]


def card(version: PlaybookVersion, viewer: Actor, approver: Control | None = None) -> Card:
    """A version that today's rules would refuse is still shown, with what they say against it."""
    approver = control(viewer, "playbook.approve") if approver is None else approver
    try:
        document, trouble = parse(version.text), ""
    except BadInput as refusal:
        document, trouble = None, refusal.sentence
    own = f"You wrote {version}. Somebody else has to approve it." if str(version.author_id) == viewer.principal else ""
    return Card(
        version=version,
        title=document.title if document else version.name,
        tone=TONES.get(version.state, "quiet"),
        stages=_stages(document) if document else [],
        holds=[HoldRow(reason.replace("_", " "), _hold(spec)) for reason, spec in document.holds.items()] if document else [],
        waiver=document.evidence_waiver if document else "",
        trouble=trouble,
        may_approve=Control(not own, own) if approver.allowed else approver,
    )


# -- drawn -------------------------------------------------------------------------------------------------------------------------------


def picture(document: Document) -> SafeString:
    drawn = [
        PlanStage(name, STAGES[name], [_step(step) for step in steps], _leads(name, document)) for name, steps in document.stages.items()
    ]
    return plan([*drawn, *_way_back(document.reinstatement)])


def _leads(stage: str, document: Document) -> str:
    if stage == "interim":
        return "People say what follows: the soft or the hard stage, or that it is put back."
    if stage == "soft":
        return UNPROVEN[document.unproven or "stop"] + (f" {PROVEN}" if document.proven == "hold" else "")
    return (
        f"Given back by itself {_span(document.lasts)} after it is contained." if document.lasts else "It lasts until a person undoes it."
    )


def _way_back(levels: Sequence[LevelSpec]) -> list[PlanStage]:
    return [
        PlanStage(
            f"return {number}",
            "on the way back",
            [PlanStep(_words(level.step), "eases", _note(level.step))],
            f"Watched for {_span(level.watch)}; then {'the next level' if number < len(levels) else 'everything is given back'}.",
        )
        for number, level in enumerate(levels, start=1)
    ]


def _step(step: StepSpec) -> PlanStep:
    return PlanStep(_words(step), "keeps" if step.measure in PRESERVING else "cuts", _note(step))


def _words(step: StepSpec) -> str:
    return said.DEEDS.get(str(step.measure), str(step.measure))


def _note(step: StepSpec) -> str:
    where = "" if step.connector == "identity.provider" else f"through {step.connector}, "
    then = {"stop": "or stop here", "continue": "or go on without it", "undo": "or undo what was done"}[step.on_failure]
    return f"{where}within {step.timeout_s:g} s, {then}"


def _stages(document: Document) -> list[Stage]:
    return [
        Stage(name, STAGES[name], stages([StepMark(_words(step), "waiting", _note(step)) for step in steps]))
        for name, steps in document.stages.items()
    ]


def _hold(spec: HoldSpec) -> str:
    """One sentence, in the order in which things happen."""
    people = "one person" if spec.quorum == 1 else f"{spec.quorum} people"
    then = f", then {spec.then}" if spec.on_lapse == "escalate" else ""
    kept = f"; the interim stage is kept for {spec.keep_interim.total_seconds() / 60:g} min" if spec.keep_interim else ""
    return f"{people} decide{'s' if spec.quorum == 1 else ''}; if nobody answers: {spec.on_lapse}{then}{kept}"


def terms_of(document: Document) -> list[tuple[str, str]]:
    """What it says beside its steps, with what holds where it says nothing."""
    return [
        ("Soft stage does not hold", UNPROVEN[document.unproven or "stop"]),
        ("Soft stage holds", PROVEN if document.proven == "hold" else "It stays at that."),
        (
            "Lasts",
            f"{_span(document.lasts)} from contained, then it is given back by itself" if document.lasts else "until a person undoes it",
        ),
        ("Evidence", f"within {_span(document.evidence_within or timedelta(seconds=2))}, then the cut goes on without it"),
        ("Way back", f"in {len(document.reinstatement)} watched level(s)" if document.reinstatement else "everything at once"),
    ]


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


# -- a text while it is written -----------------------------------------------------------------------------------------------------------


def checked(text: str) -> Checked:
    document, faults = check(text)
    drawn = picture(document) if document is not None and document.stages else None
    if document is None or faults:
        return Checked(faults, drawn, [], [])
    would = PlaybookVersion(
        name=document.name, version=0, kinds=list(document.kinds), drives=list(document.drives), pattern=document.pattern, state="draft"
    )
    others = [one for one in library.in_force() if one.name != would.name]
    ties = [f"{other} is as specific for {', '.join(kinds)}." for other in others if (kinds := bindings.tied(would, other))]
    return Checked(faults, drawn, bound(would, others), ties)


def bound(version: PlaybookVersion, others: Iterable[PlaybookVersion]) -> list[Bound]:
    """Whom it is for if it is in force beside `others`, one line for those for whom the same is true."""
    beside = [*others, version]
    found: dict[tuple[str, str, str], list[str]] = {}
    for kind, drive, pattern in bindings.cases_of(version):
        fitting = bindings.fitting(beside, kind, drive, pattern)
        by = "" if fitting[0] is version else str(fitting[0])
        over = ", ".join(str(one) for one in fitting[1:]) if not by else ""
        found.setdefault((f"{kind.replace('_', ' ')}, driven by {drive}", by, over), []).append(pattern)
    merged: dict[tuple[str, str, str], list[str]] = {}
    for (who, by, over), patterns in found.items():
        merged.setdefault((_patterns(patterns), by, over), []).append(who)
    lines = [Bound("; ".join(_drives(who)), patterns, by, over) for (patterns, by, over), who in merged.items()]
    return sorted(lines, key=lambda line: bool(line.by))


def _drives(who: Sequence[str]) -> list[str]:
    """A kind whose drives are all there is said once."""
    drives: dict[str, list[str]] = {}
    for one in who:
        kind, _, drive = one.partition(", driven by ")
        drives.setdefault(kind, []).append(drive)
    return [kind if len(found) == len(DRIVES) else f"{kind} driven by {' or '.join(found)}" for kind, found in drives.items()]


def _patterns(patterns: Sequence[str]) -> str:
    if len(patterns) == len(PATTERNS):
        return "whatever the pattern"
    left_out = [pattern for pattern in PATTERNS if pattern not in patterns]
    if len(left_out) < len(patterns):
        return f"every pattern but {', '.join(pattern.replace('_', ' ') for pattern in left_out)}"
    return ", ".join("no known pattern" if pattern == "any" else pattern.replace("_", " ") for pattern in patterns)


def table() -> list[tuple[str, list[tuple[str, list[PlaybookVersion]]]]]:
    """Per kind, one line for each drive that is bound differently: (who, the playbook for each of PATTERNS, or nobody)."""
    versions = list(library.in_force())
    rows = []
    for kind in KINDS:
        lines: dict[tuple[Any, ...], list[str]] = {}
        for drive in DRIVES:
            found = [bindings.fitting(versions, kind, drive, pattern)[:1] for pattern in PATTERNS]
            lines.setdefault(tuple(one[0] if one else None for one in found), []).append(drive)
        rows.append(
            (
                kind.replace("_", " "),
                [("any drive" if len(drives) == len(DRIVES) else " or ".join(drives), list(line)) for line, drives in lines.items()],
            )
        )
    return rows


# -- between versions ---------------------------------------------------------------------------------------------------------------------


def diff(was: str, now: str) -> list[DiffLine]:
    """Line by line, with a few unchanged lines around each difference. Empty where the texts are the same. In a long text, lines that stand
    there often are matched only beside others: it costs a fraction, and may show more as changed."""
    old, new = was.splitlines()[:MOST_COMPARED], now.splitlines()[:MOST_COMPARED]
    lines: list[DiffLine] = []
    for group in SequenceMatcher(None, old, new).get_grouped_opcodes(AROUND):
        if lines or group[0][1] > 0:
            lines.append(DiffLine("gap", "", "", f"line {group[0][3] + 1}"))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [DiffLine("same", str(i + 1), str(j + 1), old[i]) for i, j in zip(range(i1, i2), range(j1, j2), strict=True)]
                continue
            lines += [DiffLine("removed", str(i + 1), "", old[i]) for i in range(i1, i2)]
            lines += [DiffLine("added", "", str(j + 1), new[j]) for j in range(j1, j2)]
    if was != now and max(was.count("\n"), now.count("\n")) > MOST_COMPARED:
        lines.append(DiffLine("gap", "", "", f"Only the first {MOST_COMPARED} lines are compared."))
    return lines


# -- tried --------------------------------------------------------------------------------------------------------------------------------


def tried(found: DryRun) -> SafeString:
    """The plan drawn with what looking found."""
    return plan([PlanStage(stage, STAGES[stage], [_tried(step) for step in steps]) for stage, steps in found.stages.items()])


def _tried(step: Tried) -> PlanStep:
    where = f"through {step.connector}" + (
        f"; undone by putting back {step.inverse}" if step.disruptive and step.inverse != "irreversible" else ""
    )
    told = [step.because] if step.because else []
    if step.disruptive and step.inverse == "irreversible":
        told.append("It cannot be undone.")
    if len(step.hits) > 1:
        told.append(f"Every name that it would hit: {', '.join(step.hits)}.")
    told += [f"Left over: {one}" for one in step.left]
    if step.ready is not None:
        told += [f"Missing: {one}" for one in step.ready.missing] + [f"This gives it: {one}" for one in step.ready.remedy]
    facts = [_fact(change) for change in step.changes]
    if not facts and step.seen and not step.because:
        facts = [Fact(name.replace("_", " "), _plain(value), _plain(value)) for name, value in list(step.seen.items())[:6]]
    return PlanStep(said.deed(step.measure, step.parameters), "cuts" if step.disruptive else "keeps", where, _found(step), facts, told)


def _found(step: Tried) -> str:
    if not step.disruptive:
        return "cannot" if step.because else "nothing"
    if step.because:
        return "unknown"
    if step.ready is not None and not step.ready.can:
        return "cannot"
    return "already" if step.already else "would"


def _fact(change: Change) -> Fact:
    return Fact(change.what, change.now, change.then)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in list(value.items())[:4])
    return str(value)
