"""A storm of questions, and a database that is gone: an answer at once, with the time to try again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from api.access import room
from guard import ask
from tests import make
from tests.access import door

pytestmark = pytest.mark.django_db


@pytest.fixture
def bearer() -> str:
    make.house()
    return door.token()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """As if so few were answered at once, and so few might wait."""

    def narrowed(at_once: int, waiting: int) -> None:
        monkeypatch.setattr(room, "_turns", threading.BoundedSemaphore(at_once))
        monkeypatch.setattr(room, "_waiting", threading.BoundedSemaphore(waiting))
        monkeypatch.setattr(room, "WAIT_S", 0.01)

    return narrowed


def refused(bearer: str) -> Any:
    answer = door.posted(door.question(), bearer=bearer)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1
    return json.loads(answer.content)


def test_who_gets_no_turn_is_told_to_try_again(bearer: str, narrow: Callable[[int, int], None]) -> None:
    narrow(1, 1)
    with room.turn():
        assert refused(bearer)["code"] == "busy"
    assert door.asked(door.question(), bearer=bearer)["decision"] is True


def test_who_finds_too_many_waiting_does_not_wait(bearer: str, narrow: Callable[[int, int], None]) -> None:
    narrow(1, 1)
    assert room._waiting.acquire(blocking=False)
    assert "Too many" in refused(bearer)["detail"]
    room._waiting.release()


def test_a_turn_is_given_back_whatever_became_of_it(bearer: str, narrow: Callable[[int, int], None]) -> None:
    narrow(1, 1)
    for _ in range(3):
        assert door.posted("{", bearer=bearer).status_code == 400
        assert door.posted(door.question(), bearer="none").status_code == 401
    assert door.asked(door.question(), bearer=bearer)["decision"] is True


def test_a_database_that_does_not_answer_is_told_as_busy(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> Any:
        raise OperationalError("couldn't get a connection")

    monkeypatch.setattr(ask, "answer", gone)
    assert "Nothing was done" in refused(bearer)["detail"]


class House:
    """Stands where Django does: whoever is in stays until the door is opened."""

    def __init__(self) -> None:
        self.inside, self.door = 0, asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        await self.door.wait()
        await send({"type": "let in"})


async def through(stile: room.Turnstile, path: str = door.EVALUATION, method: str = "POST") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        return {"type": "http.request"}

    await stile({"type": "http", "method": method, "path": path, "headers": [(b"x-request-id", b"r-1")]}, receive, send)
    return sent


LET_IN = [{"type": "let in"}]


def test_a_storm_is_turned_away_before_a_thread_is_spent_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WAIT_S", 50)

    async def storm() -> None:
        house = House()
        stile = room.Turnstile(house, at_once=2, most=3)
        coming = [asyncio.create_task(through(stile)) for _ in range(9)]
        done, waiting = await asyncio.wait(coming, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting), house.inside) == (4, 5, 2), "two are in, three wait, and four were told at once"
        for one in done:
            begun, body = one.result()
            assert begun["status"] == 503
            assert {(b"x-request-id", b"r-1"), (b"retry-after", b"2")} <= set(begun["headers"])
            assert json.loads(body["body"])["code"] == "busy"
        house.door.set()
        assert [await one for one in waiting] == [LET_IN] * 5
        assert await through(stile) == LET_IN, "afterwards all is as before"

    asyncio.run(storm())


def test_who_gets_no_turn_in_time_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WAIT_S", 0.01)

    async def late() -> None:
        house = House()
        stile = room.Turnstile(house, at_once=1, most=3)
        inside = asyncio.create_task(through(stile))
        await asyncio.sleep(0)
        assert (await through(stile))[0]["status"] == 503
        house.door.set()
        assert await inside == LET_IN
        assert await through(stile) == LET_IN, "no turn was lost"

    asyncio.run(late())


def test_pages_health_and_polls_need_no_turn() -> None:
    async def past_it() -> None:
        house = House()
        stile = room.Turnstile(house, at_once=1, most=1)
        inside = asyncio.create_task(through(stile))
        await asyncio.sleep(0)
        others = [
            through(stile, path, method) for path, method in (("/livez", "GET"), ("/access/v1/contained", "GET"), ("/holds/", "POST"))
        ]
        others_in = [asyncio.create_task(other) for other in others]
        await asyncio.sleep(0)
        assert house.inside == 4
        house.door.set()
        assert [await one for one in (inside, *others_in)] == [LET_IN] * 4

    asyncio.run(past_it())
