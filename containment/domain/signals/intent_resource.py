"""intent_resource: a call on a resource outside the approved patterns, an argument outside its bounds, or a write to somewhere that neither
the task nor anything trusted named.

The last rests on circumstances, so it comes in degrees. Full and certain: an address, or a secret to be set, that stands in content from
outside alone, in a call that nothing ties to the task. Full but circumstantial, so that people are asked: the same where the task points
at that content or names something else in the call, and an address that stood nowhere at all. Less than that is shown and weighs little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from containment.domain import values
from containment.domain.facts import ArgumentFacts, BoundRule, CallFacts, Facts, Finding, IntentFacts
from containment.domain.intent import LONGEST_VALUE, REACHING, Purpose, in_words, within
from containment.domain.places import place_of, spellings
from core import masking

SOME = 0.5  # what could well be the work itself
LITTLE = 0.25
MOST_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Doubt:
    strength: float
    certain: bool
    said: str
    argument: str = ""

    @property
    def weight(self) -> tuple[float, bool]:
        return self.strength, self.certain


def intent_resource(facts: Facts) -> Finding | None:
    call, intent = facts.call, facts.intent
    if intent is None or (call is None and facts.resource is None):
        return None
    doubts = _limits(facts, intent)
    if call is not None and call.writes is not False:
        doubts += _unexplained(call, intent)
    return _finding(facts, doubts) if doubts else _settled(facts, intent)


def beyond_limits(facts: Facts) -> Finding | None:
    """The part of it that rests on no circumstance: a resource outside the patterns, an argument outside its bounds."""
    if facts.intent is None:
        return None
    hard = [doubt for doubt in _limits(facts, facts.intent) if doubt.certain]
    return _finding(facts, hard) if hard else None


def _finding(facts: Facts, doubts: list[Doubt]) -> Finding:
    worst = max(doubts, key=lambda doubt: doubt.weight)
    return Finding(
        code="intent_resource",
        strength=worst.strength,
        because=worst.said,
        evidence={
            "tool": facts.call.tool if facts.call else "",
            "resource": facts.resource.id if facts.resource else "",
            "doubts": [{"argument": doubt.argument, "strength": doubt.strength, "said": doubt.said} for doubt in doubts[:MOST_SHOWN]],
        },
        circumstantial=not worst.certain,
    )


def _settled(facts: Facts, intent: IntentFacts) -> Finding | None:
    """Inside, as far as anybody said what inside is."""
    if facts.resource is None or not _are_limited(intent):
        return None
    return Finding(code="intent_resource", strength=0.0, because=f"{facts.resource.id} is among the resources of this session.")


def _limits(facts: Facts, intent: IntentFacts) -> list[Doubt]:
    call = facts.call
    bounds = (*_outside_bounds(call, intent), *_unread(call, intent)) if call else ()
    return [*_outside_patterns(facts, intent), *bounds]


# -- resources and bounds -----------------------------------------------------------------------------------------------------------------


def _outside_patterns(facts: Facts, intent: IntentFacts) -> Iterator[Doubt]:
    """The resource that is named; where none is, the paths among the arguments. One read out of a longer text may be a mere mention."""
    if not _are_limited(intent):
        return
    if facts.resource is not None:
        if layer := _denied_by(facts.resource.id, intent):
            yield Doubt(1.0, True, f"{facts.resource.id} lies outside the resources that {_whose(layer)} was approved for.")
        return
    for argument in facts.call.arguments if facts.call else ():
        if argument.kind == Purpose.PATH and argument.value and (_is_cut(argument) or not _is_inside(argument.value, intent)):
            said = f"{argument.value}, in {argument.name}, lies outside the resources that this session was approved for."
            yield Doubt(1.0, not argument.inside, said, argument.name)


def _is_inside(said: str, intent: IntentFacts) -> bool:
    """An address has a host to keep, a path has none."""
    return _denied_by(said if "://" in place_of(said) else values.path_of(said), intent) is None


def _denied_by(resource: str, intent: IntentFacts) -> IntentFacts | None:
    """Of all that hold at once, the first that says something of resources and not this."""
    limited = (layer for layer in intent.layers if layer.resources)
    return next((layer for layer in limited if not all(_fits(name, layer) for name in spellings(resource))), None)


def _fits(name: str, layer: IntentFacts) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in layer.resources)


def _are_limited(intent: IntentFacts) -> bool:
    return any(layer.resources for layer in intent.layers)


def _whose(intent: IntentFacts) -> str:
    return intent.of or "this session"


def _outside_bounds(call: CallFacts, intent: IntentFacts) -> Iterator[Doubt]:
    for argument in call.arguments:
        if broken := _broken(argument, call, intent):
            said = f"{argument.name} of {call.tool} lies outside what was approved for it ({broken})."
            yield Doubt(1.0, True, said, argument.name)


def _broken(argument: ArgumentFacts, call: CallFacts, intent: IntentFacts) -> str:
    """The whole value was compared when the facts were made; where nobody did, what is kept of it is, and what was cut is outside."""
    bounds = _bounds_of(argument, call, intent)
    if argument.broke is not None or not bounds or argument.value == masking.MARK:
        return argument.broke or ""
    return "; ".join(in_words(bound) for bound in bounds if _is_cut(argument) or not within(argument.value, bound))


def _is_cut(argument: ArgumentFacts) -> bool:
    return len(argument.value) >= LONGEST_VALUE


def _unread(call: CallFacts, intent: IntentFacts) -> Iterator[Doubt]:
    """What is not looked at may go anywhere. A call that only reads is asked where anything bounds it."""
    bounded = _are_limited(intent) or any(fnmatchcase(call.tool, bound.tool) for bound in intent.bounds)
    if call.cut and (call.writes is not False or bounded):
        yield Doubt(1.0, True, f"{call.tool} has more arguments than can be looked at.")


def _bounds_of(argument: ArgumentFacts, call: CallFacts, intent: IntentFacts) -> list[BoundRule]:
    if argument.inside:
        return []
    return [bound for bound in intent.bounds if bound.argument == argument.name and fnmatchcase(call.tool, bound.tool)]


# -- where a value comes from -------------------------------------------------------------------------------------------------------------


def _unexplained(call: CallFacts, intent: IntentFacts) -> Iterator[Doubt]:
    """What a write names and nobody who may say so named before."""
    for argument in call.arguments:
        if argument.kind and not _explained(argument, call, intent):
            doubt = _doubt(argument, call, intent)
            if doubt is not None:
                yield doubt


def _explained(argument: ArgumentFacts, call: CallFacts, intent: IntentFacts) -> bool:
    """By the task, by something trusted, by a bound that people approved, or by the resources of the session. Only what the bound lists
    or describes is approved by it; a limit on an amount is not."""
    if argument.in_task or argument.in_trusted:
        return True
    if argument.approved or (argument.broke is None and not _is_cut(argument) and _listed(argument, call, intent)):
        return True
    if argument.kind not in (Purpose.PATH, Purpose.ADDRESS) or _is_cut(argument):
        return False
    return _are_limited(intent) and _denied_by(argument.value, intent) is None


def _listed(argument: ArgumentFacts, call: CallFacts, intent: IntentFacts) -> bool:
    bounds = [bound for bound in _bounds_of(argument, call, intent) if bound.approved and (bound.one_of or bound.like)]
    return any(within(argument.value, bound) for bound in bounds)


def _doubt(argument: ArgumentFacts, call: CallFacts, intent: IntentFacts) -> Doubt | None:
    name = f"{'An address inside' if argument.inside else 'The'} {argument.name} of {call.tool}"
    from_outside = argument.in_untrusted or argument.in_named
    if not from_outside and not intent.has_task:
        return None  # nobody said what the work is: that a value is new says nothing
    if argument.kind in REACHING:
        return _reaching(argument, call, name)
    if argument.kind == Purpose.PATH:
        if argument.inside or not argument.in_untrusted:
            return None
        strength = SOME if _tied(argument, call) else 1.0
        return Doubt(strength, False, f"{name} stands only in content from outside.", argument.name)
    where = "stands only in content from outside" if from_outside else "stands neither in the task nor in any result"
    return Doubt(LITTLE, False, f"{name} {where}.", argument.name)


def _reaching(argument: ArgumentFacts, call: CallFacts, name: str) -> Doubt:
    """An address or a secret: whoever wrote it receives what is sent, or gets in."""
    tied = _tied(argument, call)
    if argument.in_untrusted:
        said = f"{name} stands only in content from outside, which the task does not point at"
        if argument.inside:
            return Doubt(1.0, False, f"{said}; the text may merely quote it.", argument.name)
        return Doubt(1.0, not tied, f"{said}{', though the call names something that the task does' if tied else ''}.", argument.name)
    if argument.in_named:
        said = f"{name} stands only in content from outside that the task points at"
        quoted = argument.inside or _belongs(argument, call)
        return Doubt(SOME if quoted else 1.0, False, f"{said}.", argument.name)
    said = f"{name} stands neither in the task nor in any result"
    return Doubt(SOME if tied or argument.inside else 1.0, False, f"{said}.", argument.name)


def _tied(argument: ArgumentFacts, call: CallFacts) -> bool:
    """Another argument of the call, of another kind, is what the task names: the call is about the task at least. A second address beside
    one that the task names is tied to nothing."""
    return any(one.in_task and one.kind and one.kind not in REACHING and not one.inside for one in call.arguments if one is not argument)


def _belongs(argument: ArgumentFacts, call: CallFacts) -> bool:
    """The address holds the name of somebody in the call whom the task names: dora@… is Dora's."""
    address = values.plain_form(argument.value)
    named = [one for one in call.arguments if one.in_task and one.kind == Purpose.NAME and not one.inside]
    return any(word in address for one in named for word in values.marks_of(one.value) if len(word) > 2)
