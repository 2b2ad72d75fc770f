"""Intent: what a session was approved to do, what a call of a tool is about, and where the values in its arguments come from.

Pure. The guard, a detection and an activity feed build the same facts here; whoever keeps what a session has seen (rows, or a test's set)
answers one question, `seen`, for all marks of a call at once. What fires is the business of the four intent signals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntFlag, StrEnum
from fnmatch import fnmatchcase
from typing import Any

from containment.domain import values
from containment.domain.facts import ArgumentFacts, BoundRule, BudgetRule, CallFacts, IntentFacts, ToolRule
from containment.domain.places import spellings
from containment.domain.values import Shape
from core import masking

MOST_ARGUMENTS = 256  # values that are arguments themselves
MOST_EXTRACTS = 256  # addresses and paths that were read out of free text
LONGEST_VALUE = 200
PERIODS = ("minute", "hour", "day", "session")


class Seen(IntFlag):
    """Where a session has seen a value."""

    NOWHERE = 0
    TASK = 1
    TRUSTED = 2  # in a result of a tool that the approved profile marks trusted
    NAMED = 4  # in content from outside that the task, or such content, points at
    OUTSIDE = 8  # in any other result
    TOUCHED = 16  # as a place that a call of this session went to


class Purpose(StrEnum):
    """What an argument is for. The first two reach outside: they say where data or money goes, or who gets in."""

    ADDRESS = "address"
    CREDENTIAL = "credential"
    PATH = "path"
    NAME = "name"
    AMOUNT = "amount"
    OTHER = ""


REACHING = (Purpose.ADDRESS, Purpose.CREDENTIAL)
Look = Callable[[Collection[str]], Mapping[str, Seen]]

# Words in the names of arguments. They are the vocabulary of interfaces, not of any one of them.
_HOSTS = frozenset(["url", "uri", "link", "href", "host", "hostname", "domain", "endpoint", "webhook", "callback"])
_PLACES = frozenset(
    [
        "to",
        "cc",
        "bcc",
        "recipient",
        "receiver",
        "payee",
        "beneficiary",
        "address",
        "email",
        "mail",
        "phone",
        "account",
        "iban",
        "destination",
        "target",
        "bucket",
    ]
)
_NAMES = frozenset(
    ["user", "username", "member", "participant", "attendee", "group", "channel", "role", "principal", "owner", "team", "assignee"]
)
_PATHS = frozenset(["path", "file", "filename", "filepath", "directory", "dir", "folder"])
_AMOUNTS = frozenset(["amount", "price", "total", "sum", "fee", "refund", "quantity"])
_SECRETS = frozenset(["password", "passphrase", "passwd", "pwd", "secret", "token", "credential"])
_KEYS = frozenset(["api", "access", "public", "private", "ssh", "signing"])
_PICKS = frozenset(["id", "ids", "ref", "reference", "uuid", "index"])
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_IBAN = re.compile(r"[a-z]{2}\d{2}[a-z0-9]{10,30}")
_AT = re.compile(r"\S\s?[@\uff20\ufe6b]")
_TELLING = re.compile(r"[@.\d]")


# -- what was approved --------------------------------------------------------------------------------------------------------------------


def intent_of(
    declared: Mapping[str, Any],
    profile: Mapping[str, Any],
    *,
    name: str = "",
    version: int = 0,
    used: Mapping[str, float] | None = None,
    above: Sequence[IntentFacts] = (),
) -> IntentFacts:
    """What a session may do: what it declared, inside its approved profile. A list that it left out means all that the profile approves.
    `used`: how much of each budget is gone, by its name (`writes_per_hour`). `above`: what the sessions that it works for may do."""
    approved = tool_rules(profile.get("tools", ()))
    mine = IntentFacts(
        has_task=bool(declared.get("task")),
        profile=name,
        profile_version=version,
        tools=_declared_tools(declared["tools"], approved) if declared.get("tools") else approved,
        resources=tuple(sorted(declared.get("resources") or profile.get("resources", ()))),
        bounds=(*bound_rules(profile.get("bounds", {}), approved=True), *bound_rules(declared.get("bounds", {}), approved=False)),
        budgets=_budgets(declared.get("budgets", {}), profile.get("budgets", {}), used or {}),
        environments=tuple(sorted(declared.get("environments") or profile.get("environments", ()))),
        tools_declared=bool(declared.get("tools")) or (bool(declared.get("profile")) and not profile),
    )
    narrowed = any(declared.get(one) for one in ("tools", "resources", "environments"))
    profiles = (_limits_of(profile, approved),) if narrowed and profile else ()
    return under(replace(mine, within=profiles), above)


def under(mine: IntentFacts, above: Sequence[IntentFacts]) -> IntentFacts:
    """The same, no wider than any of those that the session works for. What people approved for their work explains nothing in its own."""
    return replace(
        mine,
        bounds=(*mine.bounds, *(replace(bound, approved=False) for one in above for bound in one.bounds)),
        budgets=(*mine.budgets, *(replace(budget, of=one.of) for one in above for budget in one.budgets)),
        within=(*mine.within, *(replace(layer, of=one.of, bounds=(), budgets=(), within=()) for one in above for layer in one.layers)),
    )


def _limits_of(profile: Mapping[str, Any], tools: tuple[ToolRule, ...]) -> IntentFacts:
    """The lists of a profile as it is now, for what was declared when it was wider."""
    return IntentFacts(
        tools=tools,
        resources=tuple(sorted(profile.get("resources", ()))),
        environments=tuple(sorted(profile.get("environments", ()))),
        tools_declared=bool(tools),
    )


def tool_rules(entries: Iterable[Any]) -> tuple[ToolRule, ...]:
    rules = [
        ToolRule(
            name=str(entry["name"]),
            writes=bool(entry.get("writes", True)),
            trusted=bool(entry.get("trusted", False)),
            kinds=tuple(sorted((str(argument), str(kind)) for argument, kind in entry.get("arguments", {}).items())),
        )
        if isinstance(entry, Mapping)
        else ToolRule(name=str(entry), writes=True)
        for entry in entries
    ]
    return tuple(sorted(rules, key=lambda rule: (rule.name, rule.writes, rule.trusted, rule.kinds)))


def rule_for(tool: str, rules: Sequence[ToolRule]) -> ToolRule | None:
    """The rule that names the tool, else the longest pattern that fits it."""
    fitting = [rule for rule in rules if rule.name == tool or fnmatchcase(tool, rule.name)]
    return max(fitting, key=lambda rule: (rule.name == tool, len(rule.name), rule.name), default=None)


def _declared_tools(entries: Iterable[Any], approved: Sequence[ToolRule]) -> tuple[ToolRule, ...]:
    """A session may declare less than its profile approves: fewer tools, and reading only. What its tools return is trusted, and what
    their arguments are, the profile alone says."""
    rules = []
    for entry in entries:
        name = str(entry["name"]) if isinstance(entry, Mapping) else str(entry)
        only_reads = isinstance(entry, Mapping) and entry.get("writes") is False
        if known := rule_for(name, approved):
            rules.append(ToolRule(name=name, writes=known.writes and not only_reads, trusted=known.trusted, kinds=known.kinds))
    return tuple(sorted(rules, key=lambda rule: (rule.name, rule.writes)))


def bound_rules(bounds: Mapping[str, Any], *, approved: bool) -> tuple[BoundRule, ...]:
    return tuple(
        BoundRule(
            tool=tool,
            argument=argument,
            at_least=None if bound.get("min") is None else float(bound["min"]),
            at_most=None if bound.get("max") is None else float(bound["max"]),
            one_of=tuple(sorted(str(one) for one in bound.get("one_of", ()))),
            like=str(bound.get("like", "")),
            approved=approved,
        )
        for tool, arguments in sorted(bounds.items())
        for argument, bound in sorted(arguments.items())
    )


def _budgets(declared: Mapping[str, Any], approved: Mapping[str, Any], used: Mapping[str, float]) -> tuple[BudgetRule, ...]:
    """The smaller of what was declared and what is approved."""
    rules = []
    for name in sorted({*declared, *approved}):
        what, per = name.split("_per_", 1)
        most = min(float(budgets[name]) for budgets in (declared, approved) if name in budgets)
        rules.append(BudgetRule(what=what, per=per, most=most, used=float(used.get(name, 0.0))))
    return tuple(rules)


def within(value: str, bound: BoundRule) -> bool:
    """Whether a value keeps to a bound. A number where a number is asked for, else it does not; nor does what is too long to be read."""
    if len(value) > values.LONGEST:
        return False
    number = values.number_of(value)
    if bound.at_least is not None and (number is None or number < bound.at_least):
        return False
    if bound.at_most is not None and (number is None or number > bound.at_most):
        return False
    plain = values.plain_form(value).strip()
    if bound.one_of and plain not in {values.plain_form(one).strip() for one in bound.one_of}:
        return False
    return not bound.like or all(fnmatchcase(one, values.plain_form(bound.like)) for one in _spelt(value, plain))


def _spelt(value: str, plain: str) -> list[str]:
    return [plain, *(values.plain_form(one).strip() for one in spellings(value)[1:])]


def in_words(bound: BoundRule) -> str:
    parts = [
        f"at least {bound.at_least:g}" if bound.at_least is not None else "",
        f"at most {bound.at_most:g}" if bound.at_most is not None else "",
        f"one of {len(bound.one_of)} values" if bound.one_of else "",
        f"like {bound.like}" if bound.like else "",
    ]
    return ", ".join(part for part in parts if part)


# -- what a call is about -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """One value in the arguments of a call, before anybody asks where else it stood."""

    name: str
    text: str
    kind: Purpose
    inside: bool
    marks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Read:
    """The values that are looked at, those that matter most first in being kept, and all places that the arguments name. `cut`: there were
    more that matter."""

    values: tuple[Value, ...]
    targets: frozenset[str]
    moved: float
    cut: bool


def values_of(arguments: Mapping[str, object], kinds: Iterable[tuple[str, str]] = ()) -> tuple[Value, ...]:
    """The values of a call's arguments, each with what it is for. Free text gives the addresses and paths that stand in it."""
    return read(arguments, kinds).values


