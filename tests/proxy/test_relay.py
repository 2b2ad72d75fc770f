"""The relay between a client and a server that misbehave: who waits is told, and nothing passes that nobody was asked about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from holdfast_guard import AsyncGuard, Declared
from holdfast_guard.mcp.gate import Gate, Rules
from holdfast_guard.mcp.guarded import Guarded
from holdfast_guard.mcp.messages import Message
from holdfast_guard.mcp.pins import Pins
from holdfast_guard.mcp.proxy import watch
from holdfast_guard.mcp.relay import Relay

from tests.proxy.service import SUBJECT, TOKEN, Service
from tests.proxy.talk import in_a_loop

DEEP = 500


class Between:
    """The relay, with a list in the place of each side. `reads` False: the client takes nothing any more. `changes`: the server says that
    its tools changed, whenever it is asked for them."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.reads, self.changes = gate, True, False
        self.client: list[Any] = []
        self.server: list[Any] = []
        self.relay = Relay(gate, to_client=self._to_client, to_server=self._to_server)

    async def _to_client(self, message: Message | list[Message]) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.client.append(message)

    async def _to_server(self, message: Message | list[Message]) -> None:
        self.server.append(message)
        if isinstance(message, dict) and message.get("method") == "tools/list":
            if self.changes:
                await self.relay.server_said(b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')
            await self.answer(message["id"], {"tools": [{"name": name, "inputSchema": {}} for name in ("pay", "look")]})

    async def say(self, message: Any) -> None:
        await self.relay.client_said(json.dumps(message).encode())

    async def ask(self, ident: Any, method: str, **params: Any) -> None:
        await self.say({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})

    async def call(self, ident: Any, tool: str = "pay", **arguments: Any) -> None:
        """Until the server has it."""
        await self.ask(ident, "tools/call", name=tool, arguments=arguments)
        await self.until(lambda: any(said.get("id") == ident for said in self.server))

    async def answer(self, ident: Any, result: Any) -> None:
        await self.relay.server_said(json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}).encode())

    async def until(self, what: Any) -> None:
        for _ in range(500):
            if what():
                return
            await asyncio.sleep(0.02)
        raise AssertionError((self.client, self.server))

    async def heard(self, ident: Any) -> Any:
        await self.until(lambda: any(isinstance(said, dict) and said.get("id") == ident for said in self.client))
        return next(said for said in self.client if isinstance(said, dict) and said.get("id") == ident)

    def methods(self) -> list[Any]:
        return [said.get("method") for said in self.server]


@asynccontextmanager
async def between(service: Service, path: Path, rules: Rules | None = None, **more: Any) -> AsyncIterator[Between]:
    async with AsyncGuard(service.url, TOKEN, subject=SUBJECT, asks_people=False, **more) as guard:
        gate = Gate(Guarded(guard, system="ledger"), Pins(path / "pins.json"), rules or Rules())
        made = Between(gate)
        watcher = asyncio.create_task(watch(gate, [made.relay]))
        try:
            yield made
        finally:
            watcher.cancel()
            await made.relay.client_left()


