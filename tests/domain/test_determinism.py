"""The same bytes everywhere: the arithmetic has no last bit of its own, and what a database does to numbers changes no digest."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import replay
from containment.domain.arithmetic import cube_root, ten_to
from containment.domain.facts import CallFacts, Finding
from containment.domain.judge import judge
from containment.domain.replay import restore
from core import digest
from tests.domain.facts_of import SHIPPED, judged, sample
from tests.domain.test_judgement_properties import MODEST, worlds


def _bits(value: float) -> str:
    return struct.pack(">d", value).hex()


@pytest.mark.parametrize(
    ("exponent", "bits"),
    [(0.0, "3ff0000000000000"), (1.0, "4024000000000000"), (-3.0, "3f50624dd2f1a9fc"), (-1.19, ""), (2.59, ""), (0.5, "")],
)
def test_a_power_of_ten_has_the_bits_that_ieee_754_gives(exponent, bits):
    with localcontext() as context:
        context.prec = 40
        exact = float(Decimal(10) ** Decimal(exponent))
    assert abs(ten_to(exponent) - exact) <= 4 * math.ulp(exact)
    assert not bits or _bits(ten_to(exponent)) == bits


@given(st.floats(-6, 6))
def test_a_power_of_ten_is_as_near_as_a_double_can_tell(exponent):
    with localcontext() as context:
        context.prec = 40
        exact = Decimal(10) ** Decimal(exponent)
    assert abs(Decimal(ten_to(exponent)) - exact) <= exact * Decimal("1e-15")


@given(st.floats(0, 1) | st.floats(1e-300, 1e300))
def test_a_cube_root_cubed_is_the_number(value):
    root = Decimal(cube_root(value))
    assert abs(root**3 - Decimal(value)) <= Decimal(value) * Decimal("2e-15")


def test_the_bits_of_cube_roots_do_not_change():
    assert [_bits(cube_root(value)) for value in (0.0, 1.0, 0.125, 0.63, 0.4725)] == BITS_OF_ROOTS


BITS_OF_ROOTS = ["0000000000000000", "3ff0000000000000", "3fe0000000000000", "3feb6eb07bc1f229", "3fe8ec89689a3137"]


# -- digests: the definition, as slow as it reads --------------------------------------------------------------------------------


def slow_plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if value == 0:
            return 0.0
        return int(Decimal(repr(value))) if abs(value) >= 1e16 else value
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dict):
        return {str(slow_plain(key)): slow_plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(slow_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [slow_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: slow_plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def slow_bytes(value: Any) -> bytes:
    return json.dumps(slow_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Shade(StrEnum):
    DARK = "dark"


class Word(str):
    __slots__ = ()


@dataclass(frozen=True)
class Thing:
    name: str = "thing"
    parts: tuple[Any, ...] = ()
    at: datetime | None = None


CORNERS = [
    Shade.DARK,
    {Shade.DARK: 1, 2: {"b", "a"}},
    Word("kept as it is"),
    UUID(int=7),
    b"\x00\xff",
    Thing(parts=(Thing(), (1, 2.5)), at=datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
    [0.1 + 0.2, 1e-7, 123456789.123456789, 5e-324, 1.7976931348623157e308, True, None, "ü\u2028"],
    Decimal("1.50"),
    timedelta(minutes=5),
    Thing,
]


@pytest.mark.parametrize("value", CORNERS, ids=str)
def test_the_quick_way_writes_the_bytes_of_the_definition(value):
    assert digest.canonical(value) == slow_bytes(value)


@MODEST
@given(worlds)
def test_the_quick_way_writes_the_bytes_of_the_definition_for_facts_and_judgements(facts):
    judgement = judge(facts, SHIPPED)
    assert digest.canonical({"facts": facts, "judgement": judgement}) == slow_bytes({"facts": facts, "judgement": judgement})
    assert digest.digest_of_sparse({"facts": facts}) == digest.digest(digest.sparse({"facts": facts}))


def test_no_number_is_infinite_or_none_at_all():
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match="JSON compliant"):
            digest.canonical(value)


def as_kept(value: Any) -> Any:
    """What PostgreSQL's jsonb gives back: a number keeps its digits, and has neither an exponent nor a negative zero."""
    return json.loads(json.dumps(value), parse_float=lambda text: _number(Decimal(text)))


def _number(number: Decimal) -> float | int:
    text = format(number, "f")
    return (float(text) or 0.0) if "." in text else int(text)


@settings(MODEST)
@given(worlds, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([-0.0, 1e16, -1e22, 1e23, 5e-324, 1e-7]))
def test_numbers_of_every_size_keep_their_digest_through_a_database(facts, number, corner):
    seen = Finding(code="first_access", strength=abs(corner) % 1.0, because="seen", evidence={"a": number, "b": [corner]})
    facts = replace(facts, observed=(*facts.observed, seen), call=CallFacts(tool="pay", money=corner))
    stored = as_kept(digest.plain(facts))
    assert judge(restore(stored), SHIPPED).digest == judge(facts, SHIPPED).digest


def test_a_digest_does_not_depend_on_the_order_in_which_things_were_named():
    facts = sample()
    turned = json.loads(json.dumps(dict(reversed(digest.plain(facts).items()))))
    assert judged(restore(turned)).digest == judged(facts).digest


def test_another_process_with_nothing_but_judgement_on_its_path_comes_to_the_same_digests(capsys):
    assert replay.main(["--decisions", "120", "--dry"]) == 0
    assert "| 120 | 120 |" in capsys.readouterr().out
