"""The authorization scenarios through HTTP against a service that is up:

    python -m tests.access.against http://127.0.0.1:8000 .holdfast

The second argument is the home folder of script/up: its access.json has the people who put each scenario's policy in force (an engineer
writes it, two managers approve) and the token that asks. Each inventory is imported by manage.py from there. At the end the policy that was
in force before is in force again. Ends with 1 where an answer is not the published one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.access.policies import SCENARIOS, Scenario

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
DATA = Path(os.environ.get("HOLDFAST_TRACES") or ROOT.parent / "shared" / "data")
_SCOPE = re.compile(r"^scope:.*?(?=^[^\s#]|\Z)", re.MULTILINE | re.DOTALL)


class Service:
    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url.rstrip("/"), home
        self.access: dict[str, Any] = json.loads((home / "access.json").read_text())
        self.engineer, *self.managers = (self.person(name) for name in ("engineer", "manager", "manager2"))
        self.guard = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.access['tokens']['guard']}"}, timeout=30)

    def person(self, name: str) -> httpx.Client:
        client = httpx.Client(base_url=self.url, follow_redirects=True, headers={"referer": f"{self.url}/"}, timeout=30)
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/accounts/login/").text)
        user = self.access["users"][name]
        form = {"csrfmiddlewaretoken": found[1] if found else "", "login": user["username"], "password": user["password"]}
        client.post("/accounts/login/", data=form)
        client.headers["x-csrftoken"] = next(value for name, value in client.cookies.items() if "csrf" in name)
        return client

    def policy(self) -> str:
        version = said(self.engineer.get("/api/v1/policies", params={"state": "in_force"}))["results"][0]
        return str(said(self.engineer.get(f"/api/v1/policies/{version['id']}"))["text"])

    def put_in_force(self, text: str) -> None:
        if text == self.policy():
            return
        drafted = said(self.engineer.post("/api/v1/policies", json={"text": text}))
        seen = self.tried(drafted["id"])
        for manager in self.managers:
            manager.get(f"/backtests/{seen}/").raise_for_status()  # whoever approves opens what it would have done
            word = {"digest": drafted["digest"], "acknowledged": True}
            state = said(manager.post(f"/api/v1/policies/{drafted['id']}/approve", json=word))["state"]
            if state == "in_force":
                return
        sys.exit("Two managers approved the policy, and it is not in force.")

    def tried(self, version: str) -> str:
        """The backtest of a version, done."""
        asked = said(self.engineer.post("/api/v1/backtests", json={"version": version}))
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = said(self.engineer.get(f"/api/v1/backtests/{asked['id']}"))
            if found["state"] in ("done", "failed"):
                return str(asked["id"])
            time.sleep(0.3)
        sys.exit("The backtest was not done in time.")

    def list_people(self, scenario: Scenario) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "inventory.yaml"
            file.write_text(scenario.inventory)
            command = [sys.executable, str(ROOT / "manage.py"), "import_inventory", str(file)]
            subprocess.run(command, check=True, env=os.environ | {"HOLDFAST_HOME": str(self.home)}, stdout=subprocess.DEVNULL)

    def unmet(self, scenario: Scenario, published: Any) -> tuple[int, list[str]]:
        cases, wrong = scenario.cases(published), []
        for case in cases:
            answer = self.guard.post(case.to, content=case.body.encode(), headers={"content-type": case.content_type})
            if not case.is_met(answer.status_code, answer.json()):
                wrong.append(f"  {case.name}: {answer.status_code} {answer.text[:300]}")
        return len(cases), wrong


def said(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        sys.exit(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}")
    return answer.json()


def main(url: str, home: Path) -> int:
    service = Service(url, home)
    before, failed = service.policy(), 0
    try:
        for scenario in SCENARIOS:
            path = DATA / scenario.published
            if scenario.published and not path.exists():
                sys.stdout.write(f"{scenario.name}: not tried, {path} is missing\n")
                continue
            service.put_in_force(_SCOPE.sub("", before).rstrip("\n") + "\n" + scenario.section)
            service.list_people(scenario)
            count, wrong = service.unmet(scenario, json.loads(path.read_text()) if scenario.published else None)
            sys.stdout.write("\n".join([f"{scenario.name}: {count - len(wrong)} of {count} as published", *wrong, ""]))
            failed += len(wrong)
    finally:
        service.put_in_force(before)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]).resolve()))