def read(arguments: Mapping[str, object], kinds: Iterable[tuple[str, str]] = (), bounded: Collection[str] = ()) -> Read:
    """What says where something goes, and what is bounded, is kept before free text; what stands inside free text has room of its own."""
    declared = dict(kinds)
    found: dict[Value, None] = {}
    cut = False
    for name in sorted(arguments, key=str):
        held = arguments[name]
        if values.is_value(str(name), held):
            found.update(dict.fromkeys(_values(str(name), "", str(name), declared.get(str(name), ""))))
        for count, (nearest, text) in enumerate(values.leaves(str(name), held)):
            if count == values.MOST_LEAVES:
                cut = True
                break
            found.update(dict.fromkeys(_values(str(name), nearest, text, declared.get(str(name), ""))))
    telling = [value for value in found if not value.inside and (value.kind or value.name in bounded)]
    texts = [value for value in found if not value.inside and not (value.kind or value.name in bounded)]
    inside = [value for value in found if value.inside]
    first = sorted(telling, key=lambda value: (value.name not in bounded, value.kind not in REACHING))[:MOST_ARGUMENTS]
    kept = {*first, *texts[: MOST_ARGUMENTS - len(first)], *inside[:MOST_EXTRACTS]}
    return Read(
        values=tuple(value for value in found if value in kept),
        targets=frozenset(target_mark(value.marks) for value in found if is_target(value)),
        moved=moved(found),
        cut=cut or len(telling) > MOST_ARGUMENTS or len(inside) > MOST_EXTRACTS,
    )


