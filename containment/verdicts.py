"""Verdicts, counted: how often the cases that a signal, or a source, led to were what they looked like.

A case counts once for each signal that fired in it and each source that reported it. What it was counted for stays on the case, so that a
verdict given anew takes exactly that back; when the case closes it is counted once more, with what came after the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import F

from containment.models import Case, Decision, VerdictCount

SIGNAL, SOURCE = "signal", "source"


def count(case: Case) -> None:
    """Bring the counts in line with the case's verdict. The caller holds the case's lock, and saves the case."""
    now = _to_count(case)
    if now == case.counted:
        return
    before: Mapping[str, Any] = case.counted
    _add(_lines(before), -1)
    _add(_lines(now), 1)
    case.counted = now


def of_signals(codes: Iterable[str]) -> dict[str, VerdictCount]:
    return {one.name: one for one in VerdictCount.objects.filter(kind=SIGNAL, name__in=set(codes))}


def of_sources(names: Iterable[str]) -> dict[str, VerdictCount]:
    return {one.name: one for one in VerdictCount.objects.filter(kind=SOURCE, name__in=set(names))}


def said(counted: VerdictCount | None) -> str:
    """“so far: 12 true, 3 benign”; empty while no case with it was judged."""
    if counted is None or not counted.judged:
        return ""
    parts = [
        f"{number} {words}"
        for number, words in (
            (counted.true_positive, "true"),
            (counted.benign, "benign"),
            (counted.harmless_but_right_to_stop, "harmless but right to stop"),
        )
        if number
    ]
    return f"so far: {', '.join(parts)}"


def _to_count(case: Case) -> dict[str, Any]:
    if not case.verdict:
        return {}
    codes: set[str] = set()
    sources: set[str] = set()
    for signals, source in Decision.objects.filter(case=case).values_list("signals", "detection__source__name").iterator():
        codes |= {signal["code"] for signal in signals if signal.get("strength", 0) > 0}
        sources.add(source)
    return {"verdict": case.verdict, SIGNAL: sorted(codes), SOURCE: sorted(sources)}


def _lines(counted: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """In one order everywhere, so that no two stories wait for each other."""
    return [(kind, name, counted["verdict"]) for kind in (SIGNAL, SOURCE) for name in counted.get(kind, ())]


def _add(lines: Sequence[tuple[str, str, str]], by: int) -> None:
    VerdictCount.objects.bulk_create([VerdictCount(kind=kind, name=name) for kind, name, _ in lines], ignore_conflicts=True)
    for kind, name, verdict in lines:
        VerdictCount.objects.filter(kind=kind, name=name).update(**{verdict: F(verdict) + by})
