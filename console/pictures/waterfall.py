"""Why the risk is what it is, line by line, so that anyone can do the sum again by hand.

A table in which each line has its own small drawing: text stays readable on a phone, and a screen reader walks it as what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

MINUS = "−"


@dataclass(frozen=True, slots=True)
class Bar:
    """One signal: what it counts in the sum. Only the largest of a family counts whole; `share` says which part this one counts with."""

    label: str
    decibans: float
    note: str = ""
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of the impact: reach, consequence or sensitivity, with the word that the number stands for."""

    name: str
    word: str
    value: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """As stored with a decision. `bars` carry decibans after their share was taken."""

    prior: float
    prior_note: str
    bars: tuple[Bar, ...]
    odds: float
    likelihood: float
    factors: tuple[Factor, ...]
    impact: float
    risk: float
    soft: float
    hard: float


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a number of decibans lies on the line, in percent."""

    low: float
    high: float

    def at(self, decibans: float) -> float:
        return round(100 * (decibans - self.low) / (self.high - self.low), 2)


def waterfall(facts: Waterfall) -> SafeString:
    return format_html(
        '<div class="picture"><table class="waterfall"><caption class="unseen">{}</caption>'
        '<tbody>{}</tbody><tbody class="formulas">{}</tbody></table>'
        '<div class="risk-sum">{}</div></div>',
        _in_words(facts),
        _odds_rows(facts),
        _formula_rows(facts),
        _meter(facts),
    )


def signed(number: float, places: int = 1) -> str:
    text = f"{abs(number):.{places}f}"
    if float(text) == 0:
        return text
    return f"+{text}" if number > 0 else f"{MINUS}{text}"


def plain(number: float, places: int = 1) -> str:
    return signed(number, places).removeprefix("+")


def _in_words(facts: Waterfall) -> str:
    return (
        f"Risk {facts.risk:g}: odds of {plain(facts.odds)} decibans make a likelihood of {_percent(facts.likelihood)}, "
        f"times an impact of {facts.impact:.3f}. Soft threshold {facts.soft:g}, hard threshold {facts.hard:g}."
    )


def _percent(share: float) -> str:
    """Enough digits to do the sum again: 99.74 %, 0.32 %."""
    return f"{100 * share:.2f} %"


def _scale(facts: Waterfall) -> _Scale:
    reached = [0.0, facts.prior, facts.odds, *_running(facts.prior, facts.bars)]
    low, high = min(reached), max(reached)
    return _Scale(low, high if high > low else low + 1)


def _running(prior: float, bars: Sequence[Bar]) -> Iterable[float]:
    total = prior
    for bar in bars:
        total += bar.decibans
        yield total


def _odds_rows(facts: Waterfall) -> SafeString:
    scale = _scale(facts)
    rows = [_row("Before any signal", facts.prior_note, scale, 0.0, facts.prior, tone="is-prior")]
    start = facts.prior
    for bar in facts.bars:
        tone = "is-up" if bar.decibans > 0 else "is-down"
        rows.append(_row(bar.label, bar.note, scale, start, start + bar.decibans, tone=tone, aside=_share_of(bar)))
        start += bar.decibans
    rows.append(_row("Odds", _limited(start, facts.odds), scale, 0.0, facts.odds, tone="is-total"))
    return format_html_join("", "{}", ((row,) for row in rows))


def _share_of(bar: Bar) -> str:
    names = {0.5: "½", 0.25: "¼"}
    if bar.share == 1.0 or bar.share == 0.0:
        return ""
    return f"{names.get(bar.share, f'{bar.share:g}')} of {signed(bar.decibans / bar.share)}"


def _limited(total: float, odds: float) -> str:
    if abs(total - odds) >= 0.05:
        return f"the sum is {plain(total)}; the policy counts {plain(odds)} of it"
    return "the sum, in decibans"


def _row(label: str, note: str, scale: _Scale, start: float, end: float, *, tone: str, aside: str = "") -> SafeString:
    """A line and, below it, its reason; the dotted thread leads from where the line above ended."""
    left, width = scale.at(min(start, end)), max(0.6, abs(scale.at(end) - scale.at(start)))
    is_signal = tone in {"is-up", "is-down"}
    thread = format_html('<line class="carry" x1="{0}%" x2="{0}%" y1="-9" y2="2"/>', scale.at(start)) if is_signal else ""
    bar = format_html(
        '<svg height="16" aria-hidden="true"><line class="zero" x1="{0}%" x2="{0}%" y1="-4" y2="20"/>{1}'
        '<rect class="bar {2}" x="{3}%" y="2" width="{4}%" height="12" rx="3"/></svg>',
        scale.at(0),
        thread,
        tone,
        left,
        f"{width:.2f}",
    )
    return _line(label, bar, plain(end) if tone == "is-total" else signed(end - start), note, aside=aside, is_sum=tone == "is-total")


def _line(label: str, middle: SafeString | str, value: str, note: str, *, aside: str = "", is_sum: bool = False) -> SafeString:
    below = format_html('<tr class="is-note"><td{}>{}</td>{}</tr>', _wide(aside), note, _aside(aside)) if note or aside else ""
    return format_html(
        '<tr{}><th scope="row">{}</th><td>{}</td><td class="waterfall-value">{}</td></tr>{}',
        SafeString(' class="is-sum"') if is_sum else "",
        label,
        middle,
        value,
        below,
    )


def _wide(aside: str) -> SafeString:
    return SafeString(' colspan="2"' if aside else ' colspan="3"')


def _aside(aside: str) -> SafeString:
    return format_html('<td class="waterfall-aside">{}</td>', aside) if aside else SafeString("")


def _formula_rows(facts: Waterfall) -> SafeString:
    product = " × ".join(f"{factor.name} {factor.word} {factor.value:g}" for factor in facts.factors)
    rows = [
        ("Likelihood of misbehaviour", f"1 ÷ (1 + 10^({plain(-facts.odds)} ÷ 10))", _percent(facts.likelihood)),
        ("Impact", f"∛({product})", f"{facts.impact:.3f}"),
        ("Risk", f"100 × {facts.likelihood:.4f} × {facts.impact:.3f}", f"{facts.risk:.1f}"),
    ]
    return format_html_join(
        "",
        '<tr><th scope="row" colspan="2">{}</th><td class="waterfall-value">{}</td></tr><tr class="is-note"><td colspan="3">{}</td></tr>',
        ((label, value, formula) for label, formula, value in rows),
    )


def _meter(facts: Waterfall) -> SafeString:
    """The risk from 0 to 100 against both thresholds. Labels near an end stay inside the drawing."""
    level = "high" if facts.risk >= facts.hard else "middle" if facts.risk >= facts.soft else "low"
    marks = format_html_join(
        "",
        '<line class="meter-mark" x1="{0}%" x2="{0}%" y1="15" y2="31"/><text x="{0}%" y="44" text-anchor="{2}">{1} {0}</text>',
        ((f"{at:g}", word, _anchor(at)) for word, at in (("soft", facts.soft), ("hard", facts.hard))),
    )
    return format_html(
        '<svg class="meter" height="48" role="img" aria-label="{}">'
        '<rect class="meter-ground" x="0" y="18" width="100%" height="10" rx="5"/>'
        '<rect class="meter-risk" data-level="{}" x="0" y="18" width="{}%" height="10" rx="5"/>'
        '<text class="meter-number" x="{}%" y="12" text-anchor="{}">{}</text>{}</svg>',
        f"Risk {facts.risk:g} of 100, soft threshold {facts.soft:g}, hard threshold {facts.hard:g}",
        level,
        f"{max(1.0, min(100.0, facts.risk)):g}",
        f"{max(0.0, min(100.0, facts.risk)):g}",
        _anchor(facts.risk),
        f"{facts.risk:.1f}",
        marks,
    )


def _anchor(percent: float) -> str:
    if percent < 8:
        return "start"
    return "end" if percent > 92 else "middle"