def read_call(tool: str, arguments: Mapping[str, object], *, rules: Sequence[ToolRule], bounds: Sequence[BoundRule]) -> Read:
    """The arguments of a call of this tool, as its rule declares them and its bounds name them."""
    rule = rule_for(tool, rules)
    return read(arguments, rule.kinds if rule else (), {bound.argument for bound in _bounds_of(tool, bounds)})


def _bounds_of(tool: str, bounds: Sequence[BoundRule]) -> list[BoundRule]:
    return [bound for bound in bounds if fnmatchcase(tool, bound.tool)]


def call_facts(
    tool: str,
    arguments: Mapping[str, object],
    *,
    rules: Sequence[ToolRule] = (),
    bounds: Sequence[BoundRule] = (),
    writes: bool | None = None,
    size: int = 0,
    money: float | None = None,
    environment: str = "",
    seen: Look,
    said: Read | None = None,
) -> CallFacts:
    """The facts of a call. `rules` are the approved profile's: they say whether a tool writes. The caller's word may only add to what they
    and the arguments say: that it writes, and that it moves more. `seen` is asked once."""
    rule, mine = rule_for(tool, rules), _bounds_of(tool, bounds)
    said = said or read_call(tool, arguments, rules=rules, bounds=bounds)
    where = seen({*said.targets, *(mark for value in said.values for mark in value.marks)})
    return CallFacts(
        tool=tool,
        writes=(True if writes is True else rule.writes if rule else None),
        arguments=tuple(_argument(value, where, mine) for value in said.values),
        bytes=size,
        money=max(said.moved, money or 0.0),
        new_targets=sum(not where.get(target, Seen.NOWHERE) & Seen.TOUCHED for target in said.targets),
        environment=environment,
        cut=said.cut,
    )


