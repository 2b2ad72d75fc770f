"""Static scope rules: who may, may not, or may with people's approval, do what on which resources, as part of the risk policy. The first
rule that fits is the answer.

A rule names subjects, actions and resources by kind, by id (patterns) and by properties, and may compare properties of one with the other's
(`resource.properties.owner == subject.id`). What nobody knows fits no rule, so that whatever must stay shut ends with a `may_not` for all.
Where a number is compared, nobody gets past by the spelling: in a rule that denies or asks people, a text is compared as the number that a
tool could read in it, and what cannot be compared fits. In a rule that allows, only numbers are compared with numbers.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from operator import ge, gt, le, lt
from typing import Any

from containment.domain.values import number_of
from containment.domain.yaml_reader import Plain, Reader

MOST = 1000
WORDS = ("may", "may_not", "may_if_approved")
TOOL = "tool:"  # an action pattern that begins so is compared with the tool of a call


class Answer(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    NEEDS_APPROVAL = "needs_approval"  # allowed once people have allowed exactly this; the guard asks them
    SILENT = "silent"  # no rule says anything about it


@dataclass(frozen=True, slots=True)
class Thing:
    """A subject, an action (its id is its name) or a resource, as rules see it. `also`: other words for its kind, or of an action for its
    name, which fit as well."""

    id: str
    kind: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """Whom or what a rule is about. An empty member fits anything; each property has one of the values that stand there."""

    kinds: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    properties: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)

    def fits(self, thing: Thing, *, against: bool = False) -> bool:
        if self.kinds and not {thing.kind, *thing.also} & {*self.kinds}:
            return False
        if self.ids and not any(fnmatchcase(thing.id, pattern) for pattern in self.ids):
            return False
        return all(_has(thing.properties, name, wanted, against) for name, wanted in self.properties.items())


@dataclass(frozen=True, slots=True)
class Operand:
    """Either a path (`("resource", "properties", "owner")`) or a value as it stands."""

    path: tuple[str, ...] = ()
    value: Plain = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Operand
    operator: str
    right: Operand

    def holds(self, scene: Mapping[str, Any], *, against: bool = False, asked: bool = True) -> bool:
        """False where either side is not known, whatever the operator. `against` the caller: true where numbers are to be compared and
        one side is none, or is not there although a caller could have said it (`asked`)."""
        left, right = _value(self.left, scene), _value(self.right, scene)
        if left is None or right is None:
            return against and asked and (self.operator in _ORDERED or _is_number(left) or _is_number(right))
        holds = _compared(self.operator, left, right, against)
        return against if holds is None else holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    name: str
    may: bool | None  # None: with the word of people, each time
    actions: tuple[str, ...]
    who: Match = field(default_factory=Match)
    on: Match = field(default_factory=Match)
    how: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)
    where: tuple[Comparison, ...] = ()
    because: str = ""

    @property
    def answer(self) -> Answer:
        if self.may is None:
            return Answer.NEEDS_APPROVAL
        return Answer.ALLOWED if self.may else Answer.DENIED

    @property
    def word(self) -> str:
        return {Answer.DENIED: "may not", Answer.ALLOWED: "may"}.get(self.answer, "may, if people approve,")

    def fits(self, subject: Thing, action: Thing, resource: Thing, scene: Mapping[str, Any], *, asked: bool = True) -> bool:
        against = self.answer is not Answer.ALLOWED
        return (
            any(_is_action(action, pattern) for pattern in self.actions)
            and self.who.fits(subject, against=against)
            and self.on.fits(resource, against=against)
            and all(_has(action.properties, name, wanted, against) for name, wanted in self.how.items())
            and all(comparison.holds(scene, against=against, asked=asked) for comparison in self.where)
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about one subject or resource, whatever a message says of it."""

    id: str
    kind: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    rules: tuple[Rule, ...] = ()
    subjects: tuple[Known, ...] = ()
    resources: tuple[Known, ...] = ()


@dataclass(frozen=True, slots=True)
class Permit:
    """What the rules say, the name of the one that said it, and a sentence."""

    answer: Answer
    rule: str
    because: str

    @property
    def allowed(self) -> bool:
        """Without anybody's word."""
        return self.answer is Answer.ALLOWED

    @property
    def denied(self) -> bool:
        return self.answer is Answer.DENIED

    @property
    def needs_approval(self) -> bool:
        return self.answer is Answer.NEEDS_APPROVAL


