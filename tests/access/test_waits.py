"""Polls that wait, before Django: the same answers as behind it, an end when the client hangs up, and a bound. At a real server hundreds of
them hold no thread each, and a storm of questions is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.asgi import get_asgi_application

from api.access import waits
from api.gate import Application
from tests import make
from tests.access import door
from tests.access.test_requests import ASKED_ABOUT, PLAN, said, submitted
from tests.client.web import Web, web

pytestmark = pytest.mark.django_db(transaction=True)

CONTAINED, REQUESTS = "/access/v1/contained", "/access/v1/requests"


@pytest.fixture
def bearer() -> str:
    make.house()
    return door.token()


# -- one poll, as a server hands it over ---------------------------------------------------------------------------------------------------


class Poll:
    """`hang_up` is what the client does; `sent` is what it was told."""

    def __init__(self, address: str, bearer: str = "", method: str = "GET", host: str = "testserver") -> None:
        path, _, query = address.partition("?")
        self.sent: list[dict[str, Any]] = []
        self._gone = asyncio.Event()
        self._came = False
        named = {"host": host, "x-request-id": "r-1"} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
        }

    def hang_up(self) -> None:
        self._gone.set()

    async def at(self, application: Application) -> Poll:
        await application(self.scope, self._receive, self._send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in self.sent))
        return found

    async def _receive(self) -> dict[str, Any]:
        if self._came:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        self._came = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Any) -> None:
        self.sent.append(dict(message))


def polled(address: str, bearer: str = "", *, through: Application | None = None, **more: Any) -> Poll:
    async def once() -> Poll:
        return await Poll(address, bearer, **more).at(through or waits.Waits(nobody))

    return async_to_sync(once)()


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this poll went on to Django")


async def comes_true(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.02)


def view_of(bearer: str) -> str:
    return str(polled(f"{CONTAINED}?wait=1", bearer).body["view"])


TOKENS: dict[str, Callable[[str], str]] = {
    "good": lambda bearer: bearer,
    "none": lambda _: "",
    "mistyped": lambda _: "hf_nonsense",
    "of another scope": lambda _: door.token("read"),
}


@pytest.mark.parametrize("whose", TOKENS)
@pytest.mark.parametrize(
    "address", [f"{CONTAINED}?wait=1", f"{CONTAINED}?wait=99", f"{REQUESTS}/arq_x?wait=1", f"{REQUESTS}/arq_x?wait=soon"]
)
def test_the_answer_is_the_one_that_django_would_give(bearer: str, address: str, whose: str) -> None:
    token = TOKENS[whose](bearer)
    here, there = polled(address, token), polled(address, token, through=get_asgi_application())
    assert here.status == there.status
    assert here.headers.keys() == there.headers.keys()
    assert here.headers["x-request-id"] == "r-1"
    told, told_there = here.body, there.body
    assert told.pop("as_of", "") <= told_there.pop("as_of", "")
    assert told == told_there


@pytest.mark.parametrize(
    ("address", "more"),
    [
        (CONTAINED, {}),
        (f"{CONTAINED}?wait=0", {}),
        (f"{CONTAINED}?wait=9", {"method": "POST"}),
        (f"{CONTAINED}?wait=9", {"host": "elsewhere.example"}),
        (f"{REQUESTS}?wait=9", {}),
        (f"{REQUESTS}/arq_x/cancel?wait=9", {}),
        ("/access/v1/nothing?wait=9", {}),
        ("/holds/?wait=9", {}),
    ],
)
def test_everything_else_goes_on_to_django(address: str, more: dict[str, str]) -> None:
    went: list[str] = []

    async def django(scope: Any, receive: Any, send: Any) -> None:
        went.append(scope["path"])

    polled(address, "hf_x", through=waits.Waits(django), **more)
    assert went == [address.partition("?")[0]]


def test_over_http_nobody_waits_where_https_is_asked_for(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    with pytest.raises(AssertionError, match="went on to Django"):
        polled(f"{CONTAINED}?wait=9", "hf_x")


def test_who_hangs_up_waits_no_longer(bearer: str) -> None:
    view = view_of(bearer)

    async def leaves() -> None:
        layer = waits.Waits(nobody)
        poll = Poll(f"{CONTAINED}?after={view}&wait=50", bearer)
        waiting = asyncio.create_task(poll.at(layer))
        await comes_true(lambda: layer.waiting == 1)
        poll.hang_up()
        await asyncio.wait_for(waiting, 20)  # far under the 50 s of the poll
        assert (poll.sent, layer.waiting) == ([], 0)

    async_to_sync(leaves)()


def test_beyond_the_most_one_is_told_at_once_and_asked_to_come_later(bearer: str) -> None:
    view = view_of(bearer)

    async def too_many() -> None:
        layer = waits.Waits(get_asgi_application(), most=1)
        first, second = (Poll(f"{CONTAINED}?after={view}&wait=50", bearer) for _ in range(2))
        waiting = asyncio.create_task(first.at(layer))
        await comes_true(lambda: layer.waiting == 1)
        await asyncio.wait_for(second.at(layer), 20)
        assert (second.status, second.body["view"]) == (200, view)
        assert int(second.headers["retry-after"]) >= 1
        assert not waiting.done()
        first.hang_up()
        await asyncio.wait_for(waiting, 20)

    async_to_sync(too_many)()


def test_who_waits_for_a_task_is_told_when_people_have_answered(bearer: str) -> None:
    door.under(ASKED_ABOUT)
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)

    async def answered() -> None:
        layer = waits.Waits(nobody)
        polls = [Poll(f"{REQUESTS}/{task['id']}?wait=50", bearer) for _ in range(20)]
        waiting = [asyncio.create_task(poll.at(layer)) for poll in polls]
        await comes_true(lambda: layer.waiting == 20)
        await sync_to_async(said)("ines", task)
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
        assert {poll.body["task"]["status"] for poll in polls} == {"approved"}
        assert polls[0].body["task"]["status_endpoint"].startswith("http://testserver/")

    async_to_sync(answered)()


def test_a_task_that_nobody_answered_is_told_as_waiting_and_may_be_asked_about_again(bearer: str) -> None:
    door.under(ASKED_ABOUT)
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    told = polled(f"{REQUESTS}/{task['id']}?wait=1", bearer)
    assert (told.body["task"]["status"], told.headers["retry-after"]) == ("pending", "1")


def test_a_token_revoked_during_the_wait_is_told_nothing(bearer: str) -> None:
    from accounts.models import ServiceToken

    door.under(ASKED_ABOUT)
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)

    def revoke_and_answer() -> None:
        from audit import clock

        ServiceToken.objects.update(revoked_at=clock.now())
        said("ines", task)

    async def revoked() -> None:
        layer = waits.Waits(nobody)
        poll = Poll(f"{REQUESTS}/{task['id']}?wait=50", bearer)
        waiting = asyncio.create_task(poll.at(layer))
        await comes_true(lambda: layer.waiting == 1)
        await asyncio.sleep(0.3)
        await sync_to_async(revoke_and_answer)()
        await asyncio.wait_for(waiting, 30)
        assert poll.status == 401

    async_to_sync(revoked)()


# -- a real server -------------------------------------------------------------------------------------------------------------------------

MANY = 300


def threads_of(server: Web) -> int:
    """Of the worker that answers."""
    assert server._process is not None
    parent = server._process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return max(
        int(line.split()[1]) for child in children for line in Path(f"/proc/{child}/status").read_text().splitlines() if "Threads:" in line
    )


async def sent(server: Web, request: str, bearer: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    """On a connection of its own, which is closed when this is cancelled."""
    content = json.dumps(body).encode() if body is not None else b""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [f"{request} HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {bearer}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
    try:
        writer.write("\r\n".join(lines).encode() + content)
        answer = await asyncio.wait_for(reader.read(), 90)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    head, _, told = answer.partition(b"\r\n\r\n")
    first, *others = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
    return int(first.split()[1]), headers, json.loads(told) if "json" in headers["content-type"] else told


@pytest.mark.servers
def test_hundreds_wait_without_a_thread_each_and_are_all_told_of_a_containment(bearer: str) -> None:
    from containment.gate import Gate

    session = make.session(make.identity("invoice-agent", provider="holdfast", kind="ai_agent"), "inv-1")

    def pause() -> None:
        Gate().set(str(session.identity_id), session.external_id, state="paused", because="outside its intent", key="k")

    async def wait_together(server: Web) -> None:
        _, _, first = await sent(server, f"GET {CONTAINED}", bearer)
        before = threads_of(server)
        address = f"GET {CONTAINED}?after={first['view']}&wait=55"
        leaving = [asyncio.create_task(sent(server, address, bearer)) for _ in range(MANY // 3)]
        staying = [asyncio.create_task(sent(server, address, bearer)) for _ in range(MANY)]
        await asyncio.sleep(5)
        status, _, answer = await sent(server, f"POST {door.EVALUATION}", bearer, door.question())
        assert (status, answer["decision"]) == (200, True)
        assert not any(poll.done() for poll in leaving + staying)
        assert threads_of(server) - before < 40
        for poll in leaving:
            poll.cancel()
        await sync_to_async(pause)()
        told = await asyncio.gather(*staying)
        assert {status for status, _, _ in told} == {200}
        assert {one["state"] for _, _, answer in told for one in answer["sessions"]} == {"paused"}
        assert all(answer["view"] != first["view"] for _, _, answer in told)

    with web() as server:
        async_to_sync(wait_together)(server)


@pytest.mark.servers
def test_every_question_of_a_storm_is_answered_or_asked_to_come_again() -> None:
    """Half of them about somebody whom nobody knows, which takes the whole story and one lock."""
    from containment.models import Source

    make.house()
    Source.objects.create(name="gateway")
    bearer = door.token(source="gateway")
    make.session(make.identity("known-agent", provider="holdfast", kind="ai_agent"), "s-1")

    def question(number: int) -> dict[str, Any]:
        if number % 2:
            return door.question(subject=f"stranger-{number % 5}", action="delete", resource=f"record-{number}")
        return door.question(context={"session": "s-1"}) | {"subject": {"type": "agent", "id": "known-agent"}}

    async def storm(server: Web) -> None:
        asking = [asyncio.create_task(sent(server, f"POST {door.EVALUATION}", bearer, question(number))) for number in range(MANY)]
        for beside in ("GET /livez", "GET /accounts/login/"):
            assert (await sent(server, beside, ""))[0] == 200
        told = await asyncio.gather(*asking)
        assert {status for status, _, _ in told} <= {200, 503}, [answer for status, _, answer in told if status not in (200, 503)][:1]
        assert all("decision" in answer for status, _, answer in told if status == 200)
        assert all(int(headers["retry-after"]) >= 1 for status, headers, _ in told if status == 503)
        assert [status for status, _, _ in told].count(200) > 0
        assert (await sent(server, f"POST {door.EVALUATION}", bearer, question(0)))[0] == 200
        assert (await sent(server, f"POST {door.EVALUATION}", bearer, question(1)))[0] == 200

    with web() as server:
        async_to_sync(storm)(server)
