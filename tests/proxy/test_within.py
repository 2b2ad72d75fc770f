"""Servers written with `mcp` that ask for themselves: the extension and the middleware, with a real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from holdfast_guard import AsyncGuard, Subject
from holdfast_guard.mcp.extension import HoldfastExtension
from holdfast_guard.mcp.middleware import HoldfastMiddleware
from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer

from tests.proxy.service import SUBJECT, TOKEN, Service
from tests.proxy.talk import in_a_loop

BOTH = pytest.mark.parametrize("kind", ["extension", "middleware"])


def server_of(kind: str, guard: AsyncGuard, went: list[str], **more: Any) -> MCPServer:
    extensions = [HoldfastExtension(guard, system="ledger", reads=["look"], **more)] if kind == "extension" else []
    server = MCPServer("ledger", extensions=extensions)
    if kind == "middleware":
        server._lowlevel_server.middleware.append(HoldfastMiddleware(guard, system="ledger", reads=["look"], **more))

    @server.tool()
    def look() -> str:
        went.append("look")
        return "1,250.00"

    @server.tool()
    def book(amount: int) -> str:
        went.append("book")
        return f"booked {amount}"

    @server.tool()
    async def slow() -> str:
        went.append("slow")
        try:
            await asyncio.sleep(600)
        finally:
            went.append("ended")
        return "late"

    @server.resource("ledger://accounts")
    def accounts() -> str:
        return "all of them"

    return server


@asynccontextmanager
async def talking(kind: str, service: Service, went: list[str], **more: Any) -> AsyncIterator[Client]:
    async with AsyncGuard(service.url, TOKEN, subject=SUBJECT, asks_people=False) as guard:
        async with Client(server_of(kind, guard, went, **more)) as client:
            yield client
        await guard.flush()


async def denial(work: Any) -> MCPError:
    with pytest.raises(MCPError) as no:
        await work
    return no.value


@BOTH
@in_a_loop
async def test_tools_are_asked_about_and_told(kind: str, service: Service) -> None:
    went: list[str] = []
    service.says |= {"book": "deny"}
    async with talking(kind, service, went) as client:
        assert (await client.call_tool("look", {})).structured_content == {"result": "1,250.00"}
        no = await denial(client.call_tool("book", {"amount": 5}))
    assert (no.code, no.data["reason"], went) == (-32001, "policy_denied", ["look"])
    assert [said["action"]["properties"] for said in service.asked] == [
        {"tool": "look", "arguments": {}, "writes": False},
        {"tool": "book", "arguments": {"amount": 5}},
    ]
    assert service.reports[0]["returned"] == ["1,250.00", "1,250.00"]


@BOTH
@in_a_loop
async def test_a_held_call_is_done_when_a_person_allows_it(kind: str, service: Service) -> None:
    went: list[str] = []
    service.says |= {"book": "hold"}
    async with talking(kind, service, went) as client:
        assert (await denial(client.call_tool("book", {"amount": 5}))).data["task"]["status"] == "pending"
        assert (await denial(client.call_tool("book", {"amount": 6}))).data["task"]["status"] == "pending"
        service.answer_people("approved")
        assert (await client.call_tool("book", {"amount": 5})).is_error is False
    assert went == ["book"]
    assert len(service.tasks) == 2


@BOTH
@in_a_loop
async def test_containment_ends_the_work_itself(kind: str, service: Service) -> None:
    went: list[str] = []
    async with talking(kind, service, went) as client:
        call = asyncio.create_task(client.call_tool("slow", {}))
        while not went:
            await asyncio.sleep(0.02)
        service.contain()
        assert (await denial(call)).data["reason"] == "contained"
        assert went == ["slow", "ended"]
        if kind == "middleware":
            assert (await client.list_tools()).tools == []
    assert service.outcomes() == ["cancelled"]


@in_a_loop
async def test_the_middleware_gates_resources_too(service: Service) -> None:
    service.says |= {"ledger://accounts": "deny"}
    async with talking("middleware", service, []) as client:
        assert (await denial(client.read_resource("ledger://accounts"))).code == -32001


@BOTH
@in_a_loop
async def test_each_caller_is_asked_about_by_name(kind: str, service: Service) -> None:
    went: list[str] = []
    caller = "ana"
    service.contain("ben")
    async with talking(kind, service, went, who=lambda ctx: (Subject(caller), "")) as client:
        await client.call_tool("look", {})
        caller = "ben"
        assert (await denial(client.call_tool("look", {}))).code == -32001
        caller = "ana"
        await client.call_tool("look", {})
    assert [said["subject"]["id"] for said in service.asked if said["subject"]["id"] != "ben"] == ["ana", "ana"]
    assert went == ["look", "look"]