def permits(
    scope: Scope, subject: Thing, action: Thing, resource: Thing, context: Mapping[str, Any] | None = None, *, asked: bool = True
) -> Permit:
    """The first rule that fits says whether `subject` may do `action` on `resource`. `asked`: by who is about to do it, so that a number
    which they leave out counts against them. A detector that reports an act knows little of it, and its silence proves nothing."""
    subject, resource = _completed(subject, scope.subjects), _completed(resource, scope.resources)
    scene = {"subject": _plain(subject), "action": _plain(action), "resource": _plain(resource), "context": context or {}}
    for rule in scope.rules:
        if rule.fits(subject, action, resource, scene, asked=asked):
            said = f"{subject.id or 'it'} {rule.word} {action.id} on {resource.id or 'an unnamed resource'}"
            because = f"Rule “{rule.name}”: {rule.because or said}."
            return Permit(rule.answer, rule.name, because)
    return Permit(Answer.SILENT, "", "No scope rule says anything about it.")


def _completed(thing: Thing, known: tuple[Known, ...]) -> Thing:
    """With what the policy knows of it, which stands above what a message says."""
    for one in known:
        if one.id == thing.id and one.kind in ("", thing.kind, *thing.also):
            return Thing(thing.id, thing.kind, {**thing.properties, **one.properties}, thing.also)
    return thing


def _plain(thing: Thing) -> Mapping[str, Any]:
    return {"id": thing.id, "name": thing.id, "kind": thing.kind, "type": thing.kind, "properties": thing.properties}


def _is_action(action: Thing, pattern: str) -> bool:
    if pattern.startswith(TOOL):
        tool = action.properties.get("tool")
        return isinstance(tool, str) and fnmatchcase(tool, pattern.removeprefix(TOOL))
    return any(fnmatchcase(name, pattern) for name in (action.id, *action.also))


def _has(properties: Mapping[str, Any], name: str, wanted: tuple[Plain, ...], against: bool) -> bool:
    """Whether the property is one of `wanted`; of a list, whether any of its items is."""
    found = properties.get(name)
    if found is None:
        return False
    items = found if isinstance(found, list | tuple | set | frozenset) else [found]
    return any(_is(item, one, against) for item in items for one in wanted)


def _is(found: Any, wanted: Plain, against: bool) -> bool:
    if isinstance(wanted, str):
        return isinstance(found, str) and fnmatchcase(found, wanted)
    if against and _is_number(wanted) and isinstance(found, str):
        return wanted in _readings(found)
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


# -- comparisons ---------------------------------------------------------------------------------------------------------------------------


_ORDERED: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "<": lt, ">": gt}


def _compared(operator: str, left: Any, right: Any, against: bool) -> bool | None:
    """None: a number is to be compared with what is none."""
    if operator in _ORDERED:
        pairs = [(one, other) for one in _numbers(left, against) for other in _numbers(right, against)]
        return any(_ORDERED[operator](*pair) for pair in pairs) if pairs else None
    if operator in ("==", "!="):
        same = _same(left, right, against)
        return same if same is None or operator == "==" else not same
    if not isinstance(right, list | tuple | set | frozenset):
        return None if _is_number(left) else False
    found = [_same(left, one, against) for one in right]
    within = True if True in found else None if None in found else False
    return within if within is None or operator == "in" else not within


def _same(left: Any, right: Any, against: bool) -> bool | None:
    if not (_is_number(left) or _is_number(right)):
        return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
    pairs = [(one, other) for one in _numbers(left, against) for other in _numbers(right, against)]
    return any(one == other for one, other in pairs) if pairs else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any, against: bool) -> tuple[float, ...]:
    """What the value could be as a number: itself, or against the caller what a text can be read as. Nothing where it is none."""
    if _is_number(value):
        return (value,) if value == value else ()  # nan is greater and smaller than nothing
    return _readings(value) if against and isinstance(value, str) else ()


def _readings(text: str) -> tuple[float, ...]:
    """As people write amounts, and as tools read them: 4.8e3 and 4_800 are the same to those."""
    found = {number_of(text)}
    with contextlib.suppress(ValueError):
        found.add(float(text))
    return tuple(one for one in found if one is not None and one == one)


