"""What no client and no server should send, line by line: nothing of it passes unasked, hangs, or reaches somebody whom it is not for."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.service import Service
from tests.proxy.talk import RAW, SLOW, Lines, environment

pytestmark = pytest.mark.servers


@pytest.fixture
def proxy(env: dict[str, str]) -> Iterator[Lines]:
    with Lines(env, RAW, "--max-message", "1000000") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lines, Service]]:
    """For what a proxy must come through as if nothing had been: all of it comes to the same one."""
    with Service() as service, Lines(environment(service.url, tmp_path_factory.mktemp("state")), RAW, "--max-message", "1000000") as proxy:
        yield proxy, service


@pytest.fixture
def same(at_work: tuple[Lines, Service]) -> Iterator[Lines]:
    """The proxy that was there in the test before."""
    proxy, service = at_work
    assert text(proxy.call("before", "echo", here=True)) == '{"here": true}'
    service.asked.clear()
    yield proxy
    assert proxy.process.poll() is None


@pytest.fixture
def its_service(same: Lines, at_work: tuple[Lines, Service]) -> Service:
    return at_work[1]


def text(said: Any) -> str:
    return str(said["result"]["content"][0]["text"])


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(what: Any, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"no json", -32700),
        (b"\xff\xfe", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":NaN}}}', -32700),
        (b"[" * 100_000, -32700),
        (b"7", -32600),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"echo"}}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"echo"}}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"tools/call","params":{"name":"echo"}}', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"echo"}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b"{" + b'"a":1,' * 200_000 + b'"b":1}', -32600),
    ],
)
def test_a_line_that_is_no_message_is_answered_and_goes_no_further(same: Lines, its_service: Service, line: bytes, code: int) -> None:
    same.raw(line + b"\n")
    assert same.next()["error"]["code"] == code
    assert text(same.call(2, "echo", still="here")) == '{"still": "here"}'
    assert len(its_service.asked) == 1


@pytest.mark.parametrize("params", [{}, {"name": 7}, {"name": ""}, {"name": "echo", "arguments": [1]}, {"name": "echo", "arguments": "x"}])
def test_a_call_that_names_nothing_is_refused_before_anybody_is_asked(same: Lines, its_service: Service, params: dict[str, Any]) -> None:
    assert same.ask(1, "tools/call", **params)["error"]["code"] == -32602
    assert its_service.asked == []


def test_a_method_that_we_do_not_know_passes_only_where_it_is_allowed(proxy: Lines, env: dict[str, str]) -> None:
    assert proxy.ask(1, "files/wipe")["error"]["code"] == -32601
    assert proxy.ask(2, "Tools/Call", name="echo")["error"]["code"] == -32601
    with Lines(env, RAW, "--allow-method", "files/wipe") as other:
        assert other.ask(1, "files/wipe")["result"]["got"]["method"] == "files/wipe"


def test_a_tool_that_was_never_listed_cannot_be_called(same: Lines, its_service: Service) -> None:
    no = same.call(1, "hidden")["error"]
    assert (no["code"], no["data"]["reason"]) == (-32001, "tool_not_listed")
    assert its_service.asked == []


def test_an_id_that_is_in_use_is_refused_without_answering_the_first(proxy: Lines) -> None:
    first = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "cancel_me", "arguments": {}}}
    proxy.send(first, first)
    no = proxy.next()
    assert (no["id"], no["error"]["code"], no["error"]["data"]) == (None, -32600, {"id": 5})
    proxy.send({"jsonrpc": "2.0", "id": "5", "method": "tools/call", "params": {"name": "echo", "arguments": {}}})  # another id
    proxy.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}})
    assert text(proxy.answer_to("5")) == "{}"


def test_the_late_answer_to_a_cancelled_call_is_nobodys(proxy: Lines, service: Service) -> None:
    proxy.send({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "cancel_me", "arguments": {"say": "here"}}})
    assert proxy.next()["params"] == {"say": "here"}  # the server has it
    proxy.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}})
    assert text(proxy.call(6, "echo")) == "{}"
    assert text(proxy.call(5, "echo", again=True)) == '{"again": true}'  # the id is free again, and the answer is its own
    service.until(lambda: "cancelled" in service.outcomes())


def test_an_id_may_be_used_again_when_its_answer_has_come(same: Lines) -> None:
    assert [text(same.call(1, "echo", n=n)) for n in range(3)] == ['{"n": 0}', '{"n": 1}', '{"n": 2}']


@pytest.mark.parametrize("tool", ["garbage", "half", "wrong_id", "twice"])
def test_what_a_server_says_wrongly_reaches_nobody(same: Lines, tool: str) -> None:
    assert text(same.call(1, tool, n=1)) == '{"n": 1}'
    assert text(same.call(2, "echo", n=2)) == '{"n": 2}'


def test_a_long_message_passes_up_to_the_bound_and_no_further(env: dict[str, str], proxy: Lines) -> None:
    with Lines(env, RAW) as wide:
        assert len(text(wide.call(1, "big", bytes=10_000_000))) == 10_000_000
        assert len(text(wide.call(2, "echo", said="y" * 10_000_000))) > 10_000_000
    no = proxy.call(1, "big", bytes=2_000_000)["error"]
    assert (no["code"], no["data"]) == (-32603, {"reason": "answer_too_long"})
    assert text(proxy.call(2, "echo")) == "{}"


def test_a_server_that_dies_is_said_so_and_the_proxy_ends_with_its_code(proxy: Lines) -> None:
    assert proxy.call(1, "die")["error"]["data"] == {"reason": "server_gone"}
    assert proxy.next() is None
    assert proxy.process.wait(20) == 3


def test_a_server_that_cannot_be_started_is_named(env: dict[str, str]) -> None:
    with Lines(env, ("/no/such/server",)) as proxy:
        assert proxy.process.wait(20) == 127
        until(lambda: any("cannot be started" in line for line in proxy.errors))


def test_the_server_gets_none_of_our_variables(same: Lines) -> None:
    assert not [name for name in json.loads(text(same.call(1, "environment"))) if name.startswith("HOLDFAST_")]


def test_what_a_server_writes_to_its_log_cannot_move_the_cursor(proxy: Lines) -> None:
    proxy.call(1, "escape")
    until(lambda: any("a line for whoever reads logs" in line for line in proxy.errors))
    assert "\x1b" not in "".join(proxy.errors)


@pytest.mark.parametrize("how", ["client leaves", "term", "half a line"])
def test_when_the_proxy_ends_the_server_and_all_that_it_started_end(proxy: Lines, how: str) -> None:
    grandchild = int(text(proxy.call(1, "grandchild")))
    if how == "term":
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(20) == 128 + signal.SIGTERM
    else:
        if how == "half a line":
            proxy.raw(b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo"}}')
        assert proxy.leave() == 0
    until(lambda: gone(grandchild))


def test_a_call_under_way_is_answered_when_the_proxy_is_told_to_end(env: dict[str, str], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with Lines(env, SLOW) as proxy:
        proxy.ask(0, "initialize", protocolVersion="2024-11-05", capabilities={}, clientInfo={"name": "t", "version": "0"})
        proxy.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        call = {"name": "sleep", "arguments": {"seconds": 600, "mark": str(mark)}}
        proxy.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        until(mark.exists)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.answer_to(1)["error"]["data"] == {"reason": "server_gone"}


def test_a_batch_is_taken_apart_asked_about_one_by_one_and_answered_together(proxy: Lines, service: Service) -> None:
    service.says["big"] = "deny"
    one = {"jsonrpc": "2.0", "method": "tools/call"}
    proxy.send(
        [
            {**one, "id": 1, "params": {"name": "echo", "arguments": {"n": 1}}},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {**one, "id": 2, "params": {"name": "big", "arguments": {}}},
            {"jsonrpc": "2.0", "id": 3, "method": "files/wipe"},
            5,
        ]
    )
    answers = proxy.next()
    assert {said["id"]: said.get("error", {}).get("code") for said in answers} == {1: None, 2: -32001, 3: -32601, None: -32600}
    assert len(service.asked) == 2


def test_what_the_client_gives_back_reaches_the_server_unless_it_is_contained(env: dict[str, str], service: Service) -> None:
    with Lines(env, RAW, "--allow-method", "sampling/createMessage") as proxy:
        gives_back(proxy, service)


def gives_back(proxy: Lines, service: Service) -> None:
    for ident, contained in ((1, False), (2, True)):
        proxy.send({"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": {"name": "ask_client", "arguments": {}}})
        while proxy.next().get("method") != "sampling/createMessage":
            pass
        if contained:
            service.contain()
            assert proxy.answer_to(2)["error"]["data"]["reason"] == "contained"
        else:
            proxy.send({"jsonrpc": "2.0", "id": "nobody-1", "result": {"content": "an answer to nothing"}})
            proxy.send({"jsonrpc": "2.0", "id": "server-1", "result": {"content": "a sample"}})
            assert json.loads(text(proxy.answer_to(1)))["result"] == {"content": "a sample"}


def test_a_client_that_leaves_a_server_that_does_not_read_is_not_waited_for(env: dict[str, str], tmp_path: Path) -> None:
    with Lines(env, RAW) as proxy:
        proxy.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "deaf", "arguments": {}}})
        assert proxy.process.stdin is not None
        pipe = proxy.process.stdin.fileno()
        os.set_blocking(pipe, False)
        told = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"x": "y" * 60_000}}).encode() + b"\n"
        refused = 0
        while refused < 400:  # until all pipes are full
            try:
                os.write(pipe, told)
                refused = 0
            except BlockingIOError:
                refused += 1
                time.sleep(0.0025)
        assert proxy.leave() == 0


def test_a_log_that_nobody_reads_holds_up_nothing(env: dict[str, str]) -> None:
    class Silent(Lines):
        def _read_errors(self) -> None: ...

    with Silent(env, RAW) as proxy:
        assert text(proxy.call(1, "loud")) == "{}"
        assert text(proxy.call(2, "echo", still="here")) == '{"still": "here"}'


def test_a_server_that_does_not_read_ends_even_when_the_proxy_is_killed(proxy: Lines, service: Service) -> None:
    proxy.call(1, "echo")
    server = int(Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()[0])
    proxy.send({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "deaf", "arguments": {}}})
    service.until(lambda: len(service.asked) == 2)
    proxy.process.kill()
    proxy.process.wait()
    until(lambda: gone(server))


def test_a_service_that_refuses_the_token_lets_nothing_pass(env: dict[str, str], proxy: Lines, service: Service) -> None:
    service.refuses = True
    no = proxy.call(1, "echo")["error"]
    assert (no["code"], no["data"]["reason"]) == (-32001, "guard_token_refused")


@pytest.mark.parametrize("missing", ["HOLDFAST_URL", "HOLDFAST_TOKEN", "HOLDFAST_SUBJECT"])
def test_what_is_not_set_up_is_said_and_no_server_is_started(env: dict[str, str], missing: str) -> None:
    with Lines({name: said for name, said in env.items() if name != missing}, RAW) as proxy:
        assert proxy.process.wait(20) == 2
        until(lambda: proxy.errors)


def test_a_broken_file_of_pins_is_named_and_no_server_is_started(service: Service, tmp_path: Path) -> None:
    pins = tmp_path / "pins.json"
    pins.write_text('{"tools": {"echo": 7}}')
    with Lines(environment(service.url, tmp_path), RAW, "--pins", str(pins)) as proxy:
        assert proxy.process.wait(20) == 2
        until(lambda: any("is not a file of pins" in line for line in proxy.errors))


def test_pins_that_break_while_the_proxy_runs_let_nothing_be_listed_or_called(service: Service, tmp_path: Path) -> None:
    pins = tmp_path / "pins.json"
    with Lines(environment(service.url, tmp_path), RAW, "--pins", str(pins)) as proxy:
        assert "result" in proxy.ask(0, "tools/list")
        pins.write_text("[")
        assert proxy.ask(1, "tools/list")["error"]["code"] == -32603
        assert proxy.call(2, "echo")["error"]["code"] == -32603
    assert service.asked == []
