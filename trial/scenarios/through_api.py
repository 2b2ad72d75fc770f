"""Holdfast as everybody outside sees it: the HTTP API, with the tokens and people of access.json. Scenarios have no other way in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

import httpx

from core.ids import uuid7

SOURCE = "edr-prod"
PATIENCE = 15.0  # seconds for a workload to do its part, and for a decision that was put off
TO_THE_END = 45.0  # seconds for a run to come to an end

Access = Mapping[str, Any]  # what access.json holds
Answer = Mapping[str, Any]  # the API's, about a detection


class ScenarioTrouble(Exception):  # noqa: N818 - worded for whoever started the scenario
    """The scenario cannot be played as things stand, and why."""


class Refused(ScenarioTrouble):
    """Holdfast answered, and said no. `code` is the problem's."""

    def __init__(self, path: str, answer: httpx.Response) -> None:
        super().__init__(f"Holdfast refused {path} ({answer.status_code}): {answer.text[:500]}")
        try:
            self.code = str(answer.json().get("code", ""))
        except ValueError:
            self.code = ""


def connect(access: Access) -> httpx.Client:
    return httpx.Client(base_url=access["url"], timeout=15.0)


def now(*, ago: timedelta = timedelta(0)) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")


class Holdfast:
    """One visit."""

    def __init__(self, access: Access, client: httpx.Client) -> None:
        self.access = access
        self.client = client

    # -- what sources say

    def detect(self, scenario: str, *, title: str, source_ip: str = "", environment: str = "prod", **what: Any) -> Mapping[str, Any]:
        """Post a detection as `edr-prod` would, with an id of its own each time, and wait for the decision. `what` are its members."""
        context = {"environment": environment, "tenant": "acme"} | ({"source_ip": source_ip} if source_ip else {})
        body = {
            "source": SOURCE,
            "external_id": f"{scenario}-{uuid7()}",
            "occurred_at": now(),
            "title": title,
            "severity": "high",
            "confidence": 0.9,
            **what,
            "context": context,
        }
        return self.decided(self._post("/api/v1/detections", "detections", body))

    def tell(self, *events: Mapping[str, Any]) -> Mapping[str, Any]:
        """Post what an identity did, as `estate-activity` would."""
        context = {"environment": "prod", "tenant": "acme"}
        items = [{"id": f"scenario-{uuid7()}", "occurred_at": now(), "context": context, **event} for event in events]
        return self._post("/api/v1/activity", "activity", items)

    def expose(self, scenario: str, **what: Any) -> Answer:
        """Report a credential leaked, and wait for the decision about whoever uses it."""
        body = {"external_id": f"{scenario}-{uuid7()}", "found_at": now(), **what}
        report = self._post("/api/v1/exposures", "detections", body)
        until = monotonic() + PATIENCE
        while not (found := [one for result in report["results"] for one in result["detections"]]) and monotonic() < until:
            sleep(0.25)
            report = self.read(f"/api/v1/exposures/{report['id']}")
        if not found:
            said = "; ".join(str(result["said"]) for result in report["results"])
            raise ScenarioTrouble(f"The report led to no detection within {PATIENCE:.0f} s. {said}")
        return self.decided(self.read(f"/api/v1/detections/{found[0]}"))

    def decided(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """An acknowledged detection that was not decided at once is decided by the sweepers; then it reads the same."""
        until = monotonic() + PATIENCE
        while answer.get("decision") is None and monotonic() < until:
            sleep(0.25)
            again = self._ask("GET", f"/api/v1/detections/{answer['id']}", "detections")
            if again.is_success:
                answer = again.json()
        return answer

    # -- what runtimes do

    @contextmanager
    def session(self, identity: Mapping[str, str], name: str, **what: Any) -> Iterator[Mapping[str, Any]]:
        """A session of its own, registered as a runtime does it, and ended afterwards."""
        session = self.begin(identity, name, **what)
        try:
            yield session
        finally:
            self._ask("DELETE", f"/api/v1/sessions/{session['id']}", "guard")

    def begin(self, identity: Mapping[str, str], name: str, **what: Any) -> Mapping[str, Any]:
        """A session of its own that is left open."""
        body = {"identity": identity, "id": f"{name}-{uuid7()}", "ttl_seconds": 900, **what}
        return self._post("/api/v1/sessions", "guard", body)

    # -- reading

    def read(self, path: str) -> Mapping[str, Any]:
        return self._answer(self._ask("GET", path, "read"), path)

    def first(self, path: str) -> Mapping[str, Any] | None:
        """The first of a list."""
        results = self.read(path)["results"]
        return results[0] if results else None

    def wait_for_run(self, run: str, states: Sequence[str]) -> str:
        """The state of a run, once it is one of `states`, or the time is over."""
        until = monotonic() + TO_THE_END
        while (state := str(self.read(f"/api/v1/runs/{run}")["state"])) not in states and monotonic() < until:
            sleep(0.25)
        return state

    # -- people

    @contextmanager
    def person(self, username: str) -> Iterator[Person]:
        """Somebody of access.json, signed in as people are."""
        user = self.access["users"][username]
        with connect(self.access) as client:
            try:
                client.get("/accounts/login/")
                form = {"login": user["username"], "password": user["password"], "csrfmiddlewaretoken": _csrf(client)}
                answer = client.post("/accounts/login/", data=form, headers=self._referer("/accounts/login/"))
            except httpx.HTTPError as no:
                raise self._away(no) from no
            if answer.status_code not in (302, 303):
                raise ScenarioTrouble(f"{username} cannot sign in ({answer.status_code}).")
            yield Person(client, str(self.access["url"]))

    def _referer(self, path: str) -> dict[str, str]:
        return {"Referer": f"{self.access['url']}{path}"}

    # -- the wire

    def _post(self, path: str, token: str, body: Any) -> Mapping[str, Any]:
        return self._answer(self._ask("POST", path, token, body), path)

    def _ask(self, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
        try:
            bearer = {"Authorization": f"Bearer {self.access['tokens'][token]}"}
            return self.client.request(method, path, json=body, headers=bearer)
        except KeyError as no:
            raise ScenarioTrouble(f"access.json has no token “{token}”. script/up completes it at its next start.") from no
        except httpx.HTTPError as no:
            raise self._away(no) from no

    def _answer(self, answer: httpx.Response, path: str) -> Mapping[str, Any]:
        if not answer.is_success:
            raise Refused(path, answer)
        found: Mapping[str, Any] = answer.json()
        return found

    def _away(self, no: httpx.HTTPError) -> ScenarioTrouble:
        return ScenarioTrouble(f"Holdfast does not answer at {self.access['url']} ({type(no).__name__}).")


class Person:
    """A signed-in person, who changes things through the API with the CSRF token of their session."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self.client = client
        self.url = url

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return self.client.post(path, json=body, headers={"X-CSRFToken": _csrf(self.client), "Referer": f"{self.url}/"})


def _csrf(client: httpx.Client) -> str:
    """The cookie's name depends on whether it is secure."""
    return next((str(cookie.value) for cookie in client.cookies.jar if "csrf" in cookie.name), "")


@contextmanager
def visit(access: Access) -> Iterator[Holdfast]:
    with connect(access) as client:
        yield Holdfast(access, client)
