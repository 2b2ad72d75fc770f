"""Whether decisions come out to the same byte in another process and under another Python: with judgement alone, and nothing installed."""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from bench import history
from bench.report import table, write
from containment.domain.facts import Facts, Finding, Kind, SourceFacts
from containment.domain.families import FAMILIES, SOURCE_CLAIM
from containment.domain.judge import judge
from containment.domain.policy import parse, shipped_text
from core import digest
from embedded.places import ROOT

NEEDED = ("containment/__init__.py", "containment/domain", "core")
POLICIES = 25
CORNERS = (0.0, -0.0, 1.0, 0.1 + 0.2, 1 / 3, 5e-324, 1e-9, 1e-16, 0.05, 0.95, 1 - 2**-53, 0.5 + 2**-53)
UNTIL = datetime(2026, 11, 22, 10, tzinfo=UTC)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench replay")
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="another interpreter; may be given several times")
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        alone, file = Path(folder) / "alone", Path(folder) / "decisions.jsonl"
        _copy(alone)
        _record(file, given.decisions)
        rows = [_replayed(python, alone, file) for python in [sys.executable, *given.python]]
    body = table(["interpreter", "decisions", "same digest", "took"], rows)
    print(body)  # noqa: T201
    if not given.dry:
        write("Replay", f"script/bench replay --decisions {given.decisions}" + " --python …" * len(given.python), body)
    return int(any(row[1] != row[2] for row in rows))


def _copy(alone: Path) -> None:
    """Judgement, core and a YAML reader in plain Python: no Django, no compiled module."""
    for name in NEEDED:
        source, target = ROOT / name, alone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__")) if source.is_dir() else shutil.copy(source, target)
    shutil.copytree(Path(yaml.__file__).parent, alone / "yaml", ignore=shutil.ignore_patterns("__pycache__", "*.so"))


def _record(file: Path, count: int) -> None:
    """One line per policy, then one per decision: the number of its policy, its facts as they are stored, and its digest."""
    chance = random.Random(10)  # noqa: S311 - a history, no secret
    texts = [shipped_text(), *(_varied(chance) for _ in range(POLICIES - 1))]
    policies = [parse(text) for text in texts]
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"policy": text}) + "\n" for text in texts)
        for facts in _facts(chance, count):
            number = chance.randrange(POLICIES)
            stored = digest.canonical(facts).decode()
            lines.write(f'{{"under":{number},"digest":"{judge(facts, policies[number]).digest}","facts":{stored}}}\n')


def _varied(chance: random.Random) -> str:
    """The shipped policy with other weights, shares and thresholds, as odd as people may write them."""

    def other(match: re.Match[str]) -> str:
        return f"{match[1]}{round(float(match[2]) * chance.uniform(0.6, 1.0), chance.choice((1, 3, 9)))}"

    def lower(match: re.Match[str]) -> str:
        return f"{match[1]}{float(match[2]) - chance.choice((0, 0.05, 0.1, 7.35))}"

    head, weights, rest = re.split(r"(?=\nweights:)|(?=\nodds_at_most)", shipped_text())
    weights = re.sub(r"(: )([\d.]+)", other, weights)
    shares, thresholds = rest.split("\nthresholds:", 1)
    shares = re.sub(r"((?:low|moderate|high|narrow|team|wide|read|write|export|send|bound): )([\d.]+)", other, shares)
    thresholds = re.sub(
        r"((?:soft|hard): )([\d.]+)", lambda match: f"{match[1]}{float(match[2]) - chance.choice((0, 0.05, 0.1, 7.35))}", thresholds
    )
    return head + weights + shares + "\nthresholds:" + thresholds


def _facts(chance: random.Random, count: int) -> Iterator[Facts]:
    """Half a history, half of it with numbers that sit in every corner a double has."""
    for number in range(count):
        at = UNTIL - timedelta(days=30) * (1 - number / count) + timedelta(microseconds=number)
        facts = history.facts_at(chance, at)
        yield _cornered(chance, facts) if number % 2 else facts


def _cornered(chance: random.Random, facts: Facts) -> Facts:
    def share() -> float:
        return abs(chance.choice(CORNERS)) if chance.random() < 0.3 else chance.random() ** chance.choice((1, 3, 20))

    codes = chance.sample(sorted(set(FAMILIES) - {SOURCE_CLAIM}), chance.randrange(6))
    found = tuple(
        Finding(
            code=code,
            strength=share(),
            because=f"seen {share():g}",
            evidence={"a": chance.choice(CORNERS), "b": [chance.uniform(-1e18, 1e18), chance.getrandbits(70)]},
            observations=chance.choice((None, 0, 1, 30, 199, 200, chance.randrange(10_000))),
            days=chance.choice((None, 6, 7)),
        )
        for code in codes
    )
    detection = facts.detection and replace(
        facts.detection,
        confidence=share(),
        source=SourceFacts(name="edr-prod", trust=chance.choice((None, share()))),
        claims=tuple(chance.sample(sorted(FAMILIES), 2)),
    )
    kind = chance.choice(tuple(Kind))
    return replace(facts, observed=found, detection=detection, identity=replace(facts.identity, kind=kind))


def _replayed(python: str, alone: Path, file: Path) -> list[str]:
    began = time.perf_counter()
    command = [python, "-I", "-S", str(Path(__file__).with_name("replayer.py")), str(alone), str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=alone)
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(f"{python} could not replay:\n{done.stderr}")
    said = json.loads(done.stdout)
    for line in said["different"]:
        print(line, file=sys.stderr)  # noqa: T201
    return [said["python"], f"{said['decisions']:,}", f"{said['same']:,}", f"{time.perf_counter() - began:.1f} s"]