def moved(said: Iterable[Value]) -> float:
    """The largest amount that a call names: what it moves, where nobody says better."""
    amounts = (values.number_of(value.text) or 0.0 for value in said if value.kind is Purpose.AMOUNT)
    return max((abs(amount) for amount in amounts), default=0.0)


def is_target(value: Value) -> bool:
    return bool(value.marks) and not value.inside and value.kind in (Purpose.ADDRESS, Purpose.NAME, Purpose.PATH)


def target_mark(marks: frozenset[str]) -> str:
    """One mark for a whole place, so that distinct ones can be counted."""
    return "@" + " ".join(sorted(marks))


def points_at(arguments: Mapping[str, object], seen: Look) -> bool:
    """Whether a call fetches what the task points at: one of its telling values stands in the task, in what a trusted tool said or in
    content that was pointed at itself. What it returns is still from outside."""
    telling = [value.marks for value in values_of(arguments) if not value.inside and any(len(mark) > 3 for mark in value.marks)]
    where = seen({mark for marks in telling for mark in marks})
    pointing = Seen.TASK | Seen.TRUSTED | Seen.NAMED
    return any(all(where.get(mark, Seen.NOWHERE) & pointing for mark in marks) for marks in telling)


def standing_of_result(tool: str, arguments: Mapping[str, object], rules: Sequence[ToolRule], seen: Look) -> Seen:
    """What the result of this call is worth. Content fetched from an address is never trusted, whatever the profile says of the tool."""
    rule = rule_for(tool, rules)
    fetched = any(
        value.kind is Purpose.ADDRESS and values.shape_of(value.text) in (Shape.URL, Shape.HOST) for value in values_of(arguments)
    )
    if rule is not None and rule.trusted and not fetched:
        return Seen.TRUSTED
    return Seen.NAMED if points_at(arguments, seen) else Seen.OUTSIDE


def _values(argument: str, name: str, text: str, declared: str) -> list[Value]:
    kind, shape = _kind(name, text, declared), values.shape_of(text)
    if shape in (Shape.TEXT, Shape.PATH) and (kind is Purpose.ADDRESS or (kind is Purpose.NAME and _AT.search(text))):
        return _places(argument, name, text, declared)
    if kind is Purpose.OTHER and shape in (Shape.TEXT, Shape.PATH):
        inner = tuple(one for one in values.addresses_in(text) if not values.is_account(one) or _IBAN.fullmatch(one))
        found = [_value(argument, one, Purpose.ADDRESS, inside=True) for one in inner]
        return [_value(argument, text, kind), *found, *(_value(argument, one, Purpose.PATH, inside=True) for one in values.paths_in(text))]
    return [_value(argument, text, kind)]


