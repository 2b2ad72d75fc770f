"""Whatever the service does, there is a verdict within the time: its own, or the declared one. Against a real socket that misbehaves."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from holdfast_guard import AsyncGuard, Declared, Denied, Guard, Held, Refused, Subject, Unavailable, wire

from embedded.process import wait_until
from tests.client import service as of
from tests.client.service import Service, service

TOKEN = "hf_0123456789abcdefghijklmnopqrstuvwxyz"
BUDGET_S = 0.8
LATE_S = 4.0  # no answer is that late: with a machine that is busy with other things
OPEN_READS = Declared(reads="open")


@pytest.fixture(autouse=True)
def _short_goodbyes(monkeypatch):
    """Nobody here is told anything in the end."""
    monkeypatch.setattr("holdfast_guard.aguard.CLOSES_WITHIN_S", 0.2)


@pytest.fixture
def good() -> Iterator[Service]:
    with service(of.says(of.SAID_YES)) as made:
        yield made


def guard(url: str, **more: Any) -> Guard:
    return Guard(url, TOKEN, subject="agent", **{"declared": OPEN_READS, "budget_s": BUDGET_S, "watches": False} | more)


def patient(url: str, **more: Any) -> Guard:
    """For a service that answers, however busy this machine is."""
    return guard(url, **{"budget_s": 15.0} | more)


NO_ANSWERS = {
    "silence": of.black_hole,
    "a byte a second": of.a_byte_a_second,
    "a body without end": of.without_end,
    "headers without end": of.headers_without_end,
    "hanging up": of.hangs_up,
    "hanging up in the middle": of.hangs_up_in_the_middle,
    "another protocol": of.not_http,
    "a web page": of.says(b"<html>It works!</html>"),
    "no decision": of.says({"context": {}}),
    "a decision in words": of.says({"decision": "yes"}),
    "a decision as a number": of.says({"decision": 1}),
    "a context that is none": of.says({"decision": True, "context": []}),
    "a list": of.says([True]),
    "nothing": of.says(b""),
    "deep nesting": of.says(b"[" * 500_000),
    "compression": of.says(of.SAID_YES, 200, "Content-Encoding: gzip"),
    "too much": of.says(b" " * 2_000_000 + b'{"decision":true}'),
    "500": of.says(of.SAID_YES, 500),
    "502": of.says(b"Bad Gateway", 502),
    "503": of.says({}, 503, "Retry-After: 2"),
    "429": of.says({}, 429, "Retry-After: 60"),
}


@pytest.mark.parametrize("behaviour", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_gets_the_declared_one_within_the_time(behaviour):
    with service(behaviour) as broken, guard(broken.url) as asking:
        began = time.monotonic()
        read = asking.evaluate("files.read", {"path": "a"}, writes=False)
        took = time.monotonic() - began
        write = asking.evaluate("mail.send", {"to": "dora@example.org"}, writes=True)
        unknown = asking.evaluate("something")
    assert (read.decision, write.decision, unknown.decision) == (True, False, False)
    assert {read.said_by, write.said_by, unknown.said_by} == {"declared"}
    assert took < LATE_S


CONTRADICTIONS = {
    "an obligation that stands alone": {"decision": True, "context": {"obligations": {"type": "step-up"}}},
    "obligations in words": {"decision": True, "context": {"obligations": ["step-up"]}},
    "obligations as a number": {"decision": True, "context": {"obligations": 1}},
    "an obligation of no type": {"decision": True, "context": {"obligations": [{"id": "1"}]}},
    "an empty word of obligations": {"decision": True, "context": {"obligations": ""}},
    "another verdict": {"decision": True, "context": {"verdict": "deny"}},
    "a verdict that is none": {"decision": True, "context": {"verdict": 1}},
    "a decision twice": b'{"decision":false,"decision":true}',
    "obligations twice": b'{"decision":true,"context":{"obligations":[{"type":"step-up"}],"obligations":[]}}',
}


@pytest.mark.parametrize("answer", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_yes_that_contradicts_itself_is_a_no_even_to_reads(answer):
    with service(of.says(answer)) as broken, guard(broken.url) as asking:
        verdict = asking.evaluate("files.read", writes=False)
    assert (verdict.decision, verdict.reason) == (False, "guard_answer_contradictory")


def test_an_answer_over_which_its_reader_falls_keeps_nobody_out_for_good(good, monkeypatch):
    right, wrong = wire.verdict_of, ["once", "twice", "while it is tried again"]

    def falls(*said):
        return right(*said) if not wrong else 1 / len(wrong.pop()[:0])

    monkeypatch.setattr("holdfast_guard.wire.verdict_of", falls)
    monkeypatch.setattr("holdfast_guard.asking.FIRST_PAUSE_S", 60.0)
    with guard(good.url) as asking:
        for _ in range(2):
            assert asking.evaluate("mail.send").said_by == "declared"
        assert wait_until(lambda: asking.evaluate("mail.send").decision, seconds=20)
    assert wrong == []


def test_an_answer_of_characters_that_no_text_holds_can_be_worked_with():
    broken = {"decision": False, "context": {"evaluation_id": "e\ud800", "verdict": "hold", "access_request": {"template": "\ud800"}}}
    with service(of.says(broken)) as asked, patient(asked.url) as asking, pytest.raises(Held):
        asking.allowed("mail.send")


NESTED = json.loads('{"a":' * 30 + "1" + "}" * 30)
UNSAYABLE: dict[str, dict[str, Any]] = {
    "a large number": {"arguments": {"amount": 2**60}},
    "keys that meet": {"arguments": {1: "a", "1": "b"}},
    "a lone surrogate": {"arguments": {"to": "a\ud800"}},
    "deep nesting": {"arguments": NESTED},
    "a tool's name": {"tool": "files.read\ud800"},
    "a resource": {"resource": {"type": "file", "id": "a\0"}},
    "a session": {"session": "\ud800"},
    "a subject": {"subject": Subject("\ud800")},
    "a request id": {"request_id": "grün"},
}


@pytest.mark.parametrize("said", UNSAYABLE.values(), ids=UNSAYABLE)
def test_what_cannot_be_said_exactly_is_refused_and_told(good, said):
    with guard(good.url) as asking:
        with pytest.raises(Denied) as denied, asking.call(**{"tool": "files.read", "writes": False} | said):
            pytest.fail("it was entered")
        assert asking.flush()
    assert (denied.value.reason, denied.value.verdict.said_by) == ("arguments_unsayable", "client")
    assert good.to("/access/v1/evaluation") == []
    ((told,),) = [one.body["reports"] for one in good.to("/access/v1/reports")]
    assert (told["decision"], told["outcome"], told["request"]["action"]["properties"]["arguments"]) == (False, "not_done", {})


@pytest.mark.parametrize("view", ["", "v"])
def test_a_service_that_does_not_wait_is_not_polled_without_a_pause(view):
    def at_once(guest, asked):
        of.answer(guest, {"view": view, "contained": [], "sessions": []} if "contained" in asked.path else of.SAID_YES)

    with service(at_once) as eager, guard(eager.url, watches=True) as asking:
        asking.evaluate("files.read")
        time.sleep(1)
        polls = [one for one in eager.asked if "contained" in one.path]
    assert 1 <= len(polls) < 10


@pytest.mark.parametrize("ends", ["main()", "guard = main()", "main().close()"])
def test_what_a_program_did_last_is_told_when_it_ends(good, ends):
    program = f"""