@in_a_loop
async def test_the_server_hears_of_every_stopped_call_though_the_client_does_not_read(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        for ident in range(3):
            await made.call(ident)
        made.reads = False
        service.contain()
        await made.until(lambda: made.methods().count("notifications/cancelled") == 3)
        service.release()
        await made.until(lambda: made.gate.guard.stopped() is None)
        service.contain()
        await made.until(made.gate.guard.stopped)  # who watches goes on watching
    service.until(lambda: service.outcomes() == ["cancelled"] * 3)


@pytest.mark.parametrize(
    "answer",
    [
        '{"jsonrpc":"2.0","id":7,"result":{"x":1e999}}',
        '{"jsonrpc":"2.0","id":7,"result":{"id":8,"x":{"a":1,"a":2}}}',
        '{"jsonrpc":"2.0","id":7,"result":' + "9" * 5_000 + "}",
        '{"jsonrpc":"2.0","id":7,"result":' + "[" * DEEP + "]" * DEEP + "}",
        '{"jsonrpc":"2.0","result":' + "[" * 100_000 + "]" * 100_000 + ',"id":7}',
    ],
)
@in_a_loop
async def test_an_answer_that_nobody_can_read_ends_its_call_alone(service: Service, tmp_path: Path, answer: str) -> None:
    async with between(service, tmp_path) as made:
        await made.call(7)
        await made.call(8)
        await made.relay.server_said(answer.encode())
        assert (await made.heard(7))["error"]["data"] == {"reason": "answer_unreadable"}
        await made.answer(8, {"content": []})
        assert "result" in await made.heard(8)
    service.until(lambda: service.outcomes() == ["failed", "done"])


@in_a_loop
async def test_an_unreadable_answer_to_nobody_in_particular_ends_all_that_wait(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        await made.call(7)
        await made.call("a")
        await made.relay.server_said(b'{"jsonrpc":"2.0","id":7,"id":"a","result":{}}')
        assert {said["id"] for said in made.client} == {7, "a"}
    service.until(lambda: service.outcomes() == ["failed", "failed"])


@in_a_loop
async def test_a_message_that_cannot_be_written_again_is_refused(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        for line in (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"x":-1e999}}', b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}"):
            await made.relay.client_said(line)
        assert [said["error"]["code"] for said in made.client] == [-32700, -32600]
        assert made.server == []


@in_a_loop
async def test_a_batch_answers_the_others_when_one_of_it_is_withdrawn(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        calls = [{"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": "pay"}} for n in (1, 2)]
        await made.say(calls)
        await made.until(lambda: made.methods().count("tools/call") == 2)
        await made.answer(1, {"content": []})
        assert made.client == []
        await made.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})
        assert [[said["id"] for said in batch] for batch in made.client] == [[1]]


@in_a_loop
async def test_a_denial_as_result_needs_no_meta_that_is_an_object(service: Service, tmp_path: Path) -> None:
    service.says["pay"] = "deny"
    async with between(service, tmp_path, Rules(as_result=True)) as made:
        await made.ask(1, "tools/call", name="pay", _meta=5)
        assert (await made.heard(1))["result"]["isError"] is True


