"""`python -m tests.govbench URL HOME [FILE …]`: play scenarios against a running trial. Without a file: our own.

Exits with 1 if any expectation is not met. URL is where the trial runs, HOME its state folder. People and tokens are those of its
access.json; the policy in force is put back in the end.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "python" / "src"
OWN = Path(__file__).with_name("own.json")


def main() -> int:
    if len(sys.argv) < 3:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    url, home, files = sys.argv[1].rstrip("/"), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]] or [OWN]
    os.environ.update(json.loads((home / "environment.json").read_text()))
    sys.path.insert(0, str(CLIENT))
    import django

    django.setup()
    return _play(url, home, files)


def _play(url: str, home: Path, files: list[Path]) -> int:
    from accounts import actors
    from accounts.models import Person
    from tests.govbench.checking import check
    from tests.govbench.house import House
    from tests.govbench.playing import Play
    from tests.govbench.reading import read

    token = json.loads((home / "access.json").read_text())["tokens"]["guard"]
    author, *approvers = (actors.of_person(Person.objects.get(username=name)) for name in ("engineer", "manager", "manager2"))
    house = House(f"gb{secrets.token_hex(3)}", author, approvers)
    scenarios = [scenario for file in files for scenario in read(file)]
    house.prepare(scenarios)
    missed = total = 0
    try:
        for scenario in scenarios:
            play = Play(scenario, house, url, token)
            play.act()
            findings = check(play)
            total += len(findings)
            missed += sum(not one.met for one in findings)
            sys.stdout.write(f"{'met   ' if all(one.met for one in findings) else 'MISSED'} {scenario.id}\n")
            for one in findings:
                sys.stdout.write(f"       {'ok ' if one.met else 'NOT'} {one}\n")
    finally:
        house.leave()
    sys.stdout.write(f"{len(scenarios)} scenarios, {total - missed} of {total} expectations met\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