import sys
from holdfast_guard import Guard
def main():
    guard = Guard(sys.argv[1], "{TOKEN}", subject="agent", budget_s=20)
    with guard.call("mail.send", writes=True):
        pass
    return guard
{ends}
"""
    url = good.url.replace("127.0.0.1", "localhost")
    subprocess.run(
        [sys.executable, "-c", program, url], check=True, timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    told = [item["outcome"] for one in good.to("/access/v1/reports") for item in one.body["reports"]]
    assert told == ["done"]


def test_a_guard_that_is_dropped_ends_its_thread_and_its_polls(good):
    asking = guard(good.url, watches=True)
    asking.evaluate("mail.send")
    thread = asking._own.begun()._thread
    del asking
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


async def _later() -> None:
    pass


def _one_by_one() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_later, _one_by_one, functools.partial(_later)])
def test_what_is_done_after_it_returns_is_refused_when_it_is_decorated(good, function):
    with guard(good.url) as asking, pytest.raises(TypeError):
        asking.tool("mail.send")(function)


def test_an_answer_for_which_nobody_waits_any_more_is_told_as_not_done(good):
    from holdfast_guard.guard import _Late

    async def both(over: bool) -> list[Any]:
        good.refuses()
        async with AsyncGuard(good.url, TOKEN, subject="agent", watches=False, declared=OPEN_READS, budget_s=BUDGET_S) as asking:
            late = _Late()
            if over:
                assert late.just_in_time() is None
            assert (await late.unless(asking.evaluate("files.read", writes=False), asking)).decision
            assert over or late.just_in_time() is not None
            kept = asking._journal.batch(10, 10**6)
            asking._journal.taken(kept)
            return [entry.item.get("outcome") for entry in kept]

    assert asyncio.run(both(True)) == ["not_done"]
    assert asyncio.run(both(False)) == [None]


def test_on_a_second_loop_it_begins_anew(good):
    asking = AsyncGuard(good.url, TOKEN, subject="agent", budget_s=10)

    async def once() -> None:
        async with asking.call("mail.send"):
            pass

    async def last() -> None:
        await once()
        assert await asking.flush(10)
        await asking.close()

    asyncio.run(once())
    asyncio.run(last())
    told = [item["outcome"] for one in good.to("/access/v1/reports") for item in one.body["reports"]]
    assert told == ["done", "done"]
    assert len(good.to("/access/v1/evaluation")) == 2


def test_on_two_loops_at_once_it_says_so(good):
    async def both() -> None:
        async with AsyncGuard(good.url, TOKEN, subject="agent", watches=False) as asking:
            await asking.evaluate("mail.send")
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, asking.evaluate("mail.send"))

    asyncio.run(both())


def test_nobody_listening_is_no_answer(good):
    good.refuses()
    with guard(good.url) as asking:
        assert asking.evaluate("files.read", writes=False).decision
        assert not asking.evaluate("mail.send", writes=True)


def test_a_name_that_does_not_resolve_costs_no_more_than_the_time(monkeypatch):
    def slow(*args, **kwargs):
        time.sleep(3)
        raise socket.gaierror("nothing known")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began = time.monotonic()
    asking = guard("https://holdfast.invalid")
    assert not asking.evaluate("mail.send", writes=True)
    assert time.monotonic() - began < 2.5
    asking._inner._journal.taken(asking._inner._journal.batch(10, 10**6))
    asking.close()


NOES = {
    "a wrong token": (of.says({"code": "token_unknown", "detail": "No such token."}, 401), "guard_token_refused"),
    "a token without the right": (of.says({"code": "forbidden"}, 403), "guard_token_refused"),
    "a broken request": (of.says({"code": "malformed", "detail": "Broken."}, 400), "guard_refused_request"),
    "another path": (of.says(b"not here", 404), "guard_refused_request"),
    "too large": (of.says({}, 413), "guard_refused_request"),
    "a redirect": (of.says(b"", 302, "Location: http://127.0.0.1:9/"), "guard_misconfigured"),
    "a no": (of.says(of.SAID_NO), "policy_denied"),
}


@pytest.mark.parametrize(("behaviour", "reason"), NOES.values(), ids=NOES)
def test_a_no_is_a_no_and_opens_nothing(behaviour, reason):
    with service(behaviour) as saying, guard(saying.url) as asking:
        verdict = asking.evaluate("files.read", writes=False)
        with pytest.raises(Denied) as denied, asking.call("files.read", writes=False):
            pytest.fail("it was entered")
    assert (verdict.decision, verdict.reason, verdict.said_by) == (False, reason, "service")
    assert denied.value.reason == reason


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(good):
    with service(of.says(b"", 307, f"Location: {good.url}/access/v1/evaluation")) as sending, guard(sending.url) as asking:
        assert not asking.evaluate("files.read", writes=False)
    assert good.asked == []


def test_a_task_at_another_host_is_asked_for_at_ours():
    from holdfast_guard import Task

    pending = {"task": {"id": "t-1", "status": "approved"}}
    with service(of.says(pending)) as ours, service(of.says(pending)) as theirs, guard(ours.url) as asking:
        done = asking.wait(Task("t-1", "pending", f"{theirs.url}/access/v1/requests/t-1"), 5)
    assert done.approved
    assert theirs.asked == []
    assert ours.asked[0].path.startswith("/access/v1/requests/t-1")


def test_a_retry_has_the_same_request_id_and_gets_the_verdict():
    tries = []

    def at_the_third(guest, asked):
        tries.append(asked)
        of.answer(guest, of.SAID_YES, 200 if len(tries) == 3 else 500)

    with service(at_the_third) as flaky, guard(flaky.url, budget_s=5) as asking:
        assert asking.evaluate("mail.send", writes=True).said_by == "service"
    assert len({one.body["context"]["request_id"] for one in tries}) == 1
    assert len({one.headers["x-request-id"] for one in tries}) == 1


def test_two_calls_have_two_request_ids(good):
    with guard(good.url) as asking:
        asking.evaluate("mail.send"), asking.evaluate("mail.send")
    assert len({one.body["context"]["request_id"] for one in good.to("/access/v1/evaluation")}) == 2


def test_a_dead_service_is_not_waited_for_with_every_call():
    with service(of.black_hole) as dead, guard(dead.url) as asking:
        began = time.monotonic()
        for _ in range(200):
            asking.evaluate("files.read", writes=False)
        took = time.monotonic() - began
    assert took < 200 * BUDGET_S / 10


def test_a_service_that_is_back_is_asked_again(good):
    good.refuses()
    with guard(good.url) as asking:
        for _ in range(3):
            assert asking.evaluate("files.read", writes=False).said_by == "declared"
        good.opens()
        ends = time.monotonic() + 20
        while (verdict := asking.evaluate("mail.send", writes=True)).said_by == "declared" and time.monotonic() < ends:
            time.sleep(0.1)
    assert verdict.decision
    assert verdict.said_by == "service"


def test_a_held_call_raises_with_its_task():
    def holds(guest, asked):
        if asked.path == "/access/v1/requests":
            of.answer(guest, {"task": {"id": "t-1", "status": "pending", "status_endpoint": "/access/v1/requests/t-1"}}, 202)
        else:
            of.says(of.HELD)(guest, asked)

    with service(holds) as asked, patient(asked.url) as asking, pytest.raises(Held) as held, asking.call("mail.send", {"to": "x"}):
        pytest.fail("it was entered")
    assert held.value.task is not None
    assert held.value.task.id == "t-1"
    assert held.value.for_user == "People have to decide about this first."
    (submitted,) = asked.to("/access/v1/requests")
    assert submitted.headers["idempotency-key"] == "e-3"
    assert submitted.body["denial"]["evaluation_id"] == "e-3"


def test_a_permit_with_a_duty_that_nobody_carries_out_is_a_no():
    said = {"decision": True, "context": {"obligations": [{"id": "1", "type": "step-up", "properties": {}}]}}
    with service(of.says(said)) as asked:
        with patient(asked.url) as asking:
            assert asking.evaluate("mail.send").reason == "obligation_not_supported"
        with patient(asked.url, carries_out=["step-up"]) as asking:
            assert asking.evaluate("mail.send").decision


def test_what_is_no_question_says_that_nobody_answered_or_who_refused():
    with service(of.black_hole) as dead, guard(dead.url) as asking, pytest.raises(Unavailable):
        asking.session_state("s-1")
    with service(of.says({"code": "not_found", "detail": "No such session."}, 404)) as asked, patient(asked.url) as asking:
        with pytest.raises(Refused) as refused:
            asking.session_state("s-1")
        assert (refused.value.status, refused.value.code) == (404, "not_found")


@pytest.mark.parametrize("behaviour", [of.black_hole, of.hangs_up, of.says({"detail": "no"}, 401), of.says(b"x", 302)])
def test_no_secret_is_in_errors_logs_or_what_is_shown(behaviour, caplog):
    caplog.set_level(logging.DEBUG)
    with service(behaviour) as broken, guard(broken.url) as asking:
        shown = [repr(asking), repr(asking._inner), repr(vars(asking._inner)), repr(asking.evaluate("mail.send"))]
        for ask in (lambda: asking.session_state("s"), lambda: asking.allowed("mail.send")):
            try:
                ask()
            except Exception as error:
                links = [error, error.__cause__, error.__context__]
                shown += [repr(one) + repr(vars(one)) for one in links if one is not None]
    assert TOKEN not in "".join(shown)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "url", ["ftp://a", "holdfast.example", "https://u:p@a", "https://a/?x", "https://a/#x", "http://holdfast.example", "http://10.0.0.1"]
)
def test_an_address_that_no_token_belongs_to_is_refused(url):
    with pytest.raises(ValueError):
        Guard(url, TOKEN, subject="agent")


def test_unencrypted_takes_a_word():
    assert Guard("http://holdfast.example", TOKEN, subject="agent", send_token_unencrypted=True)


@pytest.mark.parametrize("token", ["", "   ", "hf_a\nb", "hf_ä", "a b"])
def test_a_token_that_breaks_a_header_is_refused(token):
    with pytest.raises(ValueError):
        Guard("https://a", token, subject="agent")


def test_many_threads_share_one(good):
    import concurrent.futures

    with guard(good.url, budget_s=10) as asking, concurrent.futures.ThreadPoolExecutor(16) as pool:
        verdicts = list(pool.map(lambda n: asking.evaluate("files.read", {"n": n}), range(100)))
    assert all(one.said_by == "service" for one in verdicts)
    assert len(good.to("/access/v1/evaluation")) == 100


def test_asyncio_gets_the_same(good):
    async def both() -> None:
        async with AsyncGuard(good.url, TOKEN, subject="agent", watches=False) as asking:
            assert (await asking.evaluate("mail.send")).decision

            @asking.tool("mail.send", writes=True)
            async def send(to: str, body: str = "hello") -> str:
                return f"sent to {to}"

            assert await send("dora@example.org") == "sent to dora@example.org"
            assert await asking.flush()

    asyncio.run(both())
    assert good.to("/access/v1/evaluation")[1].body["action"]["properties"]["arguments"] == {"to": "dora@example.org", "body": "hello"}
    (report,) = good.to("/access/v1/reports")[0].body["reports"]
    assert (report["outcome"], report["returned"]) == ("done", ["sent to dora@example.org"])


def test_a_call_that_failed_was_cancelled_or_not_done_is_told_so(good):
    with guard(good.url) as asking:
        with pytest.raises(ZeroDivisionError), asking.call("a"):
            raise ZeroDivisionError
        with pytest.raises(KeyboardInterrupt), asking.call("b"):
            raise KeyboardInterrupt
        with asking.call("c") as call:
            call.not_done()
        assert asking.flush()
    told = [item["outcome"] for one in good.to("/access/v1/reports") for item in one.body["reports"]]
    assert told == ["failed", "cancelled", "not_done"]


def test_what_no_text_may_hold_silences_no_report(good):
    """In a name that some server gave its tool, for one."""
    with guard(good.url) as asking:
        asking.evaluate("files.read")
        asking.tool_changed("files", "bad\ud800\0", before="sha256:" + "0" * 64, after="sha256:" + "1" * 64)
        with asking.call("files.read"):
            pass
        assert asking.flush()
    told = [item for one in good.to("/access/v1/reports") for item in one.body["reports"]]
    assert [item.get("outcome") for item in told] == [None, "done"]
    assert told[0]["tool_changed"]["tool"] == "bad\ufffd\ufffd"


def test_a_task_in_the_background_that_fell_over_goes_on(good, monkeypatch):
    from holdfast_guard.background import Teller

    right, wrong = Teller._settle, ["once"]
    monkeypatch.setattr("holdfast_guard.background.FALLEN_S", 0.05)
    monkeypatch.setattr(Teller, "_settle", lambda *said: right(*said) if not wrong else 1 / len(wrong.pop()[:0]))
    with guard(good.url) as asking:
        with asking.call("files.read"):
            pass
        assert wait_until(lambda: asking.untold == 0, seconds=10)
    assert wrong == []


def test_a_task_in_the_background_that_ended_is_begun_again(good):
    async def both() -> None:
        async with AsyncGuard(good.url, TOKEN, subject="agent", watches=False) as asking:
            await asking.evaluate("files.read")
            ended = asking._tasks["tells"]
            ended.cancel()
            await asyncio.wait({ended})
            async with asking.call("files.read"):
                pass
            while asking.untold:
                await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(both(), 10))


def test_a_thread_that_does_not_come_round_is_a_no_and_spoils_no_call_that_was_made(good):
    """As when something else in the process holds it up."""
    with guard(good.url) as asking:
        with asking.call("files.read", writes=False) as call:
            call.returned("text")
            assert asking._loop is not None
            asking._loop.soon(lambda: time.sleep(BUDGET_S + 2.5))
        verdict = asking.evaluate("files.read", writes=False)
        assert (verdict.decision, verdict.reason) == (False, "guard_unavailable")
        time.sleep(1.5)
        assert asking.flush()
    assert good.to("/access/v1/reports")[0].body["reports"][0]["outcome"] == "done"


def test_a_call_that_outlives_its_guard_ends_in_peace(good):
    asking = guard(good.url)
    with asking.call("files.read", writes=False):
        asking.close()