def _places(argument: str, name: str, text: str, declared: str) -> list[Value]:
    """Dora <dora@example.org>, or several in one text. What is left beside them may be one more, in a spelling that we do not read."""
    found, rest = values.recipients_in(text)
    hosts = bool(set(_words_of(name)) & _HOSTS)
    if not found:
        kind = Purpose.ADDRESS if declared == Purpose.ADDRESS or hosts or _AT.search(text) else Purpose.NAME
        return [Value(argument, text, kind, False, values.marks_of(text, Shape.URL if hosts and " " not in text else None))]
    made = [_place(argument, one) for one in found]
    if rest:
        mails = any("@" in one for one in found)
        kind = Purpose.ADDRESS if declared or hosts or mails or _TELLING.search(rest) else Purpose.NAME
        made.append(Value(argument, rest, kind, False, values.marks_of(rest)))
    return made


def _place(argument: str, text: str) -> Value:
    if values.is_odd_email(text):
        return Value(argument, text, Purpose.ADDRESS, False, frozenset({text}))
    return _value(argument, text, Purpose.ADDRESS)


def _value(name: str, text: str, kind: Purpose, *, inside: bool = False) -> Value:
    return Value(name, text, kind, inside, values.marks_of(text, Shape.PATH if kind is Purpose.PATH and " " not in text else None))


def _kind(name: str, text: str, declared: str) -> Purpose:
    """By what the profile declares, else by the argument's name, else by the value's own shape."""
    if declared:
        return Purpose(declared) if declared in set(Purpose) else Purpose.OTHER
    words, shape = _words_of(name), values.shape_of(text)
    named = set(words)
    if shape is not Shape.NUMBER and (named & _SECRETS or (words and words[-1] == "key" and named & _KEYS)):
        return Purpose.CREDENTIAL
    if shape in (Shape.EMAIL, Shape.URL, Shape.HOST) or _IBAN.fullmatch(re.sub(r"[\s-]", "", values.plain_form(text))):
        return Purpose.ADDRESS
    if words and words[-1] in _PICKS:
        return Purpose.NAME
    if named & _AMOUNTS and values.number_of(text) is not None:
        return Purpose.AMOUNT
    if named & _PATHS or (shape is Shape.PATH and not named & (_HOSTS | _PLACES)):
        return Purpose.PATH
    if named & (_HOSTS | _PLACES):
        return Purpose.ADDRESS
    return Purpose.NAME if named & _NAMES else Purpose.OTHER


def _words_of(name: str) -> list[str]:
    """The words of an argument's name, single: `userEmails` is user and email."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")) else word for word in words]


def _argument(value: Value, where: Mapping[str, Seen], bounds: Sequence[BoundRule]) -> ArgumentFacts:
    mine = [] if value.inside else [bound for bound in bounds if bound.argument == value.name]
    bits = [where.get(mark, Seen.NOWHERE) for mark in value.marks] or [Seen.NOWHERE]

    def everywhere(*standings: Seen) -> bool:
        return all(any(one & standing for standing in standings) for one in bits)

    in_task = everywhere(Seen.TASK)
    in_trusted = not in_task and everywhere(Seen.TASK, Seen.TRUSTED)
    in_named = not in_task and not in_trusted and everywhere(Seen.TASK, Seen.TRUSTED, Seen.NAMED)
    anywhere = everywhere(Seen.TASK, Seen.TRUSTED, Seen.NAMED, Seen.OUTSIDE)
    return ArgumentFacts(
        name=value.name,
        value=_shown(value, bool(mine)),
        kind=value.kind.value,
        inside=value.inside,
        in_task=in_task,
        in_trusted=in_trusted,
        in_named=in_named,
        in_untrusted=anywhere and not (in_task or in_trusted or in_named),
        broke="; ".join(in_words(bound) for bound in mine if not within(value.text, bound)) if mine else None,
        approved=any(bound.approved and (bound.one_of or bound.like) and within(value.text, bound) for bound in mine),
    )


def _shown(value: Value, bounded: bool) -> str:
    """Free text is nobody's business; a secret is shown to nobody."""
    if value.kind is Purpose.CREDENTIAL:
        return masking.MARK
    if value.kind is Purpose.OTHER and not bounded:
        return ""
    return str(masking.in_text(value.text))[:LONGEST_VALUE]