@in_a_loop
async def test_a_task_that_a_call_began_is_cancelled_with_its_caller(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        await made.call(1)
        await made.answer(1, {"task": {"taskId": "t-1", "status": "working"}})
        service.contain()
        await made.until(lambda: "tasks/cancel" in made.methods())
        assert made.server[-1]["params"] == {"taskId": "t-1"}
        await made.ask(2, "tasks/cancel", taskId="t-1")
        assert made.server[-1]["id"] == 2  # what ends something passes even now
        await made.ask(3, "tasks/result", taskId="t-1")
        assert (await made.heard(3))["error"]["data"]["reason"] == "contained"
    service.until(lambda: service.outcomes() == ["cancelled"])


@in_a_loop
async def test_what_came_of_a_task_is_told_with_its_result_and_not_before(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        await made.call(1)
        await made.answer(1, {"resultType": "task", "taskId": "t-1", "status": "working"})
        await made.ask(2, "tasks/get", taskId="t-1")
        await made.answer(2, {"taskId": "t-1", "status": "working"})
        assert made.gate.guard.guard.untold == 0  # type: ignore[attr-defined]
        await made.ask(3, "tasks/result", taskId="t-1")
        await made.answer(3, {"content": [{"type": "text", "text": "a secret"}]})
    assert [(said["outcome"], said["returned"]) for said in service.reports] == [("done", ["a secret"])]


@in_a_loop
async def test_a_task_that_begins_when_its_call_is_already_stopped_is_cancelled_too(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        await made.call(1)
        service.contain()
        await made.heard(1)
        await made.answer(1, {"task": {"taskId": "t-1", "status": "working"}})
        assert (made.server[-1]["method"], made.server[-1]["params"]) == ("tasks/cancel", {"taskId": "t-1"})


@pytest.mark.parametrize("allowed", [False, True])
@in_a_loop
async def test_what_carries_words_past_the_guard_is_closed_until_it_is_let_pass(service: Service, tmp_path: Path, allowed: bool) -> None:
    asked = ("completion/complete", "resources/subscribe", "tasks/update")
    back = ("sampling/createMessage", "elicitation/create")
    async with between(service, tmp_path, Rules(allowed=frozenset({*asked, *back, "notifications/ours"} if allowed else ()))) as made:
        for method in asked:
            await made.ask(method, method, secret="x")
        await made.say({"jsonrpc": "2.0", "method": "notifications/ours", "params": {"secret": "x"}})
        assert ["secret" in said.get("params", {}) for said in made.server] == [True] * 4 * allowed
        for method in back:
            await made.relay.server_said(json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": {}}).encode())
        assert sum(said.get("method") in back for said in made.client) == 2 * allowed
        assert sum(said.get("error", {}).get("code") == -32601 for said in made.server) == 2 * (not allowed)
        await made.call(1)
        await made.answer(1, {"resultType": "input_required", "inputRequests": {"a": {"method": "elicitation/create"}}})
        assert ("error" in await made.heard(1)) is not allowed


@in_a_loop
async def test_a_tool_that_is_not_offered_cannot_be_called(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path, Rules(tools=("look",))) as made:
        await made.ask(1, "tools/call", name="pay")
        assert (await made.heard(1))["error"]["data"]["reason"] == "tool_not_offered"
        await made.call(2, "look")
    assert [said["resource"]["id"] for said in service.asked] == ["look"]


@pytest.mark.parametrize("arguments", [{"n": 2**60}, {"a\ud800": 1}, {"a": json.loads("[" * 50 + "]" * 50)}])
@in_a_loop
async def test_arguments_that_the_guard_would_see_otherwise_are_refused(service: Service, tmp_path: Path, arguments: Any) -> None:
    async with between(service, tmp_path) as made:
        await made.ask(1, "tools/call", name="pay", arguments=arguments)
        assert (await made.heard(1))["error"]["code"] == -32602
    assert service.asked == []


@in_a_loop
async def test_a_list_that_changes_while_it_is_read_is_read_again(service: Service, tmp_path: Path) -> None:
    async with between(service, tmp_path) as made:
        made.changes = True
        await made.call(1)
        made.changes = False
        await made.call(2)
        await made.call(3)
        assert made.methods().count("tools/list") == 2


@in_a_loop
async def test_a_tool_that_one_page_withholds_no_later_page_makes_callable(service: Service, tmp_path: Path) -> None:
    tool = {"name": "pay", "description": "Pays.", "inputSchema": {}}
    async with between(service, tmp_path) as made:
        for page, more in ((tool, {}), ({**tool, "description": "Pays evil."}, {"nextCursor": "b"})):
            made.gate.listing({"tools": [page], **more}, first=True)
        assert made.gate.listing({"tools": [tool]}, first=False)["tools"] == []
        await made.ask(1, "tools/call", name="pay")
        assert (await made.heard(1))["error"]["data"]["reason"] == "tool_changed"


@in_a_loop
async def test_a_resource_that_is_never_to_open_stays_closed_where_the_guard_is_gone(service: Service, tmp_path: Path) -> None:
    service.leave()
    declared = Declared(reads="open", never_open=["vault://*"])
    async with between(service, tmp_path, declared=declared, budget_s=0.2) as made:
        await made.ask(1, "resources/read", uri="vault://key")
        assert (await made.heard(1))["error"]["data"]["reason"] == "guard_unavailable"
        await made.ask(2, "resources/read", uri="notes://a")
        await made.until(lambda: "resources/read" in made.methods())