_SIDE = r"""('[^']*'|"[^"]*"|[A-Za-z0-9_.:@/-]+)"""
_COMPARISON = re.compile(rf"\s*{_SIDE}\s*(==|!=|<=|>=|<|>|\bnot\s+in\b|\bin\b)\s*{_SIDE}\s*")
_PATH = re.compile(r"(subject|resource)\.(id|kind|type|properties(\.[\w-]+)+)|action\.(name|properties(\.[\w-]+)+)|context(\.[\w-]+)+")


def _value(operand: Operand, scene: Mapping[str, Any]) -> Any:
    if not operand.path:
        return operand.value
    found: Any = scene
    for name in operand.path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if found == "" else found


# -- reading ------------------------------------------------------------------------------------------------------------------------------


def scope(section: Reader) -> Scope:
    """The section `scope` of a policy."""
    has = section.members({"rules"}, {"known"})
    known = has["known"].members(set(), {"subjects", "resources"}) if "known" in has else {}
    return Scope(
        rules=_rules(has["rules"]),
        subjects=tuple(_known(one) for one in known["subjects"].items()) if "subjects" in known else (),
        resources=tuple(_known(one) for one in known["resources"].items()) if "resources" in known else (),
    )


def _rules(rules: Reader) -> tuple[Rule, ...]:
    found: list[Rule] = []
    items = rules.items()
    if len(items) > MOST:
        rules.fault("too_many", f"at most {MOST} rules")
    for number, one in enumerate(items[:MOST], 1):
        rule = _rule(one, number)
        if any(other.name == rule.name for other in found):
            one.fault("twice", f"another rule is called {rule.name!r}")
        found.append(rule)
    return tuple(found)


def _rule(rule: Reader, number: int) -> Rule:
    has = rule.members(set(), {"name", "who", *WORDS, "with", "on", "where", "because"})
    said = [has[word] for word in WORDS if word in has]
    if len(said) != 1:
        rule.fault("may_or_may_not", "a rule says either `may`, `may_not` or `may_if_approved`, with the actions it is about")
    word = said[0] if said else None
    return Rule(
        name=has["name"].text() if "name" in has else f"rule {number}",
        may=None if "may_if_approved" in has else "may" in has,
        actions=word.texts() if word else (),
        who=_match(has["who"]) if "who" in has else Match(),
        on=_match(has["on"]) if "on" in has else Match(),
        how=_properties(has["with"]) if "with" in has else {},
        where=tuple(_comparison(one) for one in has["where"].items()) if "where" in has else (),
        because=has["because"].text().rstrip(".") if "because" in has else "",
    )


def _match(match: Reader) -> Match:
    has = match.members(set(), {"kind", "id", "properties"})
    if not has:
        match.fault("empty", "at least one of `kind`, `id` and `properties` stands here")
    return Match(
        kinds=has["kind"].texts() if "kind" in has else (),
        ids=has["id"].texts() if "id" in has else (),
        properties=_properties(has["properties"]) if "properties" in has else {},
    )


def _properties(properties: Reader) -> Mapping[str, tuple[Plain, ...]]:
    return {name: one.values() for name, one in properties.pairs()}


def _known(one: Reader) -> Known:
    has = one.members({"id", "properties"}, {"kind"})
    properties = {name: _single(value.values(), value.is_list) for name, value in has["properties"].pairs()}
    return Known(has["id"].text(), has["kind"].text() if "kind" in has else "", properties)


def _single(values: tuple[Plain, ...], is_list: bool) -> Any:
    return list(values) if is_list or not values else values[0]


def _comparison(one: Reader) -> Comparison:
    said = _COMPARISON.fullmatch(one.text())
    if said is None:
        one.fault("no_comparison", "a comparison stands here, such as resource.properties.owner == subject.id")
        return Comparison(Operand(), "==", Operand())
    left, operator, right = said.groups()
    sides = []
    for side in (left, right):
        operand = _operand(side)
        if operand is None:
            one.fault(
                "unknown_path", "known are subject.id, subject.kind, subject.properties.…, the same of resource, action.name, context.…"
            )
        sides.append(operand or Operand())
    return Comparison(sides[0], " ".join(operator.split()), sides[1])


def _operand(side: str) -> Operand | None:
    if side[0] in "'\"":
        return Operand(value=side[1:-1])
    if side in ("true", "false"):
        return Operand(value=side == "true")
    if re.fullmatch(r"-?\d+(\.\d+)?", side):
        return Operand(value=float(side))
    return Operand(path=tuple(side.split("."))) if _PATH.fullmatch(side) else None
